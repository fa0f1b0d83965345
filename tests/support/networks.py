"""The note's networks as graphs, and seeded weights for any graph."""

import numpy as np
import numpy.typing as npt

from depthwise.layers.descriptions import Conv2D, Dense, Description, Flatten, MaxPooling2D, SeparableConv2D
from depthwise.network.graph import Graph, sequential
from support.sizes import draw_weights

__all__ = [
    "note_cnn",
    "note_cnn_separable_twin",
    "note_cnn_with_head",
    "note_separable",
    "note_separable_ordinary_twin",
    "note_small",
    "note_small_separable",
    "seeded_weights",
]


def note_small() -> Graph:
    """1.1: one convolution, 5×5×2 → 3×3×3."""
    return sequential([Conv2D(3, (3, 3), input_shape=(5, 5, 2))], "note_small")


def note_small_separable() -> Graph:
    """2.2: the same as a separable one."""
    return sequential([SeparableConv2D(3, (3, 3), input_shape=(5, 5, 2))], "note_small_separable")


def _cnn(separable: bool) -> list[Description]:
    convolution = SeparableConv2D if separable else Conv2D
    return [
        Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)),
        MaxPooling2D((2, 2)),
        convolution(64, (3, 3), activation="relu"),
        MaxPooling2D((2, 2)),
        convolution(64, (3, 3), activation="relu"),
    ]


def note_cnn() -> Graph:
    """1.2: the note's ordinary network, without a head, as it is printed there."""
    return sequential(_cnn(separable=False), "note_cnn")


def note_cnn_with_head() -> Graph:
    """The same with Flatten, Dense(64) and Dense(10), so that it can be trained."""
    head = [Flatten(), Dense(64, activation="relu"), Dense(10, activation="softmax")]
    return sequential([*_cnn(separable=False), *head], "note_cnn_with_head")


def note_cnn_separable_twin() -> Graph:
    """1.2's network, its second and third convolution separable; the first one reads one channel and stays."""
    return sequential(_cnn(separable=True), "note_cnn_separable_twin")


def _six_convolutions(separable: bool, name: str) -> Graph:
    convolution = SeparableConv2D if separable else Conv2D
    chain: list[Description] = [Conv2D(32, 3, padding="same", activation="selu", input_shape=(28, 28, 1))]
    for filters in ((32,), (64, 64), (128, 128)):
        chain += [convolution(count, 3, padding="same", activation="selu") for count in filters]
        chain.append(MaxPooling2D(pool_size=2))
    chain += [Flatten(), Dense(128, activation="selu"), Dense(10, activation="softmax")]
    return sequential(chain, name)


def note_separable() -> Graph:
    """2.2: the note's separable network, with the head that its summary has."""
    return _six_convolutions(True, "note_separable")


def note_separable_ordinary_twin() -> Graph:
    """The same with ordinary convolutions."""
    return _six_convolutions(False, "note_separable_ordinary_twin")


def seeded_weights(graph: Graph, seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Random float32 weights by `node/weight`, the same for the same seed: not what the initializers draw."""
    rng = np.random.default_rng(seed)
    weights = {}
    for node in graph.calls:
        drawn = draw_weights(rng, node.layer, node.facts.input_shapes)
        weights.update({f"{node.name}/{name}": values for name, values in drawn.items()})
    return weights

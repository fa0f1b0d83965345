"""Many small networks side by side in one graph, so that one compilation serves them all."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from depthwise import layers
from depthwise.layers.layer import Layer
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, SymbolicTensor, functional
from support.sizes import Configuration, Shape, draw_weights

__all__ = [
    "branches",
    "chains_to_one_vector",
    "graph_weights",
    "random_chain",
    "side_by_side",
    "trainable_side_by_side",
]


def _connect(tensor: SymbolicTensor, layer: Any, inputs: Any) -> SymbolicTensor:
    result: SymbolicTensor = tensor.connect(layer, inputs)
    return result


def branches(configurations: Sequence[Configuration]) -> tuple[list[SymbolicTensor], list[SymbolicTensor]]:
    """(inputs, outputs): every configuration's layer on inputs of its own."""
    starts, ends = [], []
    for layer, shapes in configurations:
        own = [Input(shape) for shape in shapes]
        starts += own
        ends.append(_connect(own[0], _as_object(layer), own))
    return starts, ends


def _as_object(layer: Any) -> Layer:
    return layer if isinstance(layer, Layer) else Layer.of(layer)


def side_by_side(configurations: Sequence[Configuration]) -> Graph:
    """One graph whose i-th output is the i-th layer's."""
    return functional(*branches(configurations))


def trainable_side_by_side(configurations: Sequence[Configuration], rng: np.random.Generator) -> Graph:
    """The same with a small convolution or dense layer before each input, so that input gradients show in its weights,
    and all results flattened and concatenated to one vector."""
    starts, ends = [], []
    for layer, shapes in configurations:
        reads = []
        for shape in shapes:
            start = Input(shape)
            starts.append(start)
            reads.append(_connect(start, _reader(rng, shape), start))
        end = _connect(reads[0], _as_object(layer), reads)
        ends.append(_connect(end, layers.Flatten(), end))
    return functional(starts, _connect(ends[0], layers.Concatenate(), ends) if len(ends) > 1 else ends[0])


def _reader(rng: np.random.Generator, shape: Shape) -> layers.Layer:
    activation = ("linear", "relu", "selu", "tanh", "silu")[int(rng.integers(5))]
    reader: layers.Layer
    if len(shape) == 1:
        reader = layers.Dense(shape[0], activation=activation)
    elif len(shape) == 2:
        reader = layers.Conv1D(shape[-1], 1, activation=activation)
    elif rng.random() < 0.5:
        reader = layers.DepthwiseConv2D((1, 1), activation=activation)
    else:
        reader = layers.Conv2D(shape[-1], (1, 1), activation=activation)
    return reader


def random_chain(rng: np.random.Generator, start: SymbolicTensor, depth: int, *, exact: bool) -> SymbolicTensor:
    """One to `depth` random layers, joins among them, on `start`.

    `exact`: only layers that keep small whole numbers whole (means over 1, 2 or 4 cells and rates of ½ at most).
    """
    tensor = start
    for _ in range(int(rng.integers(1, depth + 1))):
        tensor = _step(rng, tensor, exact)
    return tensor


ACTIVATIONS = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "sigmoid", "hard_sigmoid", "hard_silu", "tanh", "softplus",
    "softmax",
)  # fmt: skip
"""A list of its own: the network of a seed stays the same one when Depthwise gets more activations."""


def _activation(rng: np.random.Generator, exact: bool) -> str:
    names = ("linear", "relu", "relu6") if exact else ACTIVATIONS
    return names[int(rng.integers(len(names)))]


def _step(rng: np.random.Generator, tensor: SymbolicTensor, exact: bool) -> SymbolicTensor:
    shape = tensor.sample_shape
    if len(shape) == 1:
        kind = int(rng.integers(3))
        if kind == 0:
            return _connect(tensor, layers.Dropout(0.5), tensor)
        units = int(rng.integers(1, 20))
        return _connect(tensor, layers.Dense(units, activation=_activation(rng, exact)), tensor)
    rows, columns, channels = shape
    window: dict[str, Any] = {
        "kernel_size": (int(rng.integers(1, min(rows, 3) + 1)), int(rng.integers(1, min(columns, 3) + 1))),
        "padding": ("valid", "same")[int(rng.integers(2))],
        "activation": _activation(rng, exact),
    }
    if rng.random() < 0.3:
        window["strides"] = (2, 2)
    pool: Any = (min(rows, 2), min(columns, 2))
    filters = int(rng.integers(1, 12))
    match int(rng.integers(12 if exact else 13)):
        case 0:
            return _connect(tensor, layers.Conv2D(filters, **window), tensor)
        case 1:
            return _connect(tensor, layers.DepthwiseConv2D(depth_multiplier=int(rng.integers(1, 3)), **window), tensor)
        case 2:
            return _connect(tensor, layers.SeparableConv2D(filters, **window), tensor)
        case 3:
            return _connect(tensor, layers.MaxPooling2D(pool, padding=window["padding"]), tensor)
        case 4:
            return _connect(tensor, layers.AveragePooling2D(pool), tensor)
        case 5:
            return _connect(tensor, layers.ZeroPadding2D(((1, 0), (0, 2))), tensor)
        case 6:
            flat = _connect(tensor, layers.Flatten(), tensor)
            return _connect(flat, layers.Dense(filters, activation=window["activation"]), flat)
        case 7:  # a residual block
            same = {**window, "padding": "same", "strides": (1, 1)}
            inner = _connect(tensor, layers.SeparableConv2D(channels, **same), tensor)
            return _connect(tensor, layers.Add(), [tensor, inner])
        case 8:  # two branches of the same map
            same = {**window, "padding": "same", "strides": (1, 1)}
            parts = [_connect(tensor, layers.Conv2D(int(rng.integers(1, 9)), **same), tensor) for _ in range(2)]
            return _connect(tensor, layers.Concatenate(), [*parts, tensor])
        case 9:
            return _connect(tensor, layers.GlobalMaxPooling2D(keepdims=bool(rng.random() < 0.5)), tensor)
        case 10:
            return _connect(tensor, layers.Dropout(0.5), tensor)
        case 11:
            return _connect(tensor, layers.Activation(_activation(rng, exact)), tensor)
    return _connect(tensor, layers.BatchNormalization(), tensor)


def chains_to_one_vector(rng: np.random.Generator, chains: int, *, exact: bool) -> Graph:
    """Chains of up to four layers, flattened into one vector whose length is a power of two."""
    starts, ends = [], []
    for _ in range(chains):
        start = Input(tuple(int(size) for size in rng.integers(1, (9, 9, 7))))
        starts.append(start)
        end = random_chain(rng, start, 4, exact=exact)
        ends.append(_connect(end, layers.Flatten(), end) if len(end.sample_shape) > 1 else end)
    length = sum(end.sample_shape[0] for end in ends)
    filler = Input(((1 << length.bit_length()) - length,))
    return functional([*starts, filler], _connect(ends[0], layers.Concatenate(), [*ends, filler]))


def graph_weights(rng: np.random.Generator, graph: Graph, *, integers: int = 0) -> dict[str, np.ndarray]:
    """Random weights by `node/weight`; whole numbers up to `integers` where that is not 0."""
    weights = {}
    for node in graph.calls:
        for name, values in draw_weights(rng, node.layer, node.facts.input_shapes).items():
            if integers:
                values = rng.integers(-integers, integers, values.shape, endpoint=True).astype(np.float32)
            weights[f"{node.name}/{name}"] = values
    return weights

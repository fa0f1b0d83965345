"""Conv2DTranspose and Conv1DTranspose against real Keras: predicted, trained, saved both ways, explained."""

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest

from depthwise import layers, models, optimizers
from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.layers import descriptions
from depthwise.layers.descriptions import Conv1DTranspose, Conv2DTranspose
from depthwise.network.facts import describe
from depthwise.network.graph import Graph, sequential
from support.families import check_against_keras, check_explanations, check_files, check_same_bits
from support.keras_steps import compare_steps
from support.sizes import Configuration

WINDOWS = [
    *((strides, None, (1, 1)) for strides in ((1, 1), (2, 2), (3, 2))),
    ((2, 3), (0, 2), (1, 1)),
    ((2, 3), (1, 0), (1, 1)),
    ((1, 1), None, (2, 3)),
]
MAPS = [
    Configuration(Conv2DTranspose(5, kernel, strides, padding, added, dilation_rate=dilation), ((4, 3, 3),))
    for kernel, padding, (strides, added, dilation) in itertools.product(((3, 2), (1, 5)), ("valid", "same"), WINDOWS)
]
SIZES = [
    *(Configuration(Conv2DTranspose(filters, 2, 2, use_bias=False), ((3, 5, 4),)) for filters in (1, 8, 17, 35)),
    *(Configuration(Conv2DTranspose(40, 3, stride, "same"), ((3, 5, c),)) for c in (1, 9) for stride in (1, 2)),
]
SEQUENCES = [
    Configuration(Conv1DTranspose(5, kernel, stride, padding, added), ((7, 3),))
    for kernel, padding, (stride, added) in itertools.product((2, 3), ("valid", "same"), ((1, None), (3, None), (3, 1)))
]


@pytest.mark.parametrize("configurations", [MAPS, SIZES, SEQUENCES], ids=["windows", "sizes", "sequences"])
def test_against_keras(configurations: list[Configuration]) -> None:
    check_against_keras(configurations)


def test_bits_do_not_depend_on_threads_or_batches() -> None:
    check_same_bits([*MAPS[::3], *SIZES])


def _network(layer: descriptions.Description, *, first: bool = False) -> Graph:
    reads = () if first else (descriptions.Conv2D(3, 2, activation="tanh"),)
    ends = (descriptions.AveragePooling2D(2), descriptions.Flatten(), descriptions.Dense(3, activation="softmax"))
    return sequential([descriptions.InputLayer(shape=(4, 5, 3)), *reads, layer, *ends])


TRAINED = [
    Conv2DTranspose(4, 2, 2, activation="selu"),
    Conv2DTranspose(4, 3, (3, 2), "same", (2, 1)),
    Conv2DTranspose(4, 3, dilation_rate=2, use_bias=False),
]


@pytest.mark.parametrize("layer", TRAINED, ids=lambda layer: f"{layer.strides}")
def test_three_steps(layer: descriptions.Description) -> None:
    compare_steps(_network(layer), optimizers.SGD(0.01), 5, steps=3)


def test_three_steps_where_it_reads_the_images() -> None:
    """Three channels lie side by side there, without room for whole vectors."""
    compare_steps(_network(TRAINED[0], first=True), optimizers.SGD(0.01), 5, steps=3)


def test_keras_files_go_both_ways(tmp_path: Path) -> None:
    model = models.Sequential(
        [
            layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu", input_shape=(5, 4, 2)),
            layers.Conv2DTranspose(3, (2, 3), strides=(3, 2), output_padding=(1, 0)),
            layers.Conv2DTranspose(3, 2, dilation_rate=2, use_bias=False),
        ]
    )
    check_files(model, tmp_path)
    check_files(models.Sequential([layers.Conv1DTranspose(4, 3, strides=2, input_shape=(5, 2))]), tmp_path)


def test_explanations() -> None:
    check_explanations(_network(TRAINED[1]), 24)
    check_explanations(sequential([Conv1DTranspose(4, 3, 2, input_shape=(5, 2))]), 8)


def test_facts() -> None:
    facts = describe(Conv2DTranspose(8, 3, 2, "same"), ((5, 4, 2),))
    assert (facts.output_shape, facts.parameters.text) == ((10, 8, 8), "8×(3×3×2)+8 = 152")
    assert facts.macs.text == "5×4×8×(3×3×2) = 2,880"
    assert describe(Conv2DTranspose(8, 3, 2), ((5, 4, 2),)).output_formulas[0].text == "4×2+3 = 11"
    graph = sequential([Conv2DTranspose(2, 2, 2, input_shape=(4, 4, 1)), descriptions.Conv2D(2, 3, padding="same")])
    field = graph.receptive_fields["conv2d"]
    assert (field.rows.value, float(field.steps[0])) == (2, 0.5)  # three half cells lie on two


def test_messages() -> None:
    with pytest.raises(InvalidArgumentError, match=r"output_padding must be below strides .* output_padding=\(2, 0\)"):
        layers.Conv2DTranspose(2, 3, strides=2, output_padding=(2, 0))
    with pytest.raises(UnsupportedError, match="cannot be combined"):
        layers.Conv1DTranspose(2, 3, strides=2, dilation_rate=2)
    with pytest.raises(ValueError, match="not supported in conjunction"):
        keras.layers.Conv1DTranspose(2, 3, strides=2, dilation_rate=2)


def test_upsampling_and_back_is_learnt() -> None:
    """An autoencoder of two layers gets better."""
    x = np.random.default_rng(0).random((32, 8, 8, 1), dtype=np.float32)
    model = models.Sequential(
        [
            layers.Conv2D(8, 2, strides=2, activation="relu", input_shape=(8, 8, 1)),
            layers.Conv2DTranspose(1, 2, strides=2),
        ]
    )
    model.compile(optimizers.Adam(0.02), "mse")
    history = model.fit(x, x, epochs=15, batch_size=8, verbose=0).history["loss"]
    assert history[-1] < history[0] / 3

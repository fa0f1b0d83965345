"""Layers over sequences (steps, channels) against real Keras: predicted, trained, saved both ways, explained."""

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import layers, models, optimizers
from depthwise.errors import InvalidArgumentError, ShapeError
from depthwise.layers import descriptions
from depthwise.layers.descriptions import LAYERS
from depthwise.network.facts import describe
from depthwise.network.graph import Graph, sequential
from support.families import check_against_keras, check_explanations, check_files, check_same_bits
from support.keras_steps import compare_steps
from support.sizes import Configuration, sizes_around

WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": kernel, "padding": padding, "strides": strides, "dilation_rate": dilation}
    for kernel, padding, (strides, dilation) in itertools.product(
        (2, 5), ("valid", "same", "causal"), ((1, 1), (3, 1), (1, 2))
    )
]
BOTH: list[dict[str, Any]] = [
    {"kernel_size": 3, "padding": padding, "strides": 2, "dilation_rate": 2} for padding in ("valid", "same")
]


def _convolutions(kind: str) -> list[Configuration]:
    if kind == "Conv1D":
        made = [(descriptions.Conv1D(6, groups=1 + i % 2, **window), 4) for i, window in enumerate(WINDOWS)]
        sizes = [(descriptions.Conv1D(filters, 3), 3) for filters in sizes_around(16)]
        sizes += [(descriptions.Conv1D(4, 3, padding="same"), channels) for channels in sizes_around(8)]
    else:
        cls: Any = LAYERS[kind]
        make: Any = cls if kind == "DepthwiseConv1D" else lambda **rest: cls(filters=5, **rest)
        windows = [window for window in WINDOWS if window["padding"] != "causal"] + BOTH
        made = [(make(depth_multiplier=1 + i % 2, **window), 4) for i, window in enumerate(windows)]
        sizes = [(make(kernel_size=3), channels) for channels in sizes_around(16)]
    return [Configuration(layer, ((14, channels),)) for layer, channels in (*made, *sizes)]


def _poolings(kind: str) -> list[Configuration]:
    make: Any = LAYERS[kind]
    if kind.startswith("Global"):
        return [
            Configuration(make(keepdims=keep), ((7, channels),)) for keep in (False, True) for channels in (1, 5, 17)
        ]
    return [
        Configuration(make(size, strides, padding), ((steps, channels),))
        for size, strides, padding in itertools.product((2, 3), (None, 1, 4), ("valid", "same"))
        for steps, channels in ((9, 3), (4, 17))
    ]


CONFIGURATIONS = {
    **{kind: _convolutions(kind) for kind in ("Conv1D", "DepthwiseConv1D", "SeparableConv1D")},
    **{
        kind: _poolings(kind)
        for kind in ("MaxPooling1D", "AveragePooling1D", "GlobalMaxPooling1D", "GlobalAveragePooling1D")
    },
}


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_against_keras(kind: str) -> None:
    check_against_keras(CONFIGURATIONS[kind])


def test_bits_do_not_depend_on_threads_or_batches() -> None:
    check_same_bits([item for found in CONFIGURATIONS.values() for item in found[::7]])


def _network(*middle: descriptions.Description) -> Graph:
    return sequential(
        [
            descriptions.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="tanh", input_shape=(11, 2)),
            *middle,
            descriptions.Flatten(),
            descriptions.Dense(3, activation="softmax"),
        ]
    )


MIDDLE: list[descriptions.Description] = [
    descriptions.Conv1D(6, 3, strides=2, groups=2, activation="selu"),
    descriptions.DepthwiseConv1D(3, strides=2, dilation_rate=2, padding="same", depth_multiplier=2),
    descriptions.SeparableConv1D(5, 3, padding="same", activation="relu"),
    descriptions.MaxPooling1D(3, 2, "same"),
    descriptions.AveragePooling1D(3, 2, "same"),
    descriptions.GlobalMaxPooling1D(keepdims=True),
    descriptions.GlobalAveragePooling1D(keepdims=True),
    descriptions.BatchNormalization(),
]


@pytest.mark.parametrize("layer", MIDDLE, ids=lambda layer: type(layer).__name__)
def test_three_steps(layer: descriptions.Description) -> None:
    compare_steps(_network(layer), optimizers.SGD(0.05), 6, steps=3)


def test_keras_files_go_both_ways(tmp_path: Path) -> None:
    stack: list[Any] = [
        layers.Conv1D(4, 3, padding="causal", input_shape=(40, 2)),
        layers.Conv1D(4, 3, strides=2, groups=2, activation="relu", use_bias=False),
        layers.Conv1D(4, 2, dilation_rate=(2,), padding="same"),
        layers.DepthwiseConv1D(3, depth_multiplier=2),
        layers.SeparableConv1D(6, 3, padding="same", depth_multiplier=2),
        layers.MaxPooling1D(),
        layers.AveragePooling1D(2, strides=1, padding="same"),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling1D(keepdims=True),
        layers.GlobalMaxPooling1D(),
    ]
    check_files(models.Sequential(stack), tmp_path)


def test_explanations() -> None:
    check_explanations(_network(*MIDDLE[:5], MIDDLE[-1], descriptions.GlobalMaxPooling1D(keepdims=True)))
    check_explanations(_network(descriptions.GlobalAveragePooling1D(keepdims=True)))


def test_facts() -> None:
    facts = describe(descriptions.Conv1D(4, 3, padding="causal", strides=2), ((11, 2),))
    assert (facts.output_shape, facts.parameters.text, facts.macs.text) == (
        (6, 4),
        "4×(3×2)+4 = 28",
        "6×4×(3×2) = 144",
    )
    assert facts.columns is not None
    assert (facts.columns.pad_before, facts.columns.pad_after) == (2, 0)
    field = _network(*MIDDLE[:2]).receptive_fields["depthwise_conv1d"]
    assert (field.rows.value, field.columns.value) == (1, 5 + 2 + 2 * 4)
    assert layers.Conv1D(4, (3,)).kernel_size == keras.layers.Conv1D(4, (3,)).kernel_size == (3,)


def test_messages() -> None:
    with pytest.raises(
        ShapeError, match=r"Conv1D 'conv1d' takes sequences of shape \(steps, channels\), got a sample of shape"
    ):
        sequential([descriptions.Conv1D(4, 3, input_shape=(5, 6, 2))])
    with pytest.raises(ShapeError, match="window spans 3 cells of length, the input has 2; use a smaller window"):
        sequential([descriptions.MaxPooling1D(3, input_shape=(2, 1))])
    with pytest.raises(InvalidArgumentError, match=r"Conv1D: kernel_size must be an integer, got \(3, 3\)"):
        descriptions.Conv1D(4, (3, 3))
    with pytest.raises(InvalidArgumentError, match="DepthwiseConv1D: padding must be one of valid, same, got 'causal'"):
        descriptions.DepthwiseConv1D(3, padding="causal")


def test_a_model_over_sequences_learns() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((64, 16, 1)).astype(np.float32)
    y = (x[:, :, 0].max(axis=1) > 1.7).astype(np.int64)
    model = models.Sequential(
        [
            layers.Conv1D(8, 3, activation="relu", input_shape=(16, 1)),
            layers.MaxPooling1D(),
            layers.GlobalMaxPooling1D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=20, batch_size=16, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2

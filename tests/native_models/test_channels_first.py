"""Layers with their channels first, and normalisation and joins along other axes than the last, against real Keras."""

from pathlib import Path
from typing import Any

import pytest

from depthwise import layers, models, optimizers
from depthwise.compiler.ir import operations as op
from depthwise.compiler.lower import lower
from depthwise.compiler.passes import PREDICTION, TRAINING, run_passes
from depthwise.errors import InvalidArgumentError, ShapeError
from depthwise.explain.facts import network_facts
from depthwise.explain.questions import questions
from depthwise.layers import descriptions as d
from depthwise.network.facts import describe
from depthwise.network.graph import Graph, sequential
from depthwise.network.twins import ordinary_twin, separable_twin
from support.families import check_against_keras, check_explanations, check_files, check_same_bits
from support.keras_steps import compare_steps
from support.sizes import Configuration

FIRST: dict[str, Any] = {"data_format": "channels_first"}
MAP, SEQUENCE = ((3, 7, 6),), ((3, 9),)
ON_MAPS: list[d.Description] = [
    d.Conv2D(5, (3, 2), strides=2, padding="same", activation="selu", **FIRST),
    d.Conv2D(5, 3, activation="softmax", **FIRST),
    d.Conv2D(6, 3, groups=3, dilation_rate=2, **FIRST),
    d.DepthwiseConv2D(3, depth_multiplier=2, padding="same", **FIRST),
    d.SeparableConv2D(5, 3, **FIRST),
    d.Conv2DTranspose(4, 3, 2, "same", **FIRST),
    d.MaxPooling2D(2, padding="same", **FIRST),
    d.AveragePooling2D(3, 2, "same", **FIRST),
    d.GlobalMaxPooling2D(**FIRST),
    d.GlobalAveragePooling2D(keepdims=True, **FIRST),
    d.ZeroPadding2D(((1, 2), (0, 1)), **FIRST),
    d.UpSampling2D((2, 3), **FIRST),
    d.UpSampling2D(2, interpolation="bilinear", **FIRST),
    d.Resizing(4, 9, crop_to_aspect_ratio=True, **FIRST),
    d.CenterCrop(4, 3, **FIRST),
    d.Flatten(**FIRST),
    d.BatchNormalization(axis=1),
    d.BatchNormalization(axis=2),
    d.BatchNormalization(axis=-3, scale=False),
]
ON_SEQUENCES: list[d.Description] = [
    d.Conv1D(4, 3, padding="same", **FIRST),
    d.MaxPooling1D(2, **FIRST),
    d.GlobalAveragePooling1D(**FIRST),
    d.BatchNormalization(axis=1),
]
CONFIGURATIONS = [
    *(Configuration(layer, MAP) for layer in ON_MAPS),
    *(Configuration(layer, SEQUENCE) for layer in ON_SEQUENCES),
    Configuration(d.Concatenate(axis=1), ((3, 4, 5), (2, 4, 5))),
    Configuration(d.Concatenate(axis=2), ((3, 4, 5), (3, 2, 5))),
    Configuration(d.Concatenate(axis=-3), ((3, 4, 5), (2, 4, 5), (1, 4, 5))),
]


def test_against_keras() -> None:
    check_against_keras(CONFIGURATIONS)


def test_bits_do_not_depend_on_threads_or_batches() -> None:
    check_same_bits(CONFIGURATIONS[::2])


def _network() -> Graph:
    return sequential(
        [
            d.Conv2D(4, 3, activation="tanh", input_shape=(2, 9, 8), **FIRST),
            d.BatchNormalization(axis=1),
            d.Activation("relu"),
            d.SeparableConv2D(6, 3, padding="same", **FIRST),
            d.Activation("silu"),
            d.MaxPooling2D(2, **FIRST),
            d.DepthwiseConv2D(2, **FIRST),
            d.Flatten(**FIRST),
            d.Dense(3, activation="softmax"),
        ]
    )


def test_only_the_borders_are_transposed() -> None:
    for passes, training in ((PREDICTION, False), (TRAINING, True)):
        program = run_passes(lower(_network(), training=training), passes)
        transposed = [item.source for item in program.operations if isinstance(item, op.Transpose)]
        assert transposed == ["input_layer"]


def test_an_output_keeps_its_axes() -> None:
    graph = sequential([d.Conv2D(4, 3, input_shape=(2, 9, 8), **FIRST), d.ReLU()])
    program = run_passes(lower(graph), PREDICTION)
    assert [type(item).__name__ for item in program.operations] == ["Transpose", "Convolve", "Transpose"]
    assert graph.output_shapes[0] == (4, 7, 6)


def test_three_steps() -> None:
    compare_steps(_network(), optimizers.SGD(0.02), 6, steps=3)


def test_keras_files_go_both_ways(tmp_path: Path) -> None:
    stack: list[Any] = [
        layers.Conv2D(4, 3, input_shape=(2, 12, 11), **FIRST),
        layers.BatchNormalization(axis=1),
        layers.SeparableConv2D(4, 3, **FIRST),
        layers.UpSampling2D(2, **FIRST),
        layers.Conv2DTranspose(3, 2, **FIRST),
        layers.AveragePooling2D(2, **FIRST),
        layers.ZeroPadding2D(1, **FIRST),
        layers.Flatten(**FIRST),
    ]
    check_files(models.Sequential(stack), tmp_path)


def test_explanations_and_questions() -> None:
    graph = _network()
    check_explanations(graph, 20)
    separable = network_facts(graph)["layers"][4]
    assert (separable["separable"]["ordinary"]["output_shape"], separable["output_shape"]) == ([7, 6, 6], [6, 7, 6])
    asked = {(item["layer"], item["asks"]): item["answer"] for item in questions(graph)}
    assert asked["conv2d", "output_height"] == 7
    assert graph.receptive_fields["flatten"].columns.value == 3 + 2 + 1 + 2


def test_twins_keep_the_format() -> None:
    assert ordinary_twin(_network()).output_shapes == _network().output_shapes
    layer: Any = separable_twin(ordinary_twin(_network())).by_name["separable_conv2d"].layer
    assert layer.data_format == "channels_first"


def test_messages() -> None:
    with pytest.raises(
        InvalidArgumentError, match="data_format must be one of channels_last, channels_first, got 'NCHW'"
    ):
        layers.Conv2D(2, 3, data_format="NCHW")
    with pytest.raises(ShapeError, match="axis must be between 1 and 3, or -1 and -3 counted from the end, got 4"):
        sequential([d.BatchNormalization(axis=4, input_shape=(4, 4, 2))])
    with pytest.raises(ShapeError, match="whose shapes differ in axis 1 only"):
        describe(d.Concatenate(axis=1), ((3, 4, 5), (3, 4, 6)))

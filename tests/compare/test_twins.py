"""Twins: the note's numbers, MobileNet's blocks, names, and every reason for which a layer stays as it is."""

import pytest

from depthwise.errors import UnsupportedError
from depthwise.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    ReLU,
    SeparableConv2D,
)
from depthwise.network.graph import Graph, sequential
from depthwise.network.symbolic import Input, functional
from depthwise.network.twins import Direction, ordinary_twin, separable_twin, twin, twin_direction
from support.networks import note_cnn, note_cnn_separable_twin, note_separable, note_separable_ordinary_twin


def test_the_twins_of_the_note_have_the_design_s_numbers() -> None:
    separable = twin(note_cnn())
    assert (separable.parameters, separable.macs) == (7_456, 519_392)
    assert [node.facts for node in separable.calls] == [node.facts for node in note_cnn_separable_twin().calls]
    ordinary = twin(note_separable())
    assert (ordinary.parameters, ordinary.macs) == (435_306, 29_275_904)
    assert [node.facts for node in ordinary.calls] == [node.facts for node in note_separable_ordinary_twin().calls]


def test_a_twin_s_twin_is_the_network_again() -> None:
    graph = note_separable()
    again = separable_twin(ordinary_twin(graph), name=graph.name)
    assert [(node.layer, node.reads) for node in again.calls] == [(node.layer, node.reads) for node in graph.calls]
    assert again.is_sequential


def test_names_follow_the_new_class_and_chosen_names_stay() -> None:
    graph = sequential(
        [
            Conv2D(8, 3, input_shape=(9, 9, 4), name="conv2d_1"),
            SeparableConv2D(16, 3),
            SeparableConv2D(16, 3, name="mine"),
            SeparableConv2D(16, 3),
        ]
    )
    assert [node.name for node in ordinary_twin(graph).calls][1:] == ["conv2d_1", "conv2d", "mine", "conv2d_2"]


def test_direction_is_the_one_that_changes_something() -> None:
    assert twin_direction(note_cnn()) is Direction.SEPARABLE
    assert twin_direction(note_separable()) is Direction.ORDINARY
    mobile = sequential([DepthwiseConv2D(3, input_shape=(8, 8, 4))])
    assert twin_direction(mobile) is Direction.ORDINARY


def mobile_block(strides: int = 2) -> Graph:
    image = Input((12, 12, 3))
    stem = Conv2D(8, 3, padding="same")(image)
    x = DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(stem)
    x = ReLU(6.0)(BatchNormalization()(x))
    x = Conv2D(24, 1, use_bias=False, name="project")(x)
    return functional(image, GlobalAveragePooling2D()(BatchNormalization()(x)), name="mobile")


def test_a_mobilenet_block_becomes_one_convolution_in_the_place_of_both() -> None:
    result = ordinary_twin(mobile_block())
    kinds = [type(node.layer).__name__ for node in result.calls]
    assert kinds == ["InputLayer", "Conv2D", "Conv2D", "BatchNormalization", "GlobalAveragePooling2D"]
    project = result.by_name["project"]
    assert project.reads == ("conv2d",)
    assert project.output_shape == (6, 6, 24)
    assert project.facts.parameters.value == 24 * 3 * 3 * 8
    assert not result.is_sequential


def test_a_depthwise_layer_on_its_own_keeps_its_output_shape() -> None:
    image = Input((8, 8, 4))
    depthwise = DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu")(image)
    shortcut = Conv2D(8, 1)(depthwise)
    graph = functional(image, Add()([depthwise, shortcut]))  # two readers: not a block
    result = ordinary_twin(graph)
    assert result.by_name["conv2d_1"].output_shape == (8, 8, 8)
    assert result.by_name["conv2d_1"].facts.parameters.value == 8 * 3 * 3 * 4 + 8
    assert result.by_name["add"].reads == ("conv2d_1", "conv2d")


def test_a_depthwise_layer_that_is_an_output_is_not_merged_away() -> None:
    image = Input((8, 8, 4))
    depthwise = DepthwiseConv2D(3, padding="same")(image)
    graph = functional(image, [depthwise, Conv2D(8, 1)(depthwise)])
    assert ordinary_twin(graph).output_shapes == ((8, 8, 4), (8, 8, 8))


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_shapes_stay_in_both_directions(strides: int, padding: str) -> None:
    graph = sequential(
        [
            Conv2D(16, 3, input_shape=(17, 15, 3)),
            Conv2D(32, (3, 5), strides=strides, padding=padding, activation="gelu", use_bias=False),
            Conv2D(24, 3, dilation_rate=2, padding=padding),
        ]
    )
    there = separable_twin(graph)
    assert [node.output_shape for node in there.calls] == [node.output_shape for node in graph.calls]
    assert [type(node.layer).__name__ for node in there.calls[1:]] == ["Conv2D"] + 2 * ["SeparableConv2D"]
    back = ordinary_twin(there, name=graph.name)
    assert [node.facts for node in back.calls] == [node.facts for node in graph.calls]


def test_the_note_s_small_example_is_separated_although_it_reads_the_image() -> None:
    graph = sequential([Conv2D(3, (3, 3), input_shape=(5, 5, 2))])
    assert graph.parameters == 57
    assert separable_twin(graph).parameters == 18 + 9


@pytest.mark.parametrize(
    ("layer", "channels", "reason"),
    [
        (Conv2D(32, 3), 1, "'conv2d' has one input channel, so that all maps would be multiples of one response"),
        (Conv2D(32, 1), 8, "'conv2d' has a 1×1 window"),
        (Conv2D(32, 3, groups=2), 8, "'conv2d' is grouped (groups=2)"),
        (Conv2D(1, 3), 8, "'conv2d' with 1 filters would not become smaller"),
    ],
)
def test_no_separable_twin_names_the_reason(layer: Conv2D, channels: int, reason: str) -> None:
    graph = sequential([_with_input(layer, channels)], name="plain")
    with pytest.raises(UnsupportedError) as raised:
        separable_twin(graph)
    assert str(raised.value).startswith(f"'plain' has no separable twin: {reason}")


def _with_input(layer: Conv2D, channels: int) -> Conv2D:
    return Conv2D(layer.filters, layer.kernel_size, groups=layer.groups, input_shape=(9, 9, channels))


def test_no_twin_without_convolutions() -> None:
    graph = sequential([Dense(3, input_shape=(4,))], name="dense\x1b[31m")
    with pytest.raises(UnsupportedError, match="it has no ordinary convolution") as raised:
        separable_twin(graph)
    assert "\x1b" not in str(raised.value)
    with pytest.raises(UnsupportedError, match="ask for its separable twin instead"):
        ordinary_twin(graph)

"""The reference derives shapes on its own, and so judges `arithmetic`: outputs, weights and MACs of random layers."""

from typing import Any

import numpy as np
import pytest

from depthwise.arguments import ACTIVATIONS
from depthwise.errors import ShapeError
from depthwise.layers import descriptions as layers
from depthwise.network.facts import describe
from depthwise.reference import bounds
from depthwise.reference import layer as one_layer
from depthwise.reference.forward import conv2d
from support.sizes import Configuration, draw_inputs, draw_weights, integer_case, random_configuration, sizes_around

CONFIGURATIONS = 2000


def test_arithmetic_agrees_on_random_configurations() -> None:
    rng = np.random.default_rng(20)
    seen = set()
    for number in range(CONFIGURATIONS):
        layer, input_shapes = random_configuration(rng)
        seen.add(type(layer))
        weights = draw_weights(rng, layer, input_shapes)
        result = one_layer.forward(layer, weights, draw_inputs(rng, input_shapes, 1))
        facts = describe(layer, input_shapes)
        where = f"configuration {number}: {layer} on {input_shapes}"
        assert result.shape == (1, *facts.output_shape), where
        shapes = one_layer.weight_shapes(layer, input_shapes)
        assert {weight.name: weight.shape for weight in facts.weights} == shapes, where
        assert list(shapes) == [weight.name for weight in facts.weights], where
        assert facts.parameters.value == sum(array.size for array in weights.values()), where
        trainable = [weight.name for weight in facts.weights if weight.trainable]
        assert trainable == one_layer.trainable_weights(layer, input_shapes), where
    assert seen == set(layers.LAYERS.values()) - {layers.InputLayer}


@pytest.mark.parametrize("kind", [layers.Conv2D, layers.DepthwiseConv2D, layers.Dense])
def test_macs_are_products_per_value_times_values(kind: Any) -> None:
    rng = np.random.default_rng(21)
    for _ in range(100):
        layer, input_shapes = random_configuration(rng, [kind])
        facts = describe(layer, input_shapes)
        products = bounds.reduction_length(layer, input_shapes[0])
        assert facts.macs.value == products * int(np.prod(facts.output_shape)), (layer, input_shapes)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("span", [(2, 1), (2, 2), (3, 1), (3, 2), (5, 1)])
def test_empty_outputs_are_refused_by_both(size: Any, span: tuple[int, int]) -> None:
    kernel, dilation = span
    layer = layers.Conv2D(1, (kernel, 1), dilation_rate=(dilation, 1))
    fits = (kernel - 1) * dilation < size
    x, weights = np.ones((1, size, 1, 1)), np.ones((kernel, 1, 1, 1))
    if fits:
        rows = conv2d(x, weights, dilation_rate=(dilation, 1)).shape[1]
        assert rows == describe(layer, [(size, 1, 1)]).output_shape[0] == size - (kernel - 1) * dilation
    else:
        with pytest.raises(ShapeError, match="fits nowhere"):
            conv2d(x, weights, dilation_rate=(dilation, 1))
        with pytest.raises(ShapeError, match="would be empty"):
            describe(layer, [(size, 1, 1)])


def test_random_configurations_are_seeded() -> None:
    one, other = ([random_configuration(np.random.default_rng(seed)) for seed in range(30)] for _ in range(2))
    assert one == other
    assert len(set(map(str, one))) > 25


def test_random_configurations_cover_the_corners() -> None:
    rng = np.random.default_rng(22)
    drawn = [random_configuration(rng, [layers.Conv2D, layers.DepthwiseConv2D]) for _ in range(600)]
    shapes = [shapes[0] for _, shapes in drawn]
    for axis in range(3):
        assert any(shape[axis] == 1 for shape in shapes)
    described: list[Any] = [layer for layer, _ in drawn]
    assert {layer.padding for layer in described} == {"valid", "same"}
    assert any(max(layer.strides) > 1 for layer in described)
    assert any(max(layer.dilation_rate) > 1 for layer in described)
    assert any(layer.strides[0] != layer.strides[1] for layer in described)
    assert any(getattr(layer, "groups", 1) > 1 for layer in described)
    assert any(getattr(layer, "depth_multiplier", 1) > 1 for layer in described)
    assert not all(layer.use_bias for layer in described)
    assert {layer.activation for layer in described} == set(ACTIVATIONS)


def test_sizes_surround_the_tile() -> None:
    assert sizes_around(16) == (1, 15, 16, 17, 35)
    assert sizes_around(2) == (1, 2, 3, 7)


def test_integer_cases_are_whole_and_refuse_what_is_not() -> None:
    rng = np.random.default_rng(23)
    layer = layers.Conv2D(4, 3)
    weights, inputs = integer_case(rng, Configuration(layer, ((6, 6, 3),)), 2)
    result = one_layer.forward(layer, weights, inputs)
    assert (result == np.round(result)).all()
    assert np.abs(result).max() > 0
    with pytest.raises(ValueError, match="divides"):
        integer_case(rng, Configuration(layers.AveragePooling2D(), ((4, 4, 1),)), 1)
    with pytest.raises(ValueError, match="2²⁴"):
        integer_case(rng, Configuration(layers.Dense(1), ((9000,),)), 1, largest=100)
    with pytest.raises(ValueError, match="gelu"):
        integer_case(rng, Configuration(layers.Dense(1, activation="gelu"), ((4,),)), 1)

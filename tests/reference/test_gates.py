"""The gates pass what float32 may do, and fail what it may not."""

from typing import Any

import numpy as np
import pytest

from depthwise.layers import descriptions as layers
from depthwise.reference import bounds, forward, network
from depthwise.reference import layer as one_layer
from support.gates import UNIT_ROUNDOFF, error_gate, exact_gate, hard_gate
from support.networks import note_separable, seeded_weights
from support.sizes import draw_inputs, draw_weights, random_configuration


def in_float32(layer: Any, weights: Any, inputs: Any) -> Any:
    """A convolution or Dense added up in float32, one product after the other: the worst order there is."""
    patches = []
    x = inputs[0]
    if isinstance(layer, layers.Dense):
        patches, kernel = [x[..., k : k + 1] for k in range(x.shape[-1])], weights["kernel"]
        products = [patch * kernel[k] for k, patch in enumerate(patches)]
    else:
        rows, columns = (x.shape[axis] - layer.kernel_size[axis - 1] + 1 for axis in (1, 2))
        products = [
            x[:, i : i + rows, j : j + columns, k, None] * weights["kernel"][i, j, k]
            for i in range(layer.kernel_size[0])
            for j in range(layer.kernel_size[1])
            for k in range(x.shape[3])
        ]
    total = np.zeros_like(products[0])
    for product in products:
        total = (total + product).astype(np.float32)
    return total + weights["bias"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("layer", "shape"), [(layers.Dense(7), (300,)), (layers.Conv2D(5, (3, 2)), (6, 5, 20))], ids=["dense", "conv2d"]
)
def test_the_worst_order_of_float32_passes_and_twice_a_wrong_term_fails(
    layer: Any, shape: tuple[int, ...], seed: Any
) -> None:
    rng = np.random.default_rng(seed)
    weights, inputs = draw_weights(rng, layer, [shape]), draw_inputs(rng, [shape], 4)
    actual = in_float32(layer, weights, inputs)
    assert actual.dtype == np.float32
    expected, sizes = one_layer.forward(layer, weights, inputs), bounds.magnitude(layer, weights, inputs)
    depth = bounds.reduction_length(layer, shape)
    used = hard_gate(actual, expected, sizes, depth)
    assert 0.0 < used < 1.0
    broken = actual.copy()
    allowed = bounds.allowed_error(expected, sizes, depth)
    place = tuple(int(index) for index in rng.integers(0, broken.shape))
    broken[place] = expected[place] + 2.0 * allowed[place]
    with pytest.raises(AssertionError, match=f"1 of {broken.size} values are outside.*at \\({place[0]}, {place[1]}"):
        hard_gate(broken, expected, sizes, depth)


def test_the_hard_gate_is_the_design_formula() -> None:
    y, sizes, depth = np.array([2.0, -3.0]), np.array([10.0, 20.0]), 5
    exact = (depth + 2) * UNIT_ROUNDOFF * sizes + UNIT_ROUNDOFF * np.abs(y)
    np.testing.assert_allclose(bounds.allowed_error(y, sizes, depth), exact, rtol=1e-12)
    assert np.finfo(np.float32).eps / 2 == UNIT_ROUNDOFF


def test_gates_refuse_nan_and_other_shapes() -> None:
    for gate in (lambda a, b: exact_gate(a, b), lambda a, b: error_gate(a, b, 1e9)):
        with pytest.raises(AssertionError, match="1 of 2"):
            gate([1.0, np.nan], [1.0, 2.0])
        with pytest.raises(AssertionError, match=r"shape \(1,\), the reference has \(2,\)"):
            gate([1.0], [1.0, 2.0])
        gate([1.0, -0.0], [1.0, 0.0])
    exact_gate([np.inf], [np.inf])
    error_gate([np.inf], [np.inf], 0.0)


def test_the_exact_gate_names_the_worst_value() -> None:
    with pytest.raises(AssertionError, match=r"pool: 2 of 4 values differ.*at \(1, 0\) it is 9.0, the reference 3.0"):
        exact_gate([[1.0, 2.5], [9.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]], "pool")


def test_layers_that_only_move_values_have_no_error() -> None:
    rng = np.random.default_rng(1)
    moves = [layers.MaxPooling2D, layers.GlobalMaxPooling2D, layers.Flatten, layers.ZeroPadding2D, layers.Concatenate]
    for kind in moves:
        layer, shapes = random_configuration(rng, [kind])
        assert not bounds.layer_error(layer, {}, draw_inputs(rng, shapes, 2)).any(), kind


@pytest.mark.parametrize("kind", [layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Dense])
def test_gradient_magnitudes_bound_the_gradients(kind: Any) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        layer, shapes = random_configuration(rng, [kind])
        weights, inputs = draw_weights(rng, layer, shapes), draw_inputs(rng, shapes, 2)
        result = one_layer.forward(layer, weights, inputs)
        dy = rng.standard_normal(result.shape)
        to_inputs, to_weights = one_layer.gradients(layer, weights, inputs, dy)
        input_sizes, weight_sizes = bounds.gradient_magnitudes(layer, weights, inputs, dy)
        assert (np.abs(to_inputs[0]) <= input_sizes[0] * (1 + 1e-12)).all()
        assert sorted(weight_sizes) == sorted(to_weights)
        assert all((np.abs(to_weights[name]) <= weight_sizes[name] * (1 + 1e-12)).all() for name in to_weights)
        lengths = bounds.gradient_lengths(layer, shapes[0], result.shape[1:], 2)
        assert set(lengths) == {"input", *weights} | ({"bias"} - set(weights))


def test_magnitude_of_positive_numbers_is_the_result() -> None:
    x, kernel, bias = np.full((1, 4, 4, 2), 0.5), np.full((3, 3, 2, 3), 2.0), np.ones(3)
    result, size = forward.with_magnitude(forward.conv2d, x, kernel, bias, padding="same")
    np.testing.assert_array_equal(result, size)
    assert forward.with_magnitude(forward.conv2d, -x, kernel, bias)[1].max() == size.max()


def test_a_float32_run_of_the_whole_note_network_stays_within_eight_deviations() -> None:
    graph = note_separable()
    weights = seeded_weights(graph)
    (x,) = draw_inputs(np.random.default_rng(0), graph.input_shapes, 2)
    exact = network.forward(graph, weights, [x])
    deviations = bounds.network_deviations(graph, weights, [x])
    worst = bounds.network_errors(graph, weights, [x])
    rounded = {graph.inputs[0]: x}
    for node in graph.calls[1:]:
        # Each layer computed exactly, its result rounded to float32: less error than any real run has.
        own = network.weights_of(node, weights)
        rounded[node.name] = one_layer.forward(node.layer, own, [rounded[node.reads[0]]]).astype(np.float32)
        error_gate(rounded[node.name], exact[node.name], worst[node.name], node.name)
        used = error_gate(rounded[node.name], exact[node.name], 8.0 * deviations[node.name], node.name)
        assert used < 0.5, node.name
        assert (8.0 * deviations[node.name]).max() <= 1e-2 * np.abs(exact[node.name]).max(), node.name

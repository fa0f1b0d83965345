"""How far float32 gradients of a whole graph may be from the reference's: worst cases, carried backward node by node.

Every operation is linear in the gradient that comes in, so an error there grows as the gradient of absolute values does;
what the forward pass was off (`bounds.network_errors`) comes in through the other factor of each product.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.layers import descriptions as layers
from depthwise.layers.descriptions import InputLayer
from depthwise.network.graph import Graph
from depthwise.reference import activations, bounds, network
from depthwise.reference import layer as one_layer
from depthwise.reference.planar import planar

__all__ = ["gradient_errors"]

Array = npt.NDArray[np.float64]
U = bounds.UNIT_ROUNDOFF

BENDS: dict[str, tuple[float, tuple[tuple[float, float], ...]]] = {
    "linear": (0.0, ()),
    "relu": (0.0, ((0.0, 1.0),)),
    "relu6": (0.0, ((0.0, 1.0), (6.0, 1.0))),
    "leaky_relu": (0.0, ((0.0, 0.8),)),
    "elu": (1.0, ()),
    "selu": (1.76, ((0.0, 0.71),)),
    "gelu": (0.8, ()),
    "silu": (0.5, ()),
    "sigmoid": (0.1, ()),
    "hard_sigmoid": (0.0, ((-3.0, 0.17), (3.0, 0.17))),
    "hard_silu": (0.34, ((-3.0, 0.5), (3.0, 0.5))),
    "tanh": (0.77, ()),
    "softplus": (0.25, ()),
    "celu": (1.0, ()),
    "hard_shrink": (0.0, ((-0.5, 1.0), (0.5, 1.0))),
    "hard_tanh": (0.0, ((-1.0, 1.0), (1.0, 1.0))),
    "log_sigmoid": (0.25, ()),
    "mish": (0.61, ()),
    "soft_shrink": (0.0, ((-0.5, 1.0), (0.5, 1.0))),
    "softsign": (2.0, ()),
    "sparse_plus": (0.5, ()),
    "sparse_sigmoid": (0.0, ((-1.0, 0.5), (1.0, 0.5))),
    "squareplus": (0.25, ()),
    "tanh_shrink": (0.77, ()),
}
"""The largest second derivative of each activation, and where its slope jumps, by how much."""

SLOPE_ROUNDINGS = 10.0
"""u · the steepest slope: what tests/kernels/test_mathematics.py allows a slope, and one product."""


def _through_activation(name: str, before: Array, error: Array, dy: Array, dy_error: Array) -> tuple[Array, Array]:
    """The gradient before the activation, and its error; `error` is that of `before`."""
    dz = np.asarray(activations.activation_gradient(name, before, dy))
    if name == "linear":
        return dz, dy_error
    if name == "softmax":
        y = activations.activation("softmax", before)
        off = y * np.minimum(np.expm1(2.0 * error.max(axis=-1, keepdims=True)) + (y.shape[-1] + 12.0) * U, 1.0)
        total = (y * np.abs(dy)).sum(axis=-1, keepdims=True)
        total_error = (off * np.abs(dy) + y * dy_error + (y.shape[-1] + 2.0) * U * y * np.abs(dy)).sum(
            axis=-1, keepdims=True
        )
        return dz, off * (np.abs(dy) + total) + y * (dy_error + total_error) + 4.0 * U * y * (np.abs(dy) + total)
    if name == "log_softmax":
        y, count = activations.activation("log_softmax", before), before.shape[-1]
        share = np.exp(y)
        off = share * np.minimum(np.expm1(bounds.softmax_error(before, y, error, True)) + 4.0 * U, 1.0)
        total, size = (np.abs(item.sum(axis=-1, keepdims=True)) for item in (dy, np.abs(dy)))
        total_error = dy_error.sum(axis=-1, keepdims=True) + (count + 2.0) * U * size
        return dz, dy_error + (share + off) * total_error + off * total + 4.0 * U * (np.abs(dy) + share * total)
    slope = np.abs(activations.activation_gradient(name, before, np.ones_like(dy)))
    if name == "exponential":  # its slope is its result
        slope_error = slope * (np.expm1(np.minimum(error, 700.0)) + SLOPE_ROUNDINGS * U)
        return dz, slope * dy_error + slope_error * (np.abs(dy) + dy_error)
    bend, jumps = BENDS[name]
    slope_error = bend * error + SLOPE_ROUNDINGS * U * bounds.LIPSCHITZ[name]
    for place, size in jumps:
        slope_error = slope_error + np.where(np.abs(before - place) <= error + 4.0 * U * abs(place), size, 0.0)
    return dz, slope * dy_error + slope_error * (np.abs(dy) + dy_error)


def _normalisation(
    layer: Any, weights: network.Weights, x: Array, x_error: Array, dy: Array, dy_error: Array
) -> tuple[Array, dict[str, Array]]:
    """Errors of the gradient through batch statistics: (input, weights)."""
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    mean, variance = x.mean(axis=axes), x.var(axis=axes)
    inverse = 1.0 / np.sqrt(variance + layer.epsilon)
    distance = np.abs(x - mean)
    mean_error = x_error.mean(axis=axes) + (count + 2) * U * np.abs(x).mean(axis=axes)
    distance_error = x_error + mean_error + U * distance
    variance_error = (distance_error * (2.0 * distance + distance_error)).mean(axis=axes) + (count + 4) * U * variance
    inverse_error = inverse * (variance_error * inverse**2 / 2.0 + 4.0 * U)
    size = distance * inverse
    size_error = distance_error * inverse + distance * inverse_error + U * size
    dy_size = np.abs(dy)
    beta = dy_error.sum(axis=axes) + (count + 2) * U * dy_size.sum(axis=axes)
    products = dy_size * size
    product_error = dy_error * size + (dy_size + dy_error) * size_error
    gamma = product_error.sum(axis=axes) + (count + 4) * U * products.sum(axis=axes)
    inner = dy_size + dy_size.mean(axis=axes) + size * products.mean(axis=axes)
    inner_error = dy_error + beta / count + size_error * products.mean(axis=axes) + (size + size_error) * gamma / count
    scale = inverse * np.abs(np.asarray(weights.get("gamma", 1.0), dtype=np.float64))
    scale_error = scale * inverse_error / inverse + U * scale
    errors = {"beta": beta, "gamma": gamma}
    return (scale + scale_error) * (inner_error + 6.0 * U * inner) + scale_error * inner, errors


def _row_normalisation(
    layer: Any, weights: network.Weights, x: Array, x_error: Array, dy: Array, dy_error: Array
) -> tuple[Array, dict[str, Array]]:
    """Errors of the gradient through the statistics of each place: (input, weights)."""

    def mean(values: Array) -> Array:
        return np.asarray(values.mean(axis=-1, keepdims=True))

    def total(values: Array) -> Array:
        return np.asarray(values.reshape(-1, values.shape[-1]).sum(axis=0))

    channels, count = x.shape[-1], x.size // x.shape[-1]
    distance = np.abs(x - mean(x))
    inverse = 1.0 / np.sqrt(mean(distance**2) + layer.epsilon)
    size, size_error = distance * inverse, bounds.normalised_rows_error(x, x_error, layer.epsilon)
    distance_error = x_error + mean(x_error) + (channels + 3) * U * (np.abs(x) + mean(np.abs(x)))
    variance_error = mean(distance_error * (2.0 * distance + distance_error)) + (channels + 4) * U * mean(distance**2)
    inverse_error = inverse * (variance_error * inverse**2 / 2.0 + 4.0 * U)
    errors = {
        "beta": total(dy_error) + (count + 2) * U * total(np.abs(dy)),
        "gamma": total(dy_error * size + (np.abs(dy) + dy_error) * size_error)
        + (count + 4) * U * total(np.abs(dy) * size),
    }
    gamma = np.abs(np.asarray(weights.get("gamma", 1.0), dtype=np.float64))
    g, g_error = np.abs(dy) * gamma, dy_error * gamma + U * np.abs(dy) * gamma
    products = g * size
    product_error = g_error * size + (g + g_error) * size_error + (channels + 4) * U * products
    inner = g + mean(g) + size * mean(products)
    inner_error = g_error + mean(g_error) + (channels + 2) * U * mean(g)
    inner_error = inner_error + size_error * mean(products) + (size + size_error) * mean(product_error)
    return (inverse + inverse_error) * (inner_error + 6.0 * U * inner) + inverse_error * inner, errors


def _over_axes(
    layer: Any, weights: network.Weights, x: Array, x_error: Array, dy: Array, dy_error: Array
) -> tuple[Array, dict[str, Array]]:
    """The same over the layer's own axes: as rows of all that is normalised together."""
    axes = sorted(axis % x.ndim for axis in ((layer.axis,) if isinstance(layer.axis, int) else layer.axis))
    order = [*(axis for axis in range(x.ndim) if axis not in axes), *axes]
    moved = x.transpose(order).shape
    rows = (*moved[: x.ndim - len(axes)], -1)
    given = [np.asarray(values).transpose(order).reshape(rows) for values in (x, x_error, dy, dy_error)]
    flat = {name: np.asarray(value).ravel() for name, value in weights.items()}
    to_input, errors = _row_normalisation(layer, flat, *given)
    shape = moved[x.ndim - len(axes) :]
    return to_input.reshape(moved).transpose(np.argsort(order)), {k: v.reshape(shape) for k, v in errors.items()}


def _prelu(
    layer: Any, weights: network.Weights, x: Array, x_error: Array, dy: Array, dy_error: Array
) -> tuple[Array, dict[str, Array]]:
    """Errors of the gradient through a PReLU, whose slope jumps at 0: (input, weights)."""
    alpha = np.asarray(weights["alpha"], dtype=np.float64)
    slope = np.where(x > 0.0, 1.0, np.abs(alpha))
    slope_error = np.where((np.abs(x) <= x_error) & (x_error > 0.0), 1.0 + np.abs(alpha), 0.0) + U * slope
    to_input = slope * dy_error + slope_error * (np.abs(dy) + dy_error)
    below, below_error = np.maximum(-x, 0.0), np.where(x - x_error < 0.0, x_error, 0.0)
    depth = bounds.gradient_lengths(layer, x.shape[1:], x.shape[1:], x.shape[0])["alpha"] + 3
    parts = dy_error * below + (np.abs(dy) + dy_error) * below_error + depth * U * np.abs(dy) * below
    shared = tuple(axis + 1 for axis, length in enumerate(alpha.shape) if length == 1)
    return to_input, {"alpha": parts.sum(axis=0, keepdims=True).sum(axis=shared, keepdims=True)[0]}


def _near_ties(layer: Any, x: Array, x_error: Array, dy: Array) -> Array:
    """Where another cell of a window may be its largest in float32: |dy| at every cell that may be it, else 0."""
    if planar(layer) is not layer:
        raised = dy[:, np.newaxis] if dy.ndim == 3 else dy
        return _near_ties(planar(layer), x[:, np.newaxis], x_error, raised)[:, 0]
    if isinstance(layer, layers.GlobalMaxPooling2D):
        pooled = x.max(axis=(1, 2), keepdims=True)
        close = x >= pooled - 2.0 * x_error.max()
        alone = close.sum(axis=(1, 2), keepdims=True) == 1
        return np.where(close & ~alone, np.abs(dy).reshape(pooled.shape), 0.0)
    from depthwise.reference.windows import windows

    place = windows(x.shape[1:3], layer.pool_size, layer.strides or layer.pool_size, layer.padding)
    padded = place.pad(x, -np.inf)
    cells = list(place.cells())
    largest = np.max([padded[place.at(cell)] for cell in cells], axis=0)
    close = [padded[place.at(cell)] >= largest - 2.0 * x_error.max() for cell in cells]
    ambiguous = np.sum(close, axis=0) > 1
    found = np.zeros_like(padded)
    for cell, near in zip(cells, close):
        found[place.at(cell)] += np.where(near & ambiguous, np.abs(dy), 0.0)
    return place.crop(found)


def _node(
    layer: Any,
    weights: network.Weights,
    xs: Sequence[Array],
    x_errors: Sequence[Array],
    dy: Array,
    dy_error: Array,
    kept: Any,
) -> tuple[list[Array], dict[str, Array]]:
    """Errors of the gradients to the layer's inputs and weights."""
    if isinstance(layer, layers.BatchNormalization) and layer.trainable:
        to_input, to_weights = _normalisation(layer, weights, xs[0], x_errors[0], dy, dy_error)
        return [to_input], to_weights
    if isinstance(layer, (layers.LayerNormalization, layers.PReLU)):
        judge = _prelu if isinstance(layer, layers.PReLU) else _over_axes
        to_input, to_weights = judge(layer, weights, xs[0], x_errors[0], dy, dy_error)
        return [to_input], to_weights
    name = one_layer.activation_name(layer)
    owner = replace(layer, activation="linear") if hasattr(layer, "activation") else layer
    before = one_layer.pre_activation(layer, weights, xs, True, kept)
    before_error = bounds.layer_error(owner, weights, xs, x_errors, True, kept)
    dz, dz_error = _through_activation(name, before, before_error, dy, dy_error)
    absolute = {key: np.abs(np.asarray(value, dtype=np.float64)) for key, value in weights.items()}
    sizes = [np.abs(x) for x in xs]
    if isinstance(planar(layer), (layers.MaxPooling2D, layers.GlobalMaxPooling2D)):
        (routed,), _ = one_layer.gradients(layer, weights, xs, dz_error, True, kept)
        (whole,), _ = one_layer.gradients(layer, weights, xs, np.abs(dz), True, kept)
        return [np.abs(routed) + 9 * U * whole + _near_ties(layer, xs[0], x_errors[0], dz)], {}
    if isinstance(layer, layers.ReLU):
        raise NotImplementedError("compare the ReLU layer's gradient by itself")

    def through(values: Sequence[Array], gradient: Array) -> tuple[list[Array], dict[str, Array]]:
        return one_layer.gradients(owner, absolute, values, gradient, True, kept)

    lengths = bounds.gradient_lengths(owner, xs[0].shape[1:], dy.shape[1:], dy.shape[0])
    size_inputs, size_weights = through(sizes, np.abs(dz) + dz_error)
    from_gradient = through([x + error for x, error in zip(sizes, x_errors)], dz_error)
    from_input = through(list(x_errors), np.abs(dz))
    depth = lengths["input"] + 3
    inputs = [np.abs(a) + depth * U * np.abs(size) for a, size in zip(from_gradient[0], size_inputs)]
    if isinstance(
        layer, layers.Multiply
    ):  # each input is a factor of the other's gradient, and comes with its own error
        largest = through([x + error for x, error in zip(sizes, x_errors)], np.abs(dz) + dz_error)[0]
        exact = through(sizes, np.abs(dz))[0]
        inputs = [np.abs(a) - np.abs(b) + depth * U * np.abs(a) for a, b in zip(largest, exact)]
    found = {
        key: from_gradient[1][key]
        + (from_input[1][key] if key != "bias" else 0.0)
        + (lengths.get(key, 1) + 3) * U * size
        for key, size in size_weights.items()
    }
    return inputs, found


def gradient_errors(
    graph: Graph,
    weights: network.Weights,
    inputs: Sequence[npt.ArrayLike],
    output_gradient: Array | Mapping[str, Array],
    output_gradient_error: Array | Mapping[str, Array],
    dropout_masks: Mapping[str, npt.ArrayLike] | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """(gradients of the reference, the most that float32 may be off), by `node/weight`.

    Args:
        output_gradient, output_gradient_error: of the graph's one output, or of several by their names.
    """
    masks = dropout_masks or {}
    values = network.forward(graph, weights, inputs, True, masks)
    forward = bounds.network_errors(graph, weights, inputs, True, masks)
    (starts, start_errors) = (
        given if isinstance(given, Mapping) else {graph.outputs[0]: given}
        for given in (output_gradient, output_gradient_error)
    )
    expected, nodes = network.gradients_from(graph, weights, values, starts, True, masks)
    errors = {name: np.zeros_like(value) for name, value in values.items()}
    for name, error in start_errors.items():
        errors[name] = errors[name] + error + 2.0 * U * np.abs(nodes[name])
    found: dict[str, Array] = {}
    for node in reversed(graph.calls):
        if isinstance(node.layer, InputLayer):
            continue
        own = network.weights_of(node, weights)
        xs = [values[name] for name in node.reads]
        to_inputs, to_weights = _node(
            node.layer,
            own,
            xs,
            [forward[name] for name in node.reads],
            nodes[node.name],
            errors[node.name],
            masks.get(node.name),
        )
        for name, error in zip(node.reads, to_inputs):
            errors[name] = errors[name] + error + 2.0 * U * np.abs(nodes[name])
        for name in one_layer.trainable_weights(node.layer, node.facts.input_shapes):
            key = node.key(name)  # a layer that is called several times has one gradient
            found[key] = found.get(key, 0.0) + to_weights[name] + bounds.SMALLEST_NORMAL
    return expected, found

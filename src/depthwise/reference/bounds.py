"""How far a float32 computation may be from the reference: computed, never chosen.

u = 2⁻²⁴ is float32's unit roundoff. A sum of n products in any order, multiplied and added in float32, is within
(n + 2)·u·S + u·|y| of the exact one, S = Σ|a||b|. What comes in with an error leaves with it times the operation's own
slope; `network_errors` carries that through a graph (Higham, *Accuracy and Stability of Numerical Algorithms*, ch. 3).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.layers.activation import Activation, ReLU
from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.layers.convolution_transpose import Conv2DTranspose
from depthwise.layers.dense import Dense
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer
from depthwise.layers.layer_normalization import LayerNormalization
from depthwise.layers.normalization import BatchNormalization
from depthwise.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from depthwise.layers.prelu import PReLU
from depthwise.layers.preprocessing import Rescaling
from depthwise.layers.regularization import Dropout
from depthwise.layers.shaping import Flatten, ZeroPadding2D
from depthwise.network.graph import Graph
from depthwise.reference import forward as operations
from depthwise.reference import layer as one_layer
from depthwise.reference import network
from depthwise.reference.activations import OF_ROWS, activation, activation_gradient
from depthwise.reference.channels import moved_axis, moved_back, moved_shapes, moved_to_end, with_channels_last
from depthwise.reference.planar import planar
from depthwise.reference.rounding import (
    ACTIVATION_ROUNDINGS,
    LIPSCHITZ,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    normalised_rows_error,
    passed_on,
    softmax_error,
)
from depthwise.reference.running import Bounded
from depthwise.reference.windows import Array

__all__ = [
    "ACTIVATION_ROUNDINGS",
    "LIPSCHITZ",
    "SMALLEST_NORMAL",
    "UNIT_ROUNDOFF",
    "allowed_error",
    "gradient_lengths",
    "gradient_magnitudes",
    "layer_error",
    "magnitude",
    "network_deviations",
    "network_errors",
    "normalised_rows_error",
    "reduction_length",
    "softmax_error",
]


def reduction_length(layer: Description, input_shape: Sequence[int]) -> int:
    """How many products (or values) one output value of the layer adds up; bias apart. 1 for layers that add nothing.

    For a separable layer, of both stages together: the roundings of the first pass through the second.
    """
    axis = moved_axis(layer, len(input_shape) + 1)
    if axis is not None:
        (input_shape,) = moved_shapes([tuple(input_shape)], axis)
    owner: Any = planar(layer)
    length = 1
    match planar(layer):
        case Conv2D():
            length = math.prod(owner.kernel_size) * (input_shape[-1] // owner.groups)
        case DepthwiseConv2D():
            length = math.prod(owner.kernel_size)
        case SeparableConv2D():
            length = math.prod(owner.kernel_size) + input_shape[-1] * owner.depth_multiplier
        case Conv2DTranspose():
            cells = [-(-cells // stride) for cells, stride in zip(owner.kernel_size, owner.strides)]
            length = math.prod(cells) * input_shape[-1]
        case Dense():
            length = input_shape[-1]
        case AveragePooling2D():
            length = math.prod(owner.pool_size)
        case GlobalAveragePooling2D():
            length = math.prod(input_shape[:-1])
        case BatchNormalization():
            length = 6  # variance + epsilon, root, quotient, times gamma, times x, mean times it
        case LayerNormalization():
            length = input_shape[-1] + 8  # the sum of a mean; then as above
    return length


def magnitude(layer: Description, weights: network.Weights, inputs: Sequence[npt.ArrayLike]) -> Array:
    """S = Σ|a||b| of every value before the activation, bias in it; |y| for layers that add nothing.

    BatchNormalization is taken in its prediction form: |x·s| + |mean·s| + |beta|.
    """
    axis = moved_axis(layer, np.ndim(inputs[0]))
    if axis is not None:
        moved = moved_to_end(inputs, axis)
        return moved_back(magnitude(with_channels_last(layer), weights, moved), axis, moved[0].ndim)
    sizes = [np.abs(operations.float64(x)) for x in inputs]
    if isinstance(layer, BatchNormalization):
        scale = 1.0 / np.sqrt(operations.float64(weights["moving_variance"]) + layer.epsilon)
        scale = scale * np.abs(operations.float64(weights.get("gamma", 1.0)))
        centre = np.abs(operations.float64(weights["moving_mean"])) * scale
        return np.asarray(sizes[0] * scale + centre + np.abs(operations.float64(weights.get("beta", 0.0))))
    if isinstance(layer, LayerNormalization):
        x = operations.float64(inputs[0])
        scale = np.abs(operations.float64(weights.get("gamma", 1.0)))
        scale = scale / np.sqrt(x.var(axis=-1, keepdims=True) + layer.epsilon)
        centre = sizes[0].mean(axis=-1, keepdims=True)
        return np.asarray((sizes[0] + centre) * scale + np.abs(operations.float64(weights.get("beta", 0.0))))
    if isinstance(layer, Rescaling):
        return np.asarray(sizes[0] * np.abs(layer.scale) + np.abs(layer.offset))
    if isinstance(planar(layer), (MaxPooling2D, GlobalMaxPooling2D, ReLU, PReLU)):
        return np.abs(one_layer.pre_activation(layer, weights, inputs))
    absolute = {name: np.abs(operations.float64(weight)) for name, weight in weights.items()}
    return one_layer.pre_activation(layer, absolute, sizes)


def allowed_error(
    expected: npt.ArrayLike, magnitudes: npt.ArrayLike, depth: int, activation_name: str = "linear"
) -> Array:
    """The design's hard gate: (depth + 2)·u·S + u·|y| for each value; after an activation, its steepest slope times
    the first term, and 2 ulp for the function itself.

    Args:
        expected: y, the reference's result.
        magnitudes: S, see `magnitude`.
        depth: how many roundings lie on the longest way through the sum: `reduction_length`, or less for a tree.
    """
    roundings = 1.0 if activation_name in ("linear", "relu", "relu6") else ACTIVATION_ROUNDINGS
    steepest = np.abs(expected) if activation_name == "exponential" else LIPSCHITZ[activation_name]
    sums = (depth + 2) * (UNIT_ROUNDOFF * operations.float64(magnitudes) + SMALLEST_NORMAL)
    return np.asarray(steepest * sums + roundings * UNIT_ROUNDOFF * np.abs(expected) + SMALLEST_NORMAL)


def _incoming(
    layer: Description, weights: network.Weights, inputs: Sequence[Array], errors: Sequence[Array], kept: Any
) -> Array:
    """What errors of the inputs become, before the activation."""
    match layer:
        case ReLU():
            grown = max(1.0, layer.negative_slope) * errors[0]
            jumps = (layer.threshold > 0.0) & (np.abs(inputs[0] - layer.threshold) <= errors[0])
            return np.asarray(grown + np.where(jumps, layer.threshold, 0.0))
        case PReLU():
            return np.asarray(np.maximum(1.0, np.abs(operations.float64(weights["alpha"]))) * errors[0])
        case Rescaling():
            return np.asarray(np.abs(layer.scale) * errors[0])
        case BatchNormalization():
            scale = 1.0 / np.sqrt(operations.float64(weights["moving_variance"]) + layer.epsilon)
            return np.asarray(errors[0] * scale * np.abs(operations.float64(weights.get("gamma", 1.0))))
        case Dropout():
            return one_layer.pre_activation(layer, {}, errors, kept is not None, kept)
    # The others are linear in, or for max pooling at most as large as, the errors; a bias has none.
    absolute = {name: np.abs(operations.float64(weight)) for name, weight in weights.items() if name != "bias"}
    return one_layer.pre_activation(layer, absolute, errors)


def _batch_normalization_training_error(
    layer: BatchNormalization, weights: network.Weights, x: Array, error: Array
) -> Array:
    """Mean, then the mean square distance from it (two passes), each summed in any order."""
    count = x.size // x.shape[-1]
    axes = tuple(range(x.ndim - 1))
    u = UNIT_ROUNDOFF
    mean, variance = operations.batch_statistics(x)
    mean_error = error.mean(axis=axes) + (count + 2) * u * np.abs(x).mean(axis=axes)
    distance = np.abs(x - mean)
    distance_error = error + mean_error + u * distance
    variance_error = (distance_error * (2.0 * distance + distance_error)).mean(axis=axes) + (count + 4) * u * variance
    scale = np.abs(operations.float64(weights.get("gamma", 1.0))) / np.sqrt(variance + layer.epsilon)
    share = variance_error / (variance + layer.epsilon)  # of the root it is half, to first order
    size = (np.abs(x) + np.abs(mean)) * scale + np.abs(operations.float64(weights.get("beta", 0.0)))
    return np.asarray(scale * (distance_error + distance * share) + 10.0 * u * size)


def layer_error(
    layer: Description,
    weights: network.Weights,
    inputs: Sequence[npt.ArrayLike],
    input_errors: Sequence[npt.ArrayLike] | None = None,
    training: bool = False,
    kept: npt.ArrayLike | None = None,
) -> Array:
    """The most that float32 may be off in each value of the layer's result, summing in any order.

    Args:
        input_errors: how far the inputs may be off already; 0 where None. The others as in `layer.forward`.
    """
    xs = [operations.float64(x) for x in inputs]
    errors = [np.zeros_like(x) for x in xs] if input_errors is None else [operations.float64(e) for e in input_errors]
    axis = moved_axis(layer, xs[0].ndim)
    if axis is not None:
        last, name = with_channels_last(layer, linear=True), one_layer.activation_name(layer)
        moved = layer_error(last, weights, moved_to_end(xs, axis), moved_to_end(errors, axis), training, kept)
        sums = moved_back(moved, axis, xs[0].ndim)
        if name == "linear":
            return sums
        return _activated_error(layer, name, one_layer.pre_activation(layer, weights, xs, training, kept), sums)
    if one_layer.has_rule(layer):
        return one_layer.bounded(layer, weights, [Bounded(*pair) for pair in zip(xs, errors)], training, kept).error
    name = one_layer.activation_name(layer)
    before = one_layer.pre_activation(layer, weights, xs, training, kept)
    if isinstance(layer, BatchNormalization) and training and layer.trainable:
        return _batch_normalization_training_error(layer, weights, xs[0], errors[0])
    if isinstance(layer, LayerNormalization):
        gamma = np.abs(operations.float64(weights.get("gamma", 1.0)))
        brought = gamma * normalised_rows_error(xs[0], errors[0], layer.epsilon)
        beta = np.abs(operations.float64(weights.get("beta", 0.0)))
        return np.asarray(brought + UNIT_ROUNDOFF * (2.0 * (np.abs(before) + beta) + brought) + SMALLEST_NORMAL)
    incoming = _incoming(layer, weights, xs, errors, kept if training else None)
    sizes = magnitude(layer, weights, [np.abs(x) + error for x, error in zip(xs, errors)])
    sums = incoming + _sum_roundings(layer, [x.shape for x in xs], training) * (UNIT_ROUNDOFF * sizes + SMALLEST_NORMAL)
    return _activated_error(layer, name, before, sums)


def _activated_error(layer: Description, name: str, before: Array, sums: Array) -> Array:
    """What errors of the values before the activation become, and its own."""
    y = activation(name, before)
    if name in OF_ROWS:
        return softmax_error(before, y, sums, name == "log_softmax")
    return np.asarray(passed_on(name, before, y, sums) + _result_roundings(layer, name) * UNIT_ROUNDOFF * np.abs(y))


def _sum_roundings(layer: Description, input_shapes: Sequence[tuple[int, ...]], training: bool) -> int:
    """Roundings on the longest way through the layer's sum; 0 for layers that only move or choose values."""
    match planar(layer):
        case Dropout():
            return 2 if training else 0
        case (
            MaxPooling2D()
            | GlobalMaxPooling2D()
            | Flatten()
            | ZeroPadding2D()
            | Activation()
            | ReLU()
            | PReLU()
            | InputLayer()
        ):
            return 0
    return reduction_length(layer, input_shapes[0][1:]) + 2


def _result_roundings(layer: Description, activation_name: str) -> float:
    """How many u·|y| the result itself may be off."""
    if activation_name not in ("linear", "relu", "relu6"):
        return ACTIVATION_ROUNDINGS
    if isinstance(layer, (ReLU, PReLU)):
        return 3.0  # its slope rounded to float32, and the product
    return 1.0 if _sum_roundings(layer, [(1, 1), (1, 1)], True) else 0.0


def gradient_magnitudes(
    layer: Description,
    weights: network.Weights,
    inputs: Sequence[npt.ArrayLike],
    output_gradient: npt.ArrayLike,
    training: bool = True,
    kept: npt.ArrayLike | None = None,
) -> tuple[list[Array], dict[str, Array]]:
    """S = Σ|a||b| of every value of `layer.gradients`: (inputs, weights).

    The gradient to the values before the activation is taken as given, so the activation adds nothing. Not for
    BatchNormalization in training or LayerNormalization, whose gradients are not sums of products of their arrays.
    """
    if isinstance(layer, (BatchNormalization, LayerNormalization)):
        raise TypeError(
            f"the gradient of {type(layer).__name__} has no condition sum; compare it with its own reference"
        )
    before = one_layer.pre_activation(layer, weights, inputs, training, kept)
    dy = np.abs(activation_gradient(one_layer.activation_name(layer), before, output_gradient))
    choose = (MaxPooling2D, GlobalMaxPooling2D, ReLU, PReLU, Rescaling)
    if isinstance(planar(layer), choose):
        sizes, found = one_layer.gradients(layer, weights, inputs, dy, training, kept)
        return [np.abs(size) for size in sizes], {name: np.abs(size) for name, size in found.items()}
    absolute = {name: np.abs(operations.float64(weight)) for name, weight in weights.items()}
    owner: Any = layer
    linear = replace(owner, activation="linear") if hasattr(layer, "activation") else layer
    return one_layer.gradients(linear, absolute, [np.abs(x) for x in inputs], dy, training, kept)


def gradient_lengths(
    layer: Description, input_shape: Sequence[int], output_shape: Sequence[int], batch: int
) -> dict[str, int]:
    """How many products one value of each gradient adds up: by weight name, and `input` for the gradient to the input.

    Shapes are those of one sample. Layers without weights add up the windows that read a cell.
    """
    owner: Any = planar(layer)
    positions = batch * math.prod(output_shape[:-1])
    match planar(layer):
        case Conv2D():
            to_input = math.prod(owner.kernel_size) * (owner.filters // owner.groups)
            return {"input": to_input, "kernel": positions, "bias": positions}
        case DepthwiseConv2D():
            to_input = math.prod(owner.kernel_size) * owner.depth_multiplier
            return {"input": to_input, "kernel": positions, "bias": positions}
        case SeparableConv2D():
            cells = math.prod(owner.kernel_size)
            return {
                "input": owner.filters + cells * owner.depth_multiplier,
                "depthwise_kernel": owner.filters + positions,
                "pointwise_kernel": cells + positions,
                "bias": positions,
            }
        case Conv2DTranspose():
            to_input = math.prod(owner.kernel_size) * owner.filters
            return {"input": to_input, "kernel": batch * math.prod(input_shape[:-1]), "bias": positions}
        case Dense():
            return {"input": owner.units, "kernel": positions, "bias": positions}
        case MaxPooling2D() | AveragePooling2D():
            return {"input": math.prod(owner.pool_size)}
        case PReLU():
            shared = [size for axis, size in enumerate(output_shape) if axis + 1 in (owner.shared_axes or ())]
            return {"input": 1, "alpha": batch * math.prod(shared)}
    return {"input": 1}


def network_errors(
    graph: Graph,
    weights: network.Weights,
    inputs: Sequence[npt.ArrayLike],
    training: bool = False,
    dropout_masks: Mapping[str, npt.ArrayLike] | None = None,
) -> dict[str, Array]:
    """The most that a float32 run of the graph may be off in each value of each node; arguments as `network.forward`.

    A worst case, in which every rounding adds up: with each layer it grows by Σ|w|, so for deep networks it is far above
    any real run. `network_deviations` is the gate for those.
    """
    values = network.forward(graph, weights, inputs, training, dropout_masks)
    errors: dict[str, Array] = {}
    for node in graph.calls:
        if isinstance(node.layer, InputLayer):
            errors[node.name] = np.zeros_like(values[node.name])
            continue
        errors[node.name] = layer_error(
            node.layer,
            network.weights_of(node, weights),
            [values[name] for name in node.reads],
            [errors[name] for name in node.reads],
            training,
            (dropout_masks or {}).get(node.name),
        )
    return errors


def network_deviations(
    graph: Graph,
    weights: network.Weights,
    inputs: Sequence[npt.ArrayLike],
    training: bool = False,
    dropout_masks: Mapping[str, npt.ArrayLike] | None = None,
) -> dict[str, Array]:
    """Standard deviation of a float32 run's error in each value of each node, were all roundings independent.

    Variances add up where worst cases add up in `network_errors`: through the squares of the weights and slopes (Higham and
    Mary 2019, "A new approach to probabilistic rounding error analysis"). Each layer's own part is taken as
    √n·u·S + 2·roundings·u·|y| as one deviation, which is above the u/√3 of a single rounding. Gate end to end at 8 of these.
    """
    values = network.forward(graph, weights, inputs, training, dropout_masks)
    variances: dict[str, Array] = {}
    for node in graph.calls:
        if isinstance(node.layer, InputLayer):
            variances[node.name] = np.zeros_like(values[node.name])
            continue
        own = network.weights_of(node, weights)
        xs = [values[name] for name in node.reads]
        kept = (dropout_masks or {}).get(node.name)
        if one_layer.has_rule(node.layer):
            before_all = [np.sqrt(variances[item]) for item in node.reads]
            variances[node.name] = layer_error(node.layer, own, xs, before_all, training, kept) ** 2
            continue
        if isinstance(node.layer, BatchNormalization) and training and node.layer.trainable:
            mean, variance = operations.batch_statistics(xs[0])
            own = {**own, "moving_mean": mean, "moving_variance": variance}
        depth = _sum_roundings(node.layer, [x.shape for x in xs], training)
        name = one_layer.activation_name(node.layer)
        local = np.sqrt(depth) * UNIT_ROUNDOFF * magnitude(node.layer, own, xs)
        brought = _incoming_variance(node.layer, own, xs, [variances[item] for item in node.reads], kept, training)
        before = brought + local**2
        y = values[node.name]
        if name in OF_ROWS:
            slope = 2.0 * y if name == "softmax" else np.asarray(LIPSCHITZ[name])
            before = before.max(axis=-1, keepdims=True)
        else:
            slope = np.abs(y) if name == "exponential" else np.asarray(LIPSCHITZ[name])
        rounding = 2.0 * _result_roundings(node.layer, name) * UNIT_ROUNDOFF * np.abs(y)
        variances[node.name] = slope**2 * before + rounding**2
    return {name: np.sqrt(variance) for name, variance in variances.items()}


def _incoming_variance(
    layer: Description,
    weights: network.Weights,
    inputs: Sequence[Array],
    variances: Sequence[Array],
    kept: Any,
    training: bool,
) -> Array:
    """Variances of the inputs' errors, brought through the layer: by the squares of what multiplies them."""
    axis = moved_axis(layer, inputs[0].ndim)
    if axis is not None:
        moved = (moved_to_end(inputs, axis), moved_to_end(variances, axis))
        last = _incoming_variance(with_channels_last(layer), weights, *moved, kept, training)
        return moved_back(last, axis, inputs[0].ndim)
    match layer:
        case LayerNormalization():
            scale = np.abs(operations.float64(weights.get("gamma", 1.0)))
            scale = scale / np.sqrt(inputs[0].var(axis=-1, keepdims=True) + layer.epsilon)
            # The slope to each value of the row is at most scale · (1 + (1 + z²) / n) for itself, 2 more by the others.
            return np.asarray(scale**2 * 4.0 * (variances[0] + variances[0].mean(axis=-1, keepdims=True)))
        case ReLU() | PReLU() | Rescaling() | BatchNormalization():
            return _incoming(layer, weights, inputs, [np.sqrt(variance) for variance in variances], None) ** 2
        case Dropout():
            return variances[0] / max(1.0 - layer.rate, 1e-3) ** 2 if training else variances[0]
    squares = {name: operations.float64(weight) ** 2 for name, weight in weights.items() if name != "bias"}
    return one_layer.pre_activation(layer, squares, variances, training, kept)

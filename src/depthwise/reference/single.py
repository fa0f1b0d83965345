"""Layers of one input: rectifiers with a setting, softmax along any axes, normalisation of a sample, other shapes."""

import math
from typing import Any

import numpy as np

from depthwise.layers import (
    adapted,
    layer_normalization,
    layer_scale,
    rectifiers,
    regularization,
    reshaping,
    sample_normalization,
    shaping,
    softmax,
)
from depthwise.layers.description import Description
from depthwise.reference.joining import unit, unit_gradient
from depthwise.reference.rounding import softmax_error
from depthwise.reference.rules import Given, Rule, moves
from depthwise.reference.running import Bounded, apply, constant, exact, mean, moved
from depthwise.reference.windows import Array

__all__ = ["RULES"]

Gradients = tuple[list[Array], dict[str, Array]]


def _piecewise(forward: Any, slope: Any) -> Rule:
    return Rule(
        lambda given: forward(given.layer, given.inputs[0]),
        lambda given, dy: ([dy * slope(given.layer, given.arrays[0])], {}),
    )


def _leaky(layer: Any, x: Bounded) -> Bounded:
    return apply("where_oge", x, 0.0, x, x * layer.negative_slope)


def _elu(layer: Any, x: Bounded) -> Bounded:
    return apply("where_ogt", x, 0.0, x, apply("expm1_negative", apply("min", 0.0, x), layer.alpha))


def _axes(layer: Any, x: Array) -> tuple[int, ...]:
    given = (layer.axis,) if isinstance(layer.axis, int) else layer.axis
    return tuple(axis % x.ndim for axis in given)


def _softmax_of(x: Array, axes: tuple[int, ...]) -> Array:
    powers = np.exp(x - x.max(axis=axes, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axes, keepdims=True))


def _softmax(given: Given) -> Bounded:
    (x,) = given.inputs
    axes = _axes(given.layer, x.value)
    y = _softmax_of(x.value, axes)

    def as_rows(values: Array) -> Array:
        rest = tuple(axis for axis in range(values.ndim) if axis not in axes)
        return values.transpose(*rest, *axes).reshape(*(values.shape[axis] for axis in rest), -1)

    error = softmax_error(as_rows(x.value), as_rows(y), as_rows(x.error))
    numbers = as_rows(np.arange(y.size, dtype=np.float64).reshape(y.shape)).astype(np.int64)
    back = np.empty(y.size)
    back[numbers.ravel()] = error.ravel()
    return Bounded(y, back.reshape(y.shape))


def _softmax_gradients(given: Given, dy: Array) -> Gradients:
    (x,) = given.arrays
    axes = _axes(given.layer, x)
    y = _softmax_of(x, axes)
    return [y * (dy - (y * dy).sum(axis=axes, keepdims=True))], {}


def _unit(given: Given) -> Bounded:
    return unit(given.inputs[0], _axes(given.layer, given.arrays[0]), 1e-24)


def _unit_gradients(given: Given, dy: Array) -> Gradients:
    (x,) = given.arrays
    return [unit_gradient(x, dy, _axes(given.layer, x), 1e-24)], {}


def _rms_size(given: Given) -> Bounded:
    """√(mean of x² + epsilon)."""
    x = given.inputs[0]
    return apply("sqrt", mean(x * x, _axes(given.layer, x.value)) + given.layer.epsilon)


def _rms_gradients(given: Given, dy: Array) -> Gradients:
    (x,) = given.arrays
    axes, size, scale = _axes(given.layer, x), _rms_size(given).value, given.weights["scale"].value
    y, g = x / size, dy * scale
    rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
    return [(g - y * (g * y).mean(axis=axes, keepdims=True)) / size], {"scale": (dy * y).sum(axis=rest)}


def _rms_weights(layer: Any, shapes: Any) -> dict[str, tuple[int, ...]]:
    axes = (layer.axis,) if isinstance(layer.axis, int) else layer.axis
    return {"scale": tuple((None, *shapes[0])[axis] for axis in axes)}


def _grouped(layer: Any, x: Array) -> Array:
    """(batch, places, groups, channels of a group)."""
    groups = x.shape[-1] if layer.groups == -1 else layer.groups
    return x.reshape(len(x), -1, groups, x.shape[-1] // groups)


def _group_parts(given: Given) -> tuple[Bounded, Bounded]:
    """(x − mean, √(variance + epsilon)) of each group."""
    x = moved(lambda values: _grouped(given.layer, values), given.inputs[0])
    centred = x - mean(x, (1, 3))
    return centred, apply("sqrt", mean(centred * centred, (1, 3)) + given.layer.epsilon)


def _group(given: Given) -> Bounded:
    shape = given.arrays[0].shape
    centred, deviation = _group_parts(given)
    y = moved(lambda values: values.reshape(shape), centred / deviation)
    y = y * given.weights["gamma"] if "gamma" in given.weights else y
    return y + given.weights["beta"] if "beta" in given.weights else y


def _group_gradients(given: Given, dy: Array) -> Gradients:
    x = given.arrays[0]
    centred, deviation = (item.value for item in _group_parts(given))
    z = centred / deviation
    g = _grouped(given.layer, dy * given.weights["gamma"].value if "gamma" in given.weights else dy)
    dx = (g - g.mean(axis=(1, 3), keepdims=True) - z * (g * z).mean(axis=(1, 3), keepdims=True)) / deviation
    places = tuple(range(x.ndim - 1))
    found = {"gamma": (dy * z.reshape(x.shape)).sum(axis=places), "beta": dy.sum(axis=places)}
    return [dx.reshape(x.shape)], {name: value for name, value in found.items() if name in given.weights}


def _group_weights(layer: Any, shapes: Any) -> dict[str, tuple[int, ...]]:
    names = ("gamma", layer.scale), ("beta", layer.center)
    return {name: ((None, *shapes[0])[layer.axis],) for name, is_there in names if is_there}


def _axes_parts(given: Given) -> tuple[Bounded, Bounded]:
    """(x − mean, √(variance + epsilon)) over the axes of a LayerNormalization that has several."""
    x, axes = given.inputs[0], _axes(given.layer, given.arrays[0])
    centred = x - mean(x, axes)
    return centred, apply("sqrt", mean(centred * centred, axes) + given.layer.epsilon)


def _along_axes(given: Given, weight: Any) -> Any:
    """A weight in the shape that is broadcast to the input's."""
    x = given.arrays[0]
    axes = _axes(given.layer, x)
    return weight.reshape([size if axis in axes else 1 for axis, size in enumerate(x.shape)])


def _over_axes(given: Given) -> Bounded:
    centred, deviation = _axes_parts(given)
    y = centred / deviation
    weights = {name: moved(lambda values: _along_axes(given, values), value) for name, value in given.weights.items()}
    y = y * weights["gamma"] if "gamma" in weights else y
    return y + weights["beta"] if "beta" in weights else y


def _over_axes_gradients(given: Given, dy: Array) -> Gradients:
    x = given.arrays[0]
    axes = _axes(given.layer, x)
    centred, deviation = (item.value for item in _axes_parts(given))
    z = centred / deviation
    g = dy * _along_axes(given, given.weights["gamma"].value) if "gamma" in given.weights else dy
    dx = (g - g.mean(axis=axes, keepdims=True) - z * (g * z).mean(axis=axes, keepdims=True)) / deviation
    rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
    found = {"gamma": (dy * z).sum(axis=rest), "beta": dy.sum(axis=rest)}
    return [dx], {name: value for name, value in found.items() if name in given.weights}


def _over_axes_weights(layer: Any, shapes: Any) -> dict[str, tuple[int, ...]]:
    names = ("gamma", layer.scale), ("beta", layer.center)
    shape = tuple((None, *shapes[0])[axis] for axis in layer.axis)
    return {name: shape for name, is_there in names if is_there}


def _data_statistics(given: Given) -> tuple[Bounded, Bounded]:
    """(mean, standard deviation of at least 10⁻⁷)."""
    layer = given.layer
    mean, variance = (
        given.weights[name] if getattr(layer, name) is None else constant(getattr(layer, name))
        for name in ("mean", "variance")
    )
    return mean, apply("max", apply("sqrt", variance), exact(1e-7))


def _by_data(given: Given) -> Bounded:
    centre, deviation = _data_statistics(given)
    x = given.inputs[0]
    return x * deviation + centre if given.layer.invert else (x - centre) / deviation


def _by_data_gradients(given: Given, dy: Array) -> Gradients:
    deviation = _data_statistics(given)[1].value
    return [np.asarray(dy * deviation if given.layer.invert else dy / deviation)], {}


def _by_data_weights(layer: Any, shapes: Any) -> dict[str, tuple[int, ...]]:
    if layer.mean is not None:
        return {}
    kept = () if layer.axis is None else (shapes[0][-1],)
    return {"mean": kept, "variance": kept, "count": ()}


def _scaled_gradients(given: Given, dy: Array) -> Gradients:
    (x,) = given.arrays
    return [dy * given.weights["gamma"].value], {"gamma": (x * dy).sum(axis=tuple(range(x.ndim - 1)))}


def _target(layer: Any, x: Array) -> tuple[int, ...]:
    return (len(x), *layer.target_shape)


def _crop(layer: Any, x: Array) -> Array:
    sides = layer.cropping if isinstance(layer.cropping[0], tuple) else (layer.cropping,)
    return x[(slice(None), *(slice(before, size - after) for (before, after), size in zip(sides, x.shape[1:])))]


def _noise(change: Any, slope: Any) -> Rule:
    """In training what `change` makes of the input and of what was drawn; `slope` is its slope to the input."""

    def forward(given: Given) -> Bounded:
        x = given.inputs[0]
        return x if given.kept is None else change(given.layer, x, exact(given.kept))

    def gradients(given: Given, dy: Array) -> Gradients:
        return [dy if given.kept is None else dy * slope(given.layer, np.asarray(given.kept, np.float64))], {}

    return Rule(forward, gradients)


_DROPOUT = _noise(lambda layer, x, kept: x * kept / (1.0 - layer.rate), lambda layer, kept: kept / (1.0 - layer.rate))


def _deviation(layer: Any) -> float:
    return math.sqrt(layer.rate / (1.0 - layer.rate))


def _alpha(layer: Any) -> tuple[float, float, float]:
    """(a, b, what a dropped value becomes): Klambauer et al. 2017."""
    dropped = -1.7580993408473766
    a = ((1.0 - layer.rate) * (1.0 + layer.rate * dropped**2)) ** -0.5
    return a, -a * dropped * layer.rate, dropped


def _alpha_dropout(layer: Any, x: Bounded, kept: Bounded) -> Bounded:
    a, b, dropped = _alpha(layer)
    return (x * kept + (1.0 - kept) * dropped) * a + b


RULES: dict[type[Description], Rule] = {
    rectifiers.LeakyReLU: _piecewise(_leaky, lambda layer, x: np.where(x >= 0.0, 1.0, layer.negative_slope)),
    rectifiers.ELU: _piecewise(_elu, lambda layer, x: np.where(x > 0.0, 1.0, layer.alpha * np.exp(np.minimum(x, 0.0)))),
    rectifiers.ThresholdedReLU: _piecewise(
        lambda layer, x: apply("where_ogt", x, layer.theta, x, 0.0),
        lambda layer, x: np.where(x > layer.theta, 1.0, 0.0),
    ),
    softmax.Softmax: Rule(_softmax, _softmax_gradients),
    sample_normalization.UnitNormalization: Rule(_unit, _unit_gradients),
    sample_normalization.RMSNormalization: Rule(
        lambda given: given.inputs[0] / _rms_size(given) * given.weights["scale"], _rms_gradients, _rms_weights
    ),
    sample_normalization.GroupNormalization: Rule(_group, _group_gradients, _group_weights),
    layer_normalization.LayerNormalization: Rule(_over_axes, _over_axes_gradients, _over_axes_weights),
    adapted.Normalization: Rule(_by_data, _by_data_gradients, _by_data_weights),
    layer_scale.LayerScale: Rule(
        lambda given: given.inputs[0] * given.weights["gamma"],
        _scaled_gradients,
        lambda layer, shapes: {"gamma": (shapes[0][-1],)},
    ),
    reshaping.Identity: moves(lambda layer, x: x),
    regularization.ActivityRegularization: moves(lambda layer, x: x),
    reshaping.Reshape: moves(lambda layer, x: x.reshape(_target(layer, x))),
    reshaping.Permute: moves(lambda layer, x: x.transpose(0, *layer.dims)),
    reshaping.RepeatVector: moves(lambda layer, x: np.repeat(x[:, np.newaxis], layer.n, axis=1)),
    regularization.SpatialDropout1D: _DROPOUT,
    regularization.SpatialDropout2D: _DROPOUT,
    regularization.GaussianNoise: _noise(lambda layer, x, drawn: x + drawn * layer.stddev, lambda layer, drawn: 1.0),
    regularization.GaussianDropout: _noise(
        lambda layer, x, drawn: x * (drawn * _deviation(layer) + 1.0),
        lambda layer, drawn: drawn * _deviation(layer) + 1.0,
    ),
    regularization.AlphaDropout: _noise(_alpha_dropout, lambda layer, kept: kept * _alpha(layer)[0]),
    shaping.ZeroPadding1D: moves(lambda layer, x: np.pad(x, ((0, 0), layer.padding, (0, 0)))),
    shaping.Cropping1D: moves(_crop),
    shaping.Cropping2D: moves(_crop),
}

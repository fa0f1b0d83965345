"""Keras' activations in float64, each with its slope (for those of `OF_ROWS`, which mix values: with its gradient).

At a kink, where no slope exists, it is the one that Keras takes under JAX: 0 for relu at 0 and for relu6 at 0 and 6, 1 for
leaky_relu at 0.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from depthwise.reference.forward import float64
from depthwise.reference.windows import Array

__all__ = [
    "LEAKY_RELU_SLOPE",
    "OF_ROWS",
    "SELU_ALPHA",
    "SELU_SCALE",
    "activation",
    "activation_gradient",
    "relu",
    "relu_slope",
]

OF_ROWS = ("softmax", "log_softmax")
"""Activations that mix the values of the last axis."""


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
"""Klambauer et al. 2017, arXiv:1706.02515, to the digits that Keras uses."""

LEAKY_RELU_SLOPE = 0.2
"""Keras' default where leaky_relu is named as a layer's activation."""

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def relu(
    x: npt.ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """Keras' `ReLU` layer: x above the threshold, at most max_value; else negative_slope · (x − threshold)."""
    x = float64(x)
    above = np.maximum(x, 0.0) if threshold == 0.0 else np.where(x > threshold, x, 0.0)
    if max_value is not None:
        above = np.minimum(above, max_value)
    return above - negative_slope * np.maximum(threshold - x, 0.0) if negative_slope else above


def relu_slope(
    x: npt.ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """Slope of `relu`. At the threshold 0, but 1 where the function is a plain leaky one, as Keras' is."""
    x = float64(x)
    leaky = negative_slope != 0.0 and max_value is None and threshold == 0.0
    rising = (x >= 0.0) if leaky else (x > threshold)
    if max_value is not None:
        rising &= x < max_value
    return np.where(rising, 1.0, np.where(x < threshold, negative_slope, 0.0))


def _sigmoid(x: Array) -> Array:
    # Both branches divide by at least 1, so no exponential overflows.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0 / (1.0 + small), small / (1.0 + small))


def _elu(x: Array) -> Array:
    return np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))


def _elu_slope(x: Array) -> Array:
    return np.where(x > 0.0, 1.0, np.exp(np.minimum(x, 0.0)))


def _selu(x: Array) -> Array:
    return SELU_SCALE * np.where(x > 0.0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0.0)))


def _selu_slope(x: Array) -> Array:
    return SELU_SCALE * np.where(x > 0.0, 1.0, SELU_ALPHA * np.exp(np.minimum(x, 0.0)))


def _normal_distribution(x: Array) -> Array:
    return np.asarray(0.5 * _erfc(-x / math.sqrt(2.0)))


def _gelu(x: Array) -> Array:
    return x * _normal_distribution(x)


def _gelu_slope(x: Array) -> Array:
    return _normal_distribution(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _silu_slope(x: Array) -> Array:
    share = _sigmoid(x)
    return share * (1.0 + x * (1.0 - share))


def _hard_sigmoid(x: Array) -> Array:
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


def _hard_sigmoid_slope(x: Array) -> Array:
    return np.where((x > -3.0) & (x < 3.0), 1.0 / 6.0, 0.0)


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _log_softmax(x: Array) -> Array:
    apart = x - x.max(axis=-1, keepdims=True)
    return np.asarray(apart - np.log(np.exp(apart).sum(axis=-1, keepdims=True)))


def _squareplus(x: Array) -> Array:
    half = 0.5 * (np.abs(x) + np.hypot(x, 2.0))
    return np.where(x < 0.0, 1.0 / half, half)


def _times(x: Array, share: Array) -> Array:
    """x · share with ∞ · 0 = 0, the limit."""
    return np.where(share == 0.0, 0.0, x) * share


def _mish_slope(x: Array) -> Array:
    powers = np.minimum(_softplus(x), 350.0)
    return np.tanh(powers) + _times(x, _sigmoid(x) / np.cosh(powers) ** 2)


def _tanh_shrink(x: Array) -> Array:
    z = np.minimum(x * x, 1e-4)  # below that the difference cancels, and the series' next term is z³ / 15
    return np.where(np.abs(x) < 1e-2, x * z * (1 / 3 - z * (2 / 15 - z * (17 / 315))), x - np.tanh(x))


Function = Callable[[Array], Array]

_VALUES_AND_SLOPES: dict[str, tuple[Function, Function]] = {
    "linear": (lambda x: x, np.ones_like),
    "relu": (relu, relu_slope),
    "relu6": (lambda x: relu(x, max_value=6.0), lambda x: relu_slope(x, max_value=6.0)),
    "leaky_relu": (
        lambda x: relu(x, negative_slope=LEAKY_RELU_SLOPE),
        lambda x: relu_slope(x, negative_slope=LEAKY_RELU_SLOPE),
    ),
    "elu": (_elu, _elu_slope),
    "selu": (_selu, _selu_slope),
    "gelu": (_gelu, _gelu_slope),
    "silu": (lambda x: x * _sigmoid(x), _silu_slope),
    "sigmoid": (_sigmoid, lambda x: _sigmoid(x) * _sigmoid(-x)),
    "hard_sigmoid": (_hard_sigmoid, _hard_sigmoid_slope),
    "hard_silu": (lambda x: x * _hard_sigmoid(x), lambda x: _hard_sigmoid(x) + x * _hard_sigmoid_slope(x)),
    "tanh": (np.tanh, lambda x: 1.0 / np.cosh(np.clip(x, -350.0, 350.0)) ** 2),
    "softplus": (_softplus, _sigmoid),
    "celu": (_elu, _elu_slope),
    "exponential": (np.exp, np.exp),
    "hard_shrink": (lambda x: np.where(np.abs(x) <= 0.5, 0.0, x), lambda x: np.where(np.abs(x) > 0.5, 1.0, 0.0)),
    "hard_tanh": (lambda x: np.clip(x, -1.0, 1.0), lambda x: np.where(np.abs(x) <= 1.0, 1.0, 0.0)),
    "log_sigmoid": (lambda x: -_softplus(-x), lambda x: _sigmoid(-x)),
    "mish": (lambda x: _times(x, np.tanh(_softplus(x))), _mish_slope),
    "soft_shrink": (lambda x: x - np.clip(x, -0.5, 0.5), lambda x: np.where(np.abs(x) > 0.5, 1.0, 0.0)),
    "softsign": (
        lambda x: np.clip(x, -1e300, 1e300) / (1.0 + np.abs(np.clip(x, -1e300, 1e300))),
        lambda x: 1.0 / (1.0 + np.abs(x)) ** 2,
    ),
    "sparse_plus": (
        lambda x: np.where(x >= 1.0, x, (np.maximum(x, -1.0) + 1.0) ** 2 / 4.0),
        lambda x: np.clip((x + 1.0) / 2.0, 0.0, 1.0),
    ),
    "sparse_sigmoid": (
        lambda x: np.clip((x + 1.0) / 2.0, 0.0, 1.0),
        lambda x: np.where(np.abs(x) < 1.0, 0.5, np.where(np.abs(x) == 1.0, 0.25, 0.0)),  # JAX halves it at a tie
    ),
    "squareplus": (_squareplus, lambda x: _squareplus(x) / np.hypot(x, 2.0)),
    "tanh_shrink": (_tanh_shrink, lambda x: np.tanh(x) ** 2),
}


def activation(name: str, x: npt.ArrayLike) -> Array:
    """The activation that Keras calls `name`, value by value; those of `OF_ROWS` over the last axis.

    >>> activation("relu6", [-1.0, 2.0, 7.0]).tolist()
    [0.0, 2.0, 6.0]
    """
    x = float64(x)
    if name in OF_ROWS:
        return _softmax(x) if name == "softmax" else _log_softmax(x)
    return _VALUES_AND_SLOPES[name][0](x)


def activation_gradient(name: str, x: npt.ArrayLike, output_gradient: npt.ArrayLike) -> Array:
    """Gradient to the values `x` that went into the activation."""
    x, output_gradient = float64(x), float64(output_gradient)
    if name == "softmax":
        y = _softmax(x)
        return np.asarray(y * (output_gradient - (y * output_gradient).sum(axis=-1, keepdims=True)))
    if name == "log_softmax":
        return np.asarray(output_gradient - _softmax(x) * output_gradient.sum(axis=-1, keepdims=True))
    return output_gradient * _VALUES_AND_SLOPES[name][1](x)

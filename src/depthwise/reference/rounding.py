"""How far float32 is off: one rounding, one function, and how activations pass an error on."""

import numpy as np

from depthwise.reference.windows import Array

__all__ = [
    "ACTIVATION_ROUNDINGS",
    "JUMPS",
    "LIPSCHITZ",
    "SMALLEST_NORMAL",
    "UNIT_ROUNDOFF",
    "normalised_rows_error",
    "passed_on",
    "softmax_error",
]

UNIT_ROUNDOFF = 2.0**-24

SMALLEST_NORMAL = 2.0**-126
"""Smaller float32 values may become 0."""

ACTIVATION_ROUNDINGS = 4.0
"""An activation within 2 ulp: 2 ulp are at most 4·u·|y|."""

LIPSCHITZ = {
    "linear": 1.0,
    "relu": 1.0,
    "relu6": 1.0,
    "leaky_relu": 1.0,
    "elu": 1.0,
    "selu": 1.7581,  # scale · alpha, the slope just below 0
    "gelu": 1.1290,  # at x = √2
    "silu": 1.0999,  # at x = 2.3994
    "sigmoid": 0.25,
    "hard_sigmoid": 1.0 / 6.0,
    "hard_silu": 1.5,
    "tanh": 1.0,
    "softplus": 1.0,
    "celu": 1.0,
    "exponential": np.inf,  # see passed_on
    "hard_shrink": 1.0,  # and JUMPS
    "hard_tanh": 1.0,
    "log_sigmoid": 1.0,
    "mish": 1.0895,  # at x = 1.4907
    "soft_shrink": 1.0,
    "softsign": 1.0,
    "sparse_plus": 1.0,
    "sparse_sigmoid": 0.5,
    "squareplus": 1.0,
    "tanh_shrink": 1.0,
    "softmax": 0.5,  # against the largest change of any input
    "log_softmax": 2.0,  # the same
}
"""The steepest slope of each activation: an error of its input grows by at most this."""

JUMPS: dict[str, tuple[tuple[float, float], ...]] = {"hard_shrink": ((-0.5, 0.5), (0.5, 0.5))}
"""Where an activation is not continuous, and how far it jumps there."""


def passed_on(name: str, before: Array, y: Array, error: Array) -> Array:
    """What an error of the values `before` an activation that works value by value becomes; y is its result."""
    if name == "exponential":
        return np.asarray(y * np.expm1(np.minimum(error, 700.0)))
    result = LIPSCHITZ[name] * error
    for place, size in JUMPS.get(name, ()):
        result = result + np.where((error > 0.0) & (np.abs(before - place) <= error), size, 0.0)
    return np.asarray(result)


def normalised_rows_error(x: Array, error: Array, epsilon: float) -> Array:
    """How far (x − mean) / √(variance + epsilon) over the last axis may be off, if x is off by `error`.

    Mean, then the mean square distance from it, each summed in any order.
    """
    count, u = x.shape[-1], UNIT_ROUNDOFF
    mean = x.mean(axis=-1, keepdims=True)
    mean_error = error.mean(axis=-1, keepdims=True) + (count + 2) * u * np.abs(x).mean(axis=-1, keepdims=True)
    distance = np.abs(x - mean)
    distance_error = error + mean_error + u * distance
    variance = (distance**2).mean(axis=-1, keepdims=True)
    squares_error = (distance_error * (2.0 * distance + distance_error)).mean(axis=-1, keepdims=True)
    # Of the root a relative error e is 1 − √(1 − e), at most e while it is below 1.
    share = (squares_error + (count + 4) * u * variance) / (variance + epsilon)
    root_share = 1.0 - np.sqrt(1.0 - np.minimum(share, 1.0))
    scale = 1.0 / np.sqrt(variance + epsilon) / np.maximum(1.0 - root_share, 1e-3)
    return np.asarray(scale * (distance_error + distance * root_share + 8.0 * u * distance) + SMALLEST_NORMAL)


def softmax_error(before: Array, y: Array, error: Array, logarithm: bool = False) -> Array:
    """How far y = softmax(before), or with `logarithm` the logarithm of it, may be off, if `before` is off by `error`.

    A share changes by at most e^(2δ) if no logit changes by more than δ; the rest is the float32 softmax itself: the
    differences, the exponentials, their sum, the quotient. A logarithm changes by 2δ; then come the differences, the relative
    error of the sum, its logarithm and the last difference.
    """
    if logarithm:
        apart = before.max(axis=-1, keepdims=True) - before
        powers = np.exp(-apart)
        total = powers.sum(axis=-1, keepdims=True)
        of_sum = (powers * apart).sum(axis=-1, keepdims=True) / total + ACTIVATION_ROUNDINGS + y.shape[-1]
        own = of_sum + ACTIVATION_ROUNDINGS * np.log(total) + apart + np.abs(y) + 2.0
        return np.asarray(error + error.max(axis=-1, keepdims=True) + own * UNIT_ROUNDOFF + SMALLEST_NORMAL)
    logit_error = error.max(axis=-1, keepdims=True) + UNIT_ROUNDOFF * np.abs(before).max(axis=-1, keepdims=True) * 2
    own = (2.0 * ACTIVATION_ROUNDINGS + y.shape[-1] + 2.0) * UNIT_ROUNDOFF
    growth = np.expm1(np.minimum(2.0 * logit_error, 700.0)) + own
    return np.asarray(np.minimum(y * growth, 1.0) + SMALLEST_NORMAL)

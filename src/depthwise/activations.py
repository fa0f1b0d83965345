"""`keras.activations` by name, on NumPy arrays: what the layers' activations compute, for trying out and drawing.

Each takes numbers of any shape and returns floats of that shape: float32 for float32, else float64; computed in float64. A
function may be given as a layer's `activation`, where it stands for its name; options other than the defaults cannot be.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depthwise.absent import absent
from depthwise.arguments import ACTIVATIONS, FUNCTIONS_ONLY, LEAKY_RELU_SLOPE, SELU_ALPHA, SELU_SCALE, SHRINK_THRESHOLD
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.meanings import ARRAYS

__all__ = [*ACTIVATIONS, *FUNCTIONS_ONLY, "deserialize", "get", "hard_swish", "serialize", "swish"]

Array = NDArray[Any]

_error_function = np.vectorize(math.erf, otypes=[np.float64])


def _computed(x: ArrayLike, function: Callable[[Array], Array]) -> Array:
    values = np.asarray(x)
    result = function(values.astype(np.float64))
    return result.astype(np.float32) if values.dtype == np.float32 else result


def linear(x: ArrayLike) -> Array:
    """x."""
    return _computed(x, lambda x: x)


def relu(x: ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Array:
    """x where x > threshold, at most max_value; else negative_slope · (x − threshold). NaN stays NaN.

    >>> relu([-1.0, 2.0])
    array([0., 2.])
    """
    top = math.inf if max_value is None else max_value

    def rectified(x: Array) -> Array:
        below = negative_slope * (x - threshold) if negative_slope else np.where(np.isnan(x), x, 0.0)
        return np.where(x > threshold, np.minimum(x, top), below)

    return _computed(x, rectified)


def relu6(x: ArrayLike) -> Array:
    """x, at least 0, at most 6."""
    return relu(x, max_value=6.0)


def leaky_relu(x: ArrayLike, negative_slope: float = LEAKY_RELU_SLOPE) -> Array:
    """x where x ≥ 0, else negative_slope · x."""
    return relu(x, negative_slope=negative_slope)


def elu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha · (eˣ − 1) (Clevert et al. 2015, arXiv:1511.07289)."""
    return _computed(x, lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def selu(x: ArrayLike) -> Array:
    """1.0507 · elu(x, 1.6733): keeps mean and variance (Klambauer et al. 2017, arXiv:1706.02515)."""
    return _computed(x, lambda x: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))))


def gelu(x: ArrayLike, approximate: bool = False) -> Array:
    """x · Φ(x), Φ the normal distribution (Hendrycks and Gimpel 2016, arXiv:1606.08415); `approximate` uses tanh."""
    if approximate:
        return _computed(x, lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return _computed(x, lambda x: 0.5 * x * (1 + _error_function(x / math.sqrt(2))))


def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + e⁻ˣ)."""
    return _computed(x, _sigmoid)


def _sigmoid(x: Array) -> Array:
    small: Array = np.exp(-np.abs(x))  # at most 1: nothing overflows
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def silu(x: ArrayLike) -> Array:
    """x · sigmoid(x), also called swish."""
    return _computed(x, lambda x: x * _sigmoid(x))


def hard_sigmoid(x: ArrayLike) -> Array:
    """x / 6 + 0.5, at least 0, at most 1."""
    return _computed(x, lambda x: np.clip(x / 6 + 0.5, 0, 1))


def hard_silu(x: ArrayLike) -> Array:
    """x · hard_sigmoid(x), also called hard swish."""
    return _computed(x, lambda x: x * np.clip(x / 6 + 0.5, 0, 1))


def tanh(x: ArrayLike) -> Array:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return _computed(x, np.tanh)


def softplus(x: ArrayLike) -> Array:
    """log(1 + eˣ)."""
    return _computed(x, lambda x: np.logaddexp(x, 0))


def celu(x: ArrayLike, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha · (e^(x / alpha) − 1) (Barron 2017, arXiv:1704.07483)."""
    return _computed(x, lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)))


def exponential(x: ArrayLike) -> Array:
    """eˣ."""
    return _computed(x, np.exp)


def hard_shrink(x: ArrayLike, threshold: float = SHRINK_THRESHOLD) -> Array:
    """x where |x| > threshold, else 0."""
    return _computed(x, lambda x: np.where(np.abs(x) <= threshold, 0, x))


def hard_tanh(x: ArrayLike) -> Array:
    """x, at least −1, at most 1."""
    return _computed(x, lambda x: np.clip(x, -1, 1))


def log_sigmoid(x: ArrayLike) -> Array:
    """log(sigmoid(x))."""
    return _computed(x, lambda x: -np.logaddexp(-x, 0))


def mish(x: ArrayLike) -> Array:
    """x · tanh(softplus(x)) (Misra 2019, arXiv:1908.08681)."""

    def times(x: Array) -> Array:
        share = np.tanh(np.logaddexp(x, 0))
        return np.where(share == 0, 0, x) * share  # not −∞ · 0

    return _computed(x, times)


def soft_shrink(x: ArrayLike, threshold: float = SHRINK_THRESHOLD) -> Array:
    """x nearer to 0 by threshold; 0 where |x| ≤ threshold."""
    return _computed(x, lambda x: x - np.clip(x, -threshold, threshold))


def softsign(x: ArrayLike) -> Array:
    """x / (1 + |x|)."""

    def share(x: Array) -> Array:
        x = np.clip(x, -1e300, 1e300)  # ∞ gives 1
        return np.asarray(x / (1 + np.abs(x)))

    return _computed(x, share)


def sparse_plus(x: ArrayLike) -> Array:
    """0 where x ≤ −1, (x + 1)² / 4 up to 1, then x."""
    return _computed(x, lambda x: np.where(x >= 1, x, (np.clip(x, -1, 1) + 1) ** 2 / 4))


def sparse_sigmoid(x: ArrayLike) -> Array:
    """(x + 1) / 2, at least 0, at most 1."""
    return _computed(x, lambda x: np.clip((x + 1) / 2, 0, 1))


def squareplus(x: ArrayLike, b: float = 4) -> Array:
    """(x + √(x² + b)) / 2 (Barron 2021, arXiv:2112.11687)."""

    def smooth(x: Array) -> Array:
        larger = (np.abs(x) + np.hypot(x, math.sqrt(b))) / 2
        return np.where(x < 0, b / 4 / larger, larger)  # the sum of numbers of both signs would cancel

    return _computed(x, smooth)


def tanh_shrink(x: ArrayLike) -> Array:
    """x − tanh(x)."""

    def difference(x: Array) -> Array:
        z = np.minimum(x * x, 1e-4)
        return np.where(np.abs(x) < 1e-2, x * z * (1 / 3 - z * (2 / 15 - z * 17 / 315)), x - np.tanh(x))

    return _computed(x, difference)


def threshold(x: ArrayLike, threshold: float, default_value: float) -> Array:
    """x where x > threshold, else default_value. Its arguments have no defaults: a layer cannot have it as activation."""
    return _computed(x, lambda x: np.where(x > threshold, x, default_value))


def glu(x: ArrayLike, axis: int = -1) -> Array:
    """a · sigmoid(b) with a and b the halves of x along `axis` (Dauphin et al. 2017, arXiv:1612.08083)."""

    def gated(x: Array) -> Array:
        a, b = np.split(x, 2, axis=axis)
        return np.asarray(a * _sigmoid(b))

    return _computed(x, gated)


def log_softmax(x: ArrayLike, axis: int = -1) -> Array:
    """The logarithm of softmax(x)."""

    def normalised(x: Array) -> Array:
        x = x - x.max(axis=axis, keepdims=True)
        return np.asarray(x - np.log(np.exp(x).sum(axis=axis, keepdims=True)))

    return _computed(x, normalised)


def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """eˣ divided by its sum along `axis`: positive numbers that sum to 1."""

    def normalised(x: Array) -> Array:
        powers = np.exp(x - x.max(axis=axis, keepdims=True))
        return np.asarray(powers / powers.sum(axis=axis, keepdims=True))

    return _computed(x, normalised)


swish, hard_swish = silu, hard_silu


def get(identifier: str | Callable[..., Array] | None) -> Callable[..., Array]:
    """The function of that name; None is `linear`, a function is itself.

    >>> get("relu6")([7.0])
    array([6.])

    Raises:
        InvalidArgumentError: not one of the names.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str) and identifier in (*ACTIVATIONS, *FUNCTIONS_ONLY, "swish", "hard_swish"):
        function: Callable[..., Array] = globals()[identifier]
        return function
    if callable(identifier):
        return identifier
    raise InvalidArgumentError(f"unknown activation {describe_value(identifier)}; allowed are {', '.join(ACTIVATIONS)}")


def deserialize(config: str) -> Callable[..., Array]:
    """The function of a name that `serialize` gave, here or in Keras."""
    return get(config)


def serialize(activation: Callable[..., Array]) -> str:
    """The name of one of these functions.

    Raises:
        InvalidArgumentError: any other function.
    """
    name: str = getattr(activation, "__name__", "")
    if name not in (*ACTIVATIONS, *FUNCTIONS_ONLY) or globals()[name] is not activation:
        raise InvalidArgumentError(f"only Depthwise's own activations have a name, got {describe_value(activation)}")
    return name


document(globals(), __all__, ARRAYS)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("activations", name, __all__)

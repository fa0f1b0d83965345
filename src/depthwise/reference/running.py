"""Arrays that carry how far a float32 computation of them may be off: running error analysis.

A formula written with them gives its result in float64 and, beside it, a bound for every value: each operation adds one rounding of
what it adds up, each function the 2 ulp that it may be off, and both pass on what came in with their slope.

>>> x = exact([1.0, 3.0])
>>> (x / 3.0 + x).value.tolist()
[1.3333333333333333, 4.0]
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthwise.reference.activations import OF_ROWS, activation, activation_gradient
from depthwise.reference.rounding import ACTIVATION_ROUNDINGS, LIPSCHITZ, SMALLEST_NORMAL, UNIT_ROUNDOFF, passed_on
from depthwise.reference.windows import Array

__all__ = ["RULES", "Bounded", "apply", "constant", "exact", "mean", "moved", "total"]


class Bounded(NamedTuple):
    """Values in float64, and how far a float32 computation of them may be off."""

    value: Array
    error: Array

    def __add__(self, other: "Bounded | float") -> "Bounded":  # type: ignore[override]
        return apply("add", self, other)

    def __radd__(self, other: float) -> "Bounded":
        return apply("add", other, self)

    def __sub__(self, other: "Bounded | float") -> "Bounded":
        return apply("subtract", self, other)

    def __rsub__(self, other: float) -> "Bounded":
        return apply("subtract", other, self)

    def __mul__(self, other: "Bounded | float") -> "Bounded":  # type: ignore[override]
        return apply("multiply", self, other)

    def __rmul__(self, other: float) -> "Bounded":  # type: ignore[override]
        return apply("multiply", other, self)

    def __truediv__(self, other: "Bounded | float") -> "Bounded":
        return apply("divide", self, other)

    def __rtruediv__(self, other: float) -> "Bounded":
        return apply("divide", other, self)

    def __neg__(self) -> "Bounded":
        return apply("negate", self)


def exact(values: npt.ArrayLike) -> Bounded:
    """Values that float32 holds as they are."""
    array = np.asarray(values, dtype=np.float64)
    return Bounded(array, np.zeros_like(array))


def constant(value: npt.ArrayLike) -> Bounded:
    """Numbers as float32 holds them: off by their own rounding."""
    array = np.asarray(value, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = array.astype(np.float32).astype(np.float64)
        return Bounded(array, np.where(rounded == array, 0.0, np.abs(array - rounded)))


def apply(function: str, *arguments: "Bounded | float") -> Bounded:
    """One of `RULES` on arrays and numbers."""
    with np.errstate(all="ignore"):
        return RULES[function](*(item if isinstance(item, Bounded) else constant(item) for item in arguments))


def moved(function: Callable[..., Any], *items: Bounded) -> Bounded:
    """What a function that only moves or chooses values by their place makes of `items`."""
    return Bounded(
        np.asarray(function(*(item.value for item in items))), np.asarray(function(*(item.error for item in items)))
    )


Axes = int | tuple[int, ...] | None


def total(x: Bounded, axis: Axes = None) -> Bounded:
    """The sum over axes, which stay with the size 1; added up in any order."""
    value = x.value.sum(axis=axis, keepdims=True)
    count = x.value.size // max(value.size, 1)
    size = (np.abs(x.value) + x.error).sum(axis=axis, keepdims=True)
    own = (count + 1) * (UNIT_ROUNDOFF * size + SMALLEST_NORMAL)
    return Bounded(np.asarray(value), np.asarray(x.error.sum(axis=axis, keepdims=True) + own))


def mean(x: Bounded, axis: Axes = None) -> Bounded:
    """The mean over axes, which stay with the size 1."""
    added = total(x, axis)
    return added / float(x.value.size // max(added.value.size, 1))


def _rounded(value: Array, error: Array, size: Array | None = None, roundings: float = 1.0) -> Bounded:
    """One more operation: a rounding of `size`, which is the value's own where None."""
    sizes = np.abs(value) if size is None else size
    return Bounded(value, error + roundings * UNIT_ROUNDOFF * (sizes + error) + SMALLEST_NORMAL)


def _add(a: Bounded, b: Bounded) -> Bounded:
    return _rounded(a.value + b.value, a.error + b.error, np.abs(a.value) + np.abs(b.value))


def _subtract(a: Bounded, b: Bounded) -> Bounded:
    return _add(a, _negate(b))


def _multiply(a: Bounded, b: Bounded) -> Bounded:
    error = np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.error * b.error
    return _rounded(a.value * b.value, error)


def _divide(a: Bounded, b: Bounded) -> Bounded:
    value = a.value / b.value
    least = np.abs(b.value) - b.error
    error = np.where(least > 0.0, (a.error + np.abs(value) * b.error) / least, np.inf)
    return _rounded(value, error)


def _negate(a: Bounded) -> Bounded:
    return Bounded(-a.value, a.error)


def _fma(a: Bounded, b: Bounded, c: Bounded) -> Bounded:
    return _add(_multiply(a, b), c)


def _sqrt(a: Bounded) -> Bounded:
    value = np.sqrt(a.value)
    return _rounded(value, value - np.sqrt(np.maximum(a.value - a.error, 0.0)))


def _exp(a: Bounded) -> Bounded:
    value = np.exp(a.value)
    return _rounded(value, value * np.expm1(np.minimum(a.error, 700.0)), roundings=ACTIVATION_ROUNDINGS)


def _log(a: Bounded) -> Bounded:
    value, least = np.log(a.value), a.value - a.error
    error = np.where(least > 0.0, value - np.log(np.maximum(least, SMALLEST_NORMAL)), np.inf)
    return _rounded(value, np.where(a.error == 0.0, 0.0, error), roundings=ACTIVATION_ROUNDINGS)


def _extreme(function: Callable[[Array, Array], Array]) -> Callable[[Bounded, Bounded], Bounded]:
    return lambda a, b: Bounded(function(a.value, b.value), np.maximum(a.error, b.error))


def _where(compare: Callable[[Array, Array], Any]) -> Callable[[Bounded, Bounded, Bounded, Bounded], Bounded]:
    """x where a compares so with b, else y; where rounding can turn the comparison around, either may come out."""

    def rule(a: Bounded, b: Bounded, x: Bounded, y: Bounded) -> Bounded:
        is_so = compare(a.value, b.value)
        value, error = np.where(is_so, x.value, y.value), np.where(is_so, x.error, y.error)
        may_turn = (a.error + b.error > 0.0) & (np.abs(a.value - b.value) <= a.error + b.error)
        other = np.maximum(x.error + np.abs(x.value - value), y.error + np.abs(y.value - value))
        return Bounded(value, np.where(may_turn, other, error))

    return rule


def _where_negative(a: Bounded, x: Bounded, y: Bounded) -> Bounded:
    return _where(np.less)(a, exact(0.0), x, y)


def _expm1_negative(x: Bounded, factor: Bounded) -> Bounded:
    # For x above 0 it may give anything, and nobody reads it.
    value = factor.value * np.expm1(np.minimum(x.value, 0.0))
    return _rounded(value, np.abs(factor.value) * x.error + factor.error, roundings=ACTIVATION_ROUNDINGS)


STEEPEST_GELU_SLOPE = 0.798
"""No slope of gelu's slope, (2 − x²)·φ(x), is above √(2/π), at 0."""


GELU_SLOPE_ROUNDINGS = 10.0
"""What the kernel's own test allows, in u times the steepest slope of gelu."""


def _gelu_slope(x: Bounded) -> Bounded:
    value = activation_gradient("gelu", x.value, np.ones_like(x.value))
    # It crosses 0, where its own parts cancel: its rounding is one of the largest slope, not of the value.
    own = GELU_SLOPE_ROUNDINGS * UNIT_ROUNDOFF * LIPSCHITZ["gelu"]
    return Bounded(value, STEEPEST_GELU_SLOPE * x.error + own + SMALLEST_NORMAL)


def _relu_layer(x: Bounded, limit: Bounded, slope: Bounded, threshold: Bounded) -> Bounded:
    kept = _extreme(np.minimum)(limit, x)
    below = exact(0.0) if slope.value == 0.0 else _multiply(_subtract(x, threshold), slope)
    return RULES["where_uge" if threshold.value == 0.0 else "where_ugt"](x, threshold, kept, below)


def _function(name: str) -> Callable[[Bounded], Bounded]:
    """An activation: its steepest slope times what came in, and its own 2 ulp."""

    def rule(x: Bounded) -> Bounded:
        y = activation(name, x.value)
        return _rounded(y, passed_on(name, x.value, y, x.error), roundings=ACTIVATION_ROUNDINGS)

    return rule


def _step(function: Callable[..., Array]) -> Callable[..., Bounded]:
    """A rounding to whole numbers: off by as many as lie between the limits of what came in."""

    def rule(a: Bounded) -> Bounded:
        return Bounded(function(a.value), function(a.value + a.error) - function(a.value - a.error))

    return rule


def _erf(a: Bounded) -> Bounded:
    """Its slope is 2 / √π at most."""
    y = np.vectorize(math.erf, otypes=[np.float64])(a.value)
    return _rounded(y, a.error * (2.0 / math.sqrt(math.pi)), roundings=ACTIVATION_ROUNDINGS)


RULES: dict[str, Callable[..., Bounded]] = {
    "floor": _step(np.floor),
    "ceil": _step(np.ceil),
    "trunc": _step(np.trunc),
    "roundeven": _step(np.rint),
    "erf": _erf,
    "where_oeq": _where(np.equal),
    "where_uno": _where(lambda a, b: np.isnan(a) | np.isnan(b)),
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "negate": _negate,
    "fma": _fma,
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "maximum": _extreme(np.maximum),
    "minimum": _extreme(np.minimum),
    "abs": lambda a: Bounded(np.abs(a.value), a.error),
    "sqrt": _sqrt,
    "exp": _exp,
    "log": _log,
    "where_ogt": _where(np.greater),
    "where_ugt": _where(np.greater),
    "where_oge": _where(np.greater_equal),
    "where_uge": _where(np.greater_equal),
    "where_olt": _where(np.less),
    "where_ole": _where(np.less_equal),
    "where_negative": _where_negative,
    "expm1_negative": _expm1_negative,
    "gelu_slope": _gelu_slope,
    "relu_layer": _relu_layer,
    **{name: _function(name) for name in LIPSCHITZ if name not in OF_ROWS},
}
"""Each function of one or several numbers, by the name that the compiler gives it."""

"""Element-wise expressions for explanations: as plain data, as text, and evaluated in float64 with what float32 may be off.

The data form is what the page and the terminal read: a number is itself, `{"operand": 0}` is an operand, and
`{"function": "max", "arguments": [...]}` is a function of others. JSON has no infinity, so `"Infinity"` and `"-Infinity"` are
written as text.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthwise.compiler.ir.expression import Apply, Constant, Expression, Operand
from depthwise.reference.activations import activation, activation_gradient
from depthwise.reference.bounds import ACTIVATION_ROUNDINGS, LIPSCHITZ, SMALLEST_NORMAL, UNIT_ROUNDOFF
from depthwise.reference.windows import Array

__all__ = ["RULES", "Bounded", "evaluate", "exact", "expression_facts", "written"]


class Bounded(NamedTuple):
    """Values in float64, and how far a float32 computation of them may be off."""

    value: Array
    error: Array


def exact(values: npt.ArrayLike) -> Bounded:
    """Values that float32 holds as they are."""
    array = np.asarray(values, dtype=np.float64)
    return Bounded(array, np.zeros_like(array))


def expression_facts(expression: Expression) -> Any:
    """The expression in its data form."""
    if isinstance(expression, Operand):
        return {"operand": expression.index}
    if isinstance(expression, Constant):
        if math.isinf(expression.value):
            return "Infinity" if expression.value > 0 else "-Infinity"
        return expression.value
    assert isinstance(expression, Apply)
    return {"function": expression.function, "arguments": [expression_facts(item) for item in expression.arguments]}


# -- as text ---------------------------------------------------------------------------------------------------------

_SIGNS = {"add": (" + ", 1), "subtract": (" − ", 1), "multiply": ("·", 2), "divide": ("/", 2)}
_COMPARISONS = {"ogt": ">", "ugt": ">", "oge": "≥", "uge": "≥", "olt": "<", "ole": "≤"}


def written(facts: Any, operand: Callable[[int], str]) -> str:
    """An expression in its data form as text.

    Args:
        operand: what stands for operand number i: its name, or its value.

    >>> x = {"operand": 0}
    >>> written({"function": "multiply", "arguments": [{"function": "add", "arguments": [x, 3.0]}, x]}, lambda i: "x")
    '(x + 3)·x'
    """
    return _written(facts, operand)[0]


def _written(facts: Any, operand: Callable[[int], str]) -> tuple[str, int]:
    """The text, and how strongly its last operation binds: 0 a sign, 1 a sum, 2 a product, 3 what needs no parentheses."""
    if not isinstance(facts, dict) or "operand" in facts:
        text = operand(facts["operand"]) if isinstance(facts, dict) else f"{float(facts):.7g}".replace("inf", "∞")
        return text, 0 if text.startswith("-") else 3
    name, arguments = facts["function"], [_written(item, operand) for item in facts["arguments"]]

    def within(index: int, strength: int) -> str:
        text, own = arguments[index]
        return text if own >= strength else f"({text})"

    if name in _SIGNS:
        sign, strength = _SIGNS[name]
        needs_more = name in ("subtract", "divide")
        return within(0, strength) + sign + within(1, strength + needs_more), strength
    if name == "fma":
        return f"{within(0, 2)}·{within(1, 2)} + {within(2, 1)}", 1
    if name == "negate":
        return f"−{within(0, 3)}", 0
    if name == "sqrt":
        return f"√({arguments[0][0]})", 3
    if name == "expm1_negative":
        return f"{within(1, 2)}·(exp({arguments[0][0]}) − 1)", 2
    if name.startswith("where_"):
        first, *others = (text for text, _ in arguments)
        if name == "where_negative":
            others = ["0", *others]
        sign = _COMPARISONS.get(name.removeprefix("where_"), "<")
        return f"({first} {sign} {others[0]} ? {others[1]} : {others[2]})", 3
    return f"{name}({', '.join(text for text, _ in arguments)})", 3


# -- evaluated -------------------------------------------------------------------------------------------------------


def evaluate(expression: Expression, operands: Sequence[Bounded]) -> Bounded:
    """The expression of `operands`, broadcast as in NumPy.

    Every operation adds one rounding of what it adds up, every function the 2 ulp that it may be off, and both pass on what
    came in with their slope.
    """
    if isinstance(expression, Operand):
        return operands[expression.index]
    if isinstance(expression, Constant):
        value = np.asarray(expression.value)
        rounded = np.float64(np.float32(expression.value))
        return Bounded(value, np.asarray(0.0 if rounded == value else abs(value - rounded)))
    assert isinstance(expression, Apply)
    with np.errstate(all="ignore"):
        return RULES[expression.function](*(evaluate(item, operands) for item in expression.arguments))


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
    return lambda x: _rounded(activation(name, x.value), LIPSCHITZ[name] * x.error, roundings=ACTIVATION_ROUNDINGS)


RULES: dict[str, Callable[..., Bounded]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "negate": _negate,
    "fma": _fma,
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "sqrt": _sqrt,
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
    **{name: _function(name) for name in LIPSCHITZ if name != "softmax"},
}
"""Every function of `depthwise.compiler.functions.FUNCTIONS` by name."""

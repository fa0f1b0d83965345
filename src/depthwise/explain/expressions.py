"""Element-wise expressions for explanations: as plain data, as text, and evaluated in float64 with what float32 may be off.

The data form is what the page and the terminal read: a number is itself, `{"operand": 0}` is an operand, and
`{"function": "max", "arguments": [...]}` is a function of others. JSON has no infinity, so `"Infinity"` and `"-Infinity"` are
written as text.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from depthwise.compiler.ir.expression import Apply, Constant, Expression, Operand
from depthwise.reference.running import RULES, Bounded, constant, exact

__all__ = ["RULES", "Bounded", "evaluate", "exact", "expression_facts", "written"]


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
_COMPARISONS = {"oeq": "=", "ogt": ">", "ugt": ">", "oge": "≥", "uge": "≥", "olt": "<", "ole": "≤"}


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
        if name == "where_uno":
            return f"({first} has no value ? {others[1]} : {others[2]})", 3
        if name == "where_negative":
            others = ["0", *others]
        sign = _COMPARISONS.get(name.removeprefix("where_"), "<")
        return f"({first} {sign} {others[0]} ? {others[1]} : {others[2]})", 3
    return f"{name}({', '.join(text for text, _ in arguments)})", 3


# -- evaluated ---------------------------------------------------------------------------------------------------------


def evaluate(expression: Expression, operands: Sequence[Bounded]) -> Bounded:
    """The expression of `operands`, broadcast as in NumPy.

    Every operation adds one rounding of what it adds up, every function the 2 ulp that it may be off, and both pass on what
    came in with their slope.
    """
    if isinstance(expression, Operand):
        return operands[expression.index]
    if isinstance(expression, Constant):
        return constant(expression.value)
    assert isinstance(expression, Apply)
    with np.errstate(all="ignore"):
        return RULES[expression.function](*(evaluate(item, operands) for item in expression.arguments))

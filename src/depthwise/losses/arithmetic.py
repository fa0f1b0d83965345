"""Losses given by a formula, evaluated in NumPy: the values that the native step computes, by the same operations."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from depthwise.compiler.ir.expression import Apply, Constant, Expression, Operand
from depthwise.compiler.ir.formula import Formula, Reduction

__all__ = ["evaluate", "reduced", "value"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    one = x.dtype.type(1)
    return np.asarray(np.where(x >= 0, one, e) / (one + e))


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(x.dtype.type(0), x))


def _where(compare: Callable[[Array, Array], Any]) -> Callable[..., Array]:
    return lambda a, b, x, y: np.asarray(np.where(compare(a, b), x, y))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "divide": np.divide,
    "exp": np.exp,
    "expm1_negative": lambda x, factor: np.expm1(x) * factor,
    "log": np.log,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "multiply": np.multiply,
    "negate": np.negative,
    "power": np.power,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "sqrt": np.sqrt,
    "subtract": np.subtract,
    "where_oge": _where(np.greater_equal),
    "where_ogt": _where(np.greater),
    "where_ole": _where(np.less_equal),
    "where_olt": _where(np.less),
}


def evaluate(expression: Expression, operands: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    """The expression of arrays, broadcast as NumPy does; what occurs twice is computed once."""
    done: dict[Expression, Array] = {}

    def walk(node: Expression) -> Array:
        if isinstance(node, Operand):
            return operands[node.index]
        if isinstance(node, Constant):
            return np.asarray(node.value, dtype)
        assert isinstance(node, Apply)
        if node not in done:
            done[node] = np.asarray(_FUNCTIONS[node.function](*(walk(item) for item in node.arguments)))
        return done[node]

    with np.errstate(all="ignore"):
        return walk(expression)


def reduced(reductions: Sequence[Reduction], predictions: Array, targets: Array, axes: tuple[int, ...]) -> list[Array]:
    """Predictions, targets and the results of the reductions over `axes`, which stay with length 1."""
    operands = [predictions, targets]
    for item in reductions:
        term = np.broadcast_to(evaluate(item.term, operands, predictions.dtype), predictions.shape)
        collect = np.max if item.kind == "max" else np.sum
        operands.append(np.asarray(collect(term, axis=axes, keepdims=True)))
    return operands


def value(formula: Formula, predictions: Array, targets: Array, axes: tuple[int, ...]) -> Array:
    """The loss; `axes` are those that the reductions run over, and are no longer there.

    >>> from depthwise.compiler.ir.formula import PREDICTION, TARGET, mean_of
    >>> value(mean_of(PREDICTION - TARGET, 2), np.array([[1.0, 4.0]]), np.array([[1.0, 2.0]]), (-1,)).tolist()
    [1.0]
    """
    operands = reduced(formula.reductions, predictions, targets, axes)
    result = evaluate(formula.value, operands, predictions.dtype)
    return np.asarray(np.squeeze(result, axis=axes), dtype=predictions.dtype)

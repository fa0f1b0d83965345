"""The derivatives of element-wise expressions, against central differences in float64."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special

from depthwise.compiler.functions import FUNCTIONS, vector_jacobian
from depthwise.compiler.ir.expression import Apply, Constant, Expression, Operand, apply, describe

Doubles = npt.NDArray[np.float64]

NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negate": np.negative,
    "fma": lambda a, b, c: a * b + c,
    "max": np.maximum,
    "min": np.minimum,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "where_ogt": lambda a, b, x, y: np.where(a > b, x, y),
    "where_olt": lambda a, b, x, y: np.where(a < b, x, y),
    "where_oge": lambda a, b, x, y: np.where(a >= b, x, y),
    "where_ole": lambda a, b, x, y: np.where(a <= b, x, y),
    "where_ugt": lambda a, b, x, y: np.where(~(a <= b), x, y),
    "where_uge": lambda a, b, x, y: np.where(~(a < b), x, y),
    "where_negative": lambda a, x, y: np.where(np.signbit(a), x, y),
    "expm1_negative": lambda x, factor: factor * np.expm1(np.minimum(x, 0.0)),
    "gelu_slope": lambda x: special.ndtr(x) + x * np.exp(-x * x / 2.0) / np.sqrt(2.0 * np.pi),
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
}


def value(expression: Expression, operands: dict[int, Doubles]) -> Doubles:
    """The expression in float64; functions that are defined by others by their definition."""
    if isinstance(expression, Operand):
        return operands[expression.index]
    if isinstance(expression, Constant):
        return np.float64(expression.value)  # type: ignore[return-value]
    assert isinstance(expression, Apply)
    definition = FUNCTIONS[expression.function].definition
    if definition is not None:
        return value(definition(expression.arguments), operands)
    result: Doubles = NUMPY[expression.function](*(value(item, operands) for item in expression.arguments))
    return result


TWO = ("add", "subtract", "multiply", "divide", "max", "min", "maximum", "minimum")
X, Y, Z = Operand(0), Operand(1), Operand(2)
EXPRESSIONS: dict[str, Expression] = {
    name: Apply(name, (X,))
    for name in FUNCTIONS
    if name not in ("relu_layer", "gelu_slope", "expm1_negative") and not name.startswith(("where", "fma"))
    if name not in TWO
}
EXPRESSIONS |= {name: Apply(name, (X, Y)) for name in TWO}
EXPRESSIONS |= {
    "fma": apply("fma", X, Y, Z),
    "where": apply("where_ogt", X, 0.25, X * Y, Y + Z),
    "relu layer": apply("relu_layer", X, 2.0, 0.25, 0.5),
    "open relu layer": apply("relu_layer", X, float("inf"), 0.0, 0.0),
    "parametric relu": apply("max", 0.0, X) + Y * apply("min", 0.0, X),
    "square": X * X,
    "product of functions": apply("sigmoid", X * Y) * apply("tanh", X - Z),
    "quotient of sums": (X + Y) / (apply("softplus", Z) + 1.0),
    "activation of a sum": apply("selu", X + 0.5 * Y),
    "function of a function": apply("gelu", apply("silu", X)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_slopes_are_those_of_central_differences(name: str) -> None:
    expression = EXPRESSIONS[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    operands = {i: rng.standard_normal(200) * 2.0 for i in expression.operands}
    for values in operands.values():  # away from the kinks
        for kink in (-3.0, 0.0, 0.25, 0.5, 2.0, 3.0, 6.0):
            values[np.abs(values - kink) < 1e-3] += 2e-3
    if name in ("sqrt", "log"):
        operands[0] = np.abs(operands[0]) + 0.1
    if name == "divide":
        operands[1] += np.sign(operands[1])
    gradient = rng.standard_normal(200)
    count = max(operands) + 1
    result, seed = Operand(count), Operand(count + 1)
    slopes = vector_jacobian(expression, result, seed)
    known = {**operands, count: value(expression, operands), count + 1: gradient}
    step = 1e-6
    for index in operands:
        both = [value(expression, {**operands, index: operands[index] + sign * step}) for sign in (1.0, -1.0)]
        expected = gradient * (both[0] - both[1]) / (2.0 * step)
        actual = np.broadcast_to(value(slopes[index], known), expected.shape)
        scale = np.abs(expected) + np.abs(gradient) * (1.0 + np.abs(known[count]))
        assert (np.abs(actual - expected) <= 1e-7 * scale).all(), index


@pytest.mark.parametrize("name", [name for name, item in FUNCTIONS.items() if item.reads_output])
def test_slopes_that_read_the_result_read_nothing_else(name: str) -> None:
    if name in ("divide",):
        return
    slopes = vector_jacobian(Apply(name, (X,)), Operand(1), Operand(2))
    assert 0 not in slopes[0].operands


def test_monotone_functions_never_decrease() -> None:
    x = np.sort(np.random.default_rng(0).standard_normal(2000) * 8.0)
    for name, function in FUNCTIONS.items():
        if function.monotone:
            assert (np.diff(value(Apply(name, (X,)), {0: x})) >= -1e-15).all(), name


def test_substitution_and_words() -> None:
    expression = (X + Y) * 2.0
    assert expression.substitute({1: Z * Z}) == (X + Z * Z) * 2.0
    assert expression.operands == (0, 1)
    assert describe(expression) == "multiply add"
    assert describe(X) == "copy"

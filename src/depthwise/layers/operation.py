"""Functions of tensors and numbers as members of a network: what `x + 1` or `x / y` on symbolic tensors records.

Keras keeps each of them as an object of `keras.ops` among the model's layers, with a name, and so do we. They are not layers that a
user makes: `depthwise.layers` does not have them, and `Add` among them is not the layer `Add`.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.compiler.ir.expression import Constant, Expression, Operand, apply
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, broadcast, layer_facts, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["OPERATIONS", "Operation", "raised", "whole_power"]

LARGEST = 3.4028234663852886e38
"""Of float32: a larger constant would be infinite in every result."""

LARGEST_POWER = 64
"""Whole exponents up to this one are products of the base with itself; others go through the logarithm."""


@dataclass(frozen=True)
class Operation(Description):
    """Base of all operations: a function of `arguments`, element by element, broadcast as in NumPy.

    Args:
        arguments: in the function's order; a number is a constant, None stands for the call's next input.
    """

    arguments: tuple[float | None, ...] = (None,)

    module: ClassVar[str] = "keras.src.ops.numpy"
    """Where Keras has the class."""
    count: ClassVar[int] = 1
    """How many arguments the function takes."""
    function: ClassVar[Callable[..., Expression]]

    def _normalise(self) -> None:
        if len(self.arguments) != self.count:
            raise InvalidArgumentError(f"{self._owner} takes {self.count} arguments, got {len(self.arguments)}")
        for value in self.arguments:
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (is_number and math.isfinite(value) and abs(value) <= LARGEST):
                raise InvalidArgumentError(
                    f"{self._owner}: a constant must be a number that float32 can hold, got {describe_value(value)}"
                )
        if None not in self.arguments:
            raise InvalidArgumentError(f"{self._owner}: one argument at least must be a tensor, got numbers only")
        self.expression  # noqa: B018 - refuses what has no expression, a power of a negative number for example

    @property
    def expression(self) -> Expression:
        """What is computed, of the call's inputs as operands."""
        inputs = iter(range(self.count))
        parts = [Operand(next(inputs)) if value is None else Constant(float(value)) for value in self.arguments]
        return type(self).function(*parts)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        wanted = self.arguments.count(None)
        if len(shapes) != wanted:
            raise ShapeError(f"{self.label} takes {wanted} inputs, got {len(shapes)}")
        if len({len(shape) for shape in shapes}) > 1:
            raise ShapeError(
                f"{self.label} takes tensors with equally many axes, got samples of the shapes "
                f"{', '.join(map(str, shapes))}; use layers.Reshape before it"
            )
        return layer_facts(self, shapes, sizes(broadcast(self.label, shapes)))

    def lower(self, builder: "Builder", call: "Call") -> None:
        builder.elementwise(call, self.expression)


def _power(base: Expression, exponent: Expression) -> Expression:
    """A whole constant exponent works for any base; ½ is a root; any other constant needs a base above 0."""
    if not isinstance(exponent, Constant):
        return raised(base, exponent)
    value = exponent.value
    if value == 0.5:
        return apply("sqrt", base)
    if not value.is_integer():
        return apply("exp", apply("log", base) * value)
    return whole_power(base, int(value))


def whole_power(base: Expression, exponent: int) -> Expression:
    """The power as products, by squaring; through the logarithm where they would be many."""
    if exponent == 0:
        return Constant(1.0)  # not 0 · base + 1, which is NaN where the base is infinite or NaN
    if abs(exponent) > LARGEST_POWER:
        size = apply("exp", apply("log", apply("abs", base)) * float(exponent))
        return apply("where_olt", _sign(base), 0.0, -size, size) if exponent % 2 else size
    product = _product(base, abs(exponent))
    return product if exponent > 0 else Constant(1.0) / product


def _product(base: Expression, count: int) -> Expression:
    if count == 1:
        return base
    half = _product(base, count // 2)
    return half * half * base if count % 2 else half * half


def _sign(x: Expression) -> Expression:
    """A number below 0 where x is below 0 or −0."""
    return apply("min", x, Constant(1.0) / x)


def raised(x: Expression, y: Expression) -> Expression:
    """x to the power of y, both of any value: what `pow` of C gives.

    1 where y is 0 or x is 1, whatever the other is; below 0 the sign of an odd whole y, and NaN where y is not whole.
    """
    size = apply("exp", apply("log", apply("abs", x)) * y)
    size = apply("where_oeq", apply("abs", x), 1.0, 1.0, size)  # not ∞ · ln 1
    half = y * 0.5
    odd = apply("where_oeq", apply("floor", half), half, size, -size)
    odd = apply("where_oeq", apply("floor", y), y, odd, size)
    signed = apply("where_olt", _sign(x), 0.0, odd, size)
    root = apply("where_oeq", x, -math.inf, size, math.nan)
    below = apply("where_oeq", apply("floor", y), y, signed, root)
    return apply("where_oeq", y, 0.0, 1.0, apply("where_olt", x, 0.0, below, signed))


def _raise_power(base: Expression, exponent: Expression) -> Expression:
    if not isinstance(base, Constant):
        return _power(base, exponent)
    if base.value <= 0.0:
        raise UnsupportedError(f"Power: a constant base must be above 0, got {base.value:g}")
    return Constant(1.0) if base.value == 1.0 else apply("exp", exponent * math.log(base.value))


_FUNCTIONS: dict[str, tuple[int, str, Callable[..., Expression]]] = {
    "Absolute": (1, "|x|", lambda x: apply("abs", x)),
    "Add": (2, "x + y", lambda x, y: x + y),
    "Divide": (2, "x / y", lambda x, y: x / y),
    "Exp": (1, "eˣ", lambda x: apply("exp", x)),
    "Log": (1, "the natural logarithm of x", lambda x: apply("log", x)),
    "Maximum": (2, "the larger of x and y", lambda x, y: apply("maximum", x, y)),
    "Minimum": (2, "the smaller of x and y", lambda x, y: apply("minimum", x, y)),
    "Multiply": (2, "x · y", lambda x, y: x * y),
    "Negative": (1, "−x", lambda x: -x),
    "Power": (
        2,
        "x to the power of y; below 0 a number where y is whole, else NaN",
        _raise_power,
    ),
    "Reciprocal": (1, "1 / x", lambda x: Constant(1.0) / x),
    "Rsqrt": (1, "1 / √x", lambda x: Constant(1.0) / apply("sqrt", x)),
    "Sqrt": (1, "√x", lambda x: apply("sqrt", x)),
    "Square": (1, "x²", lambda x: x * x),
    "Subtract": (2, "x − y", lambda x, y: x - y),
    "TrueDivide": (2, "x / y", lambda x, y: x / y),
}


def _operation(name: str, count: int, formula: str, function: Callable[..., Expression]) -> type[Operation]:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    fields = {
        "__doc__": f"{formula}, element by element.",
        "__module__": __name__,
        "default_name": snake,
        "module": "keras.src.ops.math" if name == "Rsqrt" else Operation.module,
        "count": count,
        "function": staticmethod(function),
    }
    return type(name, (Operation,), fields)


OPERATIONS: Mapping[str, type[Operation]] = {name: _operation(name, *rest) for name, rest in _FUNCTIONS.items()}
"""Every operation by the name of its class in `keras.ops`."""


def __getattr__(name: str) -> Any:
    if name in OPERATIONS:  # what pickle looks up
        return OPERATIONS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

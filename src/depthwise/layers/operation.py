"""Functions of tensors and numbers as members of a network: what `x + 1` or `x / y` on symbolic tensors records.

Keras keeps each of them as an object of `keras.ops` among the model's layers, with a name, and so do we. They are no layers that a
user makes: `depthwise.layers` does not have them, and `Add` among them is not the layer `Add`.
"""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.compiler.ir.expression import Constant, Expression, Operand, apply
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, broadcast, layer_facts, sizes

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["OPERATIONS", "Operation", "whole_power"]

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
            if value is not None and not (is_number and isfinite(value) and abs(value) <= LARGEST):
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
    """A whole exponent is a product; ½ is a root; any other needs a base above 0."""
    if not isinstance(exponent, Constant):
        return apply("exp", exponent * apply("log", base))
    value = exponent.value
    if value == 0.5:
        return apply("sqrt", base)
    if not value.is_integer() or abs(value) > LARGEST_POWER:
        return apply("exp", apply("log", base) * value)
    product = whole_power(base, int(abs(value)))
    return product if value >= 0 else Constant(1.0) / product


def whole_power(base: Expression, exponent: int) -> Expression:
    """The power as products, by squaring."""
    if exponent == 0:
        return base * 0.0 + 1.0
    if exponent == 1:
        return base
    half = whole_power(base, exponent // 2)
    return half * half * base if exponent % 2 else half * half


def _raise_power(base: Expression, exponent: Expression) -> Expression:
    if isinstance(base, Constant) and base.value <= 0.0:
        raise UnsupportedError(f"Power: a constant base must be above 0, got {base.value:g}")
    return _power(base, exponent)


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
        "x to the power of y; where y is no whole constant, a result for x above 0 and NaN below",
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

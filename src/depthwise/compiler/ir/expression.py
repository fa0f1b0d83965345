"""Element-wise arithmetic as data: what an `Elementwise` operation computes of its operands.

>>> x, alpha = Operand(0), Operand(1)
>>> prelu = apply("max", 0.0, x) + alpha * apply("min", 0.0, x)
>>> prelu.operands
(0, 1)

The functions, with their machine code and derivatives, are in `depthwise.compiler.functions`.
"""

from collections.abc import Mapping
from functools import cached_property

from depthwise.dataclass import dataclass

__all__ = ["Apply", "Constant", "Expression", "Operand", "apply", "describe"]


class Expression:
    """A value for each element: an operand, a constant, or a function of such."""

    def __add__(self, other: "Expression | float") -> "Expression":
        return apply("add", self, other)

    def __radd__(self, other: float) -> "Expression":
        return apply("add", other, self)

    def __sub__(self, other: "Expression | float") -> "Expression":
        return apply("subtract", self, other)

    def __rsub__(self, other: float) -> "Expression":
        return apply("subtract", other, self)

    def __mul__(self, other: "Expression | float") -> "Expression":
        return apply("multiply", self, other)

    def __rmul__(self, other: float) -> "Expression":
        return apply("multiply", other, self)

    def __truediv__(self, other: "Expression | float") -> "Expression":
        return apply("divide", self, other)

    def __rtruediv__(self, other: float) -> "Expression":
        return apply("divide", other, self)

    def __neg__(self) -> "Expression":
        return apply("negate", self)

    @property
    def operands(self) -> tuple[int, ...]:
        """Numbers of the operands that it reads, in ascending order."""
        return ()

    def substitute(self, replacements: "Mapping[int, Expression]") -> "Expression":
        """The same with other expressions in place of operands."""
        return self


@dataclass(frozen=True)
class Operand(Expression):
    """The element of an operand."""

    index: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.index,)

    def substitute(self, replacements: Mapping[int, Expression]) -> Expression:
        return replacements.get(self.index, self)


@dataclass(frozen=True)
class Constant(Expression):
    value: float


@dataclass(frozen=True)
class Apply(Expression):
    """A function, by its name in `depthwise.compiler.functions.FUNCTIONS`, of other expressions."""

    function: str
    arguments: tuple[Expression, ...]

    @cached_property
    def _operands(self) -> tuple[int, ...]:
        return tuple(sorted({index for item in self.arguments for index in item.operands}))

    @property
    def operands(self) -> tuple[int, ...]:
        return self._operands

    def substitute(self, replacements: Mapping[int, Expression]) -> Expression:
        return Apply(self.function, tuple(item.substitute(replacements) for item in self.arguments))


def apply(function: str, *arguments: Expression | float) -> Expression:
    """A function of expressions; numbers are constants."""
    return Apply(function, tuple(item if isinstance(item, Expression) else Constant(float(item)) for item in arguments))


def describe(expression: Expression) -> str:
    """The functions of an expression in a few words, the last one first: what a kernel of it is called."""
    names: list[str] = []

    def walk(node: Expression) -> None:
        if isinstance(node, Apply):
            if node.function not in names:
                names.append(node.function)
            for item in node.arguments:
                walk(item)

    walk(expression)
    return " ".join(name.replace("_", " ") for name in names[:3]) or "copy"

"""A number with the expression that gives it, its numbers filled in.

>>> (number(32) * (number(3) * number(3) * number(1)).group() + number(32)).text
'32×(3×3×1)+32 = 320'
"""

from collections.abc import Sequence

from depthwise.dataclass import dataclass

__all__ = ["Formula", "number", "product", "total"]


@dataclass(frozen=True)
class Formula:
    """A number with the expression that gives it: a leaf (`operands` empty) has a meaning, a node an operator.

    Attributes:
        value: the number.
        operator: "" for a leaf, or one of "+", "−", "×", "÷" (rounded down), "⌈÷⌉" (rounded up), "()".
        operands: what the operator joins.
        meaning: what a leaf counts: "filters", "kernel_height", "input_channels", …; a key of the message catalogue.
    """

    value: int
    operator: str = ""
    operands: tuple["Formula", ...] = ()
    meaning: str = ""

    def __add__(self, other: "Formula") -> "Formula":
        return _join("+", self, other, self.value + other.value)

    def __sub__(self, other: "Formula") -> "Formula":
        return _join("−", self, other, self.value - other.value)

    def __mul__(self, other: "Formula") -> "Formula":
        return _join("×", self, other, self.value * other.value)

    def __floordiv__(self, other: "Formula") -> "Formula":
        return Formula(self.value // other.value, "÷", (self, other))

    def ceiling_divide(self, other: "Formula") -> "Formula":
        """The quotient rounded up."""
        return Formula(-(-self.value // other.value), "⌈÷⌉", (self, other))

    def group(self) -> "Formula":
        """The same in parentheses, kept even where precedence would not need them."""
        return Formula(self.value, "()", (self,))

    @property
    def expression(self) -> str:
        """The right-hand side with its numbers filled in, without the result."""
        if not self.operator:
            return f"{self.value:,}"
        if self.operator == "()":
            return f"({self.operands[0].expression})"
        if self.operator in ("÷", "⌈÷⌉"):
            left, right = "⌊⌋" if self.operator == "÷" else "⌈⌉"
            numerator, denominator = (_in_parentheses(operand) for operand in self.operands)
            return f"{left}{numerator}/{denominator}{right}"
        if self.operator == "×":
            return "×".join(_in_parentheses(operand) for operand in self.operands)
        return self.operator.join(operand.expression for operand in self.operands)

    @property
    def text(self) -> str:
        """`expression = value`; the value alone where there is nothing to compute."""
        return f"{self.expression} = {self.value:,}" if self.operator else f"{self.value:,}"


def _in_parentheses(operand: Formula) -> str:
    return f"({operand.expression})" if operand.operator in ("+", "−") else operand.expression


def _join(operator: str, left: Formula, right: Formula, value: int) -> Formula:
    # "+" and "×" are flat lists: a sum of a sum is one sum. A difference stays a pair.
    operands = left.operands if operator != "−" and left.operator == operator else (left,)
    return Formula(value, operator, (*operands, right))


def number(value: int, meaning: str = "") -> Formula:
    """A leaf: `value`, which counts `meaning`."""
    return Formula(value, meaning=meaning)


def product(factors: Sequence[Formula]) -> Formula:
    result = factors[0]
    for factor in factors[1:]:
        result = result * factor
    return result


def total(terms: Sequence[Formula]) -> Formula:
    result = terms[0] if terms else number(0)
    for term in terms[1:]:
        result = result + term
    return result

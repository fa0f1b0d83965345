"""Arithmetic element by element."""

from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.expression import Apply, Expression, Operand
from depthwise.compiler.ir.operations.accumulate import Accumulate
from depthwise.compiler.ir.program import Operation
from depthwise.compiler.ir.types import ROW, TensorType, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["AFFINE", "Elementwise", "ElementwiseRuns", "ElementwiseSum", "sum_of", "unary"]

AFFINE = Apply("fma", (Operand(0), Operand(1), Operand(2)))
"""x · scale + shift."""


@dataclass(frozen=True)
class Elementwise(Operation):
    """An expression of the operands, each broadcast to the largest shape as in NumPy."""

    expression: Expression

    runs_by_rows: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        sizes = zip_longest(*(reversed(item.shape) for item in operands), fillvalue=1)
        shape = []
        for axis in sizes:
            wanted = max(axis)
            if any(size not in (1, wanted) for size in axis):
                raise self._refuse(f"shapes do not fit: {', '.join(str(item.shape) for item in operands)}")
            shape.append(wanted)
        result = TensorType(tuple(reversed(shape)))
        if any(size not in (1, whole) for item in operands for size, whole in zip(item.map, result.map)):
            raise self._refuse(f"kernels see no map broadcast so: {', '.join(str(item.shape) for item in operands)}")
        if self.expression.operands and self.expression.operands[-1] >= len(operands):
            raise self._refuse(f"{self.expression} reads more than {len(operands)} operands")
        return (result,)

    def window(self, operand: int) -> Window:
        return ROW

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.elementwise(self, gradient)


@dataclass(frozen=True)
class ElementwiseSum(Elementwise):
    """The same, and the sum of what it writes over rows and columns is added to the gradient of `parameter`."""

    parameter: str

    runs_by_rows: ClassVar[bool] = False
    matrix = staticmethod(Accumulate.matrix)

    @property
    def accumulates(self) -> tuple[str, ...]:
        return (self.parameter,)

    def gradient(self, tape: "Tape", gradient: str) -> None:
        raise self._refuse("has no gradient")


@dataclass(frozen=True)
class ElementwiseRuns(Elementwise):
    """The same on maps whose pixels have no room for whole vectors, the caller's for one: rows are runs of numbers. Each operand
    is a map of the result's shape, or a parameter with a number for each channel or for all."""

    writes_exactly: ClassVar[bool] = True

    def reads_exactly(self, operand: int) -> bool:
        return True


def unary(function: str, source: str, result: str) -> Elementwise:
    """A function of one operand."""
    return Elementwise((source,), (result,), Apply(function, (Operand(0),)))


def sum_of(operands: tuple[str, ...], result: str) -> Elementwise:
    """The sum of all operands, in their order."""
    total: Expression = Operand(0)
    for i in range(1, len(operands)):
        total = total + Operand(i)
    return Elementwise(operands, (result,), total)

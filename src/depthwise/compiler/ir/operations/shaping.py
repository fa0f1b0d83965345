"""The same numbers in another place or shape."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.program import Operation
from depthwise.compiler.ir.types import ROW, WHOLE_MAP, Padding, Shape, TensorType, Window

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["Concatenate", "Copy", "Pad", "Repeat", "RepeatSum", "Reshape", "Slice"]


@dataclass(frozen=True)
class Reshape(Operation):
    """The same numbers, rows first, channels innermost, in another shape."""

    shape: Shape

    is_alias: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        if operands[0].size != prod(self.shape):
            raise self._refuse(f"{operands[0].shape} has not as many numbers as {self.shape}")
        return (TensorType(self.shape, operands[0].element),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(self.source, lambda name: Reshape((gradient,), (name,), tape.type(self.source).shape))


@dataclass(frozen=True)
class Pad(Operation):
    """Rows and columns of `value` around the map."""

    padding: Padding
    value: float

    writes_exactly: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        rows, columns, channels = operands[0].map
        top, bottom, left, right = self.padding
        return (operands[0].resized(rows + top + bottom, columns + left + right, channels),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        start = (self.padding[0], self.padding[2], 0)
        tape.give(self.source, lambda name: Slice((gradient,), (name,), start, tape.type(self.source).shape))


@dataclass(frozen=True)
class Slice(Operation):
    """The part of a map of that `shape` which starts at row, column and channel `start`."""

    start: tuple[int, int, int]
    shape: Shape

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        ends = [first + size for first, size in zip(self.start, TensorType(self.shape).map)]
        if any(end > size for end, size in zip(ends, operands[0].map)):
            raise self._refuse(f"{self.shape} from {self.start} on is not inside {operands[0].shape}")
        return (TensorType(self.shape, operands[0].element),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        raise self._refuse("has no gradient yet: front ends do not lower to it")


@dataclass(frozen=True)
class Concatenate(Operation):
    """The operands' channels one after the other."""

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        leading = operands[0].shape[:-1]
        if any(item.shape[:-1] != leading for item in operands):
            raise self._refuse(f"shapes differ: {', '.join(str(item.shape) for item in operands)}")
        return (TensorType((*leading, sum(item.shape[-1] for item in operands))),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        first = 0
        for source in self.operands:
            shape = tape.type(source).shape

            def make(name: str, first: int = first, shape: Shape = shape) -> Operation:
                return Slice((gradient,), (name,), (0, 0, first), shape)

            tape.give(source, make)
            first += shape[-1]


@dataclass(frozen=True)
class Repeat(Operation):
    """Each channel `times` times, neighbours: what a depth multiplier above 1 reads."""

    times: int

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        *leading, channels = operands[0].shape
        return (TensorType((*leading, channels * self.times)),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(self.source, lambda name: RepeatSum((gradient,), (name,), self.times))


@dataclass(frozen=True)
class RepeatSum(Operation):
    """The sum of each `times` neighbouring channels: the gradient of Repeat."""

    times: int

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        *leading, channels = operands[0].shape
        return (TensorType((*leading, channels // self.times)),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def gradient(self, tape: "Tape", gradient: str) -> None:
        raise self._refuse("has no gradient")


@dataclass(frozen=True)
class Copy(Operation):
    """The same map in another place: from and to what the caller gave, or with another border."""

    writes_exactly: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return operands

    def window(self, operand: int) -> Window:
        return ROW

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.pass_on(self.source, gradient)

"""The same numbers in another place or shape."""

from math import prod
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.program import GradientOperation, Operation
from depthwise.compiler.ir.types import ROW, WHOLE_MAP, Padding, Shape, TensorType, Window
from depthwise.dataclass import dataclass
from depthwise.errors import UnsupportedError

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["Concatenate", "Copy", "Pad", "Rearrange", "Repeat", "RepeatSum", "Reshape", "Slice", "Transpose"]


@dataclass(frozen=True)
class Reshape(Operation):
    """The same numbers, rows first, channels innermost, in another shape. From one map to another it goes by way of a vector,
    unless kernels see the same rows, columns and channels in both."""

    shape: Shape

    is_alias: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        if operands[0].size != prod(self.shape):
            raise self._refuse(f"{operands[0].shape} has not as many numbers as {self.shape}")
        source, target = operands[0].map, TensorType(self.shape).map
        if source != target and source[:2] != (1, 1) and target[:2] != (1, 1):
            raise self._refuse(f"from the map {source} to the map {target} it goes by way of a vector")
        return (TensorType(self.shape, operands[0].element),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(self.source, lambda name: Reshape((gradient,), (name,), tape.type(self.source).shape))


@dataclass(frozen=True)
class Pad(Operation):
    """Rows and columns of `value` around the map, and channels of it before and after each pixel's."""

    padding: Padding
    value: float
    channels: tuple[int, int] = (0, 0)

    writes_exactly: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        rows, columns, channels = operands[0].map
        top, bottom, left, right = self.padding
        shape = (rows + top + bottom, columns + left + right, channels + sum(self.channels))
        rank = len(operands[0].shape)
        if any(size != 1 for size in shape[:-rank]):
            raise self._refuse(f"{operands[0].shape} has no such axes to pad")
        return (TensorType(shape[-rank:]),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        start = (self.padding[0], self.padding[2], self.channels[0])
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
        whole, part = tape.type(self.source).map, TensorType(self.shape).map
        after = [size - first - taken for size, first, taken in zip(whole, self.start, part)]
        padding = (self.start[0], after[0], self.start[1], after[1])
        channels = (self.start[2], after[2])
        tape.give(self.source, lambda name: Pad((gradient,), (name,), padding, 0.0, channels))


@dataclass(frozen=True)
class Transpose(Operation):
    """The axes in another order: axis i of the result is axis `axes[i]` of the operand."""

    axes: tuple[int, ...]

    writes_exactly: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        shape = operands[0].shape
        if sorted(self.axes) != list(range(len(shape))):
            raise self._refuse(f"{self.axes} is no order of the axes of {shape}")
        return (TensorType(tuple(shape[axis] for axis in self.axes), operands[0].element),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        back = tuple(self.axes.index(axis) for axis in range(len(self.axes)))
        tape.give(self.source, lambda name: Transpose((gradient,), (name,), back))


@dataclass(frozen=True)
class Rearrange(Operation):
    """Numbers taken from the operand at even distances: result[i] = x[start + Σ i_k · step_k along axis_k].

    Attributes:
        shape: of the result, of any rank.
        start: the place in the operand of the result's first number.
        steps: for each axis of the result (axis of the operand, step); a step of 0 repeats, a negative one goes backwards.
    """

    shape: Shape
    start: tuple[int, ...]
    steps: tuple[tuple[int, int], ...]

    writes_exactly: ClassVar[bool] = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        given = operands[0].shape
        if len(self.start) != len(given) or len(self.steps) != len(self.shape):
            raise self._refuse(f"{self.start} and {self.steps} do not fit {given} and {self.shape}")
        ends = [list(self.start), list(self.start)]
        for size, (axis, step) in zip(self.shape, self.steps):
            ends[step > 0][axis] += (size - 1) * step
        if any(low < 0 or high >= size for low, high, size in zip(*ends, given)):
            raise self._refuse(f"reads outside {given}")
        return (TensorType(self.shape, operands[0].element),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        if tape.needs(self.source):
            raise UnsupportedError(
                f"{self.origin}: gradients do not pass through a strided copy; set trainable=False on the layers before it"
            )


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
class RepeatSum(GradientOperation):
    """The sum of each `times` neighbouring channels: the gradient of Repeat."""

    times: int

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        *leading, channels = operands[0].shape
        return (TensorType((*leading, channels // self.times)),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP


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

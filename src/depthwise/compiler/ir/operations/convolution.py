"""Convolutions, and the same read backwards: the gradient of a convolution's input is a transposed convolution."""

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from depthwise.compiler.ir.operations.accumulate import AccumulateConvolution, AccumulateDepthwise, AccumulateSum
from depthwise.compiler.ir.program import GradientOperation, Operation
from depthwise.compiler.ir.types import NO_BORDER, Padding, TensorType, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["Convolve", "ConvolveDepthwise", "ConvolveDepthwiseTransposed", "ConvolveTransposed", "Pair", "Spread"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class _Windowed(Operation):
    """Operands: the map, the kernel and, where there is one, the bias. Windows that would start in the last `cropped` rows
    and columns of the result are not computed."""

    kernel_size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding

    @property
    def kernel(self) -> str:
        return self.operands[1]

    def _output_size(self, rows: int, columns: int, cropped: Pair) -> Pair:
        sizes = []
        for axis, size in enumerate((rows, columns)):
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
            padded = size + self.padding[2 * axis] + self.padding[2 * axis + 1]
            sizes.append((padded - reach) // self.strides[axis] + 1 - cropped[axis])
        return sizes[0], sizes[1]

    def window(self, operand: int) -> Window:
        reach = (self.kernel_size[0] - 1) * self.dilation[0] + 1
        return Window(reach, self.strides[0], self.padding[0], self.padding)


@dataclass(frozen=True)
class _Convolution(_Windowed):
    activation: str = "linear"
    cropped: Pair = (0, 0)

    @property
    def bias(self) -> str | None:
        return self.operands[2] if len(self.operands) > 2 else None

    def with_activation(self, activation: str) -> "_Convolution | None":
        return replace(self, activation=activation) if self.activation == "linear" else None

    def _result(self, source: TensorType, channels: int) -> TensorType:
        rows, columns, _ = source.map
        size = self._output_size(rows, columns, self.cropped)
        if size == (rows, columns) and len(source.shape) < 3:  # a pointwise convolution of rows or of a vector
            return TensorType((*source.shape[:-1], channels))
        if len(source.shape) not in (2, 3):
            raise self._refuse(f"takes an image or a sequence, got {source.shape}")
        return source.resized(*size, channels)


@dataclass(frozen=True)
class Convolve(_Convolution):
    """An ordinary (or, 1×1, pointwise) convolution; kernel (height, width, channels / groups, filters), bias (filters)."""

    groups: int = 1

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        source, kernel, *bias = operands
        channels = source.map[2]
        filters = kernel.shape[-1]
        if kernel.shape[-2] * self.groups != channels or prod(kernel.shape[:-2]) != prod(self.kernel_size):
            raise self._refuse(f"the kernel {kernel.shape} does not fit {channels} channels in {self.groups} groups")
        if filters % self.groups or any(item.shape != (filters,) for item in bias):
            raise self._refuse(f"bias and groups do not fit {filters} filters")
        return (self._result(source, filters),)

    def reads_exactly(self, operand: int) -> bool:
        return True

    def work(self, result: TensorType, operands: tuple[TensorType, ...]) -> int:
        return result.size * (prod(operands[1].shape[:-1]) // 4)

    def gradient(self, tape: "Tape", gradient: str) -> None:
        gradient = tape.before_activation(self, gradient)
        if self.bias is not None:
            tape.accumulate(AccumulateSum((gradient,), (), self.bias))
        window = (self.kernel_size, self.strides, self.dilation, self.padding)
        tape.accumulate(AccumulateConvolution((self.source, gradient), (), self.kernel, *window, self.groups))
        rows, columns, _ = tape.type(self.source).map
        tape.give(
            self.source,
            lambda name: ConvolveTransposed(
                (gradient, self.kernel), (name,), *window, self.groups, (rows, columns), tape.type(self.source).shape
            ),
        )


@dataclass(frozen=True)
class ConvolveDepthwise(_Convolution):
    """Each channel with its own kernel; kernel (height, width, channels, 1) or what has as many numbers, bias (channels)."""

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        source, kernel, *bias = operands
        channels = source.map[2]
        if kernel.size != prod(self.kernel_size) * channels or any(item.shape != (channels,) for item in bias):
            raise self._refuse(f"the kernel {kernel.shape} does not fit {channels} channels")
        return (self._result(source, channels),)

    def gradient(self, tape: "Tape", gradient: str) -> None:
        gradient = tape.before_activation(self, gradient)
        if self.bias is not None:
            tape.accumulate(AccumulateSum((gradient,), (), self.bias))
        window = (self.kernel_size, self.strides, self.dilation, self.padding)
        tape.accumulate(AccumulateDepthwise((self.source, gradient), (), self.kernel, *window))
        rows, columns, _ = tape.type(self.source).map
        tape.give(
            self.source,
            lambda name: ConvolveDepthwiseTransposed(
                (gradient, self.kernel), (name,), *window, (rows, columns), tape.type(self.source).shape
            ),
        )


@dataclass(frozen=True)
class _Transposed(_Windowed):
    """Operands: what a convolution's result would be, or its gradient; the convolution's kernel. All arguments are the
    convolution's."""

    def _mirrored(self) -> Window:
        """How the gradient is read by a convolution with the mirrored kernel and stride 1, to reach every cell of the map."""
        size: Pair = self.size  # type: ignore[attr-defined]
        read: Pair = self.read  # type: ignore[attr-defined]
        sides = []
        for axis in range(2):
            before = self.padding[2 * axis]
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis]
            sides += [max(0, reach - before), max(0, size[axis] - 1 + before - (read[axis] - 1))]
        return Window(whole=True, border=(sides[0], sides[1], sides[2], sides[3]))


@dataclass(frozen=True)
class ConvolveTransposed(_Transposed):
    """The convolution read backwards: every number of the operand is added, times the kernel, to the cells of its window.

    Attributes:
        size: rows and columns of the result. shape: its whole shape.
        read: rows and columns of the operand, once a pass has chosen to gather; (0, 0) scatters: one contraction for each
            cell of the kernel, no zeros multiplied, whatever strides and padding. Gathering is a convolution of the operand
            with the mirrored kernel, zeros around; it takes stride 1.
    """

    groups: int
    size: Pair
    shape: tuple[int, ...]
    read: Pair = (0, 0)

    @property
    def scatters(self) -> bool:
        return self.read == (0, 0)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (TensorType(self.shape),)

    def gradient(self, tape: "Tape", gradient: str) -> None:
        window = (self.kernel_size, self.strides, self.dilation, self.padding)
        tape.accumulate(AccumulateConvolution((gradient, self.source), (), self.kernel, *window, self.groups))
        tape.give(self.source, lambda name: Convolve((gradient, self.kernel), (name,), *window, groups=self.groups))

    def window(self, operand: int) -> Window:
        return Window(whole=True) if self.scatters else self._mirrored()

    def reads_exactly(self, operand: int) -> bool:
        return self.scatters

    def work(self, result: TensorType, operands: tuple[TensorType, ...]) -> int:
        return operands[0].size * (prod(operands[1].shape[:-1]) // 4)

    def valid(self, rows: int, columns: int) -> tuple[list[Pair], list[Pair]]:
        """For each row and each column of the kernel: (first, how many) of the operand's `rows` and `columns` whose windows
        have that cell inside the map."""
        spans = []
        for axis, count in enumerate((rows, columns)):
            stride, cells = self.strides[axis], []
            for cell in range(self.kernel_size[axis]):
                offset = cell * self.dilation[axis] - self.padding[2 * axis]
                first = max(0, -(offset // stride))
                cells.append((first, max(0, min(count, (self.size[axis] - 1 - offset) // stride + 1) - first)))
            spans.append(cells)
        return spans[0], spans[1]


@dataclass(frozen=True)
class ConvolveDepthwiseTransposed(_Transposed):
    """The same for a depthwise convolution, always gathered: a pass puts zeros between the operand's rows and columns where
    the strides ask for them (`Spread`), and says so in `read`."""

    size: Pair
    shape: tuple[int, ...]
    read: Pair = (0, 0)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (TensorType(self.shape),)

    def window(self, operand: int) -> Window:
        return self._mirrored()

    def gradient(self, tape: "Tape", gradient: str) -> None:
        raise self._refuse("has no gradient")


@dataclass(frozen=True)
class Spread(GradientOperation):
    """The map with zeros between its rows and columns, so that they are as far apart as `strides`."""

    strides: Pair

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (source,) = operands
        rows, columns, channels = source.map
        return (TensorType(((rows - 1) * self.strides[0] + 1, (columns - 1) * self.strides[1] + 1, channels)),)

    def window(self, operand: int) -> Window:
        return Window(whole=True, border=NO_BORDER)

    def reads_exactly(self, operand: int) -> bool:
        return True

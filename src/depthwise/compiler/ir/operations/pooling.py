"""Maxima, means and sums over windows and over whole maps, and their gradients."""

from dataclasses import replace
from typing import TYPE_CHECKING

from depthwise.compiler.ir.expression import Operand
from depthwise.compiler.ir.operations.convolution import Pair
from depthwise.compiler.ir.operations.elementwise import Elementwise
from depthwise.compiler.ir.program import GradientOperation, Operation
from depthwise.compiler.ir.types import NO_BORDER, ROW, WHOLE_MAP, Padding, Shape, TensorType, Window
from depthwise.dataclass import dataclass
from depthwise.errors import UnsupportedError

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["PoolGradient", "PoolWindows", "Reduce", "ReduceMap", "ReduceMapGradient", "Sum"]


@dataclass(frozen=True)
class PoolWindows(Operation):
    """The "max" or "mean" of windows that stay inside the map with its `padding`, numbers `fill` around it.

    `counted_padding`: the mean divides by the cells that are not this padding, be it in `padding` or part of the map.
    """

    kind: str
    pool_size: Pair
    strides: Pair
    counted_padding: Padding = NO_BORDER
    activation: str = "linear"
    padding: Padding = NO_BORDER
    fill: float = 0.0

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (source,) = operands
        rows, columns, channels = source.map
        padded = rows + sum(self.padding[:2]), columns + sum(self.padding[2:])
        size = [(total - self.pool_size[i]) // self.strides[i] + 1 for i, total in enumerate(padded)]
        return (source.resized(size[0], size[1], channels),)

    def window(self, operand: int) -> Window:
        whole = any(self.counted_padding)
        return Window(self.pool_size[0], self.strides[0], self.padding[0], self.padding, whole, self.fill)

    def with_activation(self, activation: str) -> "PoolWindows | None":
        return replace(self, activation=activation) if self.activation == "linear" else None

    def gradient(self, tape: "Tape", gradient: str) -> None:
        gradient = tape.before_activation(self, gradient)
        arguments = (self.kind, self.pool_size, self.strides, self.counted_padding)
        tape.give(self.source, lambda name: PoolGradient((self.source, gradient), (name,), *arguments))


@dataclass(frozen=True)
class PoolGradient(GradientOperation):
    """Operands: the pooling's input, the gradient of its result. The first cell of a window that holds the maximum gets all."""

    kind: str
    pool_size: Pair
    strides: Pair
    counted_padding: Padding

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (operands[0],)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP


@dataclass(frozen=True)
class ReduceMap(Operation):
    """The "max" or "mean" of each channel over rows and columns: (channels,), or with `keepdims` as many axes as before, of length 1."""

    kind: str
    keepdims: bool = False

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (source,) = operands
        channels = source.map[2]
        return (source.resized(1, 1, channels) if self.keepdims else TensorType((channels,)),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def work(self, result: TensorType, operands: tuple[TensorType, ...]) -> int:
        return operands[0].size // 8

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(self.source, lambda name: ReduceMapGradient((self.source, gradient), (name,), self.kind))


@dataclass(frozen=True)
class ReduceMapGradient(GradientOperation):
    """Operands: the reduction's input, the gradient of its result."""

    kind: str

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (operands[0],)

    def window(self, operand: int) -> Window:
        return ROW if operand else WHOLE_MAP


@dataclass(frozen=True)
class Sum(Operation):
    """The sum over the axes along which `shape`, broadcast to the operand's as in NumPy, has the size 1 and the operand more."""

    shape: Shape

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        wanted, given = TensorType(self.shape).map, operands[0].map
        if any(size not in (1, whole) for size, whole in zip(wanted, given)):
            raise self._refuse(f"{operands[0].shape} cannot be summed to {self.shape}")
        return (TensorType(self.shape),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def gradient(self, tape: "Tape", gradient: str) -> None:
        operands = (gradient, self.source)
        tape.give(self.source, lambda name: Elementwise(operands, (name,), Operand(0)))


@dataclass(frozen=True)
class Reduce(Sum):
    """As `Sum`, but of "max", "min" or "multiply"."""

    kind: str

    def gradient(self, tape: "Tape", gradient: str) -> None:
        if tape.needs(self.source):
            raise UnsupportedError(
                f"{self.origin}: gradients do not pass through this reduction; set trainable=False on the layers before it"
            )

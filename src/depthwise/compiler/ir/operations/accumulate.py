"""What adds to the gradient of a parameter. A parameter that several operations read gets the sum of what each adds."""

from math import prod
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.program import GradientOperation, Scope
from depthwise.compiler.ir.types import WHOLE_MAP, Padding, Shape, TensorType, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    pass

__all__ = [
    "Accumulate",
    "AccumulateContraction",
    "AccumulateConvolution",
    "AccumulateDepthwise",
    "AccumulateMap",
    "AccumulateSum",
]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Accumulate(GradientOperation):
    """Base of what adds to the gradient of `parameter`; it writes no tensor.

    Each chunk of samples collects its own sums, which are added up in the chunks' order at the end of the batch.
    """

    parameter: str

    @property
    def accumulates(self) -> tuple[str, ...]:
        return (self.parameter,)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return ()

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    @staticmethod
    def matrix(shape: Shape) -> tuple[int, int]:
        """Rows and columns of the parameter as its sums are collected: the last axis across, all else down."""
        return prod(shape[:-1]), shape[-1]


@dataclass(frozen=True)
class AccumulateConvolution(Accumulate):
    """The kernel of a convolution. Operands: the convolution's input, the gradient of its result."""

    kernel_size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding
    groups: int

    def window(self, operand: int) -> Window:
        return Window(whole=True, border=self.padding) if operand == 0 else WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return operand == 0

    def reads_by_groups(self, operand: int) -> bool:
        return operand == 1 and self.groups > 1


@dataclass(frozen=True)
class AccumulateDepthwise(Accumulate):
    """The kernel of a depthwise convolution. Operands: the convolution's input, the gradient of its result."""

    kernel_size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding

    def window(self, operand: int) -> Window:
        return Window(whole=True, border=self.padding) if operand == 0 else WHOLE_MAP

    @staticmethod
    def matrix(shape: Shape) -> tuple[int, int]:
        """A row for each cell of the kernel, all channels across."""
        return prod(shape[:-2]), prod(shape[-2:])


@dataclass(frozen=True)
class AccumulateContraction(Accumulate):
    """The kernel of a contraction: operandᵀ · gradient, over all samples at once."""

    scope: ClassVar[Scope] = Scope.BATCH

    def reads_exactly(self, operand: int) -> bool:
        return True


@dataclass(frozen=True)
class AccumulateSum(Accumulate):
    """A parameter of one number a channel that was added to each pixel: the sum of the operand over rows and columns."""


@dataclass(frozen=True)
class AccumulateMap(Accumulate):
    """A parameter that was broadcast to the operand's shape: the sum of the operand over the axes that were broadcast."""

"""What mixes the channels of a pixel: softmax and normalisation; and dropout."""

from typing import TYPE_CHECKING

from depthwise.compiler.ir.program import GradientOperation, Operation
from depthwise.compiler.ir.types import ROW, WHOLE_MAP, TensorType, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["Dropout", "NormaliseRows", "NormaliseRowsGradient", "Softmax", "SoftmaxGradient"]


@dataclass(frozen=True)
class Softmax(Operation):
    """Over the last axis; with `logarithm` the logarithm of it."""

    logarithm: bool = False

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return operands

    def window(self, operand: int) -> Window:
        return ROW

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(self.source, lambda name: SoftmaxGradient((self.output, gradient), (name,), self.logarithm))


@dataclass(frozen=True)
class SoftmaxGradient(GradientOperation):
    """Operands: softmax's result, the gradient of it."""

    logarithm: bool = False

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (operands[0],)

    def window(self, operand: int) -> Window:
        return ROW


@dataclass(frozen=True)
class NormaliseRows(Operation):
    """(x − mean) / √(variance + epsilon) over the last axis."""

    epsilon: float

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return operands

    def window(self, operand: int) -> Window:
        return ROW

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(self.source, lambda name: NormaliseRowsGradient((self.source, gradient), (name,), self.epsilon))


@dataclass(frozen=True)
class NormaliseRowsGradient(GradientOperation):
    """Operands: the normalisation's input, the gradient of its result."""

    epsilon: float

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (operands[0],)

    def window(self, operand: int) -> Window:
        return ROW


@dataclass(frozen=True)
class Dropout(Operation):
    """Dropout in training; `layer` tells the layers' random numbers apart. Its gradient makes the same choice again."""

    rate: float
    layer: int

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return operands

    def window(self, operand: int) -> Window:
        return WHOLE_MAP  # what is dropped follows from the place in the whole map

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(self.source, lambda name: Dropout((gradient,), (name,), self.rate, self.layer))

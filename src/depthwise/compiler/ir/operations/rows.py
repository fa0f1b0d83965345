"""Softmax, which mixes the channels of a pixel, and dropout."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from depthwise.compiler.ir.program import Operation
from depthwise.compiler.ir.types import ROW, WHOLE_MAP, TensorType, Window

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["Dropout", "Softmax", "SoftmaxGradient"]


@dataclass(frozen=True)
class Softmax(Operation):
    """Over the last axis."""

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return operands

    def window(self, operand: int) -> Window:
        return ROW

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.give(self.source, lambda name: SoftmaxGradient((self.output, gradient), (name,)))


@dataclass(frozen=True)
class SoftmaxGradient(Operation):
    """Operands: softmax's result, the gradient of it."""

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (operands[0],)

    def window(self, operand: int) -> Window:
        return ROW

    def gradient(self, tape: "Tape", gradient: str) -> None:
        raise self._refuse("has no gradient")


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

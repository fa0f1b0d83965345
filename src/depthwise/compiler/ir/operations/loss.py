"""Losses and their gradients: a number for each pixel of the output; one for a vector, and where the loss is of all pixels."""

from math import prod
from typing import TYPE_CHECKING

from depthwise.compiler.ir.formula import Formula
from depthwise.compiler.ir.program import Operation, Scope
from depthwise.compiler.ir.types import WHOLE_MAP, TensorType, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["HandOver", "LossGradient", "LossValue"]


@dataclass(frozen=True)
class _Loss(Operation):
    kind: str
    smoothing: float
    sparse: bool
    formula: Formula | None

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        raise self._refuse("has no gradient: it is where gradients start")


@dataclass(frozen=True)
class LossValue(_Loss):
    """Operands: the predictions (or logits), the target. One number a pixel (or for all of them), in a row."""

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        whole = self.formula is not None and self.formula.whole
        return (TensorType((1 if whole else prod(operands[0].map[:2]),)),)


@dataclass(frozen=True)
class LossGradient(_Loss):
    """Operands: the predictions (or what the fused rule reads), the target, each pixel's weight over the number of all.

    A loss that Python computes has its gradient for a target, and a fourth operand: the `HandOver` to wait for.
    """

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (operands[0],)


@dataclass(frozen=True)
class HandOver(Operation):
    """All predictions of the batch are with the caller, who computes gradients of them before the step goes on."""

    scope = Scope.BATCH

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (TensorType((1,)),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def gradient(self, tape: "Tape", gradient: str) -> None:
        raise self._refuse("has no gradient: it is where gradients come in")

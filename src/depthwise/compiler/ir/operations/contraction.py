"""Vectors times matrices: dense layers."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.operations.accumulate import AccumulateContraction, AccumulateSum
from depthwise.compiler.ir.program import GradientOperation, Operation, Scope
from depthwise.compiler.ir.types import WHOLE_MAP, TensorType, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = ["Contract", "ContractTransposed"]


@dataclass(frozen=True)
class Contract(Operation):
    """activation(x · kernel + bias) for a vector x (axes before its last one have the size 1). Operands: x, kernel (inputs, units) and, where there is one, bias."""

    activation: str = "linear"

    scope: ClassVar[Scope] = Scope.GROUP

    @property
    def kernel(self) -> str:
        return self.operands[1]

    @property
    def bias(self) -> str | None:
        return self.operands[2] if len(self.operands) > 2 else None

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        source, kernel, *bias = operands
        inputs, units = kernel.shape
        if source.map != (1, 1, inputs) or any(item.shape != (units,) for item in bias):
            raise self._refuse(f"the kernel {kernel.shape} does not fit {source.shape}")
        return (TensorType((*source.shape[:-1], units)),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

    def reads_exactly(self, operand: int) -> bool:
        return True

    def work(self, result: TensorType, operands: tuple[TensorType, ...]) -> int:
        return result.size * (operands[1].shape[0] // 4)

    def with_activation(self, activation: str) -> "Contract | None":
        return replace(self, activation=activation) if self.activation == "linear" else None

    def gradient(self, tape: "Tape", gradient: str) -> None:
        gradient = tape.before_activation(self, gradient)
        if self.bias is not None:
            tape.accumulate(AccumulateSum((gradient,), (), self.bias))
        tape.accumulate(AccumulateContraction((self.source, gradient), (), self.kernel))
        tape.give(self.source, lambda name: ContractTransposed((gradient, self.kernel), (name,)))


@dataclass(frozen=True)
class ContractTransposed(GradientOperation):
    """x · kernelᵀ. Operands: x, kernel (inputs, units)."""

    scope: ClassVar[Scope] = Scope.GROUP

    @property
    def kernel(self) -> str:
        return self.operands[1]

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        source, kernel = operands
        inputs, units = kernel.shape
        if source.map != (1, 1, units):
            raise self._refuse(f"the kernel {kernel.shape} does not fit {source.shape}")
        return (TensorType((*source.shape[:-1], inputs)),)

    def window(self, operand: int) -> Window:
        return WHOLE_MAP

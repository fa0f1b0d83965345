"""Batch normalisation in training: with the mean and variance of the batch.

`NormaliseBatch` and its gradient are what `differentiate` works on; the pass `expand_batch_normalisation` makes each three
operations: collect over the samples, finish once all samples are done, apply. What is collected is tied together by `key`.
"""

from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir.program import GradientOperation, Operation, Scope
from depthwise.compiler.ir.types import ROW, WHOLE_MAP, TensorType, Window
from depthwise.dataclass import dataclass

if TYPE_CHECKING:
    from depthwise.compiler.differentiate import Tape

__all__ = [
    "CollectMoments",
    "CollectNormalisationSums",
    "FinishMoments",
    "FinishNormalisationSums",
    "NormaliseBatch",
    "NormaliseBatchGradient",
]


@dataclass(frozen=True)
class NormaliseBatch(Operation):
    """(x − mean) · gamma / deviation + beta; moves the moving statistics.

    Operands: x and, where they are, gamma and beta.
    """

    gamma: str | None
    beta: str | None
    moving_mean: str
    moving_variance: str
    momentum: float
    epsilon: float

    @property
    def updates(self) -> tuple[str, ...]:
        return self.moving_mean, self.moving_variance

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (operands[0],)

    def window(self, operand: int) -> Window:
        return ROW

    def gradient(self, tape: "Tape", gradient: str) -> None:
        tape.emit(
            NormaliseBatchGradient(
                (self.source, gradient), (tape.fresh(self.source),), self.output, self.gamma, self.beta,
                tape.trains(self.gamma), tape.trains(self.beta),
            )
        )  # fmt: skip
        tape.take(self.source)


@dataclass(frozen=True)
class NormaliseBatchGradient(GradientOperation):
    """Operands: the normalisation's input, the gradient of its result. `key` is the normalisation's result."""

    key: str
    gamma: str | None
    beta: str | None
    gamma_trains: bool
    beta_trains: bool

    @property
    def accumulates(self) -> tuple[str, ...]:
        pairs = ((self.beta, self.beta_trains), (self.gamma, self.gamma_trains))
        return tuple(name for name, trains in pairs if name is not None and trains)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (operands[0],)

    def window(self, operand: int) -> Window:
        return ROW


@dataclass(frozen=True)
class _Collect(GradientOperation):
    key: str

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return ()

    def window(self, operand: int) -> Window:
        return WHOLE_MAP


@dataclass(frozen=True)
class CollectMoments(_Collect):
    """Collects mean and spread of its operand."""


@dataclass(frozen=True)
class CollectNormalisationSums(_Collect):
    """Operands: the normalisation's input, the gradient of its result, the batch's mean and 1 / deviation. Collects the sums
    of dy and dy · x̂."""


@dataclass(frozen=True)
class _Finish(GradientOperation):
    key: str
    pixels: int
    channels: int
    gamma: str | None
    beta: str | None

    scope: ClassVar[Scope] = Scope.BATCH

    def window(self, operand: int) -> Window:
        return WHOLE_MAP


@dataclass(frozen=True)
class FinishMoments(_Finish):
    """Once all samples are done: the batch's statistics from those of its chunks; moves the moving ones.

    Results, one number a channel each: mean, 1 / deviation, gamma / deviation, beta.
    """

    moving_mean: str
    moving_variance: str
    momentum: float
    epsilon: float

    @property
    def updates(self) -> tuple[str, ...]:
        return self.moving_mean, self.moving_variance

    @property
    def reads_besides(self) -> tuple[str, ...]:
        return tuple(name for name in (self.gamma, self.beta) if name is not None)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (TensorType((self.channels,)),) * 4


@dataclass(frozen=True)
class FinishNormalisationSums(_Finish):
    """Once all samples are done: the gradients of beta and gamma, and, as results, the means of dy and dy · x̂."""

    gamma_trains: bool
    beta_trains: bool

    @property
    def accumulates(self) -> tuple[str, ...]:
        pairs = ((self.beta, self.beta_trains), (self.gamma, self.gamma_trains))
        return tuple(name for name, trains in pairs if name is not None and trains)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        return (TensorType((self.channels,)),) * 2

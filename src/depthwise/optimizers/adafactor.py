"""Adafactor: second moments of a matrix as a row and a column."""

import math
from math import prod
from typing import ClassVar

from depthwise.compiler.ir.expression import Expression, apply
from depthwise.compiler.ir.types import Value
from depthwise.compiler.ir.update import GRADIENT, WEIGHT, FactoredMoments, Scalar, SpecialPhase, sum_of_squares
from depthwise.dataclass import dataclass
from depthwise.errors import UnsupportedError
from depthwise.optimizers.description import OptimizerDescription, Results
from depthwise.optimizers.terms import VELOCITY, fma, sqrt

__all__ = ["Adafactor"]


@dataclass(frozen=True)
class Adafactor(OptimizerDescription):
    """w ← w - a × u / max(1, rms(u) / clip_threshold) with u = g / √v and a = max(epsilon_2, rms(w)) ×
    min(learning_rate, 1 / √t), t the steps counted from 1 (Shazeer and Stern 2018, arXiv:1804.04235). v is a running mean of
    g² + epsilon_1 that forgets by 1 - t^beta_2_decay; of a weight with several axes only its means along the last two are kept.

    Args:
        beta_2_decay: at most 0.
        epsilon_1: added to g². epsilon_2: the least that rms(w) counts for.
        clip_threshold: the largest root mean square of u.
        relative_step: accepted for compatibility with Keras; the learning rate is at most 1 / √t in any case.
    """

    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True

    default_name: ClassVar[str] = "adafactor"

    def _normalise(self) -> None:
        decay = self._number("beta_2_decay", self.beta_2_decay, "at most 0", least=-math.inf, most=0.0)
        self._set(beta_2_decay=decay)
        self._numbers("epsilon_1", "epsilon_2")
        threshold = self._number("clip_threshold", self.clip_threshold, "a number above 0", above=True)
        self._set(clip_threshold=threshold)
        self._flag("relative_step")
        if self.gradient_accumulation_steps:
            raise UnsupportedError(
                "Adafactor: gradient_accumulation_steps is not supported, got "
                f"{self.gradient_accumulation_steps}; leave it out, or give larger batches"
            )

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        return (("r", "c", "velocity"),)

    def slot_shape(self, slot: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        if slot not in ("r", "c"):
            return shape
        if len(shape) < 2:
            return ()  # Keras keeps a number there, which nothing reads
        return shape[:-1] if slot == "r" else (*shape[:-2], shape[-1])

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        rest = step**self.beta_2_decay
        return {
            "kept": 1.0 - rest,
            "rest": rest,
            "step_size": min(rate, 1.0 / math.sqrt(step)),
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "inverse_threshold": 1.0 / self.clip_threshold,
        }

    def rule_for(self, weight: Expression, gradient: Expression, value: Value) -> tuple[Results | SpecialPhase, ...]:
        first: Results = {"gradient": gradient}
        if weight is not WEIGHT:
            first["weight"] = weight
        factored = len(value.shape) >= 2
        second: Results = {"gradient": GRADIENT / sqrt(VELOCITY)}
        if not factored:
            squares = (GRADIENT * GRADIENT + Scalar("epsilon_1")) * Scalar("rest")
            velocity = fma(VELOCITY, Scalar("kept"), squares)
            second = {"gradient": GRADIENT / sqrt(velocity), "velocity": velocity}
        share = 1.0 / prod(value.shape)
        size = apply("max", Scalar("epsilon_2"), sqrt(sum_of_squares("weight") * share)) * Scalar("step_size")
        excess = apply("max", 1.0, sqrt(sum_of_squares("gradient") * share) * Scalar("inverse_threshold"))
        third: Results = {"weight": WEIGHT - size * (GRADIENT / excess)}
        return (first, *((FactoredMoments(),) if factored else ()), second, third)

"""Losses of numbers."""

from dataclasses import field
from math import log

import numpy as np

from depthwise.compiler.ir.expression import apply
from depthwise.compiler.ir.formula import PREDICTION, TARGET, Formula, Reduction, mean_of, result
from depthwise.dataclass import dataclass
from depthwise.losses.base import EPSILON, Array, FormulaLoss, Loss

__all__ = [
    "CosineSimilarity",
    "Huber",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
]


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean over the outputs of (target - prediction)². Labels and predictions (batch, …, outputs)."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "mean_squared_error"
    dtype: str | None = field(default=None, compare=False)

    def _values(self, targets: Array, predictions: Array) -> Array:
        return np.asarray(np.square(targets - predictions).mean(axis=-1))


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Mean over the outputs of |target - prediction|. Labels and predictions (batch, …, outputs)."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "mean_absolute_error"
    dtype: str | None = field(default=None, compare=False)

    def _values(self, targets: Array, predictions: Array) -> Array:
        return np.asarray(np.abs(targets - predictions).mean(axis=-1))


@dataclass(frozen=True)
class MeanAbsolutePercentageError(FormulaLoss):
    """Mean over the outputs of 100 · |target - prediction| / max(|target|, 1e-7)."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "mean_absolute_percentage_error"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        scale = apply("maximum", EPSILON, apply("abs", TARGET))
        return mean_of(apply("abs", (TARGET - PREDICTION) / scale) * 100.0, size)


@dataclass(frozen=True)
class MeanSquaredLogarithmicError(FormulaLoss):
    """Mean over the outputs of (ln(1 + prediction) - ln(1 + target))², both at least 1e-7."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "mean_squared_logarithmic_error"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        first, second = (apply("log", apply("maximum", EPSILON, item) + 1.0) for item in (PREDICTION, TARGET))
        difference = first - second
        return mean_of(difference * difference, size)


@dataclass(frozen=True)
class Huber(FormulaLoss):
    """Mean over the outputs of e² / 2 where the error e is at most `delta`, else delta · |e| - delta² / 2.

    Args:
        delta: where the square becomes a line.
        reduction, name, dtype: see `SparseCategoricalCrossentropy`.
    """

    delta: float = 1.0
    reduction: str | None = "sum_over_batch_size"
    name: str = "huber_loss"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        error = PREDICTION - TARGET
        distance = apply("abs", error)
        line = distance * self.delta - 0.5 * self.delta * self.delta
        return mean_of(apply("where_ole", distance, self.delta, error * error * 0.5, line), size)


@dataclass(frozen=True)
class LogCosh(FormulaLoss):
    """Mean over the outputs of ln cosh(prediction - target): a square near 0, a line far from it."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "log_cosh"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        error = PREDICTION - TARGET
        return mean_of(error + apply("softplus", error * -2.0) - log(2.0), size)


@dataclass(frozen=True)
class Poisson(FormulaLoss):
    """Mean over the outputs of prediction - target · ln(prediction + 1e-7): targets are counts."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "poisson"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        return mean_of(PREDICTION - TARGET * apply("log", PREDICTION + EPSILON), size)


@dataclass(frozen=True)
class CosineSimilarity(FormulaLoss):
    """Minus the cosine of the angle between target and prediction: -1 where they point the same way, 0 where one is zero."""

    axis: int = -1
    reduction: str | None = "sum_over_batch_size"
    name: str = "cosine_similarity"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        squares = Reduction("sum", PREDICTION * PREDICTION), Reduction("sum", TARGET * TARGET)
        # Inside the root, so that the slope of a zero vector is a number.
        lengths = [apply("sqrt", apply("maximum", EPSILON * EPSILON, result(i))) for i in (0, 1)]
        return Formula((*squares, Reduction("sum", PREDICTION * TARGET)), -(result(2) / (lengths[0] * lengths[1])))

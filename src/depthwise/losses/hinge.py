"""Hinge losses: labels say on which side of a margin a prediction must be."""

from dataclasses import field

import numpy as np

from depthwise.compiler.ir.expression import Expression, apply
from depthwise.compiler.ir.formula import PREDICTION, TARGET, Formula, Reduction, mean_of, result
from depthwise.dataclass import dataclass
from depthwise.losses.base import Array, FormulaLoss

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


def _missing() -> Expression:
    """How far the prediction is from the margin, 0 beyond it."""
    return apply("maximum", 0.0, 1.0 - TARGET * PREDICTION)


def _signs(targets: Array) -> Array:
    """-1 and 1 for labels that are all 0 and 1, as Keras takes them; other labels as they are."""
    if not ((targets == 0) | (targets == 1)).all():
        return targets
    kind = targets.dtype.type
    return np.asarray(targets * kind(2) - kind(1))


@dataclass(frozen=True)
class Hinge(FormulaLoss):
    """Mean over the outputs of max(1 - target · prediction, 0). Labels are -1 and 1, or 0 and 1 in the whole batch."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "hinge"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        return mean_of(_missing(), size)

    def batch_targets(self, targets: Array) -> Array:
        return _signs(targets)


@dataclass(frozen=True)
class SquaredHinge(FormulaLoss):
    """Mean over the outputs of max(1 - target · prediction, 0)². Labels are -1 and 1, or 0 and 1 in the whole batch."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "squared_hinge"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        missing = _missing()
        return mean_of(missing * missing, size)

    def batch_targets(self, targets: Array) -> Array:
        return _signs(targets)


@dataclass(frozen=True)
class CategoricalHinge(FormulaLoss):
    """max(1 + the largest prediction of a wrong class - that of the right one, 0). Labels are one-hot."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "categorical_hinge"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        right = Reduction("sum", TARGET * PREDICTION)
        wrong = Reduction("max", (1.0 - TARGET) * PREDICTION)
        return Formula((right, wrong), apply("maximum", 0.0, result(1) - result(0) + 1.0))

"""Losses of overlap, for segmentation: how much of the predicted area lies on the labelled one."""

from dataclasses import field
from typing import ClassVar

from depthwise.compiler.ir.formula import PREDICTION, TARGET, Formula, Reduction, result
from depthwise.dataclass import dataclass
from depthwise.losses.base import EPSILON, FormulaLoss

__all__ = ["Dice", "Tversky"]


@dataclass(frozen=True)
class Dice(FormulaLoss):
    """1 - 2 Σ target · prediction / (Σ target + Σ prediction + 1e-7).

    Args:
        axis: the axes that the sums run over: None for all, so that the whole batch has one loss; (1, 2, 3) for a loss of
            each map.
        reduction, name, dtype: see `SparseCategoricalCrossentropy`.

    Shapes: labels and predictions (batch, …, outputs), probabilities of each output.
    """

    reduction: str | None = "sum_over_batch_size"
    name: str = "dice"
    axis: int | tuple[int, ...] | None = None
    dtype: str | None = field(default=None, compare=False)

    axes_may_be_several: ClassVar[bool] = True

    def formula(self, size: int) -> Formula:
        sums = (Reduction("sum", TARGET * PREDICTION), Reduction("sum", TARGET), Reduction("sum", PREDICTION))
        return Formula(sums, 1.0 - 2.0 * result(0) / (result(1) + result(2) + EPSILON))


@dataclass(frozen=True)
class Tversky(FormulaLoss):
    """1 - common / (common + alpha · missed + beta · wrong + 1e-7), with common = Σ target · prediction (Salehi et al. 2017).

    Args:
        alpha: how much labelled area that is not predicted counts.
        beta: how much predicted area that is not labelled counts.
        axis, reduction, name, dtype: see `Dice`.
    """

    alpha: float = 0.5
    beta: float = 0.5
    reduction: str | None = "sum_over_batch_size"
    name: str = "tversky"
    axis: int | tuple[int, ...] | None = None
    dtype: str | None = field(default=None, compare=False)

    axes_may_be_several: ClassVar[bool] = True

    def formula(self, size: int) -> Formula:
        common = Reduction("sum", TARGET * PREDICTION)
        missed = Reduction("sum", (1.0 - PREDICTION) * TARGET)
        wrong = Reduction("sum", PREDICTION * (1.0 - TARGET))
        whole = result(0) + result(1) * self.alpha + result(2) * self.beta + EPSILON
        return Formula((common, missed, wrong), 1.0 - result(0) / whole)

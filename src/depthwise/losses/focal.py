"""Losses of probabilities by formula: focal cross-entropies, which weigh what is predicted well less, and divergences."""

from dataclasses import field
from typing import ClassVar

from depthwise.compiler.ir.expression import Expression, apply
from depthwise.compiler.ir.formula import PREDICTION, TARGET, Formula, Reduction, mean_of, result
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.losses.base import EPSILON, FormulaLoss

__all__ = [
    "BinaryFocalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "KLDivergence",
]


def _clipped(p: Expression, most: float = 1.0 - EPSILON) -> Expression:
    return apply("minimum", most, apply("maximum", EPSILON, p))


@dataclass(frozen=True)
class BinaryFocalCrossentropy(FormulaLoss):
    """Mean over the outputs of (1 - pₜ)^gamma · binary cross-entropy, pₜ the probability of what the label says (Lin et al. 2018).

    Args:
        apply_class_balancing: weigh label 1 by `alpha`, label 0 by 1 - alpha.
        alpha: see there.
        gamma: how much less what is predicted well counts.
        from_logits, label_smoothing: see `BinaryCrossentropy`.
        axis, reduction, name, dtype: see `SparseCategoricalCrossentropy`.
    """

    apply_class_balancing: bool = False
    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    reduction: str | None = "sum_over_batch_size"
    name: str = "binary_focal_crossentropy"
    dtype: str | None = field(default=None, compare=False)

    probabilities: ClassVar[str | None] = "sigmoid"

    def formula(self, size: int) -> Formula:
        p = apply("sigmoid", PREDICTION) if self.from_logits else PREDICTION
        kept = _clipped(p)
        entropy = -(TARGET * apply("log", kept) + (1.0 - TARGET) * apply("log", 1.0 - kept))
        right = TARGET * p + (1.0 - TARGET) * (1.0 - p)
        focal = apply("power", 1.0 - right, self.gamma) * entropy
        if self.apply_class_balancing:
            focal = (TARGET * self.alpha + (1.0 - TARGET) * (1.0 - self.alpha)) * focal
        return mean_of(focal, size)


@dataclass(frozen=True)
class CategoricalFocalCrossentropy(FormulaLoss):
    """-Σ alpha · (1 - p)^gamma · target · ln p: one class a sample, given as one-hot labels (Lin et al. 2018).

    Args:
        alpha: a factor of the whole.
        gamma: how much less what is predicted well counts.
        from_logits, label_smoothing: see `CategoricalCrossentropy`.
        axis, reduction, name, dtype: see `SparseCategoricalCrossentropy`.
    """

    alpha: float = 0.25
    gamma: float = 2.0
    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    reduction: str | None = "sum_over_batch_size"
    name: str = "categorical_focal_crossentropy"
    dtype: str | None = field(default=None, compare=False)

    probabilities: ClassVar[str | None] = "softmax"

    def formula(self, size: int) -> Formula:
        before: tuple[Reduction, ...] = ()
        p: Expression = PREDICTION
        if self.from_logits:
            before = (Reduction("max", PREDICTION, fixed=True),)
            p = apply("exp", PREDICTION - result(0))
        total = Reduction("sum", p)
        share = _clipped(p / result(len(before)))
        focal = apply("power", 1.0 - share, self.gamma) * self.alpha * (-(TARGET * apply("log", share)))
        return Formula((*before, total, Reduction("sum", focal)), result(len(before) + 1))


@dataclass(frozen=True)
class CategoricalGeneralizedCrossEntropy(FormulaLoss):
    """(1 - p[label]^q) / q: less moved by wrong labels than cross-entropy (Zhang and Sabuncu 2018). Labels are class numbers.

    Args:
        q: between 0, where it is cross-entropy, and 1, where it is the mean absolute error.
        reduction, name, dtype: see `SparseCategoricalCrossentropy`.
    """

    q: float = 0.5
    reduction: str | None = "sum_over_batch_size"
    name: str = "categorical_generalized_cross_entropy"
    dtype: str | None = field(default=None, compare=False)

    sparse: ClassVar[bool] = True
    probabilities: ClassVar[str | None] = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.q < 1:
            raise InvalidArgumentError(f"{self._owner}: q must lie between 0 and 1, got {describe_value(self.q)}")

    def formula(self, size: int) -> Formula:
        return Formula((Reduction("sum", PREDICTION * TARGET),), (1.0 - apply("power", result(0), self.q)) / self.q)


@dataclass(frozen=True)
class KLDivergence(FormulaLoss):
    """Σ target · ln(target / prediction): how far one distribution is from another."""

    reduction: str | None = "sum_over_batch_size"
    name: str = "kl_divergence"
    dtype: str | None = field(default=None, compare=False)

    def formula(self, size: int) -> Formula:
        target = _clipped(TARGET, 1.0)
        return Formula((Reduction("sum", target * apply("log", target / _clipped(PREDICTION, 1.0))),), result(0))

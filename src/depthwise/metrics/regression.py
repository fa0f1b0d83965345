"""Errors of predicted numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from depthwise import losses
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.metrics.base import Array, LossMetric, MeanMetric, Metric, same_rank, weights_like

__all__ = [
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "PearsonCorrelation",
    "R2Score",
    "RootMeanSquaredError",
]


class MeanSquaredError(MeanMetric):
    """Mean of (label - prediction)²."""

    labels = "dense"

    def __init__(self, name: str = "mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.square(y_true.reshape(y_pred.shape).astype(np.float64) - y_pred)


class MeanAbsoluteError(MeanMetric):
    """Mean of |label - prediction|."""

    labels = "dense"

    def __init__(self, name: str = "mean_absolute_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.abs(y_true.reshape(y_pred.shape).astype(np.float64) - y_pred)


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of (label - prediction)².

    >>> RootMeanSquaredError()([[0.0], [0.0]], [[3.0], [3.0]])
    3.0
    """

    def __init__(self, name: str = "root_mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def result(self) -> float:
        return float(np.sqrt(super().result()))


class MeanAbsolutePercentageError(LossMetric):
    """Mean of 100 · |label - prediction| / |label|."""

    loss = losses.MeanAbsolutePercentageError()

    def __init__(self, name: str = "mean_absolute_percentage_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class MeanSquaredLogarithmicError(LossMetric):
    """Mean of (ln(1 + label) - ln(1 + prediction))²."""

    loss = losses.MeanSquaredLogarithmicError()

    def __init__(self, name: str = "mean_squared_logarithmic_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class LogCoshError(LossMetric):
    """Mean of ln cosh(prediction - label)."""

    loss = losses.LogCosh()

    def __init__(self, name: str = "logcosh", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class CosineSimilarity(MeanMetric):
    """The cosine of the angle between labels and predictions: 1 where they point the same way.

    >>> CosineSimilarity()([[0.0, 1.0]], [[1.0, 0.0]])
    0.0
    """

    labels = "dense"
    direction = "up"

    def __init__(self, name: str = "cosine_similarity", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(name, dtype)
        self.axis = axis
        self._loss = losses.CosineSimilarity(axis=axis)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return 0.0 - losses.per_sample(self._loss, y_true, y_pred)


class PearsonCorrelation(MeanMetric):
    """The correlation between labels and predictions of a sample, from -1 to 1."""

    labels = "dense"
    direction = "up"

    def __init__(self, name: str = "pearson_correlation", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(name, dtype)
        self.axis = axis

    def values(self, y_true: Array, y_pred: Array) -> Array:
        centred = []
        for item in same_rank(y_true, y_pred):
            numbers = item.astype(np.float64)
            numbers = numbers - numbers.mean(axis=self.axis, keepdims=True)
            with np.errstate(all="ignore"):  # no spread, no correlation: NaN, as in Keras
                centred.append(numbers / numbers.std(axis=self.axis, keepdims=True))
        return np.asarray((centred[0] * centred[1]).mean(axis=self.axis))


class ConcordanceCorrelation(MeanMetric):
    """How near labels and predictions of a sample lie to each other, from -1 to 1 (Lin 1989), as Keras computes it."""

    labels = "dense"
    direction = "up"

    def __init__(self, name: str = "concordance_correlation", dtype: str | None = None, axis: int = -1) -> None:
        super().__init__(name, dtype)
        self.axis = axis

    def values(self, y_true: Array, y_pred: Array) -> Array:
        true, predicted = (item.astype(np.float64) for item in same_rank(y_true, y_pred))
        true_mean, predicted_mean = (item.mean(axis=self.axis, keepdims=True) for item in (true, predicted))
        spread = true.var(axis=self.axis, keepdims=True) + predicted.var(axis=self.axis, keepdims=True)
        spread = spread + np.square(true_mean - predicted_mean) + losses.EPSILON
        together = (true - predicted_mean) * (predicted - predicted_mean)
        return np.asarray((2.0 * together / spread).mean(axis=self.axis))


class R2Score(Metric):
    """The share of the labels' variance that predictions explain: 1 is best, 0 what a constant gives.

    Args:
        class_aggregation: "uniform_average", "variance_weighted_average", or None for one value an output.
        num_regressors: how many inputs the score is corrected for; 0 for none.
        name, dtype: see `Mean`.

    >>> round(R2Score()([[1.0], [4.0], [3.0]], [[2.0], [4.0], [4.0]]), 4)
    0.5714
    """

    labels = "dense"
    direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, dtype)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise InvalidArgumentError(
                "R2Score: class_aggregation must be None, 'uniform_average' or 'variance_weighted_average', got "
                f"{describe_value(class_aggregation)}"
            )
        if isinstance(num_regressors, bool) or not hasattr(num_regressors, "__index__") or num_regressors < 0:
            raise InvalidArgumentError(
                f"R2Score: num_regressors must be an integer of at least 0, got {describe_value(num_regressors)}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = int(num_regressors)
        self.reset_state()

    def reset_state(self) -> None:
        self._sums: Array = np.zeros((4, 0))
        """Of each output: labels, their squares, squared errors, weights."""
        self._samples = 0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true, predicted = (item.astype(np.float64) for item in same_rank(y_true, y_pred))
        if true.ndim != 2 or true.shape != predicted.shape:
            raise ShapeError(
                f"R2Score takes labels and predictions (batch, outputs), got {true.shape} and {predicted.shape}"
            )
        weights = np.broadcast_to(weights_like(1.0 if sample_weight is None else sample_weight, true), true.shape)
        terms = (true * weights, true * true * weights, np.square(true - predicted) * weights, weights)
        sums = np.stack([item.sum(axis=0) for item in terms])
        self._sums = sums if not self._sums.size else self._sums + sums
        self._samples += true.size

    def result(self) -> Any:
        labels, squares, errors, count = self._sums
        with np.errstate(all="ignore"):
            total = squares - labels * (labels / count)
            scores = 1.0 - errors / total
        scores = np.where(np.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            score: Any = float(scores.mean()) if scores.size else 0.0
        elif self.class_aggregation == "variance_weighted_average":
            score = float((total * scores).sum() / total.sum())
        else:
            score = scores
        if self.num_regressors and self.num_regressors < self._samples - 1:
            score = 1.0 - (1.0 - score) * (self._samples - 1.0) / (self._samples - self.num_regressors - 1.0)
        return score

    @property
    def state(self) -> list[float]:
        return [float(self._samples), *self._sums.reshape(-1).tolist()]

    def restore(self, state: Sequence[float]) -> None:
        self._samples, self._sums = int(state[0]), np.asarray(state[1:], np.float64).reshape(4, -1)

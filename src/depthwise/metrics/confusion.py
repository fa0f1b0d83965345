"""Counts of right and wrong yes-or-no answers at thresholds, and what follows from them: precision, recall and the like."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.metrics.base import Array, Metric, same_rank, weights_like

__all__ = [
    "ConfusionMetric",
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
    "ratio",
]

LOWEST = -1e10
"""What Keras puts in place of predictions that are not among the `top_k`; the threshold that all others are above."""


def ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0."""
    with np.errstate(all="ignore"):
        return np.asarray(np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b)))


def _evenly_spread(thresholds: Sequence[float]) -> bool:
    if len(thresholds) < 3:
        return False
    return bool(np.allclose(thresholds, np.arange(len(thresholds)) / (len(thresholds) - 1), atol=1e-7))


def _only_top(predictions: Array, k: int) -> Array:
    """Predictions with all but the k largest of each row, the first ones where equal, far below."""
    best = np.argsort(-predictions, axis=-1, kind="stable")[..., :k]
    kept = np.full_like(predictions, LOWEST)
    np.put_along_axis(kept, best, np.take_along_axis(predictions, best, axis=-1), axis=-1)
    return kept


class ConfusionMetric(Metric):
    """Base: counts of true and false positives and negatives at each threshold.

    Labels and predictions are (batch, …); labels are 0 and 1.

    Attributes:
        counts: rows for true positives, false positives, true negatives and false negatives; a column a threshold.
    """

    labels: ClassVar[str] = "dense"
    direction = "up"
    top_k: int | None = None
    class_id: int | None = None
    _by_label = False

    def __init__(self, thresholds: Sequence[float], name: str | None, dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self._thresholds = [float(item) for item in thresholds]
        self._even = _evenly_spread(self._thresholds)
        self.reset_state()

    def reset_state(self) -> None:
        self.counts: Array = np.zeros((4, len(self._thresholds)))

    @property
    def state(self) -> list[float]:
        return [float(item) for item in self.counts.reshape(-1)]

    def restore(self, state: Sequence[float]) -> None:
        self.counts = np.asarray(state, np.float64).reshape(4, len(self._thresholds), -1)
        if not self._by_label:
            self.counts = self.counts[..., 0]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels, predictions = same_rank(y_true, np.asarray(y_pred, np.float32))
        if labels.shape != predictions.shape:
            raise ShapeError(
                f"{type(self).__name__}: labels of shape {labels.shape} do not fit predictions of shape {predictions.shape}; "
                "give one label, 0 or 1, for each output"
            )
        weights: Array | None = None
        if sample_weight is not None:
            weights = np.broadcast_to(weights_like(sample_weight, labels), labels.shape)
        if self.top_k is not None:
            predictions = _only_top(predictions, self.top_k)
        if self.class_id is not None:
            if predictions.ndim == 1:
                raise ShapeError(
                    f"{type(self).__name__}: class_id needs predictions (batch, classes), got one a sample"
                )
            chosen = (..., slice(self.class_id, self.class_id + 1))
            labels, predictions = labels[chosen], predictions[chosen]
            weights = None if weights is None else weights[chosen]
        self._count(labels.astype(bool), predictions, self._weigh(weights, labels))

    def _weigh(self, weights: Array | None, labels: Array) -> Array | None:
        """The weight of every label."""
        return weights

    def _count(self, labels: Array, predictions: Array, weights: Array | None) -> None:
        shape = (-1, labels.shape[-1]) if self._by_label else (-1, 1)
        positive, predictions = labels.reshape(shape), predictions.reshape(shape)
        weight = np.ones(positive.shape) if weights is None else weights.reshape(shape)
        totals = np.stack([(positive * weight).sum(axis=0), (~positive * weight).sum(axis=0)])
        above = self._above_evenly if self._even else self._above_each
        found = np.stack([above(predictions, kind * weight) for kind in (positive, ~positive)])
        counts = np.stack([found[0], found[1], totals[1] - found[1], totals[0] - found[0]])
        self.counts = self.counts + (counts if self._by_label else counts[..., 0])

    def _above_each(self, predictions: Array, weight: Array) -> Array:
        """For each threshold and column the weight of the predictions above it."""
        limits = np.asarray(self._thresholds, np.float32)
        return np.stack([np.where(predictions > limit, weight, 0.0).sum(axis=0) for limit in limits])

    def _above_evenly(self, predictions: Array, weight: Array) -> Array:
        """The same for thresholds that are evenly spread from 0 to 1: each prediction falls between two of them."""
        count = len(self._thresholds)
        place = np.ceil(np.clip(predictions, np.float32(0), np.float32(1)) * np.float32(count - 1)) - np.float32(1)
        if self._thresholds[0] < 0.0:  # the first one lies a little below 0, where every prediction is above it
            place = np.maximum(place, 0)
        columns = []
        for column in range(predictions.shape[1]):
            inside = place[:, column] >= 0  # NaN is above none
            between = np.bincount(
                place[inside, column].astype(np.intp), weights=weight[inside, column], minlength=count
            )
            columns.append(between[::-1].cumsum()[::-1])
        return np.stack(columns, axis=1)

    def _only(self, values: Array) -> Any:
        """A number where there is one threshold."""
        return float(values[0]) if len(self._thresholds) == 1 else values


def _thresholds(owner: str, given: Any, default: float = 0.5) -> list[float]:
    if given is None:
        return [default]
    items = list(given) if isinstance(given, (list, tuple, np.ndarray)) else [given]
    for item in items:
        if isinstance(item, bool) or not hasattr(item, "__float__") or not 0 <= float(item) <= 1:
            raise InvalidArgumentError(f"{owner}: thresholds must be numbers from 0 to 1, got {describe_value(given)}")
    if not items:
        raise InvalidArgumentError(f"{owner}: thresholds must not be empty; leave it out for {default}")
    return [float(item) for item in items]


class _Count(ConfusionMetric):
    direction = "down"
    row: ClassVar[int]

    def __init__(self, thresholds: Any, name: str | None, dtype: str | None) -> None:
        super().__init__(_thresholds(type(self).__name__, thresholds), name, dtype)
        self.thresholds = thresholds

    def result(self) -> Any:
        return self._only(self.counts[self.row])


class TruePositives(_Count):
    """How many labels of 1 have a prediction above the threshold.

    Args:
        thresholds: a number from 0 to 1, 0.5 by default, or several: the result has a number for each.
        name, dtype: see `Mean`.

    >>> TruePositives()([0, 1, 1, 1], [1, 0, 1, 1])
    2.0
    """

    direction = "up"
    row = 0

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(thresholds, name, dtype)


class FalsePositives(_Count):
    """How many labels of 0 have a prediction above the threshold; see `TruePositives`."""

    row = 1

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(thresholds, name, dtype)


class TrueNegatives(_Count):
    """How many labels of 0 have no prediction above the threshold; see `TruePositives`."""

    direction = "up"
    row = 2

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(thresholds, name, dtype)


class FalseNegatives(_Count):
    """How many labels of 1 have no prediction above the threshold; see `TruePositives`."""

    row = 3

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(thresholds, name, dtype)


class _Share(ConfusionMetric):
    def __init__(
        self, thresholds: Any, top_k: int | None, class_id: int | None, name: str | None, dtype: str | None
    ) -> None:
        owner = type(self).__name__
        super().__init__(_thresholds(owner, thresholds, 0.5 if top_k is None else LOWEST), name, dtype)
        for label, value, least in (("top_k", top_k, 1), ("class_id", class_id, 0)):
            if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least):
                raise InvalidArgumentError(
                    f"{owner}: {label} must be an integer of at least {least}, got {describe_value(value)}"
                )
        self.thresholds, self.top_k, self.class_id = thresholds, top_k, class_id


class Precision(_Share):
    """The share of the predictions above the threshold whose label is 1.

    Args:
        thresholds: a number from 0 to 1, 0.5 by default, or several: the result has a number for each.
        top_k: only the k largest predictions of a sample count; without `thresholds` all of these.
        class_id: only this output counts.
        name, dtype: see `Mean`.

    >>> Precision()([0, 1, 1, 1], [1, 0, 1, 1]) == 2 / 3
    True
    """

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name, dtype)

    def result(self) -> Any:
        return self._only(ratio(self.counts[0], self.counts[0] + self.counts[1]))


class Recall(_Share):
    """The share of the labels of 1 whose prediction is above the threshold; see `Precision`.

    >>> Recall()([0, 1, 1, 1], [1, 0, 1, 1]) == 2 / 3
    True
    """

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name, dtype)

    def result(self) -> Any:
        return self._only(ratio(self.counts[0], self.counts[0] + self.counts[3]))


def _recall(counts: Array) -> Array:
    return ratio(counts[0], counts[0] + counts[3])


def _specificity(counts: Array) -> Array:
    return ratio(counts[2], counts[2] + counts[1])


def _precision(counts: Array) -> Array:
    return ratio(counts[0], counts[0] + counts[1])


class _AtLeast(ConfusionMetric):
    """The best of one share over all thresholds where another share is at least `value`; 0 where there is none."""

    def __init__(
        self, what: str, value: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: str | None
    ) -> None:
        owner = type(self).__name__
        if isinstance(value, bool) or not hasattr(value, "__float__") or not 0 <= float(value) <= 1:
            raise InvalidArgumentError(f"{owner}: {what} must be a number from 0 to 1, got {describe_value(value)}")
        if isinstance(num_thresholds, bool) or not hasattr(num_thresholds, "__index__") or int(num_thresholds) < 1:
            raise InvalidArgumentError(
                f"{owner}: num_thresholds must be an integer of at least 1, got {describe_value(num_thresholds)}"
            )
        between = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        super().__init__([0.5] if num_thresholds == 1 else [0.0, *between, 1.0], name, dtype)
        self._even = num_thresholds > 1
        self.value, self.num_thresholds, self.class_id = value, num_thresholds, class_id

    def _shares(self) -> tuple[Array, Array]:
        """Of each threshold: the share that must be large enough, and the one that is asked for."""
        raise NotImplementedError

    def result(self) -> float:
        held, sought = self._shares()
        return float(np.max(np.where(held >= self.value, sought, 0.0), initial=0.0))


class SensitivityAtSpecificity(_AtLeast):
    """The best recall of all thresholds whose specificity is at least `specificity`.

    Args:
        specificity: the share of the labels of 0 that must not be above the threshold.
        num_thresholds: thresholds that are tried, evenly spread from 0 to 1.
        class_id: only this output counts.
        name, dtype: see `Mean`.
    """

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("specificity", specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def _shares(self) -> tuple[Array, Array]:
        return _specificity(self.counts), _recall(self.counts)


class SpecificityAtSensitivity(_AtLeast):
    """The best specificity of all thresholds whose recall is at least `sensitivity`; see `SensitivityAtSpecificity`."""

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("sensitivity", sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def _shares(self) -> tuple[Array, Array]:
        return _recall(self.counts), _specificity(self.counts)


class PrecisionAtRecall(_AtLeast):
    """The best precision of all thresholds whose recall is at least `recall`; see `SensitivityAtSpecificity`."""

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("recall", recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def _shares(self) -> tuple[Array, Array]:
        return _recall(self.counts), _precision(self.counts)


class RecallAtPrecision(_AtLeast):
    """The best recall of all thresholds whose precision is at least `precision`; see `SensitivityAtSpecificity`."""

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__("precision", precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def _shares(self) -> tuple[Array, Array]:
        return _precision(self.counts), _recall(self.counts)

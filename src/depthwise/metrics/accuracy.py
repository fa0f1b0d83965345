"""How often predictions are right."""

import numpy as np

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.metrics.base import Array, MeanMetric, same_rank

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
]


class Accuracy(MeanMetric):
    """How often predictions equal labels.

    >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    direction = "up"

    def __init__(self, name: str = "accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        first, second = same_rank(y_true, y_pred)
        return np.asarray(first == second)


class SparseCategoricalAccuracy(MeanMetric):
    """How often the largest prediction is at the label; labels are class numbers.

    >>> SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.4, 0.6]])
    0.5
    """

    labels = "sparse"
    direction = "up"

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.asarray(y_pred.argmax(axis=-1) == y_true.reshape(y_pred.shape[:-1]))


class CategoricalAccuracy(MeanMetric):
    """How often the largest prediction is where the largest label is; labels are one-hot.

    >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.1, 0.9], [0.4, 0.6]])
    0.5
    """

    labels = "dense"
    direction = "up"

    def __init__(self, name: str = "categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.asarray(y_pred.argmax(axis=-1) == y_true.argmax(axis=-1))


class BinaryAccuracy(MeanMetric):
    """Share of outputs on the label's side of `threshold`; labels are 0 and 1.

    >>> BinaryAccuracy()([[1], [0], [0]], [[0.9], [0.4], [0.6]]) == 2 / 3
    True
    """

    labels = "dense"
    direction = "up"

    def __init__(self, name: str = "binary_accuracy", dtype: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.asarray((y_pred > self.threshold) == y_true.reshape(y_pred.shape))


def _within_top(labels: Array, y_pred: Array, k: int) -> Array:
    at_label = np.take_along_axis(y_pred, labels.astype(np.intp)[..., np.newaxis], axis=-1)
    at_label = np.where(np.isnan(at_label), -np.inf, at_label)
    return np.asarray(np.count_nonzero(y_pred > at_label, axis=-1) < k)


def _positive(owner: str, k: object) -> int:
    if isinstance(k, bool) or not hasattr(k, "__index__") or int(k) < 1:
        raise InvalidArgumentError(f"{owner}: k must be an integer of at least 1, got {describe_value(k)}")
    return int(k)


class TopKCategoricalAccuracy(MeanMetric):
    """How often the label is among the `k` largest predictions; labels are one-hot.

    >>> TopKCategoricalAccuracy(k=2)([[1, 0, 0]], [[0.3, 0.5, 0.2]])
    1.0
    """

    labels = "dense"
    direction = "up"

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self.k = _positive(type(self).__name__, k)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _within_top(y_true.argmax(axis=-1), y_pred, self.k)


class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the label is among the `k` largest predictions; labels are class numbers.

    With `from_sorted_ids` the predictions are class numbers too, the most likely first.

    >>> SparseTopKCategoricalAccuracy(k=1)([0], [[0.3, 0.5, 0.2]])
    0.0
    """

    labels = "sparse"
    direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: str | None = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        self.k = _positive(type(self).__name__, k)
        self.from_sorted_ids = bool(from_sorted_ids)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        if self.from_sorted_ids:
            return np.asarray((y_pred[..., : self.k] == y_true.reshape(*y_pred.shape[:-1], 1)).any(axis=-1))
        return _within_top(y_true.reshape(y_pred.shape[:-1]), y_pred, self.k)

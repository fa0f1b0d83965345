"""Intersection over union: how well predicted areas lie on labelled ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.metrics.base import Array, Metric, weights_like

__all__ = ["BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]

EPSILON = 1e-7


class IoU(Metric):
    """The mean over some classes of common / (labelled + predicted - common), each counted in positions.

    Args:
        num_classes: how many classes there are.
        target_class_ids: the classes whose mean is taken.
        name, dtype: see `Mean`; sample weights count as they are, where Keras leaves their fractions out unless dtype is given.
        ignore_class: labels that do not count.
        sparse_y_true: labels are class numbers, not one-hot.
        sparse_y_pred: predictions are class numbers, not one value a class.
        axis: of the classes.

    >>> round(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name, None if dtype in ("int", "int32") else dtype)
        owner = type(self).__name__
        if isinstance(num_classes, bool) or not hasattr(num_classes, "__index__") or int(num_classes) < 1:
            raise InvalidArgumentError(
                f"{owner}: num_classes must be an integer of at least 1, got {describe_value(num_classes)}"
            )
        if any(not 0 <= int(item) < num_classes for item in target_class_ids):
            raise InvalidArgumentError(
                f"{owner}: target_class_ids must be from 0 to {num_classes - 1}, got {describe_value(target_class_ids)}"
            )
        self.num_classes = int(num_classes)
        self.target_class_ids = [int(item) for item in target_class_ids]
        self.ignore_class = ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis
        self.reset_state()

    def reset_state(self) -> None:
        self._matrix: Array = np.zeros((self.num_classes, self.num_classes))

    @property
    def state(self) -> list[float]:
        return [float(item) for item in self._matrix.reshape(-1)]

    def restore(self, state: Sequence[float]) -> None:
        self._matrix = np.asarray(state, np.float64).reshape(self.num_classes, self.num_classes)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels, predictions = np.asarray(y_true), np.asarray(y_pred)
        labels = labels if self.sparse_y_true else labels.argmax(axis=self.axis)
        predictions = predictions if self.sparse_y_pred else predictions.argmax(axis=self.axis)
        if labels.size != predictions.size:
            raise ShapeError(
                f"{type(self).__name__}: labels of shape {np.shape(y_true)} do not fit predictions of shape "
                f"{np.shape(y_pred)}; where predictions have one value a class, give sparse_y_pred=False, and "
                "sparse_y_true=False for one-hot labels"
            )
        weights = np.ones(labels.size)
        if sample_weight is not None:
            weights = np.broadcast_to(weights_like(sample_weight, labels), labels.shape).reshape(-1)
        first, second = labels.reshape(-1).astype(np.int64), predictions.reshape(-1).astype(np.int64)
        inside = (first >= 0) & (first < self.num_classes) & (second >= 0) & (second < self.num_classes)
        if self.ignore_class is not None:
            inside &= first != self.ignore_class
        cells = first[inside] * self.num_classes + second[inside]
        found = np.bincount(cells, weights=weights[inside], minlength=self.num_classes**2)
        self._matrix = self._matrix + found.reshape(self._matrix.shape)

    def result(self) -> float:
        common = np.diag(self._matrix)
        union = self._matrix.sum(axis=0) + self._matrix.sum(axis=1) - common
        common, union = common[self.target_class_ids], union[self.target_class_ids]
        there = union > 1e-9
        shares = np.where(there, common / (union + EPSILON), 0.0)
        return float(shares.sum() / (np.count_nonzero(there) + EPSILON))


class BinaryIoU(IoU):
    """`IoU` of two classes, what is below the threshold and what is not.

    Args:
        target_class_ids: 0 for below, 1 for not below, or both.
        threshold: predictions from it on are class 1.
        name, dtype: see `IoU`.
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        predictions = np.asarray(y_pred, np.float32) >= np.float32(self.threshold)
        super().update_state(y_true, predictions, sample_weight)


class MeanIoU(IoU):
    """The mean of `IoU` over all classes.

    >>> round(MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        ids = range(num_classes)
        super().__init__(num_classes, ids, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` of one-hot labels and of predictions with one value a class."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` of one-hot labels and of predictions with one value a class."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

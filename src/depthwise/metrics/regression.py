"""Errors of predicted numbers."""

import numpy as np

from depthwise.metrics.base import Array, Metric

__all__ = ["MeanAbsoluteError", "MeanSquaredError"]


class MeanSquaredError(Metric):
    """Mean of (label - prediction)²."""

    labels = "dense"

    def __init__(self, name: str = "mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.square(y_true.reshape(y_pred.shape).astype(np.float64) - y_pred)


class MeanAbsoluteError(Metric):
    """Mean of |label - prediction|."""

    labels = "dense"

    def __init__(self, name: str = "mean_absolute_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.abs(y_true.reshape(y_pred.shape).astype(np.float64) - y_pred)

"""Losses of numbers."""

from dataclasses import dataclass, field

import numpy as np

from depthwise.losses.base import Array, Loss

__all__ = ["MeanAbsoluteError", "MeanSquaredError"]


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean over the outputs of (target - prediction)². Labels and predictions (batch, …, outputs)."""

    reduction: str = "sum_over_batch_size"
    name: str = "mean_squared_error"
    dtype: str | None = field(default=None, compare=False)

    def _values(self, targets: Array, predictions: Array) -> Array:
        return np.asarray(np.square(targets - predictions).mean(axis=-1))


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Mean over the outputs of |target - prediction|. Labels and predictions (batch, …, outputs)."""

    reduction: str = "sum_over_batch_size"
    name: str = "mean_absolute_error"
    dtype: str | None = field(default=None, compare=False)

    def _values(self, targets: Array, predictions: Array) -> Array:
        return np.asarray(np.abs(targets - predictions).mean(axis=-1))

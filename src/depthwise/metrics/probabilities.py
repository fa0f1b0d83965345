"""Means of losses, as metrics: of probabilities and of hinge losses."""

from typing import Any

import numpy as np

from depthwise import losses
from depthwise.metrics.base import LossMetric, weights_like

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "Hinge",
    "KLDivergence",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
]


class KLDivergence(LossMetric):
    """Mean of Σ label · ln(label / prediction)."""

    loss = losses.KLDivergence()

    def __init__(self, name: str = "kl_divergence", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class Poisson(LossMetric):
    """Mean of prediction - label · ln prediction."""

    loss = losses.Poisson()

    def __init__(self, name: str = "poisson", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class Hinge(LossMetric):
    """Mean of max(1 - label · prediction, 0)."""

    loss = losses.Hinge()

    def __init__(self, name: str = "hinge", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class SquaredHinge(LossMetric):
    """Mean of max(1 - label · prediction, 0)²."""

    loss = losses.SquaredHinge()

    def __init__(self, name: str = "squared_hinge", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class CategoricalHinge(LossMetric):
    """Mean of max(1 + the largest prediction of a wrong class - that of the right one, 0)."""

    loss = losses.CategoricalHinge()

    def __init__(self, name: str = "categorical_hinge", dtype: str | None = None) -> None:
        super().__init__(name, dtype)


class BinaryCrossentropy(LossMetric):
    """Mean of the binary cross-entropy; see `depthwise.losses.BinaryCrossentropy`."""

    def __init__(
        self,
        name: str = "binary_crossentropy",
        dtype: str | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(name, dtype)
        self.loss = losses.BinaryCrossentropy(from_logits=from_logits, label_smoothing=label_smoothing)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing


class CategoricalCrossentropy(LossMetric):
    """Mean of the cross-entropy of one-hot labels; see `depthwise.losses.CategoricalCrossentropy`."""

    def __init__(
        self,
        name: str = "categorical_crossentropy",
        dtype: str | None = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.loss = losses.CategoricalCrossentropy(from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class SparseCategoricalCrossentropy(LossMetric):
    """Mean of the cross-entropy of class numbers; see `depthwise.losses.SparseCategoricalCrossentropy`."""

    labels = "sparse"

    def __init__(
        self,
        name: str = "sparse_categorical_crossentropy",
        dtype: str | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype)
        self.loss = losses.SparseCategoricalCrossentropy(from_logits=from_logits, ignore_class=ignore_class, axis=axis)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if self.ignore_class is not None and sample_weight is not None:  # as Keras: without weights they count as zeros
            kept = np.asarray(y_true).reshape(np.shape(y_pred)[:-1]) != self.ignore_class
            sample_weight = weights_like(sample_weight, kept) * kept
        super().update_state(y_true, y_pred, sample_weight)

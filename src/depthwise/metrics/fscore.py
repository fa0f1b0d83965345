"""F-scores: precision and recall in one number."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.metrics.base import Array, Metric

__all__ = ["F1Score", "FBetaScore"]

EPSILON = 1e-7


class FBetaScore(Metric):
    """(1 + beta²) · precision · recall / (beta² · precision + recall).

    Args:
        average: None for one value a class, "macro" for their mean, "weighted" for their mean by how often each class
            occurs, "micro" for all classes counted together.
        beta: how much recall weighs beside precision.
        threshold: a prediction above it says yes; None: the largest one of a sample does.
        name, dtype: see `Mean`.

    Shapes: labels (one-hot or several ones) and predictions (batch, classes).
    """

    labels = "dense"
    direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, dtype)
        owner = type(self).__name__
        if average not in (None, "micro", "macro", "weighted"):
            raise InvalidArgumentError(
                f"{owner}: average must be None, 'micro', 'macro' or 'weighted', got {describe_value(average)}"
            )
        if isinstance(beta, bool) or not hasattr(beta, "__float__") or not float(beta) > 0:
            raise InvalidArgumentError(f"{owner}: beta must be a number above 0, got {describe_value(beta)}")
        if threshold is not None and (
            isinstance(threshold, bool) or not hasattr(threshold, "__float__") or not 0 < float(threshold) <= 1
        ):
            raise InvalidArgumentError(
                f"{owner}: threshold must be a number above 0 and up to 1, or None, got {describe_value(threshold)}"
            )
        self.average, self.beta, self.threshold = average, float(beta), threshold
        self.reset_state()

    def reset_state(self) -> None:
        self._counts: Array = np.zeros((4, 0))
        """Of each class: true positives, false positives, false negatives, labels."""

    @property
    def state(self) -> list[float]:
        return [float(item) for item in self._counts.reshape(-1)]

    def restore(self, state: Sequence[float]) -> None:
        self._counts = np.asarray(state, np.float64).reshape(4, -1)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels, predictions = np.asarray(y_true, np.float64), np.asarray(y_pred)
        if labels.ndim != 2 or labels.shape != predictions.shape:
            raise ShapeError(
                f"{type(self).__name__} takes labels and predictions (batch, classes), got {labels.shape} and "
                f"{predictions.shape}"
            )
        if self.threshold is None:
            yes = (predictions >= predictions.max(axis=-1, keepdims=True)) & (np.abs(predictions) > 1e-9)
        else:
            yes = predictions > np.float32(self.threshold)
        weights = 1.0 if sample_weight is None else np.asarray(sample_weight, np.float64).reshape(-1, 1)
        parts = (yes * labels, yes * (1.0 - labels), ~yes * labels, labels)
        counts = np.stack([(part * weights).sum(axis=0) for part in parts])
        self._counts = self._counts + counts if self._counts.size else counts

    def result(self) -> Any:
        counts = self._counts.sum(axis=1, keepdims=True) if self.average == "micro" else self._counts
        right, wrong, missed, labels = counts
        precision, recall = right / (right + wrong + EPSILON), right / (right + missed + EPSILON)
        scores = precision * recall / (self.beta**2 * precision + recall + EPSILON) * (1.0 + self.beta**2)
        if self.average == "weighted":
            return float((scores * labels / (labels.sum() + EPSILON)).sum())
        if self.average is None:
            return scores
        return float(scores.mean()) if scores.size else 0.0


class F1Score(FBetaScore):
    """2 · precision · recall / (precision + recall); see `FBetaScore`.

    >>> round(F1Score(average="micro")([[1, 0], [0, 1]], [[0.9, 0.1], [0.8, 0.2]]), 4)
    0.5
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: str | None = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

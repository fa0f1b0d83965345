"""The area under the curves that precision, recall and the rate of false alarms draw over the thresholds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.metrics.base import Array
from depthwise.metrics.confusion import ConfusionMetric, ratio

__all__ = ["AUC"]

CURVES = ("ROC", "PR", "PRGAIN")
METHODS = ("interpolation", "majoring", "minoring")


class AUC(ConfusionMetric):
    """The area under a curve, from 0 to 1.

    Args:
        num_thresholds: points of the curve, evenly spread thresholds from 0 to 1.
        curve: "ROC": recall over the share of false alarms; "PR": precision over recall; "PRGAIN" (Flach and Kull 2015).
        summation_method: "interpolation": trapezoids (for "PR" as Davis and Goadrich 2006); "majoring" and "minoring": the
            higher or the lower end of each piece.
        name, dtype: see `Mean`.
        thresholds: the thresholds between 0 and 1 themselves, instead of `num_thresholds`.
        multi_label: a curve for each output, and the mean of their areas; otherwise all outputs make one curve.
        num_labels: outputs, with `multi_label`; found out by itself.
        label_weights: a weight for each output.
        from_logits: predictions are before a sigmoid.

    >>> round(AUC(num_thresholds=3)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9]), 4)
    0.75
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: str | None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        if str(curve).upper() not in CURVES:
            raise InvalidArgumentError(f"AUC: curve must be one of {', '.join(CURVES)}, got {describe_value(curve)}")
        if str(summation_method).lower() not in METHODS:
            raise InvalidArgumentError(
                f"AUC: summation_method must be one of {', '.join(METHODS)}, got {describe_value(summation_method)}"
            )
        if num_labels and not multi_label:
            raise InvalidArgumentError("AUC: num_labels is for multi_label=True; leave it out")
        if thresholds is None:
            if isinstance(num_thresholds, bool) or not hasattr(num_thresholds, "__index__") or num_thresholds < 2:
                raise InvalidArgumentError(
                    f"AUC: num_thresholds must be an integer of at least 2, got {describe_value(num_thresholds)}"
                )
            between = [(i + 1) / (num_thresholds - 1) for i in range(num_thresholds - 2)]
        else:
            between = sorted(float(item) for item in thresholds)
            num_thresholds = len(between) + 2
        self._by_label = bool(multi_label)
        super().__init__([-1e-7, *between, 1.0 + 1e-7], name, dtype)
        self.num_thresholds = num_thresholds
        self.curve = str(curve).upper()
        self.summation_method = str(summation_method).lower()
        self.thresholds = None if thresholds is None else between
        self.multi_label, self.num_labels, self.from_logits = bool(multi_label), num_labels, bool(from_logits)
        self.label_weights = None if label_weights is None else [float(item) for item in label_weights]

    def reset_state(self) -> None:
        shape = (4, len(self._thresholds))
        self.counts = np.zeros((*shape, 1) if self._by_label else shape)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        predictions: Array = np.asarray(y_pred, np.float32)
        if self.from_logits:
            e = np.exp(-np.abs(predictions))
            predictions = np.where(predictions >= 0, np.float32(1), e) / (np.float32(1) + e)
        if self.multi_label and predictions.ndim != 2:
            raise ShapeError(f"AUC: multi_label takes predictions (batch, labels), got {predictions.shape}")
        super().update_state(y_true, predictions, sample_weight)

    def _weigh(self, weights: Array | None, labels: Array) -> Array | None:
        if self.label_weights is None or self.multi_label:
            return weights
        shares = np.broadcast_to(np.asarray(self.label_weights), labels.shape)
        return shares if weights is None else weights * shares

    def result(self) -> float:
        if self.curve == "PR" and self.summation_method == "interpolation":
            areas = self._interpolated()
        else:
            x, y = self._points()
            first, second = y[:-1], y[1:]
            heights = {
                "interpolation": (first + second) / 2.0,
                "minoring": np.minimum(first, second),
                "majoring": np.maximum(first, second),
            }
            areas = (x[:-1] - x[1:]) * heights[self.summation_method]
        by_label = areas.sum(axis=0)
        if not self.multi_label:
            return float(by_label)
        if self.label_weights is None:
            return float(by_label.mean())
        return float(ratio(np.dot(by_label, self.label_weights), np.sum(self.label_weights)))

    def _points(self) -> tuple[Array, Array]:
        right, false_alarms, quiet, missed = self.counts
        recall = ratio(right, right + missed)
        if self.curve == "ROC":
            return ratio(false_alarms, false_alarms + quiet), recall
        if self.curve == "PR":
            return recall, ratio(right, right + false_alarms)
        scale = ratio(right + missed, quiet + false_alarms)
        recall_gain = np.where(right == 0, 0.0, 1.0 - scale * ratio(missed, right))
        precision_gain = np.where(right == 0, 1.0, 1.0 - scale * ratio(false_alarms, right))
        return np.maximum(recall_gain, 0.0), precision_gain

    def _interpolated(self) -> Array:
        """Between two thresholds true positives grow in step with all positives, so precision is not a straight line."""
        right, missed = self.counts[0], self.counts[3]
        positives = right + self.counts[1]
        gained = right[:-1] - right[1:]
        slope = ratio(gained, np.maximum(positives[:-1] - positives[1:], 0.0))
        intercept = right[1:] - slope * positives[1:]
        both = (positives[:-1] > 0) & (positives[1:] > 0)
        growth = np.where(both, ratio(positives[:-1], np.maximum(positives[1:], 0.0)), 1.0)
        return ratio(slope * (gained + intercept * np.log(growth)), np.maximum(right[1:] + missed[1:], 0.0))

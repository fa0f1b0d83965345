"""Cross-entropies: how far predicted probabilities are from labels."""

from dataclasses import field
from typing import ClassVar

import numpy as np

from depthwise.dataclass import dataclass
from depthwise.losses.base import EPSILON, Array, Loss

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"]


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """-log p[label]: one class a sample, given by its number.

    Args:
        from_logits: the predictions are logits, not probabilities: the softmax is part of the loss.
        ignore_class: a class number whose positions count nothing, -1 or 255 for example; None for none.
        reduction: "sum_over_batch_size" (or "mean"): the sum over the samples divided by their number; "sum";
            "mean_with_sample_weight": divided by the sum of the weights; None: no sum, only where the loss is called.
        axis: of the classes; a network can be trained where it is the last one.
        name, dtype: accepted for compatibility with Keras; all arithmetic is float32.

    Shapes: labels (batch,) or (batch, 1) of whole numbers; predictions (batch, classes). Maps have a class at each position:
    labels (batch, …) or (batch, …, 1), predictions (batch, …, classes).
    """

    from_logits: bool = False
    ignore_class: int | None = None
    reduction: str | None = "sum_over_batch_size"
    axis: int = -1
    name: str = "sparse_categorical_crossentropy"
    dtype: str | None = field(default=None, compare=False)

    sparse: ClassVar[bool] = True
    probabilities: ClassVar[str | None] = "softmax"

    def _values(self, targets: Array, predictions: Array) -> Array:
        labels = targets.reshape(*predictions.shape[:-1], 1).astype(np.intp)
        chosen = np.take_along_axis(predictions, labels, axis=-1)[..., 0]
        if self.from_logits:
            peak = predictions.max(axis=-1)
            total = np.log(np.sum(np.exp(predictions - peak[..., np.newaxis]), axis=-1))
            return np.asarray(total - (chosen - peak))
        return np.asarray(-np.log(_clipped(chosen / predictions.sum(axis=-1))))


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """-Σ target × log p: one class a sample, given as one-hot labels or as a distribution.

    Args:
        from_logits: the predictions are logits, not probabilities.
        label_smoothing: s replaces each target t by t(1 - s) + s / classes.
        axis, reduction, name, dtype: see `SparseCategoricalCrossentropy`.

    Shapes: labels and predictions (batch, classes), or (batch, …, classes) with a class at each position.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    reduction: str | None = "sum_over_batch_size"
    name: str = "categorical_crossentropy"
    dtype: str | None = field(default=None, compare=False)

    probabilities: ClassVar[str | None] = "softmax"

    def _values(self, targets: Array, predictions: Array) -> Array:
        kind = predictions.dtype.type
        if self.label_smoothing:
            classes = predictions.shape[-1]
            targets = targets * kind(1 - self.label_smoothing) + kind(self.label_smoothing / classes)
        return np.asarray(-np.sum(targets * _log_probabilities(predictions, self.from_logits), axis=-1))


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """Mean over the outputs of -t log p - (1 - t) log(1 - p): each output is a yes or no of its own.

    Args:
        from_logits: the predictions are logits, not probabilities.
        label_smoothing: s replaces each target t by t(1 - s) + s / 2.
        axis, reduction, name, dtype: see `SparseCategoricalCrossentropy`.

    Shapes: labels and predictions (batch, …, outputs); where there is one output, labels may be (batch, …).
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    axis: int = -1
    reduction: str | None = "sum_over_batch_size"
    name: str = "binary_crossentropy"
    dtype: str | None = field(default=None, compare=False)

    probabilities: ClassVar[str | None] = "sigmoid"

    def _values(self, targets: Array, predictions: Array) -> Array:
        kind = predictions.dtype.type
        if self.label_smoothing:
            targets = targets * kind(1 - self.label_smoothing) + kind(self.label_smoothing / 2)
        return np.asarray(_binary(targets, predictions, self.from_logits).mean(axis=-1))


def _clipped(probabilities: Array) -> Array:
    kind = probabilities.dtype.type
    return np.clip(probabilities, kind(EPSILON), kind(1) - kind(EPSILON))


def _log_probabilities(predictions: Array, from_logits: bool) -> Array:
    if from_logits:
        shifted = predictions - predictions.max(axis=-1, keepdims=True)
        return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True)))
    return np.asarray(np.log(_clipped(predictions / predictions.sum(axis=-1, keepdims=True))))


def _binary(targets: Array, predictions: Array, from_logits: bool) -> Array:
    one = predictions.dtype.type(1)
    if from_logits:
        zero = predictions.dtype.type(0)
        return np.asarray(
            targets * np.logaddexp(zero, -predictions) + (one - targets) * np.logaddexp(zero, predictions)
        )
    clipped = _clipped(predictions)
    return np.asarray(-(targets * np.log(clipped) + (one - targets) * np.log(one - clipped)))

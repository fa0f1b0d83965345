"""What every loss has: its arguments checked, its value for a batch, its configuration."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

import numpy as np

from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError, describe_value

__all__ = ["EPSILON", "Array", "Loss", "per_sample"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

EPSILON = 1e-7
"""Probabilities are kept within [EPSILON, 1 - EPSILON] before the logarithm, as `keras.config.epsilon()` says."""


@dataclass(frozen=True)
class Loss:
    """Base of all loss descriptions.

    Attributes:
        sparse: the labels are class numbers, not one value for each output.
        probabilities: what the loss takes for predictions: "softmax", "sigmoid" or None for any numbers.
    """

    sparse: ClassVar[bool] = False
    probabilities: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        values = vars(self)
        if values["reduction"] not in ("sum_over_batch_size", "mean"):
            raise UnsupportedError(
                f"{self._owner}: reduction must be 'sum_over_batch_size' (or 'mean', its other name), got "
                f"{describe_value(values['reduction'])}"
            )
        object.__setattr__(self, "reduction", "sum_over_batch_size")
        if values["dtype"] not in (None, "float32"):
            raise UnsupportedError(
                f"{self._owner}: dtype must be float32 (all arithmetic is), got {describe_value(values['dtype'])}"
            )
        if "from_logits" in values and not isinstance(values["from_logits"], bool):
            raise InvalidArgumentError(
                f"{self._owner}: from_logits must be True or False, got {describe_value(values['from_logits'])}"
            )
        if values.get("axis", -1) != -1:
            raise UnsupportedError(
                f"{self._owner}: axis must be -1 (the classes are the last axis), got {describe_value(values['axis'])}"
            )
        if values.get("ignore_class") is not None:
            raise UnsupportedError(
                f"{self._owner}: ignore_class is not supported, got {describe_value(values['ignore_class'])}; give the "
                "samples to ignore a sample_weight of 0 instead"
            )
        if "label_smoothing" in values:
            smoothing = values["label_smoothing"]
            if isinstance(smoothing, bool) or not isinstance(smoothing, (int, float)) or not 0 <= smoothing <= 1:
                raise InvalidArgumentError(
                    f"{self._owner}: label_smoothing must be a number from 0 to 1, got {describe_value(smoothing)}"
                )
            object.__setattr__(self, "label_smoothing", float(smoothing))

    @property
    def _owner(self) -> str:
        return type(self).__name__

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """The loss of a batch: the sum of the (weighted) losses of its samples and positions, divided by their number.

        Args:
            y_true, y_pred: see the class.
            sample_weight: (batch,), or for an output (batch, …, channels) one for each position, (batch, …).

        Raises:
            InvalidDataError: no samples. ShapeError: labels or weights that do not fit the predictions.

            >>> from depthwise.losses import MeanSquaredError
        >>> round(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]), 6)
        0.5
        """
        losses = per_sample(self, np.asarray(y_true), np.asarray(y_pred))
        if not losses.size:
            raise InvalidDataError(f"{self._owner}: there are no samples, so there is no loss; give at least one")
        if sample_weight is not None:
            weights = np.asarray(sample_weight)
            if weights.size != len(losses) and weights.size != losses.size:
                raise ShapeError(
                    f"{self._owner}: sample_weight must have the shape ({len(losses)},)"
                    + (f" or {losses.shape}" if losses.ndim > 1 else "")
                    + f", got {weights.shape}"
                )
            losses = losses.reshape(len(losses), -1) * weights.reshape(len(losses), -1)
        return float(np.sum(losses, dtype=np.float64) / losses.size)

    def _values(self, targets: Array, predictions: Array) -> Array:
        """The loss of each position, (batch, …), of predictions (batch, …, outputs); labels of that shape unless `sparse`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them into a file."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "dtype"}


def per_sample(loss: Loss, y_true: Array, y_pred: Array) -> Array:
    """The loss of every sample, of a map the loss of each of its positions; unweighted.

    Args:
        loss: the description.
        y_true: labels as the loss takes them: (batch, …) whole numbers where `loss.sparse`, else like `y_pred`.
        y_pred: (batch, …, outputs).

    Returns:
        (batch, …) in the predictions' precision (at least float32): (batch,) for vectors.

    >>> per_sample(SparseCategoricalCrossentropy(), np.array([1]), np.array([[0.25, 0.75]])).round(6)
    array([0.287682])

    Raises:
        ShapeError: labels that do not fit the predictions.
    """
    dtype = np.result_type(y_pred.dtype, np.float32)
    predictions = np.asarray(y_pred, dtype=dtype)
    if predictions.ndim == 1:
        predictions = predictions[:, np.newaxis]
    if loss.sparse:
        return loss._values(np.asarray(y_true), predictions)
    batch = len(predictions)
    targets = np.asarray(y_true, dtype=dtype)
    if targets.size != predictions.size or len(targets) != batch:
        raise ShapeError(
            f"{type(loss).__name__}: labels of shape {targets.shape} do not fit predictions of shape "
            f"{predictions.shape}; give one label for each output"
        )
    return np.asarray(loss._values(targets.reshape(predictions.shape), predictions), dtype=dtype)

"""Descriptions of Keras' losses: what `fit` minimises.

A description holds the arguments; the native training step differentiates it, and `per_sample` evaluates it in NumPy for
`evaluate` and `test_on_batch`. Names, arguments, defaults and values are those of `keras.losses`.
"""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeAlias

import numpy as np

from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError, describe_value

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
    "per_sample",
]

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

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them into a file."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "dtype"}


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(Loss):
    """-log p[label]: one class a sample, given by its number.

    Args:
        from_logits: the predictions are logits, not probabilities: the softmax is part of the loss.
        ignore_class, axis, dtype: accepted for compatibility with Keras, refused unless at their defaults.
        reduction: "sum_over_batch_size": the sum over the samples divided by their number.
        name: accepted for compatibility with Keras.

    Shapes: labels (batch,) or (batch, 1) of whole numbers; predictions (batch, classes). Maps have a class at each position:
    labels (batch, …) or (batch, …, 1), predictions (batch, …, classes).
    """

    from_logits: bool = False
    ignore_class: int | None = None
    reduction: str = "sum_over_batch_size"
    axis: int = -1
    name: str = "sparse_categorical_crossentropy"
    dtype: str | None = field(default=None, compare=False)

    sparse: ClassVar[bool] = True
    probabilities: ClassVar[str | None] = "softmax"


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
    reduction: str = "sum_over_batch_size"
    name: str = "categorical_crossentropy"
    dtype: str | None = field(default=None, compare=False)

    probabilities: ClassVar[str | None] = "softmax"


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
    reduction: str = "sum_over_batch_size"
    name: str = "binary_crossentropy"
    dtype: str | None = field(default=None, compare=False)

    probabilities: ClassVar[str | None] = "sigmoid"


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean over the outputs of (target - prediction)². Labels and predictions (batch, …, outputs)."""

    reduction: str = "sum_over_batch_size"
    name: str = "mean_squared_error"
    dtype: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Mean over the outputs of |target - prediction|. Labels and predictions (batch, …, outputs)."""

    reduction: str = "sum_over_batch_size"
    name: str = "mean_absolute_error"
    dtype: str | None = field(default=None, compare=False)


CLASSES: dict[str, type[Loss]] = {
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
}

_ALIASES = {
    "bce": "binary_crossentropy",
    "BCE": "binary_crossentropy",
    "mse": "mean_squared_error",
    "MSE": "mean_squared_error",
    "mae": "mean_absolute_error",
    "MAE": "mean_absolute_error",
}

_BY_NAME: dict[str, type[Loss]] = {
    **CLASSES,
    **{cls.__name__: cls for cls in CLASSES.values()},
    **{alias: CLASSES[name] for alias, name in _ALIASES.items()},
}


def get(identifier: str | Loss | type[Loss] | dict[str, Any]) -> Loss:
    """The description that `identifier` names: a name, an alias, a class, Keras' configuration, or a description itself.

    >>> get("mse")
    MeanSquaredError(reduction='sum_over_batch_size', name='mean_squared_error', dtype=None)

    Raises:
        InvalidArgumentError: not one of the losses here; the message lists them.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss) and identifier is not Loss:
        return identifier()
    if isinstance(identifier, dict):
        cls = _BY_NAME.get(str(identifier.get("class_name")))
        config = identifier.get("config", {})
        if cls is not None and isinstance(config, dict) and set(config) <= {item.name for item in fields(cls)}:
            return cls(**config)
    elif isinstance(identifier, str) and identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    raise InvalidArgumentError(f"unknown loss {describe_value(identifier)}; allowed are " + ", ".join(sorted(CLASSES)))


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
    if isinstance(loss, SparseCategoricalCrossentropy):
        return _sparse(loss, np.asarray(y_true), predictions)
    batch = len(predictions)
    targets = np.asarray(y_true, dtype=dtype)
    if targets.size != predictions.size or len(targets) != batch:
        raise ShapeError(
            f"{type(loss).__name__}: labels of shape {targets.shape} do not fit predictions of shape "
            f"{predictions.shape}; give one label for each output"
        )
    targets = targets.reshape(predictions.shape)
    if isinstance(loss, CategoricalCrossentropy):
        if loss.label_smoothing:
            classes = predictions.shape[-1]
            targets = targets * dtype.type(1 - loss.label_smoothing) + dtype.type(loss.label_smoothing / classes)
        values = -np.sum(targets * _log_probabilities(predictions, loss.from_logits), axis=-1)
    elif isinstance(loss, BinaryCrossentropy):
        if loss.label_smoothing:
            targets = targets * dtype.type(1 - loss.label_smoothing) + dtype.type(loss.label_smoothing / 2)
        values = _binary(targets, predictions, loss.from_logits)
    elif isinstance(loss, MeanSquaredError):
        values = np.square(targets - predictions)
    elif isinstance(loss, MeanAbsoluteError):
        values = np.abs(targets - predictions)
    else:
        raise UnsupportedError(
            f"{type(loss).__name__} is not one of Depthwise's losses; use one of {', '.join(CLASSES)}"
        )
    return np.asarray(values if isinstance(loss, CategoricalCrossentropy) else values.mean(axis=-1), dtype=dtype)


def _sparse(loss: SparseCategoricalCrossentropy, y_true: Array, predictions: Array) -> Array:
    positions = predictions.shape[:-1]
    if y_true.shape not in (positions, (*positions, 1)):
        each = "a sample" if len(positions) == 1 else "a position"
        raise ShapeError(
            f"{type(loss).__name__}: labels of shape {y_true.shape} do not fit predictions of shape "
            f"{predictions.shape}; give one class number {each}"
        )
    labels = y_true.reshape(*positions, 1).astype(np.intp)
    chosen = np.take_along_axis(predictions, labels, axis=-1)[..., 0]
    if loss.from_logits:
        peak = predictions.max(axis=-1)
        total = np.log(np.sum(np.exp(predictions - peak[..., np.newaxis]), axis=-1))
        return np.asarray(total - (chosen - peak))
    return np.asarray(-np.log(_clipped(chosen / predictions.sum(axis=-1))))


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

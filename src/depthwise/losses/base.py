"""What every loss has: its arguments checked, its value for a batch, its configuration."""

import math
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np

from depthwise.compiler.ir.formula import Formula
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError, describe_value
from depthwise.losses.arithmetic import evaluate, reduced, value

__all__ = ["EPSILON", "Array", "FormulaLoss", "Loss", "one_hot", "per_sample", "shares"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

EPSILON = 1e-7
"""Probabilities are kept within [EPSILON, 1 - EPSILON] before the logarithm, as `keras.config.epsilon()` says."""

REDUCTIONS: dict[Any, str | None] = {
    "sum_over_batch_size": "sum_over_batch_size",
    "mean": "sum_over_batch_size",
    "sum": "sum",
    "mean_with_sample_weight": "mean_with_sample_weight",
    None: None,
    "none": None,
}
"""What `reduction` may be, and how it is kept."""


@dataclass(frozen=True)
class Loss:
    """Base of all loss descriptions.

    Attributes:
        sparse: the labels are class numbers, not one value for each output.
        probabilities: what the loss takes for predictions: "softmax", "sigmoid" or None for any numbers.
        axes_may_be_several: `axis` may be a tuple, or None for all axes.
        handed_over: NumPy computes it in training too, between the native forward and backward pass.
    """

    sparse: ClassVar[bool] = False
    probabilities: ClassVar[str | None] = None
    axes_may_be_several: ClassVar[bool] = False
    handed_over: ClassVar[bool] = False

    @property
    def reducing(self) -> str | None:
        """How the losses of a batch become one number: see `REDUCTIONS`."""
        kept: str | None = vars(self)["reduction"]
        return kept

    @cached_property
    def plain(self) -> bool:
        """Whether each loss counts for its weight divided by the number of losses."""
        return self.reducing == "sum_over_batch_size" and vars(self).get("ignore_class") is None

    def __post_init__(self) -> None:
        values = vars(self)
        reduction = values["reduction"]
        if not isinstance(reduction, (str, type(None))) or reduction not in REDUCTIONS:
            raise InvalidArgumentError(
                f"{self._owner}: reduction must be one of {', '.join(map(repr, REDUCTIONS))}, got {describe_value(reduction)}"
            )
        object.__setattr__(self, "reduction", REDUCTIONS[reduction])
        if values["dtype"] not in (None, "float32"):
            raise UnsupportedError(
                f"{self._owner}: dtype must be float32 (all arithmetic is), got {describe_value(values['dtype'])}"
            )
        if not isinstance(values["name"], (str, type(None))):
            raise InvalidArgumentError(f"{self._owner}: name must be a string, got {describe_value(values['name'])}")
        for name in ("from_logits", "apply_class_balancing"):
            if not isinstance(values.get(name, False), bool):
                raise InvalidArgumentError(
                    f"{self._owner}: {name} must be True or False, got {describe_value(values[name])}"
                )
        for name in ("axis", "ignore_class"):
            self._check_integer(name, values.get(name, -1))
        for name in ("alpha", "beta", "gamma", "delta", "q"):
            if name in values:
                self._keep_number(name, values[name])
        if "label_smoothing" in values:
            self._keep_number("label_smoothing", values["label_smoothing"], 1.0)

    def _check_integer(self, name: str, value: Any) -> None:
        several = name == "axis" and self.axes_may_be_several and isinstance(value, (tuple, list))
        for item in value if several else (value,):
            if item is None and (name == "ignore_class" or self.axes_may_be_several):
                continue
            if isinstance(item, bool) or not hasattr(item, "__index__"):
                raise InvalidArgumentError(f"{self._owner}: {name} must be an integer, got {describe_value(value)}")

    def _keep_number(self, name: str, value: Any, most: float = float("inf")) -> None:
        if isinstance(value, bool) or not hasattr(value, "__float__") or not 0 <= float(value) <= most:
            allowed = "a number from 0 to 1" if most == 1.0 else "a number of at least 0"
            raise InvalidArgumentError(f"{self._owner}: {name} must be {allowed}, got {describe_value(value)}")
        object.__setattr__(self, name, float(value))

    @property
    def _owner(self) -> str:
        return type(self).__name__

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss of a batch, a number: the (weighted) losses of its samples and positions as `reduction` says.

        Args:
            y_true, y_pred: see the class.
            sample_weight: (batch,), or for an output (batch, …, channels) one for each position, (batch, …); or one number.

        Returns:
            A float; where `reduction` is None the weighted losses themselves.

        Raises:
            InvalidDataError: no samples. ShapeError: labels or weights that do not fit the predictions.

        >>> from depthwise.losses import MeanSquaredError
        >>> round(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]), 6)
        0.5
        """
        labels, predictions = np.asarray(y_true), np.asarray(y_pred)
        losses = per_sample(self, labels, predictions)
        if not predictions.size:
            raise InvalidDataError(f"{self._owner}: there are no samples, so there is no loss; give at least one")
        weights = None if sample_weight is None else np.asarray(sample_weight)
        if self.reducing is None:
            return losses if weights is None else losses * _spread(self, weights, losses.shape)
        return float(np.sum(losses * shares(self, labels, losses.shape, weights), dtype=np.float64))

    def axes(self, rank: int) -> tuple[int, ...]:
        """The axes of predictions of that rank, the batch's included, that one loss is made of."""
        axis = vars(self).get("axis", -1)
        chosen = tuple(range(rank)) if axis is None else tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
        if any(not -rank <= item < rank for item in chosen):
            raise ShapeError(
                f"{self._owner}: axis must be from {-rank} to {rank - 1} for predictions with {rank} axes, got "
                f"{describe_value(axis)}"
            )
        return tuple(sorted({item % rank for item in chosen}))

    def _values(self, targets: Array, predictions: Array) -> Array:
        """The loss of each position, (batch, …), of predictions (batch, …, outputs); labels of that shape unless `sparse`."""
        raise NotImplementedError

    def gradient_of_sum(self, y_true: Array, y_pred: Array, counts: Array) -> Array:
        """The gradient of Σ counts · losses to the predictions, in NumPy."""
        raise NotImplementedError

    def batch_targets(self, targets: Array) -> Array:
        """Labels of a batch as the loss reads them: hinge losses read 0 and 1 as -1 and 1."""
        return targets

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them into a file."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "dtype"}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Loss":
        """A loss from `config`, what `get_config` gave, here or in Keras.

        >>> from depthwise.losses import Huber
        >>> Huber.from_config(Huber(delta=2.0).get_config()).delta
        2.0
        """
        return cls(**config)


@dataclass(frozen=True)
class FormulaLoss(Loss):
    """A loss that is one formula: its value in NumPy, the native code and the gradient all follow from it."""

    def formula(self, size: int) -> Formula:
        """The loss of a position with so many outputs."""
        raise NotImplementedError

    def _values(self, targets: Array, predictions: Array) -> Array:
        kind, size = predictions.dtype.type, predictions.shape[-1]
        if self.sparse:
            targets = one_hot(targets, predictions)
        smoothing = vars(self).get("label_smoothing", 0.0)
        if smoothing:
            share = smoothing / (size if self.probabilities == "softmax" else 2)
            targets = targets * kind(1 - smoothing) + kind(share)
        axes = self._own_axes(predictions.ndim)
        return value(self.formula(size), predictions, self.batch_targets(targets), axes)

    def _own_axes(self, rank: int) -> tuple[int, ...]:
        return self.axes(rank) if self.axes_may_be_several else (rank - 1,)

    def gradient_of_sum(self, y_true: Array, y_pred: Array, counts: Array) -> Array:
        from depthwise.compiler.loss_gradient import gradient_of  # with the code generators: not before training

        axes = self._own_axes(y_pred.ndim)
        reductions, slope = gradient_of(self.formula(y_pred.shape[-1]))
        targets = self.batch_targets(np.asarray(y_true, y_pred.dtype).reshape(y_pred.shape))
        each = evaluate(slope, reduced(reductions, y_pred, targets, axes), y_pred.dtype)
        if counts.ndim == y_pred.ndim - len(axes):
            counts = np.expand_dims(counts, axes)
        return np.asarray(np.broadcast_to(each, y_pred.shape) * counts, y_pred.dtype)


def one_hot(labels: Array, predictions: Array) -> Array:
    """Class numbers (batch, …) as ones among zeros, of the predictions' shape; numbers that are not classes as zeros."""
    classes = np.arange(predictions.shape[-1])
    return np.asarray(labels.reshape(*predictions.shape[:-1], 1) == classes, dtype=predictions.dtype)


def _valid(loss: Loss, y_true: Array, shape: tuple[int, ...]) -> Array | None:
    """Which losses count: not those of the class to be ignored; None for all."""
    ignored = vars(loss).get("ignore_class")
    return None if ignored is None else np.asarray(y_true != ignored).reshape(shape)


def _spread(loss: Loss, weights: Array, shape: tuple[int, ...]) -> Array:
    """Weights that multiply losses of that shape: one a sample gets axes of length 1 behind it."""
    positions, samples = math.prod(shape), shape[0] if shape else 1
    if not shape:
        return weights.reshape(-1)
    if not weights.ndim:  # the same for all
        return weights.reshape(*(1 for _ in shape))
    if weights.size not in (samples, positions):
        raise ShapeError(
            f"{type(loss).__name__}: sample_weight must have the shape ({samples},)"
            + (f" or {shape}" if len(shape) > 1 else "")
            + f", got {weights.shape}"
        )
    return weights.reshape(shape if weights.size == positions else (samples, *(1 for _ in shape[1:])))


def shares(loss: Loss, y_true: Array, shape: tuple[int, ...], sample_weight: Array | None) -> Array:
    """What each of the losses counts for in the loss of its batch, which is the sum of their products.

    Args:
        loss: `reduction` and `ignore_class` are read.
        y_true: the labels: positions of the class to be ignored count nothing, and the others more where it is a mean.
        shape: of the losses: (batch,), (batch, …) for maps, () for one loss of the whole batch.
        sample_weight: one a sample or one a loss, or None.

    Returns:
        An array that broadcasts with the losses.

    >>> from depthwise.losses import MeanSquaredError
    >>> shares(MeanSquaredError(), np.zeros(2), (2,), np.array([1.0, 3.0])).tolist()
    [0.5, 1.5]
    """
    count = math.prod(shape)
    weights = np.ones(shape) if sample_weight is None else _spread(loss, sample_weight, shape).astype(np.float64)
    divisor = float(count)
    if not shape and sample_weight is not None and not np.ndim(sample_weight):
        return np.asarray(sample_weight, np.float64)  # one loss and one weight: nothing to be averaged
    if not shape and sample_weight is not None:
        weights, divisor = np.asarray(weights.sum()), float(weights.size)
    total = None if sample_weight is None else float(np.sum(sample_weight, dtype=np.float64))
    valid = _valid(loss, y_true, shape)
    if valid is not None:
        kept = int(np.count_nonzero(valid))
        mean = loss.reducing == "sum_over_batch_size"
        weights = weights * (valid * (count / kept) if mean and kept else valid)
        total = float(np.broadcast_to(weights, shape).sum())
    if loss.reducing == "sum":
        return np.asarray(weights)
    if loss.reducing == "mean_with_sample_weight" and total is not None:
        divisor = total
    return np.asarray(weights / divisor if divisor else np.zeros_like(weights))


def per_sample(loss: Loss, y_true: Array, y_pred: Array) -> Array:
    """The loss of every sample, of a map the loss of each of its positions; unweighted.

    Args:
        loss: the description.
        y_true: labels as the loss takes them: (batch, …) whole numbers where `loss.sparse`, else like `y_pred`.
        y_pred: (batch, …, outputs).

    Returns:
        (batch, …) in the predictions' precision (at least float32): (batch,) for vectors.

    >>> from depthwise.losses import SparseCategoricalCrossentropy
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
        (axis,) = loss.axes(predictions.ndim)
        labels = np.asarray(y_true)
        if labels.ndim == predictions.ndim and labels.shape[axis] == 1:
            labels = np.moveaxis(labels, axis, -1)
        predictions = np.moveaxis(predictions, axis, -1)
        positions = predictions.shape[:-1]
        if labels.shape not in (positions, (*positions, 1)):
            each = "a sample" if len(positions) == 1 else "a position"
            raise ShapeError(
                f"{type(loss).__name__}: labels of shape {labels.shape} do not fit predictions of shape "
                f"{predictions.shape}; give one class number {each}"
            )
        valid = _valid(loss, labels, positions)
        values = _quietly(loss, labels if valid is None else np.where(valid, labels.reshape(positions), 0), predictions)
        return values if valid is None else np.where(valid, values, dtype.type(0))
    batch = len(predictions)
    targets = np.asarray(y_true, dtype=dtype)
    if targets.size != predictions.size or len(targets) != batch:
        raise ShapeError(
            f"{type(loss).__name__}: labels of shape {targets.shape} do not fit predictions of shape "
            f"{predictions.shape}; give one label for each output"
        )
    targets = targets.reshape(predictions.shape)
    if not loss.axes_may_be_several:
        (axis,) = loss.axes(predictions.ndim)
        targets, predictions = np.moveaxis(targets, axis, -1), np.moveaxis(predictions, axis, -1)
    return np.asarray(_quietly(loss, targets, predictions), dtype=dtype)


def _quietly(loss: Loss, targets: Array, predictions: Array) -> Array:
    """Infinities and NaN are results like others, as in native code; a function of the user's own may warn of them."""
    with np.errstate(all=None if loss.handed_over else "ignore"):
        return loss._values(targets, predictions)

"""A loss of your own, as Python functions of NumPy arrays."""

from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.losses.base import Array, Loss

__all__ = ["FunctionLoss"]


@dataclass(frozen=True)
class FunctionLoss(Loss):
    """A loss and its gradient as Python functions, called in each step between the native forward and backward pass.

    Args:
        value: (y_true, y_pred) → the loss of each sample (batch,), of each position (batch, …), or one of the batch.
        gradient: (y_true, y_pred) → what these losses change by with each prediction, of the predictions' shape.
        name: of the value's function by default.
        reduction, dtype: see `SparseCategoricalCrossentropy`.

    Both get float32 arrays of the output's shape. Whether the gradient is right is not checked: compare it with differences
    of the value.

    >>> cubic = FunctionLoss(
    ...     value=lambda y_true, y_pred: (np.abs(y_pred - y_true) ** 3).mean(axis=-1),
    ...     gradient=lambda y_true, y_pred: 3.0 * (y_pred - y_true) * np.abs(y_pred - y_true) / y_pred.shape[-1],
    ... )
    >>> cubic([[0.0, 0.0]], [[1.0, 3.0]])
    14.0
    """

    value: Callable[[Array, Array], Any]
    gradient: Callable[[Array, Array], Any]
    name: str | None = None
    reduction: str | None = "sum_over_batch_size"
    dtype: str | None = field(default=None, compare=False)

    handed_over: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("value", "gradient"):
            if not callable(vars(self)[name]):
                raise InvalidArgumentError(
                    f"FunctionLoss: {name} must be a function of (y_true, y_pred), got {describe_value(vars(self)[name])}"
                )
        if self.name is None:
            object.__setattr__(self, "name", str(getattr(self.value, "__name__", "loss")))
        super().__post_init__()

    def _values(self, targets: Array, predictions: Array) -> Array:
        values = np.asarray(self.value(targets, predictions), predictions.dtype)
        if values.shape not in ((), predictions.shape[:1], predictions.shape[:-1]):
            each = f", or {predictions.shape[:-1]}, one for each position" if predictions.ndim > 2 else ""
            raise ShapeError(
                f"FunctionLoss: the value of {describe_value(self.name)} has the shape {values.shape} for predictions "
                f"{predictions.shape}; it must be ({len(predictions)},), one for each sample{each}, or one number"
            )
        return values

    def gradient_of_sum(self, y_true: Array, y_pred: Array, counts: Array) -> Array:
        slopes = np.asarray(self.gradient(y_true, y_pred))
        if slopes.shape != y_pred.shape:
            raise ShapeError(
                f"FunctionLoss: the gradient of {describe_value(self.name)} has the shape {slopes.shape}; it must have that of "
                f"the predictions, {y_pred.shape}"
            )
        return np.asarray(
            slopes * counts.reshape(*counts.shape, *(1 for _ in range(y_pred.ndim - counts.ndim))), np.float32
        )

    def get_config(self) -> dict[str, Any]:
        raise UnsupportedError(
            f"the loss {describe_value(self.name)} is a pair of Python functions, which a file cannot hold; give it to compile "
            "again after loading"
        )

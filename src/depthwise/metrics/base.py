"""What every metric has: a state, what adds a batch to it, what it says."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.losses import Loss, per_sample
from depthwise.losses.functions import class_of

__all__ = [
    "Array",
    "LossMetric",
    "Mean",
    "MeanMetric",
    "MeanMetricWrapper",
    "Metric",
    "Sum",
    "same_rank",
    "weights_like",
]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Metric:
    """Base of all metrics.

    A metric of your own gives `update_state`, `result` and `reset_state`; one that is a mean of a value for each sample is a
    `MeanMetric`, and most easily a function: see `MeanMetricWrapper`.

    Attributes:
        name: its key in the logs and in `History`.
        labels: "sparse" (class numbers), "dense" (one value for each output) or "any".
        direction: "up" where larger is better, "down" where smaller is, None where that is not known.
    """

    labels: ClassVar[str] = "any"
    direction: str | None = "down"

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        if dtype not in (None, "float32"):
            raise UnsupportedError(f"{type(self).__name__}: dtype must be float32, got {describe_value(dtype)}")
        if name is not None and (not isinstance(name, str) or not name):
            raise InvalidArgumentError(f"{type(self).__name__}: name must be a string, got {describe_value(name)}")
        self.name = snake_case(type(self).__name__) if name is None else name
        self.dtype = "float32"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: labels. y_pred: predictions (batch, …, outputs).
            sample_weight: (batch,), or (batch, …) with one for each position of a map, or None for 1 each.
        """
        raise NotImplementedError

    def result(self) -> Any:
        """The value over all samples so far: a float, or an array where the metric has several."""
        raise NotImplementedError

    def reset_state(self) -> None:
        """Forgets all samples."""
        raise NotImplementedError

    @property
    def state(self) -> list[float]:
        """The numbers that all samples so far are kept in, to be put back by `restore`."""
        raise NotImplementedError

    def restore(self, state: Sequence[float]) -> None:
        """Puts back what `state` gave."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them into a file."""
        names = list(inspect.signature(type(self)).parameters)
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Metric":
        """A metric from `config`, what `get_config` gave, here or in Keras; it has seen no samples.

        >>> Mean.from_config(Mean(name="m").get_config()).name
        'm'
        """
        return cls(**config)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """`update_state`, then `result`."""
        self.update_state(*arguments, **keywords)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class MeanMetric(Metric):
    """A mean of one value a sample, weighted where weights are given."""

    def __init__(self, name: str, dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self.total = 0.0
        self.count = 0.0

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """One value a sample, (batch,), or (batch, …) to be averaged over all axes but the first."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._add(self.values(np.asarray(y_true), np.asarray(y_pred)), sample_weight)

    def _add(self, values: Array, sample_weight: Any) -> None:
        if values.ndim == 0:
            weight = 1.0 if sample_weight is None else float(np.mean(sample_weight))
            self.total += float(values) * weight
            self.count += weight
            return
        if sample_weight is None:
            if values.dtype == bool:
                self.total += int(np.count_nonzero(values)) * len(values) / max(values.size, 1)
            else:
                self.total += (
                    float(np.add.reduce(values, axis=None, dtype=np.float64)) * len(values) / max(values.size, 1)
                )
            self.count += len(values)
            return
        weights = self._fitted(np.asarray(sample_weight, dtype=np.float64), values)
        if values.ndim > weights.ndim:
            values = values.reshape(*weights.shape, -1).mean(axis=-1, dtype=np.float64)
        positions = max(weights.size, 1) / max(len(weights), 1)
        self.total += float(np.dot(values.astype(np.float64).reshape(-1), weights.reshape(-1))) / positions
        self.count += float(weights.sum()) / positions

    def _fitted(self, weights: Array, values: Array) -> Array:
        """The weights with the first axes of the values: axes of length 1, and a single number, count for all."""
        if weights.size == len(values) and (values.ndim == 1 or weights.shape[:1] == values.shape[:1]):
            return weights.reshape(-1)
        try:
            return np.broadcast_to(weights, values.shape[: max(weights.ndim, 1)])
        except ValueError:
            raise ShapeError(
                f"{self.name}: sample weights of shape {weights.shape} do not fit {len(values)} samples with values of shape "
                f"{values.shape}"
            ) from None

    def result(self) -> float:
        """The mean so far; 0 before the first sample, as in Keras (`fit` and `evaluate` never report that)."""
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = self.count = 0.0

    @property
    def state(self) -> list[float]:
        """As in `Metric`."""
        return [self.total, self.count]

    def restore(self, state: Sequence[float]) -> None:
        self.total, self.count = (float(item) for item in state)


class Mean(MeanMetric):
    """The (weighted) mean of numbers.

    >>> Mean()([1.0, 3.0])
    2.0
    """

    def __init__(self, name: str = "mean", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        self._add(np.atleast_1d(np.asarray(values)), sample_weight)


class Sum(Metric):
    """The (weighted) sum of numbers.

    >>> Sum()([1.0, 3.0], sample_weight=[1.0, 2.0])
    7.0
    """

    def __init__(self, name: str = "sum", dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self.total = 0.0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        numbers = np.asarray(values, np.float64)
        self.total += float(
            np.sum(numbers if sample_weight is None else numbers * weights_like(sample_weight, numbers))
        )

    def result(self) -> float:
        return self.total

    def reset_state(self) -> None:
        self.total = 0.0

    @property
    def state(self) -> list[float]:
        """As in `Metric`."""
        return [self.total]

    def restore(self, state: Sequence[float]) -> None:
        (self.total,) = (float(item) for item in state)


class LossMetric(MeanMetric):
    """The mean of a loss: its arguments are those of the metric that have the loss's names."""

    labels = "dense"
    loss: Loss

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return per_sample(self.loss, y_true, y_pred)


class MeanMetricWrapper(MeanMetric):
    """The mean of what a function gives for each sample: a metric of your own.

    Args:
        fn: of (y_true, y_pred) as NumPy arrays, and `arguments`; gives (batch,), (batch, …) or one number for the batch.
        name: of the function by default.
        arguments: passed on to the function.

    >>> def furthest(y_true, y_pred):
    ...     return np.abs(y_true - y_pred).max(axis=-1)
    >>> MeanMetricWrapper(furthest)(np.zeros((2, 2)), np.array([[1.0, 2.0], [4.0, 0.0]]))
    3.0
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: str | None = None, **arguments: Any
    ) -> None:
        if not callable(fn):
            raise InvalidArgumentError(f"MeanMetricWrapper: fn must be a function, got {describe_value(fn)}")
        super().__init__(name or str(getattr(fn, "__name__", type(fn).__name__)), dtype)
        self.fn = fn
        self.arguments = arguments
        self.direction = "down" if isinstance(fn, Loss) or class_of(fn) is not None else None
        if isinstance(fn, Loss):
            self.name = name or str(vars(fn)["name"])

    def values(self, y_true: Array, y_pred: Array) -> Array:
        if isinstance(self.fn, Loss):
            return per_sample(self.fn, y_true, y_pred)
        found = np.asarray(self.fn(y_true, y_pred, **self.arguments))
        if found.dtype.kind not in "fiub" or (found.ndim and len(found) != len(y_pred)):
            raise ShapeError(
                f"the metric {describe_value(self.name)} gave {found.dtype} of shape {found.shape} for {len(y_pred)} samples; "
                "it must give one number for each sample, or one number"
            )
        return found

    def get_config(self) -> dict[str, Any]:
        raise UnsupportedError(
            f"the metric {describe_value(self.name)} is a Python function, which a file cannot hold; give it to compile again "
            "after loading"
        )


def snake_case(name: str) -> str:
    """A class's name as Keras writes it in logs.

    >>> snake_case("MeanIoU")
    'mean_io_u'
    """
    parts = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", parts).lower()


def same_rank(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    """Both with as many axes, as Keras makes them: a last axis of length 1 is left out, or put at the end of a vector."""
    first, second = np.asarray(y_true), np.asarray(y_pred)
    if first.ndim == second.ndim + 1 and first.shape[-1] == 1:
        return (first, second[:, np.newaxis]) if second.ndim == 1 else (first[..., 0], second)
    if second.ndim == first.ndim + 1 and second.shape[-1] == 1:
        return (first[:, np.newaxis], second) if first.ndim == 1 else (first, second[..., 0])
    return first, second


def weights_like(sample_weight: Any, values: Array) -> Array:
    """The weights with axes of length 1 behind them, until there are as many as of the values."""
    weights = np.asarray(sample_weight, np.float64)
    while weights.ndim > values.ndim and weights.shape[-1] == 1:
        weights = weights[..., 0]
    if weights.ndim > values.ndim or any(own not in (1, other) for own, other in zip(weights.shape, values.shape)):
        raise ShapeError(f"sample weights of shape {weights.shape} do not fit values of shape {values.shape}")
    return weights.reshape(*weights.shape, *(1 for _ in range(values.ndim - weights.ndim)))

"""What every metric has: a state, what adds a batch to it, what it says."""

from typing import Any, ClassVar, TypeAlias

import numpy as np

from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value

__all__ = ["Array", "Mean", "Metric"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class Metric:
    """Base of all metrics: a mean of one value a sample, weighted where weights are given.

    Attributes:
        name: its key in the logs and in `History`.
        labels: "sparse" (class numbers), "dense" (one value for each output) or "any".
        direction: "up" where larger is better, "down" where smaller is.
    """

    labels: ClassVar[str] = "any"
    direction: ClassVar[str] = "down"

    def __init__(self, name: str, dtype: str | None = None) -> None:
        if dtype not in (None, "float32"):
            raise UnsupportedError(f"{type(self).__name__}: dtype must be float32, got {describe_value(dtype)}")
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"{type(self).__name__}: name must be a string, got {describe_value(name)}")
        self.name = name
        self.total = 0.0
        self.count = 0.0

    def values(self, y_true: Array, y_pred: Array) -> Array:
        """One value a sample, (batch,), or (batch, …) to be averaged over all axes but the first."""
        raise NotImplementedError

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: labels. y_pred: predictions (batch, …, outputs).
            sample_weight: (batch,), or (batch, …) with one for each position of a map, or None for 1 each.
        """
        self._add(self.values(np.asarray(y_true), np.asarray(y_pred)), sample_weight)

    def _add(self, values: Array, sample_weight: Any) -> None:
        if sample_weight is None:
            if values.dtype == bool:
                self.total += int(np.count_nonzero(values)) * len(values) / max(values.size, 1)
            else:
                self.total += (
                    float(np.add.reduce(values, axis=None, dtype=np.float64)) * len(values) / max(values.size, 1)
                )
            self.count += len(values)
            return
        weights = np.asarray(sample_weight, dtype=np.float64)
        if weights.size == len(values):
            weights = weights.reshape(-1)
        if weights.shape != values.shape[: weights.ndim]:
            raise ShapeError(
                f"{self.name}: sample weights of shape {weights.shape} do not fit {len(values)} samples with values of shape "
                f"{values.shape}"
            )
        if values.ndim > weights.ndim:
            values = values.reshape(*weights.shape, -1).mean(axis=-1, dtype=np.float64)
        positions = max(weights.size, 1) / max(len(weights), 1)
        self.total += float(np.dot(values.astype(np.float64).reshape(-1), weights.reshape(-1))) / positions
        self.count += float(weights.sum()) / positions

    def result(self) -> float:
        """The mean so far; 0 before the first sample, as in Keras (`fit` and `evaluate` never report that)."""
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        """Forgets all samples."""
        self.total = self.count = 0.0

    def __call__(self, *arguments: Any, **keywords: Any) -> float:
        """`update_state`, then `result`."""
        self.update_state(*arguments, **keywords)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Mean(Metric):
    """The (weighted) mean of numbers.

    >>> Mean()([1.0, 3.0])
    2.0
    """

    def __init__(self, name: str = "mean", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        self._add(np.atleast_1d(np.asarray(values)), sample_weight)

"""Keras' metrics: running means over the samples seen since `reset_state`, in NumPy. Names and values are Keras' own.

The loop gives every metric the labels as the loss takes them: (batch, …) class numbers for sparse categorical
cross-entropy, else one value for each output. Called by hand, they take whatever Keras' take. A sample's value is the mean
over its outputs, and over its positions where it is a map.
"""

from typing import Any, ClassVar, TypeAlias

import numpy as np

from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.losses import Loss

__all__ = [
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "get",
    "resolve",
]

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


class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is at the label; labels are class numbers.

    >>> SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.4, 0.6]])
    0.5
    """

    labels = "sparse"
    direction = "up"

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.asarray(y_pred.argmax(axis=-1) == y_true.reshape(y_pred.shape[:-1]))


class CategoricalAccuracy(Metric):
    """How often the largest prediction is where the largest label is; labels are one-hot.

    >>> CategoricalAccuracy()([[0, 1], [1, 0]], [[0.1, 0.9], [0.4, 0.6]])
    0.5
    """

    labels = "dense"
    direction = "up"

    def __init__(self, name: str = "categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.asarray(y_pred.argmax(axis=-1) == y_true.argmax(axis=-1))


class BinaryAccuracy(Metric):
    """Share of outputs on the label's side of `threshold`; labels are 0 and 1.

    >>> BinaryAccuracy()([[1], [0], [0]], [[0.9], [0.4], [0.6]]) == 2 / 3
    True
    """

    labels = "dense"
    direction = "up"

    def __init__(self, name: str = "binary_accuracy", dtype: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.asarray((y_pred > self.threshold) == y_true.reshape(y_pred.shape))


def _within_top(labels: Array, y_pred: Array, k: int) -> Array:
    at_label = np.take_along_axis(y_pred, labels.astype(np.intp)[..., np.newaxis], axis=-1)
    at_label = np.where(np.isnan(at_label), -np.inf, at_label)
    return np.asarray(np.count_nonzero(y_pred > at_label, axis=-1) < k)


def _positive(owner: str, k: object) -> int:
    if isinstance(k, bool) or not hasattr(k, "__index__") or int(k) < 1:
        raise InvalidArgumentError(f"{owner}: k must be an integer of at least 1, got {describe_value(k)}")
    return int(k)


class TopKCategoricalAccuracy(Metric):
    """How often the label is among the `k` largest predictions; labels are one-hot.

    >>> TopKCategoricalAccuracy(k=2)([[1, 0, 0]], [[0.3, 0.5, 0.2]])
    1.0
    """

    labels = "dense"
    direction = "up"

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self.k = _positive(type(self).__name__, k)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _within_top(y_true.argmax(axis=-1), y_pred, self.k)


class SparseTopKCategoricalAccuracy(Metric):
    """How often the label is among the `k` largest predictions; labels are class numbers.

    >>> SparseTopKCategoricalAccuracy(k=1)([0], [[0.3, 0.5, 0.2]])
    0.0
    """

    labels = "sparse"
    direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: str | None = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(name, dtype)
        if from_sorted_ids:
            raise UnsupportedError("SparseTopKCategoricalAccuracy: from_sorted_ids=True is not supported; leave it out")
        self.k = _positive(type(self).__name__, k)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return _within_top(y_true.reshape(y_pred.shape[:-1]), y_pred, self.k)


class MeanSquaredError(Metric):
    """Mean of (label - prediction)²."""

    labels = "dense"

    def __init__(self, name: str = "mean_squared_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.square(y_true.reshape(y_pred.shape).astype(np.float64) - y_pred)


class MeanAbsoluteError(Metric):
    """Mean of |label - prediction|."""

    labels = "dense"

    def __init__(self, name: str = "mean_absolute_error", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Array, y_pred: Array) -> Array:
        return np.abs(y_true.reshape(y_pred.shape).astype(np.float64) - y_pred)


CLASSES: dict[str, Any] = {
    "binary_accuracy": BinaryAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "sparse_top_k_categorical_accuracy": SparseTopKCategoricalAccuracy,
    "top_k_categorical_accuracy": TopKCategoricalAccuracy,
}

_BY_NAME: dict[str, Any] = {
    **CLASSES,
    **{cls.__name__: cls for cls in CLASSES.values()},
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
}

_TWINS = {
    "CategoricalAccuracy": "SparseCategoricalAccuracy",
    "SparseCategoricalAccuracy": "CategoricalAccuracy",
    "TopKCategoricalAccuracy": "SparseTopKCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy": "TopKCategoricalAccuracy",
    "BinaryAccuracy": "SparseCategoricalAccuracy",
}


def get(identifier: Any) -> Metric:
    """A metric from its name, its class, Keras' configuration, or a metric itself.

    A metric given by name is called by that name, as Keras does ("mse" stays "mse" in the logs).

    Raises:
        InvalidArgumentError: not one of the metrics here; the message lists them.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric) and identifier in CLASSES.values():
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, dict):
        cls = _BY_NAME.get(str(identifier.get("class_name")))
        config = identifier.get("config", {})
        if cls is not None and isinstance(config, dict):
            try:
                made: Metric = cls(**config)
            except TypeError:
                made = None  # type: ignore[assignment]
            if made is not None:
                return made
    elif isinstance(identifier, str) and identifier in _BY_NAME:
        named: Metric = _BY_NAME[identifier]()
        named.name = identifier
        return named
    raise InvalidArgumentError(
        f"unknown metric {describe_value(identifier)}; allowed are accuracy, " + ", ".join(sorted(CLASSES))
    )


def resolve(identifier: Any, loss: Loss, outputs: int) -> Metric:
    """The metric that `identifier` means beside `loss` on a network with so many outputs: "accuracy" (or "acc") is the
    binary, sparse categorical or categorical one, as Keras chooses.

    Raises:
        InvalidArgumentError: unknown, or it needs labels of another kind than the loss takes.
    """
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        chosen: Metric
        if outputs == 1:
            chosen = BinaryAccuracy()
        else:
            chosen = SparseCategoricalAccuracy() if loss.sparse else CategoricalAccuracy()
        chosen.name = identifier
        return chosen
    metric = get(identifier)
    if metric.labels != "any" and (metric.labels == "sparse") != loss.sparse:
        kind = type(metric).__name__
        takes = "class numbers" if loss.sparse else "one value for each output"
        needs = "class numbers" if metric.labels == "sparse" else "one value for each output"
        instead = f"; use {_TWINS[kind]}, or 'accuracy'" if kind in _TWINS else "; leave it out"
        raise InvalidArgumentError(
            f"the metric {kind} needs labels with {needs}, but the loss {type(loss).__name__} takes {takes}{instead}"
        )
    return metric

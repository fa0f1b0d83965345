"""Keras' metrics: running means over the samples seen since `reset_state`, in NumPy. Names and values are Keras' own.

The loop gives every metric the labels as the loss takes them: (batch, …) class numbers for sparse categorical
cross-entropy, else one value for each output. Called by hand, they take whatever Keras' take. A sample's value is the mean
over its outputs, and over its positions where it is a map.
"""

from typing import Any

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.losses import Loss
from depthwise.metrics.accuracy import (
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from depthwise.metrics.base import Mean, Metric
from depthwise.metrics.regression import MeanAbsoluteError, MeanSquaredError

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

"""Metrics as functions of labels and predictions: the value of every position, in an array, as Keras' functions give it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from depthwise.metrics.base import Array, MeanMetric

__all__ = ["as_function"]


def as_function(cls: Callable[..., MeanMetric], name: str) -> Callable[..., Array]:
    """A function (y_true, y_pred, …) with the metric's own arguments.

    >>> from depthwise.metrics import BinaryAccuracy
    >>> as_function(BinaryAccuracy, "binary_accuracy")([[1], [0]], [[0.6], [0.7]], threshold=0.5).tolist()
    [[1.0], [0.0]]
    """

    def function(y_true: Any, y_pred: Any, *arguments: Any, **keywords: Any) -> Array:
        own = {"binary_accuracy": ["threshold"]}.get(
            name, ["k"] if "top_k" in name else ["axis"] if "correlation" in name else []
        )
        metric = cls(**dict(zip(own, arguments, strict=False)), **keywords)
        return np.asarray(metric.values(np.asarray(y_true), np.asarray(y_pred)), np.float32)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "depthwise.metrics"
    function.__doc__ = f"The value of every position, as an array; see `{getattr(cls, '__name__', '')}`."
    return function

"""Descriptions of Keras' losses: what `fit` minimises.

A description holds the arguments; the native training step differentiates it, and `per_sample` evaluates it in NumPy for
`evaluate` and `test_on_batch`. Names, arguments, defaults and values are those of `keras.losses`.
"""

from dataclasses import fields
from typing import Any

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.losses.base import Loss, per_sample
from depthwise.losses.crossentropy import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from depthwise.losses.regression import MeanAbsoluteError, MeanSquaredError

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

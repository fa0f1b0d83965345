"""`keras.saving` by name: models to and from `.keras` files, and names for what of yours they hold."""

import os
from typing import Any

from depthwise.absent import absent
from depthwise.documentation import document
from depthwise.meanings import SETTINGS
from depthwise.models import Model, load_model, save_model
from depthwise.registration import (
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)

CustomObjectScope = custom_object_scope


def save_weights(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True, **kwargs: Any) -> None:
    """`model.save_weights(filepath, …)`."""
    model.save_weights(filepath, overwrite=overwrite, **kwargs)


def load_weights(model: Model, filepath: str | os.PathLike[str], skip_mismatch: bool = False, **kwargs: Any) -> None:
    """`model.load_weights(filepath, …)`."""
    model.load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)


__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
]


document(globals(), __all__, SETTINGS)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("saving", name, __all__)

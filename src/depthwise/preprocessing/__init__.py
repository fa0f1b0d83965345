"""`keras.preprocessing` by name: images in folders, and the image functions of Keras 2 in `depthwise.preprocessing.image`."""

import importlib
from typing import Any

from depthwise.absent import absent

__all__ = ["image", "image_dataset_from_directory"]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name == "image":
        return importlib.import_module("depthwise.preprocessing.image")
    if name == "image_dataset_from_directory":
        from depthwise.utils.image_datasets import image_dataset_from_directory

        return image_dataset_from_directory
    raise absent("preprocessing", name, __all__)

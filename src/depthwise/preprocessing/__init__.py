"""`keras.preprocessing` by name: images in folders, and the image functions of Keras 2 in `depthwise.preprocessing.image`."""

import importlib
from typing import Any

__all__ = ["image", "image_dataset_from_directory"]

_MISSING = {"text": "texts", "sequence": "texts", "timeseries_dataset_from_array": "time series"}


def __getattr__(name: str) -> Any:
    if name == "image":
        return importlib.import_module("depthwise.preprocessing.image")
    if name == "image_dataset_from_directory":
        from depthwise.utils.image_datasets import image_dataset_from_directory

        return image_dataset_from_directory
    if name in _MISSING:
        raise AttributeError(f"depthwise.preprocessing has no {name!r}: Depthwise has no layers for {_MISSING[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")

"""`keras.utils` by name; each function is imported when first used."""

import importlib
from typing import Any

from depthwise.absent import absent

_NAMES = {
    "CustomObjectScope": ("registration", "custom_object_scope"),
    "Dataset": ("utils.datasets", "Dataset"),
    "PyDataset": ("utils.sequences", "PyDataset"),
    "Sequence": ("utils.sequences", "PyDataset"),
    "clear_session": ("backend", "clear_session"),
    "disable_interactive_logging": ("config", "disable_interactive_logging"),
    "enable_interactive_logging": ("config", "enable_interactive_logging"),
    "is_interactive_logging_enabled": ("config", "is_interactive_logging_enabled"),
    "pack_x_y_sample_weight": ("utils.numeric", "pack_x_y_sample_weight"),
    "unpack_x_y_sample_weight": ("utils.numeric", "unpack_x_y_sample_weight"),
    "array_to_img": ("utils.images", "array_to_img"),
    "custom_object_scope": ("registration", "custom_object_scope"),
    "get_custom_objects": ("registration", "get_custom_objects"),
    "get_file": ("utils.downloads", "get_file"),
    "get_registered_name": ("registration", "get_registered_name"),
    "get_registered_object": ("registration", "get_registered_object"),
    "image_dataset_from_directory": ("utils.image_datasets", "image_dataset_from_directory"),
    "img_to_array": ("utils.images", "img_to_array"),
    "is_keras_tensor": ("backend", "is_keras_tensor"),
    "load_img": ("utils.images", "load_img"),
    "model_to_dot": ("utils.drawing", "model_to_dot"),
    "normalize": ("utils.numeric", "normalize"),
    "pad_sequences": ("utils.numeric", "pad_sequences"),
    "plot_model": ("utils.drawing", "plot_model"),
    "register_keras_serializable": ("registration", "register_keras_serializable"),
    "save_img": ("utils.images", "save_img"),
    "set_random_seed": ("seeds", "set_random_seed"),
    "split_dataset": ("utils.datasets", "split_dataset"),
    "to_categorical": ("utils.numeric", "to_categorical"),
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise absent("utils", name, __all__)
    module, own = _NAMES[name]
    value = getattr(importlib.import_module(f"depthwise.{module}"), own)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

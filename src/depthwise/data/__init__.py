"""Data: MNIST in the package, other sets from files, caches or the network, images, and sequences of batches.

>>> from depthwise.data import mnist
>>> (x_train, y_train), (x_test, y_test) = mnist.load_data()
>>> x_train.shape
(60000, 28, 28)

Everything is imported when first used: predictions need little of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthwise.data import cifar10, fashion_mnist, mnist
    from depthwise.data.batches import Batch, Batches, is_batches, read_batch
    from depthwise.data.dataset import Dataset, load_data
    from depthwise.data.idx import load_idx, load_idx_dataset
    from depthwise.data.images import ImageFolder, load_image, load_image_folder
    from depthwise.data.npz import load_npz
    from depthwise.data.validate import validate_dataset_arrays, validate_images, validate_labels, validate_pair

__all__ = [
    "Batch",
    "Batches",
    "Dataset",
    "ImageFolder",
    "cifar10",
    "fashion_mnist",
    "is_batches",
    "load_data",
    "load_idx",
    "load_idx_dataset",
    "load_image",
    "load_image_folder",
    "load_npz",
    "mnist",
    "read_batch",
    "validate_dataset_arrays",
    "validate_images",
    "validate_labels",
    "validate_pair",
]

_MODULES = ("cifar10", "fashion_mnist", "mnist")
_HOME = {
    "batches": ("Batch", "Batches", "is_batches", "read_batch"),
    "dataset": ("Dataset", "load_data"),
    "idx": ("load_idx", "load_idx_dataset"),
    "images": ("ImageFolder", "load_image", "load_image_folder"),
    "npz": ("load_npz",),
    "validate": ("validate_dataset_arrays", "validate_images", "validate_labels", "validate_pair"),
}
_HOME_OF = {name: home for home, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)

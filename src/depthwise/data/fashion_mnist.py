"""Fashion-MNIST: 70,000 grey images of clothes, 28×28, in ten classes (Xiao, Rasul and Vollgraf 2017, MIT licence)."""

import os
from pathlib import Path

from depthwise.data.fetch import fetch, find_verified, keras_cache_folder
from depthwise.data.idx import IDX_NAMES, load_idx, load_idx_dataset
from depthwise.data.npz import ArrayPairs, load_npz

__all__ = ["CLASS_NAMES", "SHA256_OF_FILES", "load_data"]

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SOURCE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"  # Keras' own
SHA256_OF_FILES = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def load_data(path: str | os.PathLike[str] | None = None) -> ArrayPairs:
    """Fashion-MNIST as `keras.datasets.fashion_mnist.load_data()` gives it.

    Args:
        path: a folder with the four IDX files, or an `.npz` file in Keras' MNIST form. None looks into Keras' cache
            folder, then into our own, and downloads what is missing; all with their hashes checked.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, uint8: images (60000, 28, 28) and (10000, 28, 28), labels 0 to 9.

    Raises:
        InvalidArgumentError, InvalidFileError, InvalidDataError: `path` is no such data.
        DepthwiseError: the download failed.

    Source: https://github.com/zalandoresearch/fashion-mnist
    """
    if path is not None:
        return load_npz(path) if Path(path).is_file() else load_idx_dataset(path)
    x_train, y_train, x_test, y_test = (load_idx(_find(f"{name}.gz")) for name in IDX_NAMES)
    return (x_train, y_train), (x_test, y_test)


def _find(name: str) -> Path:
    sha256 = SHA256_OF_FILES[name]
    return find_verified(keras_cache_folder() / "fashion-mnist", sha256, name) or fetch(
        f"fashion-mnist-{name}", SOURCE + name, sha256, "get the four files yourself and name their folder as path"
    )

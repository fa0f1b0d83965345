"""MNIST, the 70,000 handwritten digits: inside the package, so it needs no network.

The images are by Yann LeCun, Corinna Cortes and Christopher J.C. Burges, under CC BY-SA 3.0; MNIST-ATTRIBUTION.md
beside this file goes with the data.
"""

import hashlib
import os

import numpy as np
from numpy.typing import NDArray

from depthwise.data.npz import ArrayPairs, load_npz
from depthwise.errors import InvalidFileError

__all__ = ["CLASS_NAMES", "RESOURCE_NAME", "SHA256_OF_ARRAYS", "load_data"]

CLASS_NAMES = tuple("0123456789")
RESOURCE_NAME = "mnist.zip"
TRAIN_COUNT, TEST_COUNT, SIZE = 60_000, 10_000, 28

# Of the arrays' bytes in C order, as Keras' mnist.npz holds them.
SHA256_OF_ARRAYS = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


def load_data(path: str | os.PathLike[str] = "mnist.npz") -> ArrayPairs:
    """The MNIST digits as `keras.datasets.mnist.load_data()` gives them.

    Args:
        path: "mnist.npz", Keras' default, means the copy in the package; any other path a `.npz` file of that form.

    Returns:
        `((x_train, y_train), (x_test, y_test))`, uint8: images of shape (60000, 28, 28) and (10000, 28, 28) with
        values 0 (background) to 255, labels 0 to 9 of shape (60000,) and (10000,).

    Raises:
        InvalidFileError: the file is damaged; every array is compared with its known SHA-256.

    Source: http://yann.lecun.com/exdb/mnist/, as distributed with Keras.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, y_test.shape, y_train[:3].tolist()
    ((60000, 28, 28), (10000,), [5, 0, 4])
    """
    if os.fspath(path) != "mnist.npz":
        return load_npz(path)
    from importlib.resources import files

    return _decode((files("depthwise.data") / RESOURCE_NAME).read_bytes())


def _decode(data: bytes) -> ArrayPairs:
    from concurrent.futures import ThreadPoolExecutor

    from depthwise.data.mnist_coding import decode_archive  # the codecs are not needed before the data is

    try:
        images, labels = decode_archive(data, (TRAIN_COUNT + TEST_COUNT, SIZE, SIZE))
    except Exception as error:  # a damaged archive can fail in zip, LZMA, deflate or in the sizes of the parts
        raise InvalidFileError(_damaged("it cannot be decoded")) from error
    arrays = {
        "x_train": images[:TRAIN_COUNT],
        "y_train": labels[:TRAIN_COUNT],
        "x_test": images[TRAIN_COUNT:],
        "y_test": labels[TRAIN_COUNT:],
    }
    with ThreadPoolExecutor(max_workers=2) as pool:
        hashes = dict(zip(arrays, pool.map(_sha256, arrays.values()), strict=True))
    for name, expected in SHA256_OF_ARRAYS.items():
        if hashes[name] != expected:
            raise InvalidFileError(_damaged(f"the array {name} is not MNIST's"))
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def _sha256(array: NDArray[np.uint8]) -> str:
    return hashlib.sha256(array.data).hexdigest()


def _damaged(what: str) -> str:
    return f"The packaged MNIST file {RESOURCE_NAME} is damaged: {what}; install depthwise again."

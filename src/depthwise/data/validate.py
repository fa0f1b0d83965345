"""Checks of images and labels at the border, each with one sentence that says what arrived and how to fix it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidDataError, describe_value

__all__ = ["validate_dataset_arrays", "validate_images", "validate_labels", "validate_pair"]


def validate_images(images: object, name: str = "x") -> NDArray[Any]:
    """`images` as an array, if it holds at least one image of numbers: (N, H, W) or (N, H, W, C). Messages call it `name`.

    Raises `InvalidDataError` for any other rank, an empty array, or a dtype that is not a number.

    >>> validate_images(np.zeros((2, 28, 28), np.uint8)).shape
    (2, 28, 28)
    """
    array = _as_array(images, name)
    if array.dtype.kind not in "buif":
        raise InvalidDataError(
            f"{name} has dtype {describe_value(str(array.dtype))}; images are numbers: use uint8 (0 to 255) or float32."
        )
    if array.ndim not in (3, 4):
        raise InvalidDataError(
            f"{name} has shape {array.shape}; images are (count, height, width) or (count, height, width, channels): "
            f"reshape the array."
        )
    if 0 in array.shape:
        raise InvalidDataError(f"{name} has shape {array.shape}, which holds no pixel; give at least one image.")
    return array


def validate_labels(labels: object, class_count: int | None = None, name: str = "y") -> NDArray[np.int64]:
    """`labels` as int64 of shape (N,), if they are whole numbers from 0 (below `class_count`, when given). Messages call them `name`.

    Labels of shape (N, 1), as Keras' CIFAR-10 has them, are flattened. Raises `InvalidDataError`.

    >>> validate_labels([[3], [1]], class_count=10).tolist()
    [3, 1]
    """
    array = _as_array(labels, name)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidDataError(
            f"{name} has shape {array.shape}; class labels are one whole number an image, shape (count,): "
            f"for one-hot labels take their argmax."
        )
    if array.dtype.kind not in "ui":
        raise InvalidDataError(
            f"{name} has dtype {describe_value(str(array.dtype))}; class labels are whole numbers: convert them with "
            f".astype('int64')."
        )
    if array.size:
        smallest, largest = int(array.min()), int(array.max())
        if smallest < 0:
            raise InvalidDataError(f"{name} holds the label {smallest}; labels start at 0: renumber the classes.")
        if class_count is not None and largest >= class_count:
            raise InvalidDataError(
                f"{name} holds the label {largest}, but there are {class_count} classes, so labels are 0 to "
                f"{class_count - 1}: renumber the labels or give more classes."
            )
        if largest > np.iinfo(np.int64).max:
            raise InvalidDataError(f"{name} holds the label {largest}, which is too large; renumber the classes.")
    return array.astype(np.int64)


def validate_pair(images: object, labels: object, names: tuple[str, str] = ("x", "y")) -> None:
    """Raise `InvalidDataError` unless there are as many labels as images, and both fit `validate_*`. Messages call them `names`.

    >>> validate_pair(np.zeros((2, 4, 4)), [0, 1])
    """
    image_array = validate_images(images, names[0])
    label_array = validate_labels(labels, name=names[1])
    if len(image_array) != len(label_array):
        raise InvalidDataError(
            f"{names[0]} holds {len(image_array)} images but {names[1]} {len(label_array)} labels; "
            f"give exactly one label an image."
        )


def validate_dataset_arrays(x_train: object, y_train: object, x_test: object, y_test: object) -> None:
    """Raise `InvalidDataError` unless the pairs (x_train, y_train) and (x_test, y_test) fit and training and test images have one shape."""
    validate_pair(x_train, y_train, ("x_train", "y_train"))
    validate_pair(x_test, y_test, ("x_test", "y_test"))
    train_shape, test_shape = np.asarray(x_train).shape[1:], np.asarray(x_test).shape[1:]
    if train_shape != test_shape:
        raise InvalidDataError(
            f"x_train holds images of shape {train_shape} but x_test of {test_shape}; both need the same shape."
        )


def _as_array(value: object, name: str) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidDataError(
            f"{name} is {describe_value(value)}, which is no array of numbers; give rows of equal length."
        ) from error

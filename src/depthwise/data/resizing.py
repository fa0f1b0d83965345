"""Images resized as TensorFlow and Keras do it, without Pillow's antialiasing: the numbers that a network was trained with."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["METHODS", "crop_to", "pad_to", "resize"]

METHODS = ("bilinear", "nearest", "bicubic")
_BICUBIC = -0.5  # Keys 1981, as TensorFlow and JAX have it


def resize(image: NDArray[np.float32], size: tuple[int, int], method: str = "bilinear") -> NDArray[np.float32]:
    """A float32 image (height, width, channels) in another size.

    A pixel is a square with its value in the middle; what lies beyond the border has no weight.

    Args:
        size: (height, width).
        method: "bilinear", "nearest" or "bicubic".

    >>> resize(np.array([[[0.0], [1.0]]], np.float32), (1, 4)).ravel().tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    for axis, length in enumerate(size):
        if image.shape[axis] != length:
            image = _resize_axis(image, axis, length, method)
    return image


def _resize_axis(image: NDArray[np.float32], axis: int, length: int, method: str) -> NDArray[np.float32]:
    given = image.shape[axis]
    places = (np.arange(length) + 0.5) * (given / length)
    if method == "nearest":
        nearest: NDArray[np.float32] = np.take(image, np.minimum(np.floor(places).astype(int), given - 1), axis)
        return nearest
    places -= 0.5
    first, reach = np.floor(places).astype(int), 1 if method == "bilinear" else 2
    taps = range(1 - reach, reach + 1)
    weights = np.stack([_weight(np.abs(places - (first + tap)), method) for tap in taps])
    inside = np.stack([(first + tap >= 0) & (first + tap < given) for tap in taps])
    weights = weights * inside
    weights /= weights.sum(axis=0)
    shape = [1] * image.ndim
    shape[axis] = length
    result = np.zeros([length if item == axis else count for item, count in enumerate(image.shape)])
    for tap, weight in zip(taps, weights):
        rows = np.clip(first + tap, 0, given - 1)
        result += np.take(image, rows, axis) * weight.reshape(shape)
    return result.astype(np.float32)


def _weight(distance: NDArray[np.float64], method: str) -> NDArray[np.float64]:
    if method == "bilinear":
        return np.maximum(0.0, 1.0 - distance)
    a, x = _BICUBIC, distance
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    weight: NDArray[np.float64] = np.where(x <= 1, near, np.where(x < 2, far, 0.0))
    return weight


def crop_to(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """The largest part of the proportions of `size`, out of the middle."""
    height, width = image.shape[:2]
    rows = max(min(height, int(float(width * size[0]) / size[1])), 1)
    columns = max(min(width, int(float(height * size[1]) / size[0])), 1)
    top, left = int(float(height - rows) / 2), int(float(width - columns) / 2)
    return image[top : top + rows, left : left + columns]


def pad_to(image: NDArray[np.float32], size: tuple[int, int], method: str = "bilinear") -> NDArray[np.float32]:
    """The whole image in its own proportions, in the middle of zeros of that size."""
    height, width = image.shape[:2]
    share = min(size[0] / height, size[1] / width)
    inner = (max(1, math.floor(height * share)), max(1, math.floor(width * share)))
    result = np.zeros((*size, image.shape[2]), np.float32)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    result[top : top + inner[0], left : left + inner[1]] = resize(image, inner, method)
    return result

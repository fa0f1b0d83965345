"""Each operation straight from its formula, in float64: loops over the cells of a window that one can see.

Images are (batch, rows, columns, channels). The linear operations add nothing but products, so what
`with_magnitude` returns beside their result is the condition sum S = Σ|a||b| of each value: the gate of a float32 kernel
is a multiple of it.

>>> import numpy as np
>>> x = np.arange(9.0).reshape(1, 3, 3, 1)
>>> conv2d(x, np.ones((2, 2, 1, 1))).reshape(2, 2).tolist()
[[8.0, 12.0], [20.0, 24.0]]
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.reference.windows import Array, Pair, windows

__all__ = [
    "add",
    "average_pooling2d",
    "batch_normalization",
    "batch_statistics",
    "concatenate",
    "conv2d",
    "dense",
    "depthwise_conv2d",
    "dropout",
    "flatten",
    "float64",
    "global_average_pooling2d",
    "global_max_pooling2d",
    "layer_normalization",
    "max_pooling2d",
    "moving_average",
    "prelu",
    "rescaling",
    "separable_conv2d",
    "with_magnitude",
    "zero_padding2d",
]


def float64(values: npt.ArrayLike) -> Array:
    """`values` as float64."""
    return np.asarray(values, dtype=np.float64)


def with_magnitude(
    operation: Callable[..., Array], *arrays: npt.ArrayLike | None, **arguments: Any
) -> tuple[Array, Array]:
    """The result of a linear operation, and S = Σ|a||b| for each of its values.

    All operations of this module but max pooling, and all gradients of `backward` that are linear in each of their
    arrays, add products; on absolute values they add the products' absolute values.

    >>> with_magnitude(dense, [[1.0, -2.0]], [[3.0], [1.0]], [-0.5])
    (array([[0.5]]), array([[5.5]]))
    """
    magnitudes = [None if array is None else np.abs(float64(array)) for array in arrays]
    return operation(*arrays, **arguments), operation(*magnitudes, **arguments)


def _biased(y: Array, bias: npt.ArrayLike | None) -> Array:
    return y if bias is None else y + float64(bias)


def conv2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation_rate: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """y[r, c, f] = bias[f] + Σ over cells (i, j) and channels k of x[r·s + i·d, c·s + j·d, k] · kernel[i, j, k, f].

    Args:
        x: (batch, rows, columns, channels).
        kernel: (kernel rows, kernel columns, channels / groups, filters); it is not mirrored.
        groups: the channels and the filters are cut into so many equal runs, and each filter reads its own run only.
    """
    x, kernel = float64(x), float64(kernel)
    place = windows(x.shape[1:3], kernel.shape[:2], strides, padding, dilation_rate)
    channels, filters = kernel.shape[2], kernel.shape[3] // groups
    padded = place.pad(x)
    y = np.zeros((len(x), *place.output, kernel.shape[3]))
    for cell in place.cells():
        seen = padded[place.at(cell)]
        for group in range(groups):
            reads = slice(group * channels, (group + 1) * channels)
            writes = slice(group * filters, (group + 1) * filters)
            y[..., writes] += seen[..., reads] @ kernel[cell][:, writes]
    return _biased(y, bias)


def depthwise_conv2d(
    x: npt.ArrayLike,
    kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation_rate: Pair = (1, 1),
) -> Array:
    """Each channel by itself: y[r, c, k·m + q] = bias[k·m + q] + Σ over cells of x[…, k] · kernel[i, j, k, q].

    Args:
        x: (batch, rows, columns, channels).
        kernel: (kernel rows, kernel columns, channels, depth multiplier m).
    """
    x, kernel = float64(x), float64(kernel)
    place = windows(x.shape[1:3], kernel.shape[:2], strides, padding, dilation_rate)
    padded = place.pad(x)
    y = np.zeros((len(x), *place.output, *kernel.shape[2:]))
    for cell in place.cells():
        y += padded[place.at(cell)][..., np.newaxis] * kernel[cell]
    return _biased(y.reshape(len(x), *place.output, -1), bias)


def separable_conv2d(
    x: npt.ArrayLike,
    depthwise_kernel: npt.ArrayLike,
    pointwise_kernel: npt.ArrayLike,
    bias: npt.ArrayLike | None = None,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation_rate: Pair = (1, 1),
) -> Array:
    """A depthwise convolution without bias, then a 1×1 convolution with it; nothing between."""
    middle = depthwise_conv2d(x, depthwise_kernel, None, strides, padding, dilation_rate)
    return conv2d(middle, pointwise_kernel, bias)


def dense(x: npt.ArrayLike, kernel: npt.ArrayLike, bias: npt.ArrayLike | None = None) -> Array:
    """y = x · kernel + bias over the last axis. kernel: (inputs, units)."""
    return _biased(float64(x) @ float64(kernel), bias)


def max_pooling2d(x: npt.ArrayLike, pool_size: Pair, strides: Pair, padding: str = "valid") -> Array:
    """The largest value of each window; padded cells are never the largest."""
    x = float64(x)
    place = windows(x.shape[1:3], pool_size, strides, padding)
    padded = place.pad(x, -np.inf)
    y = np.full((len(x), *place.output, x.shape[3]), -np.inf)
    for cell in place.cells():
        y = np.maximum(y, padded[place.at(cell)])
    return y


def average_pooling2d(x: npt.ArrayLike, pool_size: Pair, strides: Pair, padding: str = "valid") -> Array:
    """The mean of each window over the cells that lie on the map; padded cells do not count."""
    x = float64(x)
    place = windows(x.shape[1:3], pool_size, strides, padding)
    padded, on_map = place.pad(x), place.pad(np.ones((1, *place.input, 1)))
    total = np.zeros((len(x), *place.output, x.shape[3]))
    count = np.zeros((1, *place.output, 1))
    for cell in place.cells():
        total += padded[place.at(cell)]
        count += on_map[place.at(cell)]
    return total / count


def global_average_pooling2d(x: npt.ArrayLike, keepdims: bool = False) -> Array:
    """The mean of each channel over all rows and columns."""
    return np.asarray(float64(x).mean(axis=(1, 2), keepdims=keepdims))


def global_max_pooling2d(x: npt.ArrayLike, keepdims: bool = False) -> Array:
    """The largest value of each channel over all rows and columns."""
    return np.asarray(float64(x).max(axis=(1, 2), keepdims=keepdims))


def batch_normalization(
    x: npt.ArrayLike,
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    gamma: npt.ArrayLike | None,
    beta: npt.ArrayLike | None,
    epsilon: float = 1e-3,
) -> Array:
    """y = gamma · (x − mean) / √(variance + epsilon) + beta, for each value of the last axis.

    In prediction mean and variance are the moving ones, in training those of `batch_statistics`.
    """
    normalised = (float64(x) - float64(mean)) / np.sqrt(float64(variance) + epsilon)
    return _biased(normalised if gamma is None else normalised * float64(gamma), beta)


def layer_normalization(
    x: npt.ArrayLike, gamma: npt.ArrayLike | None, beta: npt.ArrayLike | None, epsilon: float = 1e-3
) -> Array:
    """gamma · (x − mean) / √(variance + epsilon) + beta, mean and variance over the last axis of each place."""
    values = float64(x)
    centred = values - values.mean(axis=-1, keepdims=True)
    normalised = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    scaled = normalised if gamma is None else normalised * float64(gamma)
    return np.asarray(scaled if beta is None else scaled + float64(beta))


def prelu(x: npt.ArrayLike, alpha: npt.ArrayLike) -> Array:
    """max(0, x) + alpha · min(0, x)."""
    values = float64(x)
    return np.asarray(np.maximum(values, 0.0) + float64(alpha) * np.minimum(values, 0.0))


def batch_statistics(x: npt.ArrayLike) -> tuple[Array, Array]:
    """Mean and variance over all axes but the last; the variance is the mean square distance (÷ n, not ÷ (n − 1))."""
    x = float64(x)
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    return mean, ((x - mean) ** 2).mean(axis=axes)


def moving_average(old: npt.ArrayLike, batch: npt.ArrayLike, momentum: float = 0.99) -> Array:
    """old · momentum + batch · (1 − momentum): how the moving mean and the moving variance change in training."""
    return float64(old) * momentum + float64(batch) * (1.0 - momentum)


def dropout(x: npt.ArrayLike, kept: npt.ArrayLike, rate: float) -> Array:
    """x / (1 − rate) where `kept` is true or 1, else 0."""
    x = float64(x)
    return np.zeros_like(x) if rate == 1.0 else np.where(np.asarray(kept, dtype=bool), x / (1.0 - rate), 0.0)


def flatten(x: npt.ArrayLike) -> Array:
    """(batch, rows, columns, channels) → (batch, rows · columns · channels), the last axis innermost."""
    x = float64(x)
    return x.reshape(len(x), -1)


def zero_padding2d(x: npt.ArrayLike, padding: tuple[Pair, Pair]) -> Array:
    """Zeros around the map: `padding` is ((top, bottom), (left, right))."""
    return np.pad(float64(x), ((0, 0), *padding, (0, 0)))


def rescaling(x: npt.ArrayLike, scale: float, offset: float = 0.0) -> Array:
    """x · scale + offset."""
    return float64(x) * scale + offset


def add(inputs: Sequence[npt.ArrayLike]) -> Array:
    """The sum, value by value."""
    total = float64(inputs[0])
    for x in inputs[1:]:
        total = total + float64(x)
    return total


def concatenate(inputs: Sequence[npt.ArrayLike]) -> Array:
    """The inputs one after another along the last axis."""
    return np.concatenate([float64(x) for x in inputs], axis=-1)

"""Gradients of each operation, in float64, from its formula: what `forward` adds up, taken apart cell by cell.

`output_gradient` is the gradient of the loss to the operation's result, called dy in the formulas; dx is that to its input.
All but max pooling and batch normalisation in training are linear in each of their arrays, so
`forward.with_magnitude` gives their condition sums too.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from depthwise.reference.forward import batch_statistics, depthwise_conv2d, float64
from depthwise.reference.windows import Array, Pair, windows

__all__ = [
    "average_pooling2d_gradient",
    "batch_normalization_gradients",
    "batch_normalization_training_gradients",
    "bias_gradient",
    "concatenate_gradients",
    "conv2d_input_gradient",
    "conv2d_kernel_gradient",
    "dense_input_gradient",
    "dense_kernel_gradient",
    "depthwise_conv2d_input_gradient",
    "depthwise_conv2d_kernel_gradient",
    "global_average_pooling2d_gradient",
    "global_max_pooling2d_gradient",
    "layer_normalization_gradients",
    "max_pooling2d_gradient",
    "prelu_gradients",
    "separable_conv2d_gradients",
    "zero_padding2d_gradient",
]

Shape = tuple[int, ...]


def bias_gradient(output_gradient: npt.ArrayLike) -> Array:
    """The bias is added to every value of its channel: the sum of dy over all axes but the last."""
    dy = float64(output_gradient)
    return np.asarray(dy.sum(axis=tuple(range(dy.ndim - 1))))


def conv2d_input_gradient(
    output_gradient: npt.ArrayLike,
    kernel: npt.ArrayLike,
    input_shape: Shape,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation_rate: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """dx: each cell of a window receives dy · kernel of every position that read it. `input_shape` has the batch."""
    dy, kernel = float64(output_gradient), float64(kernel)
    place = windows((input_shape[1], input_shape[2]), kernel.shape[:2], strides, padding, dilation_rate)
    channels, filters = kernel.shape[2], kernel.shape[3] // groups
    padded = place.pad(np.zeros(input_shape))
    for cell in place.cells():
        for group in range(groups):
            read = slice(group * channels, (group + 1) * channels)
            wrote = slice(group * filters, (group + 1) * filters)
            padded[place.at(cell)][..., read] += dy[..., wrote] @ kernel[cell][:, wrote].T
    return place.crop(padded)


def conv2d_kernel_gradient(
    x: npt.ArrayLike,
    output_gradient: npt.ArrayLike,
    kernel_size: Pair,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation_rate: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    """d kernel[i, j, k, f] = Σ over samples and positions of x at cell (i, j) of channel k, times dy of filter f."""
    x, dy = float64(x), float64(output_gradient)
    place = windows(x.shape[1:3], kernel_size, strides, padding, dilation_rate)
    channels, filters = x.shape[3] // groups, dy.shape[3] // groups
    padded = place.pad(x)
    gradient = np.zeros((*kernel_size, channels, dy.shape[3]))
    for cell in place.cells():
        seen = padded[place.at(cell)]
        for group in range(groups):
            read = slice(group * channels, (group + 1) * channels)
            wrote = slice(group * filters, (group + 1) * filters)
            gradient[cell][:, wrote] = np.einsum("brck,brcf->kf", seen[..., read], dy[..., wrote])
    return gradient


def depthwise_conv2d_input_gradient(
    output_gradient: npt.ArrayLike,
    kernel: npt.ArrayLike,
    input_shape: Shape,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation_rate: Pair = (1, 1),
) -> Array:
    """dx of a channel: from the dy of its own `depth_multiplier` results only. `input_shape` has the batch."""
    dy, kernel = float64(output_gradient), float64(kernel)
    place = windows((input_shape[1], input_shape[2]), kernel.shape[:2], strides, padding, dilation_rate)
    dy = dy.reshape(*dy.shape[:3], *kernel.shape[2:])
    padded = place.pad(np.zeros(input_shape))
    for cell in place.cells():
        padded[place.at(cell)] += (dy * kernel[cell]).sum(axis=-1)
    return place.crop(padded)


def depthwise_conv2d_kernel_gradient(
    x: npt.ArrayLike,
    output_gradient: npt.ArrayLike,
    kernel_size: Pair,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation_rate: Pair = (1, 1),
) -> Array:
    """d kernel[i, j, k, q] = Σ over samples and positions of x at cell (i, j) of channel k, times dy[…, k·m + q]."""
    x, dy = float64(x), float64(output_gradient)
    place = windows(x.shape[1:3], kernel_size, strides, padding, dilation_rate)
    dy = dy.reshape(*dy.shape[:3], x.shape[3], -1)
    padded = place.pad(x)
    gradient = np.zeros((*kernel_size, *dy.shape[3:]))
    for cell in place.cells():
        gradient[cell] = (padded[place.at(cell)][..., np.newaxis] * dy).sum(axis=(0, 1, 2))
    return gradient


def separable_conv2d_gradients(
    x: npt.ArrayLike,
    depthwise_kernel: npt.ArrayLike,
    pointwise_kernel: npt.ArrayLike,
    output_gradient: npt.ArrayLike,
    strides: Pair = (1, 1),
    padding: str = "valid",
    dilation_rate: Pair = (1, 1),
) -> tuple[Array, Array, Array]:
    """Gradients to the input, the depthwise kernel and the pointwise kernel: the two stages one after the other."""
    x, depthwise_kernel = float64(x), float64(depthwise_kernel)
    middle = depthwise_conv2d(x, depthwise_kernel, None, strides, padding, dilation_rate)
    middle_gradient = conv2d_input_gradient(output_gradient, pointwise_kernel, middle.shape)
    return (
        depthwise_conv2d_input_gradient(middle_gradient, depthwise_kernel, x.shape, strides, padding, dilation_rate),
        depthwise_conv2d_kernel_gradient(
            x, middle_gradient, depthwise_kernel.shape[:2], strides, padding, dilation_rate
        ),
        conv2d_kernel_gradient(middle, output_gradient, (1, 1)),
    )


def dense_input_gradient(output_gradient: npt.ArrayLike, kernel: npt.ArrayLike) -> Array:
    """dx = dy · kernelᵀ."""
    return np.asarray(float64(output_gradient) @ float64(kernel).T)


def dense_kernel_gradient(x: npt.ArrayLike, output_gradient: npt.ArrayLike) -> Array:
    """d kernel = xᵀ · dy over all axes but the last."""
    x, dy = float64(x), float64(output_gradient)
    return np.asarray(x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1]))


def max_pooling2d_gradient(
    x: npt.ArrayLike, output_gradient: npt.ArrayLike, pool_size: Pair, strides: Pair, padding: str = "valid"
) -> Array:
    """dy goes to the cell that held the largest value: of several, to the first one, row by row."""
    x, dy = float64(x), float64(output_gradient)
    place = windows(x.shape[1:3], pool_size, strides, padding)
    padded = place.pad(x, -np.inf)
    largest = np.full(dy.shape, -np.inf)
    for cell in place.cells():
        largest = np.maximum(largest, padded[place.at(cell)])
    gradient = np.zeros_like(padded)
    taken = np.zeros(dy.shape, dtype=bool)
    for cell in place.cells():
        receives = ~taken & (padded[place.at(cell)] == largest)
        gradient[place.at(cell)] += np.where(receives, dy, 0.0)
        taken |= receives
    return place.crop(gradient)


def average_pooling2d_gradient(
    output_gradient: npt.ArrayLike, input_shape: Shape, pool_size: Pair, strides: Pair, padding: str = "valid"
) -> Array:
    """Each cell on the map gets an equal share of its window's dy. `input_shape` has the batch."""
    dy = float64(output_gradient)
    place = windows((input_shape[1], input_shape[2]), pool_size, strides, padding)
    on_map = place.pad(np.ones((1, *place.input, 1)))
    count = np.zeros((1, *place.output, 1))
    for cell in place.cells():
        count += on_map[place.at(cell)]
    padded = place.pad(np.zeros(input_shape))
    for cell in place.cells():
        padded[place.at(cell)] += dy / count
    return place.crop(padded)


def global_average_pooling2d_gradient(output_gradient: npt.ArrayLike, input_shape: Shape) -> Array:
    """Every row and column gets an equal share of dy, kept axes or not. `input_shape` has the batch."""
    batch, rows, columns, channels = input_shape
    dy = float64(output_gradient).reshape(batch, 1, 1, channels)
    return np.broadcast_to(dy / (rows * columns), input_shape).copy()


def global_max_pooling2d_gradient(x: npt.ArrayLike, output_gradient: npt.ArrayLike) -> Array:
    """dy goes to the largest value of the channel: of several, to the first one, row by row."""
    x = float64(x)
    dy = float64(output_gradient).reshape(len(x), 1, 1, x.shape[3])
    return max_pooling2d_gradient(x, dy, (x.shape[1], x.shape[2]), (1, 1))


def batch_normalization_gradients(
    x: npt.ArrayLike,
    mean: npt.ArrayLike,
    variance: npt.ArrayLike,
    gamma: npt.ArrayLike | None,
    output_gradient: npt.ArrayLike,
    epsilon: float = 1e-3,
) -> tuple[Array, Array, Array]:
    """Gradients to x, gamma and beta where mean and variance are given numbers (prediction, or a frozen layer)."""
    x, dy = float64(x), float64(output_gradient)
    deviation = np.sqrt(float64(variance) + epsilon)
    normalised = (x - float64(mean)) / deviation
    scale = np.ones(x.shape[-1]) if gamma is None else float64(gamma)
    return dy * scale / deviation, bias_gradient(dy * normalised), bias_gradient(dy)


def batch_normalization_training_gradients(
    x: npt.ArrayLike, gamma: npt.ArrayLike | None, output_gradient: npt.ArrayLike, epsilon: float = 1e-3
) -> tuple[Array, Array, Array]:
    """Gradients to x, gamma and beta where mean and variance are the batch's own, and so depend on x.

    With z = (x − mean) / √(variance + epsilon): dx = gamma / √(variance + epsilon) · (dy − mean(dy) − z · mean(dy · z))
    (Ioffe and Szegedy 2015, arXiv:1502.03167, the chain rule of section 3, brought together).
    """
    x, dy = float64(x), float64(output_gradient)
    mean, variance = batch_statistics(x)
    deviation = np.sqrt(variance + epsilon)
    z = (x - mean) / deviation
    scale = np.ones(x.shape[-1]) if gamma is None else float64(gamma)
    count = x.size // x.shape[-1]
    dx = scale / deviation * (dy - bias_gradient(dy) / count - z * bias_gradient(dy * z) / count)
    return dx, bias_gradient(dy * z), bias_gradient(dy)


def layer_normalization_gradients(
    x: npt.ArrayLike, gamma: npt.ArrayLike | None, output_gradient: npt.ArrayLike, epsilon: float = 1e-3
) -> tuple[Array, Array, Array]:
    """Gradients to x, gamma and beta where each place has its own mean and variance over the last axis.

    With g = dy · gamma and z = (x − mean) / √(variance + epsilon): dx = (g − mean(g) − z · mean(g · z)) / √(variance + epsilon)
    (Ba et al. 2016, arXiv:1607.06450).
    """
    x, dy = float64(x), float64(output_gradient)
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    z = centred / deviation
    g = dy if gamma is None else dy * float64(gamma)
    dx = (g - g.mean(axis=-1, keepdims=True) - z * (g * z).mean(axis=-1, keepdims=True)) / deviation
    return dx, bias_gradient(dy * z), bias_gradient(dy)


def prelu_gradients(x: npt.ArrayLike, alpha: npt.ArrayLike, output_gradient: npt.ArrayLike) -> tuple[Array, Array]:
    """Gradients to x and alpha; at x = 0 there is none, as in Keras."""
    x, dy, slope = float64(x), float64(output_gradient), float64(alpha)
    dx = np.where(x > 0.0, dy, np.where(x < 0.0, dy * slope, 0.0))
    shared = tuple(axis + 1 for axis, size in enumerate(slope.shape) if size == 1)
    return dx, (dy * np.minimum(x, 0.0)).sum(axis=0, keepdims=True).sum(axis=shared, keepdims=True)[0]


def zero_padding2d_gradient(output_gradient: npt.ArrayLike, padding: tuple[Pair, Pair]) -> Array:
    """dy without the cells that were added."""
    dy = float64(output_gradient)
    (top, bottom), (left, right) = padding
    return dy[:, top : dy.shape[1] - bottom, left : dy.shape[2] - right]


def concatenate_gradients(output_gradient: npt.ArrayLike, channels: Sequence[int]) -> list[Array]:
    """dy cut along its last axis into runs of `channels` values."""
    dy = float64(output_gradient)
    ends = np.cumsum(channels)
    return [dy[..., end - size : end] for size, end in zip(channels, ends)]

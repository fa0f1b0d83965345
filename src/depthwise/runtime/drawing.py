"""What random layers draw for a training step, a set for each sample: plain NumPy, so it depends on no thread.

The distributions and matrices are those of Keras 3's layers of the same names.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.arguments import SELU_ALPHA, SELU_SCALE
from depthwise.compiler.ir.types import Drawn
from depthwise.layers import augmentation, random_crop, regularization
from depthwise.random import stream

__all__ = ["draw", "warp_tables"]

Array = NDArray[Any]
Generator = np.random.Generator


def draw(wanted: Sequence[Drawn], batch: int, seed: int, step: int) -> list[Array]:
    """The arrays (batch, …) of a step, in the order of `wanted`.

    Args:
        seed: of the step. A layer with a seed of its own draws from that and the number of the step instead.
    """
    found: dict[int, Sequence[Array]] = {}
    arrays = []
    for item in wanted:
        if item.number not in found:
            layer: Any = item.layer
            own, purpose = (seed, f"augmentation {item.number}") if layer.seed is None else (layer.seed, f"step {step}")
            found[item.number] = _RULES[type(layer)](layer, item.shape, batch, stream(own, purpose))
        arrays.append(np.ascontiguousarray(found[item.number][item.output]))
    return arrays


def _uniform(generator: Generator, ends: Sequence[float], batch: int) -> Array:
    return generator.uniform(ends[0], ends[1], (batch, 1)).astype(np.float32)


def _flip(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    return [(_uniform(generator, (0.0, 1.0), batch) <= 0.5).astype(np.float32)]


def _contrast(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    return [_uniform(generator, (1.0 - layer.factor[0], 1.0 + layer.factor[1]), batch)]


def _brightness(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    low, high = layer.value_range
    return [_uniform(generator, layer.factor, batch) * np.float32(high - low)]


def _translation(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    down, right = (_uniform(generator, ends, batch)[:, 0] * size for ends, size in zip(layer.ranges, shape))
    one, zero = np.ones_like(down), np.zeros_like(down)
    return warp_tables(layer, shape, np.stack([one, zero, -right, zero, one, -down], 1))


def _rotation(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    angle = _uniform(generator, layer.factor, batch)[:, 0] * np.float32(2.0 * math.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = (shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0
    matrix = [cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos]
    return warp_tables(layer, shape, np.stack(matrix, 1))


def _zoom(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    height, width = layer.ranges
    down = _uniform(generator, (1.0 + height[0], 1.0 + height[1]), batch)[:, 0]
    across = down if width is None else _uniform(generator, (1.0 + width[0], 1.0 + width[1]), batch)[:, 0]
    zero = np.zeros_like(down)
    x, y = (shape[1] - 1) / 2.0 * (1.0 - across), (shape[0] - 1) / 2.0 * (1.0 - down)
    return warp_tables(layer, shape, np.stack([across, zero, x, zero, down, y], 1))


def _crop(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    """(places, shares) of `op.Warp`: the same part of every image, as in Keras."""
    top, left = (int(generator.integers(0, shape[i] - size + 1)) for i, size in enumerate((layer.height, layer.width)))
    y, x = np.mgrid[top : top + layer.height, left : left + layer.width]
    places = np.broadcast_to((y * shape[1] + x).astype(np.int32).reshape(1, -1), (batch, y.size))
    return places, np.ones(places.shape, np.float32)


def _noise_shape(layer: Any, shape: tuple[int, ...], batch: int) -> tuple[int, ...]:
    shared = getattr(layer, "noise_shape", None) is not None and layer.noise_shape[0] == 1
    return (1 if shared else batch, *layer.drawn_shape(shape))


def _for_all(drawn: Array, batch: int) -> Array:
    return np.broadcast_to(drawn.astype(np.float32), (batch, *drawn.shape[1:]))


def _dropout(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    kept = generator.uniform(size=_noise_shape(layer, shape, batch)) >= layer.rate
    return [_for_all(kept * (1.0 / (1.0 - layer.rate) if layer.rate < 1.0 else 0.0), batch)]


def _gaussian_noise(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    return [generator.normal(0.0, layer.stddev, (batch, *shape)).astype(np.float32)]


def _gaussian_dropout(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    return [generator.normal(1.0, math.sqrt(layer.rate / (1.0 - layer.rate)), (batch, *shape)).astype(np.float32)]


DROPPED = -SELU_ALPHA * SELU_SCALE
"""What AlphaDropout puts in place of a value: the limit of SELU at −∞."""


def _alpha_dropout(layer: Any, shape: tuple[int, ...], batch: int, generator: Generator) -> Sequence[Array]:
    """(factor, what is added): a where a value is kept, and a · DROPPED + b where it is not; a and b keep mean and variance."""
    kept = generator.uniform(size=_noise_shape(layer, shape, batch)) >= layer.rate
    variance = (1.0 - layer.rate) * (1.0 + layer.rate * DROPPED**2)
    a = variance**-0.5 if variance > 0.0 else 0.0
    return [_for_all(a * kept, batch), _for_all(a * DROPPED * ~kept - a * DROPPED * layer.rate, batch)]


_RULES: dict[type, Callable[[Any, tuple[int, ...], int, Generator], Sequence[Array]]] = {
    augmentation.RandomFlip: _flip,
    augmentation.RandomContrast: _contrast,
    augmentation.RandomBrightness: _brightness,
    augmentation.RandomTranslation: _translation,
    augmentation.RandomRotation: _rotation,
    augmentation.RandomZoom: _zoom,
    random_crop.RandomCrop: _crop,
    regularization.Dropout: _dropout,
    regularization.SpatialDropout1D: _dropout,
    regularization.SpatialDropout2D: _dropout,
    regularization.GaussianNoise: _gaussian_noise,
    regularization.GaussianDropout: _gaussian_dropout,
    regularization.AlphaDropout: _alpha_dropout,
}


def warp_tables(layer: Any, shape: tuple[int, ...], matrices: Array) -> tuple[Array, Array, Array]:
    """Where each cell of each sample comes from.

    Args:
        layer: its interpolation, fill_mode and fill_value.
        shape: (rows, columns, channels).
        matrices: (batch, 6): cell (x, y) comes from (m0·x + m1·y + m2, m3·x + m4·y + m5), x along columns.

    Returns:
        places (batch, rows · columns · taps) int32, shares likewise float32, and what lies outside adds: (batch, rows,
        columns, 1) float32.
    """
    rows, columns = shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    m = [matrices[:, i, np.newaxis, np.newaxis].astype(np.float64) for i in range(6)]
    across, down = m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5]
    places, shares, outside = [], [], np.zeros(across.shape)
    for row, row_share in _neighbours(layer.interpolation, down):
        for column, column_share in _neighbours(layer.interpolation, across):
            share = row_share * column_share
            if layer.fill_mode == "constant":
                inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
                outside += np.where(inside, 0.0, share * layer.fill_value)
                share = np.where(inside, share, 0.0)
            place = _fixed(layer.fill_mode, row, rows) * columns + _fixed(layer.fill_mode, column, columns)
            places.append(place.astype(np.int32))
            shares.append(share.astype(np.float32))
    batch = len(matrices)
    tables = (np.stack(places, -1).reshape(batch, -1), np.stack(shares, -1).reshape(batch, -1))
    return *tables, outside[..., np.newaxis].astype(np.float32)


def _neighbours(interpolation: str, place: Array) -> list[tuple[Array, Any]]:
    """(cell, share) along one axis."""
    if interpolation == "nearest":
        return [((np.sign(place) * np.floor(np.abs(place) + 0.5)).astype(np.int64), np.ones_like(place))]
    lower = np.floor(place)
    cell = lower.astype(np.int64)
    return [(cell, 1.0 - (place - lower)), (cell + 1, place - lower)]


def _fixed(fill_mode: str, index: Array, size: int) -> Array:
    """The cell that stands for one outside."""
    if fill_mode == "wrap":
        return np.asarray(index % size)
    if fill_mode == "reflect":  # d c b a | a b c d | d c b a
        folded = index % (2 * size)
        return np.asarray(np.minimum(folded, 2 * size - 1 - folded))
    return np.asarray(np.clip(index, 0, size - 1))

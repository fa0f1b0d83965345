"""Maps of another size, as products with a matrix for the rows and one for the columns."""

from typing import Any

import numpy as np

from depthwise.layers import random_crop, resizing
from depthwise.layers.description import Description
from depthwise.reference.rounding import SMALLEST_NORMAL, UNIT_ROUNDOFF
from depthwise.reference.rules import Given, Rule, moves
from depthwise.reference.running import Bounded
from depthwise.reference.windows import Array

__all__ = ["RULES", "matrix"]

RADIUS = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def _weight(interpolation: str, x: Array) -> Array:
    """The weight of a cell at the distance x ≥ 0."""
    if interpolation == "bilinear":
        return np.asarray(np.maximum(0.0, 1.0 - x))
    if interpolation == "bicubic":
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1.0, -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
        return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
    radius = RADIUS[interpolation]
    return np.where(x <= radius, np.sinc(x) * np.sinc(x / radius), 0.0)


def matrix(size: int, output: int, interpolation: str, antialias: bool = False) -> Array:
    """(output, size): row i holds the weights of the cells that output i is made of."""
    if size == output:
        return np.eye(size)
    centres = (np.arange(output) + 0.5) * size / output
    if interpolation == "nearest":
        return np.asarray(np.eye(size)[np.floor(centres).astype(int)])
    distance = np.abs(centres[:, np.newaxis] - (np.arange(size) + 0.5))
    weights = _weight(interpolation, distance / (max(size / output, 1.0) if antialias else 1.0))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _product(x: Array, rows: Array, columns: Array) -> Array:
    return np.asarray(np.einsum("ri,cj,bijk->brck", rows, columns, x, optimize=True))


def _resized(x: Bounded, rows: Array, columns: Array) -> Bounded:
    """Each weight follows from a place on the axis, which float32 rounds in proportion to its distance from the start."""
    value = _product(x.value, rows, columns)
    sizes = [np.abs(item) for item in (rows, columns)]
    brought = _product(x.error, *sizes)
    exact = all(np.isin(item, (0.0, 1.0)).all() for item in (rows, columns))
    taps = sum(int((item != 0.0).sum(axis=1).max(initial=1)) for item in (rows, columns))
    places = sum(4.0 * item.shape[1] for item in (rows, columns))
    # A place that is off by u · size moves the weights of all its neighbours, those that are just 0 among them.
    reach = [np.asarray(_spread(item)) for item in (rows, columns)]
    own = 0.0 if exact else (taps + 2) * UNIT_ROUNDOFF * _product(np.abs(x.value), *sizes)
    moved = 0.0 if exact else places * UNIT_ROUNDOFF * _product(np.abs(x.value), *reach)
    return Bounded(value, np.asarray(brought + own + moved + (0.0 if exact else SMALLEST_NORMAL)))


def _spread(weights: Array) -> Array:
    """1 at every cell that has a weight, and at its neighbours."""
    there = (weights != 0.0).astype(np.float64)
    padded = np.pad(there, ((0, 0), (1, 1)))
    return np.asarray(np.minimum(1.0, padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]))


def _up(layer: Any, x: Array) -> tuple[Array, Array]:
    _, rows, columns, _ = x.shape
    method = layer.interpolation
    return matrix(rows, rows * layer.size[0], method), matrix(columns, columns * layer.size[1], method)


def _part(layer: Any, x: Array) -> tuple[slice, slice]:
    """The largest part of the map, in its middle, that has the proportions of the output."""
    _, rows, columns, _ = x.shape
    high = max(1, min(rows, int(columns * layer.height / layer.width)))
    wide = max(1, min(columns, int(rows * layer.width / layer.height)))
    top, left = (rows - high) // 2, (columns - wide) // 2
    return slice(top, top + high), slice(left, left + wide)


def _prepared(layer: Any, x: Array, outside: float) -> Array:
    """The map cut or padded to the proportions of the output."""
    _, rows, columns, _ = x.shape
    if isinstance(layer, resizing.CenterCrop):
        if rows >= layer.height and columns >= layer.width:
            top, left = (rows - layer.height) // 2, (columns - layer.width) // 2
            return x[:, top : top + layer.height, left : left + layer.width]
        return x[:, *_part(layer, x)]
    if isinstance(layer, random_crop.RandomCrop) or layer.crop_to_aspect_ratio:
        return x[:, *_part(layer, x)]
    if layer.pad_to_aspect_ratio:
        above = max(0, int(columns * layer.height / layer.width) - rows) // 2
        left = 0 if above else max(0, int(rows * layer.width / layer.height) - columns) // 2
        return np.pad(x, ((0, 0), (above, above), (left, left), (0, 0)), constant_values=outside)
    return x


def _to_size(layer: Any, x: Array) -> tuple[Array, Array]:
    _, rows, columns, _ = x.shape
    method, antialias = getattr(layer, "interpolation", "bilinear"), getattr(layer, "antialias", False)
    return matrix(rows, layer.height, method, antialias), matrix(columns, layer.width, method, antialias)


def _forward(given: Given) -> Bounded:
    layer, (x,) = given.layer, given.inputs
    if isinstance(layer, resizing.UpSampling2D):
        return _resized(x, *_up(layer, x.value))
    fill = getattr(layer, "fill_value", 0.0)
    ready = Bounded(_prepared(layer, x.value, fill), _prepared(layer, x.error, 0.0))
    return _resized(ready, *_to_size(layer, ready.value))


def _gradients(given: Given, dy: Array) -> tuple[list[Array], dict[str, Array]]:
    layer, (x,) = given.layer, given.arrays
    if isinstance(layer, resizing.UpSampling2D):
        rows, columns = _up(layer, x)
        return [_product(dy, rows.T, columns.T)], {}
    # Which cell of the map each cell that is resized is: 0 for those of the padding.
    numbers = np.arange(1.0, x[0, ..., :1].size + 1).reshape(1, *x.shape[1:3], 1)
    places = _prepared(layer, numbers, 0.0).astype(int)[0, ..., 0]
    rows, columns = _to_size(layer, np.zeros((1, *places.shape, 1)))
    back = _product(dy, rows.T, columns.T)
    dx = np.zeros((len(x), numbers.size + 1, x.shape[-1]))
    for sample, gradient in zip(dx, back.reshape(len(x), -1, x.shape[-1])):
        np.add.at(sample, places.ravel(), gradient)
    return [dx[:, 1:].reshape(x.shape)], {}


RULES: dict[type[Description], Rule] = {
    resizing.UpSampling1D: moves(lambda layer, x: np.repeat(x, layer.size, axis=1)),
    resizing.UpSampling2D: Rule(_forward, _gradients),
    resizing.Resizing: Rule(_forward, _gradients),
    resizing.CenterCrop: Rule(_forward, _gradients),
    random_crop.RandomCrop: Rule(_forward, _gradients),
}

"""Layers that join several inputs."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from depthwise.layers import merging
from depthwise.layers.description import Description
from depthwise.reference.arithmetic import summed_to
from depthwise.reference.rules import Given, Rule
from depthwise.reference.running import Bounded, apply, moved, total
from depthwise.reference.windows import Array

__all__ = ["RULES", "unit"]

Slopes = Callable[[Sequence[Array]], Sequence[Any]]


def _aligned(x: Array, rank: int) -> Array:
    """A sample's missing axes come first, behind the batch."""
    return x.reshape(len(x), *(1,) * (rank - x.ndim), *x.shape[1:])


def _merge(join: Callable[[Bounded, Bounded], Bounded], slopes: Slopes, *, mean: bool = False) -> Rule:
    def aligned(given: Given) -> list[Bounded]:
        rank = max(x.value.ndim for x in given.inputs)
        return [moved(lambda x: _aligned(x, rank), item) for item in given.inputs]

    def forward(given: Given) -> Bounded:
        result = reduce(join, aligned(given))
        return result / float(len(given.inputs)) if mean else result

    def gradients(given: Given, dy: Array) -> tuple[list[Array], dict[str, Array]]:
        factors = slopes([item.value for item in aligned(given)])
        return [summed_to(x.shape, np.asarray(dy * factor)) for x, factor in zip(given.arrays, factors)], {}

    return Rule(forward, gradients)


def _products(inputs: Sequence[Array]) -> list[Array]:
    ones = np.ones_like(inputs[0])
    return [reduce(np.multiply, [x for j, x in enumerate(inputs) if j != i], ones) for i in range(len(inputs))]


def _shares(sign: float) -> Slopes:
    """The gradient of a maximum goes to the larger of what there was so far and the next; to both alike where they are equal."""

    def slopes(inputs: Sequence[Array]) -> list[Array]:
        found: list[Any] = [1.0]
        so_far = inputs[0]
        for x in inputs[1:]:
            above = np.where(sign * x > sign * so_far, 1.0, np.where(x == so_far, 0.5, 0.0))
            found = [share * (1.0 - above) for share in found] + [above]
            so_far = np.maximum(so_far, x) if sign > 0 else np.minimum(so_far, x)
        return found

    return slopes


def _concatenate(given: Given) -> Bounded:
    return moved(lambda *arrays: np.concatenate(arrays, axis=given.layer.axis), *given.inputs)


def _concatenate_gradients(given: Given, dy: Array) -> tuple[list[Array], dict[str, Array]]:
    axis = given.layer.axis
    ends = np.cumsum([x.shape[axis] for x in given.arrays])[:-1]
    return list(np.split(dy, ends, axis=axis)), {}


def unit(x: Bounded, axes: Any, least: float) -> Bounded:
    """x / √max(Σx², least)."""
    return x / apply("sqrt", apply("max", least, total(x * x, axes)))


def unit_gradient(x: Array, dy: Array, axes: Any, least: float) -> Array:
    """(dy − y · Σ dy·y) / length; nothing of the second part where the length is the least one."""
    squares = (x * x).sum(axis=axes, keepdims=True)
    length = np.sqrt(np.maximum(squares, least))
    y = x / length
    return np.asarray((dy - np.where(squares > least, y * (dy * y).sum(axis=axes, keepdims=True), 0.0)) / length)


COSINE_LEAST = 1e-7**2


def _axes(layer: merging.Dot, arrays: Sequence[Array]) -> list[int]:
    axes = (layer.axes, layer.axes) if isinstance(layer.axes, int) else layer.axes
    return [axis % x.ndim for axis, x in zip(axes, arrays)]


def _matrix(x: Array, axis: int) -> Array:
    """(batch, all other axes, the axis)."""
    return np.moveaxis(x, axis, -1).reshape(len(x), -1, x.shape[axis])


def _dot(given: Given) -> Bounded:
    axes = _axes(given.layer, given.arrays)
    items = list(given.inputs)
    if given.layer.normalize:
        items = [unit(x, axis, COSINE_LEAST) for x, axis in zip(items, axes)]
    a, b = (moved(lambda x, axis=axis: _matrix(x, axis), item) for item, axis in zip(items, axes))
    products = moved(lambda x: x[:, :, np.newaxis], a) * moved(lambda x: x[:, np.newaxis], b)
    rest = [x.shape[i] for x, axis in zip(given.arrays, axes) for i in range(1, x.ndim) if i != axis] or [1]
    return moved(lambda x: x.reshape(len(x), *rest), total(products, 3))


def _dot_gradients(given: Given, dy: Array) -> tuple[list[Array], dict[str, Array]]:
    axes = _axes(given.layer, given.arrays)
    unscaled = given.arrays
    if given.layer.normalize:
        unscaled = [unit(item, axis, COSINE_LEAST).value for item, axis in zip(given.inputs, axes)]
    a, b = (_matrix(x, axis) for x, axis in zip(unscaled, axes))
    slope = np.asarray(dy).reshape(len(dy), a.shape[1], b.shape[1])
    found = []
    for x, axis, matrix in zip(given.arrays, axes, (slope @ b, slope.transpose(0, 2, 1) @ a)):
        whole = [size for i, size in enumerate(x.shape) if i != axis]
        dx = np.moveaxis(matrix.reshape(*whole, x.shape[axis]), -1, axis)
        found.append(unit_gradient(x, dx, axis, COSINE_LEAST) if given.layer.normalize else dx)
    return found, {}


RULES: dict[type[Description], Rule] = {
    merging.Add: _merge(lambda a, b: a + b, lambda xs: [1.0] * len(xs)),
    merging.Subtract: _merge(lambda a, b: a - b, lambda xs: [1.0, -1.0]),
    merging.Multiply: _merge(lambda a, b: a * b, _products),
    merging.Average: _merge(lambda a, b: a + b, lambda xs: [1.0 / len(xs)] * len(xs), mean=True),
    merging.Maximum: _merge(lambda a, b: apply("max", a, b), _shares(1.0)),
    merging.Minimum: _merge(lambda a, b: apply("min", a, b), _shares(-1.0)),
    merging.Concatenate: Rule(_concatenate, _concatenate_gradients),
    merging.Dot: Rule(_dot, _dot_gradients),
}

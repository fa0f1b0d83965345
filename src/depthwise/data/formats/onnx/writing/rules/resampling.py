"""Maps of another size."""

import math
from typing import Any

import numpy as np

from depthwise.compiler.ir import operations as op
from depthwise.data.formats.onnx.writing.layout import Layout
from depthwise.data.formats.onnx.writing.nodes import Tensor
from depthwise.data.formats.onnx.writing.rules.registry import rule
from depthwise.data.formats.onnx.writing.writer import Writer

__all__: list[str] = []

Both = list[tuple[int, op.Taps]]
"""(axis of the tensor, what is read along it) of the axes that change."""

NEAREST: dict[str, Any] = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
LINEAR: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
CUBIC: dict[str, Any] = {
    "mode": "cubic",
    "coordinate_transformation_mode": "half_pixel",
    "cubic_coeff_a": -0.5,
    "exclude_outside": 1,
}


@rule(op.Resample)
def resample(writer: Writer, operation: op.Resample) -> None:
    """A Resize node where its weights are the operation's. Else axis by axis: single cells by Gather, weighted ones as a product with
    the matrix of the weights."""
    shape = writer.shape(operation.source)
    rank = len(shape)
    order = (rank - 1, *range(rank - 1))
    made = writer.tensor(operation.source, Layout.of_axes(shape, order))
    both = list(enumerate((operation.rows, operation.columns)[3 - rank :], 2))
    changed = [(place, taps) for place, taps in both if len(taps.cells) != taps.size or _times(taps) != 1]
    attributes = _resizes(changed, rank)
    if changed and attributes is not None:
        made = _resized(writer, made, changed, attributes)
    else:
        for place, taps in changed:
            made = _resampled(writer, made, place, taps)
    writer.give(operation.output, made, Layout.of_axes(writer.shape(operation.output), order))


def _resizes(changed: Both, rank: int) -> dict[str, Any] | None:
    """The attributes of the Resize node that does the same; None where there is none."""
    if all(_times(taps) for _, taps in changed):
        return NEAREST
    if rank != 3:  # runtimes interpolate images only
        return None
    if all(_same(taps, _linear) for _, taps in changed):
        return LINEAR
    # ONNX Runtime moves transposes behind a Resize, and then refuses a cubic one that shrinks a map.
    if all(_same(taps, _cubic) and len(taps.cells) >= taps.size for _, taps in changed):
        return CUBIC
    return None


def _times(taps: op.Taps) -> int:
    """How often each cell is repeated; 0 where not all are, equally often."""
    times, rest = divmod(len(taps.cells), taps.size)
    same = taps.copies and not rest and all(pairs[0][0] == i // times for i, pairs in enumerate(taps.cells))
    return times if same else 0


def _same(taps: op.Taps, weights: Any) -> bool:
    """Whether the taps are those that `weights` gives for each cell of the result."""
    for result, pairs in enumerate(taps.cells):
        place = (result + 0.5) * taps.size / len(taps.cells) - 0.5
        left = dict(weights(place, taps.size))
        for cell, weight in pairs:
            left[cell] = left.get(cell, 0.0) - weight
        if any(abs(rest) > 1e-9 for rest in left.values()):
            return False
    return True


def _linear(place: float, size: int) -> list[tuple[int, float]]:
    """ONNX' linear interpolation; places outside are those of the edge."""
    inside = min(max(place, 0.0), size - 1.0)
    first = min(math.floor(inside), max(size - 2, 0))
    return [(first, 1.0 - (inside - first)), (min(first + 1, size - 1), inside - first)] if size > 1 else [(0, 1.0)]


def _cubic(place: float, size: int) -> list[tuple[int, float]]:
    """ONNX' cubic interpolation with a = −½; cells outside have no weight."""
    first = math.floor(place)
    a = -0.5
    pairs = []
    for cell in range(first - 1, first + 3):
        x = abs(place - cell)
        near, far = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0, ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
        if 0 <= cell < size:
            pairs.append((cell, near if x <= 1.0 else far if x < 2.0 else 0.0))
    total = sum(weight for _, weight in pairs)
    return [(cell, weight / total) for cell, weight in pairs]


def _resized(writer: Writer, source: Tensor, changed: Both, attributes: dict[str, Any]) -> Tensor:
    scales = np.ones(len(source.shape) + 1, np.float32)
    shape = list(source.shape)
    for place, taps in changed:
        scales[place] = _scale(taps.size, len(taps.cells))
        shape[place - 1] = len(taps.cells)
    name = "scales/" + ",".join(f"{scale:g}" for scale in scales)
    scale = writer.nodes.constant(scales, name)
    return writer.nodes.node("Resize", source, "", scale, shape=tuple(shape), **attributes)


def _scale(size: int, result: int) -> np.float32:
    """The factor that gives the result's size when the size is multiplied by it, in float32 or exactly, and rounded down."""
    scale = np.float32(result / size)
    while min(int(scale * np.float32(size)), int(float(scale) * size)) < result:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _resampled(writer: Writer, source: Tensor, place: int, taps: op.Taps) -> Tensor:
    shape = list(source.shape)
    shape[place - 1] = len(taps.cells)
    if taps.copies:
        cells = writer.nodes.integers([pairs[0][0] for pairs in taps.cells], "cells")
        return writer.nodes.node("Gather", source, cells, shape=tuple(shape), axis=place)
    matrix = np.zeros((taps.size, len(taps.cells)), np.float32)
    for result, pairs in enumerate(taps.cells):
        for cell, weight in pairs:
            matrix[cell, result] += weight
    last = place == len(shape)
    name = f"resampling/{taps.size} to {len(taps.cells)}"
    constant = writer.nodes.constant(matrix if last else np.ascontiguousarray(matrix.T), name)
    operands = (source, constant) if last else (constant, source)
    return writer.nodes.node("MatMul", *operands, shape=tuple(shape))

"""Which cells of its input every cell of a resized or padded axis reads, with which weights."""

import math

from depthwise.compiler.ir.operations import Taps
from depthwise.data.formats.onnx.reading.network import RefusedError
from depthwise.dataclass import dataclass

__all__ = ["Sampling", "reflected", "resized"]


@dataclass(frozen=True)
class Sampling:
    """How Resize reads: its attributes of these names."""

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    roi: tuple[float, float] = (0.0, 1.0)
    """The part of an axis that "tf_crop_and_resize" reads."""


MOST_CELLS = 2**16
"""The longest axis that is made: each of its cells is a line of a table."""


def _check(output: int) -> None:
    if output > MOST_CELLS:
        raise ValueError(f"an axis of {output:,} cells would be made; at most {MOST_CELLS:,} are")


def _place(i: int, size: int, output: int, scale: float, sampling: Sampling) -> float:
    """Where the output's cell i lies among the input's."""
    how = sampling.coordinates
    match how:
        case "tf_crop_and_resize":
            first, last = (part * (size - 1) for part in sampling.roi)
            place = first + i * (last - first) / (output - 1) if output > 1 else (first + last) / 2
            if not 0 <= place <= size - 1:
                raise RefusedError("tf_crop_and_resize beyond the edges of its input is not supported")
            return place
        case "align_corners":
            return i * (size - 1) / (scale * size - 1) if output > 1 else 0.0
        case "asymmetric":
            return i / scale
        case "pytorch_half_pixel":
            return (i + 0.5) / scale - 0.5 if output > 1 else 0.0
        case "tf_half_pixel_for_nn":
            return (i + 0.5) / scale
        case "half_pixel_symmetric":
            adjusted = output / (scale * size)
            return size / 2 * (1 - adjusted) + (i + 0.5) / scale - 0.5
        case "half_pixel":
            return (i + 0.5) / scale - 0.5
    raise ValueError(f"the coordinate_transformation_mode {how!r} is not supported")


def _nearest(place: float, how: str) -> int:
    match how:
        case "round_prefer_floor":
            return math.ceil(place - 0.5)
        case "round_prefer_ceil":
            return math.floor(place + 0.5)
        case "floor":
            return math.floor(place)
        case "ceil":
            return math.ceil(place)
    raise ValueError(f"the nearest_mode {how!r} is not supported")


def _cubic(distance: float, a: float) -> float:
    x = abs(distance)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


def _weights(place: float, scale: float, sampling: Sampling) -> list[tuple[int, float]]:
    """The cells around a place with their weights; with antialiasing a shrunken axis has wider windows."""
    reach = 1 if sampling.mode == "linear" else 2
    dense = min(scale, 1.0) if sampling.antialias else 1.0
    first = math.floor(place)
    around = range(math.floor(place - reach / dense), math.ceil(place + reach / dense) + 1)
    if dense == 1.0:
        around = range(first - reach + 1, first + reach + 1)
    pairs = []
    for cell in around:
        apart = (cell - place) * dense
        weight = max(0.0, 1.0 - abs(apart)) if sampling.mode == "linear" else _cubic(apart, sampling.cubic)
        pairs.append((cell, weight))
    if not sampling.antialias:
        return pairs
    total = sum(weight for _, weight in pairs)
    return [(cell, weight / total) for cell, weight in pairs]


def resized(size: int, output: int, scale: float, sampling: Sampling) -> Taps:
    """How `size` cells become `output`.

    Raises:
        ValueError: too many, or a mode that is not known.
        RefusedError: cells beyond the edges.
    """
    _check(output)
    cells = []
    for i in range(output):
        place = _place(i, size, output, scale, sampling)
        if sampling.mode == "nearest":
            pairs = [(_nearest(place, sampling.nearest), 1.0)]
        elif sampling.mode in ("linear", "cubic"):
            pairs = _weights(place, scale, sampling)
            if sampling.exclude_outside:
                pairs = [(cell, weight) for cell, weight in pairs if 0 <= cell < size]
                total = sum(weight for _, weight in pairs)
                pairs = [(cell, weight / total) for cell, weight in pairs]
        else:
            raise ValueError(f"the mode {sampling.mode!r} is not supported")
        together: dict[int, float] = {}
        for cell, weight in pairs:
            inside = min(max(cell, 0), size - 1)
            together[inside] = together.get(inside, 0.0) + weight
        kept = tuple((cell, weight) for cell, weight in together.items() if weight)
        cells.append(tuple((cell, 1.0) for cell, _ in kept) if len(kept) == 1 else kept)
    return Taps(size, tuple(cells))


def reflected(size: int, before: int, after: int, mode: str) -> Taps:
    """The cells of an axis padded with its own numbers; raises what `resized` does."""
    _check(before + size + after)
    cells = []
    for place in range(-before, size + after):
        if mode == "edge":
            cell = min(max(place, 0), size - 1)
        elif mode == "wrap":
            cell = place % size
        elif mode == "reflect":
            turn = max(1, 2 * (size - 1))
            cell = place % turn
            cell = min(cell, turn - cell) if size > 1 else 0
        else:
            raise ValueError(f"the mode {mode!r} is not supported")
        cells.append(((cell, 1.0),))
    return Taps(size, tuple(cells))

"""Which cells of its input every cell of a resized or padded axis reads, with which weights."""

import math

from depthwise.compiler.ir.operations import Taps
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


MOST_CELLS = 2**16
"""The longest axis that is made: each of its cells is a line of a table."""


def _check(output: int) -> None:
    if output > MOST_CELLS:
        raise ValueError(f"an axis of {output:,} cells would be made; at most {MOST_CELLS:,} are")


def _place(i: int, size: int, output: int, scale: float, how: str) -> float:
    """Where the output's cell i lies among the input's."""
    match how:
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


def resized(size: int, output: int, scale: float, sampling: Sampling) -> Taps:
    """How `size` cells become `output`.

    Raises:
        ValueError: too many, or a mode that is not known.
    """
    _check(output)
    cells = []
    for i in range(output):
        place = _place(i, size, output, scale, sampling.coordinates)
        if sampling.mode == "nearest":
            pairs = [(_nearest(place, sampling.nearest), 1.0)]
        elif sampling.mode == "linear":
            first = math.floor(place)
            pairs = [(first, 1.0 - (place - first)), (first + 1, place - first)]
        elif sampling.mode == "cubic":
            first = math.floor(place)
            pairs = [(cell, _cubic(place - cell, sampling.cubic)) for cell in range(first - 1, first + 3)]
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

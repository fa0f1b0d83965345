"""Maps of another size: which cells a cell of the result is made of."""

from typing import Any

import numpy as np

from depthwise.compiler.ir import operations as op
from depthwise.reference.rounding import SMALLEST_NORMAL, UNIT_ROUNDOFF
from depthwise.reference.running import Bounded
from depthwise.reference.windows import Array

__all__ = ["resampled", "resampled_step"]


def _matrix(taps: op.Taps) -> Array:
    """(result, operand) cells: the weights as float32 holds them."""
    found = np.zeros((len(taps.cells), taps.size))
    for place, pairs in enumerate(taps.cells):
        for cell, weight in pairs:
            found[place, cell] += np.float64(np.float32(weight))
    return found


def resampled(operation: op.Resample, operands: list[Bounded]) -> Bounded:
    """All of the result, and how far float32 may be off."""
    (x,) = operands
    rows, columns = _matrix(operation.rows), _matrix(operation.columns)

    def apply(array: Array, rows: Array, columns: Array) -> Array:
        image = array if array.ndim == 3 else array[np.newaxis]
        y = np.einsum("ri,cj,ijk->rck", rows, columns, image, optimize=True)
        return np.asarray(y if array.ndim == 3 else y[0])

    sizes = apply(np.abs(x.value) + x.error, np.abs(rows), np.abs(columns))
    roundings = (
        0 if operation.rows.copies and operation.columns.copies else operation.rows.most + operation.columns.most + 2
    )
    own = roundings * (UNIT_ROUNDOFF * sizes + SMALLEST_NORMAL)
    return Bounded(apply(x.value, rows, columns), apply(x.error, np.abs(rows), np.abs(columns)) + own)


def resampled_step(
    operation: op.Resample, operands: list[Bounded], result: Bounded, position: tuple[int, ...], name: str
) -> tuple[dict[str, Any], list[tuple[int, ...] | None]]:
    """The one cell that is copied, or each cell with its weight."""
    x = operands[0].value
    row, column = position[-3] if len(position) == 3 else 0, position[-2]
    places: list[tuple[tuple[int, ...], float]] = [
        ((i, j)[3 - x.ndim :], float(np.float32(down)) * float(np.float32(across)))
        for i, down in operation.rows.cells[row]
        for j, across in operation.columns.cells[column]
    ]
    ends = [(*place, position[-1]) for place, _ in places]
    if len(places) == 1 and places[0][1] == 1.0:
        return {"kind": "copy", "from": {"operand": 0, "name": name, "position": list(ends[0])}}, [ends[0]]
    terms = [
        {"position": list(end), "weight": weight, "value": float(x[end])} for end, (_, weight) in zip(ends, places)
    ]
    return {"kind": "weighted", "name": name, "terms": terms}, [None]

"""Maps of another size: weighted sums of cells along rows and columns. The weights are tables of the kernel."""

from collections.abc import Callable
from itertools import accumulate

from depthwise.compiler.ir.operations.resampling import Taps
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, counted, digest
from depthwise.dataclass import dataclass

__all__ = ["Resampling"]

MOST_UNROLLED = 4
"""Taps of a cell that are written out; more are a loop."""


@dataclass(frozen=True)
class Resampling(Kernel):
    """out[r, c] = Σ of row weights · (Σ of column weights · a[row, column]), each sum in the order of its taps."""

    source: MapView
    target: MapView
    rows: Taps
    columns: Taps

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        source, target = self.source, self.target
        sizes = f"{source.rows}x{source.columns}_to_{target.rows}x{target.columns}x{target.channels}"
        return f"resampling_{sizes}_{digest(self)}"

    def write(self, function: Function) -> None:
        target, vectors = self.target, function.vectors
        rows = _Axis(function, self.rows, self.source.row_pitch)
        columns = _Axis(function, self.columns, self.source.pixel_pitch)
        with (
            counted(function, target.rows) as row,
            counted(function, target.columns) as column,
            counted(function, vectors.round_up(target.channels), vectors.lanes) as channel,
        ):

            def along(offset: Operand) -> str:
                start = function.add(offset, channel)
                return columns.sum(column, lambda step: function.load("%a", function.add(start, step)))

            place = function.add(
                function.multiply(row, target.row_pitch), function.multiply(column, target.pixel_pitch)
            )
            function.store(rows.sum(row, along), "%out", function.add(place, channel))


class _Axis:
    """The taps of one axis as tables: offsets in float32 numbers, weights, and where those of each cell begin."""

    def __init__(self, function: Function, taps: Taps, pitch: int) -> None:
        self.function, self.copies = function, taps.copies
        cells = taps.cells
        self.count = taps.most if taps.most <= MOST_UNROLLED and all(cells) else 0
        self.least = min(len(pairs) for pairs in cells)
        if self.count:  # cells with fewer read their first one again, with the weight 0, and leave it out
            cells = tuple(pairs + ((pairs[0][0], 0.0),) * (self.count - len(pairs)) for pairs in cells)
        pairs = [pair for found in cells for pair in found]
        self.offsets = function.module.table([cell * pitch for cell, _ in pairs])
        self.weights = function.module.numbers([weight for _, weight in pairs])
        self.begins = function.module.table([0, *accumulate(len(found) for found in cells)])

    def sum(self, place: Operand, term: Callable[[Operand], str]) -> str:
        """The weighted sum of `term` of each offset."""
        function = self.function
        if not self.count:
            begin = function.load_integer(self.begins, place)
            end = function.load_integer(self.begins, function.add(place, 1))
            with function.loop(begin, end, carried=["zeroinitializer"]) as loop:
                value = term(function.load_integer(self.offsets, loop.index))
                loop.next = [function.fma(function.broadcast(self.weights, loop.index), value, loop.values[0])]
            return loop.results[0]
        first = function.multiply(place, self.count)
        total = ""
        for i in range(self.count):
            index = function.add(first, i)
            value = term(function.load_integer(self.offsets, index))
            if self.copies:
                return value
            weight = function.broadcast(self.weights, index)
            if i < self.least:
                total = function.fma(weight, value, total) if total else function.fmul(weight, value)
            else:  # not + 0 · ∞
                unread = function.compare("oeq", weight, function.constant(0.0))
                total = function.select(unread, total, function.fma(weight, value, total))
        return total

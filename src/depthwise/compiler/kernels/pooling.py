"""Pooling and its gradient, channel by channel; windows never reach outside (the plan pads first).

Maximum: the first cell of the window, in row-major order, that holds the maximum gets the whole gradient; it is found
again from the saved input, so that no index is kept. Mean: every cell gets the same share.
"""

from collections.abc import Callable, Sequence
from functools import reduce

from depthwise.compiler import functions
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, digest, each_vector
from depthwise.compiler.kernels.mathematics import largest_of
from depthwise.dataclass import dataclass

__all__ = ["Pooling", "PoolingGradient"]

WRITTEN_OUT = 256
"""Cells of the largest window that has an instruction for each; LLVM's time grows faster than their number, so larger ones are loops."""


@dataclass(frozen=True)
class Pooling(Kernel):
    """out[y, x, c] = activation(maximum or mean of the window of `a` at (y·s, x·s)).

    `divided` False leaves the sum of the window: padded means divide by their own counts afterwards.
    """

    kind: str
    source: MapView
    target: MapView
    pool_size: tuple[int, int]
    strides: tuple[int, int]
    activation: str = "linear"
    divided: bool = True

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        return (
            f"{self.kind}_pooling_{self.pool_size[0]}x{self.pool_size[1]}_on_{self.target.rows}x"
            f"{self.target.columns}x{self.target.channels}_{digest(self)}"
        )

    def write(self, function: Function) -> None:
        windows = _windows(self.source, self.target, self.strides)
        with each_vector(function, [windows, self.target]) as ((a, out), _):
            start = function.offset("%a", a)
            cells = _cells(self.source, self.pool_size)
            if len(cells) > WRITTEN_OUT:
                result = self._in_loops(function, start)
            else:
                values = [function.load(start, cell) for cell in cells]
                result = largest_of(function, values) if self.kind == "max" else reduce(function.fadd, values)
            if self.kind == "mean" and self.divided:
                result = function.fdiv(result, function.constant(float(len(cells))))
            function.store(functions.evaluate_function(function, self.activation, result), "%out", out)

    def _in_loops(self, function: Function, start: str) -> str:
        """The maximum or the sum of a window, in the same order."""

        def join(row: Operand, column: Operand, before: Sequence[str]) -> list[str]:
            value = function.load(start, _cell(function, self.source, row, column))
            return [largest_of(function, [before[0], value]) if self.kind == "max" else function.fadd(before[0], value)]

        first = function.load(start) if self.kind == "max" else function.constant(-0.0)  # −0 + x is x
        return _through_window(function, self.pool_size, [first], join)[0]


@dataclass(frozen=True)
class PoolingGradient(Kernel):
    """Adds to or sets `out`, the gradient of the pooling's input, from `b`, that of its output.

    Where windows meet without gap or overlap (`adds` False) each cell is written once; otherwise `out` must hold zeros
    first. `a` is the pooling's input (read for the maximum alone).
    """

    kind: str
    source: MapView
    gradient: MapView
    target: MapView
    pool_size: tuple[int, int]
    strides: tuple[int, int]
    adds: bool
    divided: bool = True

    arguments = ("a", "b", "out")

    @property
    def name(self) -> str:
        return (
            f"{self.kind}_pooling_gradient_{self.pool_size[0]}x{self.pool_size[1]}_on_{self.gradient.rows}x"
            f"{self.gradient.columns}x{self.gradient.channels}_{digest(self)}"
        )

    def write(self, function: Function) -> None:
        sources = _windows(self.source, self.gradient, self.strides)
        targets = _windows(self.target, self.gradient, self.strides)
        a_cells, out_cells = _cells(self.source, self.pool_size), _cells(self.target, self.pool_size)
        with each_vector(function, [sources, self.gradient, targets]) as ((a, b, out), _):
            slope = function.load("%b", b)
            start, target = function.offset("%a", a), function.offset("%out", out)
            if self.kind == "mean" and self.divided:
                slope = function.fdiv(slope, function.constant(float(len(out_cells))))
            if len(out_cells) > WRITTEN_OUT:
                self._in_loops(function, start, target, slope)
                shares = []
            elif self.kind == "mean":
                shares = [slope] * len(out_cells)
            else:
                shares = self._to_first_maximum(function, [function.load(start, cell) for cell in a_cells], slope)
            for cell, share in zip(out_cells, shares):
                self._give(function, target, cell, share)

    def _give(self, function: Function, target: str, cell: Operand, share: str) -> None:
        if self.adds:
            share = function.fadd(function.load(target, cell), share)
        function.store(share, target, cell)

    def _in_loops(self, function: Function, start: str, target: str, slope: str) -> None:
        """Gives every cell of a window its share, in the same order."""

        def larger(row: Operand, column: Operand, before: Sequence[str]) -> list[str]:
            return [function.largest(function.load(start, _cell(function, self.source, row, column)), before[0])]

        def mean(row: Operand, column: Operand, before: Sequence[str]) -> list[str]:
            self._give(function, target, _cell(function, self.target, row, column), slope)
            return []

        def maximum(row: Operand, column: Operand, before: Sequence[str]) -> list[str]:
            value = function.load(start, _cell(function, self.source, row, column))
            equal = function.compare("oeq", value, largest)
            share = function.select(equal, before[0], "zeroinitializer")
            self._give(function, target, _cell(function, self.target, row, column), share)
            return [function.select(equal, "zeroinitializer", before[0])]

        if self.kind == "mean":
            _through_window(function, self.pool_size, [], mean)
            return
        (largest,) = _through_window(function, self.pool_size, [function.load(start)], larger)
        (left,) = _through_window(function, self.pool_size, [slope], maximum)
        last = _cells(self.target, self.pool_size)[-1]  # of a window with NaN, as where the cells are written out
        function.store(function.fadd(function.load(target, last), left), target, last)

    @staticmethod
    def _to_first_maximum(function: Function, values: list[str], slope: str) -> list[str]:
        """The slope where a value is the first to equal the maximum, else 0; `left` is what is still to be given."""
        largest = values[0]
        for value in values[1:]:
            largest = function.largest(value, largest)
        left, shares = slope, []
        for value in values[:-1]:
            equal = function.compare("oeq", value, largest)
            shares.append(function.select(equal, left, "zeroinitializer"))
            left = function.select(equal, "zeroinitializer", left)
        return [*shares, left]


def _windows(source: MapView, target: MapView, strides: tuple[int, int]) -> MapView:
    """The first cells of all windows, as a map of `target`'s size."""
    return MapView(
        target.rows,
        target.columns,
        target.channels,
        source.row_pitch * strides[0],
        source.pixel_pitch * strides[1],
    )


def _cells(source: MapView, pool_size: tuple[int, int]) -> list[int]:
    return [i * source.row_pitch + j * source.pixel_pitch for i in range(pool_size[0]) for j in range(pool_size[1])]


def _cell(function: Function, view: MapView, row: Operand, column: Operand) -> Operand:
    """Where a cell of a window is, from its first one."""
    return function.add(function.multiply(row, view.row_pitch), function.multiply(column, view.pixel_pitch))


def _through_window(
    function: Function,
    pool_size: tuple[int, int],
    carried: list[str],
    step: Callable[[Operand, Operand, Sequence[str]], list[str]],
) -> list[str]:
    """Loops over a window's cells in row-major order; `step` gives the carried values for the next cell. Returns the last ones."""
    with function.loop(0, pool_size[0], carried=carried) as rows:
        with function.loop(0, pool_size[1], carried=rows.values) as columns:
            columns.next = step(rows.index, columns.index, columns.values)
        rows.next = columns.results
    return rows.results

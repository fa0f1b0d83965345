"""Pooling and its gradient, channel by channel; windows never reach outside (the plan pads first).

Maximum: the first cell of the window, in row-major order, that holds the maximum gets the whole gradient; it is found
again from the saved input, so that no index is kept. Mean: every cell gets the same share.
"""

from functools import reduce

from depthwise.compiler import functions
from depthwise.compiler.kernels.builder import Function, Kernel
from depthwise.compiler.kernels.maps import MapView, digest, each_vector
from depthwise.compiler.kernels.mathematics import largest_of
from depthwise.dataclass import dataclass

__all__ = ["Pooling", "PoolingGradient"]


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
            values = [function.load(start, cell) for cell in cells]
            if self.kind == "max":
                result = largest_of(function, values)
            else:
                result = reduce(function.fadd, values)
                if self.divided:
                    result = function.fdiv(result, function.constant(float(len(cells))))
            function.store(functions.evaluate_function(function, self.activation, result), "%out", out)


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
            if self.kind == "mean":
                if self.divided:
                    slope = function.fdiv(slope, function.constant(float(len(out_cells))))
                shares = [slope] * len(out_cells)
            else:
                shares = self._to_first_maximum(function, [function.load(start, cell) for cell in a_cells], slope)
            for cell, share in zip(out_cells, shares):
                if self.adds:
                    share = function.fadd(function.load(target, cell), share)
                function.store(share, target, cell)

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

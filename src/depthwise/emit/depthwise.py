"""Depthwise convolution and its weight gradient: every vector of channels on its own, nothing added over channels.

The input gradient is a depthwise convolution too: of the output gradient, with the mirrored kernel; the plan makes it so.
Packed weights hold, for each cell of the kernel, all channels (rounded up to whole vectors). See docs/kernels/depthwise.md.
"""

from dataclasses import dataclass

from depthwise.emit import activation as activations
from depthwise.emit.builder import Function, Module, Operand
from depthwise.emit.maps import MapView, counted, digest

__all__ = ["DepthwiseConvolution", "DepthwiseWeightGradient"]

MAXIMUM_UNROLLED = 160
"""Multiply-adds that a tile may hold before the kernel's rows become a loop."""


@dataclass(frozen=True)
class DepthwiseConvolution:
    """out[y, x, c] = activation(bias[c] + Σ_ij x[y·s + i·d, x·s + j·d, c] · w[i, j, c]).

    `source` has the rows and columns that the windows read, padding included; its `channels` are those of `target`.
    """

    source: MapView
    target: MapView
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    bias: bool
    activation: str
    tile: int

    arguments = ("a", "b", "bias", "out")

    @property
    def name(self) -> str:
        rows, columns = self.kernel_size
        return (
            f"depthwise_{rows}x{columns}_stride{self.strides[0]}x{self.strides[1]}_on_{self.target.rows}x"
            f"{self.target.columns}x{self.target.channels}_{self.activation}_tile1x{self.tile}_{digest(self)}"
        )

    @property
    def macs(self) -> int:
        target = self.target
        return target.rows * target.columns * target.channels * self.kernel_size[0] * self.kernel_size[1]

    def emit(self, module: Module) -> str:
        if self.name not in module:
            with module.function(self.name, [("ptr", name) for name in self.arguments]) as function:
                self._write(function)
        return self.name

    def _write(self, function: Function) -> None:
        vectors, target = function.vectors, self.target
        padded = vectors.round_up(target.channels)
        cells = self.kernel_size[0] * self.kernel_size[1]
        in_registers = cells + self.tile + 2 <= vectors.registers
        tiles = -(-target.columns // self.tile)
        small, larger = divmod(target.columns, tiles)
        with counted(function, target.rows) as row, counted(function, padded, vectors.lanes) as channel:
            a_row = function.multiply(row, self.source.row_pitch * self.strides[0])
            source = function.offset("%a", function.add(a_row, channel))
            out = function.offset("%out", function.add(function.multiply(row, target.row_pitch), channel))
            weights = function.offset("%b", channel)
            held = [function.load(weights, i * padded) for i in range(cells)] if in_registers else []
            bias = function.load("%bias", channel) if self.bias else "zeroinitializer"
            for first, count, size in ((0, larger, small + 1), (larger * (small + 1), tiles - larger, small)):
                if count == 1:
                    self._tile(function, source, out, weights, held, bias, first, size, padded)
                elif count:
                    with function.loop(first, first + count * size, size) as loop:
                        self._tile(function, source, out, weights, held, bias, loop.index, size, padded)

    def _tile(
        self,
        function: Function,
        source: str,
        out: str,
        weights: str,
        held: list[str],
        bias: str,
        column: Operand,
        size: int,
        padded: int,
    ) -> None:
        rows, columns = self.kernel_size
        start = function.offset(source, function.multiply(column, self.strides[1] * self.source.pixel_pitch))
        sums = [bias] * size
        if rows * columns * size <= MAXIMUM_UNROLLED:
            for i in range(rows):
                line = function.offset(start, i * self.dilation[0] * self.source.row_pitch)
                cells = held[i * columns : (i + 1) * columns]
                sums = self._kernel_row(function, line, cells, function.offset(weights, i * columns * padded), sums)
        else:
            with function.loop(0, rows, carried=sums) as loop:
                line = function.offset(start, function.multiply(loop.index, self.dilation[0] * self.source.row_pitch))
                row_weights = function.offset(weights, function.multiply(loop.index, columns * padded))
                loop.next = self._kernel_row(function, line, [], row_weights, loop.values)
            sums = loop.results
        target = function.offset(out, function.multiply(column, self.target.pixel_pitch))
        for i, total in enumerate(sums):
            value = activations.apply(function, self.activation, total)
            function.store(value, target, i * self.target.pixel_pitch)

    def _kernel_row(self, function: Function, line: str, held: list[str], weights: str, sums: list[str]) -> list[str]:
        """One row of the kernel for all pixels of the tile; a number of the source is loaded once."""
        padded = function.vectors.round_up(self.target.channels)
        loaded: dict[int, str] = {}
        for j in range(self.kernel_size[1]):
            weight = held[j] if held else function.load(weights, j * padded)
            following = []
            for i, total in enumerate(sums):
                position = i * self.strides[1] + j * self.dilation[1]
                if position not in loaded:
                    loaded[position] = function.load(line, position * self.source.pixel_pitch)
                following.append(function.fma(loaded[position], weight, total))
            sums = following
        return sums


@dataclass(frozen=True)
class DepthwiseWeightGradient:
    """out[i, j, c] += Σ_yx a[y·s + i·d, x·s + j·d, c] · b[y, x, c]: `a` the layer's input, `b` its output's gradient."""

    source: MapView
    gradient: MapView
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]

    arguments = ("a", "b", "out")

    @property
    def name(self) -> str:
        rows, columns = self.kernel_size
        return (
            f"depthwise_weight_gradient_{rows}x{columns}_stride{self.strides[0]}x{self.strides[1]}_on_"
            f"{self.gradient.rows}x{self.gradient.columns}x{self.gradient.channels}_{digest(self)}"
        )

    @property
    def macs(self) -> int:
        gradient = self.gradient
        return gradient.rows * gradient.columns * gradient.channels * self.kernel_size[0] * self.kernel_size[1]

    def emit(self, module: Module) -> str:
        if self.name not in module:
            with module.function(self.name, [("ptr", name) for name in self.arguments]) as function:
                self._write(function)
        return self.name

    def _write(self, function: Function) -> None:
        vectors = function.vectors
        padded = vectors.round_up(self.gradient.channels)
        height, width = self.kernel_size
        # Sums for so many rows of the kernel stay in registers, beside a tile of the gradient and one number of `a`.
        rows = max(1, min(height, (vectors.registers - 2) // (width + 1)))
        columns = min(width, vectors.registers - 4)
        with counted(function, padded, vectors.lanes) as channel:
            for i in range(0, height, rows):
                for j in range(0, width, columns):
                    cells = [
                        (row, column)
                        for row in range(i, min(i + rows, height))
                        for column in range(j, min(j + columns, width))
                    ]
                    self._cells(function, cells, channel, padded)

    def _cells(self, function: Function, cells: list[tuple[int, int]], channel: Operand, padded: int) -> None:
        """Adds the gradients of some cells of the kernel, over all pixels."""
        gradient, source = self.gradient, self.source
        places = [function.add(channel, (i * self.kernel_size[1] + j) * padded) for i, j in cells]
        sums = [function.load("%out", place) for place in places]
        size = max(1, min(4, function.vectors.registers - len(cells) - 2))
        whole = gradient.columns // size * size
        with function.loop(0, gradient.rows, carried=sums) as rows:
            b_row = function.offset("%b", function.add(channel, function.multiply(rows.index, gradient.row_pitch)))
            a_row = function.offset(
                "%a", function.add(channel, function.multiply(rows.index, source.row_pitch * self.strides[0]))
            )
            sums = rows.values
            if whole:
                with function.loop(0, whole, size, carried=sums) as columns:
                    columns.next = self._tile(function, cells, a_row, b_row, columns.index, size, columns.values)
                sums = columns.results
            if whole < gradient.columns:
                sums = self._tile(function, cells, a_row, b_row, whole, gradient.columns - whole, sums)
            rows.next = sums
        for place, total in zip(places, rows.results):
            function.store(total, "%out", place)

    def _tile(
        self,
        function: Function,
        cells: list[tuple[int, int]],
        a_row: str,
        b_row: str,
        column: Operand,
        size: int,
        sums: list[str],
    ) -> list[str]:
        """Some neighbouring pixels: each number of `a` is loaded once for all cells and pixels that need it."""
        gradient, source = self.gradient, self.source
        start = function.offset(b_row, function.multiply(column, gradient.pixel_pitch))
        slopes = [function.load(start, t * gradient.pixel_pitch) for t in range(size)]
        first = function.offset(a_row, function.multiply(column, source.pixel_pitch * self.strides[1]))
        users: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for index, (i, j) in enumerate(cells):
            for t in range(size):
                place = (i * self.dilation[0], t * self.strides[1] + j * self.dilation[1])
                users.setdefault(place, []).append((index, t))
        sums = list(sums)
        for (row, position), used_by in sorted(users.items()):
            value = function.load(first, row * source.row_pitch + position * source.pixel_pitch)
            for index, t in used_by:
                sums[index] = function.fma(value, slopes[t], sums[index])
        return sums

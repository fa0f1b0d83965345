"""Depthwise convolution and its weight gradient: every vector of channels on its own, nothing added over channels.

The input gradient is a depthwise convolution too: of the output gradient, with the mirrored kernel; the plan makes it so.
Packed weights hold, for each cell of the kernel, all channels (rounded up to whole vectors). See docs/kernels/depthwise.md.
"""

from itertools import product

from depthwise.compiler import functions
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, counted, digest, each_share, even_shares
from depthwise.dataclass import dataclass

__all__ = ["DepthwiseConvolution", "DepthwiseWeightGradient"]

MAXIMUM_UNROLLED = 160
"""Multiply-adds that a tile may hold before the kernel's rows become a loop."""

PIXELS_A_VISIT = 14
"""About how many pixels the weight gradient adds up before it stores its sums and turns to the next channels."""

Cell = tuple[int, int]


@dataclass(frozen=True)
class DepthwiseConvolution(Kernel):
    """out[y, x, c] = activation(bias[c] + Σ_ij x[y·s + i·d, x·s + j·d, c] · w[i, j, c]).

    `source` has the rows and columns that the windows read, padding included; its `channels` are those of `target`. `tile`
    is (rows, columns) of pixels whose sums stay in registers while a vector of channels is computed.
    """

    source: MapView
    target: MapView
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    bias: bool
    activation: str
    tile: tuple[int, int]

    arguments = ("a", "b", "bias", "out")

    @property
    def name(self) -> str:
        rows, columns = self.kernel_size
        return (
            f"depthwise_{rows}x{columns}_stride{self.strides[0]}x{self.strides[1]}_on_{self.target.rows}x"
            f"{self.target.columns}x{self.target.channels}_{self.activation}_tile{self.tile[0]}x{self.tile[1]}_{digest(self)}"
        )

    @property
    def macs(self) -> int:
        target = self.target
        return target.rows * target.columns * target.channels * self.kernel_size[0] * self.kernel_size[1]

    def write(self, function: Function) -> None:
        """Tiles of pixels outside, channels inside: every row of every window is read from its start to its end."""
        target = self.target
        for rows in even_shares(target.rows, self.tile[0]):
            with each_share(function, rows) as row:
                for columns in even_shares(target.columns, self.tile[1]):
                    with (
                        each_share(function, columns) as column,
                        counted(
                            function, function.vectors.round_up(target.channels), function.vectors.lanes
                        ) as channel,
                    ):
                        self._tile(function, (row, column), (rows.size, columns.size), channel)

    def _tile(
        self, function: Function, first: tuple[Operand, Operand], size: tuple[int, int], channel: Operand
    ) -> None:
        source, target = self.source, self.target
        row = function.multiply(first[0], source.row_pitch * self.strides[0])
        column = function.multiply(first[1], source.pixel_pitch * self.strides[1])
        start = function.offset("%a", function.add(function.add(row, column), channel))
        weights = function.offset("%b", channel)
        bias = function.load("%bias", channel) if self.bias else "zeroinitializer"
        sums = [bias] * (size[0] * size[1])
        height, width = self.kernel_size
        if height * width * len(sums) <= MAXIMUM_UNROLLED:
            sums = self._add(function, start, weights, height, size, sums)
        else:
            step = self.dilation[0] * source.row_pitch
            with function.loop(0, height, carried=sums) as loop:
                line = function.offset(start, function.multiply(loop.index, step))
                row_weights = function.offset(weights, function.multiply(loop.index, width * self._padded(function)))
                loop.next = self._add(function, line, row_weights, 1, size, loop.values)
            sums = loop.results
        row = function.multiply(first[0], target.row_pitch)
        column = function.multiply(first[1], target.pixel_pitch)
        out = function.offset("%out", function.add(function.add(row, column), channel))
        for i, total in enumerate(sums):
            y, x = divmod(i, size[1])
            value = functions.evaluate_function(function, self.activation, total)
            function.store(value, out, y * target.row_pitch + x * target.pixel_pitch)

    def _padded(self, function: Function) -> int:
        return function.vectors.round_up(self.target.channels)

    def _add(
        self, function: Function, start: str, weights: str, height: int, size: tuple[int, int], sums: list[str]
    ) -> list[str]:
        """Adds `height` rows of the kernel. A number of the source is loaded once, for every sum that has it."""
        width = self.kernel_size[1]
        users: dict[Cell, list[tuple[Cell, int]]] = {}
        for cell in product(range(height), range(width)):
            for i in range(len(sums)):
                pixel = divmod(i, size[1])
                row, column = (pixel[k] * self.strides[k] + cell[k] * self.dilation[k] for k in range(2))
                users.setdefault((row, column), []).append((cell, i))
        loaded: dict[Cell, str] = {}
        sums = list(sums)
        for (row, column), used_by in sorted(users.items()):
            value = function.load(start, row * self.source.row_pitch + column * self.source.pixel_pitch)
            for cell, i in used_by:
                if cell not in loaded:
                    loaded[cell] = function.load(weights, (cell[0] * width + cell[1]) * self._padded(function))
                sums[i] = function.fma(value, loaded[cell], sums[i])
        return sums


@dataclass(frozen=True)
class DepthwiseWeightGradient(Kernel):
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

    def write(self, function: Function) -> None:
        """Bands of rows outside, channels inside, as in the convolution: what a band reads lies side by side in L1."""
        vectors, gradient = function.vectors, self.gradient
        height, width = self.kernel_size
        # Sums for so many rows of the kernel stay in registers, beside a tile of the gradient and one number of `a`.
        rows = max(1, min(height, (vectors.registers - 2) // (width + 1)))
        columns = min(width, vectors.registers - 4)
        for band in even_shares(gradient.rows, max(1, PIXELS_A_VISIT // gradient.columns)):
            with (
                each_share(function, band) as first,
                counted(function, vectors.round_up(gradient.channels), vectors.lanes) as channel,
            ):
                for i, j in product(range(0, height, rows), range(0, width, columns)):
                    cells = list(product(range(i, min(i + rows, height)), range(j, min(j + columns, width))))
                    self._cells(function, cells, first, band.size, channel)

    def _cells(self, function: Function, cells: list[Cell], first: Operand, rows: int, channel: Operand) -> None:
        """Adds the gradients of some cells of the kernel, over a band of rows."""
        gradient, source = self.gradient, self.source
        padded = function.vectors.round_up(gradient.channels)
        places = [function.add(channel, (i * self.kernel_size[1] + j) * padded) for i, j in cells]
        sums = [function.load("%out", place) for place in places]
        size = max(1, min(4, function.vectors.registers - len(cells) - 2))
        for row in range(rows):
            line = function.add(first, row)
            b_row = function.offset("%b", function.add(channel, function.multiply(line, gradient.row_pitch)))
            a_pitch = source.row_pitch * self.strides[0]
            a_row = function.offset("%a", function.add(channel, function.multiply(line, a_pitch)))
            whole = gradient.columns // size * size
            if whole:
                with function.loop(0, whole, size, carried=sums) as columns:
                    columns.next = self._tile(function, cells, a_row, b_row, columns.index, size, columns.values)
                sums = columns.results
            if whole < gradient.columns:
                sums = self._tile(function, cells, a_row, b_row, whole, gradient.columns - whole, sums)
        for place, total in zip(places, sums):
            function.store(total, "%out", place)

    def _tile(
        self,
        function: Function,
        cells: list[Cell],
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
        users: dict[Cell, list[tuple[int, int]]] = {}
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

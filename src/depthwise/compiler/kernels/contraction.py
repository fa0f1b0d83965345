"""The one loop nest behind every multiply-add over channels: ordinary and pointwise convolutions, dense layers, and the
input and weight gradients of all three.

    out[r, c, n] = activation(initial + Σ_k a[r, c, k] · b[k, n])

Output positions (r, c) are pixels, images or weights; n runs over vectors. A tile of positions × vectors stays in
registers while k runs; each number of `a` is broadcast, each vector of `b` serves all positions of the tile. Every output
adds its products in the order of k, so that its value does not depend on how positions are split into tiles or tasks.
See docs/kernels/contraction.md.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from math import prod

from depthwise.compiler import functions
from depthwise.compiler.kernels.builder import Function, Kernel, Operand, Vectors
from depthwise.compiler.kernels.maps import counted, each_share, even_shares
from depthwise.dataclass import dataclass

__all__ = ["Contraction", "Reduction"]

UNROLLED_FMAS = 96
"""About how many multiply-adds one basic block may hold: more than 250 spilled where it was measured."""


@dataclass(frozen=True)
class Reduction:
    """One loop of the sum: how often, and how far `a` and (where it is not packed) `b` move each time.

    `count` None is a number that the caller passes when it runs.
    """

    count: int | None
    a_step: int
    b_step: int = 0


@dataclass(frozen=True)
class Contraction(Kernel):
    """Parameters of one kernel; offsets and steps count float32 numbers.

    Attributes:
        a_rows, out_rows: where each row of positions starts in `a` and in `out`.
        columns: positions in a row; None is a number that the caller passes when it runs.
        a_column, out_column: from one position of a row to the next.
        reduction: the loops of the sum, outermost first.
        channels: outputs at each position; `out` has room for whole vectors unless `exact`.
        packed: `b` is packed by panels (see `panels`); otherwise it moves by each loop's `b_step`.
        initial: what the sum starts from: "zero", "bias" (one number a channel) or "out" (accumulate).
        activation: applied before the store.
        exact: the last vector is stored under a mask; nothing past `channels` is written.
        tile: (positions, vectors) held in registers.
        panels_outside: run over all positions with one panel of `b` before the next panel.
    """

    a_rows: tuple[int, ...]
    out_rows: tuple[int, ...]
    columns: int | None
    a_column: int
    out_column: int
    reduction: tuple[Reduction, ...]
    channels: int
    packed: bool
    initial: str
    activation: str
    exact: bool
    tile: tuple[int, int]
    panels_outside: bool

    @property
    def name(self) -> str:
        depth = "x".join("n" if loop.count is None else str(loop.count) for loop in self.reduction)
        positions = f"{len(self.a_rows)}x{'n' if self.columns is None else self.columns}"
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:8]
        return (
            f"contraction_{positions}_by_{self.channels}_over_{depth}_{self.activation}"
            f"_tile{self.tile[0]}x{self.tile[1]}_{digest}"
        )

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of the function's arguments, in order; all are pointers but the counts."""
        counts = [*(["columns"] if self.columns is None else []), *(["depth"] if self._runtime_depth else [])]
        return ("a", "b", "bias", "out", *counts)

    @property
    def macs(self) -> int:
        """Multiply-adds of one call whose counts are all known."""
        assert self.columns is not None
        return len(self.a_rows) * self.columns * self.channels * prod(loop.count or 0 for loop in self.reduction)

    @property
    def _runtime_depth(self) -> bool:
        return any(loop.count is None for loop in self.reduction)

    def panels(self, vectors: Vectors) -> list[tuple[int, int]]:
        """(first vector, vectors) of each panel of `b`: as wide as the tile, the last one narrower.

        Packed `b` holds panel after panel; a panel holds, for each k, its vectors. So the panel that starts at vector v
        starts at number v · lanes · depth.
        """
        total = vectors.round_up(self.channels) // vectors.lanes
        width = self.tile[1]
        return [(first, min(width, total - first)) for first in range(0, total, width)]

    def write(self, function: Function) -> None:
        _Writer(self, function).write()


@dataclass(frozen=True)
class _Positions:
    """The output positions of one tile: addresses in `a` (a base and a constant each) and in `out`; `each` loops over these."""

    a: tuple[tuple[str, int], ...]
    out: tuple[str, ...]
    each: Callable[[], AbstractContextManager[str]]


class _Writer:
    def __init__(self, kernel: Contraction, function: Function) -> None:
        self.kernel = kernel
        self.function = function
        self.lanes = function.vectors.lanes
        # A long activation runs over what the tile has stored, in whole vectors.
        self.activates_later = not functions.KNOWN[kernel.activation].short and not kernel.exact

    def write(self) -> None:
        if self.kernel.panels_outside:
            for first, width in self._each_panel():

                def one_panel(positions: _Positions, first: Operand = first, width: int = width) -> None:
                    self._tile(positions, first, width)
                    self._activate(positions, self.function.multiply(first, self.lanes), width * self.lanes)

                self._each_tile(one_panel)
        else:
            self._each_tile(self._all_panels)

    def _all_panels(self, positions: _Positions) -> None:
        for first, width in self._each_panel():
            self._tile(positions, first, width)
        self._activate(positions, 0, self.function.vectors.round_up(self.kernel.channels))

    def _activate(self, positions: _Positions, channel: Operand, numbers: int) -> None:
        if not self.activates_later:
            return
        function = self.function
        with positions.each() as out, counted(function, numbers, self.lanes) as vector:
            address = function.offset(out, function.add(channel, vector))
            function.store(
                functions.evaluate_function(function, self.kernel.activation, function.load(address)), address
            )

    def _each_panel(self) -> Iterator[tuple[Operand, int]]:
        """(first vector, vectors): one loop over the full panels, then the narrower one."""
        panels = self.kernel.panels(self.function.vectors)
        full = [panel for panel in panels if panel[1] == self.kernel.tile[1]]
        ragged = self.kernel.exact and self.kernel.channels % self.lanes
        if ragged and full and full[-1] == panels[-1]:
            full.pop()  # the masked panel is written apart
        if len(full) == 1:
            yield full[0]
        elif full:
            with self.function.loop(0, len(full) * self.kernel.tile[1], self.kernel.tile[1]) as loop:
                yield loop.index, self.kernel.tile[1]
        yield from panels[len(full) :]

    # -- positions ---------------------------------------------------------------------------------------------------

    def _each_tile(self, body: Callable[[_Positions], None]) -> None:
        kernel = self.kernel
        height = kernel.tile[0]
        if kernel.columns is None:
            self._runtime_columns(body)
            return
        rows, columns = len(kernel.a_rows), kernel.columns
        flat_a = kernel.a_rows == tuple(range(0, rows * columns * kernel.a_column, columns * kernel.a_column or 1))
        flat_out = kernel.out_rows == tuple(
            range(0, rows * columns * kernel.out_column, columns * kernel.out_column or 1)
        )
        if rows == 1 or (flat_a and flat_out):
            self._row(body, kernel.a_rows[0], kernel.out_rows[0], rows * columns)
        elif columns >= 2 * height or rows * columns <= height or columns % height == 0:
            with self._rows() as (a_row, out_row):
                self._row(body, a_row, out_row, columns)
        else:
            self._table(body, height)

    @contextmanager
    def _rows(self) -> Iterator[tuple[Operand, Operand]]:
        """A loop over the rows of positions: their offsets in `a` and in `out`."""
        with self.function.loop(0, len(self.kernel.a_rows)) as loop:
            yield self._row_offset(self.kernel.a_rows, loop.index), self._row_offset(self.kernel.out_rows, loop.index)

    def _row_offset(self, rows: tuple[int, ...], index: str) -> Operand:
        step = rows[1] - rows[0]
        if rows == tuple(rows[0] + i * step for i in range(len(rows))):
            return self.function.add(self.function.multiply(index, step), rows[0])
        return self.function.load_integer(self.function.module.table(rows), index)

    def _row(self, body: Callable[[_Positions], None], a_row: Operand, out_row: Operand, columns: int) -> None:
        """A row as tiles of two neighbouring sizes, so that no tile is much smaller than another."""
        for shares in even_shares(columns, self.kernel.tile[0]):
            with each_share(self.function, shares) as column:
                body(self._affine(a_row, out_row, column, shares.size))

    def _affine(self, a_row: Operand, out_row: Operand, column: Operand, size: int) -> _Positions:
        function, kernel = self.function, self.kernel
        base = function.offset("%a", function.add(a_row, function.multiply(column, kernel.a_column)))
        target = function.offset("%out", function.add(out_row, function.multiply(column, kernel.out_column)))

        @contextmanager
        def each() -> Iterator[str]:
            with counted(function, size) as i:
                yield function.offset(target, function.multiply(i, kernel.out_column))

        return _Positions(
            tuple((base, i * kernel.a_column) for i in range(size)),
            tuple(function.offset(target, i * kernel.out_column) for i in range(size)),
            each,
        )

    def _table(self, body: Callable[[_Positions], None], height: int) -> None:
        """Rows too short to tile well: tiles run over all positions, their addresses come from a table."""
        kernel, function = self.kernel, self.function
        assert kernel.columns is not None
        offsets = [
            (a + column * kernel.a_column, out + column * kernel.out_column)
            for a, out in zip(kernel.a_rows, kernel.out_rows)
            for column in range(kernel.columns)
        ]
        a_table = function.module.table([a for a, _ in offsets])
        out_table = function.module.table([out for _, out in offsets])
        for shares in even_shares(len(offsets), height):
            with each_share(function, shares) as first:
                indices = [function.add(first, i) for i in range(shares.size)]

                @contextmanager
                def each(first: Operand = first, size: int = shares.size) -> Iterator[str]:
                    with counted(function, size) as i:
                        yield function.offset("%out", function.load_integer(out_table, function.add(first, i)))

                body(
                    _Positions(
                        tuple((function.offset("%a", function.load_integer(a_table, i)), 0) for i in indices),
                        tuple(function.offset("%out", function.load_integer(out_table, i)) for i in indices),
                        each,
                    )
                )

    def _runtime_columns(self, body: Callable[[_Positions], None]) -> None:
        function, height = self.function, self.kernel.tile[0]
        start: Operand = 0
        for size in (height, *((height // 2,) if height >= 4 else ()), *((1,) if height > 1 else ())):
            count = function.divide(function.subtract("%columns", start), size)
            stop = function.add(start, function.multiply(count, size))
            with function.loop(start, stop, size) as loop:
                body(self._affine(self.kernel.a_rows[0], self.kernel.out_rows[0], loop.index, size))
            start = stop

    # -- one tile ----------------------------------------------------------------------------------------------------

    def _tile(self, positions: _Positions, first: Operand, width: int) -> None:
        kernel, function = self.kernel, self.function
        channel = function.multiply(first, self.lanes)
        if kernel.packed:
            depth = prod(loop.count or 0 for loop in kernel.reduction)
            b = function.offset("%b", function.multiply(channel, depth))
        else:
            b = function.offset("%b", channel)
        targets = [function.offset(out, channel) for out in positions.out]
        last = self._masked_vector(first, width)
        sums = self._initial(targets, channel, width, last)
        sums = self._reduce(kernel.reduction, positions.a, b, width, sums)
        for i, total in enumerate(sums):
            row, vector = divmod(i, width)
            value = total if self.activates_later else functions.evaluate_function(function, kernel.activation, total)
            address = function.offset(targets[row], vector * self.lanes)
            if vector == last:
                function.store_masked(value, address, kernel.channels % self.lanes)
            else:
                function.store(value, address)

    def _masked_vector(self, first: Operand, width: int) -> int:
        """Index of the vector in this panel that only partly belongs to the output, or −1."""
        if not self.kernel.exact or not self.kernel.channels % self.lanes or not isinstance(first, int):
            return -1
        last = self.kernel.channels // self.lanes - first
        return last if last < width else -1

    def _initial(self, targets: list[str], channel: Operand, width: int, last: int) -> list[str]:
        function = self.function
        if self.kernel.initial == "zero":
            return ["zeroinitializer"] * (len(targets) * width)
        if self.kernel.initial == "bias":
            bias = [function.load("%bias", function.add(channel, i * self.lanes)) for i in range(width)]
            return bias * len(targets)
        sums = []
        for target in targets:
            for i in range(width):
                address = function.offset(target, i * self.lanes)
                if i == last:
                    sums.append(function.load_masked(address, self.kernel.channels % self.lanes))
                else:
                    sums.append(function.load(address))
        return sums

    def _reduce(
        self, loops: tuple[Reduction, ...], a: tuple[tuple[str, int], ...], b: str, width: int, sums: list[str]
    ) -> list[str]:
        """The loops of the sum from the outermost on; small ones are written out."""
        function = self.function
        if not loops:
            vectors = [function.load(b, i * self.lanes) for i in range(width)]
            result = []
            for row, (base, offset) in enumerate(a):
                number = function.broadcast(base, offset)
                result += [function.fma(number, vectors[i], sums[row * width + i]) for i in range(width)]
            return result
        loop, inner = loops[0], loops[1:]
        b_step = prod(item.count or 0 for item in inner) * width * self.lanes if self.kernel.packed else loop.b_step
        block = len(sums) * prod(item.count or 1 << 30 for item in inner)
        if loop.count is None:
            return self._counted(loop, inner, a, b, width, sums, b_step, 1, "%depth")
        apart = self._apart(loop)
        if loop.count * block <= UNROLLED_FMAS and loop.count <= apart:
            return self._unrolled(loop, inner, a, b, width, sums, b_step, loop.count)
        unroll = max(1, min(8, UNROLLED_FMAS // block, apart))
        divisors = [factor for factor in range(unroll, 0, -1) if loop.count % factor == 0]
        if divisors[0] * 2 > unroll or unroll == apart:
            unroll = divisors[0]
        whole = loop.count // unroll * unroll
        sums = self._counted(loop, inner, a, b, width, sums, b_step, unroll, whole)
        if whole < loop.count:
            moved = tuple((base, offset + whole * loop.a_step) for base, offset in a)
            rest = function.offset(b, whole * b_step)
            sums = self._unrolled(loop, inner, moved, rest, width, sums, b_step, loop.count - whole)
        return sums

    def _apart(self, loop: Reduction) -> int:
        """After how many steps of `loop` a position reads what its neighbour read first, as where windows on an image of three
        channels overlap; the loop's count where it never does.

        LLVM keeps a number that it reads twice in one basic block, in memory when no register is free, and then the registers of
        the sums are not free either. Neighbours that read the same number one step later are what a tile may be chosen for.
        """
        count = loop.count or 0
        step, column = loop.a_step, self.kernel.a_column
        overlaps = 0 < step < column and column % step == 0
        return min(count, column // step) if overlaps else count

    def _unrolled(
        self,
        loop: Reduction,
        inner: tuple[Reduction, ...],
        a: tuple[tuple[str, int], ...],
        b: str,
        width: int,
        sums: list[str],
        b_step: int,
        count: int,
    ) -> list[str]:
        for i in range(count):
            moved = tuple((base, offset + i * loop.a_step) for base, offset in a)
            sums = self._reduce(inner, moved, self.function.offset(b, i * b_step), width, sums)
        return sums

    def _counted(
        self,
        loop: Reduction,
        inner: tuple[Reduction, ...],
        a: tuple[tuple[str, int], ...],
        b: str,
        width: int,
        sums: list[str],
        b_step: int,
        unroll: int,
        count: Operand,
    ) -> list[str]:
        function = self.function
        with function.loop(0, count, unroll, carried=sums) as nest:
            distance = function.multiply(nest.index, loop.a_step)
            bases = {base: function.offset(base, distance) for base, _ in a}
            moved = tuple((bases[base], offset) for base, offset in a)
            start = function.offset(b, function.multiply(nest.index, b_step))
            nest.next = self._unrolled(loop, inner, moved, start, width, nest.values, b_step, unroll)
        return nest.results

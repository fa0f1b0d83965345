"""Element by element over maps: expressions, dropout, copies, fills."""

from collections.abc import Sequence

from depthwise.compiler import functions
from depthwise.compiler.ir.expression import Expression, describe
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, counted, digest, each_flat_vector, each_pixel, each_vector
from depthwise.dataclass import dataclass

__all__ = ["Copy", "Dropout", "Elementwise", "ElementwiseRuns", "ElementwiseSum", "Fill", "StridedCopy"]


@dataclass(frozen=True)
class Elementwise(Kernel):
    """out = expression(operands…), vector by vector.

    Attributes:
        expression: of the operands, by their numbers.
        operands: the maps read. Pitches of 0 broadcast: along rows, along columns, or one number to all channels.
        target: the map written, of the largest size.
    """

    expression: Expression
    operands: tuple[MapView, ...]
    target: MapView

    @property
    def arguments(self) -> tuple[str, ...]:
        return (*(f"a{i}" for i in range(len(self.operands))), "out")

    @property
    def kind(self) -> str:
        return describe(self.expression)

    @property
    def name(self) -> str:
        out = self.target
        return f"{self.kind.replace(' ', '_')}_on_{out.rows}x{out.columns}x{out.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        views = (*self.operands, self.target)
        if any(view.broadcasts for view in self.operands):
            with each_vector(function, views) as (offsets, _):
                self._vector(function, offsets)
        else:
            with each_flat_vector(function, views) as offsets:
                self._vector(function, offsets)

    def _vector(self, function: Function, offsets: Sequence[str | int]) -> None:
        function.store(_value(function, self.expression, self.operands, offsets[:-1]), "%out", offsets[-1])


def _value(
    function: Function, expression: Expression, operands: Sequence[MapView], offsets: Sequence[str | int]
) -> str:
    """One vector of the expression; each operand lies at its offset from its argument."""
    values = {}
    for i, (view, offset) in enumerate(zip(operands, offsets)):
        read = function.load if view.channel_pitch else function.broadcast
        values[i] = read(f"%a{i}", offset)
    return functions.evaluate(function, expression, values)


@dataclass(frozen=True)
class ElementwiseRuns(Kernel):
    """out = expression(operands…) over rows of numbers that have no room for whole vectors: nothing past a row is touched.

    Attributes:
        expression: of the operands, by their numbers.
        rows, numbers: of each map.
        row_pitches: of each operand, None for one that is the same in every row and repeats after `period` numbers.
        row_pitch: of the map written.
        period: whole vectors.
    """

    expression: Expression
    rows: int
    numbers: int
    row_pitches: tuple[int | None, ...]
    row_pitch: int
    period: int

    @property
    def arguments(self) -> tuple[str, ...]:
        return (*(f"a{i}" for i in range(len(self.row_pitches))), "out")

    @property
    def kind(self) -> str:
        return describe(self.expression)

    @property
    def name(self) -> str:
        return f"{self.kind.replace(' ', '_')}_on_{self.rows}_runs_of_{self.numbers}_{digest(self)}"

    def write(self, function: Function) -> None:
        pitches = (*self.row_pitches, self.row_pitch)
        with counted(function, self.rows) as row:
            starts = [
                function.offset(f"%{name}", function.multiply(row, pitch or 0))
                for name, pitch in zip(self.arguments, pitches)
            ]
            whole = self.numbers // self.period * self.period
            if whole:
                with counted(function, whole, self.period) as position:
                    self._period(function, starts, position, self.period)
            self._period(function, starts, whole, self.numbers - whole)

    def _period(self, function: Function, starts: Sequence[str], position: Operand, numbers: int) -> None:
        """`numbers` from `position` on, where a period begins."""
        lanes = function.vectors.lanes
        for phase in range(0, numbers, lanes):
            count = min(lanes, numbers - phase)
            place = function.add(position, phase)
            values = {
                i: function.load(start, phase)
                if pitch is None
                else function.load_first(function.offset(start, place), count)
                for i, (start, pitch) in enumerate(zip(starts, self.row_pitches))
            }
            function.store_first(
                functions.evaluate(function, self.expression, values), function.offset(starts[-1], place), count
            )


@dataclass(frozen=True)
class ElementwiseSum(Kernel):
    """The same for maps of one size, and total[c] += the sum of what is written; rows are added up one by one, then their
    sums."""

    expression: Expression
    operands: tuple[MapView, ...]
    target: MapView

    @property
    def arguments(self) -> tuple[str, ...]:
        return (*(f"a{i}" for i in range(len(self.operands))), "out", "total")

    @property
    def kind(self) -> str:
        return f"{describe(self.expression)} and sum"

    @property
    def name(self) -> str:
        out = self.target
        return f"{self.kind.replace(' ', '_')}_on_{out.rows}x{out.columns}x{out.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        vectors = function.vectors
        with counted(function, vectors.round_up(self.target.channels), vectors.lanes) as channel:
            self._channel(function, channel)

    def _channel(self, function: Function, channel: Operand) -> None:
        views = (*self.operands, self.target)
        bases = [function.offset(f"%{name}", channel) for name in self.arguments[:-1]]
        with function.loop(0, self.target.rows, carried=["zeroinitializer"]) as rows:
            lines = [
                function.offset(base, function.multiply(rows.index, view.row_pitch)) for base, view in zip(bases, views)
            ]
            with function.loop(0, self.target.columns, carried=["zeroinitializer"]) as columns:
                *reads, out = (
                    function.offset(line, function.multiply(columns.index, view.pixel_pitch))
                    for line, view in zip(lines, views)
                )
                values = {i: function.load(address) for i, address in enumerate(reads)}
                value = functions.evaluate(function, self.expression, values)
                function.store(value, out)
                columns.next = [function.fadd(columns.values[0], value)]
            rows.next = [function.fadd(rows.values[0], columns.results[0])]
        function.store(function.fadd(function.load("%total", channel), rows.results[0]), "%total", channel)


@dataclass(frozen=True)
class Fill(Kernel):
    """Sets `value` in the border of a map (`inner` None: everywhere): `rows` × `columns` pixels around `inner`.

    The border is what convolutions read as padding. All pitches are `outer`'s; `inner` is (first row, first column, rows,
    columns) within `outer`. Runs of numbers are written as vectors, up to `slack` numbers past the end.
    """

    outer: MapView
    inner: tuple[int, int, int, int] | None
    value: float

    arguments = ("out",)

    @property
    def name(self) -> str:
        what = "border" if self.inner else "map"
        return f"fill_{what}_of_{self.outer.rows}x{self.outer.columns}x{self.outer.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        outer = self.outer
        if self.inner is None:
            self._rows(function, 0, outer.rows, 0, outer.columns)
            return
        top, left, rows, columns = self.inner
        self._rows(function, 0, top, 0, outer.columns)
        self._rows(function, top, rows, 0, left)
        self._rows(function, top, rows, left + columns, outer.columns - left - columns)
        self._rows(function, top + rows, outer.rows - top - rows, 0, outer.columns)

    def _rows(self, function: Function, first: int, rows: int, column: int, columns: int) -> None:
        if rows == 0 or columns == 0:
            return
        pitch, lanes = self.outer.pixel_pitch, function.vectors.lanes
        numbers = columns * pitch
        if rows > 1 and columns == self.outer.columns and self.outer.row_pitch == numbers:
            numbers, rows = numbers * rows, 1
        value = function.constant(self.value)
        with counted(function, rows) as row:
            start = function.offset(
                "%out",
                function.add(
                    function.multiply(row, self.outer.row_pitch), first * self.outer.row_pitch + column * pitch
                ),
            )
            whole = numbers // lanes * lanes
            if whole:
                with counted(function, whole, lanes) as position:
                    function.store(value, start, position)
            for i in range(whole, numbers):
                function.store_number(function.number(self.value), start, i)


@dataclass(frozen=True)
class Copy(Kernel):
    """Copies exactly `channels` numbers of each pixel; reads and writes nothing else."""

    source: MapView
    target: MapView

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        return f"copy_{self.target.rows}x{self.target.columns}x{self.target.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        source, target = _as_runs(self.source, self.target)
        with each_pixel(function, [source, target]) as (a, out):
            _copy_run(function, function.offset("%a", a), function.offset("%out", out), source.channels)


def _as_runs(source: MapView, target: MapView) -> tuple[MapView, MapView]:
    """Pixels without gaps on both sides are one run; rows likewise."""
    views = [source, target]
    if all(view.pixel_pitch == view.channels for view in views):
        views = [MapView(view.rows, 1, view.columns * view.channels, view.row_pitch, view.row_pitch) for view in views]
        if all(view.row_pitch == view.channels for view in views):
            views = [MapView(1, 1, view.rows * view.channels, 0, 0) for view in views]
    return views[0], views[1]


def _copy_run(function: Function, source: str, target: str, numbers: int) -> None:
    lanes = function.vectors.lanes
    whole = numbers // lanes * lanes
    if whole:
        with counted(function, whole, lanes) as position:
            function.store(function.load(source, position), target, position)
    for i in range(whole, numbers):
        function.store_number(function.load_number(source, i), target, i)


@dataclass(frozen=True)
class StridedCopy(Kernel):
    """out[Σ iₖ · outₖ] = a[Σ iₖ · aₖ] over nested counts: how weights are packed and unpacked.

    `loops` are (count, step in a, step in out), outermost first; steps may be negative.
    """

    loops: tuple[tuple[int, int, int], ...]

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        return f"strided_copy_{'x'.join(str(count) for count, _, _ in self.loops)}_{digest(self)}"

    def write(self, function: Function) -> None:
        self._nest(function, self.loops, "%a", "%out")

    def _nest(self, function: Function, loops: tuple[tuple[int, int, int], ...], source: str, target: str) -> None:
        if not loops:
            function.store_number(function.load_number(source), target)
            return
        count, a_step, out_step = loops[0]
        if len(loops) == 1 and a_step == 1 and out_step == 1:
            _copy_run(function, source, target, count)
            return
        with counted(function, count) as index:
            self._nest(
                function,
                loops[1:],
                function.offset(source, function.multiply(index, a_step)),
                function.offset(target, function.multiply(index, out_step)),
            )


@dataclass(frozen=True)
class Dropout(Kernel):
    """out = a / (1 − rate) where the value is kept, else 0; the same choice again for the gradient.

    Whether a value is kept follows from the step's seed, the layer, the sample's place in the batch and the value's place
    in the sample alone, by an integer hash (two rounds of multiply and shift), so it does not depend on threads.
    """

    source: MapView
    target: MapView
    rate: float
    layer: int

    arguments = ("a", "seed", "sample", "out")

    @property
    def name(self) -> str:
        return f"dropout_on_{self.target.rows}x{self.target.columns}x{self.target.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        kind, lanes = function.integers, function.vectors.lanes
        padded = function.vectors.round_up(self.target.channels)
        count_pitch = MapView(
            self.target.rows, self.target.columns, self.target.channels, self.target.columns * padded, padded
        )
        seed = function.define("load i32, ptr %seed, align 4")
        sample = function.define("trunc i64 %sample to i32")
        mixed = function.define(f"mul i32 {sample}, {0x9E3779B1 - (1 << 32)}")
        mixed = function.define(f"add i32 {mixed}, {self.layer * 0x85EBCA6B % (1 << 31)}")
        key = self._splat(function, function.define(f"xor i32 {mixed}, {seed}"))
        steps = "<" + ", ".join(f"i32 {i}" for i in range(lanes)) + ">"
        threshold = min(int(self.rate * 2**31), 2**31 - 1)
        with each_vector(function, [self.source, self.target, count_pitch]) as ((a, out, place), _):
            index = function.define(f"trunc i64 {place} to i32") if not isinstance(place, int) else str(place)
            bits = function.define(f"add {kind} {self._splat(function, index)}, {steps}")
            bits = function.define(f"xor {kind} {self._hash(function, bits)}, {key}")
            bits = self._hash(function, bits)
            bits = function.define(f"lshr {kind} {bits}, {function.integer_constant(1)}")
            kept = function.define(f"icmp sge {kind} {bits}, {function.integer_constant(threshold)}")
            scale = 1.0 / (1.0 - self.rate) if self.rate < 1.0 else 0.0
            value = function.fmul(function.load("%a", a), function.constant(scale))
            function.store(function.select(kept, value, "zeroinitializer"), "%out", out)

    @staticmethod
    def _splat(function: Function, value: str) -> str:
        single = function.define(f"insertelement {function.integers} poison, i32 {value}, i64 0")
        zeros = f"<{function.vectors.lanes} x i32> zeroinitializer"
        return function.define(f"shufflevector {function.integers} {single}, {function.integers} poison, {zeros}")

    @staticmethod
    def _hash(function: Function, bits: str) -> str:
        kind = function.integers
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - (1 << 32))):
            moved = function.define(f"lshr {kind} {bits}, {function.integer_constant(shift)}")
            bits = function.define(f"xor {kind} {bits}, {moved}")
            bits = function.define(f"mul {kind} {bits}, {function.integer_constant(factor)}")
        moved = function.define(f"lshr {kind} {bits}, {function.integer_constant(16)}")
        return function.define(f"xor {kind} {bits}, {moved}")

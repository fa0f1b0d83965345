"""What is collected over the pixels of a map, one number a channel; and softmax, which collects over channels."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from depthwise.compiler import functions
from depthwise.compiler.kernels import mathematics
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, counted, digest, each_pixel, each_share, even_shares
from depthwise.dataclass import dataclass

Axes = Sequence[tuple[int, int, int]]
"""(count, pitch in a, pitch in out) of each axis."""

__all__ = ["BroadcastReduction", "ChannelReduction", "DivideByCounts", "RowNormalisation", "SoftmaxRows", "first_lanes"]


VECTORS_AT_ONCE = 6
"""Of channels: a sum waits for its last addition, and neighbours in memory are read together."""


@dataclass(frozen=True)
class ChannelReduction(Kernel):
    """out[c] = the mean or maximum over the map, or out[c] += the sum over it ("add").

    Rows are added up one by one, then their sums: the depth of the sum is rows + columns, not their product.
    """

    kind: str
    operands: tuple[MapView, ...]

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        view = self.operands[0]
        return f"channel_{self.kind}_of_{view.rows}x{view.columns}x{view.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        (view,) = self.operands
        lanes = function.vectors.lanes
        padded = function.vectors.round_up(view.channels)
        maximum = self.kind == "maximum"
        start = function.constant(float("-inf")) if maximum else "zeroinitializer"

        def join(value: str, before: str) -> str:
            if not maximum:
                return function.fadd(value, before)
            return mathematics.largest_of(function, [before, value])

        for vectors in even_shares(padded // lanes, VECTORS_AT_ONCE):
            with each_share(function, vectors) as first:
                channel, size = function.multiply(first, lanes), vectors.size
                source = function.offset("%a", channel)
                with function.loop(0, view.rows, carried=[start] * size) as rows:
                    line = function.offset(source, function.multiply(rows.index, view.row_pitch))
                    with function.loop(0, view.columns, carried=[start] * size) as columns:
                        pixel = function.offset(line, function.multiply(columns.index, view.pixel_pitch))
                        columns.next = [
                            join(function.load(pixel, i * lanes), before) for i, before in enumerate(columns.values)
                        ]
                    rows.next = [join(value, before) for value, before in zip(columns.results, rows.values)]
                out = function.offset("%out", channel)
                for i, result in enumerate(rows.results):
                    if self.kind == "mean":
                        result = function.fdiv(result, function.constant(float(view.rows * view.columns)))
                    elif self.kind == "add":
                        result = function.fadd(function.load(out, i * lanes), result)
                    function.store(result, out, i * lanes)


@dataclass(frozen=True)
class DivideByCounts(Kernel):
    """out[y, x, c] = activation(out[y, x, c] / (row_counts[y] · column_counts[x])): means that leave padding out."""

    view: MapView
    row_counts: tuple[int, ...]
    column_counts: tuple[int, ...]
    activation: str = "linear"

    arguments = ("out",)

    @property
    def name(self) -> str:
        return f"divide_by_counts_on_{self.view.rows}x{self.view.columns}x{self.view.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        counts = function.module.table([row * column for row in self.row_counts for column in self.column_counts])
        places = MapView(self.view.rows, self.view.columns, self.view.channels, self.view.columns, 1)
        padded = function.vectors.round_up(self.view.channels)
        with each_pixel(function, [self.view, places]) as (out, place):
            count = function.define(f"sitofp i64 {function.load_integer(counts, place)} to float")
            divisor = function.splat(count)
            with counted(function, padded, function.vectors.lanes) as channel:
                address = function.offset("%out", function.add(out, channel))
                value = function.fdiv(function.load(address), divisor)
                function.store(functions.evaluate_function(function, self.activation, value), address)


def first_lanes(function: Function, count: int) -> str:
    """A constant mask: the first `count` lanes."""
    return "<" + ", ".join(f"i1 {'true' if i < count else 'false'}" for i in range(function.vectors.lanes)) + ">"


@dataclass(frozen=True)
class SoftmaxRows(Kernel):
    """out[p, c] = e^(a[p, c] − m) / Σ_c e^(a[p, c] − m), m the pixel's maximum; with `logarithm` the logarithm of it,
    (a[p, c] − m) − log(Σ_c e^(a[p, c] − m))."""

    source: MapView
    target: MapView
    logarithm: bool = False

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        what = "log_softmax" if self.logarithm else "softmax"
        return f"{what}_on_{self.source.rows}x{self.source.columns}x{self.source.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        with each_pixel(function, [self.source, self.target]) as (a, out):
            source, target = function.offset("%a", a), function.offset("%out", out)
            softmax_pixel(function, source, target, self.source.channels, self.logarithm)


@dataclass(frozen=True)
class RowNormalisation(Kernel):
    """Each pixel's channels with mean 0 and variance 1: out = x̂ = (a − mean) / √(variance + epsilon), or, where `gradient` is
    the view of dy, the gradient of the input: (dy − mean(dy) − x̂ · mean(dy · x̂)) / √(variance + epsilon)."""

    source: MapView
    gradient: MapView | None
    target: MapView
    epsilon: float

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("a", "out") if self.gradient is None else ("a", "b", "out")

    @property
    def name(self) -> str:
        what = "row_normalisation" if self.gradient is None else "row_normalisation_gradient"
        return f"{what}_on_{self.source.rows}x{self.source.columns}x{self.source.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        views = [view for view in (self.source, self.gradient, self.target) if view is not None]
        with each_pixel(function, views) as places:
            a, *b, out = (function.offset(f"%{name}", place) for name, place in zip(self.arguments, places))
            self._pixel(function, a, b, out)

    def _pixel(self, function: Function, a: str, b: list[str], out: str) -> None:
        count = function.constant(float(self.source.channels))
        (total,) = self._sums(function, 1, lambda channel: [function.load(a, channel)])
        mean = function.fdiv(total, count)

        def squared(channel: Operand) -> list[str]:
            difference = function.fsub(function.load(a, channel), mean)
            return [function.fmul(difference, difference)]

        (squares,) = self._sums(function, 1, squared)
        variance = function.fadd(function.fdiv(squares, count), function.constant(self.epsilon))
        inverse = function.fdiv(function.constant(1.0), function.intrinsic("sqrt", variance))

        def normalised(channel: Operand) -> str:
            return function.fmul(function.fsub(function.load(a, channel), mean), inverse)

        means: list[str] = []
        if b:

            def terms(channel: Operand) -> list[str]:
                slope = function.load(b[0], channel)
                return [slope, function.fmul(slope, normalised(channel))]

            means = [function.fdiv(item, count) for item in self._sums(function, 2, terms)]
        padded, lanes = function.vectors.round_up(self.source.channels), function.vectors.lanes
        with counted(function, padded, lanes) as channel:
            value = normalised(channel)
            if b:
                centred = function.fsub(function.load(b[0], channel), means[0])
                value = function.fmul(function.fsub(centred, function.fmul(value, means[1])), inverse)
            function.store(value, out, channel)

    def _sums(self, function: Function, count: int, terms: Callable[[Operand], list[str]]) -> list[str]:
        """Sums over the channels, each in every lane: whole vectors first, then the numbers of a vector in their order."""
        lanes, channels = function.vectors.lanes, self.source.channels
        whole, rest = channels // lanes * lanes, channels % lanes
        totals = ["zeroinitializer"] * count
        if whole:
            with function.loop(0, whole, lanes, carried=totals) as loop:
                loop.next = [function.fadd(total, term) for total, term in zip(loop.values, terms(loop.index))]
            totals = loop.results
        if rest:
            kept = [function.select(first_lanes(function, rest), term, "zeroinitializer") for term in terms(whole)]
            totals = [function.fadd(total, term) for total, term in zip(totals, kept)]
        symbol = f"@llvm.vector.reduce.fadd.v{lanes}f32"
        function.module.declare(f"declare float {symbol}(float, {function.vector})")
        zero = function.number(0.0)
        return [
            function.splat(function.define(f"call float {symbol}(float {zero}, {function.vector} {total})"))
            for total in totals
        ]


def softmax_pixel(function: Function, source: str, target: str, channels: int, logarithm: bool = False) -> None:
    """Softmax of one pixel, or its logarithm."""
    lanes, vector = function.vectors.lanes, function.vector
    whole, rest = channels // lanes * lanes, channels % lanes
    lowest = function.constant(float("-inf"))

    def tail(fill: str) -> str:
        return function.select(first_lanes(function, rest), function.load(source, whole), fill)

    largest = lowest
    if whole:
        with function.loop(0, whole, lanes, carried=[lowest]) as loop:
            loop.next = [function.largest(function.load(source, loop.index), loop.values[0])]
        (largest,) = loop.results
    if rest:
        largest = function.largest(tail(lowest), largest)
    maximum = _horizontal(function, "fmax", largest)
    shift = function.splat(maximum)
    total = "zeroinitializer"
    if whole:
        with function.loop(0, whole, lanes, carried=[total]) as loop:
            value = mathematics.exp(function, function.fsub(function.load(source, loop.index), shift))
            if not logarithm:
                function.store(value, target, loop.index)
            loop.next = [function.fadd(loop.values[0], value)]
        (total,) = loop.results
    if rest:
        value = mathematics.exp(function, function.fsub(tail(lowest), shift))
        if not logarithm:
            function.store(value, target, whole)
        total = function.fadd(total, value)
    symbol = f"@llvm.vector.reduce.fadd.v{lanes}f32"
    function.module.declare(f"declare float {symbol}(float, {vector})")
    single = function.define(f"call float {symbol}(float {function.number(0.0)}, {vector} {total})")
    divisor = function.splat(single)
    if logarithm:
        divisor = mathematics.log(function, divisor)
    with counted(function, function.vectors.round_up(channels), lanes) as channel:
        if logarithm:
            value = function.fsub(function.fsub(function.load(source, channel), shift), divisor)
        else:
            value = function.fdiv(function.load(target, channel), divisor)
        function.store(value, target, channel)


def _horizontal(function: Function, name: str, value: str) -> str:
    symbol = f"@llvm.vector.reduce.{name}.v{function.vectors.lanes}f32"
    function.module.declare(f"declare float {symbol}({function.vector})")
    return function.define(f"call float {symbol}({function.vector} {value})")


_NEUTRAL = {"add": 0.0, "max": float("-inf"), "min": float("inf"), "multiply": 1.0}
"""What each way to join numbers starts from."""


@dataclass(frozen=True)
class BroadcastReduction(Kernel):
    """out += the sum of a map over the axes along which `target`, a view of its size, has pitches of 0; or, as `kind` says,
    the largest, the smallest or the product of both."""

    source: MapView
    target: MapView
    kind: str = "add"

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        view = self.source
        return f"broadcast_reduction_of_{view.rows}x{view.columns}x{view.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        source, target = self.source, self.target
        axes = (
            (source.rows, source.row_pitch, target.row_pitch),
            (source.columns, source.pixel_pitch, target.pixel_pitch),
        )
        kept = [axis for axis in axes if axis[2] or axis[0] == 1]
        summed = [axis for axis in axes if not axis[2] and axis[0] > 1]
        padded, lanes = function.vectors.round_up(source.channels), function.vectors.lanes
        with _nest(function, kept) as (a, out):
            a, out = function.offset("%a", a), function.offset("%out", out)
            if target.channel_pitch:
                with counted(function, padded, lanes) as channel:
                    total = self._sum(function, summed, function.offset(a, channel))
                    function.store(self._join(function, function.load(out, channel), total), out, channel)
            else:
                self._to_one_number(function, summed, a, out)

    def _join(self, function: Function, a: str, b: str) -> str:
        if self.kind == "max":
            return mathematics.largest_of(function, [a, b])
        if self.kind == "min":
            negated = [function.fneg(item) for item in (a, b)]
            return function.fneg(mathematics.largest_of(function, negated))
        return function.fadd(a, b) if self.kind == "add" else function.fmul(a, b)

    def _start(self, function: Function) -> str:
        return "zeroinitializer" if self.kind == "add" else function.constant(_NEUTRAL[self.kind])

    def _to_one_number(self, function: Function, summed: Axes, a: str, out: str) -> None:
        lanes, channels = function.vectors.lanes, self.source.channels
        whole, rest = channels // lanes * lanes, channels % lanes
        start = total = self._start(function)
        if whole:
            with function.loop(0, whole, lanes, carried=[total]) as loop:
                value = self._sum(function, summed, function.offset(a, loop.index))
                loop.next = [self._join(function, loop.values[0], value)]
            (total,) = loop.results
        if rest:
            value = self._sum(function, summed, function.offset(a, whole))
            total = self._join(function, total, function.select(first_lanes(function, rest), value, start))
        before = function.load_number(out)
        if self.kind in ("add", "multiply"):
            name = {"add": "fadd", "multiply": "fmul"}[self.kind]
            symbol = f"@llvm.vector.reduce.{name}.v{lanes}f32"
            function.module.declare(f"declare float {symbol}(float, {function.vector})")
            result = function.define(f"call float {symbol}(float {before}, {function.vector} {total})")
        else:
            joined = self._join(function, total, function.splat(before))
            missing = function.compare("uno", joined, joined)
            result = _horizontal(function, f"f{self.kind}", joined)
            found = function.define(f"call i1 {_any(function)}({function.mask} {missing})")
            result = function.define(f"select i1 {found}, float {function.number(float('nan'))}, float {result}")
        function.store_number(result, out)

    def _sum(self, function: Function, axes: Axes, start: str) -> str:
        """The vectors at `start` joined over the axes, the inner one first."""
        if not axes:
            return function.load(start)
        count, pitch, _ = axes[0]
        with function.loop(0, count, carried=[self._start(function)]) as loop:
            inner = self._sum(function, axes[1:], function.offset(start, function.multiply(loop.index, pitch)))
            loop.next = [self._join(function, loop.values[0], inner)]
        return loop.results[0]


def _any(function: Function) -> str:
    """The name of the function that says whether any lane of a mask is set."""
    symbol = f"@llvm.vector.reduce.or.v{function.vectors.lanes}i1"
    function.module.declare(f"declare i1 {symbol}({function.mask})")
    return symbol


@contextmanager
def _nest(function: Function, axes: Axes) -> Iterator[tuple[Operand, Operand]]:
    """Loops over axes of (count, pitch in a, pitch in out): the offsets in both."""
    if not axes:
        yield 0, 0
        return
    count, a_pitch, out_pitch = axes[0]
    with counted(function, count) as index, _nest(function, axes[1:]) as (a, out):
        yield (
            function.add(function.multiply(index, a_pitch), a),
            function.add(function.multiply(index, out_pitch), out),
        )

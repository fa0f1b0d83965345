"""The end of a training step: chunk sums become gradients, gradients are clipped, weights move."""

from collections.abc import Callable
from math import prod

from depthwise.compiler.functions import evaluate_all
from depthwise.compiler.ir.expression import Expression
from depthwise.compiler.ir.update import Array, Number, Phase, Scalar
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import counted, digest
from depthwise.constraints import EPSILON
from depthwise.dataclass import dataclass

__all__ = [
    "ClipFactor",
    "LimitNorms",
    "OptimizerUpdate",
    "ReduceChunks",
    "SumOfSquares",
    "each_exact",
    "load_part",
    "store_part",
    "sum_of_lanes",
]

SCALARS = ("seed", "learning_rate", "step_size", "decay")
"""What the "scalars" arena holds, in order: the dropout seed (an i32), the learning rate, Adam's bias-corrected step size,
learning rate · weight decay."""


def each_exact(function: Function, count: int, body: Callable[[Operand, int], None]) -> None:
    """body(offset, lanes in use) over `count` numbers, of which none past the end may be touched."""
    lanes = function.vectors.lanes
    whole, rest = count // lanes * lanes, count % lanes
    if whole:
        with counted(function, whole, lanes) as position:
            body(position, lanes)
    if rest:
        body(whole, rest)


def load_part(function: Function, base: str, offset: Operand, used: int) -> str:
    """The first `used` lanes of a vector."""
    if used == function.vectors.lanes:
        return function.load(base, offset)
    return function.load_masked(function.offset(base, offset), used)


def store_part(function: Function, value: str, base: str, offset: Operand, used: int) -> None:
    """Stores the first `used` lanes of a vector."""
    if used == function.vectors.lanes:
        function.store(value, base, offset)
    else:
        function.store_masked(value, function.offset(base, offset), used)


@dataclass(frozen=True)
class ReduceChunks(Kernel):
    """out[r, c] = Σ over the chunks, in their order, of a[chunk, r, c]; added to what is there where it `adds`."""

    rows: int
    columns: int
    a_row: int
    chunk_pitch: int
    adds: bool = False

    arguments = ("a", "chunks", "out")

    @property
    def name(self) -> str:
        return f"reduce_chunks_of_{self.rows}x{self.columns}_{digest(self)}"

    def write(self, function: Function) -> None:
        rows, columns = self.rows, self.columns
        if self.a_row == columns:
            rows, columns = 1, rows * columns
        with counted(function, rows) as row:
            source = function.offset("%a", function.multiply(row, self.a_row))
            target = function.offset("%out", function.multiply(row, columns))

            def body(position: Operand, used: int) -> None:
                # Sums lie in whole vectors, so reading past the last column is reading room of their own.
                first = function.load(source, position)
                with function.loop(1, "%chunks", carried=[first]) as loop:
                    chunk = function.multiply(loop.index, self.chunk_pitch)
                    loop.next = [function.fadd(loop.values[0], function.load(source, function.add(position, chunk)))]
                (total,) = loop.results
                if self.adds:
                    total = function.fadd(load_part(function, target, position, used), total)
                store_part(function, total, target, position, used)

            each_exact(function, columns, body)


@dataclass(frozen=True)
class SumOfSquares(Kernel):
    """out = Σ a², eight sums side by side, then their sum."""

    count: int

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        return f"sum_of_squares_of_{self.count}"

    def write(self, function: Function) -> None:
        lanes = function.vectors.lanes
        whole, rest = self.count // lanes * lanes, self.count % lanes
        total = "zeroinitializer"
        if whole:
            with function.loop(0, whole, lanes, carried=[total]) as loop:
                value = function.load("%a", loop.index)
                loop.next = [function.fma(value, value, loop.values[0])]
            (total,) = loop.results
        if rest:
            value = function.load_masked(function.offset("%a", whole), rest)
            total = function.fma(value, value, total)
        function.store_number(sum_of_lanes(function, total), "%out")


@dataclass(frozen=True)
class ClipFactor(Kernel):
    """out = limit / max(norm, limit), norm² the sum of `count` numbers of `a`, 16 numbers apart; `limit` is one number."""

    count: int

    arguments = ("a", "limit", "out")

    @property
    def name(self) -> str:
        return f"clip_factor_of_{self.count}"

    def write(self, function: Function) -> None:
        total = function.load_number("%a")
        for i in range(1, self.count):
            total = function.define(f"fadd float {total}, {function.load_number('%a', i * 16)}")
        function.module.declare("declare float @llvm.sqrt.f32(float)")
        norm = function.define(f"call float @llvm.sqrt.f32(float {total})")
        limit = function.load_number("%limit")
        above = function.define(f"fcmp ogt float {norm}, {limit}")
        divisor = function.define(f"select i1 {above}, float {norm}, float {limit}")
        function.store_number(function.define(f"fdiv float {limit}, {divisor}"), "%out")


@dataclass(frozen=True)
class OptimizerUpdate(Kernel):
    """One phase of an optimizer's step for `count` weights.

    Attributes:
        phase: what it computes.
        scalars: the hyperparameters in the order in which they lie in memory.
    """

    phase: Phase
    count: int
    scalars: tuple[str, ...]

    @property
    def arguments(self) -> tuple[str, ...]:
        return (*self.phase.arrays, "scalars", *self.phase.numbers)

    @property
    def name(self) -> str:
        return f"update_of_{self.count}_{digest(self)}"

    def write(self, function: Function) -> None:
        phase = self.phase
        values: dict[Expression, str] = {
            Scalar(name): function.broadcast("%scalars", self.scalars.index(name)) for name in phase.scalars
        }
        values |= {Number(name): function.broadcast(f"%{name}") for name in phase.numbers}

        def body(position: Operand, used: int) -> None:
            arrays = {Array(name): load_part(function, f"%{name}", position, used) for name in phase.reads}
            results = evaluate_all(function, [expression for _, expression in phase.results], values | arrays)
            for (name, _), result in zip(phase.results, results):
                store_part(function, result, f"%{name}", position, used)

        each_exact(function, self.count, body)


@dataclass(frozen=True)
class LimitNorms(Kernel):
    """w ← w · desired(norm) / (norm + epsilon), with norms of a weight over some of its axes; see `constraints.NormConstraint`.

    Attributes:
        shape: of the weight. axes: over which the norms are taken, in ascending order.
        limits: (least, most, rate): desired = rate · the norm within its limits + (1 − rate) · the norm.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    limits: tuple[float, float, float]

    arguments = ("weight",)

    @property
    def name(self) -> str:
        return f"limit_norms_of_{'x'.join(map(str, self.shape))}_{digest(self)}"

    def write(self, function: Function) -> None:
        strides = [prod(self.shape[axis + 1 :]) for axis in range(len(self.shape))]
        last = len(self.shape) - 1
        sizes = [(self.shape[axis], strides[axis], axis in self.axes) for axis in range(last)]
        kept = [(size, stride) for size, stride, summed in sizes if not summed]
        summed = [(size, stride) for size, stride, summed in sizes if summed]
        if last in self.axes:
            self._each(function, kept, 0, lambda start: self._rows(function, summed, start))
        else:
            self._each(function, kept, 0, lambda start: self._columns(function, summed, start))

    def _columns(self, function: Function, summed: list[tuple[int, int]], start: Operand) -> None:
        """The last axis is kept: norms of as many columns as a vector has lanes, side by side."""

        def body(position: Operand, used: int) -> None:
            first = function.add(start, position)

            def add(offset: Operand, total: str) -> str:
                value = load_part(function, "%weight", offset, used)
                return function.fma(value, value, total)

            total = _sum_over(function, summed, first, "zeroinitializer", add)
            factor = self._factor(function, total)

            def scale(offset: Operand) -> None:
                value = load_part(function, "%weight", offset, used)
                store_part(function, function.fmul(value, factor), "%weight", offset, used)

            self._each(function, summed, first, scale)

        each_exact(function, self.shape[-1], body)

    def _rows(self, function: Function, summed: list[tuple[int, int]], start: Operand) -> None:
        """The last axis is summed too: one norm at a time, the sums of the lanes added up at the end."""
        lanes, count = function.vectors.lanes, self.shape[-1]
        whole, rest = count // lanes * lanes, count % lanes

        def add(offset: Operand, total: str) -> str:
            if whole:
                with function.loop(0, whole, lanes, carried=[total]) as loop:
                    value = function.load("%weight", function.add(offset, loop.index))
                    loop.next = [function.fma(value, value, loop.values[0])]
                (total,) = loop.results
            if rest:
                value = load_part(function, "%weight", function.add(offset, whole), rest)
                total = function.fma(value, value, total)
            return total

        total = _sum_over(function, summed, start, "zeroinitializer", add)
        factor = self._factor(function, function.splat(sum_of_lanes(function, total)))

        def scale(offset: Operand) -> None:
            def body(position: Operand, used: int) -> None:
                place = function.add(offset, position)
                value = load_part(function, "%weight", place, used)
                store_part(function, function.fmul(value, factor), "%weight", place, used)

            each_exact(function, count, body)

        self._each(function, summed, start, scale)

    def _factor(self, function: Function, squares: str) -> str:
        least, most, rate = self.limits
        norm = function.intrinsic("sqrt", squares)
        desired = function.largest(function.constant(least), function.smallest(function.constant(most), norm))
        if rate != 1.0:
            rest = function.fmul(function.constant(1.0 - rate), norm)
            desired = function.fadd(function.fmul(function.constant(rate), desired), rest)
        return function.fdiv(desired, function.fadd(norm, function.constant(EPSILON)))

    def _each(
        self, function: Function, axes: list[tuple[int, int]], start: Operand, body: Callable[[Operand], None]
    ) -> None:
        """body(offset) for every place along the axes, given as (size, stride)."""
        if not axes:
            body(start)
            return
        (size, stride), *inner = axes
        with counted(function, size) as index:
            self._each(function, inner, function.add(start, function.multiply(index, stride)), body)


def _sum_over(
    function: Function,
    axes: list[tuple[int, int]],
    start: Operand,
    total: str,
    add: Callable[[Operand, str], str],
) -> str:
    """The vector `total` after add(offset, total) for every place along the axes."""
    if not axes:
        return add(start, total)
    (size, stride), *inner = axes
    with function.loop(0, size, 1, carried=[total]) as loop:
        place = function.add(start, function.multiply(loop.index, stride))
        loop.next = [_sum_over(function, inner, place, loop.values[0], add)]
    return loop.results[0]


def sum_of_lanes(function: Function, total: str) -> str:
    """The sum of a vector's lanes, as a number."""
    symbol = f"@llvm.vector.reduce.fadd.v{function.vectors.lanes}f32"
    function.module.declare(f"declare float {symbol}(float, {function.vector})")
    return function.define(f"call float {symbol}(float {function.number(0.0)}, {function.vector} {total})")

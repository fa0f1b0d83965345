"""Gradients that are neither convolutions nor value by value: global pooling, softmax, repeated channels."""

from collections.abc import Callable

from depthwise.compiler.kernels import mathematics
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, counted, digest, each_pixel
from depthwise.compiler.kernels.reductions import first_lanes
from depthwise.dataclass import dataclass

__all__ = ["GlobalPoolingGradient", "RepeatedSum", "SoftmaxGradient"]


@dataclass(frozen=True)
class GlobalPoolingGradient(Kernel):
    """out[y, x, c] = b[c] / pixels for "mean"; for "max" b[c] at the first pixel that holds the maximum of `a`, else 0."""

    kind: str
    source: MapView
    target: MapView

    arguments = ("a", "b", "out")

    @property
    def name(self) -> str:
        return f"global_{self.kind}_gradient_on_{self.target.rows}x{self.target.columns}x{self.target.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        vectors = function.vectors
        with counted(function, vectors.round_up(self.target.channels), vectors.lanes) as channel:
            slope = function.load("%b", channel)
            a, out = function.offset("%a", channel), function.offset("%out", channel)
            if self.kind == "mean":
                pixels = function.constant(float(self.target.rows * self.target.columns))
                share = function.fdiv(slope, pixels)
                with each_pixel(function, [self.target]) as (place,):
                    function.store(share, out, place)
            else:
                self._to_first_maximum(function, a, out, slope)

    def _to_first_maximum(self, function: Function, a: str, out: str, slope: str) -> None:
        def maximum(source: Operand, target: Operand, values: list[str]) -> list[str]:
            return [function.largest(function.load(a, source), values[0])]

        (largest,) = self._each(function, [function.constant(float("-inf"))], maximum)

        def give(source: Operand, target: Operand, values: list[str]) -> list[str]:
            """`values` is what is still to be given: the slope, until the first pixel that equals the maximum."""
            equal = function.compare("oeq", function.load(a, source), largest)
            function.store(function.select(equal, values[0], "zeroinitializer"), out, target)
            return [function.select(equal, "zeroinitializer", values[0])]

        self._each(function, [slope], give)

    def _each(
        self, function: Function, first: list[str], body: Callable[[Operand, Operand, list[str]], list[str]]
    ) -> list[str]:
        """body(offset in source, offset in target, carried values) over all pixels, row by row."""
        with function.loop(0, self.source.rows, carried=first) as rows:
            with function.loop(0, self.source.columns, carried=rows.values) as columns:
                places = [
                    function.add(
                        function.multiply(rows.index, view.row_pitch),
                        function.multiply(columns.index, view.pixel_pitch),
                    )
                    for view in (self.source, self.target)
                ]
                columns.next = body(places[0], places[1], columns.values)
            rows.next = columns.results
        return rows.results


@dataclass(frozen=True)
class SoftmaxGradient(Kernel):
    """out[c] = a[c] · (b[c] − Σ_c a[c] · b[c]), pixel by pixel: `a` softmax's output, `b` its gradient; of the logarithm of
    softmax out[c] = b[c] − e^a[c] · Σ_c b[c]."""

    output: MapView
    gradient: MapView
    target: MapView
    logarithm: bool = False

    arguments = ("a", "b", "out")

    @property
    def name(self) -> str:
        what = "log_softmax_gradient" if self.logarithm else "softmax_gradient"
        return f"{what}_on_{self.target.rows}x{self.target.columns}x{self.target.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        with each_pixel(function, [self.output, self.gradient, self.target]) as places:
            lanes, channels = function.vectors.lanes, self.target.channels
            a, b, out = (function.offset(f"%{name}", place) for name, place in zip(self.arguments, places))
            whole, rest = channels // lanes * lanes, channels % lanes
            total = "zeroinitializer"
            if whole:
                with function.loop(0, whole, lanes, carried=[total]) as loop:
                    slope = function.load(b, loop.index)
                    if self.logarithm:
                        loop.next = [function.fadd(slope, loop.values[0])]
                    else:
                        loop.next = [function.fma(function.load(a, loop.index), slope, loop.values[0])]
                (total,) = loop.results
            if rest:
                term = function.load(b, whole)
                if not self.logarithm:
                    term = function.fmul(function.load(a, whole), term)
                kept = function.select(first_lanes(function, rest), term, "zeroinitializer")
                total = function.fadd(total, kept)
            symbol = f"@llvm.vector.reduce.fadd.v{lanes}f32"
            function.module.declare(f"declare float {symbol}(float, {function.vector})")
            zero = function.number(0.0)
            carried = function.splat(function.define(f"call float {symbol}(float {zero}, {function.vector} {total})"))
            with counted(function, function.vectors.round_up(channels), lanes) as channel:
                share, slope = function.load(a, channel), function.load(b, channel)
                if self.logarithm:
                    share = mathematics.exp(function, share)
                    value = function.fsub(slope, function.fmul(share, carried))
                else:
                    value = function.fmul(share, function.fsub(slope, carried))
                function.store(value, out, channel)


@dataclass(frozen=True)
class RepeatedSum(Kernel):
    """out[y, x, c] = Σ_q b[y, x, c · times + q]."""

    source: MapView
    target: MapView
    times: int

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        return f"repeated_sum_on_{self.target.rows}x{self.target.columns}x{self.target.channels}_{digest(self)}"

    def write(self, function: Function) -> None:
        with (
            each_pixel(function, [self.source, self.target]) as (source, target),
            counted(function, self.target.channels) as channel,
        ):
            first = function.offset("%a", function.add(source, function.multiply(channel, self.times)))
            total = function.load_number(first)
            for i in range(1, self.times):
                total = function.define(f"fadd float {total}, {function.load_number(first, i)}")
            function.store_number(total, "%out", function.add(target, channel))

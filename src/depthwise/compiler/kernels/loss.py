"""Losses of one sample, and their gradients. A map has one loss for each of its pixels, a vector is a map of one pixel;
value · weight summed over pixels and batch is what Keras reports.

Kinds: "categorical" (probabilities, normalised and clipped as Keras does), "categorical_logits", "categorical_fused"
(the gradient before softmax: p · Σt − t), "binary", "binary_logits", "binary_fused" (before sigmoid: p − t), "squared",
"absolute". The target is one number an output, or with `sparse` one class number a pixel.
"""

from collections.abc import Callable
from dataclasses import dataclass

from depthwise.compiler.kernels import mathematics
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, counted, digest, each_pixel
from depthwise.compiler.kernels.reductions import first_lanes

__all__ = ["LossKernel"]

EPSILON = 1e-7
"""Keras clips probabilities to [ε, 1 − ε]."""

Term = Callable[[str, str], str]


@dataclass(frozen=True)
class LossKernel(Kernel):
    """For each pixel: `what` is "value": out = the loss; or "gradient": out[c] = weight · ∂loss/∂a[c].

    `views` are those of the predictions and of the gradient, which has room for whole vectors in each pixel. Targets, weights
    and losses follow each other without gaps, as NumPy has them.
    """

    what: str
    kind: str
    views: tuple[MapView, ...]
    smoothing: float
    sparse: bool

    @property
    def units(self) -> int:
        return self.views[0].channels

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("a", "target", "out") if self.what == "value" else ("a", "target", "weight", "out")

    @property
    def name(self) -> str:
        target = "class" if self.sparse else "values"
        pixels = self.views[0].rows * self.views[0].columns
        return f"loss_{self.what}_{self.kind}_of_{pixels}x{self.units}_by_{target}_{digest(self)}"

    def write(self, function: Function) -> None:
        _Writer(self, function).write()


class _Writer:
    def __init__(self, kernel: LossKernel, function: Function) -> None:
        self.kernel = kernel
        self.function = function
        self.lanes = function.vectors.lanes
        # The pixel at work: addresses, and the class number in every lane.
        self.a, self.target_at, self.weight, self.out, self.label = "%a", "%target", "%weight", "%out", ""

    def write(self) -> None:
        function, kernel = self.function, self.kernel
        rows, columns = kernel.views[0].rows, kernel.views[0].columns
        size = 1 if kernel.sparse else kernel.units
        targets = MapView(rows, columns, size, columns * size, size)
        numbers = MapView(rows, columns, 1, columns, 1)
        with each_pixel(function, (kernel.views[0], kernel.views[-1], targets, numbers)) as (
            a,
            gradient,
            target,
            number,
        ):
            self.a = function.offset("%a", a)
            self.target_at = function.offset("%target", target)
            self.label = self._label() if kernel.sparse else ""
            if kernel.what == "value":
                function.store_number(self._value(), "%out", number)
            else:
                self.weight = function.offset("%weight", number)
                self.out = function.offset("%out", gradient)
                self._gradient()

    def _label(self) -> str:
        function = self.function
        label = function.define(f"load i32, ptr {self.target_at}, align 4")
        single = function.define(f"insertelement {function.integers} poison, i32 {label}, i64 0")
        zeros = f"<{self.lanes} x i32> zeroinitializer"
        return function.define(f"shufflevector {function.integers} {single}, {function.integers} poison, {zeros}")

    # -- loops over the outputs of a pixel ---------------------------------------------------------------------------

    def last(self, first: int, count: int) -> str:
        """The predictions after the last whole vector; where pixels have room for whole vectors, any numbers after them."""
        function, view = self.function, self.kernel.views[0]
        if view.pixel_pitch < first + self.lanes:
            return function.load_masked(function.offset(self.a, first), count)
        return function.load(self.a, first)

    def target(self, channel: Operand, count: int) -> str:
        """One vector of the target, smoothed; lanes past `count` are 0."""
        function, kernel = self.function, self.kernel
        if kernel.sparse:
            steps = "<" + ", ".join(f"i32 {i}" for i in range(self.lanes)) + ">"
            start = str(channel) if isinstance(channel, int) else function.define(f"trunc i64 {channel} to i32")
            single = function.define(f"insertelement {function.integers} poison, i32 {start}, i64 0")
            zeros = f"<{self.lanes} x i32> zeroinitializer"
            base = function.define(f"shufflevector {function.integers} {single}, {function.integers} poison, {zeros}")
            index = function.define(f"add {function.integers} {base}, {steps}")
            equal = function.define(f"icmp eq {function.integers} {index}, {self.label}")
            value = function.select(equal, function.constant(1.0), "zeroinitializer")
        elif count < self.lanes:
            value = function.load_masked(function.offset(self.target_at, channel), count)
        else:
            value = function.load(self.target_at, channel)
        if kernel.smoothing:
            kept = function.constant(1.0 - kernel.smoothing)
            share = kernel.smoothing * (0.5 if kernel.kind.startswith("binary") else 1.0 / kernel.units)
            value = function.fma(value, kept, function.constant(share))
        return value

    def sum(self, term: Term) -> str:
        """Σ term(a, target) over the outputs, as a vector with the sum in every lane."""
        function, units = self.function, self.kernel.units
        whole, rest = units // self.lanes * self.lanes, units % self.lanes
        total = "zeroinitializer"
        if whole:
            with function.loop(0, whole, self.lanes, carried=[total]) as loop:
                value = term(function.load(self.a, loop.index), self.target(loop.index, self.lanes))
                loop.next = [function.fadd(loop.values[0], value)]
            (total,) = loop.results
        if rest:
            value = term(self.last(whole, rest), self.target(whole, rest))
            total = function.fadd(total, function.select(first_lanes(function, rest), value, "zeroinitializer"))
        symbol = f"@llvm.vector.reduce.fadd.v{self.lanes}f32"
        function.module.declare(f"declare float {symbol}(float, {function.vector})")
        start = function.number(0.0)
        return function.splat(function.define(f"call float {symbol}(float {start}, {function.vector} {total})"))

    def largest(self) -> str:
        """The largest of the outputs, in every lane."""
        function, units = self.function, self.kernel.units
        lowest = function.constant(float("-inf"))
        whole, rest = units // self.lanes * self.lanes, units % self.lanes
        largest = lowest
        if whole:
            with function.loop(0, whole, self.lanes, carried=[lowest]) as loop:
                loop.next = [function.largest(function.load(self.a, loop.index), loop.values[0])]
            (largest,) = loop.results
        if rest:
            tail = function.select(first_lanes(function, rest), self.last(whole, rest), lowest)
            largest = function.largest(tail, largest)
        symbol = f"@llvm.vector.reduce.fmax.v{self.lanes}f32"
        function.module.declare(f"declare float {symbol}({function.vector})")
        return function.splat(function.define(f"call float {symbol}({function.vector} {largest})"))

    def each(self, term: Term) -> None:
        """out[c] = weight · term(a[c], target[c])."""
        function, units = self.function, self.kernel.units
        weight = function.broadcast(self.weight)
        if units >= self.lanes:
            with counted(function, units // self.lanes * self.lanes, self.lanes) as channel:
                value = term(function.load(self.a, channel), self.target(channel, self.lanes))
                function.store(function.fmul(value, weight), self.out, channel)
        rest = units % self.lanes
        if rest:
            whole = units - rest
            value = term(self.last(whole, rest), self.target(whole, rest))
            function.store(function.fmul(value, weight), self.out, whole)

    # -- the losses --------------------------------------------------------------------------------------------------

    def _clipped(self, p: str) -> str:
        function = self.function
        above = function.largest(function.constant(EPSILON), p)
        return function.smallest(function.constant(1.0 - EPSILON), above)

    def _value(self) -> str:
        function, kernel = self.function, self.kernel
        share = function.constant(1.0 / kernel.units)

        def categorical(total: str) -> Term:
            def term(p: str, t: str) -> str:
                logarithm = mathematics.log(function, self._clipped(function.fdiv(p, total)))
                return function.fneg(function.fmul(t, logarithm))

            return term

        def binary(p: str, t: str) -> str:
            kept = self._clipped(p)
            one = function.constant(1.0)
            yes = function.fmul(t, mathematics.log(function, kept))
            no = function.fmul(function.fsub(one, t), mathematics.log(function, function.fsub(one, kept)))
            return function.fneg(function.fadd(yes, no))

        def binary_logits(z: str, t: str) -> str:
            return function.fsub(mathematics.softplus(function, z), function.fmul(z, t))

        def squared(p: str, t: str) -> str:
            difference = function.fsub(p, t)
            return function.fmul(difference, difference)

        def absolute(p: str, t: str) -> str:
            return function.intrinsic("fabs", function.fsub(p, t))

        if kernel.kind == "categorical":
            return self._first(self.sum(categorical(self.sum(lambda p, t: p))))
        if kernel.kind == "categorical_logits":
            return self._first(self._logits())
        terms: dict[str, Term] = {
            "binary": binary,
            "binary_logits": binary_logits,
            "squared": squared,
            "absolute": absolute,
        }
        return self._first(function.fmul(self.sum(terms[kernel.kind]), share))

    def _first(self, vector: str) -> str:
        return self.function.define(f"extractelement {self.function.vector} {vector}, i64 0")

    def _logits(self) -> str:
        """Σ t · (ln Σ e^(z − m) − (z − m)): no difference of large numbers."""
        function = self.function
        maximum = self.largest()
        total = self.sum(lambda z, t: mathematics.exp(function, function.fsub(z, maximum)))
        logarithm = mathematics.log(function, total)
        return self.sum(lambda z, t: function.fmul(t, function.fsub(logarithm, function.fsub(z, maximum))))

    def _gradient(self) -> None:
        function, kernel = self.function, self.kernel
        share = function.constant(1.0 / kernel.units)

        def inside(p: str, value: str) -> str:
            """The value, or 0 where the probability was clipped."""
            low = function.compare("oge", p, function.constant(EPSILON))
            high = function.compare("ole", p, function.constant(1.0 - EPSILON))
            return function.select(low, function.select(high, value, "zeroinitializer"), "zeroinitializer")

        if kernel.kind == "categorical_fused":
            weight = self.sum(lambda p, t: t)
            self.each(lambda p, t: function.fsub(function.fmul(p, weight), t))
        elif kernel.kind == "categorical":
            total = self.sum(lambda p, t: p)

            def slope(p: str, t: str) -> str:
                normalised = function.fdiv(p, total)
                return inside(normalised, function.fneg(function.fdiv(t, self._clipped(normalised))))

            carried = self.sum(lambda p, t: function.fmul(slope(p, t), function.fdiv(p, total)))
            self.each(lambda p, t: function.fdiv(function.fsub(slope(p, t), carried), total))
        elif kernel.kind == "binary":

            def binary(p: str, t: str) -> str:
                kept = self._clipped(p)
                spread = function.fmul(kept, function.fsub(function.constant(1.0), kept))
                return function.fmul(inside(p, function.fdiv(function.fsub(kept, t), spread)), share)

            self.each(binary)
        elif kernel.kind == "binary_logits":
            self.each(lambda z, t: function.fmul(function.fsub(mathematics.sigmoid(function, z), t), share))
        elif kernel.kind == "binary_fused":
            self.each(lambda p, t: function.fmul(function.fsub(p, t), share))
        elif kernel.kind == "squared":
            double = function.constant(2.0 / kernel.units)
            self.each(lambda p, t: function.fmul(function.fsub(p, t), double))
        else:

            def sign(p: str, t: str) -> str:
                difference = function.fsub(p, t)
                zero = function.compare("oeq", difference, "zeroinitializer")
                return function.select(zero, "zeroinitializer", function.intrinsic("copysign", share, difference))

            self.each(sign)

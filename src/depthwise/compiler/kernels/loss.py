"""Losses of one sample, and their gradients. A map has one loss for each of its pixels, a vector is a map of one pixel;
value · weight summed over pixels and batch is what Keras reports.

Kinds: "categorical" (probabilities, normalised and clipped as Keras does), "categorical_logits", "categorical_fused"
(the gradient before softmax: p · Σt − t), "binary", "binary_logits", "binary_fused" (before sigmoid: p − t), "squared",
"absolute". Any other kind is the name of a loss given by its formula. The target is one number an output, or with `sparse`
one class number a pixel.
"""

from collections.abc import Callable, Sequence

from depthwise.compiler import functions
from depthwise.compiler.ir.expression import Expression
from depthwise.compiler.ir.formula import Formula, Reduction
from depthwise.compiler.kernels import mathematics
from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import MapView, counted, digest, each_pixel
from depthwise.compiler.kernels.reductions import first_lanes
from depthwise.compiler.loss_gradient import gradient_of
from depthwise.dataclass import dataclass

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
    formula: Formula | None = None

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
        if kernel.formula is not None and kernel.formula.whole:
            self._whole_sample(kernel.formula, targets)
            return
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
        return self.across_sum(self.add_pixel(term, "zeroinitializer"))

    def add_pixel(self, term: Term, total: str) -> str:
        """The total, lane by lane, with the terms of the pixel added."""
        function, units = self.function, self.kernel.units
        whole, rest = units // self.lanes * self.lanes, units % self.lanes
        if whole:
            with function.loop(0, whole, self.lanes, carried=[total]) as loop:
                value = term(function.load(self.a, loop.index), self.target(loop.index, self.lanes))
                loop.next = [function.fadd(loop.values[0], value)]
            (total,) = loop.results
        if rest:
            value = term(self.last(whole, rest), self.target(whole, rest))
            total = function.fadd(total, function.select(first_lanes(function, rest), value, "zeroinitializer"))
        return total

    def across_sum(self, total: str) -> str:
        """The sum of a vector's lanes, in every lane."""
        function = self.function
        symbol = f"@llvm.vector.reduce.fadd.v{self.lanes}f32"
        function.module.declare(f"declare float {symbol}(float, {function.vector})")
        start = function.number(0.0)
        return function.splat(function.define(f"call float {symbol}(float {start}, {function.vector} {total})"))

    def largest(self) -> str:
        """The largest of the outputs, in every lane."""
        return self.across_largest(self.largest_of_pixel(lambda a, t: a, self.lowest))

    @property
    def lowest(self) -> str:
        return self.function.constant(float("-inf"))

    def largest_of_pixel(self, term: Term, largest: str) -> str:
        """The largest so far, lane by lane, or a term of the pixel."""
        function, units = self.function, self.kernel.units
        whole, rest = units // self.lanes * self.lanes, units % self.lanes
        if whole:
            with function.loop(0, whole, self.lanes, carried=[largest]) as loop:
                value = term(function.load(self.a, loop.index), self.target(loop.index, self.lanes))
                loop.next = [function.largest(value, loop.values[0])]
            (largest,) = loop.results
        if rest:
            value = term(self.last(whole, rest), self.target(whole, rest))
            tail = function.select(first_lanes(function, rest), value, self.lowest)
            largest = function.largest(tail, largest)
        return largest

    def across_largest(self, largest: str) -> str:
        """The largest of a vector's lanes, in every lane."""
        function = self.function
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

    # -- losses given by their formula -------------------------------------------------------------------------------

    def _term(self, expression: Expression, results: Sequence[str]) -> Term:
        """An expression of prediction, target and results as a function of the first two."""
        known = {2 + i: value for i, value in enumerate(results)}
        return lambda a, t: functions.evaluate(self.function, expression, {0: a, 1: t, **known})

    def _results(self, reductions: Sequence[Reduction], targets: MapView | None = None) -> list[str]:
        """What the reductions give: over the pixel at work, or where `targets` is given over all pixels."""
        results: list[str] = []
        for reduction in reductions:
            term = self._term(reduction.term, results)
            largest = reduction.kind == "max"
            step = self.largest_of_pixel if largest else self.add_pixel
            start = self.lowest if largest else "zeroinitializer"
            total = step(term, start) if targets is None else self._over_pixels(step, term, start, targets)
            results.append(self.across_largest(total) if largest else self.across_sum(total))
        return results

    def _over_pixels(self, step: Callable[[Term, str], str], term: Term, start: str, targets: MapView) -> str:
        function, view = self.function, self.kernel.views[0]
        with function.loop(0, view.rows, carried=[start]) as rows:
            with function.loop(0, view.columns, carried=[rows.values[0]]) as columns:
                for name, item in (("a", view), ("target_at", targets)):
                    line = function.multiply(rows.index, item.row_pitch)
                    place = function.add(line, function.multiply(columns.index, item.pixel_pitch))
                    setattr(self, name, function.offset("%a" if name == "a" else "%target", place))
                columns.next = [step(term, columns.values[0])]
            rows.next = columns.results
        return rows.results[0]

    def _whole_sample(self, formula: Formula, targets: MapView) -> None:
        function, kernel = self.function, self.kernel
        if kernel.what == "value":
            results = self._results(formula.reductions, targets)
            function.store_number(self._first(self._term(formula.value, results)("", "")), "%out")
            return
        reductions, slope = gradient_of(formula)
        results = self._results(reductions, targets)
        with each_pixel(function, (kernel.views[0], targets, kernel.views[-1])) as (a, target, gradient):
            self.a, self.target_at = function.offset("%a", a), function.offset("%target", target)
            self.out = function.offset("%out", gradient)
            self.each(self._term(slope, results))

    # -- the losses with kernels of their own ------------------------------------------------------------------------

    def _clipped(self, p: str) -> str:
        function = self.function
        above = function.largest(function.constant(EPSILON), p)
        return function.smallest(function.constant(1.0 - EPSILON), above)

    def _value(self) -> str:
        function, kernel = self.function, self.kernel
        if kernel.formula is not None:
            results = self._results(kernel.formula.reductions)
            return self._first(self._term(kernel.formula.value, results)("", ""))
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
        if kernel.formula is not None:
            reductions, each = gradient_of(kernel.formula)
            self.each(self._term(each, self._results(reductions)))
            return
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

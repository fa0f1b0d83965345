"""The end of a training step: chunk sums become gradients, gradients are clipped, weights move."""

from collections.abc import Callable
from dataclasses import dataclass

from depthwise.compiler.kernels.builder import Function, Kernel, Operand
from depthwise.compiler.kernels.maps import counted, digest

__all__ = ["SCALARS", "ClipFactor", "OptimizerUpdate", "ReduceChunks", "SumOfSquares"]

SCALARS = ("seed", "learning_rate", "step_size", "decay")
"""What the "scalars" arena holds, in order: the dropout seed (an i32), the learning rate, Adam's bias-corrected step size,
learning rate · weight decay."""


def _each_exact(function: Function, count: int, body: Callable[[Operand, int], None]) -> None:
    """body(offset, lanes in use) over `count` numbers, of which none past the end may be touched."""
    lanes = function.vectors.lanes
    whole, rest = count // lanes * lanes, count % lanes
    if whole:
        with counted(function, whole, lanes) as position:
            body(position, lanes)
    if rest:
        body(whole, rest)


def _load(function: Function, base: str, offset: Operand, used: int) -> str:
    if used == function.vectors.lanes:
        return function.load(base, offset)
    return function.load_masked(function.offset(base, offset), used)


def _store(function: Function, value: str, base: str, offset: Operand, used: int) -> None:
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
                    total = function.fadd(_load(function, target, position, used), total)
                _store(function, total, target, position, used)

            _each_exact(function, columns, body)


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
        symbol = f"@llvm.vector.reduce.fadd.v{lanes}f32"
        function.module.declare(f"declare float {symbol}(float, {function.vector})")
        zero = function.number(0.0)
        function.store_number(function.define(f"call float {symbol}(float {zero}, {function.vector} {total})"), "%out")


@dataclass(frozen=True)
class ClipFactor(Kernel):
    """out = limit / max(norm, limit), norm² the sum of `count` numbers of `a`, 16 numbers apart."""

    count: int
    limit: float

    arguments = ("a", "out")

    @property
    def name(self) -> str:
        return f"clip_factor_of_{self.count}_{digest(self)}"

    def write(self, function: Function) -> None:
        total = function.load_number("%a")
        for i in range(1, self.count):
            total = function.define(f"fadd float {total}, {function.load_number('%a', i * 16)}")
        function.module.declare("declare float @llvm.sqrt.f32(float)")
        norm = function.define(f"call float @llvm.sqrt.f32(float {total})")
        limit = function.number(self.limit)
        above = function.define(f"fcmp ogt float {norm}, {limit}")
        divisor = function.define(f"select i1 {above}, float {norm}, float {limit}")
        function.store_number(function.define(f"fdiv float {limit}, {divisor}"), "%out")


@dataclass(frozen=True)
class OptimizerUpdate(Kernel):
    """One step of an optimizer for `count` weights: Keras' formulas (see `depthwise.optimizers`).

    Attributes:
        rule: "SGD", "RMSprop", "Adam" or "AdamW".
        options: the rule's own numbers by name, sorted.
        clip_value: each gradient is kept within ±clip_value.
        decays: whether weights decay by scalars["decay"].
        clipped: whether the gradient is multiplied by `factor`.
        slots: how many numbers the optimizer remembers for each weight.
    """

    rule: str
    options: tuple[tuple[str, float], ...]
    count: int
    slots: int
    clip_value: float | None = None
    decays: bool = False
    clipped: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        slots = tuple(f"slot{i}" for i in range(self.slots))
        return ("weights", "gradient", "scalars", *(("factor",) if self.clipped else ()), *slots)

    @property
    def name(self) -> str:
        return f"{self.rule}_update_of_{self.count}_{digest(self)}"

    def write(self, function: Function) -> None:
        scalars = {name: function.broadcast("%scalars", i) for i, name in enumerate(SCALARS) if name != "seed"}
        factor = function.broadcast("%factor") if self.clipped else ""
        options = dict(self.options)

        def body(position: Operand, used: int) -> None:
            gradient = _load(function, "%gradient", position, used)
            weight = _load(function, "%weights", position, used)
            slots = [_load(function, f"%slot{i}", position, used) for i in range(self.slots)]
            if self.clipped:
                gradient = function.fmul(gradient, factor)
            if self.clip_value is not None:
                gradient = function.smallest(function.constant(self.clip_value), gradient)
                gradient = function.largest(function.constant(-self.clip_value), gradient)
            if self.decays:
                weight = function.fsub(weight, function.fmul(weight, scalars["decay"]))
            change, slots = _RULES[self.rule](function, options, scalars, gradient, slots)
            _store(function, function.fsub(weight, change), "%weights", position, used)
            for i, slot in enumerate(slots):
                _store(function, slot, f"%slot{i}", position, used)

        _each_exact(function, self.count, body)


Scalars = dict[str, str]
Update = tuple[str, list[str]]


def _sgd(function: Function, options: dict[str, float], scalars: Scalars, gradient: str, slots: list[str]) -> Update:
    step = function.fmul(gradient, scalars["learning_rate"])
    if not slots:
        return step, []
    momentum = function.constant(options["momentum"])
    velocity = function.fsub(function.fmul(slots[0], momentum), step)
    if options["nesterov"]:
        return function.fsub(step, function.fmul(velocity, momentum)), [velocity]
    return function.fneg(velocity), [velocity]


def _rmsprop(
    function: Function, options: dict[str, float], scalars: Scalars, gradient: str, slots: list[str]
) -> Update:
    rho, rest = function.constant(options["rho"]), function.constant(1.0 - options["rho"])
    velocity = function.fma(slots[0], rho, function.fmul(function.fmul(gradient, gradient), rest))
    kept, spread = [velocity], velocity
    following = 1
    momentum_slot = slots[following] if options["momentum"] else ""
    following += 1 if options["momentum"] else 0
    average: list[str] = []
    if options["centered"]:
        mean = function.fma(slots[following], rho, function.fmul(gradient, rest))
        average = [mean]
        spread = function.fsub(velocity, function.fmul(mean, mean))
    root = function.intrinsic("sqrt", function.fadd(spread, function.constant(options["epsilon"])))
    change = function.fdiv(function.fmul(gradient, scalars["learning_rate"]), root)
    if options["momentum"]:
        change = function.fma(momentum_slot, function.constant(options["momentum"]), change)
        kept.append(change)
    return change, [*kept, *average]


def _adam(function: Function, options: dict[str, float], scalars: Scalars, gradient: str, slots: list[str]) -> Update:
    first = function.constant(1.0 - options["beta_1"])
    second = function.constant(1.0 - options["beta_2"])
    momentum = function.fma(function.fsub(gradient, slots[0]), first, slots[0])
    square = function.fmul(gradient, gradient)
    velocity = function.fma(function.fsub(square, slots[1]), second, slots[1])
    kept, spread = [momentum, velocity], velocity
    if options["amsgrad"]:
        spread = function.largest(slots[2], velocity)
        kept.append(spread)
    divisor = function.fadd(function.intrinsic("sqrt", spread), function.constant(options["epsilon"]))
    return function.fdiv(function.fmul(momentum, scalars["step_size"]), divisor), kept


_RULES: dict[str, Callable[[Function, dict[str, float], Scalars, str, list[str]], Update]] = {
    "SGD": _sgd,
    "RMSprop": _rmsprop,
    "Adam": _adam,
    "AdamW": _adam,
}

"""What one core can do, measured by generated loops: multiply-adds, and reading from each cache."""

import ctypes
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from depthwise.compiler.kernels.builder import Function, Module, Vectors
from depthwise.compiler.machine import Machine
from depthwise.compiler.native.compile import Source
from depthwise.compiler.native.load import load_program
from depthwise.compiler.native.targets import Target, host_target
from depthwise.dataclass import dataclass
from depthwise.runtime.buffers import aligned_empty
from depthwise.runtime.executable import host_machine

__all__ = ["MachineRates", "Probes", "measure_fma_peak", "probes"]

CHAINS = {"avx512": 24, "avx2": 12, "sse": 12, "neon": 24}
"""Sums that run side by side: enough to hide the latency of an addition, few enough to stay in registers."""

STREAMS = 8
"""Vectors that a round of the reading loop loads, each added to a sum of its own."""

BURST_SECONDS = 100e-6
BURSTS = 5
BEYOND_SECOND_CACHE = 8
"""Times the second cache: what is read from behind it (the shared cache of most processors)."""


@dataclass(frozen=True)
class MachineRates:
    """What one core does when nothing holds it back.

    Attributes:
        flops: float32 operations a second, a multiply-add being two.
        lanes: float32 numbers in a vector.
        bandwidths: (bytes that fit, bytes a second) of the first cache, the second, and what lies behind.
    """

    flops: float
    lanes: int
    bandwidths: tuple[tuple[float, float], ...]

    @property
    def instructions(self) -> float:
        """Vector multiply-adds a second."""
        return self.flops / (2 * self.lanes)

    @property
    def loads(self) -> float:
        """Vector loads a second from the first cache."""
        return self.bandwidths[0][1] / (4 * self.lanes)

    def bandwidth(self, working_set: float) -> float:
        """Bytes a second for work that goes over `working_set` bytes again and again."""
        for size, rate in self.bandwidths:
            if working_set <= size:
                return rate
        return self.bandwidths[-1][1]


def counter_instruction(target: Target) -> str:
    """The LLVM intrinsic that reads a clock of constant rate in a few cycles, without the system."""
    # AArch64's cycle counter is closed to programs; its timer is not. x86 has its time-stamp counter for both.
    return "readsteadycounter" if target.architecture == "aarch64" else "readcyclecounter"


def _multiply_add_loop(function: Function) -> None:
    """`rounds` times one multiply-add in every chain: x = x · b + c, which tends to a fixed point and never overflows."""
    chains = CHAINS[function.vectors.name]
    b, c = function.load("%a"), function.load("%a", function.vectors.lanes)
    with function.loop(0, "%rounds", carried=[c] * chains) as loop:
        loop.next = [function.fma(value, b, c) for value in loop.values]
    _store_sum(function, loop.results)


def _reading_loop(function: Function) -> None:
    """Adds up `numbers` float32 numbers from `a` on, `rounds` times."""
    start = ["zeroinitializer"] * STREAMS
    with function.loop(0, "%rounds", carried=start) as rounds:
        step = STREAMS * function.vectors.lanes
        with function.loop(0, "%numbers", step, carried=rounds.values) as loop:
            base = function.offset("%a", loop.index)
            loop.next = [
                function.fadd(value, function.load(base, i * function.vectors.lanes))
                for i, value in enumerate(loop.values)
            ]
        rounds.next = loop.results
    _store_sum(function, rounds.results)


def _store_sum(function: Function, values: Sequence[str]) -> None:
    total = values[0]
    for value in values[1:]:
        total = function.fadd(total, value)
    function.store(total, "%out")


def probe_text(vectors: Vectors, target: Target) -> str:
    """The module of all probes."""
    module = Module(vectors)
    with module.function("multiply_add", [("ptr", "a"), ("ptr", "out"), ("i64", "rounds")], exported=True) as function:
        _multiply_add_loop(function)
    arguments = [("ptr", "a"), ("ptr", "out"), ("i64", "rounds"), ("i64", "numbers")]
    with module.function("read", arguments, exported=True) as function:
        _reading_loop(function)
    with module.function("clock", [("ptr", "out")], exported=True) as function:
        name = f"@llvm.{counter_instruction(target)}"
        module.declare(f"declare i64 {name}()")
        function.line(f"store i64 {function.define(f'call i64 {name}()')}, ptr %out, align 8")
    return module.text()


class Probes:
    """The compiled probes; every method gives what one core did."""

    def __init__(self, machine: Machine, target: Target) -> None:
        self.machine = machine
        text = probe_text(machine.vectors, target)
        self._code = load_program(text, lambda: [Source(text)], target)
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        address = self._code.function_address
        self._multiply_add = ctypes.CFUNCTYPE(None, pointer, pointer, number)(address("multiply_add"))
        self._read = ctypes.CFUNCTYPE(None, pointer, pointer, number, number)(address("read"))
        self._clock = ctypes.CFUNCTYPE(None, pointer)(address("clock"))

    def clock(self) -> int:
        """The processor's clock, the one that the measured native code reads."""
        value = ctypes.c_uint64()
        self._clock(ctypes.addressof(value))
        return value.value

    def fma_burst(self) -> float:
        """FLOP/s of this thread: the best of a few bursts so short that most are not interrupted."""
        lanes = self.machine.vectors.lanes
        data, out = _numbers(2 * lanes), _numbers(lanes)
        data[:lanes], data[lanes:] = 0.5, 0.25
        flops = 2 * lanes * CHAINS[self.machine.vectors.name]
        return _best_rate(lambda rounds: self._multiply_add(data.ctypes.data, out.ctypes.data, rounds), flops)

    def reading(self, size: int) -> float:
        """Bytes a second of reading `size` bytes over and over."""
        step = STREAMS * self.machine.vectors.lanes
        count = max(step, size // 4 // step * step)
        data, out = _numbers(count), _numbers(self.machine.vectors.lanes)
        return _best_rate(lambda rounds: self._read(data.ctypes.data, out.ctypes.data, rounds, count), 4 * count)

    def fma_peak(self, pool: ThreadPoolExecutor, threads: int) -> float:
        """FLOP/s of one core while `threads` of them are at it."""
        if threads == 1:
            return self.fma_burst()
        return statistics.fmean(pool.map(lambda _: self.fma_burst(), range(threads)))

    def bandwidths(self) -> tuple[tuple[float, float], ...]:
        """As `MachineRates.bandwidths`. Each is measured on half of what fits, or well beyond the caches."""
        first, second = self.machine.first_cache, self.machine.second_cache
        beyond = self.reading(BEYOND_SECOND_CACHE * second)
        return (
            (float(first), self.reading(first // 2)),
            (float(second), self.reading(second // 2)),
            (float("inf"), beyond),
        )


def _numbers(count: int):  # type: ignore[no-untyped-def]
    numbers = aligned_empty(count * 4).view("float32")
    numbers[:] = 0
    return numbers


def _best_rate(run: Callable[[int], None], work: float) -> float:
    """Work a second in the best burst; each burst takes about `BURST_SECONDS`, or one round where that takes longer.

    One try that was interrupted must not pass for a burst that is long enough: the best of several says how long it is.
    """
    rounds = 1
    while (best := min(_seconds(run, rounds) for _ in range(BURSTS))) < BURST_SECONDS / 2:
        rounds *= 4
    return work * rounds / best


def _seconds(run: Callable[[int], None], rounds: int) -> float:
    start = time.perf_counter()
    run(rounds)
    return max(time.perf_counter() - start, 1e-9)


@functools.cache
def probes() -> Probes:
    """The probes for this machine."""
    return Probes(host_machine(), host_target())


def measure_fma_peak(threads: int) -> float:
    """FLOP/s of float32 multiply-adds on `threads` cores at once: the median of five tries.

    >>> measure_fma_peak(1) > 1e9
    True
    """
    with ThreadPoolExecutor(threads) as pool:
        return threads * statistics.median(probes().fma_peak(pool, threads) for _ in range(5))

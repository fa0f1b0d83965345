"""Native code that counts its own time: the schedule as it is, with readings of the processor's clock between its blocks.

So a block is timed where it really runs, with the caches as the block before left them. A reading takes some ten
nanoseconds; an empty pair of readings tells how long, and that is taken off.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from depthwise.bench.probes import counter_instruction
from depthwise.bench.rows import Group, group_calls, main_kind
from depthwise.compiler.compile import compile
from depthwise.compiler.ir.program import Program
from depthwise.compiler.kernels.builder import Function, Kernel
from depthwise.compiler.machine import Machine
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.targets import Target, host_target
from depthwise.compiler.plan.placement import ALIGNMENT
from depthwise.compiler.plan.schedule import Call, Item, Pointer, Repeat, Schedule, Segment, Stage, written_out
from depthwise.dataclass import dataclass
from depthwise.runtime.executable import Executable, host_machine

__all__ = ["MeasuredExecutable", "MeasuredRow", "measured_schedule"]

SLOT = 4
"""float32 numbers of a counter: ticks and readings, 64 bits each."""


@dataclass(frozen=True)
class StartClock(Kernel):
    """Remembers the time."""

    intrinsic: str

    arguments = ("last",)
    name = "start_clock"

    def write(self, function: Function) -> None:
        function.line(f"store i64 {_clock(function, self.intrinsic)}, ptr %last, align 8")


@dataclass(frozen=True)
class ReadClock(Kernel):
    """Adds the time since the last reading, and one, to a counter."""

    intrinsic: str

    arguments = ("last", "counter")
    name = "read_clock"

    def write(self, function: Function) -> None:
        now = _clock(function, self.intrinsic)
        before = function.load_integer("%last")
        passed = function.define(f"sub i64 {now}, {before}")
        total = function.define(f"add i64 {function.load_integer('%counter')}, {passed}")
        function.line(f"store i64 {total}, ptr %counter, align 8")
        address = function.define("getelementptr i64, ptr %counter, i64 1")
        count = function.define(f"add i64 {function.load_integer(address)}, 1")
        function.line(f"store i64 {count}, ptr {address}, align 8")
        function.line(f"store i64 {now}, ptr %last, align 8")


def _clock(function: Function, intrinsic: str) -> str:
    function.module.declare(f"declare i64 @llvm.{intrinsic}()")
    return function.define(f"call i64 @llvm.{intrinsic}()")


@dataclass(frozen=True)
class MeasuredRow:
    """Calls that are timed together.

    Attributes:
        stage: the number of their stage.
        level: "image", "group" or "pieces": how often they run.
        calls: one list for every list of calls that they are in: a segment has one, pieces several.
    """

    stage: int
    level: str
    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    strips: int
    calls: tuple[tuple[Item, ...], ...]


class _Clocks:
    """Allocates counters, and makes the calls that read the clock."""

    def __init__(self, schedule: Schedule, target: Target) -> None:
        used = schedule.sizes.get("extra", 0)
        self.base = -(-used // ALIGNMENT) * ALIGNMENT
        self.last = Pointer("extra", self.base)
        self.count = 1  # the first one is for empty pairs of readings
        self.intrinsic = counter_instruction(target)

    def start(self) -> list[Call]:
        """Starts the clock, and reads it at once: what a reading takes."""
        return [Call(StartClock(self.intrinsic), (self.last,)), self.read(0)]

    def read(self, counter: int) -> Call:
        place = Pointer("extra", self.base + ALIGNMENT + counter * SLOT)
        return Call(ReadClock(self.intrinsic), (self.last, place))

    def fresh(self) -> int:
        self.count += 1
        return self.count - 1

    @property
    def size(self) -> int:
        """Numbers of the arena that holds the counters too; not a multiple of a page, so that threads do not share cache sets."""
        return -(-(self.base + ALIGNMENT + self.count * SLOT) // ALIGNMENT) * ALIGNMENT + 2 * ALIGNMENT


def measured_schedule(schedule: Schedule, target: Target) -> tuple[Schedule, tuple[MeasuredRow, ...], int]:
    """The schedule with clocks, its rows, and where the counters lie in the arena "extra"."""
    clocks = _Clocks(schedule, target)
    rows: list[MeasuredRow] = []
    stages = []
    for number, stage in enumerate(schedule.stages):
        stages.append((_pieces if stage.pieces else _segments)(stage, number, clocks, rows))
    sizes = {**schedule.sizes, "extra": clocks.size}
    return replace(schedule, stages=tuple(stages), sizes=sizes), tuple(rows), clocks.base + ALIGNMENT


def _segments(stage: Stage, number: int, clocks: _Clocks, rows: list[MeasuredRow]) -> Stage:
    segments = []
    for segment in stage.segments:
        body: list[Item] = [*clocks.start()]
        for group in group_calls(segment.calls):
            calls = segment.calls[group.first : group.last]
            rows.append(_row(number, segment.level, group, calls))
            body += [*calls, clocks.read(clocks.fresh())]
        segments.append(Segment(segment.level, tuple(body)))
    return replace(stage, segments=tuple(segments))


def _row(stage: int, level: str, group: Group, calls: tuple[Item, ...]) -> MeasuredRow:
    return MeasuredRow(stage, level, group.layers, group.kinds, group.strips, (tuple(written_out(calls)),))


def _pieces(stage: Stage, number: int, clocks: _Clocks, rows: list[MeasuredRow]) -> Stage:
    """All pieces with one kind of main kernel are a row: a layer's shares, or the updates of all weights."""
    pieces: list[tuple[Item, ...] | Repeat] = []
    found: dict[str, tuple[int, list[tuple[Item, ...]]]] = {}
    for piece in stage.pieces:
        body = piece.body if isinstance(piece, Repeat) else piece
        key = main_kind(body)
        if key not in found:
            found[key] = (clocks.fresh(), [])
        start, end = clocks.start(), clocks.read(found[key][0])
        timed = (*start, *body, end)
        if isinstance(piece, Repeat):
            found[key][1].extend(piece.round(i) for i in range(piece.count))
            still = [(0,) * len(call.arguments) for call in (*start, end)]
            pieces.append(Repeat(piece.count, (*still[:-1], *piece.steps, still[-1]), timed))
        else:
            found[key][1].append(piece)
            pieces.append(timed)
    # Counters were handed out in this order, so rows must follow it.
    for _, shares in found.values():
        groups = [group for share in shares for group in group_calls(share)]
        layers = tuple(dict.fromkeys(layer for group in groups for layer in group.layers))
        kinds = tuple(dict.fromkeys(kind for group in groups for kind in group.kinds))
        rows.append(
            MeasuredRow(number, "pieces", layers, kinds, 1, tuple(tuple(written_out(share)) for share in shares))
        )
    return replace(stage, pieces=tuple(pieces))


class MeasuredExecutable(Executable):
    """An executable whose blocks count their time. Use `clear`, run it, then read `ticks`."""

    def __init__(self, program: Program, schedule: Schedule) -> None:
        target = host_target()
        self.schedule, self.rows, self._counters = measured_schedule(schedule, target)
        self._reading = float("inf")  # ticks that a reading takes

        def plan_with_clocks(program: Program, machine: Machine) -> Schedule:
            return self.schedule

        super().__init__(compile(program, plan_with_clocks, host_machine(), target, CompileCache()))

    def _slots(self) -> np.ndarray[Any, Any]:
        """(participants, 1 + rows, 2): ticks and readings of every counter, as a view."""
        size = self.schedule.sizes["extra"]
        arena = self.arenas["extra"]
        extra = arena[: arena.size // size * size].reshape(-1, size)
        counters = extra[:, self._counters : self._counters + (1 + len(self.rows)) * SLOT]
        return counters.view(np.int64).reshape(len(extra), 1 + len(self.rows), 2)

    @property
    def samples_per_task(self) -> int:
        """Samples of a chunk in the run that was reserved last."""
        return int(self._context[1])

    def clear(self) -> None:
        """Sets all counters to zero; there are none before the first run."""
        if "extra" in self.arenas:
            self._slots()[:] = 0

    def ticks(self) -> np.ndarray[Any, Any]:
        """Clock ticks of every row since `clear`, added up over the threads, without what reading the clock takes.

        A thread that was interrupted between the two readings of an empty pair counts the interruption as the cost of a
        reading, and there are few such pairs in a round: what counts is the cheapest reading of any thread so far.
        """
        slots = self._slots().astype(np.float64)
        empty_ticks, empty_readings = slots[:, 0, 0], slots[:, 0, 1]
        ran = empty_readings > 0
        self._reading = min([self._reading, *(empty_ticks[ran] / empty_readings[ran])])
        ticks, readings = np.moveaxis(slots[:, 1:].sum(axis=0), -1, 0)
        reading = self._reading if ran.any() else 0.0
        passed: np.ndarray[Any, Any] = np.maximum(ticks - readings * reading, 0.0)
        return passed

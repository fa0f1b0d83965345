"""Small compiled programs whose results show whether the scheduler kept its promises."""

from typing import Any

import numpy as np

from depthwise.compiler.native.compile import Source
from depthwise.compiler.native.load import load_program
from depthwise.compiler.native.scheduler import scheduler_ir
from depthwise.compiler.native.targets import host_target


def _load(text: str) -> Any:
    code = load_program(text, lambda: [Source(text)])
    return code, code.function_address("participate")


_ADD = """
define void @raise(ptr %at) {
  %old = load i64, ptr %at, align 8
  %new = add i64 %old, 1
  store i64 %new, ptr %at, align 8
  ret void
}
"""

# Not atomic on purpose: a lost update shows two threads with one participant number, or one task run twice at once.
# Context: 64 counters by participant, then 64 counters by task for each stage.
_TALLY_STAGE = """
define void @tally{stage}(ptr %context, i64 %task, i64 %participant) {{
  %mine = getelementptr i64, ptr %context, i64 %participant
  call void @raise(ptr %mine)
  %index = add i64 %task, {offset}
  %its = getelementptr i64, ptr %context, i64 %index
  call void @raise(ptr %its)
  ret void
}}
"""


class Tally:
    """Counts, without atomics, how often each participant and each task of each stage ran."""

    def __init__(self, counts: list[int]) -> None:
        names = [f"tally{stage}" for stage in range(len(counts))]
        bodies = [_TALLY_STAGE.format(stage=stage, offset=64 * (stage + 1)) for stage in range(len(counts))]
        text = scheduler_ir(names, host_target()) + _ADD + "".join(bodies)
        self._code, self.function = _load(text)
        self.counts = np.array(counts, np.int64)
        self.memory = np.zeros((len(counts) + 1, 64), np.int64)

    def arguments(self) -> tuple[int, int, int]:
        return self.function, self.memory.ctypes.data, self.counts.ctypes.data

    def by_participant(self) -> np.ndarray:
        row: np.ndarray = self.memory[0]
        return row

    def check(self, runs: int) -> None:
        for stage, count in enumerate(self.counts):
            expected = np.zeros(64, np.int64)
            expected[: max(count, 0)] = runs
            np.testing.assert_array_equal(self.memory[stage + 1], expected)
        assert self.by_participant().sum() == runs * np.maximum(self.counts, 0).sum()


# Task t of stage s: value t of row s+1 = 3 * (sum of the whole row s) + t. Any task that starts before the stage before
# is over reads an old value.
_CHAIN_STAGE = """
define void @chain{stage}(ptr %context, i64 %task, i64 %participant) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  %sum = phi i64 [ 0, %entry ], [ %sum.next, %loop ]
  %from = add i64 %i, {source}
  %at = getelementptr i64, ptr %context, i64 %from
  %value = load i64, ptr %at, align 8
  %sum.next = add i64 %sum, %value
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, {width}
  br i1 %more, label %loop, label %end
end:
  %triple = mul i64 %sum.next, 3
  %result = add i64 %triple, %task
  %to = add i64 %task, {destination}
  %place = getelementptr i64, ptr %context, i64 %to
  store i64 %result, ptr %place, align 8
  ret void
}}
"""


class Chain:
    """Stages that each need everything of the stage before, with an empty stage in the middle."""

    stages = 6
    empty = 3

    def __init__(self, width: int) -> None:
        self.width = width
        bodies = [
            _CHAIN_STAGE.format(stage=s, source=s * width, destination=(s + 1) * width, width=width)
            for s in range(self.stages)
        ]
        names = [f"chain{s}" for s in range(self.stages)]
        # The empty stage names a function that would spoil everything if it ran.
        names.insert(self.empty, "chain0")
        self._code, self.function = _load(scheduler_ir(names, host_target()) + "".join(bodies))
        self.counts = np.full(self.stages + 1, width, np.int64)
        self.counts[self.empty] = 0
        self.memory = np.zeros((self.stages + 1, width), np.int64)

    def arguments(self) -> tuple[int, int, int]:
        return self.function, self.memory.ctypes.data, self.counts.ctypes.data

    def set(self, seed: int) -> np.ndarray:
        """Fill row 0 and return what the last row must be."""
        row = (np.arange(self.width, dtype=np.int64) + 1) * (seed + 1)
        self.memory[0] = row
        for _ in range(self.stages):
            with np.errstate(over="ignore"):
                row = 3 * row.sum() + np.arange(self.width, dtype=np.int64)
        return row


# Waits, giving the processor away, until element 0 is set; then counts itself in element 1 + task.
_GATE = """
define void @gate(ptr %context, i64 %task, i64 %participant) {
entry:
  br label %look
look:
  %value = load atomic i64, ptr %context acquire, align 8
  %open = icmp ne i64 %value, 0
  br i1 %open, label %go, label %wait
wait:
  %ignored = call i32 @sched_yield()
  br label %look
go:
  %index = add i64 %task, 1
  %at = getelementptr i64, ptr %context, i64 %index
  store i64 1, ptr %at, align 8
  ret void
}
"""


class Gate:
    """A run that lasts until somebody sets `memory[0]`."""

    def __init__(self, tasks: int) -> None:
        self._code, self.function = _load(scheduler_ir(["gate"], host_target()) + _GATE)
        self.counts = np.array([tasks], np.int64)
        self.memory = np.zeros(tasks + 1, np.int64)

    def arguments(self) -> tuple[int, int, int]:
        return self.function, self.memory.ctypes.data, self.counts.ctypes.data


_RENDEZVOUS = """
define void @meet(ptr %context, i64 %task, i64 %participant) {
entry:
  %all.at = getelementptr i64, ptr %context, i64 1
  %all = load i64, ptr %all.at, align 8
  %was = atomicrmw add ptr %context, i64 1 acq_rel, align 8
  br label %look
look:
  %value = load atomic i64, ptr %context acquire, align 8
  %met = icmp sge i64 %value, %all
  br i1 %met, label %end, label %wait
wait:
  %ignored = call i32 @sched_yield()
  br label %look
end:
  ret void
}
"""


class Rendezvous:
    """As many tasks as threads; each raises `memory[0]` and waits until all have."""

    def __init__(self, tasks: int) -> None:
        self._code, self.function = _load(scheduler_ir(["meet"], host_target()) + _RENDEZVOUS)
        self.counts = np.array([tasks], np.int64)
        self.memory = np.array([0, tasks], np.int64)

    def arguments(self) -> tuple[int, int, int]:
        return self.function, self.memory.ctypes.data, self.counts.ctypes.data


# Element 1 + task = element 0 times 1.5.
_SUBNORMAL = """
define void @subnormal(ptr %context, i64 %task, i64 %participant) {
  %value = load float, ptr %context, align 4
  %product = fmul float %value, 1.500000e+00
  %index = add i64 %task, 1
  %at = getelementptr float, ptr %context, i64 %index
  store float %product, ptr %at, align 4
  ret void
}
"""


class Subnormal:
    """Multiplies element 0 by 1.5 into every other element."""

    def __init__(self, tasks: int) -> None:
        self._code, self.function = _load(scheduler_ir(["subnormal"], host_target()) + _SUBNORMAL)
        self.counts = np.array([tasks], np.int64)
        self.memory = np.full(tasks + 1, np.nan, np.float32)

    def arguments(self) -> tuple[int, int, int]:
        return self.function, self.memory.ctypes.data, self.counts.ctypes.data

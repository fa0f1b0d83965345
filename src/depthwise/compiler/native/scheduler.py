"""Text IR of the scheduler: how the threads of a team share one run of a compiled program.

A *program* is a fixed list of *stages*; a stage is a number of independent *tasks*; a stage starts when every task of
the stage before is done. All tasks of a run are numbered through, stage after stage, and the team block holds two
counters: `next`, the first task not yet claimed, and `done`, the number of finished tasks. A participant claims a
task by raising `next` by one, never beyond the end of the stage it is in. So a participant that comes late, or that
the operating system put aside, holds nothing and costs nothing: a barrier waits for tasks, never for threads.

A stage of at most 64 tasks is claimed by bits of a word of its own instead: a participant begins at its own share, so that
from stage to stage and from run to run the same core meets the same weights and rows in its caches, and takes what others
have left afterwards.

A *run* is opened by its caller, joined by workers while it is open, and closed by the caller, all through the state
word: joined count (bits 0-15), open flag (bit 16), generation (bits 32-63). Joining is a compare-and-swap on the
whole word, which fails once the run is closed or another one is open.
"""

from collections.abc import Sequence
from typing import Final

from depthwise.compiler.native.targets import Target
from depthwise.errors import InvalidArgumentError

__all__ = [
    "MAXIMUM_PARTICIPANTS",
    "PARTICIPATE",
    "TABLE_SYMBOLS",
    "TEAM_BLOCK_BYTES",
    "TEAM_SPIN_OFFSET",
    "TEAM_STOP_OFFSET",
    "participate_ir",
    "scheduler_ir",
    "stage_table_ir",
    "team_ir",
]

PARTICIPATE: Final = "participate"
_STAGES: Final = "depthwise.stages"
_STAGE_COUNT: Final = "depthwise.stage_count"
TABLE_SYMBOLS: Final = frozenset((_STAGES, _STAGE_COUNT))
MAXIMUM_PARTICIPANTS: Final = 64

# The team block. What different threads write lies 128 bytes apart: processors fetch lines of 64 bytes in pairs.
_STATE: Final = 0
_NEXT: Final = 128
_DONE: Final = 256
_LEFT: Final = 384
_STOP: Final = 512
_RUN: Final = 640  # Written by the caller before it opens a run, then only read.
_FUNCTION: Final = _RUN
_CONTEXT: Final = _RUN + 8
_COUNTS: Final = _RUN + 16
_LIMIT: Final = _RUN + 24
_SPIN: Final = _RUN + 32
TEAM_STOP_OFFSET: Final = _STOP
TEAM_SPIN_OFFSET: Final = _SPIN
_CLAIMS: Final = 768  # One word for each of the first stages, zeroed by the caller before it opens a run.
_CLAIMED_STAGES: Final = 64
TEAM_BLOCK_BYTES: Final = _CLAIMS + 8 * _CLAIMED_STAGES

_OPEN: Final = 1 << 16
_JOINED_MASK: Final = _OPEN - 1


def scheduler_ir(stages: Sequence[str], target: Target) -> str:
    """IR of a whole program's scheduler: `stage_table_ir` and `participate_ir`, for a module that defines the stages too."""
    return stage_table_ir(stages) + participate_ir(target)


def stage_table_ir(stages: Sequence[str]) -> str:
    """IR of the table of a program's stages, for the module that defines them.

    Parameters
    ----------
    stages
        Symbols of the task functions in running order, without `@`: `void @NAME(ptr %context, i64 %task, i64 %participant)`.
        A name may occur several times.
    """
    if not stages:
        raise InvalidArgumentError("A program has no stages; it needs at least one.")
    pointers = ", ".join(f"ptr @{stage}" for stage in stages)
    return (
        f"@{_STAGES} = constant [{len(stages)} x ptr] [{pointers}], align 8\n"
        f"@{_STAGE_COUNT} = constant i64 {len(stages)}, align 8\n"
    )


def participate_ir(target: Target, *, table_elsewhere: bool = False) -> str:
    """IR of `void @participate(ptr %team, i64 %participant)`, which runs a participant's share of a program's stages.

    The text is the same for every program: it finds the stages in the table of `stage_table_ir`. The number of tasks of
    stage s is element s of the array of i64 that the caller of the run names; zero or less means that the stage is empty.

    Parameters
    ----------
    target
        Machine the module is for.
    table_elsewhere
        Whether another module of the program holds the table.
    """
    table = [f"@{_STAGES} = external constant [0 x ptr]", f"@{_STAGE_COUNT} = external constant i64"]
    return "\n".join(
        [
            *(table if table_elsewhere else []),
            "declare i64 @llvm.cttz.i64(i64, i1)",
            "",
            _PARTICIPATE_IR,
            _wait_ir(target),
            "",
        ]
    )


# In the loop, `begin` and `end` number the tasks of stage `s` through the whole run.
_PARTICIPATE_IR: Final = f"""
define void @{PARTICIPATE}(ptr %team, i64 %participant) {{
entry:
  %context.at = getelementptr i8, ptr %team, i64 {_CONTEXT}
  %counts.at = getelementptr i8, ptr %team, i64 {_COUNTS}
  %next = getelementptr i8, ptr %team, i64 {_NEXT}
  %done = getelementptr i8, ptr %team, i64 {_DONE}
  %limit.at = getelementptr i8, ptr %team, i64 {_LIMIT}
  %limit = load atomic i64, ptr %limit.at monotonic, align 8
  %context = load ptr, ptr %context.at, align 8
  %counts = load ptr, ptr %counts.at, align 8
  %stages = load i64, ptr @{_STAGE_COUNT}, align 8
  br label %stage
stage:
  %s = phi i64 [ 0, %entry ], [ %s.next, %barrier ]
  %begin = phi i64 [ 0, %entry ], [ %end, %barrier ]
  %function.at = getelementptr ptr, ptr @{_STAGES}, i64 %s
  %function = load ptr, ptr %function.at, align 8
  %count.at = getelementptr i64, ptr %counts, i64 %s
  %raw = load i64, ptr %count.at, align 8
  %some = icmp sgt i64 %raw, 0
  %count = select i1 %some, i64 %raw, i64 0
  %end = add i64 %begin, %count
  %first = load atomic i64, ptr %next monotonic, align 8
  %last = add i64 %raw, -1
  %few = icmp ult i64 %last, 64
  %has.word = icmp ult i64 %s, {_CLAIMED_STAGES}
  %by.bits = and i1 %few, %has.word
  br i1 %by.bits, label %share, label %claim
share:
  ; By bits: the first free task from this participant's share on, else the first free one.
  %claims.first = getelementptr i8, ptr %team, i64 {_CLAIMS}
  %claims = getelementptr i64, ptr %claims.first, i64 %s
  %beyond = sub i64 64, %count
  %all = lshr i64 -1, %beyond
  %scaled = mul i64 %participant, %count
  %start = udiv i64 %scaled, %limit
  %ahead = shl i64 -1, %start
  %claimed = load atomic i64, ptr %claims monotonic, align 8
  br label %look
look:
  %taken = phi i64 [ %claimed, %share ], [ %before, %pick ], [ %after, %own ]
  %own.mine = phi i64 [ 0, %share ], [ %own.mine, %pick ], [ %own.next, %own ]
  %not = xor i64 %taken, -1
  %free = and i64 %all, %not
  %any = icmp ne i64 %free, 0
  br i1 %any, label %pick, label %shared
pick:
  %mine.free = and i64 %free, %ahead
  %has.mine = icmp ne i64 %mine.free, 0
  %from = select i1 %has.mine, i64 %mine.free, i64 %free
  %own.task = call i64 @llvm.cttz.i64(i64 %from, i1 true)
  %bit = shl i64 1, %own.task
  %before = atomicrmw or ptr %claims, i64 %bit monotonic, align 8
  %clash = and i64 %before, %bit
  %mine.now = icmp eq i64 %clash, 0
  br i1 %mine.now, label %own, label %look
own:
  call void %function(ptr %context, i64 %own.task, i64 %participant)
  %own.next = add i64 %own.mine, 1
  %after = load atomic i64, ptr %claims monotonic, align 8
  br label %look
shared:
  %none = icmp eq i64 %own.mine, 0
  br i1 %none, label %following, label %counted
counted:
  ; The numbering of tasks goes on behind this stage for those that count; `done` below publishes it.
  %passed = atomicrmw add ptr %next, i64 %own.mine monotonic, align 8
  br label %report
claim:
  %seen = phi i64 [ %first, %stage ], [ %now, %try ], [ %again, %run ]
  %mine = phi i64 [ 0, %stage ], [ %mine, %try ], [ %mine.next, %run ]
  %left = icmp slt i64 %seen, %end
  br i1 %left, label %try, label %over
try:
  %raised = add i64 %seen, 1
  %pair = cmpxchg ptr %next, i64 %seen, i64 %raised monotonic monotonic, align 8
  %now = extractvalue {{ i64, i1 }} %pair, 0
  %won = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %won, label %run, label %claim
run:
  %task = sub i64 %seen, %begin
  call void %function(ptr %context, i64 %task, i64 %participant)
  %mine.next = add i64 %mine, 1
  %again = load atomic i64, ptr %next monotonic, align 8
  br label %claim
over:
  %idle = icmp eq i64 %mine, 0
  br i1 %idle, label %following, label %report
report:
  ; Release: whoever sees the count sees what the tasks wrote.
  %finished = phi i64 [ %mine, %over ], [ %own.mine, %counted ]
  %was = atomicrmw add ptr %done, i64 %finished release, align 8
  br label %following
following:
  %s.next = add i64 %s, 1
  %more = icmp slt i64 %s.next, %stages
  br i1 %more, label %barrier, label %end.of.run
barrier:
  call void @depthwise.wait(ptr %team, ptr %done, i64 %end)
  br label %stage
end.of.run:
  ret void
}}
"""


def _wait_ir(target: Target) -> str:
    """`depthwise.wait`: until the counter reaches the goal; spins first, then gives the processor away."""
    return "\n".join(
        [
            *_pause_declaration(target),
            "declare i32 @sched_yield()",
            "",
            "define internal void @depthwise.wait(ptr %team, ptr %counter, i64 %goal) {",
            "entry:",
            f"  %spin.at = getelementptr i8, ptr %team, i64 {_SPIN}",
            "  %spins = load i64, ptr %spin.at, align 8",
            "  br label %look",
            "look:",
            "  %turn = phi i64 [ 0, %entry ], [ %turn.next, %pause ], [ %turn.next, %yield ]",
            "  %value = load atomic i64, ptr %counter acquire, align 8",
            "  %reached = icmp sge i64 %value, %goal",
            "  br i1 %reached, label %end, label %more",
            "more:",
            "  %turn.next = add i64 %turn, 1",
            "  %patient = icmp slt i64 %turn, %spins",
            "  br i1 %patient, label %pause, label %yield",
            "pause:",
            _pause(target),
            "  br label %look",
            "yield:",
            "  %ignored = call i32 @sched_yield()",
            "  br label %look",
            "end:",
            "  ret void",
            "}",
        ]
    )


def team_ir(target: Target) -> str:
    """IR of what callers and workers do around `participate`; compiled once, it serves every program.

    - `void @team_run(ptr team, ptr participate, ptr context, ptr counts, i64 generation, i64 limit)`: one whole run
      with at most `limit` participants, the caller being number 0.
    - `i64 @team_work(ptr team, i64 seen, i64 spins)`: what a worker does between two sleeps. It joins runs of a
      generation other than `seen` and returns the last generation it saw when nothing happened for `spins` pauses, or
      when the stop flag is set.
    - `void @team_pause(i64 count)`: that many pauses, to find out how long one takes.
    """
    return "\n".join([_RUN_IR, _WORK_IR, _PAUSE_IR, _flush_ir(target), _wait_ir(target), ""]).replace(
        "  PAUSE", _pause(target)
    )


# Subnormal numbers cost a hundred cycles each on common processors; results flush them to zero in every participant
# alike. The caller's own floating-point state comes back afterwards, its sticky flags included.
_ZERO_CLAIMS: Final = "\n".join(
    f"  %claims{i} = getelementptr i8, ptr %team, i64 {_CLAIMS + 64 * i}\n"
    f"  store <8 x i64> zeroinitializer, ptr %claims{i}, align 64"
    for i in range(_CLAIMED_STAGES // 8)
)
_RUN_IR: Final = f"""
define void @team_run(ptr %team, ptr %function, ptr %context, ptr %counts, i64 %generation, i64 %limit) {{
entry:
  %saved = call i64 @depthwise.enter_flush()
  %function.at = getelementptr i8, ptr %team, i64 {_FUNCTION}
  %context.at = getelementptr i8, ptr %team, i64 {_CONTEXT}
  %counts.at = getelementptr i8, ptr %team, i64 {_COUNTS}
  %limit.at = getelementptr i8, ptr %team, i64 {_LIMIT}
  %next = getelementptr i8, ptr %team, i64 {_NEXT}
  %done = getelementptr i8, ptr %team, i64 {_DONE}
  %left = getelementptr i8, ptr %team, i64 {_LEFT}
  store ptr %function, ptr %function.at, align 8
  store ptr %context, ptr %context.at, align 8
  store ptr %counts, ptr %counts.at, align 8
  store atomic i64 %limit, ptr %limit.at monotonic, align 8
  store atomic i64 0, ptr %next monotonic, align 8
  store atomic i64 0, ptr %done monotonic, align 8
  store atomic i64 0, ptr %left monotonic, align 8
{_ZERO_CLAIMS}
  %alone = icmp sle i64 %limit, 1
  br i1 %alone, label %single, label %shared
single:
  call void %function(ptr %team, i64 0)
  br label %end
shared:
  %high = shl i64 %generation, 32
  %opened = or i64 %high, {_OPEN}
  store atomic i64 %opened, ptr %team release, align 8
  call void %function(ptr %team, i64 0)
  %last = atomicrmw and ptr %team, i64 {~_OPEN} acq_rel, align 8
  %joined = and i64 %last, {_JOINED_MASK}
  call void @depthwise.wait(ptr %team, ptr %left, i64 %joined)
  br label %end
end:
  call void @depthwise.leave_flush(i64 %saved)
  ret void
}}
"""

_WORK_IR: Final = f"""
define i64 @team_work(ptr %team, i64 %seen.before, i64 %spins) {{
entry:
  %function.at = getelementptr i8, ptr %team, i64 {_FUNCTION}
  %limit.at = getelementptr i8, ptr %team, i64 {_LIMIT}
  %left = getelementptr i8, ptr %team, i64 {_LEFT}
  %stop = getelementptr i8, ptr %team, i64 {_STOP}
  br label %fresh
fresh:
  %seen = phi i64 [ %seen.before, %entry ], [ %generation, %work ], [ %generation, %full ]
  br label %look
look:
  %turn = phi i64 [ 0, %fresh ], [ %turn.next, %idle ], [ %turn, %join ]
  %stopped = load atomic i64, ptr %stop monotonic, align 8
  %go.on = icmp eq i64 %stopped, 0
  br i1 %go.on, label %listen, label %end
listen:
  %state = load atomic i64, ptr %team acquire, align 8
  %generation = lshr i64 %state, 32
  %flag = and i64 %state, {_OPEN}
  %open = icmp ne i64 %flag, 0
  %other = icmp ne i64 %generation, %seen
  %wanted = and i1 %open, %other
  br i1 %wanted, label %count, label %wait
count:
  %joined = and i64 %state, {_JOINED_MASK}
  %number = add i64 %joined, 1
  %limit = load atomic i64, ptr %limit.at monotonic, align 8
  %room = icmp slt i64 %number, %limit
  br i1 %room, label %join, label %full
full:
  br label %fresh
join:
  %raised = add i64 %state, 1
  %pair = cmpxchg ptr %team, i64 %state, i64 %raised acq_rel monotonic, align 8
  %won = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %won, label %work, label %look
work:
  %saved = call i64 @depthwise.enter_flush()
  %function = load ptr, ptr %function.at, align 8
  call void %function(ptr %team, i64 %number)
  call void @depthwise.leave_flush(i64 %saved)
  %was = atomicrmw add ptr %left, i64 1 release, align 8
  br label %fresh
wait:
  %turn.next = add i64 %turn, 1
  %patient = icmp slt i64 %turn, %spins
  br i1 %patient, label %idle, label %end
idle:
  PAUSE
  br label %look
end:
  ret i64 %seen
}}
"""

_PAUSE_IR: Final = """
define void @team_pause(i64 %count) {
entry:
  br label %look
look:
  %turn = phi i64 [ 0, %entry ], [ %turn.next, %again ]
  %more = icmp slt i64 %turn, %count
  br i1 %more, label %again, label %end
again:
  PAUSE
  %turn.next = add i64 %turn, 1
  br label %look
end:
  ret void
}
"""


def _pause(target: Target) -> str:
    if target.architecture == "aarch64":
        return "  call void @llvm.aarch64.hint(i32 1)"
    return "  call void @llvm.x86.sse2.pause()"


def _pause_declaration(target: Target) -> list[str]:
    if target.architecture == "aarch64":
        return ["declare void @llvm.aarch64.hint(i32)"]
    return ["declare void @llvm.x86.sse2.pause()"]


def _flush_ir(target: Target) -> str:
    """`depthwise.enter_flush` and `depthwise.leave_flush`: round to nearest, no traps, subnormals count as zero."""
    if target.architecture == "aarch64":
        return f"""
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)

define internal i64 @depthwise.enter_flush() {{
  %saved = call i64 @llvm.aarch64.get.fpcr()
  call void @llvm.aarch64.set.fpcr(i64 {1 << 24})
  ret i64 %saved
}}

define internal void @depthwise.leave_flush(i64 %saved) {{
  call void @llvm.aarch64.set.fpcr(i64 %saved)
  ret void
}}
"""
    masks, flush_to_zero, denormals_are_zero = 0x1F80, 0x8000, 0x0040
    return f"""
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define internal i64 @depthwise.enter_flush() {{
  %memory = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %memory)
  %saved = load i32, ptr %memory, align 4
  store i32 {masks | flush_to_zero | denormals_are_zero}, ptr %memory, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %memory)
  %wide = zext i32 %saved to i64
  ret i64 %wide
}}

define internal void @depthwise.leave_flush(i64 %saved) {{
  %memory = alloca i32, align 4
  %narrow = trunc i64 %saved to i32
  store i32 %narrow, ptr %memory, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %memory)
  ret void
}}
"""

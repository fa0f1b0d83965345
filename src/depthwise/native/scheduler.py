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

from depthwise.errors import InvalidArgumentError
from depthwise.native.targets import Target

__all__ = [
    "MAXIMUM_PARTICIPANTS",
    "PARTICIPATE",
    "SCHEDULER_VERSION",
    "TEAM_BLOCK_BYTES",
    "TEAM_SPIN_OFFSET",
    "TEAM_STOP_OFFSET",
    "scheduler_ir",
    "team_ir",
]

# Part of the cache keys of whatever contains this text.
SCHEDULER_VERSION: Final = "2"
PARTICIPATE: Final = "participate"
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
    """IR of `participate`, which runs a participant's share of a program's stages.

    The text declares nothing of the stages: it goes into the module that defines, for each name in `stages`,
    `void @NAME(ptr %context, i64 %task, i64 %participant)`. A name may occur several times. The number of tasks of
    stage s is element s of the array of i64 that the caller of the run names; zero or less means that the stage is
    empty.

    Parameters
    ----------
    stages
        Symbols of the task functions in running order, without `@`.
    target
        Machine the module is for.

    Returns
    -------
    Text that defines `void @participate(ptr %team, i64 %participant)` and internal helpers named `depthwise.…`.
    """
    if not stages:
        raise InvalidArgumentError("A program has no stages; it needs at least one.")
    lines = [
        f"define void @{PARTICIPATE}(ptr %team, i64 %participant) {{",
        "entry:",
        *_field("context.at", _CONTEXT),
        *_field("counts.at", _COUNTS),
        *_field("next", _NEXT),
        *_field("done", _DONE),
        *_field("limit.at", _LIMIT),
        "  %limit = load atomic i64, ptr %limit.at monotonic, align 8",
        "  %context = load ptr, ptr %context.at, align 8",
        "  %counts = load ptr, ptr %counts.at, align 8",
        "  br label %stage0",
    ]
    for number, stage in enumerate(stages):
        lines += _stage_lines(number, stage)
    lines += [f"stage{len(stages)}:", "  ret void", "}", "", "declare i64 @llvm.cttz.i64(i64, i1)", _wait_ir(target)]
    return "\n".join(lines) + "\n"


def _stage_lines(number: int, stage: str) -> list[str]:
    s = number
    before = "%stage" + str(s)
    lines = [f"stage{s}:"]
    if number == 0:
        begin = "0"
    else:
        begin = f"%end{s - 1}"
        lines += [
            f"  call void @depthwise.wait(ptr %team, ptr %done, i64 {begin})",
        ]
    lines += [
        f"  %count.at{s} = getelementptr i64, ptr %counts, i64 {s}",
        f"  %raw{s} = load i64, ptr %count.at{s}, align 8",
        f"  %some{s} = icmp sgt i64 %raw{s}, 0",
        f"  %count{s} = select i1 %some{s}, i64 %raw{s}, i64 0",
        f"  %end{s} = add i64 {begin}, %count{s}",
        f"  %first{s} = load atomic i64, ptr %next monotonic, align 8",
    ]
    claimed = number < _CLAIMED_STAGES
    if claimed:
        lines += [
            f"  %last{s} = add i64 %raw{s}, -1",
            f"  %few{s} = icmp ult i64 %last{s}, 64",
            f"  br i1 %few{s}, label %share{s}, label %claim{s}",
            *_own_share_lines(s, stage),
        ]
    else:
        lines += [f"  br label %claim{s}"]
    return [
        *lines,
        f"claim{s}:",
        f"  %seen{s} = phi i64 [ %first{s}, {before} ], [ %now{s}, %try{s} ], [ %again{s}, %run{s} ]",
        f"  %mine{s} = phi i64 [ 0, {before} ], [ %mine{s}, %try{s} ], [ %mine.next{s}, %run{s} ]",
        f"  %left{s} = icmp slt i64 %seen{s}, %end{s}",
        f"  br i1 %left{s}, label %try{s}, label %over{s}",
        f"try{s}:",
        f"  %raised{s} = add i64 %seen{s}, 1",
        f"  %pair{s} = cmpxchg ptr %next, i64 %seen{s}, i64 %raised{s} monotonic monotonic, align 8",
        f"  %now{s} = extractvalue {{ i64, i1 }} %pair{s}, 0",
        f"  %won{s} = extractvalue {{ i64, i1 }} %pair{s}, 1",
        f"  br i1 %won{s}, label %run{s}, label %claim{s}",
        f"run{s}:",
        f"  %task{s} = sub i64 %seen{s}, {begin}",
        f"  call void @{stage}(ptr %context, i64 %task{s}, i64 %participant)",
        f"  %mine.next{s} = add i64 %mine{s}, 1",
        f"  %again{s} = load atomic i64, ptr %next monotonic, align 8",
        f"  br label %claim{s}",
        f"over{s}:",
        f"  %idle{s} = icmp eq i64 %mine{s}, 0",
        f"  br i1 %idle{s}, label %stage{s + 1}, label %report{s}",
        f"report{s}:",
        f"  %finished{s} = phi i64 [ %mine{s}, %over{s} ]" + (f", [ %own.mine{s}, %counted{s} ]" if claimed else ""),
        # Release: whoever sees the count sees what the tasks wrote.
        f"  %was{s} = atomicrmw add ptr %done, i64 %finished{s} release, align 8",
        f"  br label %stage{s + 1}",
    ]


def _own_share_lines(s: int, stage: str) -> list[str]:
    """Stage `s` by bits: the first free task from this participant's share on, else the first free one."""
    return [
        f"share{s}:",
        f"  %claims{s} = getelementptr i8, ptr %team, i64 {_CLAIMS + 8 * s}",
        f"  %beyond{s} = sub i64 64, %count{s}",
        f"  %all{s} = lshr i64 -1, %beyond{s}",
        f"  %scaled{s} = mul i64 %participant, %count{s}",
        f"  %start{s} = udiv i64 %scaled{s}, %limit",
        f"  %ahead{s} = shl i64 -1, %start{s}",
        f"  %claimed{s} = load atomic i64, ptr %claims{s} monotonic, align 8",
        f"  br label %look{s}",
        f"look{s}:",
        f"  %taken{s} = phi i64 [ %claimed{s}, %share{s} ], [ %before{s}, %pick{s} ], [ %after{s}, %own{s} ]",
        f"  %own.mine{s} = phi i64 [ 0, %share{s} ], [ %own.mine{s}, %pick{s} ], [ %own.next{s}, %own{s} ]",
        f"  %not{s} = xor i64 %taken{s}, -1",
        f"  %free{s} = and i64 %all{s}, %not{s}",
        f"  %any{s} = icmp ne i64 %free{s}, 0",
        f"  br i1 %any{s}, label %pick{s}, label %shared{s}",
        f"pick{s}:",
        f"  %mine.free{s} = and i64 %free{s}, %ahead{s}",
        f"  %has.mine{s} = icmp ne i64 %mine.free{s}, 0",
        f"  %from{s} = select i1 %has.mine{s}, i64 %mine.free{s}, i64 %free{s}",
        f"  %own.task{s} = call i64 @llvm.cttz.i64(i64 %from{s}, i1 true)",
        f"  %bit{s} = shl i64 1, %own.task{s}",
        f"  %before{s} = atomicrmw or ptr %claims{s}, i64 %bit{s} monotonic, align 8",
        f"  %clash{s} = and i64 %before{s}, %bit{s}",
        f"  %mine.now{s} = icmp eq i64 %clash{s}, 0",
        f"  br i1 %mine.now{s}, label %own{s}, label %look{s}",
        f"own{s}:",
        f"  call void @{stage}(ptr %context, i64 %own.task{s}, i64 %participant)",
        f"  %own.next{s} = add i64 %own.mine{s}, 1",
        f"  %after{s} = load atomic i64, ptr %claims{s} monotonic, align 8",
        f"  br label %look{s}",
        f"shared{s}:",
        f"  %none{s} = icmp eq i64 %own.mine{s}, 0",
        f"  br i1 %none{s}, label %stage{s + 1}, label %counted{s}",
        f"counted{s}:",
        # The numbering of tasks goes on behind this stage for those that count; `done` below publishes it.
        f"  %passed{s} = atomicrmw add ptr %next, i64 %own.mine{s} monotonic, align 8",
        f"  br label %report{s}",
    ]


def _wait_ir(target: Target) -> str:
    """`depthwise.wait`: until the counter reaches the goal; spins first, then gives the processor away."""
    return "\n".join(
        [
            *_pause_declaration(target),
            "declare i32 @sched_yield()",
            "",
            "define internal void @depthwise.wait(ptr %team, ptr %counter, i64 %goal) {",
            "entry:",
            *_field("spin.at", _SPIN),
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


def _field(name: str, offset: int) -> list[str]:
    return [f"  %{name} = getelementptr i8, ptr %team, i64 {offset}"]


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

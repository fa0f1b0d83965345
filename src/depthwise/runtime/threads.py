"""A team of threads that stays alive between runs and executes compiled programs.

A worker is a thread that spends its life in native code: it spins there for a bounded time, waiting for
a run to open, and takes part in it; when nothing comes it returns to Python and sleeps. The caller of a run is
participant 0, so a run never waits for a worker to wake up. The protocol is described in `scheduler.py`.
"""

import _thread
import atexit
import contextlib
import ctypes
import functools
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final

from depthwise.compiler.native.compile import LoadedCode, Source
from depthwise.compiler.native.load import load_program
from depthwise.compiler.native.once import once
from depthwise.compiler.native.processors import usable_processors
from depthwise.compiler.native.scheduler import (
    MAXIMUM_PARTICIPANTS,
    TEAM_BLOCK_BYTES,
    TEAM_SPIN_OFFSET,
    TEAM_STOP_OFFSET,
    team_ir,
)
from depthwise.compiler.native.targets import host_target
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.runtime.buffers import aligned_empty

__all__ = ["THREADS_VARIABLE", "ThreadTeam", "default_threads", "get_threads", "set_threads", "team"]

THREADS_VARIABLE: Final = "DEPTHWISE_THREADS"

# How long a worker waits in native code for the next run, and a participant for the others at a barrier before it
# starts to give its processor away. Waking a sleeping worker takes about 50 microseconds, and Python between two training
# steps a few hundred, hence the first.
_IDLE_MICROSECONDS: Final = 400.0
_BARRIER_MICROSECONDS: Final = 20.0
# With more threads than processors a spinning thread keeps another one from working.
_CROWDED_MICROSECONDS: Final = 0.5

_GENERATIONS: Final = 2**32
_log = logging.getLogger("depthwise.compiler.native")


class _Worker:
    """One thread besides the caller. It sleeps by acquiring `bed`; `ended` is locked until it is over."""

    def __init__(self) -> None:
        self.bed = _thread.allocate_lock()
        self.bed.acquire()
        self.ended = _thread.allocate_lock()
        self.ended.acquire()
        self.started = False
        self.leaving = False

    def wake(self) -> None:
        # Not locked: woken before and not up yet. Waking once too often is harmless, it only looks again.
        with contextlib.suppress(RuntimeError):
            self.bed.release()


class ThreadTeam:
    """`size` threads, the calling one included, for runs of compiled programs.

    Workers start with the first run that needs them. Runs from several Python threads take turns. After a fork the
    child's team starts anew; at interpreter exit the workers end first.

    Parameters
    ----------
    size
        1 to 64 participants; more than the machine has processors is allowed.

    Example
    -------
    >>> ThreadTeam(2).size
    2
    """

    def __init__(self, size: int) -> None:
        self.size = check_threads(size)
        native = _native()
        crowded = size > usable_processors()
        idle = _CROWDED_MICROSECONDS if crowded else _IDLE_MICROSECONDS
        barrier = _CROWDED_MICROSECONDS if crowded else _BARRIER_MICROSECONDS
        self._idle_pauses = native.pauses(idle)
        self._memory = aligned_empty(TEAM_BLOCK_BYTES, alignment=128)
        self._memory[:] = 0
        self._block: int = self._memory.ctypes.data
        self._stop_flag = ctypes.c_int64.from_address(self._block + TEAM_STOP_OFFSET)
        ctypes.c_int64.from_address(self._block + TEAM_SPIN_OFFSET).value = native.pauses(barrier)
        self._native_run = native.run
        self._native_work = native.work
        # Re-entrant, because a signal handler may start a run between two bytecodes of another one. That run stays in this
        # thread: if it started workers while they are being started, each signal could interrupt the handler of the last.
        self._lock = threading.RLock()
        self._workers: list[_Worker] = []
        self._ready = False
        self._sleeping: set[_Worker] = set()
        self._generation = 0
        self._running = False
        _teams.add(self)

    def run(self, function: int, context: int, counts: int, participants: int | None = None) -> None:
        """One run of a program, start to end, in this thread and the team's workers.

        Nothing is checked here: addresses must be right and what lies there must live until `run` returns.

        Parameters
        ----------
        function
            Address of the program's `participate` (see `scheduler_ir`).
        context
            Address of the context block that the task functions get.
        counts
            Address of the number of tasks of every stage, an array of int64.
        participants
            At most so many threads take part; None for the whole team.

        Ctrl-C takes effect after the run.
        """
        limit = self.size if participants is None or participants > self.size else participants
        nested: bool = self._lock._is_owned()  # type: ignore[attr-defined]  # as threading.Condition asks
        with self._lock:
            if nested or limit <= 1:
                self._native_run(self._block, function, context, counts, 0, 1)
                return
            if not self._ready:
                self._start()
            try:
                # In this order: a worker that goes to sleep looks at these two after it has said so.
                self._generation = generation = (self._generation + 1) % _GENERATIONS
                self._running = True
                if self._sleeping:
                    self._wake()
                self._native_run(self._block, function, context, counts, generation, limit)
            finally:
                self._running = False

    def stop(self) -> None:
        """End the workers and wait for them. The next run starts new ones."""
        with self._lock:
            self._stop_workers()

    # A signal handler may raise between any two bytecodes of this thread. `_ready` brackets every change of the list of
    # workers, so that the run after an interrupted change starts over; a worker lost track of does no harm meanwhile.

    def _start(self) -> None:
        self._stop_workers()
        self._stop_flag.value = 0
        for _ in range(self.size - 1):
            worker = _Worker()
            self._workers.append(worker)
            try:
                # threading.Thread does not survive an exception in its start().
                _thread.start_new_thread(self._serve, (worker,))
            except RuntimeError as error:
                # The system grants no more threads: fewer participants give the same results.
                self._workers.pop()
                count = len(self._workers) + 1
                _log.warning("Only %d of %d threads could be started (%s).", count, self.size, error)
                break
            worker.started = True
        self._ready = True

    def _serve(self, worker: "_Worker") -> None:
        seen = 0
        while not worker.leaving:
            seen = self._native_work(self._block, seen, self._idle_pauses)
            self._sleeping.add(worker)
            # Only now look: a run that began before the line above did not see us asleep and would not wake us.
            run_to_join = self._running and self._generation != seen
            if not run_to_join and not worker.leaving:
                worker.bed.acquire()
            self._sleeping.discard(worker)
        worker.ended.release()

    def _wake(self) -> None:
        for worker in tuple(self._sleeping):
            worker.wake()

    def _stop_workers(self) -> None:
        self._ready = False
        for worker in self._workers:
            worker.leaving = True
        self._stop_flag.value = 1
        for worker in self._workers:
            worker.wake()
        for worker in tuple(self._workers):
            # Not leaving: a signal handler started it just now.
            if worker.started and worker.leaving:
                worker.ended.acquire()
                worker.ended.release()
            if worker.leaving:
                self._workers.remove(worker)

    def _before_fork(self) -> None:
        # The child has one thread; with no worker alive there is nothing of the team it could miss.
        self._lock.acquire()
        self._stop_workers()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        self._running = False

    def _at_exit(self) -> None:
        # A thread in the middle of a long run must not hold up the exit; daemon threads end with the process.
        if self._lock.acquire(timeout=1.0):
            try:
                self._stop_workers()
            finally:
                self._lock.release()


@dataclass(frozen=True)
class _Native:
    """The functions of `team_ir` as Python callables; ctypes releases the GIL around each."""

    code: LoadedCode
    run: Callable[[int, int, int, int, int, int], None]
    work: Callable[[int, int, int], int]
    pauses_per_microsecond: float

    def pauses(self, microseconds: float) -> int:
        return max(int(microseconds * self.pauses_per_microsecond), 1)


@once
def _native() -> _Native:
    text = team_ir(host_target())
    code = load_program(text, lambda: [Source(text)])
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    run = ctypes.CFUNCTYPE(None, pointer, pointer, pointer, pointer, number, number)
    work = ctypes.CFUNCTYPE(number, pointer, number, number)
    pause = ctypes.CFUNCTYPE(None, number)(code.function_address("team_pause"))
    # A pause takes 5 to 150 cycles, depending on the processor. The fastest of a few rounds: others may interrupt.
    count, shortest = 500, float("inf")
    for _ in range(4):
        begin = time.perf_counter()
        pause(count)
        shortest = min(shortest, time.perf_counter() - begin)
    return _Native(
        code=code,
        run=run(code.function_address("team_run")),
        work=work(code.function_address("team_work")),
        pauses_per_microsecond=count / max(shortest * 1e6, 1.0),
    )


def check_threads(threads: object) -> int:
    """`threads` as a number of threads that a team may have.

    Raises
    ------
    InvalidArgumentError
        It is not an integer from 1 to 64.
    """
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise InvalidArgumentError(
            f"The number of threads is {describe_value(threads)}; use an integer from 1 to {MAXIMUM_PARTICIPANTS}."
        )
    number = threads.__index__()
    if not 1 <= number <= MAXIMUM_PARTICIPANTS:
        raise InvalidArgumentError(
            f"The number of threads is {number}; use an integer from 1 to {MAXIMUM_PARTICIPANTS}."
        )
    return int(number)


def default_threads() -> int:
    """`$DEPTHWISE_THREADS` if set, else the processors this process may use, at most 64."""
    text = os.environ.get(THREADS_VARIABLE, "").strip()
    if not text:
        return min(usable_processors(), MAXIMUM_PARTICIPANTS)
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise InvalidArgumentError(
            f"The environment variable {THREADS_VARIABLE} is {describe_value(text)}; "
            f"use an integer from 1 to {MAXIMUM_PARTICIPANTS}, or unset it."
        )
    return check_threads(int(text))


def set_threads(threads: int | None) -> None:
    """Use so many threads from the next run on; None for the default. Results do not depend on it.

    Raises
    ------
    InvalidArgumentError
        `threads` is not an integer from 1 to 64.

    Example
    -------
    >>> set_threads(2)
    >>> get_threads()
    2
    >>> set_threads(None)
    """
    global _team
    wanted = default_threads() if threads is None else check_threads(threads)
    with _team_lock:
        if _team is not None and _team.size == wanted:
            return
        new = ThreadTeam(wanted)
        old, _team = _team, new
    if old is not None:
        old.stop()


def get_threads() -> int:
    """How many threads a run uses."""
    current = _team
    return default_threads() if current is None else current.size


def team() -> ThreadTeam:
    """The process's team, made on first use."""
    global _team
    if _team is None:
        with _team_lock:
            if _team is None:
                new = ThreadTeam(default_threads())
                # A signal handler may have run a program meanwhile, and so made the team.
                _team = new if _team is None else _team
    return _team


_team: ThreadTeam | None = None
# Re-entrant for signal handlers, like the team's own.
_team_lock = threading.RLock()
_teams: "weakref.WeakSet[ThreadTeam]" = weakref.WeakSet()


def _for_each_team(action: Callable[[ThreadTeam], None]) -> None:
    for each in tuple(_teams):
        action(each)


def _after_fork_in_child() -> None:
    global _team_lock
    _team_lock = threading.RLock()
    _for_each_team(ThreadTeam._after_fork_in_child)


atexit.register(_for_each_team, ThreadTeam._at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=functools.partial(_for_each_team, ThreadTeam._before_fork),
        after_in_parent=functools.partial(_for_each_team, ThreadTeam._after_fork_in_parent),
        after_in_child=_after_fork_in_child,
    )

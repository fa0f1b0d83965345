"""The team: every task once, stages in order, whatever the number of threads and the timing."""

import _thread
import ctypes
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from depthwise.compiler.native.compile import compile_module, load_object
from depthwise.compiler.native.targets import host_target
from depthwise.errors import InvalidArgumentError
from depthwise.runtime import threads
from depthwise.runtime.threads import ThreadTeam
from support.programs import Chain, Rendezvous, Subnormal, Tally


@pytest.fixture
def make_team() -> Iterator[Any]:
    teams = []

    def make(size: Any) -> Any:
        teams.append(ThreadTeam(size))
        return teams[-1]

    yield make
    for team in teams:
        team.stop()


@pytest.mark.parametrize("size", range(1, 9))
def test_every_task_runs_once_under_stress(make_team: Any, size: Any) -> None:
    team = make_team(size)
    tally = Tally([5, 1, 0, 17, -3, 2])
    arguments = tally.arguments()
    for _ in range(2000):
        team.run(*arguments)
    tally.check(2000)
    assert not tally.by_participant()[size:].any()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("width", [1, 2, 7, 40])
def test_a_stage_sees_all_of_the_stage_before(make_team: Any, size: int, width: int) -> None:
    team = make_team(size)
    chain = Chain(width)
    for seed in range(300):
        expected = chain.set(seed)
        team.run(*chain.arguments())
        np.testing.assert_array_equal(chain.memory[-1], expected)


def test_one_team_serves_several_programs_in_turn(make_team: Any) -> None:
    team = make_team(3)
    tally, chain = Tally([3, 4]), Chain(5)
    for seed in range(300):
        expected = chain.set(seed)
        team.run(*tally.arguments())
        team.run(*chain.arguments())
        np.testing.assert_array_equal(chain.memory[-1], expected)
    tally.check(300)


def test_a_run_of_nothing_ends(make_team: Any) -> None:
    team = make_team(2)
    tally = Tally([0, 0])
    for _ in range(100):
        team.run(*tally.arguments())
    tally.check(0)


@pytest.mark.parametrize("participants", [0, 1, 2, 3, 9])
def test_a_run_can_be_limited_to_fewer_participants(make_team: Any, participants: int) -> None:
    team = make_team(4)
    tally = Tally([9, 9])
    for _ in range(500):
        team.run(*tally.arguments(), participants)
    tally.check(500)
    assert not tally.by_participant()[max(1, min(participants, 4)) :].any()


@pytest.mark.parametrize("size", [2, 4])
def test_sleeping_workers_are_woken_and_get_tasks(make_team: Any, size: int) -> None:
    """Each task of a rendezvous ends only when all have begun, so it needs as many threads as it has tasks."""
    team = make_team(size)
    rendezvous = Rendezvous(size)
    for _ in range(10):
        team.run(*rendezvous.arguments())
        assert rendezvous.memory[0] == size
        rendezvous.memory[0] = 0
        deadline = time.monotonic() + 60
        while len(team._sleeping) < size - 1:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_two_callers_take_turns(make_team: Any) -> None:
    team = make_team(3)
    tallies = [Tally([4, 3]) for _ in range(3)]

    def call(tally: Any) -> None:
        for _ in range(1000):
            team.run(*tally.arguments())

    callers = [threading.Thread(target=call, args=(tally,)) for tally in tallies]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for tally in tallies:
        tally.check(1000)


def test_workers_end_with_stop_and_start_again(make_team: Any) -> None:
    team = make_team(3)
    tally = Tally([4])
    for _ in range(20):
        team.run(*tally.arguments())
        assert len(team._workers) == 2
        workers = list(team._workers)
        assert all(worker.ended.locked() for worker in workers)
        team.stop()
        assert not any(worker.ended.locked() for worker in workers)
    tally.check(20)


def test_a_team_short_of_threads_works_with_those_it_got(
    make_team: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start = _thread.start_new_thread
    started: list[Any] = []

    def refuse_the_second(function: Any, arguments: Any) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(start(function, arguments))

    monkeypatch.setattr(_thread, "start_new_thread", refuse_the_second)
    team = make_team(4)
    tally = Tally([9])
    for _ in range(100):
        team.run(*tally.arguments())
    tally.check(100)
    assert "Only 2 of 4 threads could be started" in caplog.text


def test_subnormals_are_zero_during_a_run_and_not_after(make_team: Any) -> None:
    tiny = np.float32(1e-40)
    for size in (1, 4):
        team = make_team(size)
        program = Subnormal(60)
        program.memory[0] = tiny
        for _ in range(50):
            program.memory[1:] = np.nan
            team.run(*program.arguments())
            assert not program.memory[1:].any()
        assert np.array([tiny])[0] * np.float32(1.5) > 0


@pytest.mark.skipif(host_target().architecture != "x86_64", reason="MXCSR is a register of x86")
def test_the_callers_floating_point_state_comes_back(make_team: Any) -> None:
    code = load_object(
        compile_module(
            """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define void @get(ptr %at) {
  call void @llvm.x86.sse.stmxcsr(ptr %at)
  ret void
}
define void @set(ptr %at) {
  call void @llvm.x86.sse.ldmxcsr(ptr %at)
  ret void
}
""",
            host_target(),
        )
    )
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    get, put = (prototype(code.function_address(name)) for name in ("get", "set"))
    before, unusual, after = ctypes.c_uint32(), ctypes.c_uint32(), ctypes.c_uint32()
    get(ctypes.addressof(before))
    # Rounding towards zero, a sticky flag set, no flushing.
    unusual.value = (before.value | 0x6000 | 0x0020) & ~0x8040
    program = Subnormal(5)
    program.memory[0] = 1 + 2**-23
    for size in (1, 2):
        team = make_team(size)
        put(ctypes.addressof(unusual))
        try:
            team.run(*program.arguments())
            get(ctypes.addressof(after))
        finally:
            put(ctypes.addressof(before))
        assert after.value == unusual.value
        # 1.5 * (1 + 2^-23) lies halfway between two floats: to nearest even it goes up, towards zero down.
        assert program.memory[1:].tolist() == [1.5 + 2**-22] * 5


@pytest.mark.parametrize("wrong", [0, -1, 65, 2.0, "2", None, True])
def test_a_wrong_number_of_threads_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="use an integer from 1 to 64"):
        ThreadTeam(wrong)


@pytest.mark.usefixtures("_default_threads")
def test_set_threads_changes_the_team_of_the_process() -> None:
    tally = Tally([6])
    for runs, size in enumerate([1, 2, 3, 4, 2], start=1):
        threads.set_threads(size)
        assert threads.get_threads() == size == threads.team().size
        threads.team().run(*tally.arguments())
        tally.check(runs)
    with pytest.raises(InvalidArgumentError, match="number of threads is 0"):
        threads.set_threads(0)
    assert threads.get_threads() == 2


@pytest.mark.usefixtures("_default_threads")
def test_the_environment_sets_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHWISE_THREADS", "3")
    threads.set_threads(None)
    assert threads.get_threads() == 3
    monkeypatch.setenv("DEPTHWISE_THREADS", "many")
    with pytest.raises(InvalidArgumentError, match="DEPTHWISE_THREADS is 'many'"):
        threads.default_threads()
    monkeypatch.setenv("DEPTHWISE_THREADS", "0")
    with pytest.raises(InvalidArgumentError, match="number of threads is 0"):
        threads.default_threads()
    monkeypatch.delenv("DEPTHWISE_THREADS")
    assert 1 <= threads.default_threads() <= 64

"""The team against the operating system: fork, exit, signals. Each in a process of its own."""

import os
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork and signals are POSIX's")

PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
from support.programs import Gate, Rendezvous, Tally
from depthwise.runtime.threads import ThreadTeam, set_threads, team
set_threads(3)
tally = Tally([5, 4])
arguments = tally.arguments()
"""


def test_a_forked_child_gets_a_team_of_its_own(run_script: Any) -> None:
    output = run_script(
        PRELUDE
        + """
for _ in range(100):
    team().run(*arguments)
for generation in range(3):
    child = os.fork()
    if child == 0:
        for _ in range(100):
            team().run(*arguments)
        tally.check(100 + generation * 100 + 100)
        os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    for _ in range(100):
        team().run(*arguments)
tally.check(400)
print("fine", end="")
"""
    )
    assert output == "fine"


def test_a_fork_while_another_thread_runs(run_script: Any) -> None:
    output = run_script(
        PRELUDE
        + """
busy = True
mine = Tally([3])
runs = 0
def work():
    global runs
    while busy:
        team().run(*arguments)
        runs += 1
worker = threading.Thread(target=work)
worker.start()
for _ in range(8):
    child = os.fork()
    if child == 0:
        for _ in range(20):
            team().run(*mine.arguments())
        mine.check(20)
        os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
busy = False
worker.join()
tally.check(runs)
print("fine", end="")
"""
    )
    assert output == "fine"


def test_a_forked_child_exits_cleanly_through_the_interpreter(run_script: Any) -> None:
    output = run_script(
        PRELUDE
        + """
team().run(*arguments)
child = os.fork()
if child == 0:
    team().run(*arguments)
    sys.exit(7)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), end="")
"""
    )
    assert output == "7"


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "time.sleep(0.2)",
        "sys.exit(0)",
        "team().stop()",
        "set_threads(4)",
        "threading.Thread(target=lambda: team().run(*arguments)).start()",
        # A daemon thread that never stops running, and one that waits in the middle of a run.
        """
def forever():
    while True:
        team().run(*arguments)
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.05)
""",
        """
gate = Gate(3)
threading.Thread(target=lambda: team().run(*gate.arguments()), daemon=True).start()
time.sleep(0.05)
""",
    ],
    ids=["at once", "asleep", "exit", "stopped", "resized", "thread", "endless runs", "stuck run"],
)
def test_the_interpreter_exits(run_script: Any, ending: str) -> None:
    assert run_script(PRELUDE + "team().run(*arguments)\nprint('ran', end='')\n" + ending) == "ran"


@pytest.mark.parametrize("size", [1, 3])
def test_control_c_takes_effect_after_the_run(run_script: Any, size: int) -> None:
    output = run_script(
        PRELUDE
        + f"""
set_threads({size})
gate = Gate(6)
def interrupt():
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    assert not gate.memory[1:].any()
    gate.memory[0] = 1
helper = threading.Thread(target=interrupt)
helper.start()
try:
    team().run(*gate.arguments())
except KeyboardInterrupt:
    assert gate.memory.all()
    print("interrupted", end="")
helper.join()
meeting = Rendezvous({size})
team().run(*meeting.arguments())
assert meeting.memory[0] == {size}
"""
    )
    assert output == "interrupted"


def test_a_storm_of_interrupts_leaves_the_team_whole(run_script: Any) -> None:
    """Exceptions arrive between any two bytecodes of `run`; each program must still have run wholly or not at all."""
    output = run_script(
        PRELUDE
        + """
class Bell(Exception):
    pass
def ring(number, frame):
    raise Bell
signal.signal(signal.SIGALRM, ring)
rung = 0
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.000013 * (_ % 50))
        while True:
            team().run(*arguments)
    except Bell:
        rung += 1
    if _ % 10 == 0:
        team().stop()
assert rung == 300
runs = int(tally.memory[1, 0])
tally.check(runs)
team().stop()
meeting = Rendezvous(3)
for _ in range(50):
    team().run(*meeting.arguments())
    assert meeting.memory[0] == 3
    meeting.memory[0] = 0
print("whole", end="")
"""
    )
    assert output == "whole"


def test_handlers_inside_handlers_start_no_workers(run_script: Any) -> None:
    """A run that interrupts the start of the workers stays in its thread; it does not start them once more."""
    output = run_script(
        PRELUDE
        + """
import _thread
inner = Tally([3, 3])
starts, depth = [], 0
start = _thread.start_new_thread
def interrupted_start(function, arguments):
    # What a signal handler between two bytecodes of the start does.
    global depth
    starts.append(function)
    if depth < 20:
        depth += 1
        team().run(*inner.arguments())
    return start(function, arguments)
_thread.start_new_thread = interrupted_start
set_threads(3)
team().stop()
team().run(*arguments)
tally.check(1)
inner.check(depth)
assert (len(starts), depth) == (2, 2), (starts, depth)
print("fine", end="")
"""
    )
    assert output == "fine"


def test_a_signal_handler_may_run_too(run_script: Any) -> None:
    output = run_script(
        PRELUDE
        + """
inner = Tally([3, 3])
handled = 0
def handle(number, frame):
    global handled
    team().run(*inner.arguments())
    handled += 1
    # Not a period: on a busy machine the next signal would come before this handler is done.
    signal.setitimer(signal.ITIMER_REAL, 0.001)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001)
runs = 0
while handled < 100:
    team().run(*arguments)
    runs += 1
signal.setitimer(signal.ITIMER_REAL, 0)
tally.check(runs)
inner.check(handled)
print("fine", end="")
"""
    )
    assert output == "fine"


def test_importing_native_code_does_not_import_llvmlite(run_script: Any) -> None:
    output = run_script(
        """
import sys
import depthwise.compiler.native.cache, depthwise.compiler.native.compile, depthwise.compiler.native.load
import depthwise.compiler.native.scheduler, depthwise.compiler.native.targets, depthwise.runtime.threads
print([name for name in ("llvmlite", "platformdirs") if name in sys.modules], end="")
"""
    )
    assert output == "[]"

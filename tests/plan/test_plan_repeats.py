"""Loops in a schedule run the calls that were written down, in their order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthwise.compiler.dump import schedule_text
from depthwise.compiler.kernels.elementwise import Copy
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.plan.repeats import LEAST_ROUNDS, in_pieces, repeated, rolled
from depthwise.compiler.plan.schedule import Call, Item, Pointer, Repeat, Schedule, Stage, every_call, written_out

VIEWS = [MapView(1, 1, channels, 16, 16) for channels in (1, 2)]
KERNELS = [Copy(view, view) for view in VIEWS]


def call(kernel: int, source: int, target: int) -> Call:
    return Call(KERNELS[kernel], (Pointer("local", source), Pointer("sample", target)))


ROUNDS = st.lists(
    st.lists(st.builds(call, st.integers(0, 1), st.integers(0, 3), st.integers(0, 3)), max_size=2), max_size=12
)


def shifted(rounds: Sequence[Sequence[Call]], copies: int, step: int) -> list[list[Item]]:
    """The rounds again and again, further on each time."""
    return [
        [item.moved((step * i, 2 * step * i)) for item in items] for i in range(copies) for items in (rounds or [[]])
    ]


@given(rounds=ROUNDS, copies=st.integers(1, 9), step=st.integers(-2, 3), inner=st.integers(1, 6))
def test_rolling_up_changes_neither_calls_nor_order(
    rounds: list[list[Call]], copies: int, step: int, inner: int
) -> None:
    plain = shifted(rounds, copies, step)
    assert list(written_out(rolled(plain))) == [item for items in plain for item in items]
    # Loops within loops.
    nested = [repeated([one for one in items if isinstance(one, Call)], inner, {"a": 3, "out": 5}) for items in plain]
    assert list(written_out(rolled(nested))) == [item for items in nested for item in written_out(items)]
    tasks = Stage("tasks", pieces=in_pieces(plain))
    assert tasks.task_count == len(tasks.tasks) == len(plain)
    assert [list(task) for task in tasks.tasks] == plain


@pytest.mark.parametrize("count", range(1, 10))
def test_few_rounds_stay_calls(count: int) -> None:
    rounds = [[call(0, 10 * i, 0), call(1, 0, i)] for i in range(count)]
    found = rolled(rounds)
    assert rolled(items[:1] for items in rounds) == repeated([call(0, 0, 0)], count, {"a": 10})
    if count < LEAST_ROUNDS:
        assert not any(isinstance(item, Repeat) for item in found)
    else:
        assert found == [Repeat(count, ((10, 0), (0, 1)), tuple(rounds[0]))]
        assert list(every_call(found)) == rounds[0]


def test_first_and_last_strip_may_differ() -> None:
    middle = [[call(1, 5 + 2 * i, 0)] for i in range(6)]
    strips = [[call(0, 0, 0)], *middle, [call(0, 90, 0)]]
    found = rolled(strips)
    assert [type(item) for item in found] == [Call, Repeat, Call]
    # One of the same kernel that is not as far away is not part of the loop either.
    assert len(rolled([[call(1, 0, 0)], *middle])) == 2


def test_text_of_a_schedule_shows_loops() -> None:
    inner = repeated([call(0, 0, 0)], 8, {"a": 3})
    loop = Repeat(5, ((7, 1),), tuple(inner))
    schedule = Schedule((), (Stage("work", pieces=((loop,), Repeat(6, ((0, 2),), (call(1, 0, 0),)))),), 1, {}, (), ())
    text = schedule_text(schedule)
    assert "task 0:\n    5 times:\n      8 times:\n" in text
    assert "a=local+0[+7,+3], out=sample+0[+1,+0])" in text
    assert "tasks 1 to 6:" in text
    assert "a=local+0, out=sample+0[+2])" in text

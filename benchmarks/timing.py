"""How a candidate's time is taken."""

import time
from collections.abc import Callable, Sequence
from typing import Any

LEAST_RUNS = 5


def measure(
    run: Callable[[Any], Any],
    inputs: Sequence[Any],
    seconds: float,
    clock: Callable[[], int] = time.perf_counter_ns,
    least: int = LEAST_RUNS,
) -> list[int]:
    """Run for about `seconds` and return the nanoseconds of each run but the first, at least `least` of them.

    The first run pays for caches, sleeping threads and clock speeds that the turn before left behind.
    `inputs` are taken in turn.
    """
    run(inputs[0])
    times: list[int] = []
    begin = clock()
    while len(times) < least or clock() - begin < seconds * 1e9:
        arranged = inputs[(len(times) + 1) % len(inputs)]
        before = clock()
        run(arranged)
        times.append(clock() - before)
    return times

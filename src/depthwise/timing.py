"""How long calls take, measured in turns, so that a busy moment of the machine hits all of them."""

import time
from collections.abc import Callable, Sequence

__all__ = ["time_in_turns"]

_CALL_SECONDS = 0.002
"""A round repeats its call until about so much time has passed, so that the clock's resolution does not matter."""


def time_in_turns(
    calls: Sequence[Callable[[], object]], seconds: float, fewest_rounds: int, most_rounds: int
) -> tuple[tuple[float, ...], ...]:
    """Seconds of each call, one value a round; in each round every call has its turn.

    A first round, not counted, compiles, warms the caches and finds how often to repeat short calls. At least
    `fewest_rounds` are counted, and more, up to `most_rounds`, while fewer than `seconds` have passed.
    """
    repeats = []
    for call in calls:
        call()
        start = time.perf_counter()
        call()
        repeats.append(max(1, round(_CALL_SECONDS / max(time.perf_counter() - start, 1e-9))))
    results: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    for number in range(most_rounds):
        if number >= fewest_rounds and time.perf_counter() >= end:
            break
        for call, count, values in zip(calls, repeats, results):
            start = time.perf_counter()
            for _ in range(count):
                call()
            values.append((time.perf_counter() - start) / count)
    return tuple(tuple(values) for values in results)

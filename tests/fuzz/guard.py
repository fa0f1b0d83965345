"""What reading a file costs, in units that do not depend on the machine: calls of functions, and memory."""

import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

__all__ = ["TooMuchError", "cost"]


class TooMuchError(BaseException):
    """The call goes on beyond what it may cost; no reader catches it."""


def cost(call: Callable[[], Any], most_calls: int) -> tuple[Any, int, int]:
    """(what `call` gives, the functions of Python and C that it called, the bytes that it held at the same time).

    Raises:
        TooMuchError: after `most_calls`, so that even a call without end comes to one.
    """
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if calls > most_calls:
                sys.setprofile(None)
                raise TooMuchError(f"more than {most_calls:,} calls")

    before = sys.getprofile()
    tracemalloc.start()
    sys.setprofile(count)
    try:
        result = call()
    finally:
        sys.setprofile(before)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return result, calls, peak

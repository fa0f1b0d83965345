"""What a process makes once and all its threads share.

`making` is held while anything of this kind is made, so that the other threads wait for it instead of making it again. It
only saves work: whoever makes something publishes it in one assignment when it is complete, because a signal handler that
runs in between may raise, or may need the same thing and make it too.
"""

import functools
import os
import threading
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["making", "once"]

Made = TypeVar("Made")

making: Final = threading.RLock()
"""Held while code is generated, compiled and linked. Re-entrant, because a signal handler may predict."""


def once(make: Callable[[], Made]) -> Callable[[], Made]:
    """A function that returns the one result of `make()`, the same object in every thread.

    `functools.cache` calls `make` again in every thread that arrives before the first result.

    Example
    -------
    >>> numbers = iter(range(9))
    >>> first = once(lambda: next(numbers))
    >>> first(), first()
    (0, 0)
    """
    made: dict[str, Made] = {}

    @functools.wraps(make)
    def get() -> Made:
        if "it" not in made:
            with making:
                if "it" not in made:
                    made.setdefault("it", make())
        return made["it"]

    return get


# A fork waits until nothing is being made: the child has no other thread that could finish it, or give back LLVM's lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=making.acquire, after_in_parent=making.release, after_in_child=making.release)

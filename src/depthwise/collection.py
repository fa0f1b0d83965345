"""Long allocations without Python's search for unreachable cycles, which would look through them again and again."""

import functools
import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["without_collections"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def without_collections(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function that builds much and throws away little, such as a model: nothing is searched while it runs."""

    @functools.wraps(function)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        enabled = gc.isenabled()
        # Not a context manager: between the end of a block and `gc.enable` here, no interrupt can arrive.
        try:
            gc.disable()
            return function(*args, **kwargs)
        finally:
            if enabled:
                gc.enable()

    return run

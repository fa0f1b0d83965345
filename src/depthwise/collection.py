"""Long allocations without Python's search for unreachable cycles, which would look through them again and again."""

import gc
from contextlib import ContextDecorator
from types import TracebackType

__all__ = ["without_collections"]


class without_collections(ContextDecorator):  # noqa: N801 - used as a decorator or in `with`
    """Around what builds much and throws away little, such as a model: nothing is searched meanwhile.

    In `with` it adds no frame to the stack, which counts where a warning names the line of the caller.
    """

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._enabled:
            gc.enable()

    def _recreate_cm(self) -> "without_collections":
        return without_collections()  # each call of a decorated function remembers its own state

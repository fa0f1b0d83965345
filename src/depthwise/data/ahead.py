"""Batches of a sequence that threads make in advance, in a given order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["Ahead", "in_order"]


class Ahead:
    """Makes the items of `sequence` in threads, up to a few before they are asked for.

    Args:
        sequence: has `__getitem__`, which several threads may call at once.
        workers: threads. most: items that may wait.
    """

    def __init__(self, sequence: Any, workers: int, most: int) -> None:
        self.sequence = sequence
        self.workers = workers
        self.most = most
        self._threads: ThreadPoolExecutor | None = None
        self._waiting: dict[int, Future[Any]] = {}

    @staticmethod
    def of(sequence: Any) -> "Ahead | None":
        """For a sequence that asks for more than one worker, as `PyDataset` does; else None."""
        workers = getattr(sequence, "workers", 1)
        if not isinstance(workers, int) or workers < 2:
            return None
        return Ahead(sequence, workers, int(getattr(sequence, "max_queue_size", 10)))

    def take(self, order: Any, position: int) -> Any:
        """The item `order[position]` (numbers as a list, range or array); those behind it are begun."""
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor  # slow to import, and most data needs none

            self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="depthwise-data")
        if position not in self._waiting:  # another place than was expected: what is under way is of no use
            self._drop()
        for ahead in range(position, min(position + self.most + 1, len(order))):
            if ahead not in self._waiting:
                self._waiting[ahead] = self._threads.submit(self.sequence.__getitem__, int(order[ahead]))
        return self._waiting.pop(position).result()

    def _drop(self) -> None:
        for item in self._waiting.values():
            item.cancel()
        self._waiting = {}

    def stop(self) -> None:
        """Waits for what is under way, and ends the threads: the sequence may change now."""
        threads, self._threads, self._waiting = self._threads, None, {}
        if threads is not None:
            threads.shutdown(wait=True, cancel_futures=True)


def in_order(sequence: Any, count: int) -> Iterator[Any]:
    """The first `count` items of a sequence, made in its workers where it asks for such."""
    ahead = Ahead.of(sequence)
    if ahead is None:
        for index in range(count):
            yield sequence[index]
        return
    try:
        for index in range(count):
            yield ahead.take(range(count), index)
    finally:
        ahead.stop()

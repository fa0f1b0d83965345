"""`PyDataset`, known as `Sequence` in Keras 2: batches that Python code makes, one after another or in threads."""

from collections.abc import Iterator
from typing import Any

from depthwise.data.batches import Batches
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value

__all__ = ["PyDataset"]


class PyDataset(Batches):
    """Base of batches by number: a subclass has `__len__` and `__getitem__(index) -> (x, y)`.

    Args:
        workers: threads that make batches in advance while `fit`, `evaluate` or `predict` works; with 1 each batch is made when
            it is needed. The batches come in the same order whatever the number.
        use_multiprocessing: must be False: batches are made in threads, not in processes.
        max_queue_size: how many batches may wait at most.

    Raises:
        InvalidArgumentError: `workers` or `max_queue_size` below 1 (0 workers is the same as 1).
        UnsupportedError: `use_multiprocessing=True`.

    >>> class Ramp(PyDataset):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         return [[float(index)]], [index]
    >>> list(Ramp())
    [([[0.0]], [0]), ([[1.0]], [1])]
    """

    workers: int = 1
    max_queue_size: int = 10
    use_multiprocessing: bool = False

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        for name, value, least in (("workers", workers, 0), ("max_queue_size", max_queue_size, 1)):
            if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
                raise InvalidArgumentError(
                    f"{type(self).__name__}: {name} must be an integer of at least {least}, got {describe_value(value)}"
                )
        if use_multiprocessing:
            raise UnsupportedError(
                f"{type(self).__name__}: use_multiprocessing=True is not supported; give workers=4 (or so) to make batches in "
                "threads"
            )
        self.workers, self.max_queue_size = int(workers), int(max_queue_size)

    @property
    def num_batches(self) -> int | None:
        """The number of batches in an epoch."""
        return len(self)

    def __iter__(self) -> Iterator[Any]:
        for index in range(len(self)):
            yield self[index]

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

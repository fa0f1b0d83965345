"""Batches for the loops: from arrays, cut and shuffled here, or from a sequence or generator of batches.

A batch is asked for by its number in a pass over the data, and the order of a pass follows from the seed and the number of
the pass alone: so a training that is resumed in the middle of an epoch sees the batches that were left.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np

from depthwise.data.ahead import Ahead
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, InvalidDataError, describe_value
from depthwise.model.inputs import length
from depthwise.random import stream
from depthwise.training.samples import Samples

__all__ = ["ArrayBatches", "Batch", "GivenBatches", "Place", "Schedule", "Source", "StreamedBatches"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Place:
    """Where a batch is: number of the pass over the data, number of the batch in it. Both from 0."""

    round: int
    index: int


@dataclass(frozen=True)
class Batch:
    """One batch as the step takes it; its arrays are valid until the next batch is made.

    Attributes:
        x: float32 arrays (batch, …). y, sample_weight: for each output what `Samples` has, or None.
        place: where it came from.
    """

    x: tuple[Array, ...]
    y: tuple[Array | None, ...]
    sample_weight: tuple[Array | None, ...]
    place: Place


class Source(Protocol):
    """Where batches come from.

    Attributes:
        count: batches in one pass; None where only the end tells.
        repeatable: a batch can be made again.
    """

    count: int | None
    repeatable: bool

    def batch(self, place: Place) -> Batch | None:
        """The batch at `place`, None behind the last one."""

    def begin_epoch(self) -> None:
        """Called before each epoch."""

    def end_epoch(self) -> None:
        """Called after each epoch."""

    def reseed(self, seed: int) -> None:
        """Takes the orders of another training."""


class ArrayBatches:
    """Batches of checked samples.

    Args:
        samples: the data.
        batch_size: samples in a batch; the last one of a pass has what is left.
        shuffle: a new order for each pass; "batch" keeps batches together and shuffles within each.
        seed: the orders follow from it.
    """

    repeatable = True

    def __init__(self, samples: Samples, batch_size: int, shuffle: bool | str = False, seed: int = 0) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.count: int | None = math.ceil(len(samples) / batch_size)
        rows = min(batch_size, len(samples))
        self._floats = [self._buffer(array, rows, np.dtype(np.float32)) for array in samples.x]
        self._raw = [self._buffer(array, rows, array.dtype) for array in samples.x]
        self._order: tuple[int, Array] | None = None

    def _buffer(self, array: Array, rows: int, dtype: np.dtype[Any]) -> Array:
        needed = bool(self.shuffle) or array.dtype != dtype
        return np.empty((rows if needed else 0, *array.shape[1:]), dtype=dtype)

    def _rows(self, place: Place, start: int, stop: int) -> Array | None:
        if not self.shuffle:
            return None
        if self.shuffle == "batch":
            return start + stream(self.seed, f"shuffle/{place.round}/{place.index}").permutation(stop - start)
        if self._order is None or self._order[0] != place.round:
            self._order = (place.round, stream(self.seed, f"shuffle/{place.round}").permutation(len(self.samples)))
        return self._order[1][start:stop]

    def batch(self, place: Place) -> Batch | None:
        start = place.index * self.batch_size
        stop = min(start + self.batch_size, len(self.samples))
        if start >= stop:
            return None
        rows = self._rows(place, start, stop)
        samples = self.samples
        chosen: slice | Array = slice(start, stop) if rows is None else rows
        if rows is None:
            x = [self._as_float(i, array[start:stop]) for i, array in enumerate(samples.x)]
        else:
            x = [self._gather(i, array, rows) for i, array in enumerate(samples.x)]
        y = [None if labels is None else labels[chosen] for labels in samples.y]
        weights = [None if weight is None else weight[chosen] for weight in samples.sample_weight]
        return Batch(tuple(x), tuple(y), tuple(weights), place)

    def _gather(self, index: int, array: Array, rows: Array) -> Array:
        raw = self._raw[index] if array.dtype != np.float32 else self._floats[index]
        # mode="clip" lets NumPy write straight into `out`; no row number is outside anyway.
        return self._as_float(index, np.take(array, rows, axis=0, out=raw[: len(rows)], mode="clip"))

    def _as_float(self, index: int, values: Array) -> Array:
        if values.dtype == np.float32:
            return values
        target = self._floats[index][: len(values)]
        np.copyto(target, values)
        return target

    def begin_epoch(self) -> None:
        """Nothing to do."""

    def end_epoch(self) -> None:
        """Nothing to do: the next pass makes its own order."""

    def reseed(self, seed: int) -> None:
        self.seed, self._order = seed, None


Check = Callable[[Any, Any, Any, str], Samples]
"""Checks (x, y, sample_weight) of one batch; the text says where they come from."""


class GivenBatches:
    """Batches of a sequence: an object with `__len__` and `__getitem__(index) -> (x, y)` or `(x, y, sample_weight)`.

    Args:
        sequence: the batches; its `on_epoch_begin` and `on_epoch_end` are called where it has them.
            Where its `workers` is above 1, threads make the batches in advance.
        check: checks each batch.
        shuffle: whether each pass takes the batches in another order.
        seed: the orders follow from it.
    """

    repeatable = True

    def __init__(self, sequence: Any, check: Check, shuffle: bool = False, seed: int = 0) -> None:
        self.sequence = sequence
        self.check = check
        self.shuffle = shuffle
        self.seed = seed
        count = len(sequence)
        self.count: int | None = count
        if not count:
            raise InvalidDataError("x is a sequence of no batches; give at least one")
        self._order: tuple[int, Array] = (-1, np.arange(count))
        self._ahead = Ahead.of(sequence)

    def batch(self, place: Place) -> Batch | None:
        if place.index >= (self.count or 0):
            return None
        if self.shuffle and self._order[0] != place.round:
            self._order = (place.round, stream(self.seed, f"shuffle/{place.round}").permutation(self.count or 0))
        number = int(self._order[1][place.index])
        item = self.sequence[number] if self._ahead is None else self._ahead.take(self._order[1], place.index)
        return _checked(item, self.check, f"batch {number}: ", place)

    def begin_epoch(self) -> None:
        self._call("on_epoch_begin")

    def end_epoch(self) -> None:
        self._stop()
        self._call("on_epoch_end")

    def _call(self, name: str) -> None:
        hook = getattr(self.sequence, name, None)
        if hook is not None:
            hook()

    def _stop(self) -> None:
        if self._ahead is not None:
            self._ahead.stop()

    def reseed(self, seed: int) -> None:
        self._stop()
        self.seed, self._order = seed, (-1, np.arange(self.count or 0))


class StreamedBatches:
    """Batches of a generator or another iterable: each can be had once.

    Args:
        iterable: gives (x, y) or (x, y, sample_weight).
        check: checks each batch.
    """

    repeatable = False

    def __init__(self, iterable: Any, check: Check) -> None:
        self.iterable = iterable
        self.check = check
        self.count: int | None = length(iterable)
        self._iterator: Iterator[Any] | None = None
        self._round = -1

    def batch(self, place: Place) -> Batch | None:
        if self._iterator is None or self._round != place.round:
            self._iterator, self._round = iter(self.iterable), place.round
        try:
            item = next(self._iterator)
        except StopIteration:
            return None
        return _checked(item, self.check, f"batch {place.index}: ", place)

    def begin_epoch(self) -> None:
        """Nothing to do."""

    def end_epoch(self) -> None:
        """Nothing to do."""

    def reseed(self, seed: int) -> None:
        """Nothing to do: the order is the generator's own."""


def _checked(item: Any, check: Check, where: str, place: Place) -> Batch:
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        what = f"{len(item)} things" if isinstance(item, (tuple, list)) else describe_value(type(item).__name__)
        raise InvalidDataError(f"{where}a batch must be (x, y) or (x, y, sample_weight), got {what}")
    samples = check(item[0], item[1], item[2] if len(item) == 3 else None, where)
    x = tuple(np.ascontiguousarray(array, dtype=np.float32) for array in samples.x)
    return Batch(x, samples.y, samples.sample_weight, place)


class Schedule:
    """Which batches an epoch takes: all of a pass; or `steps` of them, the next epoch going on where this one stopped.

    Args:
        source: the batches.
        steps: steps of an epoch, or None for a whole pass.
    """

    def __init__(self, source: Source, steps: int | None = None) -> None:
        if steps is not None and (isinstance(steps, bool) or not hasattr(steps, "__index__") or int(steps) < 1):
            raise InvalidArgumentError(f"steps must be an integer of at least 1, or None, got {describe_value(steps)}")
        self.source = source
        self.steps = None if steps is None else int(steps)
        self.next = Place(0, 0)

    @property
    def count(self) -> int | None:
        """Steps of an epoch, None while unknown."""
        return self.steps or self.source.count

    def resume(self, place: Place) -> None:
        """Lets the next batch be the one at `place`."""
        self.next = place

    def epoch(self, first_step: int = 0) -> Iterator[tuple[int, Batch]]:
        """(step, batch) of one epoch, from `first_step` on."""
        if self.steps is None and first_step == 0 and self.next.index:
            self.next = Place(self.next.round + 1, 0)
        limit = self.count
        step = first_step
        self.source.begin_epoch()
        while limit is None or step < limit:
            batch = self.source.batch(self.next)
            if batch is None:
                if self.source.count is None and self.steps is None and step:
                    self.source.count = limit = step  # the first pass over a generator tells its length
                else:
                    warnings.warn(
                        f"the data ran out after {step} of {limit or 'unknown'} steps of the epoch; give more data or "
                        "fewer steps",
                        stacklevel=4,
                    )
                self.next = Place(self.next.round + 1, 0)
                break
            self.next = Place(self.next.round, self.next.index + 1)
            yield step, batch
            step += 1
        if self.source.count is not None and self.next.index >= self.source.count:
            self.next = Place(self.next.round + 1, 0)
        self.source.end_epoch()

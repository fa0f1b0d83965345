"""Data as a pipeline: batches that are made while they are read, with the methods that scripts call on `tf.data.Dataset`.

The elements are NumPy arrays, single ones or tuples of them; they come one after another in a fixed order, whatever was asked for in
`num_parallel_calls` or `prefetch`.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from depthwise.data.batches import is_batches
from depthwise.errors import InvalidArgumentError, InvalidDataError, describe_value
from depthwise.random import generator

__all__ = ["Dataset", "split_dataset"]


class Dataset:
    """Elements that can be iterated over again and again.

    Args:
        start: makes a new iterator for each pass.
        count: elements of a pass; None where only the end tells.
        class_names: of the labels, where the data has such.
        file_paths: of the images, where the data comes from files.
        pixel_scale, image_fit: what the images were made like; see `depthwise.usage`.

    `map`, `take`, `skip`, `batch`, `unbatch`, `shuffle`, `repeat`, `prefetch` and `cache` return new datasets.

    >>> numbers = Dataset.from_tensor_slices(([1, 2, 3], [4, 5, 6]))
    >>> [(x.tolist(), y.tolist()) for x, y in numbers.map(lambda x, y: (x * 2, y)).batch(2)]
    [([2, 4], [4, 5]), ([6], [6])]
    """

    def __init__(
        self,
        start: Callable[[], Iterator[Any]],
        count: int | None = None,
        class_names: list[str] | None = None,
        file_paths: list[str] | None = None,
        pixel_scale: str | None = None,
        image_fit: str | None = None,
    ) -> None:
        self._start = start
        self._count = count
        self.class_names = class_names
        self.file_paths = file_paths
        self.pixel_scale = pixel_scale
        self.image_fit = image_fit

    @staticmethod
    def from_tensor_slices(tensors: Any) -> "Dataset":
        """The rows of an array, or of a tuple of arrays of equal length."""
        arrays = tuple(np.asarray(item) for item in tensors) if isinstance(tensors, tuple) else None
        columns = arrays if arrays is not None else (np.asarray(tensors),)
        if not columns or any(array.ndim == 0 or len(array) != len(columns[0]) for array in columns):
            raise InvalidDataError("from_tensor_slices takes arrays with the same number of rows")
        rows = zip if arrays is not None else (lambda only: iter(only))
        return Dataset(lambda: iter(rows(*columns)), len(columns[0]))

    def __iter__(self) -> Iterator[Any]:
        return self._start()

    def __len__(self) -> int:
        if self._count is None:
            raise TypeError("the dataset does not know its length before it has been read")
        return self._count

    def cardinality(self) -> int:
        """The number of elements; −2 where only the end tells, as `tf.data` has it."""
        return -2 if self._count is None else self._count

    def as_numpy_iterator(self) -> Iterator[Any]:
        """The elements, which are NumPy arrays anyway."""
        return iter(self)

    def _like(self, start: Callable[[], Iterator[Any]], count: int | None) -> "Dataset":
        return Dataset(start, count, self.class_names, self.file_paths, self.pixel_scale, self.image_fit)

    def map(self, map_func: Callable[..., Any], num_parallel_calls: Any = None, deterministic: Any = None) -> "Dataset":
        """`map_func(x, y)` of each element (x, y); `num_parallel_calls` and `deterministic` change nothing."""
        call = lambda item: map_func(*item) if isinstance(item, tuple) else map_func(item)  # noqa: E731
        made = self._like(lambda: map(call, self), self._count)
        made.pixel_scale = None  # the function may have changed it
        return made

    def take(self, count: int) -> "Dataset":
        """The first `count` elements."""
        known = None if self._count is None else min(self._count, count)
        return self._like(lambda: itertools.islice(self, count), known)

    def skip(self, count: int) -> "Dataset":
        """All but the first `count` elements."""
        known = None if self._count is None else max(self._count - count, 0)
        return self._like(lambda: itertools.islice(self, count, None), known)

    def repeat(self, count: int | None = None) -> "Dataset":
        """`count` passes as one, endless by default."""

        def start() -> Iterator[Any]:
            for _ in itertools.count() if count is None else range(count):
                yield from self

        return self._like(start, None if count is None or self._count is None else self._count * count)

    def shuffle(self, buffer_size: int, seed: int | None = None, reshuffle_each_iteration: bool = True) -> "Dataset":
        """Another order in each pass: every element is drawn from the next `buffer_size` ones.

        Args:
            seed: orders follow from it; from `set_random_seed` by default.
            reshuffle_each_iteration: False gives each pass the same order.
        """
        if buffer_size < 1:
            raise InvalidArgumentError(f"shuffle: buffer_size must be at least 1, got {describe_value(buffer_size)}")
        passes = itertools.count()
        fixed = None if reshuffle_each_iteration else generator("dataset").integers(2**63)

        def start() -> Iterator[Any]:
            number = next(passes)
            key = [0 if seed is None else seed, int(fixed) if fixed is not None else number]
            draw = generator("dataset") if seed is None and fixed is None else np.random.default_rng(key)
            source = iter(self)
            waiting = list(itertools.islice(source, buffer_size))
            while waiting:
                place = int(draw.integers(len(waiting)))
                item = waiting[place]
                following = next(source, _END)
                if following is _END:
                    waiting[place] = waiting[-1]
                    waiting.pop()
                else:
                    waiting[place] = following
                yield item

        return self._like(start, self._count)

    def batch(self, batch_size: int, drop_remainder: bool = False, num_parallel_calls: Any = None) -> "Dataset":
        """Elements in stacks of `batch_size`; the last one has what is left, unless `drop_remainder`.

        `num_parallel_calls` changes nothing.
        """
        if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__") or int(batch_size) < 1:
            raise InvalidArgumentError(
                f"batch: batch_size must be an integer of at least 1, got {describe_value(batch_size)}"
            )

        def start() -> Iterator[Any]:
            source = iter(self)
            while items := list(itertools.islice(source, batch_size)):
                if len(items) < batch_size and drop_remainder:
                    return
                yield tuple(map(np.stack, zip(*items))) if isinstance(items[0], tuple) else np.stack(items)

        known = self._count
        if known is not None:
            known = known // batch_size if drop_remainder else -(-known // batch_size)
        return self._like(start, known)

    def unbatch(self) -> "Dataset":
        """The rows of every batch."""

        def start() -> Iterator[Any]:
            for item in self:
                yield from zip(*item) if isinstance(item, tuple) else item

        return self._like(start, None)

    def cache(self, filename: str = "") -> "Dataset":
        """Keeps the elements of the first whole pass in memory."""
        if filename:
            raise InvalidArgumentError("cache: a file is not supported; leave the name out to keep the data in memory")
        kept: list[Any] = []
        complete: list[bool] = []

        def start() -> Iterator[Any]:
            if complete:
                yield from kept
                return
            own = []
            for item in self:
                own.append(item)
                yield item
            if not complete:
                kept.extend(own)
                complete.append(True)

        return self._like(start, self._count)

    def prefetch(self, buffer_size: Any = None) -> "Dataset":
        """The same, whatever `buffer_size` is: batches are read when they are needed."""
        return self


_END = object()


def split_dataset(
    dataset: Any,
    left_size: float | int | None = None,
    right_size: float | int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: Any = None,
) -> tuple[Dataset, Dataset]:
    """Divides data into two parts.

    Args:
        dataset: an array, a tuple or list of arrays of equal length, or anything that iterates over samples.
        left_size, right_size: a share (float from 0 to 1) or a number of samples (int); one of them may be left out.
        shuffle: shuffle the samples first.
        seed: the order follows from it.
        preferred_backend: accepted as in Keras, changes nothing.

    Returns:
        Two datasets of single samples; `batch` makes batches of them.

    Raises:
        InvalidArgumentError: no size, sizes that are out of range, or a part without samples.
    """
    if left_size is None and right_size is None:
        raise InvalidArgumentError("split_dataset: give left_size, right_size or both")
    if isinstance(dataset, np.ndarray):
        samples: list[Any] = list(dataset)
    elif isinstance(dataset, (tuple, list)):
        samples = list(Dataset.from_tensor_slices(tuple(dataset)))
    elif hasattr(dataset, "__iter__") and not is_batches(dataset):
        samples = list(dataset)
    else:
        raise InvalidArgumentError(
            f"split_dataset takes arrays or a dataset of samples, got {describe_value(type(dataset).__name__)}"
        )
    left, right = (
        _samples(name, size, len(samples)) for name, size in (("left_size", left_size), ("right_size", right_size))
    )
    left = len(samples) - (right or 0) if left is None else left
    right = len(samples) - left if right is None else right
    if left + right > len(samples) or not left or not right:
        raise InvalidArgumentError(
            f"split_dataset: {left} and {right} of {len(samples)} samples are not two parts; give sizes that leave samples in both"
        )
    if shuffle:
        import random

        random.Random(random.randint(0, 10**6) if seed is None else seed).shuffle(samples)
    parts = samples[:left], samples[-right:]
    first, second = (Dataset(lambda part=part: iter(part), len(part)) for part in parts)  # type: ignore[misc]
    return first, second


def _samples(name: str, size: float | int | None, total: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, float) and 0 <= size <= 1:
        return round(size * total)
    if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < total:
        return size
    raise InvalidArgumentError(
        f"split_dataset: {name} must be a share from 0.0 to 1.0 or a number of samples below {total}, got "
        f"{describe_value(size)}"
    )

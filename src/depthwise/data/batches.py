"""A sequence of batches: data that is made or read batch by batch while training, as Keras' `PyDataset`."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidDataError, describe_value

__all__ = ["Batch", "Batches", "is_batches", "read_batch"]


class Batch(NamedTuple):
    """One batch as arrays of equal length, `x` the images; `y` and `sample_weight` are None when the source gave none."""

    x: NDArray[Any]
    y: NDArray[Any] | None
    sample_weight: NDArray[Any] | None


class Batches:
    """Base of a sequence of batches; a subclass says how many there are and makes the one of a given index.

    It has the methods of `keras.utils.PyDataset`, which works in its place, as does any object with `__len__` and an
    `__getitem__` that returns tuples.

    >>> class Ramp(Batches):
    ...     def __len__(self):
    ...         return 2
    ...     def __getitem__(self, index):
    ...         return np.full((4, 8, 8, 1), index, np.float32), np.arange(4)
    >>> read_batch(Ramp(), 1).x.shape
    (4, 8, 8, 1)
    """

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __len__ that says how many batches it has.")

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The batch `index` as `(x, y)` or `(x, y, sample_weight)`."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __getitem__ that returns a batch (x, y).")

    def on_epoch_end(self) -> None:
        """Called after each epoch: the place to shuffle."""


def is_batches(value: object) -> bool:
    """Whether `value` is a sequence of batches: not an array, a list or a mapping, and its items are tuples.

    An object of another class than `Batches` and Keras' `PyDataset` is asked for its first item.

    >>> is_batches(Batches()), is_batches([(1, 2)]), is_batches(np.zeros((2, 2)))
    (True, False, False)
    """
    if isinstance(value, Batches):
        return True
    # A class itself has the methods, but is not a sequence; arrays of any library have a shape or `__array__`.
    if isinstance(value, (list, tuple, str, bytes, bytearray, memoryview, dict, set, frozenset, range, type)):
        return False
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__", "shape", "keys")):
        return False
    if not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        return False
    if any(base.__name__ == "PyDataset" for base in type(value).__mro__):
        return True
    try:
        return len(value) > 0 and isinstance(value[0], tuple)
    except Exception:  # somebody else's class, which need not be a sequence at all
        return False


def read_batch(batches: Any, index: int) -> Batch:
    """Batch `index` of `batches` as arrays, checked: `(x,)`, `(x, y)` or `(x, y, sample_weight)` of equal lengths.

    Raises `InvalidDataError`, which names the batch. What the sequence's own code raises passes unchanged.
    """
    item = batches[index]
    if not isinstance(item, tuple) or not 1 <= len(item) <= 3:
        what = f"a tuple of {len(item)}" if isinstance(item, tuple) else type(item).__name__
        raise InvalidDataError(f"Batch {index} is {what}; return (x, y) or (x, y, sample_weight).")
    arrays: list[NDArray[Any] | None] = [None, None, None]
    for position, (name, value) in enumerate(zip(("x", "y", "sample_weight"), item, strict=False)):
        if value is None and position > 0:
            continue
        try:
            array = np.asarray(value)
        except (ValueError, TypeError) as error:
            raise InvalidDataError(
                f"The {name} of batch {index} is {describe_value(value)}, which is no array of numbers."
            ) from error
        if array.ndim == 0 or array.dtype.kind not in "buif":
            raise InvalidDataError(
                f"The {name} of batch {index} has shape {array.shape} and dtype {describe_value(str(array.dtype))}; "
                f"it needs numbers, the samples along the first axis."
            )
        arrays[position] = array
    x, y, sample_weight = arrays
    assert x is not None
    for name, other in (("y", y), ("sample_weight", sample_weight)):
        if other is not None and len(other) != len(x):
            raise InvalidDataError(
                f"Batch {index} has {len(x)} samples in x but {len(other)} in {name}; give one a sample."
            )
    return Batch(x, y, sample_weight)

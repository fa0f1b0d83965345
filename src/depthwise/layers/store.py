"""Who owns weights: a store for each layer, shared by every model that the layer is in.

Native programs hold packed copies of weights; a large weight then lives in the copy alone (`Numbers`). `CHANGES` counts every change of any weight, so that a program that has seen the last
one knows with a single comparison that its copies are still right; else it looks at its own layers' arrays.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from depthwise.seeds import next_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHANGES", "LOCK", "TRAINABLE", "Counter", "Holder", "Numbers", "Packed", "WeightStore", "Weights", "look"]

LOCK = threading.RLock()
"""Held while the weights of several layers are replaced or read together: nobody sees half of a change."""

if hasattr(os, "register_at_fork"):  # the child has no other thread that could give it back
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


class Counter:
    """A number that only grows."""

    def __init__(self) -> None:
        self.count = 0

    def grow(self) -> int:
        """The next number."""
        with LOCK:
            self.count += 1
            return self.count


CHANGES = Counter()
"""Grows with every change of a weight, and when a training that holds newer ones goes on."""

TRAINABLE = Counter()
"""Grows whenever somebody sets `trainable`."""


class Holder(Protocol):
    """A running training, whose native step holds newer weights than the layers."""

    def look(self) -> None:
        """Brings the layers up to date, for somebody who reads or sets their weights."""


class Packed(Protocol):
    """A copy of a weight in another order."""

    def unpack(self, numbers: "NDArray[np.float32]") -> None:
        """Writes the weight's numbers in C order."""


class Numbers:
    """The float32 numbers of one weight, which never change.

    Once they are packed for a prediction, the packed copy can take the place of the array (`leave`): then the weight is in memory
    once, and whoever asks for the array gets one made from the copy, equal bit for bit.

    Args:
        array: C-contiguous; nobody else may write to it.
    """

    __slots__ = ("_array", "_made", "_packed", "moving", "shape")

    def __init__(self, array: "NDArray[np.float32]") -> None:
        array.flags.writeable = False  # a change that no native copy sees must not be possible
        self.shape: tuple[int, ...] = array.shape
        self._array = array
        """The weight, or its first numbers where the packed copy has the others."""
        self._packed: Packed | None = None
        self._made: weakref.ref[NDArray[np.float32]] | None = None
        self.moving = False
        """Whether the packed copy is just being made: code that interrupts it may read and nothing else."""

    @property
    def size(self) -> int:
        """How many they are."""
        return prod(self.shape)

    @property
    def whole(self) -> bool:
        """Whether the array is all here."""
        return self._array.size == self.size

    def array(self) -> "NDArray[np.float32]":
        """The weight, read-only; the same object as long as somebody keeps it."""
        with LOCK:
            if self.whole:
                return self._array
            array = None if self._made is None else self._made()
            if array is None:
                array = self.copy()
                array.flags.writeable = False
                self._made = weakref.ref(array)
            return array

    def copy(self) -> "NDArray[np.float32]":
        """The weight in a new array."""
        with LOCK:
            if self.whole:
                return self._array.copy()
            import numpy as np

            assert self._packed is not None
            array = np.empty(self.shape, np.float32)
            flat = array.reshape(-1)
            self._packed.unpack(flat)
            flat[: self._array.size] = self._array.reshape(-1)
            return array

    def part(self, first: int, count: int) -> "NDArray[np.float32]":
        """A view of `count` of the numbers that the array still has."""
        return self._array.reshape(-1)[first : first + count]

    def leave(self, first: int, packed: Packed) -> None:
        """Gives back the memory of the numbers from `first` on, which `packed` has, unless somebody else has the array."""
        with LOCK:
            self._packed = packed
            if first == 0:
                self._array = self._array[:0].copy()
                return
            with contextlib.suppress(ValueError):  # a user has the array, or a view of it
                self._array.resize(first)


class Weights(Mapping[str, "NDArray[np.float32]"]):
    """Read-only weights by name. An array of a weight that lives in a packed copy is made when it is asked for."""

    def __init__(self, numbers: Mapping[str, Numbers]) -> None:
        self.numbers = numbers

    def __getitem__(self, name: str) -> "NDArray[np.float32]":
        return self.numbers[name].array()

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def __contains__(self, name: object) -> bool:
        return name in self.numbers

    def same(self, other: object) -> bool:
        """Whether these are still the weights of `other`: nobody has set one since."""
        return isinstance(other, Weights) and all(other.numbers.get(n) is item for n, item in self.numbers.items())


class WeightStore:
    """The weights of one layer.

    Attributes:
        numbers: by the weight's name in Keras' order; None before they are drawn.
        holder: the training that holds newer ones, None mostly.
        origin: the seed and the path that the first weights are drawn from.
    """

    __slots__ = ("holder", "numbers", "origin")

    def __init__(self) -> None:
        self.numbers: dict[str, Numbers] | None = None
        self.holder: Holder | None = None
        self.origin: tuple[int, str] | None = None

    def put(self, arrays: "dict[str, NDArray[np.float32]]") -> None:
        """Takes new arrays; nobody else may write to them."""
        numbers = {name: Numbers(array) for name, array in arrays.items()}
        with LOCK:
            self.numbers = numbers
            CHANGES.grow()

    def __getstate__(self) -> Any:
        if self.origin is None:  # a copy draws the same weights
            self.origin = (next_seed(), "layer")
        numbers = self.numbers
        return None if numbers is None else {name: item.array() for name, item in numbers.items()}, self.origin

    def __setstate__(self, state: Any) -> None:
        self.__init__()  # type: ignore[misc]
        arrays, self.origin = state
        if arrays is not None:
            self.put(arrays)


def look(stores: Iterable[WeightStore]) -> None:
    """Brings stores up to date whose weights a training holds."""
    for store in stores:
        if store.holder is not None:
            store.holder.look()

"""Who owns weights: a store for each layer, shared by every model that the layer is in.

Native programs hold copies of weights. `CHANGES` counts every change of any weight, so that a program that has seen the last
one knows with a single comparison that its copies are still right; else it looks at its own layers' arrays.
"""

import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from depthwise.seeds import next_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHANGES", "LOCK", "TRAINABLE", "Counter", "Holder", "WeightStore", "look"]

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


class WeightStore:
    """The arrays of one layer.

    Attributes:
        arrays: float32 and read-only, by the weight's name in Keras' order; None before they are drawn.
        holder: the training that holds newer ones, None mostly.
        origin: the seed and the path that the first weights are drawn from.
    """

    __slots__ = ("arrays", "holder", "origin")

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[np.float32]] | None = None
        self.holder: Holder | None = None
        self.origin: tuple[int, str] | None = None

    def put(self, arrays: "dict[str, NDArray[np.float32]]") -> None:
        """Takes new arrays; nobody else may write to them."""
        for array in arrays.values():
            array.flags.writeable = False  # a change that no native copy sees must not be possible
        with LOCK:
            self.arrays = arrays
            CHANGES.grow()

    def __getstate__(self) -> Any:
        if self.origin is None:  # a copy draws the same weights
            self.origin = (next_seed(), "layer")
        return self.arrays, self.origin

    def __setstate__(self, state: Any) -> None:
        self.__init__()  # type: ignore[misc]
        self.arrays, self.origin = state
        if self.arrays is not None:
            self.put(self.arrays)


def look(stores: Iterable[WeightStore]) -> None:
    """Brings stores up to date whose weights a training holds."""
    for store in stores:
        if store.holder is not None:
            store.holder.look()

"""A model's parameters as its executables read them: derived, packed, and shared among them."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from depthwise.compiler.derive import derive
from depthwise.compiler.ir.types import Derived
from depthwise.compiler.native.once import making
from depthwise.compiler.plan.schedule import Form
from depthwise.layers.store import LOCK, Numbers, Weights
from depthwise.runtime.buffers import aligned_zeros

__all__ = ["PackedParameters", "PackedWeight"]

Floats = NDArray[np.float32]

MOVED_FROM: Final = 2**18
"""Numbers from which on a weight is kept in its packed form alone. To get the array back takes longer than to have it, and for
less than a megabyte that is not worth it."""
BLOCK: Final = 2**20
"""Numbers that are packed at a time: the weight and its packed form need no more than this much memory besides the one of them."""


class PackedParameters:
    """The packed forms of a program's parameters for one set of weights. Each is made when it is first asked for, once for all
    the executables of the program. A weight of a model that its forms hold completely is then kept there alone.

    Args:
        weights: by name; these arrays must not be changed afterwards.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = weights
        self._forms: dict[Form, Floats] = {}

    def take(self, forms: Sequence[Form], recipes: Mapping[str, Derived]) -> list[Floats]:
        """The packed numbers of each form, read-only for all that have them; `recipes` say how parameters that are not weights
        follow from them."""
        if any(form not in self._forms for form in forms):
            with making:  # so that two threads do not pack the same
                lacking: dict[str, list[Form]] = {}
                for form in forms:
                    if form not in self._forms:
                        lacking.setdefault(form.parameter, []).append(form)
                for parameter, its in lacking.items():
                    self._forms.update(zip(its, self._pack(parameter, tuple(its), recipes).arrays))
        return [self._forms[form] for form in forms]

    def _pack(self, parameter: str, forms: tuple[Form, ...], recipes: Mapping[str, Derived]) -> "PackedWeight":
        numbers = self._weights.numbers.get(parameter) if isinstance(self._weights, Weights) else None
        if numbers is not None and numbers.size >= MOVED_FROM:
            return _move(forms, numbers)
        # Not yet rounded where it is derived.
        value = derive(parameter, recipes, ChainMap({}, self._weights))  # type: ignore[arg-type]
        packed = PackedWeight(forms, value.size)
        packed.pack(np.ascontiguousarray(value, np.float32).reshape(-1))
        return packed


def _move(forms: tuple[Form, ...], numbers: Numbers) -> "PackedWeight":
    """Packs a weight block by block, and gives the memory of each block back when it is packed.

    An interrupt between any two lines leaves `numbers` right: the array goes only after its copy is there.
    """
    packed = PackedWeight(forms, numbers.size)
    if numbers.moving or not packed.is_complete:
        packed.pack(numbers.array().reshape(-1))
        return packed
    try:
        numbers.moving = True
        if numbers.whole:
            block = max(1, BLOCK // packed.row) * packed.row
            for first in reversed(range(0, numbers.size, block)):
                with LOCK:
                    packed.pack(numbers.part(first, block), first)
                    numbers.leave(first, packed)
        else:
            packed.pack(numbers.array().reshape(-1))
            numbers.leave(0, packed)
    finally:
        numbers.moving = False
    return packed


class PackedWeight:
    """Forms of one parameter in memory.

    Args:
        forms: how it is packed.
        size: numbers of the parameter.

    Attributes:
        arrays: the packed numbers of each form; they start as zeros.
        row: numbers of the parameter in its longest rows that every copy reads in the same order; all of them where there are no
            such rows. Any number of rows can be packed by itself.
    """

    def __init__(self, forms: tuple[Form, ...], size: int) -> None:
        self.forms, self.size = forms, size
        self.arrays = [aligned_zeros(form.numbers * 4).view(np.float32) for form in forms]
        self.row = self._row()

    def _row(self) -> int:
        copies = [item for form in self.forms for item in form.copies]
        row = max(step for copy, _, _ in copies for _, step, _ in copy.loops)
        for copy, first, _ in copies:
            counts = [count for count, step, _ in copy.loops if step == row]
            reach = sum((count - 1) * step for count, step, _ in copy.loops if step != row)
            backwards = any(step < 0 for _, step, _ in copy.loops)
            if backwards or len(counts) != 1 or counts[0] * row != self.size or first + reach >= row:
                return self.size
        return row

    @property
    def is_complete(self) -> bool:
        """Whether every number of the parameter is in one of the forms."""
        seen = np.zeros(self.row, np.bool_)
        for view, _ in self._views(seen, 0):
            view[...] = True
        return bool(seen.all())

    def pack(self, rows: Floats, first: int = 0) -> None:
        """Copies rows of the parameter, which begin at its number `first`, to their places."""
        for source, target in self._views(rows, first):
            np.copyto(target, source)

    def unpack(self, numbers: Floats) -> None:
        """Copies back: writes the parameter's numbers in C order."""
        for target, source in self._views(numbers, 0):
            np.copyto(target, source)

    def _views(self, rows: NDArray[Any], first: int) -> Iterator[tuple[NDArray[Any], Floats]]:
        """For each copy what it reads of `rows`, which begin at number `first`, and where that is in the form."""
        for form, packed in zip(self.forms, self.arrays):
            for copy, start, to in form.copies:
                loops = copy.loops
                if self.row != self.size:
                    loops = tuple(
                        (rows.size // self.row if step == self.row else n, step, gap) for n, step, gap in loops
                    )
                    to += sum(first // self.row * gap for _, step, gap in loops if step == self.row)
                counts = [count for count, _, _ in loops]
                view = _strided(rows, start, counts, [step for _, step, _ in loops])
                yield view, _strided(packed, to, counts, [gap for _, _, gap in loops])


def _strided(array: NDArray[Any], start: int, counts: list[int], steps: list[int]) -> NDArray[Any]:
    """A view of `array` from its number `start` on, with these counts and steps of numbers."""
    reach = [(count - 1) * step for count, step in zip(counts, steps)]
    lowest, highest = start + sum(min(item, 0) for item in reach), start + sum(max(item, 0) for item in reach)
    assert 0 <= lowest <= highest < array.size
    return as_strided(array[start:], counts, [array.itemsize * step for step in steps])

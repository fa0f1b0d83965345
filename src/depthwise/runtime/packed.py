"""A model's parameters as its executables read them: derived, packed, and shared among them."""

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from depthwise.compiler.derive import derive
from depthwise.compiler.ir.types import Value
from depthwise.compiler.native.once import making
from depthwise.compiler.plan.schedule import Form
from depthwise.runtime.buffers import aligned_zeros

__all__ = ["PackedParameters", "pack"]

Floats = NDArray[np.float32]


class PackedParameters:
    """The packed forms of a program's parameters for one set of weights. Each is made when it is first asked for, once for all
    the executables of the program; only the forms and the weights themselves are kept.

    Args:
        parameters: of the program.
        weights: by name; these arrays must not be changed afterwards.
    """

    def __init__(self, parameters: Mapping[str, Value], weights: Mapping[str, np.ndarray]) -> None:
        self._parameters = parameters
        self._weights = weights
        self._forms: dict[Form, Floats] = {}

    def form(self, form: Form) -> Floats:
        """The packed numbers, read-only for all that have them."""
        array = self._forms.get(form)
        if array is None:
            with making:  # so that two threads do not pack the same
                array = self._forms.get(form)
                if array is None:
                    value = np.ascontiguousarray(self._value(form.parameter), np.float32)
                    array = self._forms[form] = pack(form, value.reshape(-1))
        return array

    def _value(self, name: str) -> np.ndarray:
        """A parameter's value, not yet rounded where it is derived."""
        return derive(name, self._parameters, dict(self._weights))


def pack(form: Form, value: Floats) -> Floats:
    """The form of a parameter; `value` are its numbers in C order."""
    packed = aligned_zeros(form.numbers * 4).view(np.float32)
    for copy, first, to in form.copies:
        counts = [count for count, _, _ in copy.loops]
        views = []
        for array, start, steps in (
            (value, first, [step for _, step, _ in copy.loops]),
            (packed, to, [step for _, _, step in copy.loops]),
        ):
            reach = [(count - 1) * step for count, step in zip(counts, steps)]
            lowest, highest = start + sum(min(item, 0) for item in reach), start + sum(max(item, 0) for item in reach)
            assert 0 <= lowest <= highest < array.size, form
            views.append(as_strided(array[start:], counts, [4 * step for step in steps]))
        np.copyto(views[1], views[0])
    return packed

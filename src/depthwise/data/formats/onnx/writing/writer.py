"""The state of a network on its way to a file: which tensors hold each value of the program."""

from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.compiler.derive import derive
from depthwise.compiler.ir.program import Program
from depthwise.compiler.ir.types import Role
from depthwise.data.formats.onnx.writing.layout import Layout, View, permutation, transposed, view
from depthwise.data.formats.onnx.writing.nodes import Nodes, Tensor

__all__ = ["Writer"]

Shape = tuple[int, ...]
Held = list[tuple[Tensor, Layout]]


class Writer:
    """What the rules of the operations work with.

    A value of the program may be held by several tensors that differ in the order of their numbers; reshaping and transposing
    a value adds no node. A rule asks for its operands in the order that its operator needs; only then, and once for all who ask, is
    a tensor transposed.

    Args:
        program: what is written; nothing in it is fused.
        arrays: the weights by name.
    """

    def __init__(self, program: Program, arrays: Mapping[str, NDArray[np.float32]], nodes: Nodes) -> None:
        self.program = program
        self.nodes = nodes
        self._held: dict[str, Held] = {}
        self._known: MutableMapping[str, NDArray[Any]] = dict(arrays)
        self._weights: dict[tuple[str, Hashable], Tensor] = {}
        self.finished: set[str] = set()
        """Results of operations that are written together with an earlier one."""

    # -- values ------------------------------------------------------------------------------------------------------

    def shape(self, value: str) -> Shape:
        """The shape that the program gives a value."""
        return self.program.type(value).shape

    def is_parameter(self, value: str) -> bool:
        return self.program.values[value].role is Role.PARAMETER

    def is_written(self, value: str) -> bool:
        """Whether a tensor holds the value: its operation was not left to the one that reads it."""
        return value in self._held

    def give(self, value: str, tensor: Tensor, layout: Layout) -> None:
        """A tensor holds a value."""
        self._held[value] = [(tensor, layout)]

    def give_same(self, value: str, source: str) -> None:
        """A value is another one under another shape: whatever holds one holds the other."""
        self._held[value] = self._held[source]

    def give_transposed(self, value: str, source: str, axes: Sequence[int]) -> None:
        """A value is another one with its axes in another order."""
        shape = self.shape(source)
        moved = [(tensor, transposed(layout, shape, axes)) for tensor, layout in self._held[source]]
        held = [(tensor, layout) for tensor, layout in moved if layout is not None]
        if not held:
            layout = Layout.plain(shape)
            again = transposed(layout, shape, axes)
            assert again is not None
            held = [(self.tensor(source, layout), again)]
        self._held[value] = held

    def layout(self, value: str) -> Layout:
        """How the first tensor that holds a value does so."""
        return self._held[value][0][1]

    def held(self, value: str) -> Tensor:
        """The first tensor that holds a value."""
        return self._held[value][0][0]

    def tensor(self, value: str, layout: Layout) -> Tensor:
        """A tensor that holds a value in this order and shape."""
        held = self._held[value]
        for tensor, known in held:
            if known == layout:
                return tensor
        source, known = next((item for item in held if item[1].lies_like(layout)), held[0])
        made = self._rearranged(source, known, layout)
        held.append((made, layout))
        return made

    def view(self, value: str, shape: Shape | None = None, loose: Sequence[int] = ()) -> View:
        """How a value lies, as axes of `shape`, the program's where none is given; in the program's order where the axes are mixed."""
        shape = self.shape(value) if shape is None else shape
        for _, layout in self._held[value]:
            seen = view(layout, shape, loose)
            if seen is not None:
                return seen
        return View(tuple(range(len(shape))), Layout.plain(shape))

    def _rearranged(self, source: Tensor, known: Layout, wanted: Layout) -> Tensor:
        if known.lies_like(wanted):
            return self.nodes.reshape(source, wanted.shape)
        found = permutation(known, wanted)
        if found is None:  # by way of the program's own order
            plain = Layout.plain(known.sizes)
            return self._rearranged(self._rearranged(source, known, plain), plain, wanted)
        shape, axes = found
        if shape != source.shape:
            source = self.nodes.reshape(source, shape)
        moved = tuple(shape[axis] for axis in axes)
        result = self.nodes.node("Transpose", source, shape=moved, perm=[0, *(axis + 1 for axis in axes)])
        return result if moved == wanted.shape else self.nodes.reshape(result, wanted.shape)

    # -- parameters --------------------------------------------------------------------------------------------------

    def array(self, parameter: str) -> NDArray[np.float32]:
        """The numbers of a parameter."""
        return np.asarray(derive(parameter, self.program.derived, self._known), np.float32)

    def weight(
        self, parameter: str, key: Hashable, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    ) -> Tensor:
        """The initializer that holds a parameter as an operator wants it; the same for all that want it so.

        Args:
            key: what tells this form from others.
            change: makes it of the parameter's array.
        """
        if (parameter, key) not in self._weights:
            array = np.ascontiguousarray(change(self.array(parameter)), np.float32)
            self._weights[parameter, key] = self.nodes.initializer(parameter, array)
        return self._weights[parameter, key]

    def arranged(self, parameter: str, layout: Layout) -> Tensor:
        """The initializer that holds a parameter in the order of a layout; axes of size 1 in front are left out."""
        shape = layout.shape
        while shape and shape[0] == 1:
            shape = shape[1:]

        def change(array: NDArray[np.float32]) -> NDArray[np.float32]:
            return array.reshape(layout.sizes).transpose(layout.order).reshape(shape)

        return self.weight(parameter, layout, change)

    def operand(self, value: str, layout: Layout) -> Tensor:
        """A tensor or a parameter in this order."""
        return self.arranged(value, layout) if self.is_parameter(value) else self.tensor(value, layout)

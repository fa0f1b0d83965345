"""How each tensor lies in memory: its pitches, the border that its readers want, and which tensors share a place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from depthwise import operations as op
from depthwise.emit.builder import Vectors
from depthwise.emit.maps import MapView
from depthwise.program import Operation, Padding, Program

__all__ = ["BorderRule", "Layout", "lay_out", "pack_lifetimes", "shared_places"]


ALIASED_BYTES = 2048
"""Pixels so far apart, or a multiple of it, share the few places of the first cache that each address may go to: the windows
of a depthwise convolution, two dozen of them side by side, would drive each other out. A cache line between them helps."""

BorderRule = Callable[[Operation, str], Padding]
"""The zeros that an operation reads around one of its inputs: rows above, below, columns left, right."""


@dataclass(frozen=True)
class Layout:
    """A tensor's map with a border: `numbers` from the border's first pixel on; pixel (0, 0) is at `origin`."""

    view: MapView
    border: Padding
    numbers: int
    origin: int

    @property
    def outer(self) -> MapView:
        top, bottom, left, right = self.border
        return self.view.resized(self.view.rows + top + bottom, self.view.columns + left + right)


def layout_of(shape: tuple[int, int, int], border: Padding, pixel_pitch: int) -> Layout:
    """The layout with the given border and pixel pitch; rows follow each other without a gap."""
    rows, columns, channels = shape
    top, bottom, left, right = border
    row_pitch = (columns + left + right) * pixel_pitch
    numbers = (rows + top + bottom) * row_pitch
    view = MapView(rows, columns, channels, row_pitch, pixel_pitch)
    return Layout(view, border, numbers, top * row_pitch + left * pixel_pitch)


def lay_out(
    program: Program, vectors: Vectors, border: BorderRule, exact_readers: tuple[type[Operation], ...]
) -> dict[str, Layout]:
    """A layout for every tensor.

    A pixel has room for whole vectors, unless all that read it read single numbers and a copy writes it.
    """
    layouts: dict[str, Layout] = {}
    external = {name for name, _ in program.inputs}
    for name, shape in program.tensors.items():
        if name in external:
            layouts[name] = layout_of(shape, (0, 0, 0, 0), shape[2])
            continue
        readers = program.readers[name]
        writer = program.writer[name]
        sides = [border(reader, name) for reader in readers] or [(0, 0, 0, 0)]
        wanted = tuple(max(side[i] for side in sides) for i in range(4))
        exact = isinstance(writer, (op.CopyMap, op.Pad)) and all(isinstance(item, exact_readers) for item in readers)
        pitch = shape[2] if exact else vectors.round_up(shape[2])
        if any(wanted) and pitch * 4 % ALIASED_BYTES == 0:
            pitch += 16
        layouts[name] = layout_of(shape, wanted, pitch)  # type: ignore[arg-type]
    return layouts


def shared_places(program: Program, layouts: Mapping[str, Layout], vectors: Vectors) -> dict[str, str]:
    """For each tensor the one in whose place it lies: a reshaped map without gaps is the vector that it becomes."""
    root = {name: name for name in program.tensors}
    external = {name for name, _ in (*program.inputs, *program.outputs)}
    for operation in program.operations:
        if not isinstance(operation, op.Reshape):
            continue
        source, target = layouts[operation.inputs[0]], layouts[operation.output]
        dense = all(
            layout.border == (0, 0, 0, 0) and layout.view.pixel_pitch == layout.view.channels
            for layout in (source, target)
        )
        if dense and operation.output not in external and operation.inputs[0] not in external:
            root[operation.output] = root[operation.inputs[0]]
    return root


def pack_lifetimes(lifetimes: Mapping[str, tuple[int, int, int]], alignment: int) -> tuple[dict[str, int], int]:
    """Offsets such that tensors alive at the same time do not overlap, and the total: first fit, largest first.

    `lifetimes` are (first use, last use, numbers).
    """
    offsets: dict[str, int] = {}
    placed: list[tuple[int, int, int, int]] = []  # first use, last use, start, end
    for name in sorted(lifetimes, key=lambda item: (-lifetimes[item][2], item)):
        first, last, numbers = lifetimes[name]
        size = -(-numbers // alignment) * alignment
        busy = sorted((start, end) for begin, stop, start, end in placed if begin <= last and first <= stop)
        offset = 0
        for start, end in busy:
            if offset + size <= start:
                break
            offset = max(offset, end)
        offsets[name] = offset
        placed.append((first, last, offset, offset + size))
    return offsets, max((end for *_, end in placed), default=0)

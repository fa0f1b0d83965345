"""How each tensor lies in memory: its pitches, the border that its readers want, and which tensors share a place."""

from collections.abc import Mapping
from dataclasses import replace

from depthwise.compiler.ir.program import Program
from depthwise.compiler.ir.types import NO_BORDER, Padding
from depthwise.compiler.kernels.builder import Vectors
from depthwise.compiler.kernels.maps import MapView
from depthwise.dataclass import dataclass

__all__ = ["Layout", "border_of", "lay_out", "pack_lifetimes", "reads_exactly", "shared_places"]


ALIASED_BYTES = 2048
"""Pixels so far apart, or a multiple of it, share the few places of the first cache that each address may go to: the windows
of a depthwise convolution, two dozen of them side by side, would drive each other out. A cache line between them helps."""


@dataclass(frozen=True)
class Layout:
    """A tensor's map with a border of numbers `fill`: `numbers` from the border's first pixel on; pixel (0, 0) is at `origin`."""

    view: MapView
    border: Padding
    numbers: int
    origin: int
    fill: float = 0.0

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


def border_of(program: Program, name: str) -> tuple[Padding, float]:
    """How much the readers of a tensor want around it, and of which number."""
    windows = [
        reader.window(i)
        for reader in program.readers[name]
        for i, operand in enumerate(reader.operands)
        if operand == name
    ]
    top, bottom, left, right = (max((item.border[i] for item in windows), default=0) for i in range(4))
    fills = {item.fill for item in windows if any(item.border)} or {0.0}
    assert len(fills) == 1, f"the readers of {name} want {fills} around it"
    return (top, bottom, left, right), fills.pop()


def reads_exactly(program: Program, name: str) -> bool:
    """Whether all that read a tensor read single numbers."""
    return all(
        reader.reads_exactly(i)
        for reader in program.readers[name]
        for i, operand in enumerate(reader.operands)
        if operand == name
    )


def lay_out(program: Program, vectors: Vectors) -> dict[str, Layout]:
    """A layout for every tensor of which each sample has its own.

    A pixel has room for whole vectors, unless all that read it read single numbers and a copy writes it.
    """
    layouts: dict[str, Layout] = {}
    external = {name for name, _ in program.inputs}
    for name, type_ in program.tensors.items():
        if name in program.batch_values:
            continue
        shape = type_.map
        if name in external:
            layouts[name] = layout_of(shape, NO_BORDER, shape[2])
            continue
        wanted, fill = border_of(program, name)
        exact = program.writer[name].writes_exactly and reads_exactly(program, name)
        pitch = shape[2] if exact else vectors.round_up(shape[2])
        if any(wanted) and pitch * 4 % ALIASED_BYTES == 0:
            pitch += 16
        layout = layout_of(shape, wanted, pitch)
        room = vectors.lanes - 1 if _is_read_by_groups(program, name) else 0
        layouts[name] = replace(layout, numbers=layout.numbers + room, fill=fill)
    return layouts


def _is_read_by_groups(program: Program, name: str) -> bool:
    return any(
        reader.reads_by_groups(i)
        for reader in program.readers[name]
        for i, operand in enumerate(reader.operands)
        if operand == name
    )


def shared_places(program: Program, layouts: Mapping[str, Layout], vectors: Vectors) -> dict[str, str]:
    """For each tensor the one in whose place it lies: a reshaped map without gaps is the vector that it becomes."""
    root = {name: name for name in layouts}
    external = {name for name, _ in (*program.inputs, *program.outputs)}
    for operation in program.operations:
        if not operation.is_alias:
            continue
        source, target = layouts[operation.source], layouts[operation.output]
        dense = all(
            layout.border == NO_BORDER and layout.view.pixel_pitch == layout.view.channels
            for layout in (source, target)
        )
        same = source.view == target.view and source.border == target.border == NO_BORDER
        if (dense or same) and operation.output not in external and operation.source not in external:
            root[operation.output] = root[operation.source]
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

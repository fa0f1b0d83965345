"""Fused blocks: a chain of operations runs strip by strip of rows, so that what lies between them never leaves the caches.

depthwise → pointwise → activation → pool is one block: each strip of the depthwise result is consumed at once, and only a
strip of it exists. A stage with windows reads rows of earlier strips too, so what it reads is kept whole; it is still in the
second cache: expand → depthwise → project.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from depthwise import operations as op
from depthwise.plan.layout import Layout
from depthwise.plan.machine import Machine
from depthwise.plan.placement import WHOLE, Part
from depthwise.plan.schedule import Place
from depthwise.program import Operation, Program

__all__ = ["Block", "Rows", "Strip", "find_blocks"]


@dataclass(frozen=True)
class Rows(Part):
    """Certain rows instead of a share."""

    first: int = 0
    rows: int = 0

    def of(self, total: int) -> tuple[int, int]:
        return self.first, self.rows


Strip = tuple[Part, ...]
"""For each operation of a block the rows of its output that it computes."""


@dataclass(frozen=True)
class Block:
    """Operations that run one after the other for each strip.

    Attributes:
        operations: each the only reader of the one before.
        rows: rows of each operation's output.
        height: rows of the last output in a strip; 0 means that nothing is divided.
    """

    operations: tuple[Operation, ...]
    rows: tuple[int, ...]
    height: int

    def strips(self, first: int = 0, last: int | None = None) -> tuple[Strip, ...]:
        """The strips of the last output's rows from `first` to `last`; every row of every map is computed once.

        Rows that the last operation never asks for (11 → 5 by pooling) are not computed.
        """
        last = self.rows[-1] if last is None else last
        if not self.height:
            return ((WHOLE,) * len(self.operations),)
        count = -(-(last - first) // self.height)
        ends = [self._needed(first + (last - first) * i // count) for i in range(count + 1)]
        return tuple(tuple(Rows(first=start, rows=end - start) for start, end in zip(*both)) for both in pairwise(ends))

    def part(self, first: int, last: int) -> Strip:
        """The strip of these rows of the last output."""
        pairs = zip(self._needed(first), self._needed(last))
        return tuple(Rows(first=start, rows=end - start) for start, end in pairs)

    def _needed(self, end: int) -> list[int]:
        """Rows of each output that the first `end` rows of the last one need."""
        ends = [end]
        for operation, rows in zip(reversed(self.operations[1:]), reversed(self.rows[:-1])):
            ends.insert(0, min(rows, _rows_read(operation, ends[0])))
        return ends

    @property
    def between(self) -> tuple[str, ...]:
        """Tensors of which only a strip exists at a time."""
        pairs = pairwise(self.operations) if self.height else ()
        return tuple(item.output for item, reader in pairs if not _overlaps(reader))

    def strip_rows(self, strips: Sequence[Strip]) -> dict[str, int]:
        """Rows of the largest strip of each tensor between."""
        outputs = [operation.output for operation in self.operations]
        sizes = {name: outputs.index(name) for name in self.between}
        return {name: max(strip[i].of(self.rows[i])[1] for strip in strips) for name, i in sizes.items()}

    def places(self, strip: Strip, places: Mapping[str, Place]) -> dict[str, Place]:
        """The tensors between as if they were whole: their first row lies before the strip that there is."""
        moved = {}
        for operation, part, rows in zip(self.operations, strip, self.rows):
            if operation.output in self.between:
                place = places[operation.output]
                before = part.of(rows)[0] * place.view.row_pitch
                moved[operation.output] = replace(place, pointer=place.pointer + -before)
        return moved


def _window(operation: Operation) -> tuple[int, int, int]:
    """(rows of the input that a row of the output reads, stride, rows of padding above)."""
    if isinstance(operation, (op.Convolve, op.ConvolveDepthwise)):
        reach = (operation.kernel_size[0] - 1) * operation.dilation[0] + 1
        return reach, operation.strides[0], operation.padding[0]
    if isinstance(operation, op.Pool):
        return operation.pool_size[0], operation.strides[0], 0
    return 1, 1, 0


def _rows_read(operation: Operation, end: int) -> int:
    """The first row of the input that the first `end` rows of the output do not need; it may lie in the padding."""
    reach, stride, padding = _window(operation)
    return max(0, (end - 1) * stride + reach - padding) if end else 0


def _overlaps(operation: Operation) -> bool:
    """Whether neighbouring rows of the output share rows of the input, or read zeros around it, which only whole maps have."""
    reach, stride, _ = _window(operation)
    padded = isinstance(operation, (op.Convolve, op.ConvolveDepthwise)) and any(operation.padding)
    return reach > stride or padded


def _runs_by_rows(operation: Operation) -> bool:
    """Whether rows of the output need only some rows of the input."""
    if isinstance(operation, op.Pool):
        return not any(operation.counted_padding)
    kinds = (op.Convolve, op.ConvolveDepthwise, op.Activate, op.ApplyReLU, op.Scale, op.Normalise)
    return isinstance(operation, kinds)


def find_blocks(
    program: Program,
    operations: Sequence[Operation],
    follows: Callable[[Operation, Operation], bool],
    layouts: Mapping[str, Layout],
    machine: Machine,
    *,
    windows: bool,
) -> list[Block]:
    """Operations as blocks.

    `follows(first, second)` says whether the second may run on the first's strips; that it needs only some rows is checked
    here. With `windows`, one stage with windows may follow where what it reads would not stay in the second cache.
    """
    blocks: list[Block] = []
    chain: list[Operation] = []

    def continues(second: Operation) -> bool:
        first = chain[-1]
        if not _runs_by_rows(second) or not follows(first, second):
            return False
        if not _overlaps(second):
            return _runs_by_rows(first)
        large = 4 * layouts[first.output].numbers > machine.second_cache // 2
        only = not any(_overlaps(item) for item in chain[1:])
        return windows and large and only and (_runs_by_rows(first) or isinstance(first, op.CopyMap))

    for operation in operations:
        if chain and not continues(operation):
            blocks.append(_block(program, chain, layouts, machine))
            chain = []
        chain.append(operation)
    if chain:
        blocks.append(_block(program, chain, layouts, machine))
    return blocks


def _block(program: Program, chain: list[Operation], layouts: Mapping[str, Layout], machine: Machine) -> Block:
    """The block of a chain, with strips so high that what lies between stays in half the first cache, and so many positions
    that weights from behind the second cache come no slower than they are used."""
    views = [layouts[item.output].view for item in chain]
    rows = tuple(view.rows for view in views)
    # Rows of each output for one row of the last one.
    scales = [1]
    for operation in reversed(chain[1:]):
        scales.insert(0, scales[0] * _window(operation)[1])
    row_bytes = [4 * view.row_pitch * scale for view, scale in zip(views, scales)]
    inner = list(zip(chain[1:], row_bytes, views))
    strip = sum(size for reader, size, _ in inner if not _overlaps(reader))
    kept = sum(size for reader, size, _ in inner if _overlaps(reader))
    whole = sum(4 * view.rows * view.row_pitch for reader, _, view in inner if not _overlaps(reader))
    if not inner or (whole <= machine.first_cache // 2 and not kept):
        return Block(tuple(chain), rows, 0)
    heights = [machine.first_cache // 2 // strip] if strip else []
    heights += [machine.second_cache // 2 // kept] if kept else []
    least = [
        -(-machine.least_positions // (views[i].columns * scales[i]))
        for i, operation in enumerate(chain)
        if isinstance(operation, op.Convolve)
        and 4 * prod(program.parameters[operation.kernel].shape) > machine.second_cache // 2
    ]
    return Block(tuple(chain), rows, min(rows[-1], max(1, min(heights), *least)))

"""Fused blocks: a chain of operations runs strip by strip of rows, so that what lies between them never leaves the caches.

depthwise → pointwise → activation → pool is one block: each strip of the depthwise result is consumed at once, and only a
strip of it exists. A stage with windows reads rows of earlier strips too: expand → depthwise → project. Of what it reads
there are as many rows as the second cache has room for; `compiler.plan.sliding` says where they lie.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.ir.types import ROW, Window
from depthwise.compiler.machine import Machine
from depthwise.compiler.plan.layout import Layout
from depthwise.compiler.plan.placement import WHOLE, Part
from depthwise.compiler.plan.schedule import Place
from depthwise.dataclass import dataclass

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

    @property
    def windows_at(self) -> int | None:
        """Which operation has windows on what another one of the block writes; None where none has. There is one at most."""
        found = (i for i, item in enumerate(self.operations) if i and _window(item).overlaps)
        return next(found, None) if self.height else None

    def strips(self, first: int = 0, last: int | None = None) -> tuple[Strip, ...]:
        """The strips of the last output's rows from `first` to `last`; every row of every map is computed once.

        Rows that the last operation never asks for (11 → 5 by pooling) are not computed. Strips that begin at a later row
        compute the rows before it too that their windows read.
        """
        last = self.rows[-1] if last is None else last
        if not self.height:
            return ((WHOLE,) * len(self.operations),)
        # Of two neighbouring heights, and the higher ones first: strips of one height are a loop.
        count = -(-(last - first) // self.height)
        height, higher = divmod(last - first, count)
        ends = [self._needed(first + i * height + min(i, higher)) for i in range(count + 1)]
        if self.windows_at is not None:
            ends[0] = self._begin(first)
        return tuple(tuple(Rows(first=start, rows=end - start) for start, end in zip(*both)) for both in pairwise(ends))

    def part(self, first: int, last: int) -> Strip:
        """The strip of these rows of the last output."""
        pairs = zip(self._needed(first), self._needed(last))
        return tuple(Rows(first=start, rows=end - start) for start, end in pairs)

    def _needed(self, end: int) -> list[int]:
        """Rows of each output that the first `end` rows of the last one need."""
        ends = [end]
        for operation, rows in zip(reversed(self.operations[1:]), reversed(self.rows[:-1])):
            ends.insert(0, min(rows, _window(operation).rows_read(ends[0])))
        return ends

    def _begin(self, first: int) -> list[int]:
        """The first row of each output that row `first` of the last one needs."""
        begin = [first]
        for operation in reversed(self.operations[1:]):
            window = _window(operation)
            begin.insert(0, max(0, begin[0] * window.stride - window.before))
        return begin

    @property
    def between(self) -> tuple[str, ...]:
        """Tensors of which only a strip exists at a time."""
        pairs = pairwise(self.operations) if self.height else ()
        return tuple(item.output for item, reader in pairs if not _window(reader).overlaps)

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


def _window(operation: Operation) -> Window:
    """What the operation reads of the tensor before it in a block."""
    return operation.window(0)


def _divides(program: Program, operation: Operation) -> bool:
    """Whether some rows of the result can be computed by themselves."""
    tensors = program.tensor_operands(operation)
    if _window(operation).whole or (len(tensors) != 1 and not operation.runs_by_rows):
        return False
    return operation.runs_by_rows or _is_read_by_rows(program, operation, tensors[0])


def _is_read_by_rows(program: Program, operation: Operation, name: str) -> bool:
    """Whether a row of the result needs only some rows of the operand `name`: those that `_window` says."""
    if operation.window(operation.operands.index(name)) != _window(operation):
        return False
    source, target = (program.type(item).map[0] for item in (name, operation.output))
    # One row that is broadcast is read by every row. A result may have fewer rows than its source: the rest was cropped.
    return source >= target or _window(operation) != ROW


def find_blocks(
    program: Program,
    operations: Sequence[Operation],
    follows: Callable[[Operation, Operation], bool],
    layouts: Mapping[str, Layout],
    machine: Machine,
    *,
    windows: bool,
    parts: int = 1,
) -> list[Block]:
    """Operations as blocks.

    `follows(first, second)` says whether the second may run on the first's strips; that it needs only some rows is checked
    here. With `windows`, one stage with windows may follow where what it reads would not stay in the second cache, of which
    each of `parts` cores has one for its share of the rows.
    """
    blocks: list[Block] = []
    chain: list[Operation] = []

    def continues(second: Operation) -> bool:
        first = chain[-1]
        if second.writes_exactly:  # a copy to where the caller wants the whole map
            return False
        if not _divides(program, second) or not _divides(program, first) or not follows(first, second):
            return False
        if not _is_read_by_rows(program, second, first.output):
            return False
        # A shortcut ends a block: what comes next mostly has kernels for whole maps already, and would need others for strips.
        if len(chain) > 1 and len(program.tensor_operands(first)) > 1:
            return False
        if _window(second).overlaps:
            return windows and 4 * layouts[first.output].numbers > parts * machine.second_cache // 2
        return not first.writes_exactly

    def end(count: int) -> None:
        """Makes the first operations of the chain a block."""
        if count:
            blocks.append(_block(program, chain[:count], layouts, machine))
            del chain[:count]

    for operation in operations:
        if not chain or not continues(operation):
            end(len(chain))
        elif _window(operation).overlaps:
            end(_before_windows(program, chain, layouts))
        chain.append(operation)
    end(len(chain))
    return blocks


def _before_windows(program: Program, chain: Sequence[Operation], layouts: Mapping[str, Layout]) -> int:
    """How many operations of a chain have to end before one with windows may follow.

    None, if no other has windows and none reads further maps, which would leave its strips too few rows. Otherwise the block of
    the windows begins behind the narrowest map since; with the windows themselves, if none is half as large as what they read.
    """
    first = max(
        (
            i + 1
            for i, item in enumerate(chain)
            if (i and _window(item).overlaps) or len(program.tensor_operands(item)) > 1
        ),
        default=0,
    )
    if first == 0:
        return 0
    sizes = {i: layouts[chain[i - 1].output].numbers for i in range(first, len(chain))}
    best = min(sizes, key=lambda i: sizes[i], default=len(chain))
    return best if best < len(chain) and 2 * sizes[best] <= layouts[chain[-1].output].numbers else len(chain)


def _block(program: Program, chain: list[Operation], layouts: Mapping[str, Layout], machine: Machine) -> Block:
    """The block of a chain, with strips so high that what lies between stays in half the first cache, and so many positions
    that weights from behind the second cache come no slower than they are used."""
    views = [layouts[item.output].view for item in chain]
    rows = tuple(view.rows for view in views)
    # Rows of each output for one row of the last one.
    scales = [1]
    for operation in reversed(chain[1:]):
        scales.insert(0, scales[0] * _window(operation).stride)
    row_bytes = [4 * view.row_pitch * scale for view, scale in zip(views, scales)]
    inner = list(zip(chain[1:], row_bytes, views))
    strip = sum(size for reader, size, _ in inner if not _window(reader).overlaps)
    kept = sum(size for reader, size, _ in inner if _window(reader).overlaps)
    whole = sum(4 * view.rows * view.row_pitch for reader, _, view in inner if not _window(reader).overlaps)
    if not inner or (whole <= machine.first_cache // 2 and not kept):
        return Block(tuple(chain), rows, 0)
    heights = [machine.first_cache // 2 // strip] if strip else []
    heights += [machine.second_cache // 2 // kept] if kept else []
    least = [
        -(-machine.least_positions // (views[i].columns * scales[i]))
        for i, operation in enumerate(chain)
        if any(
            4 * program.type(name).size > machine.second_cache // 2 for name in program.parameter_operands(operation)
        )
    ]
    return Block(tuple(chain), rows, min(rows[-1], max(1, min(heights), *least)))

"""Where the rows of a map lie of which a block keeps only those that its windows still read.

A stage with windows reads rows of earlier strips too. They lie in a buffer in front of the strip's new rows. Where the buffer
ends, the rows that the next strip still reads move to its front: so the map never takes more than half the second cache.

    before   | rows still read | new | new | new |            the next strip's rows do not fit
    after    | rows still read | new |                        moved to the front, the next strip's rows behind them
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from depthwise.compiler.kernels.elementwise import Copy, Fill
from depthwise.compiler.machine import Machine
from depthwise.compiler.plan.layout import Layout
from depthwise.compiler.plan.schedule import Call, Place, Pointer
from depthwise.compiler.plan.strips import Block, Strip
from depthwise.dataclass import dataclass

__all__ = ["Sliding", "sliding_rows"]


@dataclass(frozen=True)
class Sliding:
    """The buffer of one map of a block, for a list of strips.

    Attributes:
        name: the map.
        layout: how the whole map would lie.
        rows: of the buffer.
        channels: numbers of a pixel that move: its whole vectors, without a gap behind them.
        above: rows in front of the new rows that follow a move.
        at: for each strip, the row of the buffer where its new rows begin.
        first: for each strip, the first of its new rows.
        moved: for each strip, how many rows move to the front before it; None where none has to.
        ends: the strip that computes the map's last row; None where none does.
    """

    name: str
    layout: Layout
    rows: int
    channels: int
    above: int
    at: tuple[int, ...]
    first: tuple[int, ...]
    moved: tuple[int | None, ...]
    ends: int | None

    @property
    def numbers(self) -> int:
        """Float32 numbers of the buffer."""
        outer = self.layout.outer
        return self.layout.numbers + (self.rows - outer.rows) * outer.row_pitch

    def place(self, whole: Place, strip: int) -> Place:
        """The map as if it were whole: its rows in the buffer lie where a strip computes and reads them.

        `whole` is its place, `layout.origin` numbers behind where its memory begins.
        """
        distance = self.at[strip] - self.first[strip] - self.layout.border[0]
        return replace(whole, pointer=whole.pointer + distance * self.layout.view.row_pitch)

    def begin(self, whole: Place) -> list[Call]:
        """The border above the first rows and beside all of them: once for the block, as moves and strips leave it alone.

        Where nothing moves, the border below too; elsewhere rows come there later.
        """
        top, _, left, right = self.layout.border
        calls = []
        if top or left or right:
            outer = replace(self.layout.outer, rows=self.rows)
            inner = (top, left, self.rows - top, self.layout.view.columns)
            calls.append(Call(Fill(outer, inner, self.layout.fill), (self._start(whole),)))
        return calls if self.ends is None or self._moves else [*calls, *self._below(whole)]

    def prepare(self, whole: Place, strip: int) -> list[Call]:
        """What has to be done before a strip: the move, and the border below behind the map's last row."""
        calls = []
        view, count = self.layout.view, self.moved[strip]
        if count:
            rows = replace(view, rows=count, channels=self.channels)
            end = self.at[strip - 1] + self.first[strip] - self.first[strip - 1]
            places = self._pixel(whole, end - count), self._pixel(whole, self.above - count)
            calls.append(Call(Copy(rows, rows), places))
        return [*calls, *self._below(whole)] if strip == self.ends and self._moves else calls

    @property
    def _moves(self) -> bool:
        return any(item is not None for item in self.moved)

    def _below(self, whole: Place) -> list[Call]:
        """The border below, behind where the map's last row goes."""
        bottom, view = self.layout.border[1], self.layout.view
        if not bottom or self.ends is None:
            return []
        row = self.at[self.ends] + view.rows - self.first[self.ends]
        below = replace(self.layout.outer, rows=bottom)
        return [Call(Fill(below, None, self.layout.fill), (self._start(whole) + row * view.row_pitch,))]

    def _start(self, whole: Place) -> Pointer:
        return whole.pointer + -self.layout.origin

    def _pixel(self, whole: Place, row: int) -> Pointer:
        """The first pixel of the map in a row of the buffer."""
        return whole.pointer + (row - self.layout.border[0]) * self.layout.view.row_pitch


def sliding_rows(block: Block, strips: Sequence[Strip], layout: Layout, machine: Machine) -> Sliding:
    """The buffer of the map that the block's stage with windows reads, for strips that follow each other."""
    at = block.windows_at
    assert at is not None, "no stage of the block has windows"
    window = block.operations[at].window(0)
    total, bottom = layout.view.rows, layout.border[1]
    rows = [strip[at - 1].of(total) for strip in strips]
    first = [start for start, _ in rows]
    # Rows of earlier strips (or of the border above) that a strip reads.
    kept = [
        max(0, start - (strip[at].of(block.rows[at])[0] * window.stride - window.before))
        for start, strip in zip(first, strips)
    ]
    above = max(kept[1:], default=0)
    last = next((i for i, (start, count) in enumerate(rows) if start + count == total), None)
    new = [count + (bottom if i == last else 0) for i, (_, count) in enumerate(rows)]
    row = 4 * layout.view.row_pitch
    room = max(1, sum(new))
    if (above + sum(new)) * row > 2 * machine.second_cache:
        room = max(1, machine.second_cache // row - above)
    # As many strips between two moves each time, so that they are a loop.
    size = -(-len(strips) // max(1, -(-sum(new) // room)))
    # What moves must not overlap with where it goes.
    size = next(n for n in range(size, len(strips) + 1) if _moves(rows, kept, n) is not None)
    moves = _moves(rows, kept, size) or {}
    places, position, most = [], kept[0], 0
    for i, need in enumerate(new):
        position = above if i in moves else position
        places.append(position)
        most = max(most, position + need)
        position += rows[i][1]
    return Sliding(
        block.operations[at - 1].output,
        layout,
        max(most, layout.border[0] + 1),
        min(machine.vectors.round_up(layout.view.channels), layout.view.pixel_pitch),
        above,
        tuple(places),
        tuple(first),
        tuple(moves.get(i) for i in range(len(strips))),
        last,
    )


def _moves(rows: Sequence[tuple[int, int]], kept: Sequence[int], size: int) -> dict[int, int] | None:
    """How many rows move to the front before which strip, if every `size` strips some do; None if they would overlap with
    where they go."""
    starts = [i for i in range(size, len(rows), size) if rows[i][1]]
    above = max(kept[1:], default=0)
    for before, start in pairwise([0, *starts]):
        position = above if before else kept[0]
        if position + sum(count for _, count in rows[before:start]) - kept[start] < above:
            return None
    return {start: kept[start] for start in starts}

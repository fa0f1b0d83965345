"""How kernels see a map in memory, and the loops over one or several of them."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from depthwise.compiler.kernels.builder import Function, Operand, Vectors
from depthwise.dataclass import dataclass

__all__ = [
    "MapView",
    "Shares",
    "counted",
    "digest",
    "each_flat_vector",
    "each_pixel",
    "each_share",
    "each_vector",
    "even_shares",
]


@dataclass(frozen=True)
class MapView:
    """Part of a map: `rows` × `columns` pixels of `channels` numbers; pitches count float32 numbers.

    A pixel has room for whole vectors: `pixel_pitch` is at least `channels` rounded up to the lanes, unless a kernel says
    that it reads single numbers. A pitch of 0 broadcasts.
    """

    rows: int
    columns: int
    channels: int
    row_pitch: int
    pixel_pitch: int
    channel_pitch: int = 1

    @property
    def broadcasts(self) -> bool:
        """Whether several places of the map are one place in memory."""
        sizes = ((self.rows, self.row_pitch), (self.columns, self.pixel_pitch), (self.channels, self.channel_pitch))
        return any(size > 1 and pitch == 0 for size, pitch in sizes)

    def resized(self, rows: int, columns: int) -> "MapView":
        return replace(self, rows=rows, columns=columns)

    def dense_rows(self, vectors: Vectors) -> bool:
        """Whether the vectors of a row follow each other without a gap."""
        return self.pixel_pitch == vectors.round_up(self.channels)

    def dense(self, vectors: Vectors) -> bool:
        """Whether all vectors of the map follow each other without a gap."""
        return self.dense_rows(vectors) and (self.rows == 1 or self.row_pitch == self.columns * self.pixel_pitch)


def digest(parameters: object) -> str:
    """A short name for one set of kernel parameters."""
    return hashlib.sha256(repr(parameters).encode()).hexdigest()[:8]


@contextmanager
def counted(function: Function, count: int, step: int = 1) -> Iterator[Operand]:
    """A loop over range(0, count, step), or its one round written out."""
    if count <= step:
        yield 0
    else:
        with function.loop(0, count, step) as loop:
            yield loop.index


@dataclass(frozen=True)
class Shares:
    """`count` neighbouring shares of `size` from `first` on."""

    first: int
    count: int
    size: int


def even_shares(total: int, largest: int) -> list[Shares]:
    """`total` in shares of two neighbouring sizes, none above `largest`: no share is much smaller than another."""
    shares = -(-total // largest)
    small, larger = divmod(total, shares)
    both = Shares(0, larger, small + 1), Shares(larger * (small + 1), shares - larger, small)
    return [item for item in both if item.count]


@contextmanager
def each_share(function: Function, shares: Shares) -> Iterator[Operand]:
    """A loop over shares, or its one round written out: where each starts."""
    if shares.count == 1:
        yield shares.first
    else:
        with function.loop(shares.first, shares.first + shares.count * shares.size, shares.size) as loop:
            yield loop.index


@contextmanager
def each_pixel(function: Function, views: Sequence[MapView]) -> Iterator[list[Operand]]:
    """A loop over the pixels of maps of one size: the offset of the pixel in each of them."""
    first = views[0]
    with counted(function, first.rows) as row, counted(function, first.columns) as column:
        yield [
            function.add(function.multiply(row, view.row_pitch), function.multiply(column, view.pixel_pitch))
            for view in views
        ]


@contextmanager
def each_vector(function: Function, views: Sequence[MapView]) -> Iterator[tuple[list[Operand], Operand]]:
    """A loop over the vectors of maps of one size and channel count: the offset in each map, and the channel's."""
    vectors = function.vectors
    padded = vectors.round_up(views[0].channels)
    with (
        counted(function, views[0].rows) as row,
        counted(function, views[0].columns) as column,
        counted(function, padded, vectors.lanes) as channel,
    ):
        yield (
            [
                function.add(
                    function.add(function.multiply(row, view.row_pitch), function.multiply(column, view.pixel_pitch)),
                    function.multiply(channel, view.channel_pitch),
                )
                for view in views
            ],
            channel,
        )


@contextmanager
def each_flat_vector(function: Function, views: Sequence[MapView]) -> Iterator[list[Operand]]:
    """As `each_vector` without the channel: runs through whole rows, or whole maps, where they have no gaps."""
    vectors, first = function.vectors, views[0]
    padded = vectors.round_up(first.channels)
    if all(view.dense(vectors) for view in views):
        with counted(function, first.rows * first.columns * padded, vectors.lanes) as position:
            yield [position] * len(views)
    elif all(view.dense_rows(vectors) for view in views):
        with (
            counted(function, first.rows) as row,
            counted(function, first.columns * padded, vectors.lanes) as position,
        ):
            yield [function.add(function.multiply(row, view.row_pitch), position) for view in views]
    else:
        with each_vector(function, views) as (offsets, _):
            yield offsets

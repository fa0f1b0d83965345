"""What the plan knows of a machine, and the model that chooses tiles from it."""

import functools
from itertools import product

from depthwise.compiler.kernels.builder import Vectors
from depthwise.compiler.kernels.depthwise import MAXIMUM_UNROLLED
from depthwise.compiler.kernels.maps import even_shares
from depthwise.dataclass import dataclass

__all__ = ["Machine", "choose_depthwise_tile", "choose_tile", "machine_for", "tile_cycles"]

FMA_LATENCY = 5
"""Cycles before a sum can be added to again: four, and one of slack, as measured (8 sums ran a sixth slower than 12)."""

LOADS_A_CYCLE = 2
LOAD_PRESSURE = 0.05
"""Between tiles that the multiply-adds bound alike, the one with fewer loads; a small share of what loads would cost."""


@dataclass(frozen=True)
class Machine:
    """The vectors, and the caches that a plan divides its work by (bytes, for one core).

    `third_rate` are bytes a cycle that one core gets from behind its second cache while the others read there too.
    """

    vectors: Vectors
    first_cache: int = 32 * 1024
    second_cache: int = 512 * 1024
    third_rate: int = 8

    @property
    def least_positions(self) -> int:
        """Output positions that share one reading of weights from behind the second cache, so that reading takes half the
        time of multiplying: a weight is four bytes, and a cycle does two vectors of multiply-adds."""
        return 2 * (2 * self.vectors.lanes) * 4 // self.third_rate


VECTORS = {
    "avx512": Vectors("avx512", 16, 32, True),
    "avx2": Vectors("avx2", 8, 16, True),
    "sse": Vectors("sse", 4, 16, False),
    "neon": Vectors("neon", 4, 32, True),
}


def machine_for(family: str) -> Machine:
    """The machine with the vectors of `family`: "avx512", "avx2", "sse" or "neon"."""
    large = family == "avx512"
    return Machine(VECTORS[family], (48 if large else 32) * 1024, (1024 if large else 512) * 1024)


def tile_cycles(vectors: Vectors, positions: int, width: int, taps: int = 1) -> float:
    """Cycles for one step of k of a tile of `positions` × `width` vectors, by the narrowest of three bounds.

    Two multiply-adds a cycle; every sum waits for its last addition; every vector of `b` and every broadcast of `a` is a
    load. Neighbouring positions share broadcasts over `taps` steps.
    """
    multiply_adds = positions * width / 2
    loads = ((positions + taps - 1) / taps + width) / LOADS_A_CYCLE
    return max(multiply_adds, FMA_LATENCY, loads) + LOAD_PRESSURE * loads


def fits(vectors: Vectors, positions: int, width: int, taps: int = 1) -> bool:
    """Whether sums, the vectors of `b` of all `taps` and one broadcast (and, unfused, one product) stay in registers."""
    held = taps * width if positions > 1 else 1  # a vector that one position reads need not stay
    return positions * width + held + (1 if vectors.fused else 2) <= vectors.registers


@functools.cache
def choose_tile(vectors: Vectors, positions: int, channels: int, taps: int = 1) -> tuple[int, int]:
    """(positions, vectors) of the tile that needs the fewest cycles for `positions` outputs of `channels` numbers.

    Positions are split into tiles of two neighbouring sizes, channels into panels, the last one narrower. `taps` above 1 are
    the columns of a window on a map of one channel: a number that one position reads, its neighbour reads one step later.
    """
    total = vectors.round_up(channels) // vectors.lanes
    best: tuple[float, int, int] | None = None
    for width in range(1, min(total, 12) + 1):
        for height in range(1, vectors.registers):
            if not fits(vectors, height, width, taps):
                break
            cycles = 0.0
            for tiles in even_shares(positions, height):
                panels = total // width * tile_cycles(vectors, tiles.size, width, taps)
                if total % width:
                    panels += tile_cycles(vectors, tiles.size, total % width, taps)
                cycles += tiles.count * panels
            if best is None or cycles < best[0] - 1e-9:
                best = (cycles, height, width)
    assert best is not None
    return best[1], best[2]


@functools.cache
def choose_depthwise_tile(
    vectors: Vectors, kernel_size: tuple[int, int], strides: tuple[int, int], rows: int, columns: int
) -> tuple[int, int]:
    """(rows, columns) of the tile of a depthwise convolution that loads the fewest vectors for a map of `rows` × `columns`.

    In registers: the tile's sums, the rows of weights between the first and the last that one row of the source meets, one
    number of the source (and, unfused, one product).
    """
    height, width = kernel_size
    best: tuple[int, int, int] | None = None
    for tile_rows, tile_columns in product(range(1, min(rows, 4) + 1), range(1, min(columns, vectors.registers) + 1)):
        sums = tile_rows * tile_columns
        weights = width * min(height, (tile_rows - 1) * strides[0] + 1)
        unrolled = height * width * sums <= MAXIMUM_UNROLLED
        if sums > 1 and sums + weights + (2 if vectors.fused else 3) > vectors.registers:
            continue
        if tile_rows > 1 and not unrolled:
            continue
        loads = sum(
            across.count
            * down.count
            * (((down.size - 1) * strides[0] + height) * ((across.size - 1) * strides[1] + width) + height * width)
            for down in even_shares(rows, tile_rows)
            for across in even_shares(columns, tile_columns)
        )
        if best is None or loads < best[0]:
            best = (loads, tile_rows, tile_columns)
    assert best is not None
    return best[1], best[2]

"""Fused blocks: a chain of operations runs strip by strip of rows, so that what lies between them never leaves L1.

depthwise → pointwise → activation → pool is one block: each strip of the depthwise result is consumed at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from depthwise import operations as op
from depthwise.plan.layout import Layout
from depthwise.plan.placement import Part
from depthwise.plan.schedule import Place
from depthwise.program import Operation

__all__ = ["Block", "Rows", "find_blocks"]


@dataclass(frozen=True)
class Rows(Part):
    """Certain rows instead of a share."""

    first: int = 0
    rows: int = 0

    def of(self, total: int) -> tuple[int, int]:
        return self.first, self.rows


@dataclass(frozen=True)
class Block:
    """Operations that run one after the other for each strip.

    Attributes:
        operations: each the only reader of the one before.
        strips: (first row, rows) of the last operation's output; one strip means that nothing is divided.
        scale: for each operation, rows of its output for one row of the last one's.
    """

    operations: tuple[Operation, ...]
    strips: tuple[tuple[int, int], ...]
    scale: tuple[int, ...]

    @property
    def between(self) -> tuple[str, ...]:
        """Tensors of which only a strip exists at a time."""
        return tuple(item.output for item in self.operations[:-1]) if len(self.strips) > 1 else ()

    def strip_rows(self, tensor: str) -> int:
        """Rows of the largest strip of a tensor between."""
        index = [item.output for item in self.operations].index(tensor)
        return max(rows for _, rows in self.strips) * self.scale[index]

    def places(self, strip: tuple[int, int], places: Mapping[str, Place]) -> dict[str, Place]:
        """The tensors between as if they were whole: their first row lies before the strip that there is."""
        moved = {}
        for name, scale in zip(self.between, self.scale):
            place = places[name]
            moved[name] = replace(place, pointer=place.pointer + -strip[0] * scale * place.view.row_pitch)
        return moved


def _is_row_local(operation: Operation) -> bool:
    """Whether a row of the output needs only its own row (or rows) of the input."""
    if isinstance(operation, op.Convolve):
        return operation.kernel_size == (1, 1) and operation.strides == (1, 1) and operation.padding == (0, 0, 0, 0)
    if isinstance(operation, op.Pool):
        return operation.pool_size[0] == operation.strides[0] and not any(operation.counted_padding)
    return isinstance(operation, (op.Activate, op.ApplyReLU, op.Scale, op.Normalise))


def find_blocks(
    operations: Sequence[Operation],
    follows: Callable[[Operation, Operation], bool],
    layouts: Mapping[str, Layout],
    cache: int,
) -> list[Block]:
    """Operations as blocks; strips are as high as keeps what lies between within half of `cache` bytes.

    `follows(first, second)` says whether the second may run on the first's strips; that it needs only rows of its own is
    checked here.
    """
    blocks: list[Block] = []
    chain: list[Operation] = []
    for operation in operations:
        if chain and not (_starts_block(chain[-1]) and _is_row_local(operation) and follows(chain[-1], operation)):
            blocks.append(_block(chain, layouts, cache))
            chain = []
        chain.append(operation)
    if chain:
        blocks.append(_block(chain, layouts, cache))
    return blocks


def _starts_block(operation: Operation) -> bool:
    return isinstance(operation, (op.Convolve, op.ConvolveDepthwise)) or _is_row_local(operation)


def _block(chain: list[Operation], layouts: Mapping[str, Layout], cache: int) -> Block:
    scale = [1]
    for operation in reversed(chain[1:]):
        scale.insert(0, scale[0] * (operation.strides[0] if isinstance(operation, op.Pool) else 1))
    rows = layouts[chain[-1].output].view.rows
    between = [layouts[item.output].view for item in chain[:-1]]
    one = 4 * sum(view.row_pitch * factor for view, factor in zip(between, scale))
    whole = 4 * sum(prod((view.rows, view.row_pitch)) for view in between)
    if len(chain) == 1 or whole <= cache // 2:
        return Block(tuple(chain), ((0, rows),), tuple(scale))
    height = max(1, cache // 2 // one)
    count = -(-rows // height)
    edges = [rows * i // count for i in range(count + 1)]
    strips = tuple((first, last - first) for first, last in pairwise(edges))
    return Block(tuple(chain), strips, tuple(scale))

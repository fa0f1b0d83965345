"""What the rows of a schedule cost: instructions counted in the kernels' own IR, memory as the union of what they touch."""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from depthwise.bench.instructions import Instructions, count_instructions
from depthwise.bench.measured import MeasuredRow
from depthwise.bench.probes import MachineRates
from depthwise.bench.report import Cost
from depthwise.compiler.kernels.builder import Vectors
from depthwise.compiler.kernels.contraction import Contraction
from depthwise.compiler.plan.schedule import Call, Pointer, Schedule, written_out

__all__ = ["bound_of", "cost_of", "macs_of"]

Interval = tuple[int, int]
FLOAT = 4


def macs_of(kernel: Any, numbers: Mapping[str, int]) -> int:
    """Multiply-adds of one call, as the layer's arithmetic counts them; 0 for kernels that have none."""
    if isinstance(kernel, Contraction):
        columns = numbers["images"] if kernel.columns is None else kernel.columns
        depth = prod(numbers["batch"] if loop.count is None else loop.count for loop in kernel.reduction)
        return len(kernel.a_rows) * columns * kernel.channels * depth
    return int(getattr(kernel, "macs", 0))


def cost_of(
    row: MeasuredRow, schedule: Schedule, vectors: Vectors, batch: int, images: int, chunks: int
) -> tuple[Cost, int, int]:
    """The cost for one sample, and the bytes of one pass and of one strip.

    Args:
        batch: samples of the run. images: samples of a group. chunks: tasks that samples are divided into.
    """
    numbers = {"images": images, "batch": batch, "chunks": chunks, "sample": 0}
    samples = {"image": 1, "group": images, "pieces": batch}[row.level]
    total = Instructions()
    macs, moved = 0, 0
    spans: dict[str, list[Interval]] = {}
    for call in (call for items in row.calls for call in written_out(items)):
        macs += macs_of(call.kernel, numbers)
        counted = count_instructions(call.kernel, vectors, _values(call, numbers))
        total.multiply_adds += counted.multiply_adds
        total.other += counted.other
        total.loads += counted.loads
        total.stores += counted.stores
        own: dict[str, list[Interval]] = {}
        for name, item in zip(call.kernel.arguments, call.arguments):
            if isinstance(item, Pointer):
                first, last = counted.touched(name)
                if last > first:
                    own.setdefault(item.arena, []).append((item.offset + first, item.offset + last))
        for arena, intervals in own.items():
            moved += FLOAT * _union(intervals)
            spans.setdefault(arena, []).extend(intervals)
    distinct = FLOAT * sum(_union(intervals) for intervals in spans.values())
    cost = Cost(
        macs / samples,
        total.multiply_adds / samples,
        total.other / samples,
        total.loads / samples,
        total.stores / samples,
        moved / samples,
        distinct / samples,
    )
    return cost, distinct, min(distinct, moved // row.strips)


def _values(call: Call, numbers: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(
        (name, numbers[item]) for name, item in zip(call.kernel.arguments, call.arguments) if isinstance(item, str)
    )


def _union(intervals: Iterable[Interval]) -> int:
    total, end = 0, -(1 << 62)
    for first, last in sorted(intervals):
        total += max(0, last - max(first, end))
        end = max(end, last)
    return total


def bound_of(cost: Cost, working_set: float, strip_set: float, rates: MachineRates) -> tuple[str, float]:
    """What limits the row, and the seconds that a sample takes at least by that limit: a roofline with three roofs.

    What a strip touches again comes from the cache that a strip fits into, what is touched first from the one that the whole
    row fits into.
    """
    again = cost.bytes - cost.distinct_bytes
    limits = {
        "arithmetic": (cost.multiply_adds + cost.other) / rates.instructions,
        "loads": (cost.loads + cost.stores) / rates.loads,
        "memory": cost.distinct_bytes / rates.bandwidth(working_set) + again / rates.bandwidth(strip_set),
    }
    if 2 * cost.macs / rates.lanes >= cost.multiply_adds + cost.other:
        # Activations are part of the arithmetic; where they are most of it, the bound is called "arithmetic".
        limits["multiply-adds"] = limits.pop("arithmetic")
    name = max(limits, key=lambda item: limits[item])
    return name, limits[name]

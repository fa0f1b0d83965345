"""Which calls of a schedule belong together: the rows of the table, found from the calls themselves.

Calls that read the same packed weights are one layer. A block that runs strip by strip calls its kernels in turn, so the
weights of one kernel come back after those of another; all calls between the first and the last time are one block.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from depthwise.bench.instructions import count_instructions
from depthwise.emit.builder import Vectors
from depthwise.emit.elementwise import Elementwise, ElementwiseSum
from depthwise.plan.schedule import Call, Item, Pointer, Schedule, every_call, written_out

__all__ = ["Group", "group_calls", "kind_of", "main_kind", "weight_names"]


@dataclass(frozen=True)
class Group:
    """Calls `first` to `last` − 1 of a list, which are measured as one.

    Attributes:
        layers: the layers whose weights they read.
        kinds: the kernels' kinds in the order in which they first run.
        strips: how often the block's kernels run in turn.
    """

    first: int
    last: int
    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    strips: int


def weight_names(schedule: Schedule) -> dict[str, tuple[list[int], list[str]]]:
    """For the arenas of weights and of their gradients: where each parameter starts, in order, and its name."""
    offsets = sorted((offset, name) for name, offset in schedule.parameter_offsets.items())
    parameters = [offset for offset, _ in offsets], [name for _, name in offsets]
    found = {"parameters": parameters, "gradients": parameters}
    found |= {f"packed{i}": ([0], [form.parameter]) for i, form in enumerate(schedule.forms)}
    chunks: dict[int, str] = {}
    for call in (call for stage in schedule.stages for items in stage.tasks for call in written_out(items)):
        pointers = [item for item in call.arguments if isinstance(item, Pointer)]
        for own, other in ((a, b) for a in pointers for b in pointers):
            # Gradients that chunks collected are added up into gradients.
            if (own.arena, other.arena) == ("chunk", "gradients"):
                chunks.setdefault(own.offset, _at(parameters, other.offset))
    ordered = sorted(chunks.items())
    found["chunk"] = [offset for offset, _ in ordered], [name for _, name in ordered]
    return found


def _at(table: tuple[list[int], list[str]], offset: int) -> str:
    index = bisect_right(table[0], offset) - 1
    return table[1][index] if index >= 0 else ""


def main_kind(items: Sequence[Item]) -> str:
    """The kind of the first kernel that does more than copy or fill."""
    kinds = [kind_of(call.kernel) for call in every_call(items)]
    return next((kind for kind in kinds if kind not in ("fill", "copy")), kinds[0] if kinds else "")


def kind_of(kernel: Any) -> str:
    """What a kernel is, in words."""
    if isinstance(kernel, (Elementwise, ElementwiseSum)):
        return kernel.kind
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(kernel).__name__).lower()
    kind = getattr(kernel, "kind", "")
    return f"{kind} {words}" if kind and kind not in words else words


def group_calls(
    calls: Sequence[Item],
    names: dict[str, tuple[list[int], list[str]]],
    vectors: Vectors,
    *,
    training: bool = False,
) -> list[Group]:
    """The groups of a list of calls and loops, in order; together they are the whole list. A loop is never divided.

    In prediction what follows a layer without weights of its own (pooling, an addition) belongs to it; in training each
    such call is a row, unless it is part of the layer's strips. Copies and borders belong to what they are made for.
    """
    keys = [_weights_of(call, names, vectors) for call in calls]
    ends: dict[tuple[str, str], int] = {}
    for i, key in enumerate(keys):
        for item in key:
            ends[item] = i
    edges: list[tuple[int, int]] = []
    first = 0
    while first < len(calls):
        last = first
        # Copies and borders first, then the call that they are made for.
        while last < len(calls) - 1 and main_kind([calls[last]]) in ("fill", "copy"):
            last += 1
        end = last
        while last <= end:
            end = max([end, *(ends[item] for item in keys[last])])
            last += 1
        is_layer = any(keys[first:last])
        inside = {kind_of(call.kernel) for call in every_call(calls[first:last])}
        while is_layer and last < len(calls) and _follows(calls[last], keys[last]):
            # In training only the end of the last strip, which looks like those before.
            if training and main_kind([calls[last]]) not in inside:
                break
            last += 1
        edges.append((first, last))
        first = last
    groups = [_group(calls, keys, first, last) for first, last in edges]
    return _joined(calls, keys, groups)


def _weights_of(
    item: Item, names: dict[str, tuple[list[int], list[str]]], vectors: Vectors
) -> tuple[tuple[str, str], ...]:
    """(place, parameter) of the weights that a call or a loop reads, or whose gradient it collects."""
    found = (key for call in every_call([item]) for key in _weights_of_call(call, names, vectors))
    return tuple(dict.fromkeys(found))


def _weights_of_call(
    call: Call, names: dict[str, tuple[list[int], list[str]]], vectors: Vectors
) -> tuple[tuple[str, str], ...]:
    # A kernel without bias gets some address for it all the same.
    counts = tuple((name, 1) for name, item in zip(call.kernel.arguments, call.arguments) if isinstance(item, str))
    accessed = count_instructions(call.kernel, vectors, counts).accessed
    found = []
    for name, item in zip(call.kernel.arguments, call.arguments):
        if isinstance(item, Pointer) and item.arena.startswith(("packed", "chunk")) and name in accessed:
            offsets, parameters = names[item.arena]
            index = bisect_right(offsets, item.offset) - 1
            if index >= 0:
                found.append((f"{item.arena}+{offsets[index]}", parameters[index]))
    return tuple(dict.fromkeys(found))


def _follows(item: Item, keys: tuple[Any, ...]) -> bool:
    """Whether an item belongs to the layer before: no weights, no copy, and nothing that mixes pixels or channels."""
    kinds = {type(call.kernel).__name__ for call in every_call([item])}
    return not keys and kinds <= {"Pooling", "Elementwise", "DivideByCounts"}


def _group(calls: Sequence[Item], keys: Sequence[tuple[tuple[str, str], ...]], first: int, last: int) -> Group:
    layers = dict.fromkeys(name.partition("/")[0] for key in keys[first:last] for _, name in key)
    kinds = dict.fromkeys(kind_of(call.kernel) for call in every_call(calls[first:last]))
    main = [kind for kind in kinds if kind not in ("fill", "copy")] or list(kinds)
    repeats: Counter[tuple[str, str]] = Counter()
    for item, key in zip(calls[first:last], keys[first:last]):
        repeats.update(dict.fromkeys(key, _strips_of(item)))
    return Group(first, last, tuple(layers), tuple(main), min(repeats.values(), default=1))


def _strips_of(item: Item) -> int:
    """How often an item runs with the same weights. Loops over groups or cells of a kernel go to other weights each round."""
    if isinstance(item, Call):
        return 1
    moves = any(
        step and isinstance(place, Pointer) and place.arena.startswith(("packed", "chunk"))
        for call, steps in zip(every_call(item.body), item.steps)
        for place, step in zip(call.arguments, steps)
    )
    return (1 if moves else item.count) * max(_strips_of(inner) for inner in item.body)


def _joined(calls: Sequence[Item], keys: Sequence[Any], groups: list[Group]) -> list[Group]:
    """Neighbours of one layer are one group: the two stages of a separable convolution on a small map."""
    joined: list[Group] = []
    for group in groups:
        previous = joined[-1] if joined else None
        if previous is not None and previous.layers and previous.layers == group.layers:
            joined[-1] = _group(calls, keys, previous.first, group.last)
        else:
            joined.append(group)
    return joined

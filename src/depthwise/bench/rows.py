"""Which calls of a schedule belong together: the rows of the table, by the layers that the calls come from.

A block that runs strip by strip calls its layers in turn: all calls between the first and the last time are one row. What no
layer asked for, such as the loss, is a row by itself, and separates a layer's forward calls from its backward calls.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from depthwise.compiler.kernels.elementwise import Copy, Elementwise, ElementwiseRuns, ElementwiseSum, Fill
from depthwise.compiler.plan.schedule import Call, Item, every_call, written_out
from depthwise.dataclass import dataclass

__all__ = ["Group", "group_calls", "kind_of", "main_kind"]


@dataclass(frozen=True)
class Group:
    """Entries `first` to `last` − 1 of a list of calls, which are measured as one.

    Attributes:
        layers: the layers that they come from.
        kinds: the kernels' kinds in the order in which they first run.
        strips: how often the block's kernels run in turn.
    """

    first: int
    last: int
    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    strips: int


def main_kind(calls: Sequence[Item]) -> str:
    """The kind of the first kernel that does more than copy or fill."""
    return _main_kinds(every_call(calls))[0]


def kind_of(kernel: Any) -> str:
    """What a kernel is, in words."""
    if isinstance(kernel, (Elementwise, ElementwiseRuns, ElementwiseSum)):
        return kernel.kind
    words = re.sub(r"(?<!^)(?=[A-Z])", " ", type(kernel).__name__).lower()
    kind = getattr(kernel, "kind", "")
    return f"{kind} {words}" if kind and kind not in words else words


def group_calls(calls: Sequence[Item]) -> list[Group]:
    """The groups of a list of calls and loops, in order; together they are the whole list. A loop is never divided."""
    keys = _keys(calls)
    ends = {key: i for i, found in enumerate(keys) for key in found}
    groups: list[Group] = []
    first = 0
    while first < len(calls):
        last, end = first, first
        while last <= end:
            end = max(end, *(ends[key] for key in keys[last]))
            last += 1
        groups.append(_group(calls, first, last))
        first = last
    return groups


def _keys(calls: Sequence[Item]) -> list[set[tuple[int, str]]]:
    """(part, layer) of each entry; a part ends with a call that no layer asked for. Borders are made for the call after."""
    part = len(calls)
    keys: list[set[tuple[int, str]]] = [{(part, "")}] * (part + 1)
    for i in reversed(range(len(calls))):
        layers = {
            call.origin for call in every_call(calls[i : i + 1]) if call.origin or not isinstance(call.kernel, Fill)
        }
        part = i if "" in layers else part
        keys[i] = {(part, layer) for layer in layers} or keys[i + 1]
    return keys[:-1]


def _group(calls: Sequence[Item], first: int, last: int) -> Group:
    own = [*written_out(calls[first:last])]
    turns = Counter(key for key, _ in groupby((call.origin, kind_of(call.kernel)) for call in _main(own)))
    layers = dict.fromkeys(call.origin for call in own if call.origin)
    return Group(first, last, tuple(layers), _main_kinds(own), min(turns.values()))


def _main_kinds(calls: Iterable[Call]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind_of(call.kernel) for call in _main([*calls])))


def _main(calls: Sequence[Call]) -> Sequence[Call]:
    """The calls that do more than fill or copy; all of them where there are none."""
    return [call for call in calls if not isinstance(call.kernel, (Fill, Copy))] or calls

"""Which layers of one network stand beside which of another, for a table that shows both.

A network and its twin are matched by what became of each layer. Other networks are aligned by names, classes and shapes.

>>> from depthwise.network.graph import sequential
>>> from depthwise.network.twins import twin
>>> from depthwise.layers.descriptions import Conv2D, DepthwiseConv2D, ReLU
>>> graph = sequential([DepthwiseConv2D(3, input_shape=(8, 8, 4)), ReLU(), Conv2D(9, 1), ReLU()])
>>> for ours, theirs in corresponding(graph, twin(graph))[1:]:
...     print([call.name for call in ours], [call.name for call in theirs])
['depthwise_conv2d', 're_lu', 'conv2d'] ['conv2d']
['re_lu_1'] ['re_lu_1']
"""

from collections.abc import Mapping, Sequence

from depthwise.errors import UnsupportedError
from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.network.graph import Call, Graph
from depthwise.network.twins import Direction, twin_with_origins

__all__ = ["Group", "aligned", "corresponding"]

Group = tuple[tuple[Call, ...], tuple[Call, ...]]
"""Layers of the first and of the second network that stand for each other; one side may be empty."""

_CONVOLUTIONS = (Conv2D, DepthwiseConv2D, SeparableConv2D)

Pair = tuple[Call | None, Call | None]


def corresponding(first: Graph, second: Graph) -> list[Group]:
    """All layers of both networks in order, in groups.

    Where one network is the other's twin, each of its layers stands beside those that it was made of: one convolution beside a
    whole block of depthwise, normalisation, activation and pointwise.
    """
    origins = _origins(first, second)
    if origins is not None:
        return _grouped(first, second, origins)
    origins = _origins(second, first)
    if origins is not None:
        return [(ours, theirs) for theirs, ours in _grouped(second, first, origins)]
    pairs = aligned(first.calls, second.calls)
    return [(() if one is None else (one,), () if other is None else (other,)) for one, other in pairs]


def _origins(graph: Graph, other: Graph) -> dict[str, str] | None:
    """What stands in `other` for each call of `graph`, where `other` is a twin of it by any name; else None."""
    for direction in Direction:
        try:
            made, origins = twin_with_origins(graph, direction)
        except UnsupportedError:
            continue
        if _form(made) == _form(other):
            names = {mine.name: its.name for mine, its in zip(made.calls, other.calls)}
            return {name: names[origin] for name, origin in origins.items()}
    return None


def _form(graph: Graph) -> list[object]:
    """What two networks that are built alike have in common, whatever their layers are called."""
    place = {call.name: index for index, call in enumerate(graph.calls)}
    return [
        (
            type(call.layer),
            call.output_shape,
            tuple(weight.shape for weight in call.weights),
            tuple(place[read] for read in call.reads),
        )
        for call in graph.calls
    ]


def _grouped(graph: Graph, other: Graph, origins: Mapping[str, str]) -> list[Group]:
    members: dict[str, list[Call]] = {call.name: [] for call in other.calls}
    for call in graph.calls:
        members[origins[call.name]].append(call)
    return [(tuple(members[call.name]), (call,)) for call in other.calls]


def aligned(first: Sequence[Call], second: Sequence[Call]) -> list[Pair]:
    """Both networks' layers in order, those that correspond in one pair; None where a layer has no counterpart.

    Layers correspond by their name, or by what they are and the shape that they give. Of all ways to pair them without
    crossing, the one with the most agreement is taken (as Needleman and Wunsch 1970 align sequences).
    """
    rows, columns = len(first), len(second)
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            score = _agreement(first[row], second[column])
            together = best[row + 1][column + 1] + score if score else 0
            best[row][column] = max(together, best[row + 1][column], best[row][column + 1])
    pairs: list[Pair] = []
    row = column = 0
    while row < rows and column < columns:
        score = _agreement(first[row], second[column])
        if score and best[row][column] == best[row + 1][column + 1] + score:
            pairs.append((first[row], second[column]))
            row, column = row + 1, column + 1
        elif best[row][column] == best[row + 1][column]:
            pairs.append((first[row], None))
            row += 1
        else:
            pairs.append((None, second[column]))
            column += 1
    pairs += [(call, None) for call in first[row:]]
    pairs += [(None, call) for call in second[column:]]
    return pairs


def _agreement(one: Call, other: Call) -> int:
    """How well two layers correspond; 0 for not at all."""
    alike = type(one.layer) is type(other.layer)
    if one.name == other.name:
        return 4 if alike else 3
    if one.output_shape != other.output_shape:
        return 0
    convolutions = isinstance(one.layer, _CONVOLUTIONS) and isinstance(other.layer, _CONVOLUTIONS)
    return 2 if alike or convolutions else 0

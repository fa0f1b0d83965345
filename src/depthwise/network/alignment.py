"""Which layer of one network stands beside which of another, for a table that shows both.

>>> from depthwise.network.graph import sequential
>>> from depthwise.network.twins import twin
>>> from depthwise.layers.descriptions import Conv2D, DepthwiseConv2D, ReLU
>>> graph = sequential([DepthwiseConv2D(3, input_shape=(8, 8, 4)), ReLU(), Conv2D(9, 1), ReLU()])
>>> other = twin(graph)
>>> [tuple(one and one.name for one in pair) for pair in aligned(graph.calls[1:], other.calls[1:])]
[('depthwise_conv2d', None), ('re_lu', None), ('conv2d', 'conv2d'), ('re_lu_1', 're_lu_1')]
"""

from collections.abc import Sequence

from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.network.graph import Call

__all__ = ["aligned"]

_CONVOLUTIONS = (Conv2D, DepthwiseConv2D, SeparableConv2D)

Pair = tuple[Call | None, Call | None]


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

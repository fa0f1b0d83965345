"""Places for the boxes of a drawing: each a row below what it reads from, with few crossings (Sugiyama et al. 1981)."""

import itertools
from collections.abc import Mapping, Sequence

from depthwise.dataclass import dataclass

__all__ = ["Layout", "layered"]

Size = tuple[float, float]
Place = tuple[float, float]
Edge = tuple[int, int]
SWEEPS = 8


@dataclass(frozen=True)
class Layout:
    """Where things are.

    Attributes:
        boxes: the middle of each box.
        ways: the corners of the line of each edge, from the lower side of a box to the upper side of another.
    """

    boxes: list[Place]
    ways: Mapping[Edge, list[Place]]


def layered(sizes: Sequence[Size], edges: Sequence[Edge], between: float, gap: float) -> tuple[Layout, Size]:
    """Places for boxes.

    Args:
        sizes: width and height of each box.
        edges: (from, to); without circles, and `from` comes before `to`.
        between: space between the boxes of a row. gap: between rows.

    Returns:
        The places, and the size of the whole.
    """
    ranks = [0] * len(sizes)
    for start, end in sorted(edges, key=lambda edge: edge[1]):
        ranks[end] = max(ranks[end], ranks[start] + 1)
    # An edge over several rows gets a point in each of them, so that it goes around the boxes there.
    widths, chains = [width for width, _ in sizes], {}
    rows: list[list[int]] = [[] for _ in range(max(ranks, default=0) + 1)]
    for node, rank in enumerate(ranks):
        rows[rank].append(node)
    neighbours: list[tuple[int, int]] = []
    for start, end in edges:
        chain = [start]
        for rank in range(ranks[start] + 1, ranks[end]):
            widths.append(0.0)
            rows[rank].append(len(widths) - 1)
            chain.append(len(widths) - 1)
        chain.append(end)
        chains[start, end] = chain
        neighbours += itertools.pairwise(chain)
    x = _across(rows, widths, neighbours, between)
    heights = [max((sizes[node][1] for node in row if node < len(sizes)), default=0.0) for row in rows]
    tops = [between + sum(heights[:rank]) + gap * rank for rank in range(len(rows))]
    middle = [top + height / 2 for top, height in zip(tops, heights)]
    row_of = {node: rank for rank, row in enumerate(rows) for node in row}
    boxes = [(x[node], middle[ranks[node]]) for node in range(len(sizes))]
    ways = {}
    for (start, end), chain in chains.items():
        way = [(x[start], boxes[start][1] + sizes[start][1] / 2)]
        for node in chain[1:-1]:
            top = tops[row_of[node]]
            way += [(x[node], top), (x[node], top + heights[row_of[node]])]
        ways[start, end] = [*way, (x[end], boxes[end][1] - sizes[end][1] / 2)]
    width = max((x[node] + widths[node] / 2 for node in range(len(widths))), default=0.0) + between
    return Layout(boxes, ways), (width, tops[-1] + heights[-1] + between)


def _across(rows: list[list[int]], widths: list[float], links: Sequence[Edge], between: float) -> list[float]:
    """The x of every node: near the mean of its neighbours, in an order that this mean gives."""
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for start, end in links:
        above.setdefault(end, []).append(start)
        below.setdefault(start, []).append(end)
    x = [0.0] * len(widths)
    for row in rows:
        _spread(row, widths, [0.0] * len(row), x, between)
    for sweep in range(SWEEPS):
        near, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in order:
            wanted = {node: _mean([x[item] for item in near.get(node, [])], x[node]) for node in row}
            row.sort(key=lambda node: wanted[node])
            _spread(row, widths, [wanted[node] for node in row], x, between)
    shift = between - min((x[node] - widths[node] / 2 for row in rows for node in row), default=0.0)
    return [value + shift for value in x]


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spread(row: list[int], widths: list[float], wanted: list[float], x: list[float], between: float) -> None:
    """Puts a row's nodes side by side, the whole row where its nodes want to be on the average."""
    place, places = 0.0, []
    for node in row:
        places.append(place + widths[node] / 2)
        place += widths[node] + between
    shift = _mean([want - own for want, own in zip(wanted, places)], 0.0)
    for node, own in zip(row, places):
        x[node] = own + shift

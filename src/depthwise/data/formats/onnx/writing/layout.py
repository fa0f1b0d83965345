"""How a tensor of the file holds a value of the program.

The program's values have their channels last, ONNX's operators want them first, and a value that is only looked at under another
shape or order of axes needs no operator at all. So a tensor is described by factors: the numbers of a value, counted as the program
counts them, are counted by several digits (row, column, channel), and the tensor has the same digits in another order.

>>> image = Layout.plain((32, 32, 3))
>>> first = Layout.of_axes((32, 32, 3), (2, 0, 1))
>>> first.shape, first.order
((3, 32, 32), (1, 0))

A vector that such a map is flattened to is the same tensor: its one axis has two factors, in the tensor's order.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import prod

from depthwise.dataclass import dataclass

__all__ = ["Layout", "View", "in_axes", "permutation", "transposed", "view"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a value lie in a tensor.

    Attributes:
        sizes: the factors, the slowest first as the program counts; each above 1, and no two neighbours that are neighbours in the
            tensor too. Two tensors with the same sizes and order differ in their shape at most.
        order: the factors in the order of the tensor.
        shape: of the tensor, without the batch.
    """

    sizes: Shape
    order: Shape
    shape: Shape

    @staticmethod
    def plain(shape: Sequence[int]) -> "Layout":
        """The program's own order."""
        return Layout.of_axes(shape, range(len(shape)))

    @staticmethod
    def of_axes(sizes: Sequence[int], order: Iterable[int]) -> "Layout":
        """The axes `sizes` of a value, in the tensor in another order."""
        places = tuple(order)
        return Layout(*_normal(sizes, places), tuple(sizes[place] for place in places))

    def shaped(self, shape: Iterable[int]) -> "Layout":
        """The same numbers in the same order under another shape."""
        return Layout(self.sizes, self.order, tuple(shape))

    def lies_like(self, other: "Layout") -> bool:
        """Whether the numbers have the same order."""
        return (self.sizes, self.order) == (other.sizes, other.order)

    @property
    def steps(self) -> set[int]:
        """How far apart neighbours along each factor are in the program's order, and along each axis of the tensor."""
        found = set(_steps(self.sizes))
        steps = _steps(self.sizes)
        for step in _steps(self.shape):
            behind = 1
            for factor in reversed(self.order):
                if behind <= step < behind * self.sizes[factor]:
                    found.add(steps[factor] * (step // behind))
                behind *= self.sizes[factor]
        return found


def _normal(sizes: Sequence[int], order: Sequence[int]) -> tuple[Shape, Shape]:
    """Factors without those of size 1; those that follow each other in both orders are one."""
    runs: list[list[int]] = []
    kept = [factor for factor in range(len(sizes)) if sizes[factor] > 1]
    rank = {factor: place for place, factor in enumerate(kept)}
    for factor in order:
        if factor not in rank:
            continue
        if runs and rank[runs[-1][-1]] + 1 == rank[factor]:
            runs[-1].append(factor)
        else:
            runs.append([factor])
    in_program = sorted(runs)
    joined = tuple(prod(sizes[factor] for factor in run) for run in in_program)
    return joined, tuple(in_program.index(run) for run in runs)


def _steps(sizes: Sequence[int]) -> list[int]:
    return [prod(sizes[place + 1 :]) for place in range(len(sizes))]


def _split(layout: Layout, steps: set[int]) -> tuple[Shape, Shape] | None:
    """The layout's factors divided so that each of `steps` is one's; None where they do not divide each other."""
    total = prod(layout.sizes)
    wanted = sorted({*_steps(layout.sizes), *steps, total, 1}, reverse=True)
    if any(larger % smaller for larger, smaller in pairwise(wanted)):
        return None
    sizes = tuple(larger // smaller for larger, smaller in pairwise(wanted))
    pieces: list[list[int]] = []
    place = 0
    for size in layout.sizes:
        piece: list[int] = []
        while prod(sizes[part] for part in piece) < size:
            piece.append(place)
            place += 1
        pieces.append(piece)
    return sizes, tuple(part for factor in layout.order for part in pieces[factor])


@dataclass(frozen=True)
class View:
    """A tensor seen as the axes of a value.

    Attributes:
        order: the value's axes in the order in which the tensor has them.
        layout: the tensor's, its shape that of these axes.
    """

    order: Shape
    layout: Layout

    def place(self, axis: int) -> int:
        """Where the tensor has an axis of the value; the batch is 0."""
        return self.order.index(axis) + 1


def in_axes(layout: Layout, shape: Shape) -> tuple[list[tuple[int, int]], Shape] | None:
    """The factors, divided so that each belongs to one axis of `shape`: (size, axis) each as the program counts, and their
    order in the tensor; None where they cannot be divided so."""
    split = _split(layout, set(_steps(shape)))
    if split is None:
        return None
    axes, left = [], list(shape)
    axis = 0
    for size in split[0]:
        while left[axis] == 1:
            axis += 1
        axes.append((size, axis))
        left[axis] //= size
    return axes, split[1]


def view(layout: Layout, shape: Shape, loose: Sequence[int] = ()) -> View | None:
    """The tensor seen as the axes `shape` of its value, if each lies in it as a whole.

    Args:
        loose: axes whose numbers may have another order than the value's.
    """
    found = in_axes(layout, shape)
    if found is None:
        return None
    axes, places = found
    parts: dict[int, list[int]] = {}
    previous = -1
    for factor in places:
        axis = axes[factor][1]
        if axis in parts and (axis != previous or (axis not in loose and factor != parts[axis][-1] + 1)):
            return None
        parts.setdefault(axis, []).append(factor)
        previous = axis
    order = _with_ones(list(parts), shape)
    return View(order, layout.shaped(shape[axis] for axis in order))


def _with_ones(order: list[int], shape: Shape) -> Shape:
    """The order of all axes, given that of those longer than 1. A map's channels come first where that is possible."""
    rank = len(shape)
    first = (rank - 1, *range(rank - 1))
    if rank in (2, 3) and [axis for axis in first if shape[axis] > 1] == order:
        return first
    result = list(order)
    for axis in range(rank):
        if shape[axis] == 1:
            result.insert(result.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(result)


def transposed(layout: Layout, shape: Shape, axes: Sequence[int]) -> Layout | None:
    """How the tensor holds the value whose axis i is axis `axes[i]` of this one's; None where its factors do not fit."""
    found = in_axes(layout, shape)
    if found is None:
        return None
    owners, places = found
    new = [factor for axis in axes for factor, (_, owner) in enumerate(owners) if owner == axis]
    order = tuple(new.index(factor) for factor in places)
    return Layout(*_normal([owners[factor][0] for factor in new], order), layout.shape)


def permutation(source: Layout, target: Layout) -> tuple[Shape, Shape] | None:
    """The shape under which the axes of one tensor become those of the other by a transposition, and its axes.

    The shape is the tensor's own where that is possible. None where no factors are common to both.
    """
    steps = source.steps | target.steps
    here, there = _split(source, steps), _split(target, steps)
    if here is None or there is None:
        return None
    sizes = here[0]
    before, after = _grouped(sizes, here[1], source.shape), _grouped(sizes, there[1], target.shape)
    if sorted(before) == sorted(after):
        free = list(range(len(before)))
        axes = []
        for group in after:
            axes.append(next(place for place in free if before[place] == group))
            free.remove(axes[-1])
        return source.shape, tuple(axes)
    joined: list[list[int]] = []
    for factor in here[1]:
        place = there[1].index(factor)
        if joined and place and there[1][place - 1] == joined[-1][-1]:
            joined[-1].append(factor)
        else:
            joined.append([factor])
    ends = sorted(range(len(joined)), key=lambda place: there[1].index(joined[place][0]))
    return tuple(prod(sizes[factor] for factor in group) for group in joined), tuple(ends)


def _grouped(sizes: Shape, order: Shape, shape: Shape) -> list[Shape]:
    """The factors of each axis of a tensor."""
    left = list(order)
    groups = []
    for size in shape:
        group: list[int] = []
        while prod(sizes[factor] for factor in group) < size:
            group.append(left.pop(0))
        groups.append(tuple(group))
    return groups

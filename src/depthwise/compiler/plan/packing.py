"""How parameters are packed for the kernels: each form is a few strided copies. Rows that whole vectors would overrun
end in zeros: a form starts as zeros, and nothing writes there."""

from math import prod

from depthwise.compiler.kernels.contraction import Contraction
from depthwise.compiler.kernels.elementwise import StridedCopy
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.plan.placement import Placement
from depthwise.compiler.plan.schedule import Place, Pointer

__all__ = ["bias", "depthwise_kernel", "matrix_size", "panels", "repeated", "rows_of_vectors"]


def bias(placement: Placement, name: str) -> Pointer:
    """One number a channel, and room to read a whole vector from any of them on: a group's filters may begin within one."""
    count = placement.program.type(name).size

    return placement.packed(name, count + placement.vectors.lanes - 1, ((StridedCopy(((count, 1, 1),)), 0, 0),))


def rows_of_vectors(placement: Placement, name: str) -> Place:
    """A parameter as a map (rows, columns, channels) whose pixels have room for whole vectors."""
    rows, columns, channels = placement.program.type(name).map
    padded = placement.vectors.round_up(channels)
    view = MapView(rows, columns, channels, columns * padded, padded)
    if rows * columns == 1:
        return Place(bias(placement, name), view, 0)

    copy = StridedCopy(((rows * columns, channels, padded), (channels, 1, 1)))
    return Place(placement.packed(name, rows * columns * padded, ((copy, 0, 0),)), view, 0)


def repeated(placement: Placement, name: str, period: int) -> Pointer:
    """`period` numbers: the parameter's, again and again."""
    count = placement.program.type(name).size
    copy = StridedCopy(((period // count, 0, count), (count, 1, 1)))
    return placement.packed(name, period, ((copy, 0, 0),))


def depthwise_kernel(placement: Placement, name: str, cells: int, channels: int, *, mirrored: bool) -> Pointer:
    """For each cell all channels; `mirrored` has the last cell first, as the input gradient reads it."""
    padded = placement.vectors.round_up(channels)
    step, start = (-channels, (cells - 1) * channels) if mirrored else (channels, 0)

    copy = StridedCopy(((cells, step, padded), (channels, 1, 1)))
    return placement.packed(name, cells * padded, ((copy, start, 0),))


def panels(
    placement: Placement,
    name: str,
    kernel: Contraction,
    depth_loops: tuple[tuple[int, int], ...],
    channel_step: int,
    first: int = 0,
    *,
    repeats: tuple[tuple[int, int], ...] = (),
) -> Pointer:
    """The parameter as a matrix (k, channels) by the panels of `kernel`, read from its number `first` on.

    `depth_loops` are (count, step in the parameter) of k, outermost first. Steps of any sign: the kernels of input gradients
    are read mirrored and transposed. `repeats` are (count, step in the parameter) of several matrices, outermost first: groups,
    or cells of a kernel. They follow each other, `matrix_size` numbers apart.
    """
    vectors = placement.vectors
    depth = prod(count for count, _ in depth_loops)
    size, matrices = matrix_size(placement, kernel, depth), prod(count for count, _ in repeats)
    outside, inner = [], matrices
    for count, step in repeats:
        inner //= count
        if count > 1:
            outside.append((count, step, inner * size))

    copies = []
    for start, width in kernel.panels(vectors):
        numbers, channel = width * vectors.lanes, start * vectors.lanes
        loops, inner = list(outside), depth
        for count, step in depth_loops:
            inner //= count
            loops.append((count, step, inner * numbers))
        loops.append((min(numbers, kernel.channels - channel), channel_step, 1))
        copies.append((StridedCopy(tuple(loops)), first + channel * channel_step, channel * depth))
    return placement.packed(name, matrices * size, tuple(copies))


def matrix_size(placement: Placement, kernel: Contraction, depth: int) -> int:
    """Numbers of one matrix of `depth` rows as `panels` packs it."""
    return depth * placement.vectors.round_up(kernel.channels)

"""How parameters are packed for the kernels: each form is a few strided copies. Rows that whole vectors would overrun
end in zeros: the packed arena starts as zeros, and nothing writes there."""

from depthwise.emit.builder import Vectors
from depthwise.emit.contraction import Contraction
from depthwise.emit.elementwise import StridedCopy
from depthwise.plan.placement import Placement
from depthwise.plan.schedule import Call, Pointer

__all__ = ["bias", "depthwise_kernel", "panels", "transposed_panels"]


def bias(placement: Placement, name: str) -> Pointer:
    """One number a channel, the last vector filled up."""
    (count,) = placement.program.parameters[name].shape

    def pack(target: Pointer) -> list[Call]:
        return [Call(StridedCopy(((count, 1, 1),)), (placement.parameter(name), target))]

    return placement.packed(f"bias {name}", placement.vectors.round_up(count), pack)


def depthwise_kernel(placement: Placement, name: str, cells: int, channels: int, *, mirrored: bool) -> Pointer:
    """For each cell all channels; `mirrored` has the last cell first, as the input gradient reads it."""
    padded = placement.vectors.round_up(channels)
    step, start = (-channels, (cells - 1) * channels) if mirrored else (channels, 0)

    def pack(target: Pointer) -> list[Call]:
        copy = StridedCopy(((cells, step, padded), (channels, 1, 1)), a_offset=start)
        return [Call(copy, (placement.parameter(name), target))]

    return placement.packed(f"depthwise mirrored={mirrored} {name}", cells * padded, pack)


def _panel_copies(
    vectors: Vectors,
    kernel: Contraction,
    depth_loops: tuple[tuple[int, int], ...],
    channel_step: int,
    a_offset: int,
) -> list[StridedCopy]:
    """Copies into panels: `depth_loops` are (count, step in the source) of k, outermost first."""
    depth = 1
    for count, _ in depth_loops:
        depth *= count
    copies = []
    for first, width in kernel.panels(vectors):
        numbers = width * vectors.lanes
        channel = first * vectors.lanes
        channels = min(numbers, kernel.channels - channel)
        loops = []
        inner = depth
        for count, step in depth_loops:
            inner //= count
            loops.append((count, step, inner * numbers))
        loops.append((channels, channel_step, 1))
        copies.append(StridedCopy(tuple(loops), a_offset=a_offset + channel * channel_step, out_offset=channel * depth))
    return copies


def panels(
    placement: Placement, name: str, kernel: Contraction, depth: int, row_pitch: int, first_channel: int = 0
) -> Pointer:
    """The parameter as a matrix (k, channels), `row_pitch` numbers a row, by the panels of `kernel`."""

    def pack(target: Pointer) -> list[Call]:
        copies = _panel_copies(placement.vectors, kernel, ((depth, row_pitch),), 1, first_channel)
        return [Call(copy, (placement.parameter(name), target)) for copy in copies]

    key = f"panels {kernel.tile[1]} from {first_channel} of {kernel.channels} {name}"
    return placement.packed(key, depth * placement.vectors.round_up(kernel.channels), pack)


def transposed_panels(
    placement: Placement,
    name: str,
    kernel: Contraction,
    depth_loops: tuple[tuple[int, int], ...],
    channel_step: int,
    a_offset: int,
) -> Pointer:
    """As `panels`, with steps of any sign: the mirrored, transposed kernels of input gradients."""
    depth = 1
    for count, _ in depth_loops:
        depth *= count

    def pack(target: Pointer) -> list[Call]:
        copies = _panel_copies(placement.vectors, kernel, depth_loops, channel_step, a_offset)
        return [Call(copy, (placement.parameter(name), target)) for copy in copies]

    key = f"transposed panels {kernel.tile[1]} from {a_offset} of {kernel.channels} {name}"
    return placement.packed(key, depth * placement.vectors.round_up(kernel.channels), pack)

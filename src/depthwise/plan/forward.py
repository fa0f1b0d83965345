"""The rules by which forward operations become kernel calls: one function each, and what each asks of its inputs."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from depthwise import operations as op
from depthwise.emit.contraction import Contraction, Reduction
from depthwise.emit.depthwise import DepthwiseConvolution
from depthwise.emit.elementwise import Copy, Dropout, Elementwise, Fill, StridedCopy
from depthwise.emit.maps import MapView
from depthwise.emit.pooling import Pooling
from depthwise.emit.reductions import ChannelReduction, DivideByCounts, SoftmaxRows
from depthwise.plan import packing
from depthwise.plan.machine import choose_depthwise_tile, choose_tile
from depthwise.plan.placement import Part, Placement
from depthwise.plan.schedule import NOWHERE, Call, Place, Pointer
from depthwise.program import Operation, Padding

__all__ = ["EXACT_READERS", "FORWARD", "border", "convolution_calls"]

Rule = Callable[[Any, Placement, Part], list[Call]]

NO_BORDER: Padding = (0, 0, 0, 0)

EXACT_READERS: tuple[type[Operation], ...] = (
    op.Convolve,
    op.Multiply,
    op.Pad,
    op.Reshape,
    op.Concatenate,
    op.Repeat,
    op.CopyMap,
)
"""Operations that read single numbers: their inputs need no room for whole vectors."""


def border(operation: Operation, name: str) -> Padding:
    """The zeros that the operation reads around its input: rows above, below, columns left, right."""
    return operation.padding if isinstance(operation, (op.Convolve, op.ConvolveDepthwise)) else NO_BORDER


def _rows(place: Place, part: Part) -> tuple[int, int]:
    return part.of(place.view.rows)


def _loops(kernel_size: tuple[int, int], view: MapView, dilation: tuple[int, int], channels: int) -> list[Reduction]:
    """The sum over a window's cells and channels, loops that follow each other without a gap joined."""
    loops = [
        Reduction(kernel_size[0], dilation[0] * view.row_pitch),
        Reduction(kernel_size[1], dilation[1] * view.pixel_pitch),
        Reduction(channels, 1),
    ]
    joined: list[Reduction] = []
    for loop in loops:
        if loop.count == 1:
            continue
        if joined and joined[-1].a_step == (loop.count or 0) * loop.a_step:
            joined[-1] = Reduction((joined[-1].count or 0) * (loop.count or 0), loop.a_step)
        else:
            joined.append(loop)
    return joined or [Reduction(1, 1)]


def convolution_calls(
    placement: Placement,
    source: Place,
    target: Place,
    *,
    origin: tuple[int, int],
    kernel_size: tuple[int, int],
    strides: tuple[int, int],
    dilation: tuple[int, int],
    channels: int,
    filters: int,
    first_channel: int,
    first_filter: int,
    exact: bool,
    initial: str,
    activation: str,
    pack: Callable[[Contraction], Pointer],
    bias: Pointer,
    part: Part,
) -> list[Call]:
    """Calls for a convolution from `channels` of `source` on to `filters` of `target` on.

    `origin` is the pixel of `source` that the first window starts at. The shares of `part` are rows, or panels of filters
    where the rows do not divide evenly and the panels do.
    """
    vectors = placement.vectors
    view = target.view
    shared = channels == 1 and strides[1] == dilation[1] == source.view.pixel_pitch
    tile = choose_tile(vectors, view.rows * view.columns, filters, kernel_size[1] if shared else 1)
    loops = _loops(kernel_size, source.view, dilation, channels)
    depth = prod(loop.count or 0 for loop in loops)
    whole = Contraction(
        a_rows=tuple(row * strides[0] * source.view.row_pitch for row in range(view.rows)),
        out_rows=tuple(row * view.row_pitch for row in range(view.rows)),
        columns=view.columns,
        a_column=strides[1] * source.view.pixel_pitch,
        out_column=view.pixel_pitch,
        reduction=tuple(loops),
        channels=filters,
        packed=True,
        initial=initial,
        activation=activation,
        exact=exact,
        tile=tile,
        panels_outside=False,
    )
    b = pack(whole)
    panels = whole.panels(vectors)
    start, out = source.pixel(*origin) + first_channel, target.pointer + first_filter
    if part.count > 1 and view.rows % part.count and len(panels) % part.count == 0 and not exact:
        first, count = part.of(len(panels))
        channel = panels[first][0] * vectors.lanes
        share = replace(whole, channels=min(filters - channel, count * tile[1] * vectors.lanes))
        return [Call(share, (start, b + channel * depth, bias + channel, out + channel))]
    first, count = part.of(view.rows)
    if count == 0:
        return []
    a = start + first * strides[0] * source.view.row_pitch
    share = replace(whole, a_rows=whole.a_rows[:count], out_rows=whole.out_rows[:count])
    return [Call(share, (a, b, bias, out + first * view.row_pitch))]


def _convolve(operation: op.Convolve, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    filters = target.view.channels // operation.groups
    channels = source.view.channels // operation.groups
    depth = prod(operation.kernel_size) * channels
    bias = packing.bias(placement, operation.bias) if operation.bias else NOWHERE
    calls = []
    for group in range(operation.groups):

        def pack(kernel: Contraction, first: int = group * filters) -> Pointer:
            return packing.panels(placement, operation.kernel, kernel, ((depth, target.view.channels),), 1, first)

        calls += convolution_calls(
            placement,
            source,
            target,
            origin=(-operation.padding[0], -operation.padding[2]),
            kernel_size=operation.kernel_size,
            strides=operation.strides,
            dilation=operation.dilation,
            channels=channels,
            filters=filters,
            first_channel=group * channels,
            first_filter=group * filters,
            exact=operation.groups > 1 and filters % placement.vectors.lanes > 0,
            initial="bias" if operation.bias else "zero",
            activation=operation.activation,
            pack=pack,
            bias=bias + group * filters,
            part=part,
        )
    return calls


def _convolve_depthwise(operation: op.ConvolveDepthwise, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    first, count = _rows(target, part)
    if count == 0:
        return []
    out, view = target.rows(first, count)
    kernel = DepthwiseConvolution(
        source=source.view,
        target=view,
        kernel_size=operation.kernel_size,
        strides=operation.strides,
        dilation=operation.dilation,
        bias=operation.bias is not None,
        activation=operation.activation,
        tile=choose_depthwise_tile(
            placement.vectors, operation.kernel_size, operation.strides, view.rows, view.columns
        ),
    )
    cells = prod(operation.kernel_size)
    weights = packing.depthwise_kernel(placement, operation.kernel, cells, view.channels, mirrored=False)
    bias = packing.bias(placement, operation.bias) if operation.bias else weights
    start = source.pixel(first * operation.strides[0] - operation.padding[0], -operation.padding[2])
    return [Call(kernel, (start, weights, bias, out))]


def _multiply(operation: op.Multiply, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    inputs, units = source.view.channels, target.view.channels
    vectors, columns = placement.vectors, placement.group_columns
    first, count = (item * vectors.lanes for item in part.of(vectors.round_up(units) // vectors.lanes))
    if count == 0:
        return []
    kernel = Contraction(
        a_rows=(0,),
        out_rows=(0,),
        columns=columns,
        a_column=source.sample_pitch,
        out_column=target.sample_pitch,
        reduction=(Reduction(inputs, 1),),
        channels=min(units - first, count),
        packed=True,
        initial="bias" if operation.bias else "zero",
        activation=operation.activation,
        exact=False,
        tile=choose_tile(vectors, columns or 12, count),
        panels_outside=True,
    )
    b = packing.panels(placement, operation.kernel, kernel, ((inputs, units),), 1, first)
    bias = packing.bias(placement, operation.bias) + first if operation.bias else b
    counts = ("images",) if columns is None else ()
    return [Call(kernel, (source.pointer, b, bias, target.pointer + first, *counts))]


def _pool(operation: op.Pool, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    first, count = _rows(target, part)
    if count == 0:
        return []
    out, view = target.rows(first, count)
    padded = any(operation.counted_padding)
    kernel = Pooling(
        operation.kind,
        source.view,
        view,
        operation.pool_size,
        operation.strides,
        "linear" if padded else operation.activation,
        divided=not padded,
    )
    calls = [Call(kernel, (source.pixel(first * operation.strides[0], 0), out))]
    if padded:
        counts = window_counts(operation, source.view, target.view)
        rows = tuple(counts[0][first : first + count])
        calls.append(Call(DivideByCounts(view, rows, tuple(counts[1]), operation.activation), (out,)))
    return calls


def window_counts(operation: Any, source: MapView, target: MapView) -> tuple[list[int], list[int]]:
    """For each row and each column of windows: how many of its cells are not padding."""
    counts = []
    for axis, (size, total, before, after) in enumerate(
        (
            (target.rows, source.rows, *operation.counted_padding[:2]),
            (target.columns, source.columns, *operation.counted_padding[2:]),
        )
    ):
        counts.append(
            [
                sum(
                    before <= i * operation.strides[axis] + cell < total - after
                    for cell in range(operation.pool_size[axis])
                )
                for i in range(size)
            ]
        )
    return counts[0], counts[1]


def _pool_globally(operation: op.PoolGlobally, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    if part.index:
        return []
    kernel = ChannelReduction("maximum" if operation.kind == "max" else "mean", (source.view,))
    return [Call(kernel, (source.pointer, target.pointer))]


def _same_size(kernel_of: Callable[[Any, tuple[MapView, ...], Placement], Any]) -> Rule:
    """The rule of an operation that reads and writes maps of one size, pixel by pixel."""

    def rule(operation: Operation, placement: Placement, part: Part) -> list[Call]:
        places = [placement.places[name] for name in (*operation.inputs, operation.output)]
        first, count = _rows(places[-1], part)
        if count == 0:
            return []
        shares = [place.rows(first, count) for place in places]
        kernel, extra = kernel_of(operation, tuple(view for _, view in shares), placement)
        pointers = [pointer for pointer, _ in shares]
        return [Call(kernel, (*pointers[:-1], *extra, pointers[-1]))]

    return rule


def _activate(operation: op.Activate, views: tuple[MapView, ...], placement: Placement) -> Any:
    return Elementwise("activation", views, operation.activation), ()


def _apply_relu(operation: op.ApplyReLU, views: tuple[MapView, ...], placement: Placement) -> Any:
    parameters = (operation.limit, operation.negative_slope, operation.threshold)
    return Elementwise("relu_layer", views, parameters=parameters), ()


def _scale(operation: op.Scale, views: tuple[MapView, ...], placement: Placement) -> Any:
    return Elementwise("scale", views, parameters=(operation.scale, operation.offset)), ()


def _normalise(operation: op.Normalise, views: tuple[MapView, ...], placement: Placement) -> Any:
    vectors = (packing.bias(placement, operation.scale), packing.bias(placement, operation.shift))
    return Elementwise("affine", views, operation.activation, channel_vectors=2), vectors


def _add(operation: op.Add, views: tuple[MapView, ...], placement: Placement) -> Any:
    return Elementwise("sum", views), ()


def _softmax(operation: op.Softmax, views: tuple[MapView, ...], placement: Placement) -> Any:
    return SoftmaxRows(views[0], views[1]), ()


def _drop(operation: op.Drop, views: tuple[MapView, ...], placement: Placement) -> Any:
    return Dropout(views[0], views[1], operation.rate, operation.layer), (Pointer("scalars"), "sample")


def copy_rows(source: Place, target: Place, rows: int, part: Part, channels: int, at: Pointer) -> list[Call]:
    """Copies the pixels of `source` to `at` with the pitches of `target`."""
    first, count = part.of(rows)
    if count == 0:
        return []
    start, view = source.rows(first, count)
    view = replace(view, channels=channels)
    out = replace(target.view, rows=count, columns=view.columns, channels=channels)
    return [Call(Copy(view, out), (start, at + first * target.view.row_pitch))]


def _pad(operation: op.Pad, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    calls = []
    if part.index == 0:
        top, _, left, _ = operation.padding
        inner = (top, left, source.view.rows, source.view.columns)
        calls += fill_around(target, inner, operation.value)
    start = target.pixel(operation.padding[0], operation.padding[2])
    return calls + copy_rows(source, target, source.view.rows, part, source.view.channels, start)


def fill_around(place: Place, inner: tuple[int, int, int, int], value: float) -> list[Call]:
    """Sets what is not `inner` (first row, first column, rows, columns) of a place."""
    return [Call(Fill(place.view, inner, value), (place.pointer,))]


def _concatenate(operation: op.Concatenate, placement: Placement, part: Part) -> list[Call]:
    target = placement.places[operation.output]
    calls, channel = [], 0
    for name in operation.inputs:
        source = placement.places[name]
        channels = source.view.channels
        calls += copy_rows(source, target, source.view.rows, part, channels, target.pointer + channel)
        channel += channels
    return calls


def _repeat(operation: op.Repeat, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    first, count = _rows(target, part)
    if count == 0:
        return []
    kernel = StridedCopy(
        (
            (count, source.view.row_pitch, target.view.row_pitch),
            (source.view.columns, source.view.pixel_pitch, target.view.pixel_pitch),
            (source.view.channels, 1, operation.times),
            (operation.times, 0, 1),
        )
    )
    return [Call(kernel, (source.pixel(first, 0), target.pixel(first, 0)))]


def _reshape(operation: op.Reshape, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    if source.pointer == target.pointer:
        return []
    view = source.view
    if view.rows * view.columns == 1 or target.view.rows * target.view.columns > 1:  # a vector to a map
        view = target.view
        flat = replace(view, row_pitch=view.columns * view.channels, pixel_pitch=view.channels)
        kernel = Copy(flat, view)
    else:
        kernel = Copy(view, replace(view, row_pitch=view.columns * view.channels, pixel_pitch=view.channels))
    return [Call(kernel, (source.pointer, target.pointer))] if part.index == 0 else []


def _copy_map(operation: op.CopyMap, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.inputs[0]], placement.places[operation.output]
    return copy_rows(source, target, source.view.rows, part, source.view.channels, target.pointer)


FORWARD: dict[type[Operation], Rule] = {
    op.Convolve: _convolve,
    op.ConvolveDepthwise: _convolve_depthwise,
    op.Multiply: _multiply,
    op.Pool: _pool,
    op.PoolGlobally: _pool_globally,
    op.Pad: _pad,
    op.Activate: _same_size(_activate),
    op.ApplyReLU: _same_size(_apply_relu),
    op.Softmax: _same_size(_softmax),
    op.Scale: _same_size(_scale),
    op.Normalise: _same_size(_normalise),
    op.Add: _same_size(_add),
    op.Drop: _same_size(_drop),
    op.Concatenate: _concatenate,
    op.Repeat: _repeat,
    op.Reshape: _reshape,
    op.CopyMap: _copy_map,
}

"""Pooling over windows and over whole maps, and the gradients."""

from dataclasses import replace

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Operand
from depthwise.compiler.ir.types import NO_BORDER
from depthwise.compiler.kernels.elementwise import Elementwise, Fill
from depthwise.compiler.kernels.gradients import GlobalPoolingGradient
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.kernels.pooling import Pooling, PoolingGradient
from depthwise.compiler.kernels.reductions import ChannelReduction, DivideByCounts
from depthwise.compiler.plan.placement import Part, Placement
from depthwise.compiler.plan.rules.registry import operand_places, rule
from depthwise.compiler.plan.schedule import Call


@rule(op.PoolWindows)
def _pool(operation: op.PoolWindows, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.source], placement.places[operation.output]
    first, count = part.of(target.view.rows)
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
    start = source.pixel(first * operation.strides[0] - operation.padding[0], -operation.padding[2])
    calls = [Call(kernel, (start, out))]
    if padded:
        counts = window_counts(operation, source.view, target.view)
        rows = tuple(counts[0][first : first + count])
        calls.append(Call(DivideByCounts(view, rows, tuple(counts[1]), operation.activation), (out,)))
    return calls


def window_counts(
    operation: op.PoolWindows | op.PoolGradient, source: MapView, target: MapView
) -> tuple[list[int], list[int]]:
    """For each row and each column of windows: how many of its cells are not padding."""
    around = operation.padding if isinstance(operation, op.PoolWindows) else NO_BORDER
    counts = []
    for axis, (size, total, before, after) in enumerate(
        (
            (target.rows, source.rows + sum(around[:2]), *operation.counted_padding[:2]),
            (target.columns, source.columns + sum(around[2:]), *operation.counted_padding[2:]),
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


@rule(op.ReduceMap)
def _reduce(operation: op.ReduceMap, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.source], placement.places[operation.output]
    channels, lanes = source.view.channels, placement.vectors.lanes
    first, count = (item * lanes for item in part.of(placement.vectors.round_up(channels) // lanes))
    if count == 0:
        return []
    view = replace(source.view, channels=min(count, channels - first))
    kernel = ChannelReduction("maximum" if operation.kind == "max" else "mean", (view,))
    return [Call(kernel, (source.pointer + first, target.pointer + first))]


@rule(op.PoolGradient)
def _pool_gradient(operation: op.PoolGradient, placement: Placement, part: Part) -> list[Call]:
    source, gradient, target = operand_places(operation, placement)
    padded = any(operation.counted_padding)
    windows = gradient.view
    tiled = operation.strides == operation.pool_size and all(
        size == count * stride
        for size, count, stride in zip(
            (target.view.rows, target.view.columns), (windows.rows, windows.columns), operation.strides
        )
    )
    overlaps = any(stride < size for stride, size in zip(operation.strides, operation.pool_size))
    calls = [] if tiled else [Call(Fill(target.view, None, 0.0), (target.pointer,))]
    slope = gradient
    if padded:
        row_counts, column_counts = window_counts(operation, source.view, windows)
        numbers = windows.rows * windows.row_pitch
        slope = replace(gradient, pointer=placement.allocate("extra", operation.output, numbers))
        calls += [
            Call(Elementwise(Operand(0), (gradient.view,), slope.view), (gradient.pointer, slope.pointer)),
            Call(DivideByCounts(windows, tuple(row_counts), tuple(column_counts)), (slope.pointer,)),
        ]
    kernel = PoolingGradient(
        operation.kind,
        source.view,
        slope.view,
        target.view,
        operation.pool_size,
        operation.strides,
        adds=overlaps,
        divided=not padded,
    )
    return [*calls, Call(kernel, (source.pointer, slope.pointer, target.pointer))]


@rule(op.ReduceMapGradient)
def _reduce_gradient(operation: op.ReduceMapGradient, placement: Placement, part: Part) -> list[Call]:
    source, gradient, target = operand_places(operation, placement)
    kernel = GlobalPoolingGradient(operation.kind, source.view, target.view)
    return [Call(kernel, (source.pointer, gradient.pointer, target.pointer))]

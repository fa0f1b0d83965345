"""Copies: the same numbers in another place or shape."""

from dataclasses import replace
from math import prod

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.types import Shape
from depthwise.compiler.kernels.elementwise import Copy, Fill, StridedCopy
from depthwise.compiler.kernels.gradients import RepeatedSum
from depthwise.compiler.plan.placement import WHOLE, Part, Placement
from depthwise.compiler.plan.rules.registry import operand_places, rule
from depthwise.compiler.plan.schedule import Call, Place, Pointer


def _copy_rows(source: Place, target: Place, rows: int, part: Part, channels: int, at: Pointer) -> list[Call]:
    """Copies the pixels of `source` to `at` with the pitches of `target`."""
    first, count = part.of(rows)
    if count == 0:
        return []
    start, view = source.rows(first, count)
    view = replace(view, channels=channels)
    out = replace(target.view, rows=count, columns=view.columns, channels=channels)
    return [Call(Copy(view, out), (start, at + first * target.view.row_pitch))]


@rule(op.Pad)
def _pad(operation: op.Pad, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.source], placement.places[operation.output]
    calls = []
    start = target.pixel(operation.padding[0], operation.padding[2]) + operation.channels[0]
    if any(operation.channels):  # filled everywhere first: one thread does it all
        if part.index:
            return []
        calls, part = [Call(Fill(target.view, None, operation.value), (target.pointer,))], WHOLE
    elif part.index == 0:
        top, _, left, _ = operation.padding
        inner = (top, left, source.view.rows, source.view.columns)
        calls.append(Call(Fill(target.view, inner, operation.value), (target.pointer,)))
    return calls + _copy_rows(source, target, source.view.rows, part, source.view.channels, start)


@rule(op.Concatenate)
def _concatenate(operation: op.Concatenate, placement: Placement, part: Part) -> list[Call]:
    target = placement.places[operation.output]
    calls, channel = [], 0
    for name in operation.operands:
        source = placement.places[name]
        channels = source.view.channels
        calls += _copy_rows(source, target, source.view.rows, part, channels, target.pointer + channel)
        channel += channels
    return calls


@rule(op.Repeat)
def _repeat(operation: op.Repeat, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.source], placement.places[operation.output]
    first, count = part.of(target.view.rows)
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


@rule(op.Reshape)
def _reshape(operation: op.Reshape, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.source], placement.places[operation.output]
    if source.pointer == target.pointer:
        return []
    view = source.view
    if (view.rows, view.columns, view.channels) == (target.view.rows, target.view.columns, target.view.channels):
        return _copy_rows(source, target, view.rows, part, view.channels, target.pointer)
    if view.rows * view.columns == 1 or target.view.rows * target.view.columns > 1:  # a vector to a map
        view = target.view
        flat = replace(view, row_pitch=view.columns * view.channels, pixel_pitch=view.channels)
        kernel = Copy(flat, view)
    else:
        kernel = Copy(view, replace(view, row_pitch=view.columns * view.channels, pixel_pitch=view.channels))
    return [Call(kernel, (source.pointer, target.pointer))] if part.index == 0 else []


@rule(op.Copy)
def _copy(operation: op.Copy, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.source], placement.places[operation.output]
    return _copy_rows(source, target, source.view.rows, part, source.view.channels, target.pointer)


@rule(op.Slice)
def _slice(operation: op.Slice, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    row, column, channel = operation.start
    view = source.view.resized(target.view.rows, target.view.columns)
    inner = replace(source, pointer=source.pixel(row, column) + channel, view=view)
    return _copy_rows(inner, target, target.view.rows, part, target.view.channels, target.pointer)


def _pitches(place: Place, shape: Shape) -> list[int]:
    """How far the next place along each axis of a tensor is: rows are those of all axes before the last two."""
    inner = [place.view.pixel_pitch, 1][-len(shape) :]
    return [place.view.row_pitch * prod(shape[axis + 1 : -2]) for axis in range(len(shape) - 2)] + inner


@rule(op.Transpose)
def _transpose(operation: op.Transpose, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    read, shape = (placement.program.type(name).shape for name in (operation.source, operation.output))
    steps, own = _pitches(source, read), _pitches(target, shape)
    first, count = part.of(shape[0])
    if count == 0:
        return []
    loops = [(size, steps[axis], pitch) for axis, size, pitch in zip(operation.axes, (count, *shape[1:]), own)]
    start = source.pointer + first * steps[operation.axes[0]]
    kernel = StridedCopy(tuple(loop for loop in loops if loop[0] > 1))
    return [Call(kernel, (start, target.pointer + first * own[0]))]


@rule(op.Rearrange)
def _rearrange(operation: op.Rearrange, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    read = placement.program.type(operation.source).shape
    pitches, own = _pitches(source, read), _pitches(target, operation.shape)
    first, count = part.of(operation.shape[0])
    if count == 0:
        return []
    sizes = (count, *operation.shape[1:])
    loops = [(size, pitches[axis] * step, pitch) for size, (axis, step), pitch in zip(sizes, operation.steps, own)]
    axis, step = operation.steps[0]
    begin = sum(place * pitch for place, pitch in zip(operation.start, pitches)) + first * pitches[axis] * step
    kernel = StridedCopy(tuple(loop for loop in loops if loop[0] > 1))
    return [Call(kernel, (source.pointer + begin, target.pointer + first * own[0]))]


@rule(op.RepeatSum)
def _repeat_sum(operation: op.RepeatSum, placement: Placement, part: Part) -> list[Call]:
    gradient, target = operand_places(operation, placement)
    kernel = RepeatedSum(gradient.view, target.view, operation.times)
    return [Call(kernel, (gradient.pointer, target.pointer))]

"""Arithmetic element by element, softmax, dropout, and sums into the gradients of parameters."""

import math
from dataclasses import replace

from depthwise.compiler.ir import operations as op
from depthwise.compiler.kernels.elementwise import Dropout, Elementwise, ElementwiseRuns, ElementwiseSum, Fill
from depthwise.compiler.kernels.gradients import SoftmaxGradient
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.kernels.reductions import BroadcastReduction, ChannelReduction, RowNormalisation, SoftmaxRows
from depthwise.compiler.plan import packing
from depthwise.compiler.plan.placement import Part, Placement
from depthwise.compiler.plan.rules.registry import operand_places, rule
from depthwise.compiler.plan.runs import runs_period
from depthwise.compiler.plan.schedule import Call, Place, Pointer


def _broadcast(place: Place, target: MapView) -> Place:
    """The place as a map of the target's size: pitches of 0 where it has one row, column or channel and the target has more."""
    view = place.view
    pitches = [
        0 if size == 1 and wanted > 1 else pitch
        for size, wanted, pitch in (
            (view.rows, target.rows, view.row_pitch),
            (view.columns, target.columns, view.pixel_pitch),
            (view.channels, target.channels, view.channel_pitch),
        )
    ]
    return replace(place, view=MapView(target.rows, target.columns, target.channels, *pitches))


def _operands(operation: op.Elementwise, placement: Placement, target: Place) -> list[Place]:
    """Where the operands lie, parameters packed, each as a map of the target's size."""
    parameters = placement.program.parameter_operands(operation)
    places = []
    for name in operation.operands:
        place = packing.rows_of_vectors(placement, name) if name in parameters else placement.places[name]
        places.append(_broadcast(place, target.view))
    return places


@rule(op.Elementwise)
def _elementwise(operation: op.Elementwise, placement: Placement, part: Part) -> list[Call]:
    target = placement.places[operation.output]
    first, count = part.of(target.view.rows)
    if count == 0:
        return []
    shares = [place.rows(first, count) for place in (*_operands(operation, placement, target), target)]
    *operands, out = (view for _, view in shares)
    kernel = Elementwise(operation.expression, tuple(operands), out)
    return [Call(kernel, tuple(pointer for pointer, _ in shares))]


@rule(op.ElementwiseRuns)
def _elementwise_runs(operation: op.ElementwiseRuns, placement: Placement, part: Part) -> list[Call]:
    target = placement.places[operation.output]
    first, count = part.of(target.view.rows)
    if count == 0:
        return []
    parameters = placement.program.parameter_operands(operation)
    period = runs_period(placement.vectors, target.view.channels)
    pitches: list[int | None] = []
    pointers = []
    for name in operation.operands:
        if name in parameters:
            pitches.append(None)
            pointers.append(packing.repeated(placement, name, period))
        else:
            pitches.append(placement.places[name].view.row_pitch)
            pointers.append(placement.places[name].pixel(first, 0))
    out, view = target.rows(first, count)
    numbers = view.columns * view.channels
    if all(pitch in (None, numbers) for pitch in (*pitches, view.row_pitch)):
        count, numbers = 1, numbers * count
    kernel = ElementwiseRuns(operation.expression, count, numbers, tuple(pitches), view.row_pitch, period)
    return [Call(kernel, (*pointers, out))]


@rule(op.ElementwiseSum)
def _elementwise_sum(operation: op.ElementwiseSum, placement: Placement, part: Part) -> list[Call]:
    target = placement.places[operation.output]
    operands = _operands(operation, placement, target)
    total, _ = placement.accumulator(operation.parameter, 1, target.view.channels)
    kernel = ElementwiseSum(operation.expression, tuple(place.view for place in operands), target.view)
    return [Call(kernel, (*(place.pointer for place in operands), target.pointer, total))]


@rule(op.AccumulateSum)
def _accumulate_sum(operation: op.AccumulateSum, placement: Placement, part: Part) -> list[Call]:
    (gradient,) = operand_places(operation, placement)
    out, _ = placement.accumulator(operation.parameter, 1, gradient.view.channels)
    return [Call(ChannelReduction("add", (gradient.view,)), (gradient.pointer, out))]


@rule(op.AccumulateMap)
def _accumulate_map(operation: op.AccumulateMap, placement: Placement, part: Part) -> list[Call]:
    (gradient,) = operand_places(operation, placement)
    type_ = placement.program.type(operation.parameter)
    rows, columns, channels = type_.map
    out, pitch = placement.accumulator(operation.parameter, *operation.matrix(type_.shape))
    place = _broadcast(Place(out, MapView(rows, columns, channels, columns * pitch, pitch), 0), gradient.view)
    return [Call(BroadcastReduction(gradient.view, place.view), (gradient.pointer, out))]


@rule(op.Sum)
def _sum(operation: op.Sum, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    if part.index:
        return []
    total = _broadcast(target, source.view)
    calls = [Call(Fill(target.view, None, 0.0), (target.pointer,))]
    return [*calls, Call(BroadcastReduction(source.view, total.view), (source.pointer, total.pointer))]


@rule(op.Reduce)
def _reduce(operation: op.Reduce, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    if part.index:
        return []
    total = _broadcast(target, source.view)
    kernel = BroadcastReduction(source.view, total.view, operation.kind)
    start = {"max": -math.inf, "min": math.inf, "multiply": 1.0}[operation.kind]
    calls = [Call(Fill(target.view, None, start), (target.pointer,))]
    return [*calls, Call(kernel, (source.pointer, total.pointer))]


@rule(op.Softmax)
def _softmax(operation: op.Softmax, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    first, count = part.of(target.view.rows)
    if count == 0:
        return []
    (start, view), (out, target_view) = source.rows(first, count), target.rows(first, count)
    return [Call(SoftmaxRows(view, target_view, operation.logarithm), (start, out))]


@rule(op.SoftmaxGradient)
def _softmax_gradient(operation: op.SoftmaxGradient, placement: Placement, part: Part) -> list[Call]:
    output, gradient, target = operand_places(operation, placement)
    kernel = SoftmaxGradient(output.view, gradient.view, target.view, operation.logarithm)
    return [Call(kernel, (output.pointer, gradient.pointer, target.pointer))]


@rule(op.NormaliseRows)
def _normalise_rows(operation: op.NormaliseRows, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    first, count = part.of(target.view.rows)
    if count == 0:
        return []
    (start, view), (out, target_view) = source.rows(first, count), target.rows(first, count)
    return [Call(RowNormalisation(view, None, target_view, operation.epsilon), (start, out))]


@rule(op.NormaliseRowsGradient)
def _normalise_rows_gradient(operation: op.NormaliseRowsGradient, placement: Placement, part: Part) -> list[Call]:
    source, gradient, target = operand_places(operation, placement)
    kernel = RowNormalisation(source.view, gradient.view, target.view, operation.epsilon)
    return [Call(kernel, (source.pointer, gradient.pointer, target.pointer))]


@rule(op.Dropout)
def _dropout(operation: op.Dropout, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    kernel = Dropout(source.view, target.view, operation.rate, operation.layer)
    return [Call(kernel, (source.pointer, Pointer("scalars"), "sample", target.pointer))]

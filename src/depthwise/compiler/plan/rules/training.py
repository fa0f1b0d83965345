"""Batch normalisation in training, and losses."""

from depthwise.compiler.ir import operations as op
from depthwise.compiler.kernels.loss import LossKernel
from depthwise.compiler.kernels.normalisation import CollectMoments, CollectSums, FinishMoments, FinishSums
from depthwise.compiler.plan.placement import Part, Placement
from depthwise.compiler.plan.rules.registry import operand_places, rule
from depthwise.compiler.plan.schedule import NOWHERE, Call


@rule(op.CollectMoments)
def _collect_moments(operation: op.CollectMoments, placement: Placement, part: Part) -> list[Call]:
    (source,) = operand_places(operation, placement)
    padded = placement.vectors.round_up(source.view.channels)
    out = placement.allocate("chunk", f"{operation.key} moments", 3 * padded)
    return [Call(CollectMoments(source.view), (source.pointer, out))]


@rule(op.FinishMoments)
def _finish_moments(operation: op.FinishMoments, placement: Placement, part: Part) -> list[Call]:
    padded = placement.vectors.round_up(operation.channels)
    kernel = FinishMoments(
        operation.channels,
        placement.chunk_pitch,
        operation.gamma is not None,
        operation.beta is not None,
        operation.momentum,
        operation.epsilon,
    )
    names = (operation.gamma, operation.beta, operation.moving_mean, operation.moving_variance)
    weights = [placement.parameter(name) if name else NOWHERE for name in names]
    moments = placement.allocate("chunk", f"{operation.key} moments", 3 * padded)
    out = placement.places[operation.output].pointer
    return [Call(kernel, (moments, "chunks", *weights, out))]


@rule(op.CollectNormalisationSums)
def _collect_sums(operation: op.CollectNormalisationSums, placement: Placement, part: Part) -> list[Call]:
    source, gradient = operand_places(operation, placement)
    padded = placement.vectors.round_up(source.view.channels)
    out = placement.allocate("chunk", f"{operation.key} sums", 2 * padded)
    mean = placement.places[operation.operands[2]].pointer
    return [Call(CollectSums(source.view, gradient.view), (source.pointer, gradient.pointer, mean, out))]


@rule(op.FinishNormalisationSums)
def _finish_sums(operation: op.FinishNormalisationSums, placement: Placement, part: Part) -> list[Call]:
    padded = placement.vectors.round_up(operation.channels)
    kernel = FinishSums(
        operation.channels,
        operation.pixels,
        placement.chunk_pitch,
        operation.gamma is not None,
        operation.beta is not None,
        any(name in placement.begun for name in operation.accumulates),
    )
    names = (operation.beta, operation.gamma)
    gradients = [placement.gradient(name) if name else NOWHERE for name in names]
    sums = placement.allocate("chunk", f"{operation.key} sums", 2 * padded)
    out = placement.places[operation.output].pointer
    return [Call(kernel, (sums, "chunks", "batch", *gradients, out))]


@rule(op.LossValue)
def _loss_value(operation: op.LossValue, placement: Placement, part: Part) -> list[Call]:
    places = operand_places(operation, placement)
    kernel = LossKernel(
        "value", operation.kind, (places[0].view,), operation.smoothing, operation.sparse, operation.formula
    )
    return [Call(kernel, tuple(place.pointer for place in places))]


@rule(op.LossGradient)
def _loss_gradient(operation: op.LossGradient, placement: Placement, part: Part) -> list[Call]:
    places = operand_places(operation, placement)
    views = (places[0].view, places[-1].view)
    kernel = LossKernel("gradient", operation.kind, views, operation.smoothing, operation.sparse, operation.formula)
    return [Call(kernel, tuple(place.pointer for place in places))]


@rule(op.HandOver)
def _hand_over(operation: op.HandOver, placement: Placement, part: Part) -> list[Call]:
    return []  # the stage that it ends is all that it takes

"""Cells taken from the places that tables name; only training has them, so nothing is shared out."""

from depthwise.compiler.ir import operations as op
from depthwise.compiler.kernels.warping import Warping
from depthwise.compiler.plan.placement import Part, Placement
from depthwise.compiler.plan.rules.registry import operand_places, rule
from depthwise.compiler.plan.schedule import Call


@rule(op.Warp)
def _warp(operation: op.Warp, placement: Placement, part: Part) -> list[Call]:
    places = operand_places(operation, placement)
    kernel = Warping(places[0].view, places[-1].view, operation.taps)
    return [Call(kernel, tuple(place.pointer for place in places))] if part.index == 0 else []

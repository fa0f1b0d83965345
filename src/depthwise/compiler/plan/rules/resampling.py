"""Maps of another size."""

from depthwise.compiler.ir import operations as op
from depthwise.compiler.kernels.resampling import Resampling
from depthwise.compiler.plan.placement import Part, Placement
from depthwise.compiler.plan.rules.registry import operand_places, rule
from depthwise.compiler.plan.schedule import Call


@rule(op.Resample)
def _resample(operation: op.Resample, placement: Placement, part: Part) -> list[Call]:
    source, target = operand_places(operation, placement)
    first, count = part.of(target.view.rows)
    if count == 0:
        return []
    out, view = target.rows(first, count)
    kernel = Resampling(source.view, view, operation.rows.part(first, count), operation.columns)
    return [Call(kernel, (source.pointer, out))]

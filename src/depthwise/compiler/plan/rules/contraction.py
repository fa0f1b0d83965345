"""Dense layers: a group of samples at once."""

from depthwise.compiler.ir import operations as op
from depthwise.compiler.kernels.contraction import Contraction, Reduction
from depthwise.compiler.machine import choose_tile
from depthwise.compiler.plan import packing
from depthwise.compiler.plan.placement import Part, Placement
from depthwise.compiler.plan.rules.registry import operand_places, rule
from depthwise.compiler.plan.schedule import Call

ROWS_PER_PIECE = 48
"""Rows of a kernel's gradient that one task computes."""


@rule(op.Contract)
def _contract(operation: op.Contract, placement: Placement, part: Part) -> list[Call]:
    source, target = placement.places[operation.source], placement.places[operation.output]
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


@rule(op.ContractTransposed)
def _contract_transposed(operation: op.ContractTransposed, placement: Placement, part: Part) -> list[Call]:
    gradient, target = operand_places(operation, placement)
    inputs, units = target.view.channels, gradient.view.channels
    columns = placement.group_columns
    kernel = Contraction(
        a_rows=(0,),
        out_rows=(0,),
        columns=columns,
        a_column=gradient.sample_pitch,
        out_column=target.sample_pitch,
        reduction=(Reduction(units, 1),),
        channels=inputs,
        packed=True,
        initial="zero",
        activation="linear",
        exact=False,
        tile=choose_tile(placement.vectors, columns or 4, inputs),
        panels_outside=True,
    )
    b = packing.panels(placement, operation.kernel, kernel, ((units, 1),), units)
    counts = ("images",) if columns is None else ()
    return [Call(kernel, (gradient.pointer, b, b, target.pointer, *counts))]


@rule(op.AccumulateContraction)
def _contraction_kernel(operation: op.AccumulateContraction, placement: Placement, part: Part) -> list[Call]:
    """inputsᵀ · gradients over the batch, some rows of the kernel a call: each is a task of its own."""
    source, gradient = operand_places(operation, placement)
    inputs, units = source.view.channels, gradient.view.channels
    vectors = placement.vectors
    calls = []
    for first in range(0, inputs, ROWS_PER_PIECE):
        count = min(ROWS_PER_PIECE, inputs - first)
        kernel = Contraction(
            a_rows=(0,),
            out_rows=(0,),
            columns=count,
            a_column=1,
            out_column=units,
            reduction=(Reduction(None, source.sample_pitch, gradient.sample_pitch),),
            channels=units,
            packed=False,
            initial="out" if operation.parameter in placement.begun else "zero",
            activation="linear",
            exact=units % vectors.lanes > 0,
            tile=choose_tile(vectors, count, units),
            panels_outside=False,
        )
        out = placement.gradient(operation.parameter) + first * units
        calls.append(Call(kernel, (source.pointer + first, gradient.pointer, gradient.pointer, out, "batch")))
    return calls

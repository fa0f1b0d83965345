"""Arithmetic on the caller's map as it lies there: images of three channels need no copy to pixels of whole vectors first."""

from math import lcm

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.ir.types import NO_BORDER, Role
from depthwise.compiler.kernels.builder import Vectors
from depthwise.compiler.plan.layout import border_of, reads_exactly

__all__ = ["in_runs", "runs_period"]

MOST_VECTORS = 4
"""Of a period: each is written out."""


def runs_period(vectors: Vectors, channels: int) -> int:
    """Numbers of a row after which both vectors and pixels begin again."""
    return lcm(vectors.lanes, channels)


def in_runs(program: Program, vectors: Vectors) -> Program:
    """Element-wise operations that alone read an input, and whose readers all read single numbers, as `ElementwiseRuns`."""
    operations: list[Operation] = []
    for operation in program.operations:
        if type(operation) is op.Elementwise and _runs(program, operation, vectors):
            operation = op.ElementwiseRuns(
                operation.operands, operation.results, operation.expression, origin=operation.origin
            )
        operations.append(operation)
    return program.rewritten(operations)


def _runs(program: Program, operation: op.Elementwise, vectors: Vectors) -> bool:
    channels = program.type(operation.output).map[2]
    if channels % vectors.lanes == 0 or runs_period(vectors, channels) > MOST_VECTORS * vectors.lanes:
        return False
    if not program.tensor_operands(operation) or not reads_exactly(program, operation.output):
        return False
    inputs = {name for name, _ in program.inputs}
    return all(
        program.type(name).map in ((1, 1, 1), (1, 1, channels))
        if program.values[name].role is Role.PARAMETER
        else name in inputs
        and program.only_reader(name) is operation
        and program.type(name).map == program.type(operation.output).map
        and border_of(program, name)[0] == NO_BORDER
        for name in operation.operands
    )

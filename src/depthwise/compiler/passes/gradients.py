from dataclasses import replace

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program

__all__ = ["choose_transposed", "fuse_slope_and_sum", "sum_before_pooling"]

SCATTER_COST = 8
"""About how many steps of k it costs to load a sum again and store it, once for each cell of the kernel."""


def sum_before_pooling(program: Program) -> Program:
    """The sum of a pooling's gradient  ⇒  the sum of what it was made of: the same sum over fewer numbers."""
    operations: list[Operation] = []
    for operation in program.operations:
        if isinstance(operation, op.AccumulateSum):
            writer = program.writer.get(operation.source)
            if isinstance(writer, op.PoolGradient) and not any(writer.counted_padding):
                operation = replace(operation, operands=(writer.operands[1],))
        operations.append(operation)
    return program.rewritten(operations)


def fuse_slope_and_sum(program: Program) -> Program:
    """A slope, then the sum of what it writes  ⇒  one operation: the bias before an activation costs no pass of its own."""
    sums = {}
    for operation in program.operations:
        if isinstance(operation, op.AccumulateSum) and operation.source not in sums:
            writer = program.writer.get(operation.source)
            if type(writer) is op.Elementwise and _two_maps(program, writer):
                sums[operation.source] = operation
    operations: list[Operation] = []
    for operation in program.operations:
        fused = sums.get(operation.output)
        if fused is not None and isinstance(operation, op.Elementwise):
            operation = op.ElementwiseSum(
                operation.operands, operation.results, operation.expression, fused.parameter, origin=operation.origin
            )
        if any(operation is item for item in sums.values()):
            continue
        operations.append(operation)
    return program.rewritten(operations)


def _two_maps(program: Program, operation: op.Elementwise) -> bool:
    shape = program.type(operation.output).shape
    operands = operation.operands
    return (
        len(operands) == 2
        and len(program.tensor_operands(operation)) == 2
        and all(program.type(name).shape == shape for name in operands)
    )


def choose_transposed(program: Program) -> Program:
    """How each transposed convolution is computed: gathered or scattered; depthwise ones get zeros between what they read."""
    operations: list[Operation] = []
    for operation in program.operations:
        if isinstance(operation, op.ConvolveTransposed):
            rows, columns, channels = program.type(operation.source).map
            if not _scatters(operation, rows, columns, channels):
                operation = replace(operation, read=(rows, columns))
        elif isinstance(operation, op.ConvolveDepthwiseTransposed):
            rows, columns, _ = program.type(operation.source).map
            if max(operation.strides) > 1:
                spread = op.Spread(
                    (operation.source,), (f"/spread {operation.output}",), operation.strides, origin=operation.origin
                )
                operations.append(spread)
                rows = (rows - 1) * operation.strides[0] + 1
                columns = (columns - 1) * operation.strides[1] + 1
                operation = replace(operation, operands=(spread.output, operation.kernel))
            operation = replace(operation, read=(rows, columns))
        operations.append(operation)
    return program.rewritten(operations)


def _scatters(operation: op.ConvolveTransposed, rows: int, columns: int, channels: int) -> bool:
    """Whether adding cell by cell takes fewer multiply-adds than a convolution of the operand with zeros around it."""
    if operation.strides != (1, 1):
        return True
    down, across = operation.valid(rows, columns)
    scattered = sum(count for _, count in down) * sum(count for _, count in across)
    height, width = operation.kernel_size
    gathered = operation.size[0] * operation.size[1] * height * width
    depth = channels // operation.groups
    return scattered * (depth + SCATTER_COST) < gathered * depth

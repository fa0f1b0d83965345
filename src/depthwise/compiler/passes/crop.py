from dataclasses import replace

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program

__all__ = ["crop_unread"]


def crop_unread(program: Program) -> Program:
    """Convolve → PoolWindows that drops rows or columns  ⇒  Convolve that does not compute them."""
    operations: list[Operation] = []
    for operation in program.operations:
        reader = program.only_reader(operation.output)
        if isinstance(operation, (op.Convolve, op.ConvolveDepthwise)) and isinstance(reader, op.PoolWindows):
            size, windows = program.type(operation.output).map, program.type(reader.output).map
            before = reader.padding[::2]
            read = [(windows[i] - 1) * reader.strides[i] + reader.pool_size[i] - before[i] for i in range(2)]
            unread = (max(0, size[0] - read[0]), max(0, size[1] - read[1]))
            operation = replace(operation, cropped=unread)
        operations.append(operation)
    return program.rewritten(operations)

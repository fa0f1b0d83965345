from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program

__all__ = ["use_depthwise"]


def use_depthwise(program: Program) -> Program:
    """Convolve with a group for each channel and a filter for each group  ⇒  ConvolveDepthwise: whole vectors of channels.

    A kernel (height, width, 1, channels) holds the same numbers in the same order as the depthwise (height, width, channels, 1).
    """
    operations: list[Operation] = []
    for operation in program.operations:
        if isinstance(operation, op.Convolve) and operation.groups > 1:
            channels, filters = (program.type(name).map[2] for name in (operation.source, operation.output))
            if operation.groups == channels == filters:
                operation = op.ConvolveDepthwise(
                    operation.operands,
                    operation.results,
                    operation.kernel_size,
                    operation.strides,
                    operation.dilation,
                    operation.padding,
                    operation.activation,
                    operation.cropped,
                    origin=operation.origin,
                )
        operations.append(operation)
    return program.rewritten(operations)

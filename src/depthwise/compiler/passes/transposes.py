from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.ir.types import Role

__all__ = ["cancel_transposes"]


def cancel_transposes(program: Program) -> Program:
    """Transpose → Transpose back  ⇒  nothing, also across arithmetic element by element: Transpose → relu  ⇒  relu → Transpose.

    Layers with their channels first lower to transposes around a channels-last layer; this leaves those at the borders.
    """
    transposed: dict[str, op.Transpose] = {}
    same: dict[str, str] = {}
    operations: list[Operation] = []
    for given in program.operations:
        operation = given.with_operands(*(same.get(name, name) for name in given.operands))
        before = transposed.get(operation.operands[0]) if operation.operands else None
        if isinstance(operation, op.Transpose):
            undone = before is not None and tuple(before.axes[axis] for axis in operation.axes) == tuple(
                range(len(operation.axes))
            )
            if undone and before is not None and not program.is_output(operation.output):
                same[operation.output] = before.source
            transposed[operation.output] = operation
        elif type(operation) is op.Elementwise and before is not None and _moves(program, operation, transposed):
            sources = (transposed[name].source if name in transposed else name for name in operation.operands)
            moved = f"/before {operation.output}"
            operations.append(op.Elementwise(tuple(sources), (moved,), operation.expression, origin=operation.origin))
            operation = op.Transpose((moved,), operation.results, before.axes, origin=operation.origin)
            transposed[operation.output] = operation
        operations.append(operation)
    return program.rewritten(operations)


def _moves(program: Program, operation: op.Elementwise, transposed: dict[str, op.Transpose]) -> bool:
    """Whether all that it reads are maps of its own shape, transposed alike, or single numbers."""
    axes = {transposed[name].axes for name in operation.operands if name in transposed}
    shape = program.type(operation.output).shape
    return len(axes) == 1 and all(
        program.type(name).shape == shape
        if name in transposed
        else program.values[name].role is Role.PARAMETER and program.type(name).size == 1
        for name in operation.operands
    )

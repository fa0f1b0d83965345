from depthwise.compiler.ir.program import Operation, Program

__all__ = ["drop_unused"]


def drop_unused(program: Program) -> Program:
    """Leaves out operations whose results nothing needs and that change no parameter."""
    needed = {name for name, _ in program.outputs}
    kept: list[Operation] = []
    for operation in reversed(program.operations):
        changes = not operation.results or operation.accumulates or operation.updates
        if changes or needed.intersection(operation.results):
            kept.append(operation)
            needed.update(operation.operands)
    return program.rewritten(reversed(kept))

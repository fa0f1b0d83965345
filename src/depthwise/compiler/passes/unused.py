from depthwise.compiler.ir.program import Operation, Program

__all__ = ["drop_unused"]


def drop_unused(program: Program) -> Program:
    """Operations whose results nothing needs."""
    needed = {name for name, _ in program.outputs}
    kept: list[Operation] = []
    for operation in reversed(program.operations):
        if needed.intersection(operation.results):
            kept.append(operation)
            needed.update(operation.operands)
    return program.rewritten(reversed(kept))

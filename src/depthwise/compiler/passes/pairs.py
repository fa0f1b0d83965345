"""Rewriting a writer and the only reader of its result."""

from collections.abc import Callable

from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.ir.types import Value

__all__ = ["fuse_pairs"]

Fuse = Callable[[Program, Operation, Operation], Operation | None]


def fuse_pairs(program: Program, fuse: Fuse, values: dict[str, Value] | None = None) -> Program:
    """Replaces a writer and the only reader of its result by one operation, wherever `fuse` gives one.

    The new operation runs where the reader did. `values` are those that new operations read and the program lacks; `fuse` may
    add to them.
    """
    operations = list(program.operations)
    position = 0
    while position < len(operations):
        operation = operations[position]
        reader = program.only_reader(operation.output)
        fused = fuse(program, operation, reader) if reader is not None else None
        if fused is None:
            position += 1
            continue
        operations = [fused if item is reader else item for item in operations if item is not operation]
        program = program.rewritten(operations, values)
    return program

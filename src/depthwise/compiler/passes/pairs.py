"""Rewriting a writer and the only reader of its result."""

from collections import ChainMap
from collections.abc import Callable
from dataclasses import replace

from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.ir.types import Value

__all__ = ["fuse_pairs"]

Fuse = Callable[[Program, Operation, Operation], Operation | None]


def fuse_pairs(program: Program, fuse: Fuse, values: dict[str, Value] | None = None) -> Program:
    """Replaces a writer and the only reader of its result by one operation, wherever `fuse` gives one.

    The new operation runs where the reader did and writes what that wrote. `values` are those that new operations read and the
    program lacks; `fuse` may add to them, and finds them among those of the program that it gets.
    """
    added: dict[str, Value] = {} if values is None else values
    current = replace(program, values=ChainMap(added, program.values))  # type: ignore[arg-type]
    operations: list[Operation | None] = list(program.operations)
    readers: dict[str, set[int]] = {}
    """Where the operations are that read a value."""
    for position, item in enumerate(program.operations):
        for name in item.operands:
            readers.setdefault(name, set()).add(position)
    for position, operation in enumerate(operations):
        if operation is None:
            continue
        places = readers.get(operation.output, set())
        if len(places) != 1 or program.is_output(operation.output):
            continue
        (place,) = places
        reader = operations[place]
        assert reader is not None
        fused = fuse(current, operation, reader)
        if fused is None:
            continue
        operations[position], operations[place] = None, fused
        for name in operation.operands:
            readers[name].discard(position)
        for name in reader.operands:
            readers[name].discard(place)
        for name in fused.operands:
            readers.setdefault(name, set()).add(place)
    return program.rewritten((item for item in operations if item is not None), added)

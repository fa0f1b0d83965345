"""What a legal program is; run after every pass, it names the pass, the operation and the rule."""

from depthwise.compiler.ir.program import IllegalProgramError, Program
from depthwise.compiler.ir.types import Role

__all__ = ["verify"]


def verify(program: Program, after: str) -> Program:
    """The program itself, if every rule holds.

    Raises:
        IllegalProgramError: a pass broke a rule: a bug of ours.
    """
    written = {name for name, value in program.values.items() if value.role is Role.PARAMETER}
    written |= {name for name, _ in program.inputs}
    for operation in program.operations:

        def demand(holds: bool, rule: str, operation: object = operation) -> None:
            if not holds:
                raise IllegalProgramError(f"after {after}: {operation}: {rule}")

        for name in operation.operands:
            demand(name in program.values, f"reads {name!r}, which the program does not have")
            demand(name in written, f"reads {name!r}, which nothing has written")
        for name in (*operation.accumulates, *operation.updates):
            demand(name in program.parameters, f"changes {name!r}, which is no parameter")
        inferred = operation.infer(*program.types(operation.operands))
        demand(len(inferred) == len(operation.results), f"has {len(inferred)} results, names {len(operation.results)}")
        for name, type_ in zip(operation.results, inferred):
            demand(name not in written, f"writes {name!r} twice")
            demand(name in program.values, f"writes {name!r}, which has no type")
            demand(program.type(name) == type_, f"writes {type_}, but {name!r} is {program.type(name)}")
            demand(min(type_.shape) > 0, f"writes {type_}, which is empty")
            written.add(name)
    for name, _ in program.outputs:
        if name not in written:
            raise IllegalProgramError(f"after {after}: the output {name!r} is never written")
    return program

"""What a legal program is; run after every pass, it names the pass, the operation and the rule."""

from depthwise.program import Program

__all__ = ["verify"]


def verify(program: Program, after: str) -> Program:
    """The program itself, if every rule holds.

    Raises:
        AssertionError: a pass broke a rule: a bug of ours.
    """
    written = {name for name, _ in program.inputs}
    for operation in program.operations:

        def complain(rule: str, operation: object = operation) -> str:
            return f"after {after}: {operation}: {rule}"

        for name in operation.inputs:
            assert name in written, complain(f"reads {name!r}, which nothing has written")
        for name in operation.parameters:
            assert name in program.parameters, complain(f"reads a parameter {name!r} that there is not")
        if not operation.output:
            continue
        assert operation.output not in written, complain("writes a tensor twice")
        assert operation.output in program.tensors, complain("its output has no shape")
        written.add(operation.output)
    for name, shape in program.tensors.items():
        assert len(shape) == 3, f"after {after}: tensor {name!r} has the shape {shape}"
        assert min(shape) > 0, f"after {after}: tensor {name!r} has the shape {shape}"
    for name, _ in program.outputs:
        assert name in written, f"after {after}: the output {name!r} is never written"
    return program

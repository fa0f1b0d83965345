from dataclasses import replace

from depthwise.compiler.functions import KNOWN
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Apply, Expression, Operand
from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.passes.pairs import fuse_pairs

__all__ = [
    "compose_elementwise",
    "fuse_activation",
    "fuse_activation_for_training",
    "pool_before_activation",
]

_MOST_NODES = 64
"""Of an expression that is composed: what occurs twice in it is written down twice, again and again in a long chain."""


def _activation_of(operation: Operation) -> str:
    """The function of an element-wise operation that applies one function to its operand; "" for others."""
    expression = operation.expression if isinstance(operation, op.Elementwise) else None
    alone = isinstance(expression, Apply) and expression.arguments == (Operand(0),) and len(operation.operands) == 1
    return expression.function if alone and isinstance(expression, Apply) else ""


def _fuse(program: Program, *, only_from_output: bool) -> Program:
    def fuse(current: Program, first: Operation, second: Operation) -> Operation | None:
        activation = _activation_of(second)
        if not activation or (only_from_output and not KNOWN[activation].reads_output):
            return None
        fused = first.with_activation(activation)
        return None if fused is None else replace(fused, results=second.results)

    return fuse_pairs(program, fuse)


def fuse_activation(program: Program) -> Program:
    """Convolve → activation  ⇒  Convolve that activates before it stores; contractions, pooling and affine maps likewise."""
    return _fuse(program, only_from_output=False)


def fuse_activation_for_training(program: Program) -> Program:
    """As `fuse_activation`, for the activations whose slope follows from their result."""
    return _fuse(program, only_from_output=True)


def pool_before_activation(program: Program) -> Program:
    """Activation → PoolWindows max  ⇒  PoolWindows max → activation: a monotone one commutes with a maximum, on fewer values."""

    def fuse(current: Program, first: Operation, second: Operation) -> Operation | None:
        activation = _activation_of(first)
        if not activation or not KNOWN[activation].monotone or not isinstance(second, op.PoolWindows):
            return None
        if second.kind != "max" or second.activation != "linear":
            return None
        return replace(second, operands=first.operands, activation=activation)

    return fuse_pairs(program, fuse)


def compose_elementwise(program: Program) -> Program:
    """Arithmetic on the result of arithmetic, of one shape  ⇒  one expression: what is between is never stored."""

    def fuse(current: Program, first: Operation, second: Operation) -> Operation | None:
        if not isinstance(first, op.Elementwise) or not isinstance(second, op.Elementwise):
            return None
        if current.type(first.output) != current.type(second.output):
            return None
        operands = tuple(dict.fromkeys(name for name in (*first.operands, *second.operands) if name != first.output))
        place: dict[str, Expression] = {name: Operand(i) for i, name in enumerate(operands)}
        place[first.output] = first.expression.substitute({i: place[name] for i, name in enumerate(first.operands)})
        later = {i: place[name] for i, name in enumerate(second.operands)}
        expression = second.expression.substitute(later)
        if _nodes(expression) > _MOST_NODES:
            return None
        return replace(second, operands=operands, expression=expression)

    return fuse_pairs(program, fuse)


def _nodes(expression: Expression) -> int:
    return 1 + sum(map(_nodes, expression.arguments)) if isinstance(expression, Apply) else 1

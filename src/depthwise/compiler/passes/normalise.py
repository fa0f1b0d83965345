from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.compiler.ir.program import Operation, Program

__all__ = ["expand_batch_normalization"]


def expand_batch_normalization(program: Program) -> Program:
    """NormaliseBatch  ⇒  collect over the samples, finish, apply: three operations with a barrier between; its gradient too."""
    operations: list[Operation] = []
    for operation in program.operations:
        if isinstance(operation, op.NormaliseBatch):
            operations += _forward(program, operation)
        elif isinstance(operation, op.NormaliseBatchGradient):
            operations += _backward(program, operation)
        else:
            operations.append(operation)
    return program.rewritten(operations)


def _statistics(key: str) -> list[str]:
    return [f"/{name} of {key}" for name in ("mean", "inverse", "scale", "shift", "mean dy", "mean dy·x̂")]


def _pixels(program: Program, name: str) -> tuple[int, int]:
    rows, columns, channels = program.type(name).map
    return rows * columns, channels


def _forward(program: Program, item: op.NormaliseBatch) -> list[Operation]:
    """(x − mean) · (gamma / deviation) + beta."""
    mean, inverse, scale, shift, *_ = _statistics(item.output)
    x = Operand(0)
    expression = apply("fma", x - Operand(1), Operand(2), Operand(3))
    return [
        op.CollectMoments((item.source,), (), item.output),
        op.FinishMoments(
            (),
            (mean, inverse, scale, shift),
            item.output,
            *_pixels(program, item.output),
            item.gamma,
            item.beta,
            item.moving_mean,
            item.moving_variance,
            item.momentum,
            item.epsilon,
        ),
        op.Elementwise((item.source, mean, scale, shift), item.results, expression),
    ]


def _backward(program: Program, item: op.NormaliseBatchGradient) -> list[Operation]:
    """(dy − mean(dy) − x̂ · mean(dy · x̂)) · gamma / deviation."""
    source, gradient = item.operands
    mean, inverse, scale, _, mean_dy, mean_product = _statistics(item.key)
    x, dy = Operand(0), Operand(1)
    normalised: Expression = (x - Operand(2)) * Operand(3)
    expression = (dy - Operand(4) - normalised * Operand(5)) * Operand(6)
    return [
        op.CollectNormalisationSums((source, gradient, mean, inverse), (), item.key),
        op.FinishNormalisationSums(
            (),
            (mean_dy, mean_product),
            item.key,
            *_pixels(program, item.key),
            item.gamma,
            item.beta,
            item.gamma_trains,
            item.beta_trains,
        ),
        op.Elementwise((source, gradient, mean, inverse, mean_dy, mean_product, scale), item.results, expression),
    ]

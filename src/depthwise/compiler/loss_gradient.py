"""The gradient of a loss to the predictions, derived from its formula."""

from depthwise.compiler.functions import vector_jacobian
from depthwise.compiler.ir.expression import Constant, Expression, apply
from depthwise.compiler.ir.formula import Formula, Reduction, result

__all__ = ["gradient_of"]


def gradient_of(formula: Formula) -> tuple[tuple[Reduction, ...], Expression]:
    """The reductions that the gradient needs, and the gradient of one prediction as an expression of the same operands.

    The formula's own reductions come first. What the value gains by a reduction's result is known once all that read the
    result have been passed, so the reductions are walked from the last to the first; where a later one reads an earlier one,
    the sum of what it passes on is a further reduction.

    >>> from depthwise.compiler.ir.formula import PREDICTION, TARGET, mean_of
    >>> reductions, slope = gradient_of(mean_of(PREDICTION * TARGET, 1))
    >>> len(reductions), slope.operands
    (1, (1,))
    """
    reductions = list(formula.reductions)
    gains: dict[int, Expression] = dict(vector_jacobian(formula.value, formula.value, Constant(1.0)))
    slope: Expression | None = None
    for index in reversed(range(len(formula.reductions))):
        reduction, own = formula.reductions[index], result(index)
        gain = gains.get(own.index)
        if gain is None or reduction.fixed:
            continue
        if reduction.kind == "max":  # equal ones share it, as in JAX
            largest = apply("where_oge", reduction.term, own, 1.0, 0.0)
            reductions.append(Reduction("sum", largest))
            gain = apply("where_oge", reduction.term, own, gain / result(len(reductions) - 1), 0.0)
        parts = vector_jacobian(reduction.term, reduction.term, gain)
        if 0 in parts:
            slope = parts[0] if slope is None else slope + parts[0]
        for operand, part in parts.items():
            earlier = operand - 2
            if earlier >= 0 and not formula.reductions[earlier].fixed:
                reductions.append(Reduction("sum", part))
                share = result(len(reductions) - 1)
                gains[operand] = gains[operand] + share if operand in gains else share
    return tuple(reductions), Constant(0.0) if slope is None else slope

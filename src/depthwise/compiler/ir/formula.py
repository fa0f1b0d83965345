"""A loss as arithmetic: sums over the outputs, and an expression of these.

The mean squared error of a pixel with n outputs, for example:

>>> from depthwise.compiler.ir.expression import Operand
>>> error = PREDICTION - TARGET
>>> squared = Formula((Reduction("sum", error * error),), result(0) * (1.0 / 3.0))

Its value for the native step and for NumPy, and its gradient, follow from it.
"""

from depthwise.compiler.ir.expression import Expression, Operand
from depthwise.dataclass import dataclass

__all__ = ["PREDICTION", "TARGET", "Formula", "Reduction", "mean_of", "result"]

PREDICTION, TARGET = Operand(0), Operand(1)


def result(index: int) -> Operand:
    """What reduction number `index` gave."""
    return Operand(2 + index)


@dataclass(frozen=True)
class Reduction:
    """The sum ("sum") or the largest ("max") of `term` over the outputs.

    Attributes:
        kind: "sum" or "max".
        term: of the prediction, the target and the results of the reductions before this one.
        fixed: no gradient passes through it: the loss is the same whatever it is.
    """

    kind: str
    term: Expression
    fixed: bool = False


@dataclass(frozen=True)
class Formula:
    """A loss.

    Attributes:
        reductions: in order; each may read the results of those before it.
        value: of the results.
        whole: reductions run over the whole sample, not over the outputs of each pixel: a sample has one loss.
    """

    reductions: tuple[Reduction, ...]
    value: Expression
    whole: bool = False


def mean_of(term: Expression, size: int) -> Formula:
    """The mean of `term` over so many outputs."""
    return Formula((Reduction("sum", term),), result(0) * (1.0 / size))

"""Expressions that several rules share."""

from depthwise.compiler.ir.expression import Expression, apply
from depthwise.compiler.ir.update import Array

__all__ = ["MOMENTUM", "VELOCITY", "fma", "magnitude", "sign", "sqrt", "towards"]

MOMENTUM, VELOCITY = Array("momentum"), Array("velocity")


def sqrt(value: Expression) -> Expression:
    return apply("sqrt", value)


def fma(a: Expression, b: Expression, c: Expression) -> Expression:
    return apply("fma", a, b, c)


def towards(mean: Expression, value: Expression, share: Expression) -> Expression:
    """A running mean, moved by a share of the way to a new value."""
    return fma(value - mean, share, mean)


def magnitude(value: Expression) -> Expression:
    return apply("where_negative", value, -value, value)


def sign(value: Expression) -> Expression:
    """-1, 0 or 1; NaN stays NaN."""
    return apply("where_ogt", value, 0.0, 1.0, apply("where_olt", value, 0.0, -1.0, value))

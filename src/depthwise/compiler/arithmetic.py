"""Arithmetic, comparisons and roundings of one or several numbers: what the functions of layers are made of.

See `depthwise.compiler.functions`, which names them all.
"""

from collections.abc import Callable
from math import factorial, pi, sqrt

from depthwise.compiler.ir.expression import Expression, apply
from depthwise.compiler.kernels import mathematics
from depthwise.compiler.kernels.builder import Function as Code
from depthwise.dataclass import dataclass

__all__ = ["ARITHMETIC", "OF_FILES", "Arguments", "Elementary", "Slope"]

Arguments = tuple[Expression, ...]
Slope = Callable[[Expression, Arguments, Expression], tuple[Expression | None, ...]]
"""(gradient of the result, arguments, result) → the gradient of each argument; None where there is none."""


@dataclass(frozen=True)
class Elementary:
    """A function of one or several numbers.

    Attributes:
        write: the IR that computes it from vectors; None where `definition` gives it.
        definition: the expression that it stands for.
        slope: see `Slope`; None where the definition's is taken.
        reads_output: its slope reads the result, not the arguments.
        monotone: never decreases, so that it commutes with a maximum.
        short: an instruction or two. Others need a dozen constants, which no registers are left for where a kernel holds
            its sums: they run in a loop of their own over what was just stored.
    """

    write: Callable[..., str] | None = None
    definition: Callable[[Arguments], Expression] | None = None
    slope: Slope | None = None
    reads_output: bool = False
    monotone: bool = False
    short: bool = False


def _compare(predicate: str) -> Elementary:
    """(a, b, x, y) → x where a compares so with b, else y."""

    def write(code: Code, a: str, b: str, x: str, y: str) -> str:
        return code.select(code.compare(predicate, a, b), x, y)

    name = f"where_{predicate}"

    def slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
        return None, None, apply(name, args[0], args[1], g, 0.0), apply(name, args[0], args[1], 0.0, g)

    return Elementary(write, slope=slope)


def _larger(predicate: str) -> Slope:
    """The gradient of a maximum or minimum of two goes to the one that was taken, the second where they are equal."""

    def slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
        name = f"where_{predicate}"
        return apply(name, args[0], args[1], g, 0.0), apply(name, args[0], args[1], 0.0, g)

    return slope


def _shared(predicate: str, opposite: str) -> Slope:
    """As `_larger`, but equal ones have half of the gradient each, as in JAX."""

    def slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
        taken, left = f"where_{predicate}", f"where_{opposite}"
        half = g * 0.5
        return apply(taken, *args, g, apply(left, *args, 0.0, half)), apply(
            taken, *args, 0.0, apply(left, *args, g, half)
        )

    return slope


def _with_nan(extreme: Callable[[Code, str, str], str]) -> Callable[[Code, str, str], str]:
    """NaN where either is NaN: the instructions of x86 give their second operand then."""
    return lambda code, a, b: code.select(code.compare("uno", a, a), a, extreme(code, a, b))


def _where_negative(code: Code, a: str, x: str, y: str) -> str:
    return code.select(code.negative(a), x, y)


def _scaled_expm1(code: Code, x: str, factor: str) -> str:
    raise AssertionError("its factor is a constant: see _write")


_PREDICATES = ("ogt", "olt", "oge", "ole", "ugt", "uge")


def _step(name: str) -> Elementary:
    """A rounding: it has no slope anywhere."""
    return Elementary(
        lambda code, x: code.intrinsic(name, x), slope=lambda g, args, y: (None,), monotone=True, short=True
    )


_ERF_SERIES = [2.0 / sqrt(pi) * (-1.0) ** k / (factorial(k) * (2 * k + 1)) for k in range(11)]
"""erf x = x times these numbers times the powers of x²: below 1 the eleventh is lost in rounding."""


def _erf(args: Arguments) -> Expression:
    """A series near 0; further out 1 − 2 Φ(−t) with t = √2 · |x|, where t · Φ(−t) is what gelu leaves out."""
    (x,) = args
    size = apply("abs", x)
    square = x * x
    near: Expression = apply("fma", square, _ERF_SERIES[-1], _ERF_SERIES[-2])
    for number in reversed(_ERF_SERIES[:-2]):
        near = apply("fma", near, square, number)
    t = apply("min", 16.0, size) * sqrt(2.0)
    far = apply("fma", apply("gelu", -t) / t, 2.0, 1.0)
    signed = apply("where_olt", x, 0.0, -far, far)
    return apply("where_uno", x, x, x, apply("where_olt", size, 1.0, x * near, signed))


def _erf_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    return (g * apply("exp", -(args[0] * args[0])) * (2.0 / sqrt(pi)),)


ARITHMETIC: dict[str, Elementary] = {
    "add": Elementary(Code.fadd, slope=lambda g, args, y: (g, g)),
    "subtract": Elementary(Code.fsub, slope=lambda g, args, y: (g, -g)),
    "multiply": Elementary(Code.fmul, slope=lambda g, args, y: (g * args[1], g * args[0])),
    "divide": Elementary(Code.fdiv, slope=lambda g, args, y: (g / args[1], -(g * y / args[1])), reads_output=True),
    "negate": Elementary(Code.fneg, slope=lambda g, args, y: (-g,)),
    "fma": Elementary(Code.fma, slope=lambda g, args, y: (g * args[1], g * args[0], g)),
    "max": Elementary(Code.largest, slope=_larger("ogt")),
    "min": Elementary(Code.smallest, slope=_larger("olt")),
    # At 0 the slope is 1, as in JAX.
    "abs": Elementary(
        lambda code, x: code.intrinsic("fabs", x), slope=lambda g, args, y: (apply("where_oge", args[0], 0.0, g, -g),)
    ),
    "maximum": Elementary(_with_nan(Code.largest), slope=_shared("ogt", "olt")),
    "minimum": Elementary(_with_nan(Code.smallest), slope=_shared("olt", "ogt")),
    "sqrt": Elementary(
        lambda code, x: code.intrinsic("sqrt", x), slope=lambda g, args, y: (g * 0.5 / y,), reads_output=True
    ),
    "exp": Elementary(mathematics.exponential, slope=lambda g, args, y: (g * y,), reads_output=True, monotone=True),
    "log": Elementary(mathematics.logarithm, slope=lambda g, args, y: (g / args[0],)),
    **{f"where_{predicate}": _compare(predicate) for predicate in _PREDICATES},
    "where_negative": Elementary(_where_negative),
    "expm1_negative": Elementary(_scaled_expm1, slope=lambda g, args, y: (g * (y + args[1]), None)),
    "gelu_slope": Elementary(mathematics.gelu_slope),
}
"""Every function that has no layer of its own, by name."""


OF_FILES: dict[str, Elementary] = {
    **{name: _step(name) for name in ("floor", "ceil", "trunc", "roundeven")},
    **{f"where_{predicate}": _compare(predicate) for predicate in ("oeq", "uno")},
    "erf": Elementary(definition=_erf, slope=_erf_slope, monotone=True),
}
"""What operators of other frameworks' files compute besides."""

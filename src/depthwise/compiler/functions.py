"""The functions of element-wise expressions: how each is computed, and how a gradient passes through it.

A function is written in IR, or defined by an expression of other functions. Its slope says what each argument's gradient
is, as an expression of the gradient of the result and of the arguments or the result: training keeps only what it reads.
Constants and defaults of activations are Keras'. NaN gives NaN: limits are the first argument of a maximum or minimum.
"""

from collections.abc import Mapping, Sequence
from math import factorial

from depthwise.arguments import LEAKY_RELU_SLOPE, SELU_ALPHA, SELU_SCALE, SHRINK_THRESHOLD
from depthwise.compiler.arithmetic import ARITHMETIC, OF_FILES, Arguments, Elementary
from depthwise.compiler.ir.expression import Apply, Constant, Expression, Operand, apply
from depthwise.compiler.kernels import mathematics
from depthwise.compiler.kernels.builder import Function as Code

__all__ = [
    "FUNCTIONS",
    "KNOWN",
    "Elementary",
    "evaluate",
    "evaluate_all",
    "evaluate_function",
    "slope_of",
    "vector_jacobian",
]

# -- activations -----------------------------------------------------------------------------------------------------


def _elu(args: Arguments) -> Expression:
    (x,) = args
    return apply("where_negative", x, apply("expm1_negative", x, 1.0), x)


def _selu(args: Arguments) -> Expression:
    (x,) = args
    return apply("where_negative", x, apply("expm1_negative", x, SELU_SCALE * SELU_ALPHA), x * SELU_SCALE)


def _selu_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    return (g * apply("where_ogt", y, 0.0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),)


def _hard_sigmoid(args: Arguments) -> Expression:
    """relu6(x + 3) / 6: near −3 the sum is exact, x / 6 + ½ would not be."""
    return apply("min", 6.0, apply("max", 0.0, args[0] + 3.0)) * (1.0 / 6.0)


def _hard_sigmoid_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    return (apply("where_olt", y, 1.0, apply("where_ogt", y, 0.0, g * (1.0 / 6.0), 0.0), 0.0),)


def _hard_silu(args: Arguments) -> Expression:
    """x · relu6(x + 3) / 6, as x · ((x + 3) / 8) / ¾ so that nothing overflows; −3 as lower limit, so that −∞ gives 0."""
    (x,) = args
    line = apply("min", 0.75, apply("max", 0.0, apply("fma", x, 0.125, 0.375)))
    return apply("max", -3.0, x) * line / 0.75


def _hard_silu_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    (x,) = args
    inside = apply("fma", x, 1.0 / 3.0, 0.5)
    return (g * apply("where_oge", x, 3.0, 1.0, apply("where_ole", x, -3.0, 0.0, inside)),)


def _silu_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    (x,) = args
    share = apply("sigmoid", x)
    return (g * (share * apply("fma", x, 1.0 - share, 1.0)),)


def _softsign(args: Arguments) -> Expression:
    """x / (1 + |x|); past ±2³⁰ it is ±1, which ∞ / ∞ would not be."""
    x = apply("min", 2.0**30, apply("max", -(2.0**30), args[0]))
    return x / (apply("abs", x) + 1.0)


def _squareplus(args: Arguments) -> Expression:
    """(x + √(x² + 4)) / 2; below 0 as 1 over that of −x, for the sum would cancel. √(x² + 4) is |x| where x² is too large."""
    (x,) = args
    size = apply("abs", x)
    limited = apply("min", 2.0**60, size)
    root = apply("max", apply("sqrt", apply("fma", limited, limited, 4.0)), size)
    half = apply("fma", size, 0.5, root * 0.5)
    return apply("where_olt", x, 0.0, 1.0 / half, half)


def _squareplus_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    """y / (y + 1 / y), as 1 / (1 + 1 / y²) so that ∞ gives 1 and 0 gives 0."""
    inverse = 1.0 / y
    return (g / apply("fma", inverse, inverse, 1.0),)


def _soft_shrink(args: Arguments) -> Expression:
    (x,) = args
    return x - apply("min", SHRINK_THRESHOLD, apply("max", -SHRINK_THRESHOLD, x))


def _where_not_zero(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    return (apply("where_ogt", apply("abs", y), 0.0, g, 0.0),)


def _series(x: Expression, numbers: Sequence[float]) -> Expression:
    """The sum of numbers[k] · xᵏ."""
    result: Expression = Constant(numbers[-1])
    for number in reversed(numbers[:-1]):
        result = apply("fma", result, x, number)
    return result


def _tanh_shrink(args: Arguments) -> Expression:
    """x − tanh x; where that cancels, x³ · ((x cosh x − sinh x) / x³) / cosh x, that quotient as ⅓ less x² times another."""
    (x,) = args
    square = x * x
    lost = apply("fma", x, x, -square)
    above, below = (_series(square, numbers) for numbers in (_LESS_THAN_A_THIRD, _COSH))
    share = apply("fma", square, above / below, 1.0 / 3.0)
    near = apply("fma", x * square, share, x * lost * share)
    return apply("where_olt", apply("abs", x), 1.25, near, x - apply("tanh", x))


_COSH = [1.0 / factorial(2 * k) for k in range(9)]
_LESS_THAN_A_THIRD = [(1.0 / ((2 * k + 1) * (2 * k + 3)) - 1.0 / 3.0) / factorial(2 * k) for k in range(1, 10)]
"""Series of x²: cosh x, and ((x cosh x − sinh x) / x³ − cosh x / 3) / x², whose terms all have one sign."""


def _sparse_plus(args: Arguments) -> Expression:
    """0 below −1, (x + 1)² / 4, x above 1; what the sum x + 1 rounds off is added again."""
    (x,) = args
    inside = apply("max", -1.0, x)
    total = inside + 1.0
    lost = inside - (total - 1.0)
    return apply("where_oge", x, 1.0, x, apply("fma", total, total * 0.25, total * 0.5 * lost))


def _sparse_sigmoid_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    """At ±1 it is half of that inside, as in JAX."""
    size = apply("abs", args[0])
    return (apply("where_olt", size, 1.0, g * 0.5, apply("where_ole", size, 1.0, g * 0.25, 0.0)),)


def _mish_parts(x: Expression) -> tuple[Expression, Expression]:
    """(m, d): e^−|x|, and e²ˣ + 2eˣ + 2, for x ≥ 0 divided by e²ˣ."""
    m = apply("exp", -apply("abs", x))
    return m, apply("where_olt", x, 0.0, apply("fma", m, m + 2.0, 2.0), apply("fma", m, m * 2.0 + 2.0, 1.0))


def _mish(args: Arguments) -> Expression:
    """x · tanh(softplus x) = silu x · (1 + eˣ / (e²ˣ + 2eˣ + 2)): errors of eˣ hardly count."""
    (x,) = args
    m, d = _mish_parts(x)
    silu = apply("silu", x)
    return apply("where_ogt", x, 100.0, x, apply("fma", silu, m / d, silu))


def _mish_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    """t + silu x · (1 − t²) with t = tanh(softplus x), all of it by e^−|x| so that nothing cancels."""
    x = apply("min", 100.0, apply("max", -100.0, args[0]))
    m, d = _mish_parts(x)
    t = apply("where_olt", x, 0.0, m * (m + 2.0), m * 2.0 + 1.0) / d
    rest = x * 4.0 * m * apply("where_olt", x, 0.0, 1.0, m) * (m + 1.0) / (d * d)
    return (g * (t + rest),)


def _relu_layer(args: Arguments) -> Expression:
    """Keras' ReLU layer of (x, max_value, negative_slope, threshold): "unordered or", so that a NaN counts as above."""
    x, limit, negative_slope, threshold = args
    kept = x if limit == Constant(float("inf")) else apply("min", limit, x)
    below = (x - threshold) * negative_slope if negative_slope != Constant(0.0) else Constant(0.0)
    return apply("where_uge" if threshold == Constant(0.0) else "where_ugt", x, threshold, kept, below)


def _relu_layer_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    x, limit, negative_slope, threshold = args
    inside = g if limit == Constant(float("inf")) else apply("where_olt", x, limit, g, 0.0)
    return apply("where_ogt", x, threshold, inside, g * negative_slope), None, None, None


_ACTIVATIONS: dict[str, Elementary] = {
    "linear": Elementary(
        definition=lambda args: args[0],
        slope=lambda g, args, y: (g,),
        reads_output=True,
        monotone=True,
        short=True,
    ),
    "relu": Elementary(
        definition=lambda args: apply("max", 0.0, args[0]),
        slope=lambda g, args, y: (apply("where_ogt", y, 0.0, g, 0.0),),
        reads_output=True,
        monotone=True,
        short=True,
    ),
    "relu6": Elementary(
        definition=lambda args: apply("min", 6.0, apply("max", 0.0, args[0])),
        slope=lambda g, args, y: (apply("where_olt", y, 6.0, apply("where_ogt", y, 0.0, g, 0.0), 0.0),),
        reads_output=True,
        monotone=True,
        short=True,
    ),
    "leaky_relu": Elementary(
        definition=lambda args: apply("max", args[0], args[0] * LEAKY_RELU_SLOPE),
        slope=lambda g, args, y: (apply("where_ogt", y, 0.0, g, g * LEAKY_RELU_SLOPE),),
        reads_output=True,
        monotone=True,
        short=True,
    ),
    "elu": Elementary(
        definition=_elu,
        slope=lambda g, args, y: (apply("where_ogt", y, 0.0, g, apply("fma", g, y, g)),),
        reads_output=True,
        monotone=True,
    ),
    "selu": Elementary(definition=_selu, slope=_selu_slope, reads_output=True, monotone=True),
    "sigmoid": Elementary(
        mathematics.sigmoid,
        slope=lambda g, args, y: (g * (y * (1.0 - y)),),
        reads_output=True,
        monotone=True,
    ),
    "hard_sigmoid": Elementary(definition=_hard_sigmoid, slope=_hard_sigmoid_slope, reads_output=True, monotone=True),
    # (1 − y)(1 + y), not 1 − y²: near ±1 the square loses what is left.
    "tanh": Elementary(
        mathematics.tanh,
        slope=lambda g, args, y: (g * ((1.0 - y) * (1.0 + y)),),
        reads_output=True,
        monotone=True,
    ),
    "softplus": Elementary(
        mathematics.softplus,
        slope=lambda g, args, y: (-(g * apply("expm1_negative", -y, 1.0)),),
        reads_output=True,
        monotone=True,
    ),
    "celu": Elementary(
        definition=_elu,
        slope=lambda g, args, y: (apply("where_ogt", y, 0.0, g, apply("fma", g, y, g)),),
        reads_output=True,
        monotone=True,
    ),
    "exponential": Elementary(
        definition=lambda args: apply("exp", args[0]),
        slope=lambda g, args, y: (g * y,),
        reads_output=True,
        monotone=True,
    ),
    "hard_shrink": Elementary(
        definition=lambda args: apply("where_ugt", apply("abs", args[0]), SHRINK_THRESHOLD, args[0], 0.0),
        slope=_where_not_zero,
        reads_output=True,
        monotone=True,
    ),
    "hard_tanh": Elementary(
        definition=lambda args: apply("min", 1.0, apply("max", -1.0, args[0])),
        slope=lambda g, args, y: (apply("where_ole", apply("abs", args[0]), 1.0, g, 0.0),),
        monotone=True,
    ),
    "log_sigmoid": Elementary(
        definition=lambda args: -apply("softplus", -args[0]),
        slope=lambda g, args, y: (-(g * apply("expm1_negative", y, 1.0)),),
        reads_output=True,
        monotone=True,
    ),
    "mish": Elementary(definition=_mish, slope=_mish_slope),
    "soft_shrink": Elementary(definition=_soft_shrink, slope=_where_not_zero, reads_output=True, monotone=True),
    # (1 − |y|)², for y = x / (1 + |x|).
    "softsign": Elementary(
        definition=_softsign,
        slope=lambda g, args, y: (g * ((1.0 - apply("abs", y)) * (1.0 - apply("abs", y))),),
        reads_output=True,
        monotone=True,
    ),
    # (x + 1) / 2 is √y.
    "sparse_plus": Elementary(
        definition=_sparse_plus,
        slope=lambda g, args, y: (g * apply("min", 1.0, apply("sqrt", y)),),
        reads_output=True,
        monotone=True,
    ),
    "sparse_sigmoid": Elementary(
        definition=lambda args: apply("min", 2.0, apply("max", 0.0, args[0] + 1.0)) * 0.5,
        slope=_sparse_sigmoid_slope,
        monotone=True,
    ),
    "squareplus": Elementary(definition=_squareplus, slope=_squareplus_slope, reads_output=True, monotone=True),
    "tanh_shrink": Elementary(
        definition=_tanh_shrink,
        slope=lambda g, args, y: (g * (apply("tanh", args[0]) * apply("tanh", args[0])),),
        monotone=True,
    ),
    "gelu": Elementary(mathematics.gelu, slope=lambda g, args, y: (g * apply("gelu_slope", args[0]),)),
    "silu": Elementary(mathematics.silu, slope=_silu_slope),
    "hard_silu": Elementary(definition=_hard_silu, slope=_hard_silu_slope),
    "relu_layer": Elementary(definition=_relu_layer, slope=_relu_layer_slope),
}

FUNCTIONS: Mapping[str, Elementary] = {**ARITHMETIC, **_ACTIVATIONS}
"""Every function of a layer by name."""


# -- what only losses read -------------------------------------------------------------------------------------------


def _power(args: Arguments) -> Expression:
    """x to a constant power: by products where that is a small whole number, else e to the power · ln x."""
    x, power = args
    assert isinstance(power, Constant)
    if power.value in (0.0, 1.0, 2.0, 3.0, 4.0):
        result: Expression = Constant(1.0)
        for count in range(int(power.value)):
            result = x if count == 0 else result * x
        return result
    return apply("exp", apply("log", x) * power)


def _power_slope(g: Expression, args: Arguments, y: Expression) -> tuple[Expression | None, ...]:
    x, power = args
    assert isinstance(power, Constant)
    if power.value == 0.0:
        return None, None
    return g * power * apply("power", x, power.value - 1.0), None


_LOSSES: dict[str, Elementary] = {
    "power": Elementary(definition=_power, slope=_power_slope),
}

KNOWN: Mapping[str, Elementary] = {**_LOSSES, **OF_FILES, **FUNCTIONS}
"""Every function: of layers, of operators of files, of losses."""


# -- machine code ----------------------------------------------------------------------------------------------------


def evaluate(code: Code, expression: Expression, operands: Mapping[int, str]) -> str:
    """Writes the IR that computes an expression of the vectors `operands`; what occurs twice is computed once."""
    (result,) = evaluate_all(code, [expression], {Operand(index): value for index, value in operands.items()})
    return result


def evaluate_all(code: Code, expressions: Sequence[Expression], values: Mapping[Expression, str]) -> list[str]:
    """Writes the IR that computes several expressions; `values` are the vectors that their leaves stand for."""
    done = dict(values)
    return [_write(code, expression, done) for expression in expressions]


def _write(code: Code, expression: Expression, done: dict[Expression, str]) -> str:
    if isinstance(expression, Constant):
        return code.constant(expression.value)
    if expression not in done:
        assert isinstance(expression, Apply), f"{expression} has no value"
        function = KNOWN[expression.function]
        if function.definition is not None:
            done[expression] = _write(code, function.definition(expression.arguments), done)
        elif expression.function == "expm1_negative":  # a factor that is a constant goes into its coefficients
            x, factor = expression.arguments
            assert isinstance(factor, Constant)
            done[expression] = mathematics.expm1_negative(code, _write(code, x, done), factor.value)
        else:
            assert function.write is not None
            done[expression] = function.write(code, *(_write(code, item, done) for item in expression.arguments))
    return done[expression]


def evaluate_function(code: Code, name: str, x: str) -> str:
    """The function `name` of a vector."""
    return evaluate(code, Apply(name, (Operand(0),)), {0: x})


# -- gradients -------------------------------------------------------------------------------------------------------


def slope_of(name: str) -> Expression:
    """The gradient through a function of one argument: operand 0 is its result or its argument, as `reads_output` says,
    operand 1 the gradient of its result."""
    kept = Operand(0)
    slope = KNOWN[name].slope
    assert slope is not None
    (result,) = slope(Operand(1), (kept,), kept)
    assert result is not None
    return result


def vector_jacobian(expression: Expression, result: Expression, gradient: Expression) -> dict[int, Expression]:
    """For each operand of `expression`: its gradient, as an expression of the operands, the result and its gradient."""
    found: dict[int, Expression] = {}

    def walk(node: Expression, value: Expression, seed: Expression) -> None:
        if isinstance(node, Operand):
            found[node.index] = found[node.index] + seed if node.index in found else seed
        elif isinstance(node, Apply):
            function = KNOWN[node.function]
            if function.slope is not None:
                for item, slope in zip(node.arguments, function.slope(seed, node.arguments, value)):
                    if slope is not None:
                        walk(item, item, slope)
            else:
                assert function.definition is not None, f"{node.function} has no slope"
                inner = function.definition(node.arguments)
                walk(inner, value, seed)

    walk(expression, result, gradient)
    return found

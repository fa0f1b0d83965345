"""Activations on one vector, and their slopes: what a kernel applies before it stores.

Constants and defaults are Keras'. NaN gives NaN: limits are the first operand of a maximum or minimum. Where the slope can be had from the activation's output, training keeps only that;
`KEPT` says which of the two a slope reads.
"""

from collections.abc import Callable

from depthwise.emit import mathematics
from depthwise.emit.builder import Function

__all__ = ["KEPT", "MONOTONE", "SHORT", "apply", "slope"]

SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772
LEAKY_RELU_SLOPE = 0.2

MONOTONE = frozenset(
    ("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "sigmoid", "hard_sigmoid", "tanh", "softplus")
)
"""Activations that never decrease: they commute with a maximum."""

SHORT = frozenset(("linear", "relu", "relu6", "leaky_relu"))
"""Activations of one or two instructions. The others need a dozen constants, for which a kernel that holds its sums has
no registers left: they run in a loop of their own over what was just stored."""

Vector = str
Forward = Callable[[Function, Vector], Vector]


def apply(function: Function, name: str, x: Vector) -> Vector:
    """activation(x) for a vector x."""
    return _FORWARD[name](function, x)


def slope(function: Function, name: str, kept: Vector, gradient: Vector) -> Vector:
    """gradient · activation'(x); `kept` is the activation's output or input, as `KEPT[name]` says."""
    return _SLOPE[name](function, kept, gradient)


def _linear(function: Function, x: Vector) -> Vector:
    return x


def _relu(function: Function, x: Vector) -> Vector:
    return function.largest(function.constant(0.0), x)


def _relu6(function: Function, x: Vector) -> Vector:
    return function.smallest(function.constant(6.0), _relu(function, x))


def _leaky_relu(function: Function, x: Vector) -> Vector:
    return function.largest(x, function.fmul(x, function.constant(LEAKY_RELU_SLOPE)))


def _elu(function: Function, x: Vector) -> Vector:
    return function.select(function.negative(x), mathematics.expm1_negative(function, x), x)


def _selu(function: Function, x: Vector) -> Vector:
    positive = function.fmul(x, function.constant(SELU_SCALE))
    negative = mathematics.expm1_negative(function, x, SELU_SCALE * SELU_ALPHA)
    return function.select(function.negative(x), negative, positive)


def _sigmoid(function: Function, x: Vector) -> Vector:
    return mathematics.sigmoid(function, x)


def _silu(function: Function, x: Vector) -> Vector:
    return mathematics.silu(function, x)


def _hard_sigmoid(function: Function, x: Vector) -> Vector:
    """relu6(x + 3) / 6: near −3 the sum is exact, x / 6 + ½ would not be."""
    line = _relu6(function, function.fadd(x, function.constant(3.0)))
    return function.fmul(line, function.constant(1.0 / 6.0))


def _hard_silu(function: Function, x: Vector) -> Vector:
    """x · relu6(x + 3) / 6, as x · ((x + 3) / 8) / ¾ so that nothing overflows; −3 as lower limit, so that −∞ gives 0."""
    line = function.fma(x, function.constant(0.125), function.constant(0.375))
    line = function.smallest(function.constant(0.75), _relu(function, line))
    product = function.fmul(function.largest(function.constant(-3.0), x), line)
    return function.fdiv(product, function.constant(0.75))


_FORWARD: dict[str, Forward] = {
    "linear": _linear,
    "relu": _relu,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "gelu": mathematics.gelu,
    "silu": _silu,
    "sigmoid": _sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "tanh": mathematics.tanh,
    "softplus": mathematics.softplus,
}


def _positive(function: Function, value: Vector) -> str:
    return function.compare("ogt", value, function.constant(0.0))


def _relu_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    return function.select(_positive(function, y), gradient, "zeroinitializer")


def _relu6_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    below = function.compare("olt", y, function.constant(6.0))
    return function.select(below, _relu_slope(function, y, gradient), "zeroinitializer")


def _leaky_relu_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    return function.select(
        _positive(function, y), gradient, function.fmul(gradient, function.constant(LEAKY_RELU_SLOPE))
    )


def _elu_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    return function.select(_positive(function, y), gradient, function.fma(gradient, y, gradient))


def _selu_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    positive = function.constant(SELU_SCALE)
    negative = function.fadd(y, function.constant(SELU_SCALE * SELU_ALPHA))
    return function.fmul(gradient, function.select(_positive(function, y), positive, negative))


def _sigmoid_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    return function.fmul(gradient, function.fmul(y, function.fsub(function.constant(1.0), y)))


def _hard_sigmoid_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    below = function.compare("olt", y, function.constant(1.0))
    inside = _relu_slope(function, y, function.fmul(gradient, function.constant(1.0 / 6.0)))
    return function.select(below, inside, "zeroinitializer")


def _tanh_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    one = function.constant(1.0)
    # (1 − y)(1 + y), not 1 − y²: near ±1 the square loses what is left.
    return function.fmul(gradient, function.fmul(function.fsub(one, y), function.fadd(one, y)))


def _softplus_slope(function: Function, y: Vector, gradient: Vector) -> Vector:
    return function.fneg(function.fmul(gradient, mathematics.expm1_negative(function, function.fneg(y))))


def _silu_slope(function: Function, x: Vector, gradient: Vector) -> Vector:
    one, share = function.constant(1.0), mathematics.sigmoid(function, x)
    factor = function.fma(x, function.fsub(one, share), one)
    return function.fmul(gradient, function.fmul(share, factor))


def _hard_silu_slope(function: Function, x: Vector, gradient: Vector) -> Vector:
    inside = function.fma(x, function.constant(1.0 / 3.0), function.constant(0.5))
    above = function.compare("oge", x, function.constant(3.0))
    below = function.compare("ole", x, function.constant(-3.0))
    factor = function.select(above, function.constant(1.0), function.select(below, "zeroinitializer", inside))
    return function.fmul(gradient, factor)


def _gelu_slope(function: Function, x: Vector, gradient: Vector) -> Vector:
    return function.fmul(gradient, mathematics.gelu_slope(function, x))


_SLOPE: dict[str, Callable[[Function, Vector, Vector], Vector]] = {
    "linear": lambda function, kept, gradient: gradient,
    "relu": _relu_slope,
    "relu6": _relu6_slope,
    "leaky_relu": _leaky_relu_slope,
    "elu": _elu_slope,
    "selu": _selu_slope,
    "gelu": _gelu_slope,
    "silu": _silu_slope,
    "sigmoid": _sigmoid_slope,
    "hard_sigmoid": _hard_sigmoid_slope,
    "hard_silu": _hard_silu_slope,
    "tanh": _tanh_slope,
    "softplus": _softplus_slope,
}

KEPT = {name: "input" if name in ("gelu", "silu", "hard_silu") else "output" for name in _SLOPE}
"""What each slope reads: the activation's "input" or "output"."""

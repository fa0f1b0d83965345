"""Elementary functions on one vector, as polynomials in multiply-adds.

Accuracy is at most 2 ulp against float64 over all float32 inputs (results below the smallest normal number are
flushed); `tests/kernels/test_mathematics.py` checks it. The coefficients are fitted by `benchmarks/fit_polynomials.py`.
"""

from depthwise.emit.builder import Function

__all__ = ["exp", "expm1_negative", "gelu", "gelu_slope", "log", "sigmoid", "softplus", "tanh"]

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453
MAGIC = 12582912.0  # 1.5 · 2²³: adding it rounds to an integer, which is then in the low bits

# (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2, highest power first.
EXPONENTIAL = (0.00139304355, 0.00837251, 0.041666064, 0.16666448, 0.5)


def _polynomial(function: Function, x: str, coefficients: tuple[float, ...]) -> str:
    result = function.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        result = function.fma(result, x, function.constant(coefficient))
    return result


def _split(function: Function, x: str) -> tuple[str, str, str]:
    """(n as integers in the low bits, r, eʳ − 1) with x = n · ln 2 + r."""
    shifted = function.fma(x, function.constant(LOG2_E), function.constant(MAGIC))
    n = function.fsub(shifted, function.constant(MAGIC))
    r = function.fma(n, function.constant(-LN_2), x)
    q = _polynomial(function, r, EXPONENTIAL)
    bits = function.define(f"bitcast {function.vector} {shifted} to {function.integers}")
    return bits, r, function.fma(function.fmul(q, r), r, r)


def _power_of_two(function: Function, bits: str) -> str:
    """2ⁿ, n in the low bits, −126 ≤ n ≤ 127."""
    moved = function.define(f"shl {function.integers} {bits}, {function.integer_constant(23)}")
    biased = function.define(f"add {function.integers} {moved}, {function.integer_constant(0x3F800000)}")
    return function.define(f"bitcast {function.integers} {biased} to {function.vector}")


def expm1_negative(function: Function, x: str) -> str:
    """eˣ − 1 for x ≤ 0; anything for x > 0."""
    bits, _, part = _split(function, function.largest(x, function.constant(-87.0)))
    scale = _power_of_two(function, bits)
    return function.fma(scale, part, function.fsub(scale, function.constant(1.0)))


def exp(function: Function, x: str) -> str:
    """eˣ for x ≤ 88; 0 below −87."""
    bits, _, part = _split(function, function.largest(x, function.constant(-87.0)))
    scale = _power_of_two(function, bits)
    value = function.fma(scale, part, scale)
    return function.select(function.compare("olt", x, function.constant(-87.0)), "zeroinitializer", value)


def sigmoid(function: Function, x: str) -> str:
    """1 / (1 + e⁻ˣ), from e^−|x| so that nothing overflows."""
    one = function.constant(1.0)
    e = exp(function, function.fneg(function.intrinsic("fabs", x)))
    numerator = function.select(function.compare("oge", x, function.constant(0.0)), one, e)
    return function.fdiv(numerator, function.fadd(one, e))


def tanh(function: Function, x: str) -> str:
    """−m / (2 + m) with m = e^(−2|x|) − 1, and the sign of x."""
    magnitude = function.intrinsic("fabs", x)
    m = expm1_negative(function, function.fmul(magnitude, function.constant(-2.0)))
    return function.intrinsic("copysign", function.fdiv(m, function.fadd(function.constant(2.0), m)), x)


def log(function: Function, x: str) -> str:
    raise NotImplementedError


def softplus(function: Function, x: str) -> str:
    raise NotImplementedError


def gelu(function: Function, x: str) -> str:
    raise NotImplementedError


def gelu_slope(function: Function, x: str) -> str:
    raise NotImplementedError

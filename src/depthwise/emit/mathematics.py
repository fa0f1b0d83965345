"""Elementary functions on one vector, as polynomials in multiply-adds.

Accuracy is at most 2 ulp against float64 over all float32 inputs (results below the smallest normal number are
flushed); `tests/kernels/test_mathematics.py` checks it. The coefficients are fitted by `benchmarks/fit_polynomials.py`.
"""

from depthwise.emit.builder import Function

__all__ = ["exp", "expm1_negative", "gelu", "gelu_slope", "log", "sigmoid", "softplus", "tanh"]

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453
LN_2_HIGH = 0.693359375  # few bits: its product with an exponent is exact
LN_2_LOW = LN_2 - LN_2_HIGH
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
    """ln x for normal x > 0: ln m + e · ln 2 with m between √½ and √2, ln m = 2 atanh((m − 1) / (m + 1))."""
    kind = function.integers
    bits = function.define(f"bitcast {function.vector} {x} to {kind}")
    # 0x3F3504F3 is √½: subtracting it leaves the exponent e of m in the high bits.
    offset = function.define(f"sub {kind} {bits}, {function.integer_constant(0x3F3504F3)}")
    exponent = function.define(f"ashr {kind} {offset}, {function.integer_constant(23)}")
    back = function.define(f"shl {kind} {exponent}, {function.integer_constant(23)}")
    mantissa_bits = function.define(f"sub {kind} {bits}, {back}")
    mantissa = function.define(f"bitcast {kind} {mantissa_bits} to {function.vector}")
    e = function.define(f"sitofp {kind} {exponent} to {function.vector}")
    one = function.constant(1.0)
    above = function.fsub(mantissa, one)
    s = function.fdiv(above, function.fadd(mantissa, one))
    # ln m = above − s · (above − 2 s² · p): the leading term is exact.
    square = function.fmul(s, s)
    series = _polynomial(function, square, (2 / 9, 2 / 7, 2 / 5, 2 / 3))
    tail = function.fmul(s, function.fsub(above, function.fmul(square, series)))
    low = function.fma(e, function.constant(LN_2_LOW), function.fneg(tail))
    return function.fma(e, function.constant(LN_2_HIGH), function.fadd(above, low))


def softplus(function: Function, x: str) -> str:
    """ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|), the logarithm as 2 atanh(e / (2 + e))."""
    e = exp(function, function.fneg(function.intrinsic("fabs", x)))
    s = function.fdiv(e, function.fadd(e, function.constant(2.0)))
    square = function.fmul(s, s)
    series = _polynomial(function, square, tuple(2 / n for n in (17, 15, 13, 11, 9, 7, 5, 3)))
    logarithm = function.fma(function.fmul(square, series), s, function.fadd(s, s))
    return function.fadd(function.largest(x, function.constant(0.0)), logarithm)


def gelu(function: Function, x: str) -> str:
    raise NotImplementedError


def gelu_slope(function: Function, x: str) -> str:
    raise NotImplementedError

"""Elementary functions on one vector, as polynomials in multiply-adds.

Accuracy is at most 2 ulp against float64 over all float32 inputs (results below the smallest normal number are
flushed); `tests/kernels/test_mathematics.py` checks it. NaN gives NaN: a maximum of x86 gives its second operand where
either is NaN, so limits come first. The coefficients are fitted by `benchmarks/fit_polynomials.py`.
"""

from collections.abc import Sequence

from depthwise.compiler.kernels.builder import Function

__all__ = [
    "exp", "expm1_negative", "exponential", "gelu", "gelu_slope", "largest_of", "log", "logarithm", "sigmoid", "silu",
    "softplus", "tanh",
]  # fmt: skip

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453
LN_2_HIGH = 0.693359375  # few bits: its product with an exponent is exact
LN_2_LOW = LN_2 - LN_2_HIGH
MAGIC = 12582912.0 + 127.0
"""1.5 · 2²³: adding it rounds to an integer, which is then in the low bits, here with the bias of an exponent on top."""
SMALLEST = -88.0
"""Below it eˣ counts as 0: it is 2⁻¹²⁷, whose exponent field is 0, so that the scale comes out as 0 by itself."""
ROOT_TWO_PI = 0.3989422804014327  # 1 / √(2π)

# (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2, highest power first.
EXPONENTIAL = (0.00138986774, 0.00836613588, 0.0416668504, 0.16666548, 0.5)
# (2 atanh s − 2 s) / s³ of s², for the arguments of a logarithm between √½ and √2, and for 0 ≤ s ≤ ⅓.
LOGARITHM = (0.298707962, 0.399775833, 0.666667759)
SOFTPLUS = (0.280267, 0.279986292, 0.400217354, 0.666664124)
# (t + 3) · Φ(−t) · e^(t²/2) of t / (t + 3) − 0.40625, for 0 ≤ t ≤ 14.
NORMAL_TAIL = (
    0.0251854789,
    -0.075612776,
    -0.0730011091,
    0.13030313,
    0.165580034,
    -0.259733319,
    -0.297150373,
    1.01583946,
    -1.20051217,
    0.832967043,
)
NORMAL_TAIL_SHIFT = 3.0
NORMAL_TAIL_CENTRE = 0.40625
NORMAL_TAIL_END = 13.28
"""Past it t · Φ(−t) is below the smallest normal number, and e^(−t²/2) counts as 0."""


def _polynomial(function: Function, x: str, coefficients: tuple[float, ...]) -> str:
    result = function.constant(coefficients[0])
    for coefficient in coefficients[1:]:
        result = function.fma(result, x, function.constant(coefficient))
    return result


def _round(function: Function, x: str, factor: float, more: int = 0) -> tuple[str, str]:
    """(2ⁿ⁺ᵐᵒʳᵉ, n) with n the integer next to x · factor; the power is 0 for n + more = −127."""
    magic = function.constant(MAGIC + more)
    shifted = function.fma(x, function.constant(factor), magic)
    bits = function.define(f"bitcast {function.vector} {shifted} to {function.integers}")
    moved = function.define(f"shl {function.integers} {bits}, {function.integer_constant(23)}")
    power = function.define(f"bitcast {function.integers} {moved} to {function.vector}")
    return power, function.fsub(shifted, magic)


def _part(function: Function, r: str) -> str:
    """eʳ − 1 for |r| ≤ ln 2 / 2."""
    q = _polynomial(function, r, EXPONENTIAL)
    return function.fma(function.fmul(q, r), r, r)


def _split(function: Function, x: str, more: int = 0) -> tuple[str, str]:
    """(2ⁿ⁺ᵐᵒʳᵉ, eʳ − 1) with x = n · ln 2 + r; r is exact to the last bit for any n."""
    power, n = _round(function, x, LOG2_E, more)
    r = function.fma(n, function.constant(-LN_2_HIGH), x)
    return power, _part(function, function.fma(n, function.constant(-LN_2_LOW), r))


def expm1_negative(function: Function, x: str, factor: float = 1.0) -> str:
    """factor · (eˣ − 1) for x ≤ 0; anything for x > 0."""
    x = function.largest(function.constant(SMALLEST), x)
    scale, n = _round(function, x, LOG2_E)
    # ln 2 as one float32 is off by n · 2·10⁻⁹: nothing beside the 1.
    r = function.fma(n, function.constant(-LN_2), x)
    if factor == 1.0:
        return function.fma(scale, _part(function, r), function.fsub(scale, function.constant(1.0)))
    series = tuple(coefficient * factor for coefficient in (*EXPONENTIAL, 1.0))
    part = function.fmul(_polynomial(function, r, series), r)
    rest = function.fma(scale, function.constant(factor), function.constant(-factor))
    return function.fma(scale, part, rest)


def exp(function: Function, x: str) -> str:
    """eˣ for x ≤ 88; 0 from −88 on."""
    scale, part = _split(function, function.largest(function.constant(SMALLEST), x))
    return function.fma(scale, part, scale)


def exponential(function: Function, x: str) -> str:
    """eˣ for any x: above 0 as 2 · 2ⁿ⁻¹ · eʳ, for the largest results have n = 128, which no exponent holds."""
    below = exp(function, function.smallest(function.constant(0.0), x))
    limited = function.smallest(function.constant(89.0), function.largest(function.constant(0.0), x))
    scale, part = _split(function, limited, more=-1)
    above = function.fma(scale, part, scale)
    return function.select(_at_least_zero(function, x), function.fadd(above, above), below)


def _minus_magnitude(function: Function, x: str) -> str:
    return function.fneg(function.intrinsic("fabs", x))


def _at_least_zero(function: Function, x: str) -> str:
    return function.compare("oge", x, function.constant(0.0))


FROM_ONE_TO_TWO = (-0.5, 1.46)
FROM_TWO_TO_THREE = (-1.0 / 6.0, 0.825)
"""slope · x + start: within a tenth of 1 / x for x in these ranges."""


def _product_rounding(function: Function, a: str, b: str, product: str) -> str:
    """a · b − product, exactly, where `product` is a · b rounded; without fused multiply-adds by halves (Dekker 1971)."""
    if function.vectors.fused:
        return function.fma(a, b, function.fneg(product))
    a_high, b_high = _upper_half(function, a), _upper_half(function, b)
    a_low, b_low = function.fsub(a, a_high), function.fsub(b, b_high)
    rest = function.fsub(function.fmul(a_high, b_high), product)
    rest = function.fadd(rest, function.fmul(a_high, b_low))
    rest = function.fadd(rest, function.fmul(a_low, b_high))
    return function.fadd(rest, function.fmul(a_low, b_low))


def _upper_half(function: Function, x: str) -> str:
    """The upper 12 bits of the fraction: products of two such numbers are exact."""
    bits = function.define(f"bitcast {function.vector} {x} to {function.integers}")
    upper = function.define(f"and {function.integers} {bits}, {function.integer_constant(-(1 << 12))}")
    return function.define(f"bitcast {function.integers} {upper} to {function.vector}")


def _remainder(function: Function, numerator: str, quotient: str, divisor: str) -> str:
    """numerator − quotient · divisor, exactly."""
    if function.vectors.fused:
        return function.fma(function.fneg(quotient), divisor, numerator)
    product = function.fmul(quotient, divisor)
    return function.fsub(function.fsub(numerator, product), _product_rounding(function, quotient, divisor, product))


def _quotient_by_sum(function: Function, numerator: str, large: float, small: str, line: tuple[float, float]) -> str:
    """numerator / (large + small), 0 ≤ |small| ≤ large ≤ 2, rounded once: what the addition and the division round off is
    found exactly and added again, times the inverse of the sum as a line."""
    total = function.fadd(function.constant(large), small)
    lost = function.fsub(small, function.fsub(total, function.constant(large)))
    quotient = function.fdiv(numerator, total)
    remainder = _remainder(function, numerator, quotient, total)
    remainder = function.fma(function.fneg(quotient), lost, remainder)
    slope, start = line
    inverse = function.fma(total, function.constant(slope), function.constant(start))
    return function.fma(remainder, inverse, quotient)


def sigmoid(function: Function, x: str) -> str:
    """1 / (1 + e⁻ˣ), from e^−|x| so that nothing overflows."""
    one = function.constant(1.0)
    e = exp(function, _minus_magnitude(function, x))
    numerator = function.select(_at_least_zero(function, x), one, e)
    return _quotient_by_sum(function, numerator, 1.0, e, FROM_ONE_TO_TWO)


def silu(function: Function, x: str) -> str:
    """x / (1 + e⁻ˣ); below 0 as x · eˣ / (1 + eˣ) with eˣ 2⁶⁴ times as large, for x · eˣ is normal where eˣ is not."""
    t = function.largest(function.constant(-127.0), _minus_magnitude(function, x))
    scale, part = _split(function, t, more=64)
    scale_down = function.constant(2.0**-64)
    below = function.fmul(function.fmul(function.fma(t, part, t), scale), scale_down)
    numerator = function.select(_at_least_zero(function, x), x, below)
    e = function.fmul(function.fma(scale, part, scale), scale_down)
    value = _quotient_by_sum(function, numerator, 1.0, e, FROM_ONE_TO_TWO)
    # ∞ − ∞ in the remainder.
    return function.select(function.compare("ogt", x, function.constant(100.0)), x, value)


def tanh(function: Function, x: str) -> str:
    """−m / (2 + m) with m = e^(−2|x|) − 1, and the sign of x."""
    magnitude = function.intrinsic("fabs", x)
    m = expm1_negative(function, function.fmul(magnitude, function.constant(-2.0)))
    return function.intrinsic("copysign", _quotient_by_sum(function, m, 2.0, m, FROM_ONE_TO_TWO), x)


def log(function: Function, x: str) -> str:
    """ln x for normal x > 0: ln m + e · ln 2 with m between √½ and √2, ln m = 2 atanh((m − 1) / (m + 1)). NaN gives NaN."""
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
    # ln m = above − s · (above − s² · p): the leading term is exact.
    square = function.fmul(s, s)
    series = _polynomial(function, square, LOGARITHM)
    tail = function.fmul(s, function.fsub(above, function.fmul(square, series)))
    low = function.fma(e, function.constant(LN_2_LOW), function.fneg(tail))
    value = function.fma(e, function.constant(LN_2_HIGH), function.fadd(above, low))
    # The bits of a NaN come apart above.
    return function.select(function.compare("uno", x, x), x, value)


def logarithm(function: Function, x: str) -> str:
    """ln x for any x: −∞ at 0, NaN below, ∞ at ∞; numbers below the smallest normal one count as that."""
    infinity, zero = function.constant(float("inf")), function.constant(0.0)
    inside = log(function, function.largest(function.constant(2.0**-126), x))
    above = function.select(function.compare("oeq", x, infinity), x, inside)
    at_zero = function.select(function.compare("oeq", x, zero), function.constant(float("-inf")), above)
    return function.select(function.compare("olt", x, zero), function.constant(float("nan")), at_zero)


def softplus(function: Function, x: str) -> str:
    """ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|), the logarithm as 2 atanh(e / (2 + e))."""
    e = exp(function, _minus_magnitude(function, x))
    s = _quotient_by_sum(function, e, 2.0, e, FROM_TWO_TO_THREE)
    square = function.fmul(s, s)
    series = _polynomial(function, square, SOFTPLUS)
    # The large terms last: what is added before them is rounded at its own, smaller size.
    rest = function.fma(function.fmul(square, series), s, function.largest(function.constant(0.0), x))
    return function.fma(s, function.constant(2.0), rest)


def _half_square(function: Function, t: str) -> tuple[str, str]:
    """(2ⁿ, eʳ − 1) with e^(−t²/2) = 2ⁿ · eʳ; the square's own rounding error goes into r."""
    square = function.fmul(t, t)
    rounding = _product_rounding(function, t, t, square)
    power, n = _round(function, square, -LOG2_E / 2.0)
    r = function.fma(n, function.constant(-LN_2_HIGH), function.fmul(square, function.constant(-0.5)))
    r = function.fma(rounding, function.constant(-0.5), r)
    r = function.fma(n, function.constant(-LN_2_LOW), r)
    return power, _part(function, r)


def _tail_argument(function: Function, x: str) -> tuple[str, str, str, str]:
    """(t, t + 3, 1 / (t + 3), t / (t + 3)) with t = |x|, at most where the tail ends."""
    t = function.smallest(function.constant(NORMAL_TAIL_END), function.intrinsic("fabs", x))
    divisor = function.fadd(t, function.constant(NORMAL_TAIL_SHIFT))
    inverse = function.fdiv(function.constant(1.0), divisor)
    return t, divisor, inverse, function.fmul(t, inverse)


def gelu(function: Function, x: str) -> str:
    """x · Φ(x) = max(x, 0) − t · Φ(−t) with t = |x|.

    t · Φ(−t) = e^(−t²/2) · s · P(s), s = t / (t + 3). What the roundings of s, of P and of their product lose is added
    again: three factors off by half an ulp each would be too much.
    """
    t, divisor, inverse, s = _tail_argument(function, x)
    # What s lacks, times t + 3: the remainder of the division, and what the addition lost.
    lost = function.fsub(t, function.fsub(divisor, function.constant(NORMAL_TAIL_SHIFT)))
    remainder = _remainder(function, t, s, divisor)
    remainder = function.fma(function.fneg(s), lost, remainder)
    v = function.fsub(s, function.constant(NORMAL_TAIL_CENTRE))
    rest = _polynomial(function, v, NORMAL_TAIL[:-1])
    constant = function.constant(NORMAL_TAIL[-1])
    p = function.fma(rest, v, constant)
    p_low = function.fma(rest, v, function.fsub(constant, p))
    product = function.fmul(s, p)
    low = function.fma(s, p_low, _product_rounding(function, s, p, product))
    # d(s · P) / ds is near 40.5 / (t + 3)³.
    square = function.fmul(inverse, inverse)
    slope = function.fmul(function.fmul(square, square), function.constant(40.5))
    low = function.fma(remainder, slope, low)
    power, part = _half_square(function, t)
    low = function.fma(low, part, low)
    tail = function.fmul(function.fadd(product, function.fma(product, part, low)), power)
    return function.fsub(function.largest(function.constant(0.0), x), tail)


def gelu_slope(function: Function, x: str) -> str:
    """Φ(x) + x · φ(x): e^(−t²/2) · (P / (t + 3) − t / √(2π)) for x ≤ 0, and 1 minus that for x > 0."""
    t, _, inverse, s = _tail_argument(function, x)
    v = function.fsub(s, function.constant(NORMAL_TAIL_CENTRE))
    ratio = function.fmul(_polynomial(function, v, NORMAL_TAIL), inverse)
    scale, part = _half_square(function, t)
    e = function.fma(scale, part, scale)
    below = function.fmul(e, function.fma(t, function.constant(-ROOT_TWO_PI), ratio))
    above = function.fsub(function.constant(1.0), below)
    return function.select(function.compare("ogt", x, function.constant(0.0)), above, below)


def largest_of(function: Function, values: Sequence[str]) -> str:
    """The largest of several vectors, lane by lane; NaN where any of them is NaN.

    A running maximum keeps a NaN that it starts from and loses later ones: those are asked for two at a time.
    """
    largest, *others = values
    missing = ""
    for first, second in zip(others[::2], [*others[1::2], others[-1]] if others else []):
        pair = function.compare("uno", first, second)
        missing = function.define(f"or {function.mask} {missing}, {pair}") if missing else pair
        for value in dict.fromkeys((first, second)):
            largest = function.largest(value, largest)
    return function.select(missing, function.constant(float("nan")), largest) if missing else largest

"""Elementary functions and activations as compiled, against float64: at most 2 ulp, for every float32 number."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special

from depthwise.arguments import ACTIVATIONS
from depthwise.compiler.functions import FUNCTIONS, evaluate, evaluate_function, slope_of
from depthwise.compiler.kernels import mathematics
from depthwise.compiler.kernels.builder import Function
from depthwise.compiler.native.compile import can_run, target_for
from depthwise.reference.activations import OF_ROWS
from depthwise.reference.rounding import ACTIVATION_ROUNDINGS, UNIT_ROUNDOFF
from support.compiled import Array, Unary, compile_unary

Doubles = npt.NDArray[np.float64]
SMALLEST_NORMAL = 2.0**-126
ULP = 2.0
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _expm1_negative(x: Doubles) -> Doubles:
    return np.expm1(np.minimum(x, 0.0))


def _times(x: Doubles, share: Doubles) -> Doubles:
    """x · share, with −∞ · 0 = 0: the limit of what this is used for."""
    return np.where(share == 0.0, 0.0, x * share)


def _below_88(x: Doubles) -> npt.NDArray[np.bool_]:
    return x <= 88.0


def _normal_and_positive(x: Doubles) -> npt.NDArray[np.bool_]:
    return (x >= SMALLEST_NORMAL) & (x < np.inf)


def _zero_or_normal(x: Doubles) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(x) >= SMALLEST_NORMAL) | (x == 0.0))


def _log(x: Doubles) -> Doubles:
    with np.errstate(all="ignore"):
        return np.log(x)


def _squareplus(x: Doubles) -> Doubles:
    half = (np.abs(x) + np.hypot(x, 2.0)) / 2.0
    return np.where(x < 0.0, 1.0 / half, half)


def _series(x: Doubles) -> Doubles:
    """x − tanh x near 0, where the difference would cancel."""
    return x**3 / 3.0 - x**5 * (2.0 / 15.0) + x**7 * (17.0 / 315.0)


class Case(NamedTuple):
    """A function in IR, the same in float64, and where it is defined (None: everywhere)."""

    write: Unary
    reference: Callable[[Doubles], Doubles]
    domain: Callable[[Doubles], npt.NDArray[np.bool_]] | None = None


def _activation(name: str) -> Unary:
    return lambda function, x: evaluate_function(function, name, x)


CASES: dict[str, Case] = {
    "exp": Case(mathematics.exp, np.exp, _below_88),
    "expm1_negative": Case(mathematics.expm1_negative, np.expm1, lambda x: x <= 0.0),
    "log": Case(mathematics.log, np.log, _normal_and_positive),
    "exponential": Case(mathematics.exponential, np.exp),
    "logarithm": Case(mathematics.logarithm, _log, _zero_or_normal),
    "sigmoid": Case(_activation("sigmoid"), special.expit),
    "tanh": Case(_activation("tanh"), np.tanh),
    "softplus": Case(_activation("softplus"), lambda x: np.logaddexp(x, 0.0)),
    "gelu": Case(_activation("gelu"), lambda x: _times(x, special.ndtr(x))),
    "silu": Case(_activation("silu"), lambda x: _times(x, special.expit(x))),
    "elu": Case(_activation("elu"), lambda x: np.where(x > 0.0, x, _expm1_negative(x))),
    "selu": Case(
        _activation("selu"),
        lambda x: SELU_SCALE * np.where(x > 0.0, x, SELU_ALPHA * _expm1_negative(x)),
    ),
    "relu": Case(_activation("relu"), lambda x: np.maximum(x, 0.0)),
    "relu6": Case(_activation("relu6"), lambda x: np.clip(x, 0.0, 6.0)),
    "leaky_relu": Case(_activation("leaky_relu"), lambda x: np.where(x > 0.0, x, 0.2 * x)),
    "hard_sigmoid": Case(_activation("hard_sigmoid"), lambda x: np.clip(x + 3.0, 0.0, 6.0) / 6.0),
    "celu": Case(_activation("celu"), lambda x: np.where(x > 0.0, x, _expm1_negative(x))),
    "exponential_activation": Case(_activation("exponential"), np.exp),
    "hard_shrink": Case(_activation("hard_shrink"), lambda x: np.where(np.abs(x) <= 0.5, 0.0, x)),
    "hard_tanh": Case(_activation("hard_tanh"), lambda x: np.clip(x, -1.0, 1.0)),
    "log_sigmoid": Case(_activation("log_sigmoid"), lambda x: -np.logaddexp(-x, 0.0)),
    "mish": Case(_activation("mish"), lambda x: _times(x, np.tanh(np.logaddexp(x, 0.0)))),
    "soft_shrink": Case(_activation("soft_shrink"), lambda x: x - np.clip(x, -0.5, 0.5)),
    "softsign": Case(
        _activation("softsign"), lambda x: np.where(np.abs(x) == np.inf, np.sign(x), x / (1.0 + np.abs(x)))
    ),
    "sparse_plus": Case(
        _activation("sparse_plus"), lambda x: np.where(x >= 1.0, x, (np.maximum(x, -1.0) + 1.0) ** 2 / 4.0)
    ),
    "sparse_sigmoid": Case(_activation("sparse_sigmoid"), lambda x: np.clip((x + 1.0) / 2.0, 0.0, 1.0)),
    "squareplus": Case(_activation("squareplus"), _squareplus),
    "tanh_shrink": Case(_activation("tanh_shrink"), lambda x: np.where(np.abs(x) < 1e-2, _series(x), x - np.tanh(x))),
    "hard_silu": Case(_activation("hard_silu"), lambda x: _times(x, np.clip(x + 3.0, 0.0, 6.0) / 6.0)),
}

COMPOSED = {"mish", "squareplus", "tanh_shrink"}
"""Of several roundings: within what the bounds allow any activation, 4 · 2⁻²⁴ of the result, which is 2 to 4 ulp."""

SPECIALS = np.array(
    [
        0.0,
        -0.0,
        np.inf,
        -np.inf,
        np.nan,
        -np.nan,
        1e-45,
        -1e-45,
        1.1754944e-38,
        -1.1754944e-38,
        3.4028235e38,
        -3.4028235e38,
        -87.0,
        -87.33655,
        -87.4,
        -88.0,
        -88.1,
        -103.0,
        -104.0,
        -127.0,
        -200.0,
        88.0,
        -13.1,
        -13.15,
        -13.28,
        -13.3,
        13.28,
        3.0,
        -3.0,
        6.0,
        1.0,
        -1.0,
    ],
    np.float32,
)
# NaNs of every kind: signalling ones, negative ones, with payloads in the bits that shifts move about.
NANS = np.array([0x7F800001, 0x7FC00000, 0x7FC001FF, 0x7FFFFFFF, 0xFF800001, 0xFFC0FFFF, 0xFFFFFFFF], np.uint32)


@pytest.fixture(scope="module")
def compiled() -> dict[str, Callable[[Array], Array]]:
    return dict(zip(CASES, compile_unary([case.write for case in CASES.values()])))


def _values(bits: npt.NDArray[np.integer]) -> Array:
    """float32 numbers by their bits, filled up to a multiple of 16."""
    return np.resize(bits.astype(np.uint32), -(-bits.size // 16) * 16).view(np.float32)


def errors_in_ulp(actual: Array, expected: Doubles) -> Doubles:
    """|actual − expected| in units of the last place of the expected number; below the normal numbers 0 will do too."""
    with np.errstate(all="ignore"):
        spacing = np.spacing(np.maximum(np.abs(expected), SMALLEST_NORMAL).astype(np.float32)).astype(np.float64)
        error = np.abs(actual - expected) / spacing
        flushed = (np.abs(expected) < SMALLEST_NORMAL) & (np.abs(actual - expected) <= SMALLEST_NORMAL)
        same = flushed | (actual == expected.astype(np.float32)) | (np.isnan(actual) & np.isnan(expected))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def check(name: str, function: Callable[[Array], Array], x: Array) -> None:
    """Every number of `x` in the domain within 2 ulp; NaN must give NaN everywhere."""
    case = CASES[name]
    y = function(x)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        expected = case.reference(wide)
        # 2⁻²³ · |y| is 2 ulp at the most: only what is not so near is looked at closely.
        near = ACTIVATION_ROUNDINGS * UNIT_ROUNDOFF if name in COMPOSED else 2.0**-23
        far = ~(np.abs(y - expected) <= near * np.abs(expected))
        if case.domain is not None:
            far &= case.domain(wide) | np.isnan(wide)
    if far.any():
        error = errors_in_ulp(y[far], expected[far])
        worst = int(np.argmax(error))
        assert error[worst] <= ULP, f"{name}({x[far][worst]!r}) = {y[far][worst]!r}: {error[worst]:.2f} ulp off"


@pytest.mark.parametrize("name", CASES)
def test_special_values(name: str, compiled: dict[str, Callable[[Array], Array]]) -> None:
    function = compiled[name]
    check(name, function, np.resize(SPECIALS, -(-SPECIALS.size // 16) * 16).astype(np.float32))
    assert np.isnan(function(_values(NANS))).all()


@pytest.mark.parametrize("name", CASES)
def test_a_sample_of_all_float32_numbers_is_within_2_ulp(
    name: str, compiled: dict[str, Callable[[Array], Array]]
) -> None:
    """Every 9973rd number, and densely where functions bend: 1/16 ≤ |x| < 16."""
    check(name, compiled[name], _values(np.arange(0, 2**32, 9973, dtype=np.uint64)))
    for sign in (0, 2**31):
        first, last = (int(np.float32(edge).view(np.uint32)) + sign for edge in (1 / 16, 16.0))
        check(name, compiled[name], _values(np.arange(first, last, 257, dtype=np.uint64)))


@pytest.mark.sweep
@pytest.mark.parametrize("name", CASES)
def test_all_float32_numbers_that_matter_are_within_2_ulp(
    name: str, compiled: dict[str, Callable[[Array], Array]]
) -> None:
    """2³² numbers; every 16th of them where |x| < 2⁻³⁰ or |x| ≥ 2⁸."""
    case, function = CASES[name], compiled[name]
    step = 2**17  # numbers that stay in the caches
    for start in range(0, 2**32, step):
        exponent = start >> 23 & 0xFF
        stride = 1 if 127 - 30 <= exponent < 127 + 8 else 16
        x = np.arange(start, start + step, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)
        with np.errstate(invalid="ignore"):  # signalling NaNs
            ends = x[[0, -1]].astype(np.float64)
        if case.domain is None or case.domain(ends).any():
            check(name, function, x)


@pytest.mark.parametrize("family", ["sse", "avx2", "avx512"])
def test_every_vector_family_keeps_to_2_ulp(family: str) -> None:
    """Without fused multiply-adds (SSE) too: what they would find exactly is found by halves."""
    if not can_run(target_for(family)):
        pytest.skip(f"this machine has no {family}")
    functions = compile_unary([case.write for case in CASES.values()], family)
    x = _values(np.arange(0, 2**32, 65537, dtype=np.uint64))
    near = _values(np.arange(0x3D800000, 0x41800000, 4099, dtype=np.uint64))
    for name, function in zip(CASES, functions):
        for numbers in (x, near, -near):
            check(name, function, numbers)


SLOPES: dict[str, Callable[[Doubles], Doubles]] = {
    "relu": lambda x: np.where(x > 0.0, 1.0, 0.0),
    "relu6": lambda x: np.where((x > 0.0) & (x < 6.0), 1.0, 0.0),
    "leaky_relu": lambda x: np.where(x > 0.0, 1.0, 0.2),
    "elu": lambda x: np.where(x > 0.0, 1.0, np.exp(np.minimum(x, 0.0))),
    "selu": lambda x: SELU_SCALE * np.where(x > 0.0, 1.0, SELU_ALPHA * np.exp(np.minimum(x, 0.0))),
    "sigmoid": lambda x: special.expit(x) * special.expit(-x),
    "hard_sigmoid": lambda x: (np.abs(x) < 3.0) / 6.0,
    "tanh": lambda x: 1.0 / np.cosh(np.clip(x, -300.0, 300.0)) ** 2,
    "softplus": special.expit,
    "silu": lambda x: special.expit(x) * (1.0 + x * special.expit(-x)),
    "hard_silu": lambda x: np.where(x >= 3.0, 1.0, np.where(x <= -3.0, 0.0, x / 3.0 + 0.5)),
    "celu": lambda x: np.where(x > 0.0, 1.0, np.exp(np.minimum(x, 0.0))),
    "exponential": lambda x: np.exp(np.minimum(x, 5.0)),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, 1.0, 0.0),
    "hard_tanh": lambda x: np.where(np.abs(x) <= 1.0, 1.0, 0.0),
    "log_sigmoid": lambda x: special.expit(-x),
    "mish": lambda x: np.tanh(np.logaddexp(x, 0.0)) + x * special.expit(x) / np.cosh(np.logaddexp(x, 0.0)) ** 2,
    "soft_shrink": lambda x: np.where(np.abs(x) > 0.5, 1.0, 0.0),
    "softsign": lambda x: 1.0 / (1.0 + np.abs(x)) ** 2,
    "sparse_plus": lambda x: np.clip((x + 1.0) / 2.0, 0.0, 1.0),
    "sparse_sigmoid": lambda x: np.where(np.abs(x) < 1.0, 0.5, np.where(np.abs(x) == 1.0, 0.25, 0.0)),
    "squareplus": lambda x: _squareplus(x) / np.hypot(x, 2.0),
    "tanh_shrink": lambda x: np.tanh(x) ** 2,
    "gelu": lambda x: special.ndtr(x) + x * np.exp(-x * x / 2.0) / np.sqrt(2.0 * np.pi),
}
"""Slopes from the input. Native ones start from the output where that is kept, so its rounding comes in."""


@pytest.mark.parametrize("name", SLOPES)
def test_slopes(name: str) -> None:
    """Within 8 · 2⁻²⁴ of the steepest slope, 1 or more: an output within 2 ulp has been given to the slope's formula."""

    def write(function: Function, x: str) -> str:
        kept = evaluate_function(function, name, x) if FUNCTIONS[name].reads_output else x
        return evaluate(function, slope_of(name), {0: kept, 1: function.constant(1.0)})

    (native,) = compile_unary([write])
    x = np.linspace(-20.0, 20.0, 1 << 17).astype(np.float32)
    x = np.minimum(x, np.float32(5.0)) if name == "exponential" else x
    x[np.isin(np.abs(x), (0.0, 3.0, 6.0))] = 0.5
    expected = SLOPES[name](x.astype(np.float64))
    actual = native(x)
    if name in ("relu6", "hard_sigmoid"):  # the output may round to the limit just before it
        keep = np.abs(np.abs(x - (3.0 if name == "relu6" else 0.0)) - 3.0) > 1e-5
        actual, expected = actual[keep], expected[keep]
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(actual - expected).max() <= 8 * scale * 2.0**-24


OTHER_CASES = {"exp", "exponential", "expm1_negative", "log", "logarithm"}
"""Functions that are no activation's name."""


def test_every_activation_has_a_slope_and_a_case() -> None:
    assert (
        set(ACTIVATIONS) - {"linear", *OF_ROWS}
        == set(SLOPES)
        == {name.removesuffix("_activation") for name in set(CASES) - OTHER_CASES}
    )


def test_the_coefficients_are_those_of_the_fit() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "fit_polynomials.py"
    printed = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True).stdout
    for line in printed.splitlines():
        name, _, rest = line.partition(" = ")
        fitted = [float(number) for number in rest.split(")")[0].strip("(").split(", ")]
        # The last digits depend on the linear algebra library: the functions' own tests judge those.
        np.testing.assert_allclose(getattr(mathematics, name), fitted, rtol=0.02)

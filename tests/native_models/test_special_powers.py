"""Promise: a power has Keras' value where base or exponent is infinite, NaN, zero, negative or beyond what products reach."""

from typing import Any

import keras
import numpy as np

import depthwise

INF, NAN = np.inf, np.nan
BASES = np.array([NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3e38, -3e38, 0.5, -0.5], np.float32)
EXPONENTS = np.array([0.0, -0.0, 1.0, 2.0, 3.0, -1.0, -3.0, 0.5, -0.5, INF, -INF, NAN], np.float32)
WHOLE = (0, -0.0, 1, 2, 3, -1, -2, 64, 65, -65, 66, 101.0)


def powers(module: Any) -> Any:
    """Of constants, and of two tensors."""
    x, y = (module.Input((len(BASES) * len(EXPONENTS),)) for _ in range(2))
    return module.Model([x, y], [*(x**whole for whole in WHOLE), 1.0**x, 2.0**x, x**y])


def test_powers_of_special_numbers_are_those_of_keras() -> None:
    x, y = (array.reshape(1, -1) for array in np.meshgrid(BASES, EXPONENTS))
    found = powers(depthwise).predict([x, y], verbose=0)
    wanted = powers(keras).predict([x, y], verbose=0)
    for exponent, one, other in zip((*WHOLE, "1 **", "2 **", "x ** y"), found, wanted, strict=True):
        # Through the logarithm the error grows with the exponent: ln 2 · 101 rounds by 4 units of 2⁻²⁴ times 101.
        np.testing.assert_allclose(one, other, rtol=101 * 4 * 2.0**-24, atol=0, err_msg=str(exponent))
        zero = one == 0
        np.testing.assert_array_equal(np.signbit(one[zero]), np.signbit(other[zero]), err_msg=str(exponent))

"""Fits the polynomials of `depthwise.compiler.kernels.mathematics`: minimax by weights, coefficients rounded to float32 one by one.

    python benchmarks/fit_polynomials.py

prints every table with its largest error in units of 2⁻²⁴. Lawson's algorithm (1961) turns least squares into minimax by
reweighting; each coefficient, the constant first, is then rounded and the rest is fitted anew, so that later ones make up
for what rounding lost. The functions whose quotients cancel near 0 are summed as series or taken from scipy in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx

Array = npt.NDArray[np.float64]

POINTS = 1000
LAWSON_ROUNDS = 40


@dataclass(frozen=True)
class Fit:
    """One table: a polynomial of `degree` for `target` on [low, high]; an error e there costs e · weight.

    `fixed` are the first coefficients (constant first) that are given and not fitted.
    """

    name: str
    target: Callable[[Array], Array]
    weight: Callable[[Array], Array]
    low: float
    high: float
    degree: int
    fixed: tuple[float, ...] = ()


def _series(x: Array, terms: list[float]) -> Array:
    total = np.zeros_like(x)
    for term in reversed(terms):
        total = total * x + term
    return total


def _exponential_rest(r: Array) -> Array:
    """(eʳ − 1 − r) / r², by its series."""
    factor, terms = 2.0, []
    for n in range(2, 24):
        terms.append(1.0 / factor)
        factor *= n + 1
    return _series(r, terms)


def _atanh_rest(z: Array) -> Array:
    """(2 atanh s − 2 s) / s³ with z = s²."""
    return _series(z, [2.0 / n for n in range(3, 121, 2)])


TAIL_SHIFT = 3.0
TAIL_CENTRE = 0.40625
TAIL_END = 14.0  # past it x · Φ(x) is below the smallest normal number


def _normal_tail(v: Array) -> Array:
    """(t + 3) · Φ(−t) · e^(t²/2) with v = t / (t + 3) − 0.40625."""
    s = v + TAIL_CENTRE
    t = TAIL_SHIFT * s / (1.0 - s)
    return (t + TAIL_SHIFT) * erfcx(t / np.sqrt(2.0)) / 2.0


ROOT_HALF = float(np.sqrt(0.5))
LOG_RANGE = ((1.0 - ROOT_HALF) / (1.0 + ROOT_HALF)) ** 2

FITS = (
    # A part of eʳ − 1 ≈ r + r² q: relative to the whole.
    Fit(
        "EXPONENTIAL",
        _exponential_rest,
        lambda r: np.abs(r * r / np.expm1(np.where(r == 0, 1e-9, r))),
        -0.3470,
        0.3470,
        4,
        (0.5,),
    ),
    Fit("LOGARITHM", _atanh_rest, lambda z: z / 2.0, 0.0, LOG_RANGE, 2),
    Fit("SOFTPLUS", _atanh_rest, lambda z: z / 2.0, 0.0, 1.0 / 9.0, 3),
    Fit(
        "NORMAL_TAIL",
        _normal_tail,
        lambda v: 1.0 / _normal_tail(v),
        -TAIL_CENTRE,
        TAIL_END / (TAIL_END + TAIL_SHIFT) - TAIL_CENTRE,
        9,
    ),
)


def _solve(x: Array, y: Array, weight: Array, powers: range) -> Array:
    """Minimax coefficients of the given powers of x."""
    basis = np.stack([x**power for power in powers], axis=1)
    scale = np.abs(basis).max(axis=0)
    lawson = np.ones_like(x)
    found = np.zeros(len(powers))
    for _ in range(LAWSON_ROUNDS):
        factor = np.sqrt(lawson) * weight
        found = np.linalg.lstsq(basis / scale * factor[:, None], y * factor, rcond=None)[0] / scale
        error = np.abs(basis @ found - y) * weight
        if error.max() == 0.0:
            break
        lawson = lawson * error / error.max() + 1e-12
        lawson /= lawson.mean()
    return found


def fit(table: Fit) -> tuple[tuple[float, ...], float]:
    """(coefficients, highest power first, all of them float32 numbers; the largest weighted error)."""
    nodes = np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)
    x = table.low + (table.high - table.low) * (1.0 - nodes) / 2.0
    y, weight = table.target(x), table.weight(x)
    coefficients = [float(np.float32(value)) for value in table.fixed]
    while len(coefficients) <= table.degree:
        rest = y - np.polynomial.polynomial.polyval(x, coefficients) if coefficients else y
        found = _solve(x, rest, weight, range(len(coefficients), table.degree + 1))
        coefficients.append(float(np.float32(found[0])))
    error = np.abs(np.polynomial.polynomial.polyval(x, coefficients) - y) * weight
    return tuple(reversed(coefficients)), float(error.max())


def main() -> None:
    for table in FITS:
        coefficients, error = fit(table)
        # Nine digits are enough to tell float32 numbers apart.
        numbers = ", ".join(f"{value:.9g}" for value in coefficients)
        print(f"{table.name} = ({numbers})  # within {error * 2**24:.2f} · 2⁻²⁴")


if __name__ == "__main__":
    main()

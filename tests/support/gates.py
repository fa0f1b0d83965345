"""The gates: how far a float32 result may be from the float64 reference. Computed, never chosen."""

from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.reference.bounds import LIPSCHITZ, UNIT_ROUNDOFF, allowed_error

__all__ = ["LIPSCHITZ", "UNIT_ROUNDOFF", "error_gate", "exact_gate", "hard_gate"]


def exact_gate(actual: npt.ArrayLike, expected: npt.ArrayLike, what: str = "result") -> None:
    """Every value equal (as numbers: −0 is 0; a NaN equals nothing)."""
    actual, expected = _same_shape(actual, expected, what)
    wrong = ~(actual == expected)
    if wrong.any():
        place = _worst(np.where(wrong, np.abs(actual - expected), -1.0))
        raise AssertionError(
            f"{what}: {wrong.sum()} of {wrong.size} values differ where none may; at {place} it is "
            f"{actual[place]}, the reference {expected[place]}"
        )


def hard_gate(
    actual: npt.ArrayLike,
    expected: npt.ArrayLike,
    magnitude: npt.ArrayLike,
    depth: int,
    activation: str = "linear",
    what: str = "result",
) -> float:
    """|error| ≤ (depth + 2)·u·S + u·|y| for every value; after an activation as `bounds.allowed_error` says.

    Args:
        magnitude: S = Σ|a||b| for each value, before the activation.
        depth: how many roundings lie on the longest way through the sum; the reduction length always will do.

    Returns:
        The largest |error| / allowed: how much of the gate is used.
    """
    return error_gate(actual, expected, allowed_error(expected, magnitude, depth, activation), what)


def error_gate(actual: npt.ArrayLike, expected: npt.ArrayLike, allowed: npt.ArrayLike, what: str = "result") -> float:
    """|error| ≤ allowed for every value; returns the largest |error| / allowed."""
    actual, expected = _same_shape(actual, expected, what)
    allowed = np.broadcast_to(np.asarray(allowed, dtype=np.float64), expected.shape)
    with np.errstate(invalid="ignore"):
        error = np.where(actual == expected, 0.0, np.abs(actual - expected))
    wrong = ~(error <= allowed)  # a NaN is wrong too
    if wrong.any():
        excess = np.where(np.isnan(error), np.inf, error / np.maximum(allowed, 1e-300))
        place = _worst(np.where(wrong, excess, -1.0))
        raise AssertionError(
            f"{what}: {wrong.sum()} of {wrong.size} values are outside their gate; the worst, at {place}, is "
            f"{actual[place]}, the reference {expected[place]}: error {error[place]:.3e}, allowed "
            f"{allowed[place]:.3e}"
        )
    used = np.divide(error, allowed, out=np.zeros_like(error), where=error > 0.0)
    return float(used.max(initial=0.0))


def _same_shape(actual: npt.ArrayLike, expected: npt.ArrayLike, what: str) -> tuple[Any, Any]:
    actual, expected = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if actual.shape != expected.shape:
        raise AssertionError(f"{what}: shape {actual.shape}, the reference has {expected.shape}")
    return actual, expected


def _worst(score: Any) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(int(np.argmax(score)), score.shape))

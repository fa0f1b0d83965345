"""The gates: how far a float32 result may be from the float64 reference. Computed, never chosen."""

from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.reference.bounds import LIPSCHITZ, UNIT_ROUNDOFF, allowed_error

__all__ = ["LIPSCHITZ", "UNIT_ROUNDOFF", "error_gate", "exact_gate", "hard_gate"]


def exact_gate(actual: npt.ArrayLike, expected: npt.ArrayLike, what: str = "result") -> None:
    """Every value equal (as numbers: −0 is 0; a NaN equals nothing)."""
    found, wanted = _same_shape(actual, expected, what)
    wrong = ~(found == wanted)
    if wrong.any():
        place = _worst(np.where(wrong, np.abs(found - wanted), -1.0))
        raise AssertionError(
            f"{what}: {wrong.sum()} of {wrong.size} values differ where none may; at {place} it is "
            f"{found[place]}, the reference {wanted[place]}"
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
    found, wanted = _same_shape(actual, expected, what)
    most = np.broadcast_to(np.asarray(allowed, dtype=np.float64), wanted.shape)
    with np.errstate(invalid="ignore"):
        error = np.where(found == wanted, 0.0, np.abs(found - wanted))
    wrong = ~(error <= most)  # a NaN is wrong too
    if wrong.any():
        excess = np.where(np.isnan(error), np.inf, error / np.maximum(most, 1e-300))
        place = _worst(np.where(wrong, excess, -1.0))
        raise AssertionError(
            f"{what}: {wrong.sum()} of {wrong.size} values are outside their gate; the worst, at {place}, is "
            f"{found[place]}, the reference {wanted[place]}: error {error[place]:.3e}, allowed "
            f"{most[place]:.3e}"
        )
    used = np.divide(error, most, out=np.zeros_like(error), where=error > 0.0)
    return float(used.max(initial=0.0))


def _same_shape(actual: npt.ArrayLike, expected: npt.ArrayLike, what: str) -> tuple[Any, Any]:
    found, wanted = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if found.shape != wanted.shape:
        raise AssertionError(f"{what}: shape {found.shape}, the reference has {wanted.shape}")
    return found, wanted


def _worst(score: Any) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(int(np.argmax(score)), score.shape))

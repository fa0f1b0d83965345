"""Parameters that follow from the model's weights, computed once before a prediction, in float64."""

from collections.abc import Callable, Mapping, MutableMapping

import numpy as np

from depthwise.compiler.ir.types import Derived

__all__ = ["derive"]

Arrays = MutableMapping[str, np.ndarray]
Sources = list[np.ndarray | None]


def derive(name: str, recipes: Mapping[str, Derived], known: Arrays) -> np.ndarray:
    """The value of a parameter, rounded nowhere but in the end.

    Args:
        recipes: of the parameters that are not weights of the model.
        known: the model's weights; gets what is derived on the way.
    """
    if name not in known:
        assert name in recipes, f"the weight {name!r} is missing"
        derived = recipes[name]
        sources: Sources = [
            derive(source, recipes, known).astype(np.float64) if source else None for source in derived.sources
        ]
        known[name] = _RULES[derived.rule](sources, derived.constants)
    return known[name]


def _normalisation_scale(sources: Sources, constants: tuple[float, ...]) -> np.ndarray:
    gamma, _, _, variance = sources
    assert variance is not None
    scale: np.ndarray = 1.0 / np.sqrt(variance + constants[0])
    return scale if gamma is None else scale * gamma


def _normalisation_shift(sources: Sources, constants: tuple[float, ...]) -> np.ndarray:
    _, beta, mean, _ = sources
    assert mean is not None
    shift: np.ndarray = -mean * _normalisation_scale(sources, constants)
    return shift if beta is None else shift + beta


def _folded_kernel(sources: Sources, constants: tuple[float, ...]) -> np.ndarray:
    kernel, scale = sources
    assert kernel is not None
    assert scale is not None
    folded: np.ndarray = kernel * scale
    return folded


def _folded_depthwise_kernel(sources: Sources, constants: tuple[float, ...]) -> np.ndarray:
    kernel, scale = sources
    assert kernel is not None
    assert scale is not None
    folded: np.ndarray = kernel * scale.reshape(kernel.shape[-2:])
    return folded


def _folded_bias(sources: Sources, constants: tuple[float, ...]) -> np.ndarray:
    bias, scale, shift = sources
    assert scale is not None
    assert shift is not None
    return shift if bias is None else bias * scale + shift


def _adapted_centre(sources: Sources, constants: tuple[float, ...]) -> np.ndarray:
    """One number a channel: the source's, or else the constants behind their count; a single one serves all."""
    values = sources[0].ravel() if sources and sources[0] is not None else constants[1:]
    return np.broadcast_to(np.asarray(values, np.float64), (int(constants[0]),)).copy()


def _adapted_deviation(sources: Sources, constants: tuple[float, ...]) -> np.ndarray:
    """As in Keras, at least 10⁻⁷."""
    deviation: np.ndarray = np.maximum(np.sqrt(_adapted_centre(sources, constants)), 1e-7)
    return deviation


_RULES: dict[str, Callable[[Sources, tuple[float, ...]], np.ndarray]] = {
    "normalisation_scale": _normalisation_scale,
    "normalisation_shift": _normalisation_shift,
    "adapted_centre": _adapted_centre,
    "adapted_deviation": _adapted_deviation,
    "given_scale": _adapted_centre,
    "given_offset": _adapted_centre,
    "folded_kernel": _folded_kernel,
    "folded_depthwise_kernel": _folded_depthwise_kernel,
    "folded_bias": _folded_bias,
}

"""Layers over sequences as the layers over maps that they are on a map one row high.

>>> from depthwise.layers.descriptions import Conv1D
>>> planar(Conv1D(4, 3, strides=2)).strides
(1, 2)
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.layers import convolution, convolution_transpose, pooling
from depthwise.layers.description import Description
from depthwise.reference.windows import Array

__all__ = ["as_map", "as_sequence", "as_sequence_weights", "as_weights", "padded_before", "planar", "with_row"]

Weights = Mapping[str, npt.ArrayLike]

_PLANAR: dict[type[Description], type[Description]] = {
    convolution.Conv1D: convolution.Conv2D,
    convolution.DepthwiseConv1D: convolution.DepthwiseConv2D,
    convolution.SeparableConv1D: convolution.SeparableConv2D,
    convolution_transpose.Conv1DTranspose: convolution_transpose.Conv2DTranspose,
    pooling.MaxPooling1D: pooling.MaxPooling2D,
    pooling.AveragePooling1D: pooling.AveragePooling2D,
    pooling.GlobalMaxPooling1D: pooling.GlobalMaxPooling2D,
    pooling.GlobalAveragePooling1D: pooling.GlobalAveragePooling2D,
}
_LENGTHS = ("kernel_size", "strides", "dilation_rate", "pool_size", "output_padding", "size")


def planar(layer: Description) -> Any:
    """The layer over maps that computes the same on one row; the layer itself where it is none over sequences.

    Causal padding is left to `as_map`: the layer over maps has "valid".
    """
    cls = _PLANAR.get(type(layer))
    if cls is None:
        return layer
    arguments: dict[str, Any] = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
    for name in _LENGTHS:
        value = arguments.get(name)
        if value is not None:
            arguments[name] = (0 if name == "output_padding" else 1, value[0] if isinstance(value, tuple) else value)
    if arguments.get("padding") == "causal":
        arguments["padding"] = "valid"
    return cls(**{**arguments, "input_shape": None})


def padded_before(layer: Any) -> int:
    """Steps of zeros that causal padding adds before the first one."""
    return (layer.kernel_size[0] - 1) * layer.dilation_rate[0] if getattr(layer, "padding", "") == "causal" else 0


def as_map(layer: Description, x: npt.ArrayLike) -> Array:
    """(batch, steps, channels) → (batch, 1, steps, channels), causal padding in it."""
    values = np.asarray(x, dtype=np.float64)
    return np.pad(values, ((0, 0), (padded_before(layer), 0), (0, 0)))[:, np.newaxis]


def as_sequence(y: Array) -> Array:
    """The way back; global pooling gives vectors, which stay."""
    return y[:, 0] if y.ndim == 4 else y


def as_weights(weights: Weights) -> dict[str, npt.ArrayLike]:
    """Kernels with a row."""
    return {
        name: np.asarray(value)[np.newaxis] if name.endswith("kernel") else value for name, value in weights.items()
    }


def as_sequence_weights(gradients: Mapping[str, Array]) -> dict[str, Array]:
    """The way back."""
    return {name: value[0] if name.endswith("kernel") else value for name, value in gradients.items()}


def with_row(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Shapes of sequences as those of maps."""
    return [(1, *shape) for shape in shapes]

"""Layers whose channels are not the last axis, as the layers that they are once that axis is moved to the end."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.layers.description import Description
from depthwise.layers.layer_normalization import LayerNormalization
from depthwise.layers.merging import Concatenate
from depthwise.layers.normalization import BatchNormalization
from depthwise.layers.sample_normalization import GroupNormalization
from depthwise.reference.windows import Array

__all__ = ["moved_axis", "moved_back", "moved_shapes", "moved_to_end", "with_channels_last"]


def moved_axis(layer: Description, rank: int) -> int | None:
    """The axis of arrays (batch, …) of `rank` axes that the layer works on; None where it is the last one."""
    if getattr(layer, "data_format", None) == "channels_first":
        return 1 if rank > 2 else None
    if isinstance(layer, (BatchNormalization, Concatenate, GroupNormalization, LayerNormalization)):
        if not isinstance(layer.axis, int):
            return None
        axis = layer.axis % rank
        return None if axis == rank - 1 else axis
    return None


def with_channels_last(layer: Any, *, linear: bool = False) -> Any:
    """The layer for arrays whose channels were moved to the end; `linear` leaves its activation out."""
    changes: dict[str, Any] = {"axis": -1} if hasattr(layer, "axis") else {"data_format": "channels_last"}
    if linear and hasattr(layer, "activation"):
        changes["activation"] = "linear"
    return dataclasses.replace(layer, **changes, input_shape=None)


def moved_to_end(arrays: Sequence[npt.ArrayLike], axis: int) -> list[Array]:
    """The arrays with `axis` last."""
    return [np.moveaxis(np.asarray(array, dtype=np.float64), axis, -1) for array in arrays]


def moved_back(result: Array, axis: int, rank: int) -> Array:
    """The way back; a result of fewer axes is a vector for each sample, which stays."""
    return np.moveaxis(result, -1, axis) if result.ndim == rank else result


def moved_shapes(shapes: Sequence[tuple[int, ...]], axis: int) -> list[tuple[int, ...]]:
    """Shapes of samples, with the axis that `axis` counts with the batch last."""
    return [(*shape[: axis - 1], *shape[axis:], shape[axis - 1]) for shape in shapes]

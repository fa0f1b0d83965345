"""Arrays that users hand over, checked."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidDataError, ShapeError, describe_value
from depthwise.network.facts import Shape

__all__ = ["checked_weight", "numeric"]


def numeric(value: Any, what: str) -> NDArray[Any]:
    """`value` as an array of booleans, integers or floats, not converted yet.

    Raises:
        InvalidDataError: anything that is not numbers, or rows of different lengths.
    """
    if type(value) is np.ndarray:
        array = value
    else:
        try:
            array = np.asarray(value)  # a matrix too: its rows have two axes
        except RuntimeError as error:  # a tensor of PyTorch that keeps its gradient
            raise InvalidDataError(f"{what} cannot be read as an array: {describe_value(str(error), 200)}") from error
        except (ValueError, TypeError) as error:
            raise InvalidDataError(
                f"{what} is not one array: its parts differ in shape; give an array (samples, …)"
            ) from error
    if array.dtype.kind not in "biuf":
        raise InvalidDataError(
            f"{what} must hold numbers, got the dtype {describe_value(str(array.dtype))}; convert it to float32 first"
        )
    return array


def checked_weight(name: str, shape: Shape, value: Any) -> NDArray[np.float32]:
    """A float32 copy of what shall become the weight `name`.

    Raises:
        InvalidDataError: not numbers.
        ShapeError: another shape.
    """
    array = numeric(value, f"the weight {describe_value(name)}")
    if array.shape != shape:
        raise ShapeError(f"the weight {describe_value(name)} must have the shape {shape}, got {array.shape}")
    return np.array(array, dtype=np.float32, order="C", copy=True)

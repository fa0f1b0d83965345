"""Labels and vectors in other forms, as `keras.utils` has them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.arrays import numeric
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, InvalidDataError, describe_value
from depthwise.meanings import SETTINGS

__all__ = ["normalize", "pack_x_y_sample_weight", "pad_sequences", "to_categorical", "unpack_x_y_sample_weight"]


def to_categorical(x: Any, num_classes: int | None = None) -> NDArray[np.float64]:
    """Class numbers as one-hot vectors.

    Args:
        x: whole numbers from 0, of any shape; a last axis of length 1 is dropped.
        num_classes: the length of the vectors; the largest number and one by default.

    Returns:
        float64 of the shape of x and (num_classes,).

    Raises:
        InvalidDataError: a number that is negative, not whole, or not below `num_classes`.

    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = numeric(x, "to_categorical: x")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
        raise InvalidDataError("to_categorical: x must hold whole numbers, got fractions or NaN")
    numbers = labels.astype(np.int64)
    if num_classes is None and not numbers.size:
        raise InvalidDataError("to_categorical: x is empty, so num_classes cannot be told from it; give num_classes")
    count = int(numbers.max()) + 1 if num_classes is None else int(num_classes)
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
        raise InvalidDataError(
            f"to_categorical: x must hold class numbers from 0 to {count - 1}, got {numbers.min()} to {numbers.max()}"
        )
    vectors = np.zeros((numbers.size, count))
    vectors[np.arange(numbers.size), numbers.ravel()] = 1
    return vectors.reshape(*numbers.shape, count)


def normalize(x: Any, axis: int = -1, order: int = 2) -> NDArray[Any]:
    """The vectors along `axis` divided by their length; vectors of zeros stay.

    Args:
        x: numbers.
        axis: along which a vector lies.
        order: of the norm: 2 is the length, 1 the sum of absolute values.

    >>> normalize(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    values = numeric(x, "normalize: x")
    if not -values.ndim <= axis < values.ndim:
        raise InvalidArgumentError(f"normalize: x has {values.ndim} axes, so axis cannot be {describe_value(axis)}")
    norm = np.linalg.norm(values, order, axis, keepdims=True)
    quotient: NDArray[Any] = values / np.where(norm == 0, 1, norm)
    return quotient


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """x, (x, y) or (x, y, sample_weight): what a batch looks like; a list as x alone is (x,)."""
    if y is None:
        return (x,) if isinstance(x, (list, tuple)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) of a batch; what it does not have is None.

    Raises:
        InvalidDataError: a list of none, or of more than three.

    >>> unpack_x_y_sample_weight(([1.0], [2.0]))
    ([1.0], [2.0], None)
    """
    if not isinstance(data, (list, tuple)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise InvalidDataError(
            f"unpack_x_y_sample_weight: a batch is x, (x, y) or (x, y, sample_weight), got {len(data)} items"
        )
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def pad_sequences(*_: Any, **__: Any) -> Any:
    """Refused: Depthwise has no networks for texts.

    Raises:
        InvalidArgumentError: always.
    """
    raise InvalidArgumentError(
        "pad_sequences is for texts, which Depthwise has no layers for; for arrays of equal length use numpy.pad"
    )


document(globals(), __all__, SETTINGS)

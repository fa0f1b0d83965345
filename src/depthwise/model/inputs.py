"""What a user may pass to `predict` and `fit` as x, converted to one form: a tuple of float32 arrays (samples, …).

The values stay what they are: uint8 images become 0.0 … 255.0, so scale them yourself or start with a Rescaling layer.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.arrays import numeric
from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, describe_value
from depthwise.network.facts import Shape
from depthwise.network.graph import Graph

__all__ = ["Arrays", "arrays_for", "as_float32", "is_batches", "length", "numeric", "shaped"]

Arrays = tuple[NDArray[np.float32], ...]


def is_batches(x: object) -> bool:
    """Whether x yields batches (a sequence of batches, a generator) instead of being the data itself."""
    if isinstance(x, (np.ndarray, Mapping, list, tuple, str, bytes)) or hasattr(x, "__array__"):
        return False
    return hasattr(x, "__next__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__")) or hasattr(x, "__iter__")


def length(batches: Any) -> int | None:
    """How many batches a source says that it has; None for a generator, or a loader of an endless data set."""
    try:
        return len(batches)
    except TypeError:
        return None


def arrays_for(graph: Graph, x: Any, what: str = "x") -> Arrays:
    """The data for each of the graph's inputs, as C-contiguous float32 arrays of one number of samples.

    Args:
        graph: the network.
        x: an array; a list or tuple of arrays for several inputs; or arrays by the names of the inputs.
        what: what the messages call it.

    Raises:
        ShapeError: rank, size or channels differ from the network's input; the message says how to fix it.
        InvalidDataError: not numbers, or different numbers of samples.
    """
    return as_float32(shaped(graph, x, what))


def as_float32(arrays: Iterable[NDArray[Any]]) -> Arrays:
    """The arrays as C-contiguous float32, copied only where they are not."""
    return tuple(np.ascontiguousarray(array, dtype=np.float32) for array in arrays)


def shaped(graph: Graph, x: Any, what: str = "x") -> tuple[NDArray[Any], ...]:
    """The data for each of the graph's inputs, checked as `arrays_for` does but not converted yet."""
    values = _by_input(graph, x, what)
    arrays = []
    for name, shape, value in zip(graph.inputs, graph.input_shapes, values):
        label = what if len(graph.inputs) == 1 else f"{what} for the input {describe_value(name)}"
        arrays.append(_fit(numeric(value, label), shape, label))
    if len({len(array) for array in arrays}) > 1:
        raise InvalidDataError(
            f"{what}: every input must have the same number of samples, got "
            + ", ".join(f"{len(array)} for {describe_value(name)}" for name, array in zip(graph.inputs, arrays))
        )
    return tuple(arrays)


def _by_input(graph: Graph, x: Any, what: str) -> Sequence[Any]:
    names = graph.inputs
    if isinstance(x, Mapping):
        if any(name not in x for name in names):  # more than the network reads is no harm
            raise InvalidArgumentError(
                f"{what}: the network's inputs are {', '.join(describe_value(name) for name in names)}, got "
                + (", ".join(describe_value(name) for name in x) or "none")
            )
        return [x[name] for name in names]
    if len(names) == 1:
        # Keras takes a list of one array for one input; a list of numbers or rows is the data itself.
        if isinstance(x, (list, tuple)) and len(x) == 1 and _rank(x[0]) == len(graph.input_shapes[0]) + 1:
            return [x[0]]
        return [x]
    if not isinstance(x, (list, tuple)) or len(x) != len(names):
        got = f"{len(x)} arrays" if isinstance(x, (list, tuple)) else describe_value(type(x).__name__)
        raise InvalidArgumentError(f"{what}: the network has {len(names)} inputs, give a list of as many, got {got}")
    return x


def _rank(value: Any) -> int:
    return int(getattr(value, "ndim", -1))


def _fit(array: NDArray[Any], shape: Shape, what: str) -> NDArray[Any]:
    wanted = "(samples, " + ", ".join(map(str, shape)) + ")"
    if array.shape[1:] != shape:
        if array.ndim == len(shape) and array.shape[1:] == shape[:-1] and shape[-1] == 1:
            array = array[..., None]  # grey images without the channel axis, as MNIST comes: nothing can be mistaken
        else:
            raise ShapeError(
                f"{what} must have the shape {wanted}, got {describe_value(array.shape)}{_hint(array, shape)}"
            )
    return array


def _hint(array: NDArray[Any], shape: Shape) -> str:
    if array.shape == shape:
        return ": one sample without the batch axis; add the batch axis: x[None]"
    if shape[-1] == 1 and array.shape == shape[:-1]:
        return ": one sample without the batch and channel axes; add them: x[None, ..., None]"
    if len(shape) == 3 and array.ndim == 4:
        if array.shape[1:] == (shape[2], shape[0], shape[1]):
            return "; put the channels on the last axis: x.transpose(0, 2, 3, 1)"
        if array.shape[1:3] == shape[:2]:
            return f"; the network reads {shape[2]} channels, the data has {array.shape[3]}"
        return f"; resize the images to {shape[0]}×{shape[1]}"
    if array.ndim != len(shape) + 1:
        return f"; {len(shape) + 1} axes are needed, the first counts the samples"
    return ""

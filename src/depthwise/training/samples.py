"""The border of training: what a user passes to `fit` as x, y and weights, checked once and converted to one form.

Images keep their type until they are put into a batch (uint8 stays uint8); labels become int32 class numbers or float32
values. Everything that would fail later is refused here, with the index of the first bad value.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError, describe_value
from depthwise.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, SparseCategoricalCrossentropy
from depthwise.model.inputs import arrays_for, numeric
from depthwise.network.graph import Graph

__all__ = ["Samples", "check_network", "outputs_of", "prepare"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CHUNK = 1 << 22
"""Values that are checked together for NaN: few enough to stay in a cache."""


@dataclass(frozen=True)
class Samples:
    """Checked samples.

    Attributes:
        x: one array (samples, …) for each input of the network: float32, or integers of the user's own type.
        y: int32 (samples,), or (samples, …) for an output (…, classes), for a sparse loss; else float32 (samples, …) as the
            network's output.
        sample_weight: float32 (samples,), or (samples, …) with one for each position of an output (…, channels), or None.
    """

    x: tuple[Array, ...]
    y: Array
    sample_weight: Array | None

    def __len__(self) -> int:
        return len(self.y)

    def part(self, start: int, stop: int) -> "Samples":
        weight = None if self.sample_weight is None else self.sample_weight[start:stop]
        return Samples(tuple(array[start:stop] for array in self.x), self.y[start:stop], weight)


def outputs_of(graph: Graph) -> int:
    """Numbers that the network's one output has for a sample."""
    return math.prod(graph.output_shapes[0])


def check_network(graph: Graph, loss: Loss) -> None:
    """Whether the network can be trained with the loss at all.

    Raises:
        UnsupportedError: several outputs.
        ShapeError: an output that the loss cannot read; the message says which layers to add.
    """
    if len(graph.outputs) != 1:
        raise UnsupportedError(
            f"training takes networks with one output, this one has {len(graph.outputs)}: "
            + ", ".join(describe_value(name) for name in graph.outputs[:5])
        )
    shape = graph.output_shapes[0]
    if loss.probabilities == "softmax" and shape[-1] < 2:
        where = "" if len(shape) == 1 else " at each position"
        raise ShapeError(
            f"{type(loss).__name__} needs at least two classes, but the network has one output{where}; use "
            "loss='binary_crossentropy' with a sigmoid, or more outputs"
        )


def prepare(
    graph: Graph,
    loss: Loss,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
    where: str = "",
) -> Samples:
    """x, y and the weights as the training loop takes them.

    Args:
        graph: the network; loss: its loss.
        x: as `predict` takes it. y: labels; see the loss.
        sample_weight: (samples,), or one for each position of an output (…, channels): (samples, …), or None.
        class_weight: weights by class number, or None; classes left out weigh 1.
        where: put before every message, for example "batch 3: ".

    Raises:
        InvalidDataError, ShapeError, InvalidArgumentError: the message says what arrived where, what is allowed and how to
            fix it.
    """
    if x is None or y is None:
        missing = "x" if x is None else "y"
        raise InvalidArgumentError(f"{where}{missing} is missing; training and evaluation need x and y")
    arrays = _inputs(graph, x, f"{where}x")
    samples = len(arrays[0])
    if not samples:
        raise InvalidDataError(f"{where}x holds no samples; give at least one")
    for array in arrays:
        _refuse_not_finite(array, f"{where}x")
    labels = numeric(y, f"{where}y")
    if labels.ndim == 0:
        raise InvalidDataError(f"{where}y is one number; give one label a sample, shape ({samples},)")
    if len(labels) != samples:
        raise InvalidDataError(
            f"{where}x has {samples} samples but y has {len(labels)} labels; give exactly one label a sample"
        )
    _refuse_not_finite(labels, f"{where}y")
    prepared = _sparse(graph, labels, where) if loss.sparse else _dense(graph, loss, labels, where)
    return Samples(arrays, prepared, _weights(graph, loss, prepared, sample_weight, class_weight, where))


def _inputs(graph: Graph, x: Any, what: str) -> tuple[Array, ...]:
    shape = graph.input_shapes[0]
    # Whole numbers are converted batch by batch: sixty thousand uint8 images stay a quarter of their size as float32.
    if len(graph.inputs) == 1 and isinstance(x, np.ndarray) and x.dtype.kind in "biu" and x.flags.c_contiguous:
        if x.shape[1:] == shape:
            return (x,)
        if x.ndim == len(shape) and x.shape[1:] == shape[:-1] and shape[-1] == 1:
            return (x[..., np.newaxis],)
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, and is refused as such
        return arrays_for(graph, x, what)


def _refuse_not_finite(array: Array, what: str) -> None:
    if array.dtype.kind != "f":
        return
    flat = array.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        chunk = flat[start : start + CHUNK]
        with np.errstate(all="ignore"):
            fine = math.isfinite(float(np.add.reduce(chunk)))
        if fine:  # a sum is finite only if all it adds is
            continue
        bad = np.flatnonzero(~np.isfinite(chunk))
        if bad.size:
            place = np.unravel_index(start + int(bad[0]), array.shape)
            index = ", ".join(str(int(item)) for item in place)
            raise InvalidDataError(
                f"{what}[{index}] is {flat[start + int(bad[0])]}; every value must be finite: remove or repair that sample"
            )


def _first(mask: Array, values: Array) -> tuple[str, Any]:
    """(index as it is written, value) of the first value that is marked."""
    place = np.unravel_index(int(mask.argmax()), mask.shape)
    return ", ".join(str(int(item)) for item in place), values[place]


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without axes of length 1 at its end."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _sparse(graph: Graph, labels: Array, where: str) -> Array:
    *positions, classes = graph.output_shapes[0]
    given = labels.shape
    if labels.shape[1:] == (*positions, 1):
        labels = labels[..., 0]
    if labels.shape[1:] != tuple(positions):
        if labels.shape[1:] == (*positions, classes):
            raise ShapeError(
                f"{where}y has the shape {given}: one-hot labels, but the loss takes class numbers; use "
                f"loss='categorical_crossentropy', or y.argmax(axis={len(positions) + 1})"
            )
        if not positions:
            raise ShapeError(f"{where}y must have the shape (samples,) with one class number a sample, got {given}")
        sizes = ", ".join(str(size) for size in positions)
        raise ShapeError(
            f"{where}y must have the shape (samples, {sizes}) with one class number for each position of the network's output "
            f"{(None, *graph.output_shapes[0])}, got {given}; for one class a sample end the network with Flatten() or "
            "GlobalAveragePooling2D(), and Dense(classes, activation='softmax')"
        )
    if labels.dtype.kind == "f":
        broken = labels != np.floor(labels)
        if broken.any():
            index, value = _first(broken, labels)
            raise InvalidDataError(
                f"{where}y[{index}] is {value}; labels must be whole numbers from 0 to {classes - 1}, one for each class"
            )
    if labels.dtype.kind != "b":
        outside = (labels < 0) | (labels >= classes)
        if outside.any():
            index, value = _first(outside, labels)
            hint = (
                "; the labels seem to start at 1, subtract 1"
                if int(labels.min()) == 1 and int(labels.max()) == classes
                else "; renumber the labels, or give the last layer more outputs"
            )
            raise InvalidDataError(
                f"{where}y[{index}] is {value}; the network has {classes} outputs, so labels are 0 to "
                f"{classes - 1}{hint}"
            )
    return np.ascontiguousarray(labels, dtype=np.int32)


def _dense(graph: Graph, loss: Loss, labels: Array, where: str) -> Array:
    shape = graph.output_shapes[0]
    outputs = outputs_of(graph)
    if _without_ones(labels.shape[1:]) != _without_ones(shape):
        flat = labels.shape[1:] in (shape[:-1], (*shape[:-1], 1))
        hint = ""
        if flat and outputs > 1 and isinstance(loss, CategoricalCrossentropy):
            hint = "; y holds class numbers: use loss='sparse_categorical_crossentropy', or one-hot labels"
        elif flat and outputs > 1 and len(shape) == 1:
            hint = "; for class numbers use loss='sparse_categorical_crossentropy'"
        raise ShapeError(
            f"{where}y has the shape {labels.shape}, but the network's output has {(len(labels), *shape)}{hint}"
        )
    values = labels.reshape(len(labels), *shape)
    if isinstance(loss, BinaryCrossentropy) and values.dtype.kind != "b":
        outside = (values < 0) | (values > 1)
        if outside.any():
            index, value = _first(outside.reshape(labels.shape), labels)
            raise InvalidDataError(f"{where}y[{index}] is {value}; binary labels are 0 or 1 (or between)")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(values, dtype=np.float32)
    _refuse_not_finite(result, f"{where}y")
    return result


def _weights(
    graph: Graph, loss: Loss, labels: Array, sample_weight: Any, class_weight: Any, where: str
) -> Array | None:
    if sample_weight is not None and class_weight is not None:
        raise InvalidArgumentError(
            f"{where}give sample_weight or class_weight, not both; multiply them into one sample_weight"
        )
    if sample_weight is not None:
        weights = numeric(sample_weight, f"{where}sample_weight")
        samples, positions = len(labels), graph.output_shapes[0][:-1]
        shapes = ((samples,), (samples, *positions))
        shape = next((item for item in shapes if _without_ones(item) == _without_ones(weights.shape)), None)
        if shape is None or not weights.ndim:
            each = f", or {(samples, *positions)}, one for each position" if positions else ""
            raise ShapeError(
                f"{where}sample_weight must have the shape ({samples},), one weight a sample{each}, got {weights.shape}"
            )
        weights = np.ascontiguousarray(weights.reshape(shape), dtype=np.float32)
        _refuse_not_finite(weights, f"{where}sample_weight")
        return weights
    if class_weight is None:
        return None
    return _by_class(loss, labels, graph.output_shapes[0][-1], class_weight, where)


def _by_class(loss: Loss, labels: Array, outputs: int, class_weight: Any, where: str) -> Array:
    if not isinstance(class_weight, Mapping):
        raise InvalidArgumentError(
            f"{where}class_weight must be weights by class number, for example {{0: 1.0, 1: 5.0}}, got "
            f"{describe_value(class_weight)}"
        )
    if isinstance(loss, SparseCategoricalCrossentropy):
        numbers = labels
    elif isinstance(loss, CategoricalCrossentropy):
        numbers = labels.argmax(axis=-1)
    elif isinstance(loss, BinaryCrossentropy) and outputs == 1:
        numbers, outputs = np.rint(labels[..., 0]).astype(np.int32), 2
    else:
        raise UnsupportedError(
            f"{where}class_weight needs classes, but the loss {type(loss).__name__} on {outputs} outputs has none; use "
            "sample_weight"
        )
    table = np.ones(outputs, dtype=np.float32)
    for key, value in class_weight.items():
        if isinstance(key, bool) or not hasattr(key, "__index__") or not 0 <= int(key) < outputs:
            raise InvalidArgumentError(
                f"{where}class_weight: {describe_value(key)} is no class; classes are 0 to {outputs - 1}"
            )
        if not hasattr(value, "__float__") or not math.isfinite(float(value)):
            raise InvalidArgumentError(
                f"{where}class_weight[{int(key)}] must be a finite number, got {describe_value(value)}"
            )
        table[int(key)] = float(value)
    return np.asarray(table[numbers])

"""The border of training: what a user passes to `fit` as x, y and weights, checked once and converted to one form.

Images keep their type until they are put into a batch (uint8 stays uint8); labels become int32 class numbers or float32
values. Everything that would fail later is refused here, with the index of the first bad value.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, describe_value
from depthwise.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss
from depthwise.model.inputs import arrays_for, numeric
from depthwise.network.facts import Shape
from depthwise.network.graph import Graph
from depthwise.training.outputs import TrainedOutput

__all__ = ["Samples", "prepare"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CHUNK = 1 << 22
"""Values that are checked together for NaN: few enough to stay in a cache."""


@dataclass(frozen=True)
class Samples:
    """Checked samples.

    Attributes:
        x: one array (samples, …) for each input of the network: float32, or integers of the user's own type.
        y: for each output int32 (samples,), or (samples, …) for an output (…, classes), for a sparse loss; else float32
            (samples, …) as the network's output. None for an output whose labels nothing reads.
        sample_weight: for each output float32 (samples,), or (samples, …) with one for each position of an output
            (…, channels), or None.
    """

    x: tuple[Array, ...]
    y: tuple[Array | None, ...]
    sample_weight: tuple[Array | None, ...]

    def __len__(self) -> int:
        return len(self.x[0])

    def part(self, start: int, stop: int) -> "Samples":
        x = tuple(array[start:stop] for array in self.x)
        y, weight = (
            tuple(None if array is None else array[start:stop] for array in each)
            for each in (self.y, self.sample_weight)
        )
        return Samples(x, y, weight)


def prepare(
    graph: Graph,
    outputs: Sequence[TrainedOutput],
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
    where: str = "",
) -> Samples:
    """x, y and the weights as the training loop takes them.

    Args:
        graph: the network; outputs: what is asked of its outputs.
        x: as `predict` takes it.
        y: labels; see the loss. For several outputs a list, or a dict by their names; those that need no labels may be left
            out, or be None.
        sample_weight: (samples,), or one for each position of an output (…, channels): (samples, …), or None. For several
            outputs a list or a dict of such, or one array (samples,) for all of them.
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
    if len(outputs) > 1 and class_weight is not None:
        raise InvalidArgumentError(
            f"{where}class_weight is for models with one output, this one has {_names(outputs)}; use sample_weight"
        )
    targets = _targets(outputs, y, samples, where)
    shares = _shares(outputs, sample_weight, where)
    prepared: list[Array | None] = []
    weights: list[Array | None] = []
    for output, target, share in zip(outputs, targets, shares):
        if target is None:
            prepared.append(None)
            weights.append(None)
            continue
        own = "" if len(outputs) == 1 else f"[{describe_value(output.name)}]"
        labels = _labels(output, target, samples, where, own)
        prepared.append(labels)
        weights.append(_weights(output, labels, share, class_weight, where, own))
    return Samples(arrays, tuple(prepared), tuple(weights))


def _names(outputs: Sequence[TrainedOutput]) -> str:
    return ", ".join(describe_value(output.name) for output in outputs)


def _asked(outputs: Sequence[TrainedOutput]) -> str:
    return ", ".join(f"{describe_value(output.name)} {(None, *output.shape)}" for output in outputs)


def _is_array(value: Any) -> bool:
    """Whether an item of a list is the data of an output, rather than a number or a row of data."""
    return value is None or getattr(value, "ndim", 0) > 0


def _targets(outputs: Sequence[TrainedOutput], y: Any, samples: int, where: str) -> list[Any]:
    """The labels of every output, None where nothing reads them."""
    needed = [output for output in outputs if output.needs_labels]
    if isinstance(y, Mapping):
        unknown = [name for name in y if name not in {output.name for output in outputs}]
        missing = [output for output in needed if y.get(output.name) is None]
        if unknown or missing:
            what = f"has {describe_value(unknown[0])}" if unknown else f"lacks {describe_value(missing[0].name)}"
            raise InvalidArgumentError(f"{where}y {what}; labels are needed for the outputs {_asked(needed)}")
        return [y.get(output.name) if output.needs_labels else None for output in outputs]
    if len(outputs) == 1:
        # As for x: a list of one array is the array; a list of numbers or rows is the data itself.
        one = (
            isinstance(y, (list, tuple))
            and len(y) == 1
            and _is_array(y[0])
            and y[0] is not None
            and len(y[0]) == samples
        )
        return [y[0] if one else y]
    if not isinstance(y, (list, tuple)):
        if len(needed) == 1:
            return [y if output is needed[0] else None for output in outputs]
        what = f"one array of the shape {y.shape}" if hasattr(y, "shape") else describe_value(type(y).__name__)
        raise InvalidArgumentError(
            f"{where}y must be a list or a dict with labels for each of the outputs {_asked(needed)}, got {what}"
        )
    if len(y) not in (len(outputs), len(needed)):
        raise InvalidArgumentError(
            f"{where}y must have labels for each of the outputs {_asked(needed)}, got a list of {len(y)}"
        )
    if len(y) == len(outputs):
        given = dict(enumerate(y))
    else:
        given = dict(zip((number for number, output in enumerate(outputs) if output.needs_labels), y))
    for number, output in enumerate(outputs):
        if output.needs_labels and given[number] is None:
            raise InvalidArgumentError(
                f"{where}y[{describe_value(output.name)}] is None; labels are needed for the outputs {_asked(needed)}"
            )
    return [given[number] if output.needs_labels else None for number, output in enumerate(outputs)]


def _shares(outputs: Sequence[TrainedOutput], sample_weight: Any, where: str) -> list[Any]:
    """The sample weights of every output."""
    if isinstance(sample_weight, Mapping):
        unknown = [name for name in sample_weight if name not in {output.name for output in outputs}]
        if unknown:
            raise InvalidArgumentError(
                f"{where}sample_weight has {describe_value(unknown[0])}, but the outputs are {_names(outputs)}"
            )
        return [sample_weight.get(output.name) for output in outputs]
    listed = isinstance(sample_weight, (list, tuple)) and len(sample_weight) > 0 and all(map(_is_array, sample_weight))
    if listed:
        needed = [number for number, output in enumerate(outputs) if output.needs_labels]
        if len(sample_weight) == len(outputs):
            return list(sample_weight)
        if len(sample_weight) == len(needed):
            given = dict(zip(needed, sample_weight))
            return [given.get(number) for number in range(len(outputs))]
        if len(outputs) > 1:
            raise InvalidArgumentError(
                f"{where}sample_weight is a list of {len(sample_weight)}, but the outputs are {_names(outputs)}; give one array "
                "(samples,) for all of them, or a list or a dict with one for each"
            )
    if len(outputs) > 1 and sample_weight is not None:
        weights = numeric(sample_weight, f"{where}sample_weight")
        if _without_ones(weights.shape[1:]):
            raise ShapeError(
                f"{where}sample_weight must have the shape (samples,) where it is for all outputs, got {weights.shape}; give a "
                "list or a dict with weights for each output"
            )
    return [sample_weight] * len(outputs)


def _labels(output: TrainedOutput, target: Any, samples: int, where: str, own: str) -> Array:
    """The labels of one output; `own` is its name in the messages where there are several."""
    what = f"{where}y{own}"
    labels = numeric(target, what)
    if labels.ndim == 0:
        raise InvalidDataError(f"{what} is one number; give one label a sample, shape ({samples},)")
    if len(labels) != samples:
        raise InvalidDataError(
            f"{where}x has {samples} samples but y{own} has {len(labels)} labels; give exactly one label a sample"
        )
    _refuse_not_finite(labels, what)
    return (
        _sparse(output.shape, output.loss, labels, what)
        if output.sparse
        else _dense(output.shape, output.loss, labels, what)
    )


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


def _sparse(shape: Shape, loss: Loss | None, labels: Array, what: str) -> Array:
    *positions, classes = shape
    given = labels.shape
    if labels.shape[1:] == (*positions, 1):
        labels = labels[..., 0]
    if labels.shape[1:] != tuple(positions):
        if labels.shape[1:] == (*positions, classes):
            raise ShapeError(
                f"{what} has the shape {given}: one-hot labels, but the loss takes class numbers; use "
                f"loss='categorical_crossentropy', or y.argmax(axis={len(positions) + 1})"
            )
        if not positions:
            raise ShapeError(f"{what} must have the shape (samples,) with one class number a sample, got {given}")
        sizes = ", ".join(str(size) for size in positions)
        raise ShapeError(
            f"{what} must have the shape (samples, {sizes}) with one class number for each position of the network's output "
            f"{(None, *shape)}, got {given}; for one class a sample end the network with Flatten() or "
            "GlobalAveragePooling2D(), and Dense(classes, activation='softmax')"
        )
    if labels.dtype.kind == "f":
        broken = labels != np.floor(labels)
        if broken.any():
            index, value = _first(broken, labels)
            raise InvalidDataError(
                f"{what}[{index}] is {value}; labels must be whole numbers from 0 to {classes - 1}, one for each class"
            )
    if labels.dtype.kind != "b":
        outside = (labels < 0) | (labels >= classes)
        ignored = None if loss is None else vars(loss).get("ignore_class")
        if ignored is not None:
            outside &= labels != ignored
        if outside.any():
            index, value = _first(outside, labels)
            hint = (
                "; the labels seem to start at 1, subtract 1"
                if int(labels.min()) == 1 and int(labels.max()) == classes
                else "; renumber the labels, or give the last layer more outputs"
            )
            raise InvalidDataError(
                f"{what}[{index}] is {value}; the network has {classes} outputs, so labels are 0 to {classes - 1}{hint}"
            )
    return np.ascontiguousarray(labels, dtype=np.int32)


def _dense(shape: Shape, loss: Loss | None, labels: Array, what: str) -> Array:
    outputs = math.prod(shape)
    if _without_ones(labels.shape[1:]) != _without_ones(shape):
        flat = labels.shape[1:] in (shape[:-1], (*shape[:-1], 1))
        hint = ""
        if flat and outputs > 1 and isinstance(loss, CategoricalCrossentropy):
            hint = "; y holds class numbers: use loss='sparse_categorical_crossentropy', or one-hot labels"
        elif flat and outputs > 1 and len(shape) == 1:
            hint = "; for class numbers use loss='sparse_categorical_crossentropy'"
        raise ShapeError(
            f"{what} has the shape {labels.shape}, but the network's output has {(len(labels), *shape)}{hint}"
        )
    values = labels.reshape(len(labels), *shape)
    if isinstance(loss, BinaryCrossentropy) and values.dtype.kind != "b":
        outside = (values < 0) | (values > 1)
        if outside.any():
            index, value = _first(outside.reshape(labels.shape), labels)
            raise InvalidDataError(f"{what}[{index}] is {value}; binary labels are 0 or 1 (or between)")
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(values, dtype=np.float32)
    _refuse_not_finite(result, f"{what}")
    return result


def _weights(
    output: TrainedOutput, labels: Array, sample_weight: Any, class_weight: Any, where: str, own: str
) -> Array | None:
    if sample_weight is not None and class_weight is not None:
        raise InvalidArgumentError(
            f"{where}give sample_weight or class_weight, not both; multiply them into one sample_weight"
        )
    if sample_weight is not None:
        what = f"{where}sample_weight{own}"
        weights = numeric(sample_weight, what)
        samples, positions = len(labels), output.shape[:-1]
        shapes = ((samples,), (samples, *positions))
        shape = next((item for item in shapes if _without_ones(item) == _without_ones(weights.shape)), None)
        if shape is None or not weights.ndim:
            each = f", or {(samples, *positions)}, one for each position" if positions else ""
            raise ShapeError(f"{what} must have the shape ({samples},), one weight a sample{each}, got {weights.shape}")
        weights = np.ascontiguousarray(weights.reshape(shape), dtype=np.float32)
        _refuse_not_finite(weights, what)
        return weights
    if class_weight is None:
        return None
    return _by_class(output.loss, labels, output.shape[-1], class_weight, where)


def _by_class(loss: Loss | None, labels: Array, outputs: int, class_weight: Any, where: str) -> Array:
    if not isinstance(class_weight, Mapping):
        raise InvalidArgumentError(
            f"{where}class_weight must be weights by class number, for example {{0: 1.0, 1: 5.0}}, got "
            f"{describe_value(class_weight)}"
        )
    if loss is not None and loss.sparse:
        numbers = labels
    elif outputs > 1:
        numbers = labels.argmax(axis=-1)
    else:
        numbers, outputs = np.rint(labels[..., 0]).astype(np.int64), 2
    has_classes = loss is not None and loss.probabilities is not None
    weights = np.ones(numbers.shape, dtype=np.float32)
    for key, value in class_weight.items():
        if isinstance(key, bool) or not hasattr(key, "__index__") or (has_classes and not 0 <= int(key) < outputs):
            allowed = f"classes are 0 to {outputs - 1}" if has_classes else "classes are whole numbers"
            raise InvalidArgumentError(f"{where}class_weight: {describe_value(key)} is no class; {allowed}")
        if not hasattr(value, "__float__") or not math.isfinite(float(value)):
            raise InvalidArgumentError(
                f"{where}class_weight[{int(key)}] must be a finite number, got {describe_value(value)}"
            )
        weights[numbers == int(key)] = float(value)
    return weights

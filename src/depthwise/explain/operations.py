"""What a call computes, operation by operation: how layers are explained that have no display of their own.

The operations are those that the layer's own `lower` writes, before anything is fused, so a new layer needs nothing here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.compiler.derive import derive
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation
from depthwise.compiler.ir.types import Role, TensorType, Value
from depthwise.compiler.lower import Builder
from depthwise.errors import UnsupportedError
from depthwise.explain.expressions import Bounded, evaluate, exact, expression_facts, written
from depthwise.explain.resampling import resampled, resampled_step
from depthwise.network.graph import Call
from depthwise.reference import forward as reference
from depthwise.reference.bounds import SMALLEST_NORMAL, UNIT_ROUNDOFF, normalised_rows_error, softmax_error
from depthwise.reference.windows import Array, windows

__all__ = ["CallProgram", "call_steps"]

Position = tuple[int, ...]
Weights = Mapping[str, npt.ArrayLike]


class CallProgram:
    """The operations of one call, on values that are named after the layers that it reads.

    Attributes:
        operations: in the order in which they run.
        values: every value by name, the weights among them.
        output: the value that is the call's output; one of the inputs where it computes nothing.
    """

    def __init__(self, call: Call) -> None:
        builder = Builder(training=False)
        for name, shape in zip(call.reads, call.facts.input_shapes):
            builder.values[name] = Value(name, TensorType(shape), Role.INPUT)
            builder.tensor_of[name] = name
        builder.add(call)
        self._call = call
        self.operations: Sequence[Operation] = builder.operations
        self.values: Mapping[str, Value] = builder.values
        self.output = builder.tensor_of[call.name]

    def label(self, name: str) -> str:
        """What the reader knows a value as: the layer that it comes from, or the weight's own name."""
        return name if self.values[name].role is Role.INPUT else name.rpartition("/")[2]

    def parameters(self, weights: Weights) -> dict[str, npt.NDArray[Any]]:
        """The parameters that the operations read, derived ones among them."""
        keys = [self._call.key(weight.name) for weight in self._call.weights]
        known: dict[str, npt.NDArray[Any]] = {key: np.asarray(weights[key]) for key in keys}
        recipes = {name: value.derived for name, value in self.values.items() if value.derived is not None}
        found = {}
        for operation in self.operations:
            for name in operation.operands:
                if self.values[name].role is Role.PARAMETER:
                    found[name] = derive(name, recipes, known)
        return found


def call_steps(
    call: Call, inputs: Sequence[npt.ArrayLike], weights: Weights, position: Position
) -> tuple[list[dict[str, Any]], float, float]:
    """How the call's output at `position` comes about.

    Args:
        inputs: one sample of each layer that the call reads.
        weights: by `"<layer>/<weight>"`.

    Returns:
        the steps, each with kind ("expression", "normalise_rows", "softmax", "log_softmax", "copy", "products", "mean",
        "maximum", "window_mean", "window_maximum" or "weighted"), result, position and value; the last one's value, and how far float32 may be off.

    Raises:
        UnsupportedError: an operation that has no explanation.
    """
    program = CallProgram(call)
    known = {name: exact(value) for name, value in zip(call.reads, inputs)}
    for name, array in program.parameters(weights).items():
        values = np.asarray(array, dtype=np.float64)
        error = UNIT_ROUNDOFF * np.abs(values) if program.values[name].derived else np.zeros_like(values)
        known[name] = Bounded(values, error)
    for operation in program.operations:
        known[operation.output] = _rule(operation)[0](operation, [known[name] for name in operation.operands])
    wanted: dict[str, Position] = {program.output: position}
    steps: list[dict[str, Any]] = []
    for operation in reversed(program.operations):
        place = wanted.get(operation.output)
        if place is None:
            continue
        operands = [known[name] for name in operation.operands]
        facts, read = _rule(operation)[1](operation, operands, known[operation.output], place, program)
        for name, at in zip(operation.operands, read):
            if at is not None:
                wanted.setdefault(name, at)
        value = float(known[operation.output].value[place])
        steps.append({"result": program.label(operation.output), "position": list(place), **facts, "value": value})
    result = known[program.output]
    return steps[::-1], float(result.value[position]), float(result.error[position])


# -- each operation: all of its values, and the step to one of them --------------------------------------------------

Operands = list[Bounded]
Evaluate = Callable[[Any, Operands], Bounded]
Step = Callable[[Any, Operands, Bounded, Position, CallProgram], tuple[dict[str, Any], list[Position | None]]]
_RULES: dict[type[Operation], tuple[Evaluate, Step]] = {}


def _rule(operation: Operation) -> tuple[Evaluate, Step]:
    found = _RULES.get(type(operation))
    if found is None:
        raise UnsupportedError(f"{operation.origin}: the operation {type(operation).__name__} has no explanation yet")
    return found


def _broadcast(position: Position, shape: tuple[int, ...]) -> Position:
    """The place of an operand that is broadcast to the result's `position`."""
    own = position[len(position) - len(shape) :]
    return tuple(0 if size == 1 else place for place, size in zip(own, shape))


def _elementwise(operation: op.Elementwise, operands: Operands) -> Bounded:
    value, error = evaluate(operation.expression, operands)
    shape = np.broadcast_shapes(*(item.value.shape for item in operands))
    return Bounded(np.broadcast_to(value, shape), np.broadcast_to(error, shape))


def _elementwise_step(
    operation: op.Elementwise, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    places: list[Position | None] = [_broadcast(position, item.value.shape) for item in operands]
    tree, labels = expression_facts(operation.expression), [program.label(name) for name in operation.operands]
    shown = [
        {"name": label, "position": list(place or ()), "value": float(item.value[place])}
        for label, place, item in zip(labels, places, operands)
    ]
    text = written(tree, lambda index: labels[index])
    return {"kind": "expression", "expression": tree, "text": text, "operands": shown}, places


def _normalise_rows(operation: op.NormaliseRows, operands: Operands) -> Bounded:
    ((x, error),) = operands
    centred = x - x.mean(axis=-1, keepdims=True)
    value = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + operation.epsilon)
    return Bounded(value, normalised_rows_error(x, error, operation.epsilon))


def _normalise_rows_step(
    operation: op.NormaliseRows, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    row = operands[0].value[position[:-1]]
    facts = {
        "kind": "normalise_rows",
        "name": program.label(operation.source),
        "count": len(row),
        "input": float(row[position[-1]]),
        "mean": float(row.mean()),
        "variance": float(row.var()),
        "epsilon": operation.epsilon,
        "deviation": math.sqrt(float(row.var()) + operation.epsilon),
    }
    return facts, [position]


def _softmax(operation: op.Softmax, operands: Operands) -> Bounded:
    ((x, error),) = operands
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    total = powers.sum(axis=-1, keepdims=True)
    value = x - x.max(axis=-1, keepdims=True) - np.log(total) if operation.logarithm else powers / total
    return Bounded(value, softmax_error(x, value, error, operation.logarithm))


def _softmax_step(
    operation: op.Softmax, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    row = operands[0].value[position[:-1]]
    powers = np.exp(row - row.max())
    facts = {
        "kind": "log_softmax" if operation.logarithm else "softmax",
        "before": float(row[position[-1]]),
        "largest": float(row.max()),
        "exponential": float(powers[position[-1]]),
        "sum": float(powers.sum()),
    }
    return facts, [position]


def _moved(operation: Operation, arrays: Sequence[Array], outside: float) -> Array:
    """What an operation that only moves values makes of `arrays`; `outside` where it puts in values of its own."""
    match operation:
        case op.Reshape():
            return arrays[0].reshape(operation.shape)
        case op.Pad():
            top, bottom, left, right = operation.padding
            widths = ((top, bottom), (left, right), operation.channels)[-arrays[0].ndim :]
            return np.pad(arrays[0], widths, constant_values=outside)
        case op.Transpose():
            return arrays[0].transpose(operation.axes)
        case op.Repeat():
            return np.repeat(arrays[0], operation.times, axis=-1)
        case op.Slice():
            ends = [first + size for first, size in zip(operation.start, TensorType(operation.shape).map)]
            source = arrays[0].reshape(TensorType(arrays[0].shape).map)
            part = source[tuple(slice(first, end) for first, end in zip(operation.start, ends))]
            return part.reshape(operation.shape)
    assert isinstance(operation, op.Concatenate)
    return np.concatenate(arrays, axis=-1)


def _copy(operation: Operation, operands: Operands) -> Bounded:
    outside = getattr(operation, "value", 0.0)
    value = _moved(operation, [item.value for item in operands], outside)
    return Bounded(value, _moved(operation, [item.error for item in operands], 0.0))


def _copy_step(
    operation: Operation, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    starts = np.cumsum([0, *(item.value.size for item in operands)])
    numbers = [
        np.arange(start, start + item.value.size, dtype=np.float64).reshape(item.value.shape)
        for start, item in zip(starts, operands)
    ]
    number = int(_moved(operation, numbers, -1.0)[position])
    places: list[Position | None] = [None] * len(operands)
    if number < 0:
        return {"kind": "copy", "from": None}, places
    source = int(np.searchsorted(starts, number, side="right")) - 1
    at = np.unravel_index(number - int(starts[source]), operands[source].value.shape)
    places[source] = place = tuple(int(index) for index in at)
    read = {"operand": source, "name": program.label(operation.operands[source]), "position": list(place)}
    return {"kind": "copy", "from": read}, places


def _products(operation: Any, operands: Operands) -> Bounded:
    """Σ x · kernel + bias, within (n + 2)·u·Σ|a·b| and what the inputs bring."""
    (x, error), (kernel, kernel_error), *bias = operands

    def apply(values: Array, factors: Array) -> Array:
        if isinstance(operation, op.Contract):
            return np.asarray(values @ factors)
        top, bottom, left, right = operation.padding
        image = values.reshape(TensorType(values.shape).map)
        if isinstance(operation, op.ConvolveTransposed):
            return _transposed(operation, image, factors).reshape(operation.shape)
        image = np.pad(image, ((top, bottom), (left, right), (0, 0)))[np.newaxis]
        window = {"strides": operation.strides, "padding": "valid", "dilation_rate": operation.dilation}
        if isinstance(operation, op.Convolve):
            shaped = factors.reshape((*operation.kernel_size, *factors.shape[-2:]))
            y = reference.conv2d(image, shaped, groups=operation.groups, **window)[0]
        else:
            shaped = factors.reshape((*operation.kernel_size, image.shape[-1], -1))
            y = reference.depthwise_conv2d(image, shaped, **window)[0]
        y = np.asarray(y[: y.shape[0] - operation.cropped[0], : y.shape[1] - operation.cropped[1]])
        return y.reshape(_result_shape(operation, values, factors))

    added = bias[0] if bias else exact(0.0)
    value, size = apply(x, kernel) + added.value, apply(np.abs(x) + error, np.abs(kernel)) + np.abs(added.value)
    brought = apply(error, np.abs(kernel)) + apply(np.abs(x), kernel_error) + added.error
    return Bounded(value, brought + (_count(operation, kernel) + 2) * (UNIT_ROUNDOFF * size + SMALLEST_NORMAL))


def _transposed(operation: op.ConvolveTransposed, image: Array, kernel: Array) -> Array:
    """Every cell of the map adds to its window; `kernel` is (height, width, filters, channels)."""
    (height, width), (top, _, left, _) = operation.kernel_size, operation.padding
    rows, columns, _ = image.shape
    shaped = kernel.reshape(height, width, *kernel.shape[-2:])
    reach = [
        max((count - 1) * stride + (cells - 1) * rate + 1, before + size)
        for count, stride, cells, rate, before, size in zip(
            (rows, columns), operation.strides, (height, width), operation.dilation, (top, left), operation.size
        )
    ]
    y = np.zeros((*reach, shaped.shape[2]))
    for i in range(height):
        for j in range(width):
            down, across = i * operation.dilation[0], j * operation.dilation[1]
            places = y[down :: operation.strides[0], across :: operation.strides[1]]
            places[:rows, :columns] += image @ shaped[i, j].T
    return y[top : top + operation.size[0], left : left + operation.size[1]]


def _result_shape(operation: Operation, *arrays: Array) -> tuple[int, ...]:
    """The shape of what an operation makes of `arrays`."""
    return operation.infer(*(TensorType(array.shape) for array in arrays))[0].shape


def _count(operation: Any, kernel: Array) -> int:
    if isinstance(operation, op.ConvolveDepthwise):
        return math.prod(operation.kernel_size)
    if isinstance(operation, op.ConvolveTransposed):
        cells = (-(-cells // stride) for cells, stride in zip(operation.kernel_size, operation.strides))
        return int(math.prod(cells) * kernel.shape[-1])
    return math.prod(kernel.shape[:-1])


def _products_step(
    operation: Any, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    bias = float(operands[2].value[position[-1]]) if len(operands) > 2 else None
    facts = {
        "kind": "products",
        "name": program.label(operation.source),
        "weight": program.label(operation.operands[1]),
        "count": _count(operation, operands[1].value),
        "sum": float(result.value[position]) - (bias or 0.0),
        "bias": bias,
    }
    return facts, [None] * len(operands)


def _reduced(operation: op.ReduceMap, operands: Operands) -> Bounded:
    x, error = (item.reshape(-1, item.shape[-1]) for item in operands[0])
    shape = _result_shape(operation, operands[0].value)
    if operation.kind == "max":
        return Bounded(x.max(axis=0).reshape(shape), error.max(axis=0).reshape(shape))
    own = (len(x) + 2) * (UNIT_ROUNDOFF * (np.abs(x) + error).mean(axis=0) + SMALLEST_NORMAL)
    return Bounded(x.mean(axis=0).reshape(shape), (error.mean(axis=0) + own).reshape(shape))


def _reduced_step(
    operation: op.ReduceMap, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    kind = "maximum" if operation.kind == "max" else "mean"
    count = operands[0].value.size // operands[0].value.shape[-1]
    facts = {"kind": kind, "name": program.label(operation.source), "count": count, "channel": position[-1]}
    return facts, [None]


def _summed(operation: op.Sum, operands: Operands) -> Bounded:
    ((x, error),) = operands
    shape = (1,) * (x.ndim - len(operation.shape)) + operation.shape
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and x.shape[axis] > 1)
    own = (x.size // math.prod(shape) + 1) * (UNIT_ROUNDOFF * (np.abs(x) + error) + SMALLEST_NORMAL)
    return Bounded(x.sum(axis=axes).reshape(operation.shape), (error + own).sum(axis=axes).reshape(operation.shape))


def _summed_step(
    operation: op.Sum, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    count = operands[0].value.size // result.value.size
    return {"kind": "sum", "name": program.label(operation.source), "count": count}, [None]


def _pooled(operation: op.PoolWindows, operands: Operands) -> Bounded:
    """A mean of n cells adds n times, divides, and rounds what it adds to."""
    arrays = [item.reshape(TensorType(item.shape).map) for item in operands[0]]
    shape = _result_shape(operation, operands[0].value)
    if operation.kind == "max":
        value, error = (_windows(operation, array).max(axis=0) for array in arrays)
        return Bounded(value.reshape(shape), error.reshape(shape))
    top, bottom, left, right = operation.counted_padding
    height, width, _ = arrays[0].shape
    inside = np.pad(np.ones((height - top - bottom, width - left - right, 1)), ((top, bottom), (left, right), (0, 0)))
    counts = _windows(operation, inside).sum(axis=0)
    value, error, size = (
        _windows(operation, array).sum(axis=0) / counts for array in (*arrays, np.abs(arrays[0]) + arrays[1])
    )
    own = (math.prod(operation.pool_size) + 2) * (UNIT_ROUNDOFF * size + SMALLEST_NORMAL)
    return Bounded(value.reshape(shape), (error + own).reshape(shape))


def _windows(operation: op.PoolWindows, array: Array) -> Array:
    """(cells of a window, rows, columns, channels): what each cell sees at every position."""
    place = windows((array.shape[0], array.shape[1]), operation.pool_size, operation.strides)
    return np.stack([array[np.newaxis][place.at(cell)][0] for cell in place.cells()])


def _pooled_step(
    operation: op.PoolWindows, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    """The cells that are not padding, from the first one on."""
    sides = operation.counted_padding
    size = TensorType(operands[0].value.shape).map
    spans = []
    for axis, place in enumerate((*([0] * (3 - len(position))), *position)[:2]):
        start = place * operation.strides[axis]
        end = min(start + operation.pool_size[axis], size[axis] - sides[2 * axis + 1])
        spans.append((max(start, sides[2 * axis]), end))
    facts = {
        "kind": "window_maximum" if operation.kind == "max" else "window_mean",
        "name": program.label(operation.source),
        "count": math.prod(end - start for start, end in spans),
        "channel": position[-1],
        "first": [start for start, _ in spans],
    }
    return facts, [None]


_RULES |= {
    op.PoolWindows: (_pooled, _pooled_step),
    op.Elementwise: (_elementwise, _elementwise_step),
    op.NormaliseRows: (_normalise_rows, _normalise_rows_step),
    op.Softmax: (_softmax, _softmax_step),
    op.ReduceMap: (_reduced, _reduced_step),
    op.Sum: (_summed, _summed_step),
}


def _resampled_step(
    operation: op.Resample, operands: Operands, result: Bounded, position: Position, program: CallProgram
) -> tuple[dict[str, Any], list[Position | None]]:
    return resampled_step(operation, operands, result, position, program.label(operation.source))


_RULES[op.Resample] = (resampled, _resampled_step)
_RULES |= dict.fromkeys((op.Reshape, op.Pad, op.Slice, op.Concatenate, op.Repeat, op.Transpose), (_copy, _copy_step))
_RULES |= dict.fromkeys(
    (op.Convolve, op.ConvolveDepthwise, op.ConvolveTransposed, op.Contract), (_products, _products_step)
)

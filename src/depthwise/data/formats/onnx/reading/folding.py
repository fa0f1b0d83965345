"""What does not depend on a network's inputs, computed in NumPy: shapes, indices, and weights that a file keeps in another form."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats.onnx.package import require_onnx
from depthwise.data.formats.onnx.reading.proto import Node

__all__ = [
    "EVALUATORS", "MOST_FOLDED", "TooLargeError", "element_type", "resolved_shape", "shape_part", "slices_of", "split_sizes",
]  # fmt: skip

Array = NDArray[Any]
Evaluator = Callable[[Node, list[Any], int], Any]
"""(node, its inputs, None for one that is left out, the operator set) → the output, or a list of them."""

MOST_FOLDED = 2**29
"""The most numbers that all folded constants of a file may hold."""


class TooLargeError(ValueError):
    """A constant that would hold more numbers than are allowed."""


def _sized(shape: Any) -> tuple[int, ...]:
    sizes = tuple(int(size) for size in shape)
    if any(size < 0 for size in sizes) or prod(sizes) > MOST_FOLDED:
        raise TooLargeError(f"a constant of the shape {sizes}")
    return sizes


def element_type(element: int) -> np.dtype[Any]:
    """NumPy's type for ONNX' number of it."""
    found: np.dtype[Any] = require_onnx().helper.tensor_dtype_to_np_dtype(element)
    return found


def resolved_shape(wanted: Sequence[int], given: Sequence[int], keep_zeros: bool = False) -> tuple[int, ...]:
    """What Reshape makes of `wanted`: 0 keeps the size at its place, -1 follows from the others."""
    shape = [
        given[i] if size == 0 and not keep_zeros and i < len(given) else int(size) for i, size in enumerate(wanted)
    ]
    if shape.count(-1) > 1 or any(size < -1 for size in shape):
        raise ValueError(f"{list(wanted)} is no shape")
    if -1 in shape:
        known = prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = prod(given) // known if known else 0
    if prod(shape) != prod(given):
        raise ValueError(f"{tuple(given)} does not have as many numbers as {tuple(shape)}")
    return tuple(shape)


def slices_of(node: Node, inputs: Sequence[Any], rank: int) -> dict[int, slice]:
    """The part that Slice takes along each axis that it names."""
    attributes = node.attributes
    if "starts" in attributes:
        starts, ends = attributes["starts"], attributes["ends"]
        axes, steps = attributes.get("axes"), None
    else:
        given = [None if item is None else [int(value) for value in np.ravel(item)] for item in inputs[1:]]
        starts, ends, axes, steps = [*given, None, None][:4]
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ValueError("its starts, ends, axes and steps do not fit together")
    found = {}
    for start, end, axis, step in zip(starts, ends, axes, steps):
        place = axis + rank if axis < 0 else axis
        if not 0 <= place < rank or place in found:
            raise ValueError(f"it has no axis {axis}")
        found[place] = slice(start, None if step < 0 and end < -(2**31) + 1 else end, step)
    return found


def _slice(node: Node, inputs: list[Any], opset: int) -> Array:
    data: Array = inputs[0]
    parts = slices_of(node, inputs, data.ndim)
    index = []
    for axis in range(data.ndim):
        part = parts.get(axis, slice(None))
        index.append(
            slice(*part.indices(data.shape[axis])) if (part.step or 1) > 0 else _backwards(part, data.shape[axis])
        )
    return data[tuple(index)]


def _backwards(part: slice, size: int) -> slice:
    start, stop, step = part.indices(size)
    return slice(start, None if stop < 0 else stop, step)


def _axes(node: Node, inputs: list[Any], place: int = 1) -> list[int] | None:
    if len(inputs) > place and inputs[place] is not None:
        return [int(axis) for axis in np.ravel(inputs[place])]
    given = node.attributes.get("axes")
    return None if given is None else list(given)


def _unsqueeze(node: Node, inputs: list[Any], opset: int) -> Array:
    return np.expand_dims(inputs[0], tuple(_axes(node, inputs) or ()))


def _squeeze(node: Node, inputs: list[Any], opset: int) -> Array:
    axes = _axes(node, inputs)
    return np.asarray(np.squeeze(inputs[0], None if axes is None else tuple(axes)))


def _reduce(function: Callable[..., Any]) -> Evaluator:
    def evaluate(node: Node, inputs: list[Any], opset: int) -> Array:
        axes = _axes(node, inputs)
        if not axes:
            if node.attributes.get("noop_with_empty_axes"):
                return np.asarray(inputs[0])
            axes = list(range(np.ndim(inputs[0])))
        result = function(inputs[0], axis=tuple(axes), keepdims=bool(node.attributes.get("keepdims", 1)))
        return np.asarray(result, inputs[0].dtype)

    return evaluate


def _cast(node: Node, inputs: list[Any], opset: int) -> Array:
    kind = element_type(int(node.attributes["to"]))
    with np.errstate(invalid="ignore"):
        return np.asarray(inputs[0]).astype(kind)


def _constant(node: Node, inputs: list[Any], opset: int) -> Array:
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if "value" in node.attributes:
        return np.asarray(node.attributes["value"])
    for name, kind in kinds.items():
        if name in node.attributes:
            return np.asarray(node.attributes[name], kind)
    raise ValueError("its value is of a kind that is not supported")


def _filled(node: Node, inputs: list[Any], opset: int) -> Array:
    value = np.ravel(node.attributes.get("value", np.zeros(1, np.float32)))
    return np.broadcast_to(value[0], _sized(np.ravel(inputs[0])))


def _expand(node: Node, inputs: list[Any], opset: int) -> Array:
    shape = np.broadcast_shapes(np.shape(inputs[0]), _sized(np.ravel(inputs[1])))
    return np.broadcast_to(inputs[0], _sized(shape))


def _tile(node: Node, inputs: list[Any], opset: int) -> Array:
    repeats = [int(count) for count in np.ravel(inputs[1])]
    _sized([size * count for size, count in zip(np.shape(inputs[0]), repeats, strict=True)])
    return np.tile(inputs[0], repeats)


def _range(node: Node, inputs: list[Any], opset: int) -> Array:
    start, limit, delta = (np.ravel(item)[0] for item in inputs)
    _sized([max(0, int(np.ceil((limit - start) / delta)))])
    return np.arange(start, limit, delta, dtype=inputs[0].dtype)


def _divide(node: Node, inputs: list[Any], opset: int) -> Array:
    a, b = inputs
    if np.issubdtype(a.dtype, np.integer):
        return np.asarray(np.trunc(np.divide(a, b)), a.dtype) if np.all(b != 0) else np.divide(a, b, casting="no")
    return np.asarray(a / b)


def _modulo(node: Node, inputs: list[Any], opset: int) -> Array:
    return np.asarray(np.fmod(*inputs) if node.attributes.get("fmod") else np.mod(*inputs))


def _split(node: Node, inputs: list[Any], opset: int) -> list[Array]:
    data, axis = inputs[0], int(node.attributes.get("axis", 0))
    sizes = split_sizes(node, inputs, data.shape[axis])
    return np.split(data, np.cumsum(sizes)[:-1], axis)


def split_sizes(node: Node, inputs: Sequence[Any], whole: int) -> list[int]:
    """How long the parts of Split are."""
    given = node.attributes.get("split")
    if len(inputs) > 1 and inputs[1] is not None:
        given = [int(size) for size in np.ravel(inputs[1])]
    if given is None:
        count = int(node.attributes.get("num_outputs", len(node.outputs)))
        size = -(-whole // count)
        given = [min(size, whole - i * size) for i in range(count)]
    if sum(given) != whole or min(given) < 0 or len(given) != len(node.outputs):
        raise ValueError(f"{list(given)} are not the sizes of the parts of {whole} for {len(node.outputs)} outputs")
    return list(given)


def _gather(node: Node, inputs: list[Any], opset: int) -> Array:
    data, indices = inputs
    axis = int(node.attributes.get("axis", 0))
    _sized([*np.shape(indices), prod(data.shape) // max(1, data.shape[axis])])
    return np.asarray(np.take(data, indices, axis))


def _concatenate(node: Node, inputs: list[Any], opset: int) -> Array:
    return np.concatenate(inputs, int(node.attributes.get("axis", 1)))


def _reshape(node: Node, inputs: list[Any], opset: int) -> Array:
    wanted = node.attributes["shape"] if "shape" in node.attributes else np.ravel(inputs[1])
    return np.reshape(
        inputs[0],
        resolved_shape([int(size) for size in wanted], inputs[0].shape, bool(node.attributes.get("allowzero"))),
    )


def _transpose(node: Node, inputs: list[Any], opset: int) -> Array:
    return np.transpose(inputs[0], node.attributes.get("perm"))


def _flatten(node: Node, inputs: list[Any], opset: int) -> Array:
    shape, axis = inputs[0].shape, int(node.attributes.get("axis", 1))
    return np.reshape(inputs[0], (prod(shape[: axis if axis >= 0 else len(shape) + axis]), -1))


def _clip(node: Node, inputs: list[Any], opset: int) -> Array:
    low, high = ([*inputs, None, None])[1:3]
    low = node.attributes.get("min", low)
    high = node.attributes.get("max", high)
    return np.asarray(np.clip(inputs[0], low, high), inputs[0].dtype)


def _pad(node: Node, inputs: list[Any], opset: int) -> Array:
    data = inputs[0]
    pads = node.attributes["pads"] if "pads" in node.attributes else [int(size) for size in np.ravel(inputs[1])]
    places = inputs[3] if len(inputs) > 3 and inputs[3] is not None else range(data.ndim)
    axes = [int(axis) % data.ndim for axis in np.ravel(places)]
    mode = node.attributes.get("mode", "constant")
    value = np.ravel(inputs[2])[0] if len(inputs) > 2 and inputs[2] is not None else node.attributes.get("value", 0)
    if min(pads, default=0) < 0 or len(pads) != 2 * len(axes):
        raise ValueError("constants are not cut by negative pads")
    sides = [(0, 0)] * data.ndim
    for axis, before, after in zip(axes, pads, pads[len(axes) :]):
        sides[axis] = (before, after)
    _sized([size + before + after for size, (before, after) in zip(data.shape, sides)])
    return np.pad(data, sides, mode, **({"constant_values": value} if mode == "constant" else {}))


def _along(values: Any, data: Array, axis: int) -> Array:
    """A scale or zero point of one number for each place of `axis`, in a shape that is broadcast to the data's."""
    array = np.asarray(values)
    if array.size == 1:
        return array.reshape(())
    if array.ndim != 1:
        raise ValueError("weights that are quantised in blocks are not supported")
    return array.reshape([-1 if place == axis % data.ndim else 1 for place in range(data.ndim)])


def _quantise(node: Node, inputs: list[Any], opset: int) -> Array:
    data, scale = inputs[:2]
    axis = int(node.attributes.get("axis", 1))
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros((), np.uint8)
    limits = np.iinfo(zero.dtype)
    rounded = np.rint(data / _along(scale, data, axis)) + _along(zero, data, axis).astype(np.float64)
    return np.asarray(np.clip(rounded, limits.min, limits.max), zero.dtype)


def _dequantise(node: Node, inputs: list[Any], opset: int) -> Array:
    data, scale = inputs[:2]
    axis = int(node.attributes.get("axis", 1))
    zero = _along(inputs[2], data, axis) if len(inputs) > 2 and inputs[2] is not None else np.zeros((), data.dtype)
    centred = data.astype(np.int64) - zero.astype(np.int64)
    return np.asarray(centred * _along(scale, data, axis), np.float32)


def _scatter_nd(node: Node, inputs: list[Any], opset: int) -> Array:
    data, indices, updates = inputs
    if node.attributes.get("reduction", "none") != "none":
        raise ValueError("it adds to what is there")
    result = np.array(data)
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return result


def _one_hot(node: Node, inputs: list[Any], opset: int) -> Array:
    indices, depth, values = inputs
    count = int(np.ravel(depth)[0])
    _sized([*np.shape(indices), count])
    hot = (np.asarray(indices)[..., None] % count) == np.arange(count)
    return np.moveaxis(np.where(hot, values[1], values[0]), -1, int(node.attributes.get("axis", -1)))


def _plain(function: Callable[..., Any]) -> Evaluator:
    return lambda node, inputs, opset: np.asarray(function(*inputs))


def _joined(function: Callable[[Any, Any], Any]) -> Evaluator:
    def evaluate(node: Node, inputs: list[Any], opset: int) -> Array:
        result = inputs[0]
        for item in inputs[1:]:
            result = function(result, item)
        return np.asarray(result)

    return evaluate


def _same(node: Node, inputs: list[Any], opset: int) -> Array:
    return np.asarray(inputs[0])


EVALUATORS: Mapping[str, Evaluator] = {
    "Add": _plain(np.add),
    "And": _plain(np.logical_and),
    "Abs": _plain(np.abs),
    "Cast": _cast,
    "CastLike": lambda node, inputs, opset: inputs[0].astype(inputs[1].dtype),
    "Ceil": _plain(np.ceil),
    "Clip": _clip,
    "Concat": _concatenate,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Cos": _plain(np.cos),
    "DequantizeLinear": _dequantise,
    "Div": _divide,
    "Equal": _plain(np.equal),
    "Exp": _plain(np.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _plain(np.floor),
    "Gather": _gather,
    "GatherND": lambda node, inputs, opset: inputs[0][tuple(np.moveaxis(inputs[1], -1, 0))],
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Identity": _same,
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Log": _plain(np.log),
    "MatMul": _plain(np.matmul),
    "Max": _joined(np.maximum),
    "Min": _joined(np.minimum),
    "Mod": _modulo,
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "Not": _plain(np.logical_not),
    "OneHot": _one_hot,
    "Or": _plain(np.logical_or),
    "Pad": _pad,
    "Pow": lambda node, inputs, opset: np.asarray(np.power(*inputs), inputs[0].dtype),
    "QuantizeLinear": _quantise,
    "Range": _range,
    "Reciprocal": lambda node, inputs, opset: np.asarray(1 / inputs[0], inputs[0].dtype),
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Relu": _plain(lambda x: np.maximum(x, 0)),
    "Reshape": _reshape,
    "Round": _plain(np.rint),
    "ScatterND": _scatter_nd,
    "Shape": lambda node, inputs, opset: shape_part(node, np.shape(inputs[0])),
    "Sign": _plain(np.sign),
    "Sin": _plain(np.sin),
    "Size": lambda node, inputs, opset: np.asarray(np.size(inputs[0]), np.int64),
    "Slice": _slice,
    "Split": _split,
    "Sqrt": _plain(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(np.subtract),
    "Sum": _joined(np.add),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _plain(np.where),
    "Xor": _plain(np.logical_xor),
}
"""How each operator is folded."""


def shape_part(node: Node, shape: Sequence[int]) -> Array:
    """What Shape gives of a shape."""
    start, end = int(node.attributes.get("start", 0)), node.attributes.get("end")
    return np.asarray(shape, np.int64)[start : None if end is None else int(end)]

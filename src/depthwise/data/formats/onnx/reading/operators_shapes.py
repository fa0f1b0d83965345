"""Operators that move numbers: other shapes, other orders, parts, repetitions, borders, sizes."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from depthwise.compiler.ir.expression import Operand, apply
from depthwise.compiler.ir.operations import Taps
from depthwise.data.formats.onnx.reading.folding import resolved_shape, shape_part, slices_of, split_sizes
from depthwise.data.formats.onnx.reading.network import Constant, NotBatchedError, RefusedError, Tensor, Value
from depthwise.data.formats.onnx.reading.registry import Given, operator
from depthwise.data.formats.onnx.reading.resizing import Sampling, reflected, resized
from depthwise.layers import descriptions as layer
from depthwise.layers.description import Description
from depthwise.layers.tensors import ConstantPadding, StridedCopy, WeightedCells


@operator("Shape")
def _shape(given: Given) -> Constant:
    return Constant(shape_part(given.node, given.network.full(given.raw())))


@operator("Size")
def _size(given: Given) -> Constant:
    return Constant(np.asarray(prod(given.network.full(given.raw())), np.int64))


@operator("Identity")
def _identity(given: Given) -> Value:
    return given.value(0)


# -- the same numbers ------------------------------------------------------------------------------------------------


def _full_shape(given: Given, tensor: Tensor, full: Sequence[int]) -> Tensor:
    return given.network.reshaped_to(tensor, full)


@operator("Reshape")
def _reshape(given: Given) -> Tensor:
    wanted, tensor = given.integers(1, "shape"), given.raw()
    if wanted is None:
        raise ValueError("it does not say the shape")
    full = given.network.full(tensor)
    return _full_shape(given, tensor, resolved_shape(wanted, full, bool(given.attribute("allowzero", 0))))


@operator("Flatten")
def _flatten(given: Given) -> Tensor:
    tensor, axis = given.raw(), int(given.attribute("axis", 1))
    full = given.network.full(tensor)
    if not -len(full) <= axis <= len(full):
        raise ValueError(f"it has no axis {axis}")
    axis = axis if axis >= 0 else len(full) + axis
    return _full_shape(given, tensor, (prod(full[:axis]), prod(full[axis:])))


@operator("Squeeze")
def _squeeze(given: Given) -> Tensor:
    tensor, axes = given.tensor(), given.integers(1, "axes")
    full = given.network.full(tensor)
    if axes is None:
        batch = tensor.batch_axis if given.network.batch is not None else -1  # one of a single sample stays
        places = {axis for axis, size in enumerate(full) if size == 1 and axis != batch}
    else:
        places = {axis % len(full) for axis in axes}
        if any(full[axis] != 1 for axis in places):
            raise ValueError(f"its input {full} does not have the size 1 along the axes {axes}")
    shape = [size for axis, size in enumerate(full) if axis not in places]
    return _with_axes(
        given, tensor, shape, tensor.batch_axis - sum(axis < tensor.batch_axis for axis in places), places
    )


def _with_axes(given: Given, tensor: Tensor, full: Sequence[int], batch_axis: int, gone: set[int]) -> Tensor:
    """The numbers with more or fewer axes of one; the batch is then at another place."""
    network = given.network
    if network.batch is None:
        return network.reshaped(tensor, full)
    if tensor.batch_axis in gone:
        raise NotBatchedError
    shape = (*full[:batch_axis], *full[batch_axis + 1 :])
    if batch_axis:
        tensor = network.settled(tensor)
    return replace(network.reshaped(tensor, shape), batch_axis=batch_axis)


@operator("Unsqueeze")
def _unsqueeze(given: Given) -> Tensor:
    tensor, axes = given.tensor(), given.integers(1, "axes") or []
    full = list(given.network.full(tensor))
    rank = len(full) + len(axes)
    places = {axis % rank for axis in axes}
    if len(places) != len(axes):
        raise ValueError(f"its axes {axes} are not different ones")
    rest = iter(full)
    shape = [1 if axis in places else next(rest) for axis in range(rank)]
    kept = [axis for axis in range(rank) if axis not in places]
    return _with_axes(given, tensor, shape, kept[tensor.batch_axis] if kept else 0, set())


@operator("Transpose")
def _transpose(given: Given) -> Tensor:
    tensor, network = given.tensor(), given.network
    full = network.full(tensor)
    axes = [int(axis) % max(1, len(full)) for axis in given.attribute("perm", range(len(full) - 1, -1, -1))]
    if sorted(axes) != list(range(len(full))):
        raise ValueError(f"{axes} is no order of the axes of {full}")
    place = 0
    if network.batch is not None:
        place = axes.index(tensor.batch_axis)
        axes = [axis - int(axis > tensor.batch_axis) for axis in axes if axis != tensor.batch_axis]
    order = tuple(axes.index(axis) for axis in tensor.order)
    return replace(tensor, shape=tuple(tensor.shape[axis] for axis in axes), order=order, batch_axis=place)


@operator("DepthToSpace", "SpaceToDepth")
def _depth_to_space(given: Given) -> Tensor:
    """Reshape, transpose, reshape."""
    tensor, network, block = given.tensor(), given.network, int(given.attribute("blocksize", 0))
    full = network.full(tensor)
    if len(full) != 4 or block < 1:
        raise ValueError(f"its input {full} or its blocksize {block} does not fit")
    n, channels, rows, columns = full
    first = network.offset
    if tensor.batch_axis:
        raise NotBatchedError
    if given.node.operator == "SpaceToDepth":
        if rows % block or columns % block:
            raise ValueError(f"its input {full} is not divided by {block}")
        split = [n, channels, rows // block, block, columns // block, block]
        axes = [0, 1, 3, 5, 2, 4] if given.attribute("mode", "DCR") == "CRD" else [0, 3, 5, 1, 2, 4]
        shape = [n, channels * block * block, rows // block, columns // block]
    else:
        if channels % (block * block):
            raise ValueError(f"its {channels} channels are not divided by {block * block}")
        depth = channels // block**2
        if given.attribute("mode", "DCR") == "CRD":
            split, axes = [n, depth, block, block, rows, columns], [0, 1, 4, 2, 5, 3]
        else:
            split, axes = [n, block, block, depth, rows, columns], [0, 3, 4, 1, 5, 2]
        shape = [n, depth, rows * block, columns * block]
    wide = _full_shape(given, tensor, split)
    axes = [axis - first for axis in axes[first:]]
    order = tuple(axes.index(axis) for axis in wide.order)
    moved = replace(wide, shape=tuple(wide.shape[axis] for axis in axes), order=order)
    return _full_shape(given, moved, shape)


# -- parts and repetitions -------------------------------------------------------------------------------------------


def _part(given: Given, tensor: Tensor, parts: dict[int, range], name: str = "") -> Tensor:
    """The places of some axes of a sample."""
    network = given.network
    if any(len(part) == 0 for part in parts.values()):
        raise RefusedError("its result is empty")
    stored = [parts.get(axis, range(tensor.shape[axis])) for axis in tensor.order]
    if all(part == range(size) for part, size in zip(stored, tensor.stored)):
        return tensor
    shape = tuple(len(part) for part in stored) or (1,)
    crops = [(part.start, size - part.stop) for part, size in zip(stored, tensor.stored)]
    is_map = len(stored) == 3 and tensor.order == (1, 2, 0) and crops[2] == (0, 0)
    if is_map and all(part.step == 1 for part in stored):
        description: Description = layer.Cropping2D(tuple(crops[:2]))
    else:
        start = tuple(part.start for part in stored)
        steps = tuple((axis, part.step if len(part) > 1 else 1) for axis, part in enumerate(stored))
        description = StridedCopy(shape=shape, start=start, steps=steps, operator=given.node.operator)
    return network.result(network.add(description, [tensor.port], name=name), tensor, tensor.element, tensor.positive)


@operator("Slice")
def _slice(given: Given) -> Tensor:
    tensor, network = given.tensor(), given.network
    inputs = [None, *(given.optional(i) for i in range(1, len(given.inputs)))]
    full = network.full(tensor)
    parts = {}
    for axis, part in slices_of(given.node, inputs, len(full)).items():
        kept = range(*part.indices(full[axis]))
        if kept == range(full[axis]):
            continue
        parts[network.axis(tensor, axis)] = kept
    return _part(given, tensor, parts)


@operator("Split")
def _split(given: Given) -> list[Value]:
    tensor, network = given.tensor(), given.network
    axis = network.axis(tensor, int(given.attribute("axis", 0)))
    inputs = [None, *(given.optional(i) for i in range(1, len(given.inputs)))]
    found: list[Value] = []
    first = 0
    for size in split_sizes(given.node, inputs, tensor.shape[axis]):
        found.append(_part(given, tensor, {axis: range(first, first + size)}))
        first += size
    return found


@operator("Gather")
def _gather(given: Given) -> Tensor:
    indices, network = given.constant(1), given.network
    tensor = given.tensor()
    axis = network.axis(tensor, int(given.attribute("axis", 0)))
    size = tensor.shape[axis]
    places = [int(place) + (size if place < 0 else 0) for place in np.ravel(indices)]
    if any(not 0 <= place < size for place in places) or not places:
        raise ValueError(f"its indices are not among the {size} places of the axis")
    steps = {second - first for first, second in pairwise(places)} or {1}
    if len(steps) == 1 and 0 not in steps:
        step = steps.pop()
        found = _part(given, tensor, {axis: range(places[0], places[-1] + (1 if step > 0 else -1), step)})
    else:
        taps = Taps(size, tuple(((place, 1.0),) for place in places))
        found = _along(given, tensor, axis, taps)
    full = list(network.full(found))
    place = network.full_axis(found, axis)
    shape = [*full[:place], *indices.shape, *full[place + 1 :]]
    if network.batch is None:
        return network.reshaped(found, shape)
    batch_axis = found.batch_axis + (indices.ndim - 1 if place < found.batch_axis else 0)
    return _with_axes(given, found, shape, batch_axis, set())


def _along(given: Given, tensor: Tensor, axis: int, taps: Taps) -> Tensor:
    """Weighted sums along an axis of a sample."""
    network = given.network
    description = WeightedCells(axis=tensor.order.index(axis), taps=taps, operator=given.node.operator)
    positive = tensor.positive and all(weight >= 0 for pairs in taps.cells for _, weight in pairs)
    return network.result(network.add(description, [tensor.port]), tensor, tensor.element, positive)


@operator("GatherElements")
def _gather_elements(given: Given) -> Tensor:
    """Places of the whole sample, one for each index."""
    tensor, network = given.tensor(), given.network
    indices = given.constant(1).astype(np.int64)
    axis, full = int(given.attribute("axis", 0)), network.full(tensor)
    if network.batch is not None:
        raise NotBatchedError
    axis %= len(full)
    grid: list[Any] = list(np.indices(indices.shape))
    grid[axis] = np.where(indices < 0, indices + full[axis], indices)
    places = np.ravel_multi_index(grid, full).ravel()
    vector = network.plain(network.settled(network.reshaped(network.plain(tensor), (prod(full),))))
    found = _along(given, vector, 0, Taps(prod(full), tuple(((int(place), 1.0),) for place in places)))
    return network.reshaped(found, indices.shape)


@operator("Trilu")
def _triangle(given: Given) -> Tensor:
    tensor, network = given.floats(), given.network
    shift, axis = given.optional(1), network.axis(tensor, -2)
    network.axis(tensor, -1)
    rows, columns = tensor.shape[axis : axis + 2]
    keep = np.tri(rows, columns, (0 if shift is None else int(np.ravel(shift)[0])) - int(given.attribute("upper", 1)))
    keep = 1.0 - keep if given.attribute("upper", 1) else keep
    expression = apply("where_ogt", Operand(1), 0.0, Operand(0), 0.0)
    return network.arithmetic("Trilu", expression, [tensor, Constant(keep.astype(np.float32))])


@operator("Expand")
def _expand(given: Given) -> Tensor:
    tensor, network = given.tensor(), given.network
    full = network.full(tensor)
    wanted = np.broadcast_shapes(full, tuple(int(size) for size in np.ravel(given.constant(1))))
    if len(wanted) > len(full):
        tensor = _with_axes(
            given, tensor, (1,) * (len(wanted) - len(full)) + full, tensor.batch_axis + len(wanted) - len(full), set()
        )
    shape = tuple(wanted)
    if network.batch is not None:
        if shape[tensor.batch_axis] != network.batch:
            raise NotBatchedError
        shape = (*shape[: tensor.batch_axis], *shape[tensor.batch_axis + 1 :])
    if shape == tensor.shape:
        return tensor
    stored = tuple(shape[axis] for axis in tensor.order)
    steps = tuple(
        (axis, int(size == whole and size > 1)) for axis, (size, whole) in enumerate(zip(tensor.stored, stored))
    )
    copy = StridedCopy(shape=stored, start=(0,) * len(stored), steps=steps, operator="Expand")
    return network.result(network.add(copy, [tensor.port]), tensor, tensor.element, tensor.positive)


@operator("Tile")
def _tile(given: Given) -> Tensor:
    tensor, network = given.tensor(), given.network
    repeats = [int(count) for count in np.ravel(given.constant(1))]
    full = network.full(tensor)
    if len(repeats) != len(full) or min(repeats, default=1) < 1:
        raise ValueError(f"its repeats {repeats} do not fit its input {full}")
    if network.batch is not None and repeats[tensor.batch_axis] != 1:
        raise NotBatchedError
    counts = [repeats[network.full_axis(tensor, axis)] for axis in tensor.order]
    if all(count == 1 for count in counts):
        return tensor
    shape, steps = [], []
    for axis, (count, size) in enumerate(zip(counts, tensor.stored)):
        shape += [count, size]
        steps += [(axis, 0), (axis, 1)]
    copy = StridedCopy(shape=tuple(shape), start=(0,) * len(counts), steps=tuple(steps), operator="Tile")
    port = network.add(copy, [tensor.port], name=f"{network.prefix}_copies")
    port = network.add(layer.Reshape(tuple(c * size for c, size in zip(counts, tensor.stored))), [port])
    return network.result(port, tensor, tensor.element, tensor.positive)


def _is_empty(value: Value) -> bool:
    return isinstance(value, Constant) and value.array.size == 0


@operator("Concat")
def _concatenate(given: Given) -> Tensor:
    network = given.network
    values = [value for value in map(given.value, range(len(given.inputs))) if not _is_empty(value)]
    first = next(value for value in values if isinstance(value, Tensor))
    tensors = [
        network.constant_tensor(value, first) if isinstance(value, Constant) else network.settled(value)
        for value in values
    ]
    if len({len(item.shape) for item in tensors}) > 1:
        raise ValueError("its inputs do not have equally many axes")
    if len({item.batch_axis for item in tensors}) > 1:
        raise NotBatchedError
    axis = network.axis(tensors[0], int(given.attribute("axis", 1)))
    widest = max(tensors, key=lambda item: (item.order != tuple(sorted(item.order)), prod(item.shape)))
    moved = [network.permuted(item, widest.order) for item in tensors]
    elements = {item.element for item in tensors}
    if len(moved) == 1:
        return moved[0]
    place = widest.order.index(axis)
    description = layer.Concatenate(axis=-1 if place == len(widest.order) - 1 else place + 1)
    port = network.add(description, [item.port for item in moved])
    positive = all(item.positive for item in tensors)
    return network.result(port, moved[0], elements.pop() if len(elements) == 1 else "float", positive)


# -- borders and sizes -----------------------------------------------------------------------------------------------


@operator("Pad")
def _pad(given: Given) -> Tensor:
    tensor, network = given.tensor(), given.network
    mode, pads = given.attribute("mode", "constant"), given.integers(1, "pads")
    full = network.full(tensor)
    axes = [int(axis) % len(full) for axis in np.ravel(given.constant(3))] if given.has(3) else list(range(len(full)))
    if pads is None or len(pads) != 2 * len(axes):
        raise ValueError(f"its pads {pads} do not fit its input {full}")
    value = given.optional(2) if "pads" not in given.node.attributes else None
    number = float(given.attribute("value", 0.0) if value is None else np.ravel(value)[0])
    sides = {}
    for axis, before, after in zip(axes, pads, pads[len(axes) :]):
        if before or after:
            sides[network.axis(tensor, axis)] = (before, after)
    cuts = {a: range(max(0, -b), tensor.shape[a] - max(0, -c)) for a, (b, c) in sides.items() if min(b, c) < 0}
    tensor = _part(given, tensor, cuts, f"{network.prefix}_crop") if cuts else tensor
    sides = {axis: (max(0, before), max(0, after)) for axis, (before, after) in sides.items()}
    sides = {axis: both for axis, both in sides.items() if any(both)}
    if mode != "constant":
        for axis, (before, after) in sides.items():
            tensor = _along(given, tensor, axis, reflected(tensor.shape[axis], before, after, mode))
        return tensor
    positive = tensor.positive and number >= 0
    if len(tensor.shape) == 3 and number == 0.0 and sides and set(sides) <= {1, 2}:
        last = network.channels_last(tensor)
        around = tuple(sides.get(axis, (0, 0)) for axis in (1, 2))
        return network.result(network.add(layer.ZeroPadding2D(around), [last.port]), last, positive=positive)
    for axis, both in sides.items():
        padding = ConstantPadding(axis=tensor.order.index(axis), sides=both, value=number, operator="Pad")
        tensor = network.result(network.add(padding, [tensor.port]), tensor, tensor.element, positive)
    return tensor


@operator("Resize", "Upsample")
def _resize(given: Given) -> Tensor:
    tensor, network = given.floats(), given.network
    sampling = _sampling(given)
    full = network.full(tensor)
    axes = [int(axis) % len(full) for axis in given.attribute("axes", range(len(full)))]
    scales, sizes = _scales(given)
    if (len(sizes or scales)) != len(axes):
        raise ValueError("its scales or sizes do not fit its input")
    policy = given.attribute("keep_aspect_ratio_policy", "stretch")
    if sizes and policy != "stretch":
        choose = min if policy == "not_larger" else max
        scale = choose(size / full[axis] for size, axis in zip(sizes, axes))
        scales, sizes = [scale] * len(axes), [int(scale * full[axis] + 0.5) for axis in axes]
    elif sizes:
        scales = [size / full[axis] for size, axis in zip(sizes, axes)]
    else:
        sizes = [int(np.floor(full[axis] * scale)) for axis, scale in zip(axes, scales)]
    changes = {}
    crop = sampling.coordinates == "tf_crop_and_resize"
    roi = _read_parts(given, len(axes)) if crop else [(0.0, 1.0)] * len(axes)
    for axis, size, scale, part in zip(axes, sizes, scales, roi):
        if size < 1:
            raise RefusedError("its result is empty")
        if size != full[axis] or scale != 1.0 or part != (0.0, 1.0):
            place = network.axis(tensor, axis)
            changes[place] = resized(full[axis], size, scale, replace(sampling, roi=part))
    enlarged = _up_sampling(given, tensor, changes)
    if enlarged is not None:
        return enlarged
    for axis, taps in changes.items():
        tensor = _along(given, tensor, axis, taps)
    return tensor


def _sampling(given: Given) -> Sampling:
    mode = given.attribute("mode", "nearest")
    if given.node.operator == "Upsample" or given.opset < 11:
        return Sampling(mode, "asymmetric", "floor")
    return Sampling(
        mode, given.attribute("coordinate_transformation_mode", "half_pixel"),
        given.attribute("nearest_mode", "round_prefer_floor"), float(given.attribute("cubic_coeff_a", -0.75)),
        bool(given.attribute("exclude_outside", 0)), bool(given.attribute("antialias", 0)),
    )  # fmt: skip


def _read_parts(given: Given, count: int) -> list[tuple[float, float]]:
    """The part of each axis that tf_crop_and_resize reads: first all starts, then all ends."""
    roi = [float(item) for item in np.ravel(given.constant(1))]
    if len(roi) != 2 * count or not all(map(math.isfinite, roi)):
        raise ValueError("its roi does not have two finite numbers for each axis")
    return list(zip(roi[:count], roi[count:]))


def _scales(given: Given) -> tuple[list[float], list[int]]:
    if "scales" in given.node.attributes:
        return [float(scale) for scale in given.node.attributes["scales"]], []
    place = 1 if given.node.operator == "Upsample" or given.opset < 11 else 2
    scales = given.optional(place)
    if scales is not None and scales.size:
        return [float(scale) for scale in np.ravel(scales)], []
    sizes = given.optional(3)
    if sizes is None or not sizes.size:
        raise ValueError("it says neither scales nor sizes")
    return [], [int(size) for size in np.ravel(sizes)]


def _up_sampling(given: Given, tensor: Tensor, changes: dict[int, Taps]) -> Tensor | None:
    """The layer UpSampling2D, where it reads the same cells with the same weights."""
    network = given.network
    if len(tensor.shape) != 3 or not changes or not set(changes) <= {1, 2}:
        return None
    sizes = [
        (tensor.shape[axis], len(changes[axis].cells) if axis in changes else tensor.shape[axis]) for axis in (1, 2)
    ]
    if any(output % size for size, output in sizes):
        return None
    times = tuple(output // size for size, output in sizes)
    for interpolation in ("nearest", "bilinear"):
        description = layer.UpSampling2D(times, interpolation=interpolation)
        both = description._both((tensor.shape[1], tensor.shape[2], tensor.shape[0]))
        if all(_alike(taps, changes[axis]) for axis, taps in zip((1, 2), both) if axis in changes):
            last = network.channels_last(tensor)
            return network.result(network.add(description, [last.port]), last, positive=tensor.positive)
    return None


def _alike(first: Taps, second: Taps) -> bool:
    return all(
        [cell for cell, _ in a] == [cell for cell, _ in b]
        and np.allclose([w for _, w in a], [w for _, w in b], 0, 1e-12)
        for a, b in zip(first.cells, second.cells)
    )

"""Convolutions, pooling and normalisation: layers that want the channels last."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from depthwise.compiler.ir.expression import Constant as Number
from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.data.formats.onnx.reading.network import Constant, Network, NotBatchedError, RefusedError, Tensor, Value
from depthwise.data.formats.onnx.reading.registry import Given, operator
from depthwise.layers import descriptions as layer
from depthwise.layers.description import Description
from depthwise.layers.tensors import (
    Arithmetic,
    ConstantPadding,
    PaddedAverage,
    Reduction,
    StridedCopy,
    StridedDilatedConv1D,
    StridedDilatedConv2D,
    TransposedConvolution,
)
from depthwise.network.window import window_axis

Sides = list[tuple[int, int]]

MOST_COPIES = 64
"""The cells of a dilated pooling window: each is a copy of the map."""


class Map:
    """A tensor as a layer sees it: (rows, columns, channels) or (steps, channels), and the way back to the file's axes."""

    def __init__(self, network: Network, tensor: Tensor, ranks: Sequence[int] = (1, 2)) -> None:
        self.network = network
        if network.batch is None:  # one sample holds all axes: the first must be of one
            if len(tensor.shape) < 2 or tensor.shape[0] != 1:
                raise RefusedError("the first axis of its input is no batch that the whole network keeps")
            tensor = network.reshaped(tensor, tensor.shape[1:])
        self.like = tensor
        self.rank = len(tensor.shape) - 1
        if self.rank not in ranks:
            raise RefusedError(f"over {self.rank} axes; {' or '.join(map(str, ranks))} are supported")
        last = network.channels_last(tensor)
        self.port, self.positive = last.port, last.positive

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.network.shapes[self.port][:-1]

    @property
    def channels(self) -> int:
        return self.network.shapes[self.port][-1]

    def run(self, description: Description, arrays: Sequence[Any] = (), name: str = "") -> None:
        """The map becomes what a layer makes of it."""
        self.port = self.network.add(description, [self.port], arrays, name)

    def kind(self, name: str, behind: str = "") -> Callable[..., Description]:
        """The layer of that name for images or for sequences."""
        return layer.LAYERS[f"{name}{self.rank}D{behind}"]

    def padded(self, sides: Sides, value: float) -> None:
        """Rows, columns or steps around the map."""
        if not any(map(any, sides)):
            return
        if value == 0.0:
            self.run(self.kind("ZeroPadding")(tuple(sides) if self.rank == 2 else sides[0]), name=self.side_name("pad"))
            return
        for axis, (before, after) in enumerate(sides):
            if before or after:
                self.run(ConstantPadding(axis=axis, sides=(before, after), value=value), name=self.side_name("pad"))

    def side_name(self, what: str) -> str:
        return f"{self.network.prefix}_{what}"

    def result(self, positive: bool = False) -> Tensor:
        stored = self.network.shapes[self.port]
        shape = (stored[-1], *stored[:-1])
        tensor = Tensor(self.port, shape, (*range(1, len(shape)), 0), positive=positive)
        return self.network.reshaped(tensor, (1, *shape)) if self.network.batch is None else tensor


class Window:
    """The attributes that convolutions and pooling share."""

    def __init__(self, given: Given, sizes: Sequence[int], kernel: Sequence[int]) -> None:
        rank = len(sizes)
        self.kernel = [int(size) for size in kernel]
        self.strides = [int(size) for size in given.attribute("strides", [1] * rank)]
        self.dilations = [int(size) for size in given.attribute("dilations", [1] * rank)]
        if not len(self.kernel) == len(self.strides) == len(self.dilations) == rank:
            raise ValueError(f"its window does not have {rank} axes")
        if min([*self.kernel, *self.strides, *self.dilations]) < 1:
            raise ValueError("its kernel, strides and dilations must be above 0")
        self.spans = [(size - 1) * dilation + 1 for size, dilation in zip(self.kernel, self.dilations)]
        pads = [int(size) for size in given.attribute("pads", [0] * (2 * rank))]
        automatic = given.attribute("auto_pad", "NOTSET")
        if automatic not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER") or len(pads) != 2 * rank:
            raise ValueError("its padding does not fit its axes")
        self.automatic = automatic
        if automatic == "VALID":
            pads = [0] * (2 * rank)
        self.sides: Sides = list(zip(pads[:rank], pads[rank:]))
        if automatic.startswith("SAME"):
            self.sides = [self._same(size, i) for i, size in enumerate(sizes)]
        if any(side < 0 for both in self.sides for side in both):
            raise RefusedError("negative padding is not supported")
        self.sizes = sizes

    def _same(self, size: int, i: int) -> tuple[int, int]:
        total = max(0, (-(-size // self.strides[i]) - 1) * self.strides[i] + self.spans[i] - size)
        small, large = total // 2, total - total // 2
        return (small, large) if self.automatic == "SAME_UPPER" else (large, small)

    @property
    def is_same(self) -> bool:
        """Whether Keras' "same" pads so."""
        for i, size in enumerate(self.sizes):
            axis = window_axis("", "", size, self.kernel[i], self.strides[i], self.dilations[i], "same")
            if (axis.pad_before, axis.pad_after) != self.sides[i]:
                return False
        return True

    def ceiled(self) -> Sides:
        """Cells after the padding that ceil_mode adds, so that the last window ends inside."""
        more = []
        for i, size in enumerate(self.sizes):
            whole = size + sum(self.sides[i])
            count = -(-(whole - self.spans[i]) // self.strides[i]) + 1
            if (count - 1) * self.strides[i] >= size + self.sides[i][0]:
                count -= 1
            more.append((0, max(0, (count - 1) * self.strides[i] + self.spans[i] - whole)))
        return more


def _pair(values: Sequence[int]) -> Any:
    return tuple(values) if len(values) > 1 else values[0]


@operator("Conv")
def _convolution(given: Given) -> Tensor:
    kernel = given.constant(1).astype(np.float32)
    bias = given.optional(2)
    map_ = Map(given.network, given.floats())
    if kernel.ndim != map_.rank + 2:
        raise ValueError(f"its kernel {kernel.shape} does not fit {map_.rank} axes")
    window = Window(given, map_.sizes, kernel.shape[2:])
    groups, filters = int(given.attribute("group", 1)), kernel.shape[0]
    if groups < 1 or kernel.shape[1] * groups != map_.channels or filters % groups:
        raise ValueError(f"its kernel {kernel.shape} in {groups} groups does not fit {map_.channels} channels")
    padding = "valid"
    if any(map(any, window.sides)):
        padding = "same" if window.is_same else "valid"
        if padding == "valid":
            map_.padded(window.sides, 0.0)
    options = {
        "kernel_size": _pair(window.kernel), "strides": _pair(window.strides), "padding": padding,
        "dilation_rate": _pair(window.dilations), "use_bias": bias is not None,
    }  # fmt: skip
    arrays = [] if bias is None else [bias]
    axes = tuple(range(2, kernel.ndim))
    if groups == map_.channels and groups > 1:
        times = filters // groups
        shaped = kernel.reshape(groups, times, *kernel.shape[2:]).transpose(*axes, 0, 1)
        map_.run(map_.kind("DepthwiseConv")(depth_multiplier=times, **options), [shaped, *arrays])
        return map_.result()
    kind = map_.kind("Conv")
    if max(window.strides) > 1 and max(window.dilations) > 1:
        kind = StridedDilatedConv2D if map_.rank == 2 else StridedDilatedConv1D
    map_.run(kind(filters=filters, groups=groups, **options), [kernel.transpose(*axes, 1, 0), *arrays])
    return map_.result()


@operator("ConvTranspose")
def _transposed(given: Given) -> Tensor:
    kernel = given.constant(1).astype(np.float32)
    bias = given.optional(2)
    map_ = Map(given.network, given.floats())
    if kernel.ndim != map_.rank + 2 or kernel.shape[0] != map_.channels:
        raise ValueError(f"its kernel {kernel.shape} does not fit {map_.channels} channels")
    groups, filters = int(given.attribute("group", 1)), kernel.shape[1]
    if groups < 1 or map_.channels % groups:
        raise ValueError(f"{map_.channels} channels do not make {groups} groups")
    window = Window(given, map_.sizes, kernel.shape[2:])
    added = [int(size) for size in given.attribute("output_padding", [0] * map_.rank)]
    wanted = given.attribute("output_shape")
    sizes = [
        (size - 1) * stride + span + more
        for size, stride, span, more in zip(map_.sizes, window.strides, window.spans, added, strict=True)
    ]
    sides = _cut(window, sizes, map_.sizes, None if wanted is None else wanted[-map_.rank :])
    arrays = [kernel.transpose(*range(2, kernel.ndim), 1, 0), *([] if bias is None else [bias])]
    both = max(window.strides) > 1 and max(window.dilations) > 1
    inside = all(0 <= more < stride for more, stride in zip(added, window.strides))
    if groups > 1 or both or not inside or min(min(pair) for pair in sides) < 0:
        description: Description = TransposedConvolution(
            filters=filters * groups, kernel_size=tuple(window.kernel), strides=tuple(window.strides),
            dilation_rate=tuple(window.dilations), sides=tuple((before, after - more) for (before, after), more in zip(sides, added)),
            size=tuple(size - sum(pair) for size, pair in zip(sizes, sides)), groups=groups, use_bias=bias is not None,
            operator="ConvTranspose",
        )  # fmt: skip
        map_.run(description, arrays)
        return map_.result()
    options = {
        "filters": filters, "kernel_size": _pair(window.kernel), "strides": _pair(window.strides),
        "dilation_rate": _pair(window.dilations), "output_padding": _pair(added), "use_bias": bias is not None,
    }  # fmt: skip
    map_.run(map_.kind("Conv", "Transpose")(**options), arrays)
    if any(map(any, sides)):
        map_.run(map_.kind("Cropping")(tuple(sides) if map_.rank == 2 else sides[0]), name=map_.side_name("crop"))
    return map_.result()


def _cut(window: Window, sizes: Sequence[int], given: Sequence[int], wanted: Sequence[int] | None) -> Sides:
    """What is cut off each axis of the whole result."""
    if wanted is None and not window.automatic.startswith("SAME"):
        return window.sides
    if wanted is None:
        wanted = [size * stride for size, stride in zip(given, window.strides)]
    found = []
    for size, want in zip(sizes, wanted):
        total = size - int(want)
        small, large = total // 2, total - total // 2
        if total < 0:  # zeros, all of them at the end
            found.append((0, total))
        elif window.automatic == "NOTSET":  # as the operator's text has it: the larger part at the end
            found.append((small, large))
        else:
            found.append((small, large) if window.automatic == "SAME_UPPER" else (large, small))
    return found


@operator("MaxPool")
def _max_pooling(given: Given) -> Tensor:
    given.refuse_outputs()
    map_ = Map(given.network, given.floats())
    window = Window(given, map_.sizes, given.attribute("kernel_shape", ()))
    positive, more = map_.positive, window.ceiled() if given.attribute("ceil_mode", 0) else [(0, 0)] * map_.rank
    if max(window.dilations) > 1:
        _pad_for_maximum(map_, window.sides, more)
        if all(step % rate == 0 for step, rate in zip(window.strides, window.dilations)):
            _thinned_maximum(map_, window)
        else:
            _dilated_maximum(map_, window)
        return map_.result(positive)
    same = window.is_same and not any(map(any, more))
    if not same:
        _pad_for_maximum(map_, window.sides, more)
    options = {
        "pool_size": _pair(window.kernel),
        "strides": _pair(window.strides),
        "padding": "same" if same else "valid",
    }
    map_.run(map_.kind("MaxPooling")(**options))
    return map_.result(positive)


def _pad_for_maximum(map_: Map, sides: Sides, more: Sides) -> None:
    """Cells that are not the maximum; zeros where nothing is below 0."""
    together = [(before, after + last) for (before, after), (_, last) in zip(sides, more)]
    map_.padded(together, 0.0 if map_.positive else -math.inf)


def _cells_of_windows(map_: Map, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> list[str]:
    """Strided copies of the padded map, one for each cell of the window."""
    network, sizes = map_.network, map_.sizes
    spans = [(cells - 1) * rate + 1 for cells, rate in zip(kernel, dilations)]
    count = [(size - span) // step + 1 for size, span, step in zip(sizes, spans, strides)]
    if min(count) < 1:
        raise ValueError(f"its window {spans} does not fit into {sizes}")
    if math.prod(kernel) > MOST_COPIES:
        raise RefusedError(f"dilated windows of more than {MOST_COPIES} cells are not supported")
    shape = (*count, map_.channels)
    steps = (*((axis, step) for axis, step in enumerate(strides)), (map_.rank, 1))
    ports = []
    for cell in np.ndindex(*kernel):
        start = (*(i * rate for i, rate in zip(cell, dilations)), 0)
        ports.append(
            network.add(StridedCopy(shape=shape, start=start, steps=steps), [map_.port], name=map_.side_name("cell"))
        )
    return ports


def _thinned_maximum(map_: Map, window: Window) -> None:
    """Windows that begin at multiples of the dilation read no other cells: an ordinary pooling of these."""
    steps = (*enumerate(window.dilations), (map_.rank, 1))
    sizes = [-(-size // rate) for size, rate in zip(map_.sizes, window.dilations)]
    copy = StridedCopy(shape=(*sizes, map_.channels), start=(0,) * (map_.rank + 1), steps=steps)
    map_.run(copy, name=map_.side_name("cells"))
    strides = [step // rate for step, rate in zip(window.strides, window.dilations)]
    map_.run(map_.kind("MaxPooling")(pool_size=_pair(window.kernel), strides=_pair(strides)))


def _dilated_maximum(map_: Map, window: Window) -> None:
    """Along one axis after the other: as many copies as the kernel is long, not as it has cells."""
    for axis, (size, step, rate) in enumerate(zip(window.kernel, window.strides, window.dilations)):
        if size > 1 or step > 1:
            alone = [1] * map_.rank
            kernel, strides, dilations = ([*alone[:axis], one, *alone[axis + 1 :]] for one in (size, step, rate))
            cells = _cells_of_windows(map_, kernel, strides, dilations)
            map_.port = cells[0] if len(cells) == 1 else map_.network.add(layer.Maximum(), cells)


def _dilated_average(map_: Map, window: Window, more: Sides, with_padding: bool) -> None:
    """Means of the cells that lie on the map, or on its padding too; cells that only ceil_mode adds never count."""
    counts = np.ones(())
    for size, (before, after), (_, last), kernel, step, rate in zip(
        map_.sizes, window.sides, more, window.kernel, window.strides, window.dilations, strict=True
    ):
        starts = np.arange((size + before + after + last - (kernel - 1) * rate - 1) // step + 1) * step - before
        places = starts[:, None] + np.arange(kernel) * rate
        low, high = (-before, size + after) if with_padding else (0, size)
        counts = counts[..., None] * ((places >= low) & (places < high)).sum(axis=1)
    map_.padded([(before, after + last) for (before, after), (_, last) in zip(window.sides, more)], 0.0)
    cells = _cells_of_windows(map_, window.kernel, window.strides, window.dilations)
    total: Expression = Operand(0)
    for i in range(1, len(cells)):
        total = total + Operand(i)
    share = np.broadcast_to(np.float32(1.0) / counts[..., None].astype(np.float32), (*counts.shape, map_.channels))
    mean = Arithmetic(expression=total * Operand(len(cells)), constants=(share.shape,), operator="AveragePool")
    map_.port = map_.network.add(mean, cells, [share])


@operator("AveragePool")
def _average_pooling(given: Given) -> Tensor:
    map_ = Map(given.network, given.floats())
    window = Window(given, map_.sizes, given.attribute("kernel_shape", ()))
    more = window.ceiled() if given.attribute("ceil_mode", 0) else [(0, 0)] * map_.rank
    positive, sides = map_.positive, window.sides
    if max(window.dilations) > 1:
        _dilated_average(map_, window, more, bool(given.attribute("count_include_pad", 0)))
        return map_.result(positive)
    if given.attribute("count_include_pad", 0) and any(map(any, sides)):
        map_.padded(sides, 0.0)
        sides = [(0, 0)] * map_.rank
    elif window.is_same and not any(map(any, more)):
        options = {"pool_size": _pair(window.kernel), "strides": _pair(window.strides), "padding": "same"}
        map_.run(map_.kind("AveragePooling")(**options))
        return map_.result(positive)
    together = [(before, after + last) for (before, after), (_, last) in zip(sides, more)]
    if any(map(any, together)):
        lines = [(0, 0)] * (2 - map_.rank) + together
        description: Description = PaddedAverage(
            pool_size=tuple([1] * (2 - map_.rank) + window.kernel),  # type: ignore[arg-type]
            strides=tuple([1] * (2 - map_.rank) + window.strides),  # type: ignore[arg-type]
            padding=(*lines[0], *lines[1]),
            operator="AveragePool",
        )
    else:
        description = map_.kind("AveragePooling")(pool_size=_pair(window.kernel), strides=_pair(window.strides))
    map_.run(description)
    return map_.result(positive)


@operator("GlobalAveragePool", "GlobalMaxPool")
def _global_pooling(given: Given) -> Tensor:
    network, tensor = given.network, given.floats()
    name = given.node.operator.removesuffix("Pool")
    rank = len(tensor.shape) - 1 + network.offset - 1
    if tensor.batch_axis:
        raise NotBatchedError
    if network.batch is not None and rank in (1, 2):
        map_ = Map(network, tensor)
        map_.run(map_.kind(f"{name}Pooling")(keepdims=True))
        return map_.result(tensor.positive)
    if rank < 1:
        raise ValueError("its input has no places")
    axes = [tensor.order.index(network.axis(tensor, axis)) for axis in range(2, rank + 2)]
    kind = "mean" if name == "GlobalAverage" else "max"
    port = network.add(Reduction(kind=kind, axes=tuple(sorted(axes)), operator=given.node.operator), [tensor.port])
    return network.result(port, tensor, positive=tensor.positive)


# -- normalisation ---------------------------------------------------------------------------------------------------


@operator("BatchNormalization")
def _batch_normalisation(given: Given) -> Tensor:
    given.refuse_outputs()
    if given.attribute("training_mode", 0) or not given.attribute("spatial", 1):
        raise RefusedError("it is read as it predicts; training_mode=1 and spatial=0 are not supported")
    gamma, beta, mean, variance = (given.constant(i).astype(np.float32) for i in range(1, 5))
    tensor = given.network.channels_last(_with_channels(given))
    description = layer.BatchNormalization(epsilon=float(given.attribute("epsilon", 1e-5)))
    port = given.network.add(description, [tensor.port], [gamma, beta, mean, variance])
    return _back(given, given.network.result(port, tensor))


def _with_channels(given: Given) -> Tensor:
    """The input with its channels as the first axis of a sample."""
    tensor, network = given.floats(), given.network
    if network.batch is not None:
        return tensor
    if len(tensor.shape) < 2 or tensor.shape[0] != 1:
        raise RefusedError("the first axis of its input is no batch that the whole network keeps")
    return network.reshaped(tensor, tensor.shape[1:])


def _back(given: Given, tensor: Tensor) -> Tensor:
    network = given.network
    return tensor if network.batch is not None else network.reshaped(tensor, (1, *tensor.shape))


@operator("InstanceNormalization", "GroupNormalization")
def _group_normalisation(given: Given) -> Tensor:
    tensor = given.network.channels_last(_with_channels(given))
    channels = tensor.shape[0]
    gamma, beta = (np.ravel(given.constant(i)).astype(np.float32) for i in (1, 2))
    groups = int(given.attribute("num_groups", channels))
    if groups < 1 or channels % groups:
        raise ValueError(f"{channels} channels do not make {groups} groups")
    if len(gamma) == groups != channels:  # operator set 18: one number a group
        gamma, beta = (np.repeat(item, channels // groups) for item in (gamma, beta))
    description = layer.GroupNormalization(groups=groups, epsilon=float(given.attribute("epsilon", 1e-5)))
    port = given.network.add(description, [tensor.port], [gamma, beta])
    return _back(given, given.network.result(port, tensor))


@operator("LayerNormalization", "RMSNormalization")
def _layer_normalisation(given: Given) -> Tensor | list[Value]:
    network, tensor = given.network, given.network.plain(given.floats())
    first = network.axis(tensor, int(given.attribute("axis", -1)))
    if network.full_axis(tensor, first) < tensor.batch_axis:
        raise NotBatchedError
    whole, epsilon = tensor.shape[first:], float(given.attribute("epsilon", 1e-5))
    scale = np.broadcast_to(given.constant(1), whole).astype(np.float32)
    bias = given.optional(2)
    shift = None if bias is None else np.broadcast_to(bias, whole).astype(np.float32)
    axes = list(range(first, len(tensor.shape)))
    if given.node.operator == "RMSNormalization" or any(given.node.outputs[1:]):
        return _spelled_out(given, tensor, axes, scale, shift)
    row = tensor if len(axes) == 1 else network.reshaped(tensor, (*tensor.shape[:first], math.prod(whole)))
    description = layer.LayerNormalization(epsilon=epsilon, center=shift is not None)
    port = network.add(description, [row.port], [scale] if shift is None else [scale, shift])
    return network.reshaped(network.result(port, row), tensor.shape)


def _spelled_out(given: Given, tensor: Tensor, axes: Sequence[int], scale: Any, shift: Any) -> list[Value]:
    """The normalisation by its parts: without a mean, or with the mean and the inverse deviation as outputs too."""
    network, x, name = given.network, Operand(0), given.node.operator

    def mean_of(part: Tensor) -> Tensor:
        return network.result(network.add(Reduction(kind="mean", axes=tuple(axes)), [part.port]), part)

    mean = mean_of(tensor)
    apart = tensor if name == "RMSNormalization" else network.arithmetic(name, x - Operand(1), [tensor, mean])
    variance = mean_of(network.arithmetic(name, x * x, [apart]))
    epsilon = float(given.attribute("epsilon", 1e-5))
    inverse = network.arithmetic(name, Number(1.0) / apply("sqrt", x + epsilon), [variance])
    values: list[Value] = [apart, inverse, Constant(scale)]
    if shift is None:
        return [network.arithmetic(name, x * Operand(1) * Operand(2), values), mean, inverse]
    values.append(Constant(shift))
    return [network.arithmetic(name, x * Operand(1) * Operand(2) + Operand(3), values), mean, inverse]


@operator("LRN")
def _local_response(given: Given) -> Tensor:
    """x / (bias + alpha / size · the sum of the squares of `size` neighbouring channels)^beta; the sum as a 1×1 convolution."""
    size, alpha = int(given.attribute("size", 0)), float(given.attribute("alpha", 1e-4))
    beta, bias = float(given.attribute("beta", 0.75)), float(given.attribute("bias", 1.0))
    if size < 1:
        raise ValueError(f"its size must be above 0, got {size}")
    map_ = Map(given.network, given.floats())
    source, channels = map_.port, map_.channels
    if channels > 8192:
        raise RefusedError("over more than 8,192 channels")
    places = np.arange(channels)
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    apart = places[:, None] - places[None, :]
    band = ((apart >= -before) & (apart <= after)).astype(np.float32)
    x, total = Operand(0), Operand(1)
    map_.run(Arithmetic(expression=x * x, operator="LRN"), name=map_.side_name("squares"))
    options = {"kernel_size": _pair([1] * map_.rank), "use_bias": False}
    map_.run(map_.kind("Conv")(filters=channels, **options), [band], name=map_.side_name("sums"))
    scale = apply("exp", apply("log", total * (alpha / size) + bias) * -beta)
    map_.port = given.network.add(Arithmetic(expression=x * scale, operator="LRN"), [source, map_.port])
    return map_.result(map_.like.positive)


@operator("Dropout")
def _dropout(given: Given) -> Tensor:
    given.refuse_outputs()
    training = given.optional(2)
    if training is not None and bool(np.ravel(training)[0]):
        raise RefusedError("training_mode is not supported")
    rate = given.attribute("ratio", 0.5) if given.opset < 12 else 0.5
    ratio = given.optional(1) if given.opset >= 12 else None
    rate = float(rate if ratio is None else np.ravel(ratio)[0])
    tensor = given.raw()
    if tensor.flat is not None or not 0.0 <= rate < 1.0:
        return tensor
    return given.network.result(given.network.add(layer.Dropout(rate), [tensor.port]), tensor, positive=tensor.positive)

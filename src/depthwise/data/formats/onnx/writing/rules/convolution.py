"""Convolutions, pooling, and dense layers."""

from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Operand
from depthwise.data.formats.onnx.writing.layout import Layout
from depthwise.data.formats.onnx.writing.nodes import Tensor
from depthwise.data.formats.onnx.writing.rules.registry import rule
from depthwise.data.formats.onnx.writing.writer import Writer

__all__: list[str] = []

Array = NDArray[np.float32]
Shape = tuple[int, ...]


def channels_first(shape: Shape) -> Layout:
    """An image (rows, columns, channels) or a sequence (steps, channels) with its channels first."""
    return Layout.of_axes(shape, (len(shape) - 1, *range(len(shape) - 1)))


def _along(rank: int, values: tuple[int, ...]) -> list[int]:
    """What is given for rows and columns, for the axes that there are: a sequence has columns only."""
    return list(values[-(rank - 1) :])


def _window(operation: "op.Convolve | op.ConvolveDepthwise | op.ConvolveTransposed", rank: int) -> dict[str, Any]:
    top, bottom, left, right = operation.padding
    return {
        "kernel_shape": _along(rank, operation.kernel_size),
        "strides": _along(rank, operation.strides),
        "dilations": _along(rank, operation.dilation),
        "pads": [*_along(rank, (top, left)), *_along(rank, (bottom, right))],
    }


def _biased(writer: Writer, operands: tuple[str, ...]) -> list[Tensor]:
    """The bias of a convolution where it has one."""
    return [writer.arranged(name, Layout.plain(writer.shape(name))) for name in operands[2:3]]


def _convolve(
    writer: Writer, operation: "op.Convolve | op.ConvolveDepthwise", source: str, kernel: Tensor, group: int
) -> None:
    shape, result = writer.shape(source), writer.shape(operation.output)
    layout = channels_first(result)
    inputs = (writer.tensor(source, channels_first(shape)), kernel, *_biased(writer, operation.operands))
    made = writer.nodes.node("Conv", *inputs, shape=layout.shape, group=group, **_window(operation, len(shape)))
    writer.give(operation.output, made, layout)


@rule(op.Convolve)
def convolve(writer: Writer, operation: op.Convolve) -> None:
    """A Conv node; a dense layer on every place of a map as matrix product where the channels are last already."""
    shape, kernel = writer.shape(operation.source), writer.shape(operation.kernel)
    images = len(shape) in (2, 3) and writer.layout(operation.source).lies_like(channels_first(shape))
    if len(kernel) == 2 and not images:
        _multiply_rows(writer, operation)
        return
    cells = _along(len(shape), operation.kernel_size)

    def change(array: Array) -> Array:
        return np.moveaxis(array.reshape(*cells, *kernel[-2:]), (-1, -2), (0, 1))

    weight = writer.weight(operation.kernel, ("convolution", len(cells)), change)
    _convolve(writer, operation, operation.source, weight, operation.groups)


def _multiply_rows(writer: Writer, operation: op.Convolve) -> None:
    shape, result = writer.shape(operation.source), writer.shape(operation.output)
    kernel = writer.arranged(operation.kernel, Layout.plain(writer.shape(operation.kernel)))
    inputs = writer.tensor(operation.source, Layout.plain(shape)), kernel
    made = writer.nodes.node("MatMul", *inputs, shape=result)
    for bias in _biased(writer, operation.operands):
        made = writer.nodes.node("Add", made, bias, shape=result)
    writer.give(operation.output, made, Layout.plain(result))


@rule(op.ConvolveDepthwise)
def convolve_depthwise(writer: Writer, operation: op.ConvolveDepthwise) -> None:
    """A Conv node with a group for each channel; channels that are repeated for a depth multiplier are more filters of the group."""
    source = operation.source
    if not writer.is_written(source):
        source = writer.program.writer[source].source
    channels = writer.shape(source)[-1]
    cells = _along(len(writer.shape(source)), operation.kernel_size)

    def change(array: Array) -> Array:
        return np.moveaxis(array.reshape(*cells, 1, -1), (-1, -2), (0, 1))

    weight = writer.weight(operation.kernel, ("depthwise", len(cells)), change)
    _convolve(writer, operation, source, weight, channels)


@rule(op.Repeat)
def repeat(writer: Writer, operation: op.Repeat) -> None:
    """Left to the depthwise convolution that reads it; else an axis of copies, in front of the others."""
    if isinstance(writer.program.only_reader(operation.output), op.ConvolveDepthwise):
        return
    seen = writer.view(operation.source)
    source = writer.tensor(operation.source, seen.layout)
    shape = (operation.times, *seen.layout.shape)
    sizes = writer.nodes.integers([1, *shape[:1], *[1] * len(seen.order)], "shape")
    made = writer.nodes.node("Expand", writer.nodes.reshape(source, (1, *source.shape)), sizes, shape=shape)
    axes = (*writer.shape(operation.source), operation.times)
    writer.give(operation.output, made, Layout.of_axes(axes, (len(seen.order), *seen.order)))


@rule(op.ConvolveTransposed)
def convolve_transposed(writer: Writer, operation: op.ConvolveTransposed) -> None:
    """A ConvTranspose node, with the bias that is added to its result."""
    shape, result = writer.shape(operation.source), operation.shape
    rank, layout = len(shape), channels_first(result)
    window = _window(operation, rank)
    more = []
    for place, (size, wanted) in enumerate(zip(shape[:-1], result[:-1])):
        reach = (window["kernel_shape"][place] - 1) * window["dilations"][place] + 1
        given = (size - 1) * window["strides"][place] + reach - window["pads"][place] - window["pads"][rank - 1 + place]
        more.append(wanted - given)
    inputs = [writer.tensor(operation.source, channels_first(shape)), _transposed_kernel(writer, operation, rank)]
    output = operation.output
    reader = writer.program.only_reader(output)
    if (
        type(reader) is op.Elementwise
        and reader.expression == Operand(0) + Operand(1)
        and reader.source == output
        and writer.is_parameter(reader.operands[1])
        and writer.shape(reader.operands[1]) == result[-1:]
    ):
        inputs += [writer.arranged(reader.operands[1], Layout.plain(result[-1:]))]
        output = reader.output
        writer.finished.add(output)
    attributes: dict[str, Any] = {**window, "output_padding": more if any(more) else None, "group": operation.groups}
    writer.give(output, writer.nodes.node("ConvTranspose", *inputs, shape=layout.shape, **attributes), layout)


def _transposed_kernel(writer: Writer, operation: op.ConvolveTransposed, rank: int) -> Tensor:
    cells = _along(rank, operation.kernel_size)

    def change(array: Array) -> Array:
        return np.moveaxis(array.reshape(*cells, *array.shape[-2:]), (-1, -2), (0, 1))

    return writer.weight(operation.kernel, ("transposed", len(cells)), change)


@rule(op.Contract)
def contract(writer: Writer, operation: op.Contract) -> None:
    """A Gemm node. The vector may have any order: the rows of the kernel are put into the same."""
    held = writer.layout(operation.source)
    count, units = writer.shape(operation.kernel)
    layout = held.shaped((count,))

    def change(array: Array) -> Array:
        moved = array.reshape(*held.sizes, units).transpose(*held.order, len(held.sizes))
        return moved.reshape(count, units)

    kernel = writer.weight(operation.kernel, ("rows", held.sizes, held.order), change)
    inputs = writer.tensor(operation.source, layout), kernel, *_biased(writer, operation.operands)
    made = writer.nodes.node("Gemm", *inputs, shape=(units,))
    writer.give(operation.output, made, Layout.plain((units,)))


def pads_of_pooling(writer: Writer, operation: op.Pad) -> bool:
    """Whether the padding is only there for the pooling that reads it, whose operator pads by itself."""
    reader = writer.program.only_reader(operation.output)
    if not isinstance(reader, op.PoolWindows) or any(operation.channels):
        return False
    if len(writer.shape(operation.source)) not in (2, 3):
        return False
    sizes = (reader.pool_size[0], reader.pool_size[0], reader.pool_size[1], reader.pool_size[1])
    if any(cells >= size for cells, size in zip(operation.padding, sizes) if cells):
        return False
    if reader.kind == "max":
        return operation.value == -inf
    return reader.counted_padding == operation.padding


@rule(op.PoolWindows)
def pool_windows(writer: Writer, operation: op.PoolWindows) -> None:
    """A MaxPool or AveragePool node; cells of padding do not count."""
    assert not any(operation.padding), "padding goes into a pooling with a pass, and nothing is fused here"
    source, padding = operation.source, (0, 0, 0, 0)
    if not writer.is_written(source):
        pad = writer.program.writer[source]
        assert isinstance(pad, op.Pad)
        source, padding = pad.source, pad.padding
    shape, layout = writer.shape(source), channels_first(writer.shape(operation.output))
    rank = len(shape)
    top, bottom, left, right = padding
    made = writer.nodes.node(
        "MaxPool" if operation.kind == "max" else "AveragePool",
        writer.tensor(source, channels_first(shape)),
        shape=layout.shape,
        kernel_shape=_along(rank, operation.pool_size),
        strides=_along(rank, operation.strides),
        pads=[*_along(rank, (top, left)), *_along(rank, (bottom, right))],
    )
    writer.give(operation.output, made, layout)


@rule(op.ReduceMap)
def reduce_map(writer: Writer, operation: op.ReduceMap) -> None:
    """A global pooling of channels that are first; a reduction of axes where they are last."""
    shape = writer.shape(operation.source)
    seen = writer.view(operation.source)
    channels = shape[-1]
    axes = len(shape) - 1
    source = writer.tensor(operation.source, seen.layout)
    if axes in (1, 2) and seen.place(axes) == 1:
        operator = "GlobalMaxPool" if operation.kind == "max" else "GlobalAveragePool"
        made = writer.nodes.node(operator, source, shape=(channels, *[1] * axes))
    elif prod(shape[:-1]) == 1:
        writer.give_same(operation.output, operation.source)
        return
    else:
        operator = "ReduceMax" if operation.kind == "max" else "ReduceMean"
        places = sorted(seen.place(axis) for axis in range(axes))
        made = writer.nodes.reduce(operator, source, places, operation.keepdims)
    writer.give(operation.output, made, Layout.plain((channels,)).shaped(made.shape))

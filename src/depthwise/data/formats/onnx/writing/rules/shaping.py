"""The same numbers in another place or shape, and what mixes the values of a row."""

from math import prod

import numpy as np

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand
from depthwise.data.formats.onnx.writing.layout import Layout, View, view
from depthwise.data.formats.onnx.writing.nodes import Tensor
from depthwise.data.formats.onnx.writing.rules.convolution import pads_of_pooling
from depthwise.data.formats.onnx.writing.rules.registry import rule
from depthwise.data.formats.onnx.writing.writer import Writer

__all__: list[str] = []

Shape = tuple[int, ...]


@rule(op.Reshape)
def reshape(writer: Writer, operation: op.Reshape) -> None:
    """No node: who reads the value decides what is needed."""
    writer.give_same(operation.output, operation.source)


@rule(op.Copy)
def copy(writer: Writer, operation: op.Copy) -> None:
    """No node."""
    writer.give_same(operation.output, operation.source)


@rule(op.Transpose)
def transpose(writer: Writer, operation: op.Transpose) -> None:
    """No node: who reads the value decides what is needed."""
    writer.give_transposed(operation.output, operation.source, operation.axes)


def _map(writer: Writer, value: str) -> Shape:
    """A value's shape; of more than three axes the map that the operation sees."""
    shape = writer.shape(value)
    return shape if len(shape) <= 3 else writer.program.type(value).map


@rule(op.Pad)
def pad(writer: Writer, operation: op.Pad) -> None:
    """A Pad node, in whatever order the axes are; left to a pooling that pads by itself."""
    if pads_of_pooling(writer, operation):
        return
    shape, result = _map(writer, operation.source), _map(writer, operation.output)
    top, bottom, left, right = operation.padding
    sides = ((top, bottom), (left, right), operation.channels)[-len(shape) :]
    seen = writer.view(operation.source, shape)
    before, after = ([0, *(sides[axis][end] for axis in seen.order)] for end in range(2))
    pads = writer.nodes.integers([*before, *after], "pads")
    inputs = writer.tensor(operation.source, seen.layout), pads, writer.nodes.number(operation.value)
    layout = Layout.of_axes(result, seen.order)
    writer.give(operation.output, writer.nodes.node("Pad", *inputs, shape=layout.shape), layout)


@rule(op.Slice)
def slice_(writer: Writer, operation: op.Slice) -> None:
    """A Slice node along the axes of which something is left out."""
    shape, result = _map(writer, operation.source), _map(writer, operation.output)
    starts = operation.start[-len(shape) :]
    seen = writer.view(operation.source, shape)
    cut = [axis for axis in range(len(shape)) if (starts[axis], result[axis]) != (0, shape[axis])]
    if not cut:
        writer.give_same(operation.output, operation.source)
        return
    lists = (
        ("starts", [starts[axis] for axis in cut]),
        ("ends", [starts[axis] + result[axis] for axis in cut]),
        ("axes", [seen.place(axis) for axis in cut]),
    )
    limits = (writer.nodes.integers(values, name) for name, values in lists)
    layout = Layout.of_axes(result, seen.order)
    source = writer.tensor(operation.source, seen.layout)
    writer.give(operation.output, writer.nodes.node("Slice", source, *limits, shape=layout.shape), layout)


@rule(op.Concatenate)
def concatenate(writer: Writer, operation: op.Concatenate) -> None:
    """A Concat node; where the operands' orders differ, in that of the largest."""
    shapes = [writer.shape(name) for name in operation.operands]
    largest = max(range(len(shapes)), key=lambda place: prod(shapes[place]))
    order = writer.view(operation.operands[largest]).order
    tensors = [writer.tensor(name, Layout.of_axes(shape, order)) for name, shape in zip(operation.operands, shapes)]
    layout = Layout.of_axes(writer.shape(operation.output), order)
    axis = order.index(len(order) - 1) + 1
    writer.give(operation.output, writer.nodes.node("Concat", *tensors, shape=layout.shape, axis=axis), layout)


@rule(op.Rearrange)
def rearrange(writer: Writer, operation: op.Rearrange) -> None:
    """A Slice node for parts and steps, an Expand node for repetitions, Gather where several axes read one."""
    shape, nodes = writer.shape(operation.source), writer.nodes
    plain = Layout.plain(shape)
    made = writer.tensor(operation.source, plain)
    read = [[k for k, (own, _) in enumerate(operation.steps) if own == axis] for axis in range(len(shape))]
    for axis in [axis for axis, readers in enumerate(read) if len(readers) > 1]:
        made = _gathered(writer, made, operation, axis, read[axis])
    sizes = list(made.shape)
    limits: list[tuple[int, int, int, int]] = []
    for axis, readers in enumerate(read):
        if len(readers) > 1:
            continue
        count, step = (operation.shape[readers[0]], operation.steps[readers[0]][1]) if readers else (1, 0)
        start, taken = operation.start[axis], count if step else 1
        if (start, taken, step or 1) != (0, shape[axis], 1):
            last = start + (taken - 1) * step
            end = last + 1 if step >= 0 else last - 1
            limits.append((start, end if end >= 0 else -shape[axis] - 1, axis + 1, step or 1))
        sizes[axis] = taken
    if limits:
        names = ("starts", "ends", "axes", "steps")
        lists = (nodes.integers(list(values), name) for name, values in zip(names, zip(*limits)))
        made = nodes.node("Slice", made, *lists, shape=tuple(sizes))
    wanted = [operation.shape[readers[0]] if len(readers) == 1 else sizes[axis] for axis, readers in enumerate(read)]
    if wanted != sizes:
        made = nodes.node("Expand", made, nodes.integers([1, *wanted], "shape"), shape=tuple(wanted))
    order = [k for readers in read for k in readers]
    writer.give(operation.output, made, Layout.of_axes(operation.shape, order).shaped(made.shape))


def _gathered(writer: Writer, source: Tensor, operation: op.Rearrange, axis: int, readers: list[int]) -> Tensor:
    """One axis of places that several axes of the result read together, the first of them the slowest."""
    places = [operation.start[axis]]
    for k in readers:
        places = [place + i * operation.steps[k][1] for place in places for i in range(operation.shape[k])]
    shape = list(source.shape)
    shape[axis] = len(places)
    return writer.nodes.node(
        "Gather", source, writer.nodes.integers(places, "places"), shape=tuple(shape), axis=axis + 1
    )


# -- rows ------------------------------------------------------------------------------------------------------------


@rule(op.Softmax)
def softmax(writer: Writer, operation: op.Softmax) -> None:
    """A Softmax or LogSoftmax node along the last axis, wherever the tensor has it."""
    shape = writer.shape(operation.source)
    last = len(shape) - 1
    seen = writer.view(operation.source, loose=(last,))
    source = writer.tensor(operation.source, seen.layout)
    kind = "LogSoftmax" if operation.logarithm else "Softmax"
    made = writer.nodes.node(kind, source, shape=source.shape, axis=seen.place(last))
    writer.give(operation.output, made, seen.layout)


@rule(op.NormaliseRows)
def normalise_rows(writer: Writer, operation: op.NormaliseRows) -> None:
    """A LayerNormalization node, with the scale and the shift that follow; before version 17 its arithmetic."""
    shape = writer.shape(operation.source)
    last = len(shape) - 1
    seen = writer.view(operation.source, loose=(last,))
    if seen.order[-1] != last:
        seen = View(tuple(range(len(shape))), Layout.plain(shape))
    source = writer.tensor(operation.source, seen.layout)
    if writer.nodes.opset < 17:
        writer.give(operation.output, _by_arithmetic(writer, source, operation.epsilon), seen.layout)
        return
    # Numbers of a row that have another order would need parameters in that order.
    in_order = view(seen.layout, shape) is not None
    scale, shift, output = _scale_and_shift(writer, operation) if in_order else (None, None, operation.output)
    plain = Layout.plain(shape[-1:])
    if scale is None:
        gamma = writer.nodes.constant(np.ones(shape[-1:], np.float32), f"ones/{shape[-1]}")
    else:
        gamma = writer.arranged(scale, plain)
    beta = [writer.arranged(shift, plain)] if shift is not None else []
    made = writer.nodes.node(
        "LayerNormalization", source, gamma, *beta, shape=source.shape, axis=-1, epsilon=operation.epsilon
    )
    writer.give(output, made, seen.layout)


_FOLLOWING: tuple[tuple[Expression, int | None, int | None], ...] = (
    (Operand(0) * Operand(1) + Operand(2), 1, 2),
    (Operand(0) * Operand(1), 1, None),
    (Operand(0) + Operand(1), None, 1),
)
"""What may follow a normalisation: the expression, and which of its operands are scale and shift."""


def _scale_and_shift(writer: Writer, operation: op.NormaliseRows) -> tuple[str | None, str | None, str]:
    """The parameters that the result is multiplied by and that are added, and the value that has both."""
    output = operation.output
    shape = writer.shape(output)
    reader = writer.program.only_reader(output)
    if type(reader) is op.Elementwise and reader.source == output:
        own = all(writer.is_parameter(name) and writer.shape(name) == shape[-1:] for name in reader.operands[1:])
        for expression, scale, shift in _FOLLOWING:
            if own and reader.expression == expression:
                writer.finished.add(reader.output)
                names = [None if place is None else reader.operands[place] for place in (scale, shift)]
                return names[0], names[1], reader.output
    return None, None, output


def _by_arithmetic(writer: Writer, source: Tensor, epsilon: float) -> Tensor:
    nodes, places = writer.nodes, [len(source.shape)]
    centred = nodes.spread("Sub", source, nodes.reduce("ReduceMean", source, places, keep=True))
    variance = nodes.reduce("ReduceMean", nodes.spread("Mul", centred, centred), places, keep=True)
    deviation = nodes.node("Sqrt", nodes.spread("Add", variance, nodes.number(epsilon)), shape=variance.shape)
    return nodes.spread("Div", centred, deviation)

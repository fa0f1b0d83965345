"""Arithmetic element by element, and batch normalisation, which is a piece of it."""

from collections import Counter
from math import prod

import numpy as np

from depthwise.compiler.ir import operations as op
from depthwise.data.formats.onnx.writing.functions import evaluate
from depthwise.data.formats.onnx.writing.layout import Layout, in_axes, view
from depthwise.data.formats.onnx.writing.nodes import Tensor
from depthwise.data.formats.onnx.writing.rules.convolution import channels_first
from depthwise.data.formats.onnx.writing.rules.registry import rule
from depthwise.data.formats.onnx.writing.rules.sums import is_matrix_product
from depthwise.data.formats.onnx.writing.writer import Writer

__all__: list[str] = []

Shape = tuple[int, ...]


@rule(op.Elementwise)
def elementwise(writer: Writer, operation: op.Elementwise) -> None:
    """The nodes of the expression, in the order that most of the numbers have already; left to the sum of a matrix product."""
    if is_matrix_product(writer, operation):
        return
    result = writer.shape(operation.output)
    whole = [name for name in operation.operands if not writer.is_parameter(name) and writer.shape(name) == result]
    main = _commonest(writer, whole)
    if _normalise(writer, operation, main):
        return
    if main is not None and all(
        name in whole or (writer.is_parameter(name) and writer.program.type(name).size == 1)
        for name in operation.operands
    ):
        tensors = {i: _alike(writer, name, main) for i, name in enumerate(operation.operands)}
        layout = main
    else:
        axes, order, layout = _axes(writer, main, result)
        tensors = {
            i: writer.operand(name, _part(writer.shape(name), result, axes, order))
            for i, name in enumerate(operation.operands)
        }
    writer.give(operation.output, evaluate(writer.nodes, operation.expression, tensors), layout)


def _commonest(writer: Writer, names: list[str]) -> Layout | None:
    """The layout that most operands of the result's shape have; the first of them where several are as common."""
    layouts = [writer.layout(name) for name in names]
    if not layouts:
        return None
    counts = Counter((layout.sizes, layout.order) for layout in layouts)
    return max(layouts, key=lambda layout: counts[layout.sizes, layout.order])


def _alike(writer: Writer, name: str, layout: Layout) -> Tensor:
    """The operand in this layout; a parameter of one number meets every element."""
    return writer.arranged(name, Layout.plain(())) if writer.is_parameter(name) else writer.tensor(name, layout)


def _axes(writer: Writer, main: Layout | None, result: Shape) -> tuple[list[tuple[int, int]], Shape, Layout]:
    """The axes of the tensors in which an expression with broadcast operands is computed: (size, axis of the result) each,
    their order, and the layout of the result."""
    layout = Layout.plain(result) if main is None else main
    seen = view(layout, result)
    if seen is not None:
        return list(zip(result, range(len(result)))), seen.order, seen.layout
    found = in_axes(layout, result)
    if found is None:
        return list(zip(result, range(len(result)))), tuple(range(len(result))), Layout.plain(result)
    factors, order = found
    return factors, order, Layout.of_axes([size for size, _ in factors], order)


def _part(shape: Shape, result: Shape, axes: list[tuple[int, int]], order: Shape) -> Layout:
    """The layout of an operand of this shape: size 1 where it is broadcast."""
    padded = (*[1] * (len(result) - len(shape)), *shape)
    return Layout.of_axes([size if padded[axis] == result[axis] else 1 for size, axis in axes], order)


def _normalise(writer: Writer, operation: op.Elementwise, main: Layout | None) -> bool:
    """Writes a BatchNormalization node where the operation is one and the channels are first, or can be."""
    if operation.expression != op.AFFINE or main is None or len(operation.operands) != 3:
        return False
    derived = [writer.program.values[name].derived for name in operation.operands[1:]]
    scale, shift = derived
    if scale is None or shift is None or (scale.rule, shift.rule) != ("normalisation_scale", "normalisation_shift"):
        return False
    shape = writer.shape(operation.source)
    channels = shape[-1]
    if len(shape) in (2, 3) and main.lies_like(channels_first(shape)):
        layout, places = channels_first(shape), Layout.plain((channels,))
    elif prod(shape) == channels:  # a vector, its numbers in any order
        layout = main.shaped((channels,))
        places = Layout(main.sizes, main.order, (channels,))
    else:
        return False
    tensors = []
    for name, value in zip(scale.sources, (1.0, 0.0, 0.0, 1.0)):
        if name:
            tensors.append(writer.arranged(name, places))
        else:
            constant = np.full(channels, value, np.float32)
            tensors.append(writer.nodes.constant(constant, f"{'ones' if value else 'zeros'}/{channels}"))
    source = writer.tensor(operation.source, layout)
    made = writer.nodes.node("BatchNormalization", source, *tensors, shape=layout.shape, epsilon=scale.constants[0])
    writer.give(operation.output, made, layout)
    return True

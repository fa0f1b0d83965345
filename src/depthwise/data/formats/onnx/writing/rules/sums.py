"""Sums along axes, and the products of matrices that they are part of."""

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Operand
from depthwise.data.formats.onnx.writing.layout import Layout
from depthwise.data.formats.onnx.writing.rules.registry import rule
from depthwise.data.formats.onnx.writing.writer import Writer

__all__ = ["is_matrix_product"]

OPERATORS = {"max": "ReduceMax", "min": "ReduceMin", "multiply": "ReduceProd"}


@rule(op.Sum)
def sum_(writer: Writer, operation: op.Sum) -> None:
    """A ReduceSum node, or the MatMul node of a matrix product."""
    if not writer.is_written(operation.source):
        _multiply(writer, operation)
    else:
        _reduce(writer, operation, "ReduceSum")


@rule(op.Reduce)
def reduce(writer: Writer, operation: op.Reduce) -> None:
    """A ReduceMax, ReduceMin or ReduceProd node."""
    _reduce(writer, operation, OPERATORS[operation.kind])


def _reduce(writer: Writer, operation: op.Sum, operator: str) -> None:
    shape, wanted = writer.program.type(operation.source).map, writer.program.type(operation.output).map
    summed = [axis for axis in range(3) if wanted[axis] == 1 and shape[axis] > 1]
    if not summed:
        writer.give_same(operation.output, operation.source)
        return
    seen = writer.view(operation.source, shape)
    source = writer.tensor(operation.source, seen.layout)
    made = writer.nodes.reduce(operator, source, sorted(map(seen.place, summed)), keep=True)
    writer.give(operation.output, made, Layout.of_axes(wanted, seen.order))


def is_matrix_product(writer: Writer, operation: op.Elementwise) -> bool:
    """Whether the products of the rows (n, 1, length) of one matrix with all rows (1, m, length) of another are only summed."""
    reader = writer.program.only_reader(operation.output)
    if type(reader) is not op.Sum or operation.expression != Operand(0) * Operand(1):
        return False
    if any(writer.is_parameter(name) for name in operation.operands):
        return False
    first, second = (writer.shape(name) for name in operation.operands)
    if len(first) != 3 or len(second) != 3 or (first[1], second[0], first[2]) != (1, 1, second[2]):
        return False
    return writer.shape(reader.output) == (first[0], second[1], 1)


def _multiply(writer: Writer, operation: op.Sum) -> None:
    product = writer.program.writer[operation.source]
    (rows, _, length), (_, columns, _) = (writer.shape(name) for name in product.operands)
    first = writer.tensor(product.operands[0], Layout.plain((rows, length)))
    second = writer.tensor(product.operands[1], Layout.of_axes((columns, length), (1, 0)))
    made = writer.nodes.node("MatMul", first, second, shape=(rows, columns))
    writer.give(operation.output, made, Layout.plain((rows, columns)))

"""Operations on tensors of any rank that no Keras layer is: members of networks from other frameworks' files.

Like the operations of `depthwise.layers.operation` they are not layers that a user makes. Axes are those of one sample, counted
from 0; a tensor has as many as its file says.
"""

from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, ClassVar

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand
from depthwise.dataclass import dataclass
from depthwise.errors import ShapeError
from depthwise.initializers import Initializer, Zeros
from depthwise.layers.convolution import Conv1D, Conv2D
from depthwise.layers.description import Description
from depthwise.network.facts import (
    LayerFacts,
    Resampling,
    Shape,
    Weight,
    as_pair,
    broadcast,
    kernel_formula,
    layer_facts,
    merged,
    number,
    single,
    sizes,
    spatial,
)
from depthwise.network.formula import product

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = [
    "TENSOR_OPERATIONS", "Arithmetic", "ConstantPadding", "MatrixProduct", "PaddedAverage", "Reduction", "StridedCopy",
    "StridedDilatedConv1D", "StridedDilatedConv2D", "TransposedConvolution", "WeightedCells",
    "is_foreign",
]  # fmt: skip


@dataclass(frozen=True)
class TensorOperation(Description):
    """Base of all operations here; `operator` is what the file calls it."""

    operator: str = ""
    module: ClassVar[str] = ""
    """Keras has no such class."""

    @property
    def _owner(self) -> str:
        return self.operator or type(self).__name__


@dataclass(frozen=True)
class Arithmetic(TensorOperation):
    """An expression, element by element, of the inputs and then of constant tensors, broadcast as in NumPy.

    Args:
        expression: its operands are the inputs, then the constants.
        constants: their shapes. Where `merged` finds no map, they must have the whole result's shape.
    """

    expression: Expression = Operand(0)
    constants: tuple[Shape, ...] = ()
    default_name: ClassVar[str] = "arithmetic"
    constant_initializer: ClassVar[Initializer] = Zeros()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        every = [*shapes, *self.constants]
        together = broadcast(self.label, every)
        maps = merged(every)
        kept = [(prod(together),)] * len(self.constants) if maps is None else maps[len(shapes) :]
        weights = [
            Weight(f"constant_{i}", shape, product([number(size) for size in shape]), False)
            for i, shape in enumerate(kept)
        ]
        return layer_facts(self, shapes, sizes(together), weights)

    def lower(self, builder: "Builder", call: "Call") -> None:
        constants = [builder.weight(call, weight.name) for weight in call.weights]
        builder.broadcast(call, self.expression, builder.inputs(call), constants, self.constants)


@dataclass(frozen=True)
class StridedCopy(TensorOperation):
    """Numbers at even distances: parts, steps, repetitions and backward orders of axes; see the operation `Rearrange`."""

    shape: Shape = ()
    start: tuple[int, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()
    default_name: ClassVar[str] = "strided_copy"

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        single(self, shapes)
        return layer_facts(self, shapes, sizes(self.shape))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        if len(self.shape) <= 3 and self.steps == tuple(
            (axis, 1) for axis in range(len(self.shape))
        ):  # it has a gradient
            start = (0, 0, 0, *self.start)[-3:]
            builder.emit(call, op.Slice((source,), (call.name,), (start[0], start[1], start[2]), self.shape))
        else:
            builder.emit(call, op.Rearrange((source,), (call.name,), self.shape, self.start, self.steps))


@dataclass(frozen=True)
class Reduction(TensorOperation):
    """The "add"ed, "mean", "max", "min" or "multiply"-ed numbers along `axes`, which keep the size 1."""

    kind: str = "add"
    axes: tuple[int, ...] = ()
    default_name: ClassVar[str] = "reduction"

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        kept = tuple(1 if axis in self.axes else size for axis, size in enumerate(shape))
        return layer_facts(self, shapes, sizes(kept), reads_all=True)

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        shape, result = builder.shape(source), call.output_shape
        count = prod(shape) // prod(result)
        maps = merged([shape, result])
        if maps is None:
            order = [axis for axis in range(len(shape)) if axis not in self.axes] + list(self.axes)
            source = builder.transpose(call, source, order, "ordered")
            maps = [(prod(result), count), (prod(result), 1)]
        source = builder.reshape(call, source, maps[0], "map")
        target, kept = f"{call.name}/reduced", maps[1]
        if self.kind in ("add", "mean"):
            value = builder.emit(call, op.Sum((source,), (target,), kept))
        else:
            value = builder.emit(call, op.Reduce((source,), (target,), kept, self.kind))
        if self.kind == "mean":
            mean = op.Elementwise((value,), (f"{call.name}/mean",), Operand(0) / float(count))
            value = builder.emit(call, mean)
        builder.give(call, builder.reshape(call, value, result, "result"))


@dataclass(frozen=True)
class WeightedCells(TensorOperation):
    """Every place along `axis` as a weighted sum of the input's: gathering, resizing, padding by reflection."""

    axis: int = 0
    taps: op.Taps = op.Taps(1, (((0, 1.0),),))
    default_name: ClassVar[str] = "weighted_cells"

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = single(self, shapes)
        output = (*shape[: self.axis], len(self.taps.cells), *shape[self.axis + 1 :])
        return layer_facts(self, shapes, sizes(output), reads_all=True)

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        shape, result = builder.shape(source), call.output_shape
        outer, size, inner = prod(shape[: self.axis]), shape[self.axis], prod(shape[self.axis + 1 :])
        one, turned = op.Taps(1, (((0, 1.0),),)), inner == 1 and outer > 1
        if turned:  # channels innermost: a map of one channel is slow
            source = builder.reshape(call, source, (outer, size), "matrix")
            source = builder.transpose(call, source, (1, 0), "columns")
            outer, inner = 1, outer
        read = builder.reshape(call, source, (outer, size, inner), "map")
        rows = one if outer == 1 else op.Taps(outer, tuple(((i, 1.0),) for i in range(outer)))
        value = builder.emit(call, op.Resample((read,), (f"{call.name}/sums",), rows, self.taps))
        if turned:
            value = builder.reshape(call, value, (len(self.taps.cells), inner), "rows")
            value = builder.transpose(call, value, (1, 0), "back")
        builder.give(call, builder.reshape(call, value, result, "result"))


@dataclass(frozen=True)
class ConstantPadding(TensorOperation):
    """`value` before and after the numbers along `axis`."""

    axis: int = 0
    sides: tuple[int, int] = (0, 0)
    value: float = 0.0
    default_name: ClassVar[str] = "constant_padding"

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = list(single(self, shapes))
        shape[self.axis] += sum(self.sides)
        return layer_facts(self, shapes, sizes(tuple(shape)))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        shape = builder.shape(source)
        outer, inner = prod(shape[: self.axis]), prod(shape[self.axis + 1 :])
        size, before, after = shape[self.axis], *self.sides
        if inner == 1:
            read = builder.reshape(call, source, (1, outer, size), "map")
            padded = op.Pad((read,), (f"{call.name}/padded",), (0, 0, 0, 0), self.value, self.sides)
        else:
            read = builder.reshape(call, source, (outer, size, inner), "map")
            padded = op.Pad((read,), (f"{call.name}/padded",), (0, 0, before, after), self.value)
        builder.give(call, builder.reshape(call, builder.emit(call, padded), call.output_shape, "result"))


@dataclass(frozen=True)
class MatrixProduct(TensorOperation):
    """The products of the matrices in the last two axes of two tensors; the axes before them are broadcast."""

    default_name: ClassVar[str] = "matrix_product"

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        if len(shapes) != 2 or min(map(len, shapes)) < 2 or shapes[0][-1] != shapes[1][-2]:
            raise ShapeError(f"{self.label}: matrices of the shapes {shapes} cannot be multiplied")
        (*_, rows, inner), (*_, columns) = shapes
        leading = broadcast(self.label, [shape[:-2] or (1,) for shape in shapes])
        leading = leading if max(map(len, shapes)) > 2 else ()
        output = (*leading, rows, columns)
        macs = product([number(size) for size in (*output, inner)])
        return layer_facts(self, shapes, sizes(output), macs=macs, reads_all=True)

    def lower(self, builder: "Builder", call: "Call") -> None:
        """Rows of the first against columns of the second, element by element, and the sums of the products."""
        first, second = builder.inputs(call)
        *leading, rows, columns = call.output_shape
        inner, count = builder.shape(first)[-1], prod(leading)
        order = list(range(len(builder.shape(second))))
        second = builder.transpose(call, second, [*order[:-2], order[-1], order[-2]], "columns")
        first = builder.expanded(call, first, (*leading, rows, inner), "first")
        second = builder.expanded(call, second, (*leading, columns, inner), "second")
        first = builder.reshape(call, first, (count * rows, 1, inner), "rows")
        second = builder.reshape(call, second, (count, 1, columns * inner), "each")
        if count > 1:
            second = builder.expanded(call, second, (count, rows, columns * inner), "for each row")
        second = builder.reshape(call, second, (count * rows if count > 1 else 1, columns, inner), "pairs")
        products = builder.emit(
            call, op.Elementwise((first, second), (f"{call.name}/products",), Operand(0) * Operand(1))
        )
        total = op.Sum((products,), (f"{call.name}/sums",), (count * rows, columns, 1))
        builder.give(call, builder.reshape(call, builder.emit(call, total), call.output_shape, "result"))


@dataclass(frozen=True)
class PaddedAverage(TensorOperation):
    """The mean of each window of a map or sequence with any padding (rows before, after, columns before, after), which does
    not count."""

    pool_size: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    default_name: ClassVar[str] = "padded_average"

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = spatial(self, shapes, len(single(self, shapes)) - 1)
        rows, columns = (1, shape[0]) if len(shape) == 2 else shape[:2]
        top, bottom, left, right = self.padding
        padded = (rows + top + bottom, columns + left + right)
        size = [(whole - own) // step + 1 for whole, own, step in zip(padded, self.pool_size, self.strides)]
        if min(size) < 1:
            raise ShapeError(f"{self.label}: a window of {self.pool_size} does not fit into {padded} cells")
        return layer_facts(self, shapes, sizes((*size[3 - len(shape) :], shape[-1])))

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        padded = builder.emit(call, op.Pad((source,), (f"{call.name}/padded",), self.padding, 0.0))
        window = (self.pool_size, self.strides, self.padding)
        builder.emit(call, op.PoolWindows((padded,), (call.name,), "mean", *window))


@dataclass(frozen=True)
class StridedDilatedConv2D(Conv2D):
    """Conv2D whose strides and dilation are both above 1, which Keras does not have."""

    takes_both: ClassVar[bool] = True
    default_name: ClassVar[str] = "strided_dilated_conv2d"
    module: ClassVar[str] = ""


@dataclass(frozen=True)
class StridedDilatedConv1D(Conv1D):
    """Conv1D whose strides and dilation are both above 1, which Keras does not have."""

    takes_both: ClassVar[bool] = True
    default_name: ClassVar[str] = "strided_dilated_conv1d"
    module: ClassVar[str] = ""


@dataclass(frozen=True)
class TransposedConvolution(TensorOperation):
    """A transposed convolution as ONNX has it and Keras has not: in groups, with strides and dilation, of any output size.

    Args:
        sides: cells cut off before the first output and after the last one, along each axis; below 0 after it: zeros there.
        size: the sizes of the output.
    """

    filters: int = 1
    kernel_size: tuple[int, ...] = (1, 1)
    strides: tuple[int, ...] = (1, 1)
    dilation_rate: tuple[int, ...] = (1, 1)
    sides: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    size: tuple[int, ...] = (1, 1)
    groups: int = 1
    use_bias: bool = True
    default_name: ClassVar[str] = "transposed_convolution"
    kernel_initializer: ClassVar[Initializer] = Zeros()
    bias_initializer: ClassVar[Initializer] = Zeros()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape, rank = spatial(self, shapes, len(self.kernel_size)), len(self.kernel_size)
        if min(self.size) < 1:
            raise ShapeError(f"{self.label}: the output would be empty: {'×'.join(map(str, self.size))} cells")
        filters = number(self.filters, "filters")
        kernel = kernel_formula(self.kernel_size, number(shape[-1] // self.groups, "input_channels"))
        kernel_shape = (*self.kernel_size, self.filters // self.groups, shape[-1])
        weights = [Weight("kernel", kernel_shape, filters * kernel, self.trainable)]
        if self.use_bias:
            weights.append(Weight("bias", (self.filters,), number(self.filters, "biases"), self.trainable))
        spans = [(cells - 1) * rate + 1 for cells, rate in zip(self.kernel_size, self.dilation_rate)]
        reach = [(-(-span // stride), Fraction(1, stride)) for span, stride in zip(spans, self.strides)]
        resampling = Resampling(*([(1, Fraction(1))] * (2 - rank)), *reach)
        macs = product([*(number(cells) for cells in shape[:-1]), filters, kernel])
        return layer_facts(self, shapes, sizes((*self.size, self.filters)), weights, macs, resampling=resampling)

    def lower(self, builder: "Builder", call: "Call") -> None:
        (source,) = builder.inputs(call)
        sides = [(0, 0)] * (2 - len(self.sides)) + [(before, max(0, after)) for before, after in self.sides]
        cut = [side for both in sides for side in both]
        transposed = op.ConvolveTransposed(
            (source, builder.weight(call, "kernel")),
            (f"{call.name}/transposed" if self.use_bias else call.name,),
            as_pair(self.kernel_size),
            as_pair(self.strides),
            as_pair(self.dilation_rate),
            (cut[0], cut[1], cut[2], cut[3]),
            self.groups,
            as_pair(self.size),
            call.output_shape,
        )
        result = builder.emit(call, transposed)
        if self.use_bias:
            builder.elementwise(call, Operand(0) + Operand(1), result, builder.weight(call, "bias"))


TENSOR_OPERATIONS: dict[str, type[Description]] = {
    kind.__name__: kind
    for kind in (
        Arithmetic, ConstantPadding, MatrixProduct, PaddedAverage, Reduction, StridedCopy, StridedDilatedConv1D,
        StridedDilatedConv2D, TransposedConvolution, WeightedCells,
    )
}  # fmt: skip
"""Every operation by the name of its class."""


def is_foreign(layer: Description) -> bool:
    """Whether Keras has no such layer, so that no file of Keras can hold it."""
    return type(layer) in TENSOR_OPERATIONS.values()

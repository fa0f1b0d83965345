"""Layers that join several inputs."""

from math import prod
from typing import TYPE_CHECKING, ClassVar

from depthwise.arguments import axes_argument
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, broadcast, layer_facts, number, sample_axes, sizes
from depthwise.network.formula import product, total

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"]


@dataclass(frozen=True)
class _Merge(Description):
    """Inputs taken together value by value. Their shapes fit as in NumPy: (1, 1, channels) serves every place of a map."""

    takes_list: ClassVar[bool] = True
    function: ClassVar[str] = ""
    fewest: ClassVar[int] = 1
    most: ClassVar[int | None] = None

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        if len(shapes) < self.fewest or (self.most is not None and len(shapes) > self.most):
            wanted = "two inputs" if self.most else "one input or more"
            raise ShapeError(f"{self.label} takes {wanted}, got {len(shapes)}")
        return layer_facts(self, shapes, sizes(broadcast(self.label, shapes)))

    def lower(self, builder: "Builder", call: "Call") -> None:
        inputs = builder.inputs(call)
        if len(inputs) == 1:
            builder.give(call, inputs[0])
            return
        joined: Expression = Operand(0)
        for index in range(1, len(inputs)):
            joined = apply(self.function, joined, Operand(index))
        builder.elementwise(call, self._finish(joined, len(inputs)))

    def _finish(self, joined: Expression, count: int) -> Expression:
        return joined


@dataclass(frozen=True)
class Add(_Merge):
    """The sum of the inputs, value by value."""

    default_name: ClassVar[str] = "add"
    function: ClassVar[str] = "add"


@dataclass(frozen=True)
class Subtract(_Merge):
    """The first input minus the second."""

    default_name: ClassVar[str] = "subtract"
    function: ClassVar[str] = "subtract"
    fewest: ClassVar[int] = 2
    most: ClassVar[int | None] = 2


@dataclass(frozen=True)
class Multiply(_Merge):
    """The product of the inputs, value by value."""

    default_name: ClassVar[str] = "multiply"
    function: ClassVar[str] = "multiply"


@dataclass(frozen=True)
class Average(_Merge):
    """The mean of the inputs, value by value."""

    default_name: ClassVar[str] = "average"
    function: ClassVar[str] = "add"

    def _finish(self, joined: Expression, count: int) -> Expression:
        return joined / float(count)


@dataclass(frozen=True)
class Maximum(_Merge):
    """The largest of the inputs, value by value."""

    default_name: ClassVar[str] = "maximum"
    function: ClassVar[str] = "maximum"


@dataclass(frozen=True)
class Minimum(_Merge):
    """The smallest of the inputs, value by value."""

    default_name: ClassVar[str] = "minimum"
    function: ClassVar[str] = "minimum"


@dataclass(frozen=True)
class Concatenate(Description):
    """Joins the inputs along an axis, the last one unless `axis` says otherwise."""

    axis: int = -1
    default_name: ClassVar[str] = "concatenate"
    takes_list: ClassVar[bool] = True

    def _normalise(self) -> None:
        if not isinstance(self.axis, int) or isinstance(self.axis, bool):
            raise InvalidArgumentError(f"Concatenate: axis must be an integer, got {describe_value(self.axis)}")

    def moved_axis(self, shapes: tuple[Shape, ...]) -> int | None:
        return self._moved(self.axis, shapes)

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        if not shapes or len({shape[:-1] for shape in shapes}) != 1:
            raise ShapeError(
                f"{self.label} takes inputs whose shapes differ in "
                f"{'the last axis' if self.axis == -1 else f'axis {self.axis}'} only, got "
                f"{', '.join(map(str, shapes)) or 'none'}"
            )
        channels = total([number(shape[-1], "input_channels") for shape in shapes])
        return layer_facts(self, shapes, (*sizes(shapes[0])[:-1], channels))

    def lower(self, builder: "Builder", call: "Call") -> None:
        inputs = builder.inputs(call)
        if len(inputs) == 1:
            builder.give(call, inputs[0])
        else:
            builder.emit(call, op.Concatenate(inputs, (call.name,)))


@dataclass(frozen=True)
class Dot(Description):
    """The sum of the products along one axis of each of two inputs, for all pairs of what their other axes hold.

    Args:
        axes: the axis of both, or one for each; the batch is axis 0.
        normalize: first divides each vector along its axis by its length, which gives the cosine between them.
    """

    axes: int | tuple[int, int]
    normalize: bool = False
    default_name: ClassVar[str] = "dot"
    takes_list: ClassVar[bool] = True

    def _normalise(self) -> None:
        axes = axes_argument(self._owner, "axes", self.axes)
        if isinstance(self.axes, (list, tuple)):
            if len(self.axes) != 2:
                raise InvalidArgumentError(f"Dot: axes must be one integer or two, got {describe_value(self.axes)}")
            axes = (int(self.axes[0]), int(self.axes[1]))
        if not isinstance(self.normalize, bool):
            raise InvalidArgumentError(f"Dot: normalize must be True or False, got {describe_value(self.normalize)}")
        self._set(axes=axes)

    def _places(self, shapes: tuple[Shape, ...]) -> list[int]:
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return [sample_axes(self, axis, shape)[0] for axis, shape in zip(axes, shapes)]

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        if len(shapes) != 2:
            raise ShapeError(f"{self.label} takes two inputs, got {len(shapes)}")
        places = self._places(shapes)
        lengths = [shape[place] for shape, place in zip(shapes, places)]
        if lengths[0] != lengths[1]:
            raise ShapeError(
                f"{self.label}: the axes must have equal sizes, got {lengths[0]} and {lengths[1]} of the shapes "
                f"{shapes[0]} and {shapes[1]}"
            )
        rest = [size for shape, place in zip(shapes, places) for i, size in enumerate(shape) if i != place] or [1]
        output = sizes(tuple(rest))
        return layer_facts(
            self, shapes, output, macs=product(output) * number(lengths[0], "input_size"), reads_all=True
        )

    def lower(self, builder: "Builder", call: "Call") -> None:
        """Both as matrices, one row against each of the other's, broadcast."""
        names = builder.inputs(call)
        shapes = tuple(builder.shape(name) for name in names)
        rows = []
        for i, (name, shape, place) in enumerate(zip(names, shapes, self._places(shapes))):
            order = [*(axis for axis in range(len(shape)) if axis != place), place]
            moved = builder.transpose(call, name, order, f"moved {i}")
            count, length = prod(shape) // shape[place], shape[place]
            matrix = builder.reshape(call, moved, (count, 1, length) if i == 0 else (1, count, length), f"rows {i}")
            if self.normalize:
                size = (*builder.shape(matrix)[:2], 1)
                matrix = unit_length(builder, call, matrix, size, 1e-7**2, f"unit {i}")
            rows.append(matrix)
        down, across = builder.shape(rows[0])[0], builder.shape(rows[1])[1]
        products = op.Elementwise(tuple(rows), (f"{call.name}/products",), Operand(0) * Operand(1))
        total = op.Sum((builder.emit(call, products),), (f"{call.name}/sum",), (down, across, 1))
        builder.give(call, builder.reshape(call, builder.emit(call, total), call.output_shape, "result"))


def unit_length(builder: "Builder", call: "Call", source: str, size: Shape, least: float, part: str) -> str:
    """`source` divided by its length √max(Σx², least); `size` is its shape with 1 along the axes of the sum."""
    x, squares = Operand(0), f"{call.name}/{part} squares"
    builder.emit(call, op.Elementwise((source,), (squares,), x * x))
    total = builder.emit(call, op.Sum((squares,), (f"{call.name}/{part} sum",), size))
    length = apply("sqrt", apply("max", least, Operand(1)))
    return builder.emit(call, op.Elementwise((source, total), (f"{call.name}/{part}",), x / length))

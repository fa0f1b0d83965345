"""Output shapes, parameter counts, MACs, bytes and receptive fields: what the facts of all layers share.

A layer's own rule is in its file of `depthwise.layers`. Each fact is a number *and* the formula that gives it, with its numbers filled in: `32×(3×3×1)+32 = 320`. Nothing else in
the project computes one. Convention: 1 MAC is one multiply and one add, 2 FLOP; bias and activation are not MACs; padded
window cells count. Shapes are those of one sample, without the batch; images are (height, width, channels).

>>> from depthwise.layers.descriptions import Conv2D
>>> facts = describe(Conv2D(32, (3, 3)), ((28, 28, 1),))
>>> facts.output_shape, facts.parameters.text, facts.macs.text
((26, 26, 32), '32×(3×3×1)+32 = 320', '26×26×32×(3×3×1) = 194,688')
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from depthwise.dataclass import dataclass
from depthwise.errors import ShapeError, describe_value
from depthwise.network.formula import Formula, number, product, total
from depthwise.network.window import Axis, window_axis

if TYPE_CHECKING:
    from depthwise.layers.description import Description

__all__ = [
    "BYTES_PER_NUMBER",
    "FLOP_PER_MAC",
    "MAXIMUM_ELEMENTS",
    "Axis",
    "Formula",
    "LayerFacts",
    "ReceptiveField",
    "Resampling",
    "Shape",
    "Weight",
    "as_pair",
    "broadcast",
    "describe",
    "image",
    "kernel_formula",
    "largest_smaller_depth_multiplier",
    "layer_facts",
    "merged",
    "number",
    "receptive_field",
    "sample_axes",
    "sequence",
    "single",
    "sizes",
    "spatial",
    "to_end",
    "window_axes",
]

Shape = tuple[int, ...]
Step = int | Fraction
Item = TypeVar("Item")

BYTES_PER_NUMBER = 4
"""All arithmetic is float32."""

FLOP_PER_MAC = 2
"""One multiply and one add."""

MAXIMUM_ELEMENTS = 2**31 - 1
"""The most elements that a map or a weight may hold; larger shapes are refused, so that nothing overflows."""


@dataclass(frozen=True)
class Weight:
    """One array of a layer: its Keras name, shape, the formula of its size, and whether `fit` changes it."""

    name: str
    shape: Shape
    formula: Formula
    trainable: bool


@dataclass(frozen=True)
class Resampling:
    """How a layer reads a map that it enlarges or shrinks: for each axis (the most input cells that one output cell reads, side
    by side; input cells from one output cell to the next)."""

    rows: tuple[int, Fraction]
    columns: tuple[int, Fraction]


@dataclass(frozen=True)
class LayerFacts:
    """Everything that follows from a layer and the shapes of its inputs.

    Attributes:
        output_shape: shape of one output sample.
        output_formulas: one formula for each size of `output_shape`.
        weights: the layer's arrays, in Keras' order.
        parameters: the size of all weights together.
        macs: multiply-accumulates for one sample.
        rows, columns: how the window moves, for layers that have one; else None.
        reads_all: whether every output depends on the whole map.
        moved_axis: see `Description.moved_axis`; weights and axes are those of the layer with that axis at the end.
        resampling: for layers that enlarge or shrink their map without a window; else None.
    """

    layer: "Description"
    input_shapes: tuple[Shape, ...]
    output_formulas: tuple[Formula, ...]
    weights: tuple[Weight, ...]
    parameters: Formula
    macs: Formula
    rows: Axis | None = None
    columns: Axis | None = None
    reads_all: bool = False
    resampling: Resampling | None = None
    moved_axis: int | None = None

    @property
    def channels_last(self) -> "LayerFacts":
        """The same with the axis that the layer works on at the end of all shapes."""
        axis = self.moved_axis
        if axis is None:
            return self
        same = len(self.output_formulas) == len(self.input_shapes[0])
        return replace(
            self,
            input_shapes=tuple(to_end(shape, axis) for shape in self.input_shapes),
            output_formulas=to_end(self.output_formulas, axis) if same else self.output_formulas,
            moved_axis=None,
        )

    @property
    def output_shape(self) -> Shape:
        return tuple(formula.value for formula in self.output_formulas)

    @property
    def trainable_parameters(self) -> int:
        return sum(weight.formula.value for weight in self.weights if weight.trainable)

    @property
    def weight_bytes(self) -> Formula:
        """Bytes of all weights."""
        return number(self.parameters.value, "parameters") * number(BYTES_PER_NUMBER, "bytes_per_number")

    @property
    def output_bytes(self) -> Formula:
        """Bytes of one output sample."""
        sizes = [number(size, meaning) for size, meaning in zip(self.output_shape, _meanings(self.output_shape))]
        return product(sizes) * number(BYTES_PER_NUMBER, "bytes_per_number")

    @property
    def flop(self) -> Formula:
        """Floating-point operations for one sample: a multiply and an add for each MAC."""
        return number(self.macs.value, "macs") * number(FLOP_PER_MAC, "flop_per_mac")

    @property
    def moved_bytes(self) -> Formula:
        """Bytes that must move at least once for one sample: inputs, weights and output."""
        inputs = number(sum(math.prod(shape) for shape in self.input_shapes), "input_numbers")
        numbers = inputs + number(self.parameters.value, "parameters")
        numbers = numbers + number(math.prod(self.output_shape), "output_numbers")
        return numbers.group() * number(BYTES_PER_NUMBER, "bytes_per_number")

    @property
    def arithmetic_intensity(self) -> float:
        """FLOP for each of `moved_bytes`; 0 without MACs."""
        return self.flop.value / self.moved_bytes.value


def _meanings(shape: Shape) -> tuple[str, ...]:
    names = ("output_height", "output_width", "output_channels")
    return {3: names, 2: ("output_length", "output_channels"), 1: ("output_units",)}.get(
        len(shape), ("output_size",) * len(shape)
    )


def to_end(items: tuple[Item, ...], axis: int) -> tuple[Item, ...]:
    """The items with the one at `axis` last."""
    return (*items[:axis], *items[axis + 1 :], items[axis])


def describe(layer: "Description", input_shapes: Sequence[Shape]) -> LayerFacts:
    """The facts of `layer` for inputs of `input_shapes` (each the shape of one sample).

    Raises:
        ShapeError: wrong rank or channels, an empty output, shapes that differ where they must not, or too many elements.
    """
    shapes = tuple(tuple(shape) for shape in input_shapes)
    axis = layer.moved_axis(shapes)
    if axis is None or any(len(shape) <= axis for shape in shapes):
        facts = layer.facts(shapes)
    else:
        facts = layer.facts(tuple(to_end(shape, axis) for shape in shapes))
        output = facts.output_formulas
        if len(output) == len(shapes[0]):
            output = (*output[:axis], output[-1], *output[axis:-1])
        facts = replace(facts, input_shapes=shapes, output_formulas=output, moved_axis=axis)
    for what, shape in [("output", facts.output_shape), *((weight.name, weight.shape) for weight in facts.weights)]:
        if math.prod(shape) > MAXIMUM_ELEMENTS:
            raise ShapeError(
                f"{layer.label}: the {what} of shape {describe_value(shape)} would hold more numbers than the "
                f"{MAXIMUM_ELEMENTS:,} that are allowed"
            )
    return facts


# What the layers' own rules are made of.


def layer_facts(
    layer: "Description",
    input_shapes: tuple[Shape, ...],
    output: Sequence[Formula],
    weights: Sequence[Weight] = (),
    macs: Formula | None = None,
    parameters: Formula | None = None,
    axes: tuple[Axis | None, Axis | None] = (None, None),
    reads_all: bool = False,
    resampling: Resampling | None = None,
) -> LayerFacts:
    """The facts; `parameters` is the sum of the weights' formulas unless given, `macs` 0."""
    size = parameters if parameters is not None else total([weight.formula for weight in weights])
    return LayerFacts(
        layer, input_shapes, tuple(output), tuple(weights), size, macs or number(0), *axes, reads_all, resampling
    )


def sizes(shape: Shape) -> list[Formula]:
    """A shape as formulas: what a layer that keeps the shape gives."""
    return [number(size, meaning) for size, meaning in zip(shape, _meanings(shape))]


def single(layer: "Description", shapes: tuple[Shape, ...]) -> Shape:
    """The shape of the one input, or ShapeError."""
    if len(shapes) != 1:
        raise ShapeError(f"{layer.label} takes one input, got {len(shapes)}")
    return shapes[0]


def broadcast(owner: str, shapes: Sequence[Shape]) -> Shape:
    """The shape that inputs of `shapes` have together, as in NumPy: axes of size 1 are repeated, missing ones come first.

    Raises:
        ShapeError: they do not fit.
    """
    longest = max(map(len, shapes))
    padded = [(1,) * (longest - len(shape)) + tuple(shape) for shape in shapes]
    together = tuple(max(axis) for axis in zip(*padded))
    if any(size not in (1, most) for shape in padded for size, most in zip(shape, together)):
        raise ShapeError(
            f"{owner}: its inputs have the shapes {', '.join(map(str, shapes))}, which do not fit together; each axis must "
            "have the same size in all of them, or the size 1"
        )
    return together


def merged(shapes: Sequence[Shape]) -> list[Shape] | None:
    """Shapes that are broadcast together, with neighbouring axes joined where all of them allow it; None where more than the
    three axes of a map are left."""
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    together = [max(axis) for axis in zip(*padded)]
    groups: list[list[int]] = []
    pattern: tuple[bool, ...] | None = None
    for axis, size in enumerate(together):
        if size == 1:
            continue
        own = tuple(shape[axis] == 1 for shape in padded)
        if own == pattern:
            groups[-1].append(axis)
        else:
            groups.append([axis])
            pattern = own
    if len(groups) > 3:
        return None
    return [tuple(math.prod(shape[axis] for axis in group) for group in groups) or (1,) for shape in padded]


def sample_axes(layer: "Description", axes: int | Sequence[int], shape: Shape) -> tuple[int, ...]:
    """Axes as Keras counts them, the batch being axis 0, as ascending places in the shape of one sample, each once.

    Raises:
        ShapeError: the batch's own axis, or one that the input does not have.
    """
    given = (axes,) if isinstance(axes, int) else tuple(axes)
    rank = len(shape)
    for axis in given:
        if not (1 <= axis <= rank or -rank <= axis <= -1):
            raise ShapeError(
                f"{layer.label}: an axis must be from 1 to {rank} or from {-rank} to -1 for samples of the shape {shape}, got "
                f"{describe_value(axis)}"
            )
    return tuple(sorted({axis - 1 if axis > 0 else axis + rank for axis in given}))


def image(layer: "Description", shapes: tuple[Shape, ...]) -> tuple[int, int, int]:
    """The shape of the one input, which must be (height, width, channels), or ShapeError."""
    shape = single(layer, shapes)
    if len(shape) != 3:
        raise ShapeError(
            f"{layer.label} takes images of shape (height, width, channels), got a sample of shape {shape}; "
            "add the channel axis, or remove the Flatten before it"
        )
    return shape[0], shape[1], shape[2]


def sequence(layer: "Description", shapes: tuple[Shape, ...]) -> tuple[int, int]:
    """The shape of the one input, which must be (steps, channels), or ShapeError."""
    shape = single(layer, shapes)
    if len(shape) != 2:
        raise ShapeError(
            f"{layer.label} takes sequences of shape (steps, channels), got a sample of shape {shape}; "
            "add the channel axis, or use the layer of this name that ends in 2D"
        )
    return shape[0], shape[1]


def spatial(layer: "Description", shapes: tuple[Shape, ...], rank: int) -> Shape:
    """The shape of the one input: that of an image for a layer of rank 2, of a sequence for one of rank 1; or ShapeError."""
    return image(layer, shapes) if rank == 2 else sequence(layer, shapes)


ONE_ROW = Axis(1, 1, 1, 1, 0, 0, 1, number(1))
"""How a window moves along the rows of a sequence, which is a map one row high."""


def window_axes(owner: str, shape: Shape, kernel: Any, strides: Any, dilation: Any, padding: str) -> tuple[Axis, Axis]:
    """How a window moves along rows and columns; a sequence (steps, channels) has one row."""
    names = ("height", "width") if len(shape) == 3 else ("length",)
    axes = [
        window_axis(owner, name, shape[i], kernel[i], strides[i], dilation[i], padding) for i, name in enumerate(names)
    ]
    return axes[-2] if len(axes) == 2 else ONE_ROW, axes[-1]


def kernel_formula(kernel_size: Any, channels: Formula) -> Formula:
    """The numbers of one kernel: (height×width×channels), (length×channels) for sequences."""
    names = ("kernel_height", "kernel_width") if len(kernel_size) == 2 else ("kernel_length",)
    return (product([number(size, name) for size, name in zip(kernel_size, names)]) * channels).group()


def as_pair(value: Any) -> tuple[int, int]:
    """A normalised argument of a window as (rows, columns); that of a sequence has one row."""
    return (value[0], value[1]) if len(value) == 2 else (1, value[0])


@dataclass(frozen=True)
class ReceptiveField:
    """The part of the input that one value can depend on.

    Attributes:
        rows, columns: its size in cells of the input.
        steps: how far apart, in cells of the input, neighbouring values look, a fraction behind enlarged maps; (0, 0) where each sees the whole input.
        image: rows and columns of the first map on the way, None before there is one.
        is_whole: whether every value sees the whole input.
    """

    rows: Formula
    columns: Formula
    steps: tuple[Step, Step]
    image: tuple[int, int] | None = None
    is_whole: bool = False


def receptive_field(facts: LayerFacts, before: Sequence[ReceptiveField]) -> ReceptiveField:
    """The receptive field of a layer's output, from those of its inputs; none for the network's input itself.

    Each window adds (span − 1) · step to the field, then multiplies the step by its stride. Where branches meet, it is the
    largest over all ways to the input, whatever their order (Araujo, Norris and Sim, "Computing receptive fields of
    convolutional neural networks", distill.pub 2019). A layer that reads the whole map (Dense after Flatten, global pooling)
    makes it the whole input.
    """
    shape = facts.channels_last.output_shape
    own = (shape[0], shape[1]) if len(shape) == 3 else (1, shape[0]) if len(shape) == 2 else None
    if not before:
        return ReceptiveField(number(1), number(1), (1, 1), own)
    image = next((field.image for field in before if field.image is not None), own)
    first = all((field.rows.value, field.columns.value, field.steps) == (1, 1, (1, 1)) for field in before)
    if facts.moved_axis is not None and first:  # the input did not say which of its axes are channels
        rows, columns, *_ = (1, *facts.channels_last.input_shapes[0])[-3:]
        image = (rows, columns)
    elif first and own is not None and _are_moved(facts.input_shapes[0], shape):
        image = own
    if image is not None and (facts.reads_all or any(field.is_whole for field in before)):
        return ReceptiveField(number(image[0], "input_height"), number(image[1], "input_width"), (0, 0), image, True)
    sizes, steps = [], []
    resampled = facts.resampling
    for index, axis in enumerate((facts.rows, facts.columns)):
        widest = max(before, key=lambda field: (field.rows, field.columns)[index].value)
        size, step = (widest.rows, widest.columns)[index], widest.steps[index]
        span, ratio = (1, Fraction(1)) if axis is None else (axis.span, Fraction(axis.stride))
        if resampled is not None:
            span, ratio = (resampled.rows, resampled.columns)[index]
        if span > 1:
            size = size + _growth(span - 1, step)
        step = _whole(step * ratio)
        sizes.append(size)
        steps.append(step)
    return ReceptiveField(sizes[0], sizes[1], (steps[0], steps[1]), image)


def _are_moved(before: Shape, after: Shape) -> bool:
    """Whether a layer puts the axes of a map into another order."""
    return len(after) == 3 and after != before and sorted(after) == sorted(before)


def _growth(cells: int, step: Step) -> Formula:
    """How much a window of so many cells more adds: rounded up where cells are closer than those of the input."""
    growth = number(cells, "window_span_minus_one")
    if step == 1:
        return growth
    if isinstance(step, int):
        return growth * number(step, "step")
    return number(math.ceil(cells * step), "window_span_minus_one")


def _whole(step: Fraction) -> Step:
    return int(step) if step.denominator == 1 else step


def largest_smaller_depth_multiplier(kernel_size: tuple[int, int], filters: int) -> int:
    """The largest depth multiplier d with which a separable layer still has fewer weights than the ordinary one.

    Per input channel a separable layer has d·(k² + filters) weights, an ordinary one k²·filters (biases are the same), so
    it is smaller exactly while d < k²·filters / (k² + filters). 0 means that not even d = 1 is smaller.
    """
    cells = kernel_size[0] * kernel_size[1]
    return -(-cells * filters // (cells + filters)) - 1

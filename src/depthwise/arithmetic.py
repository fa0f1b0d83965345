"""The single source of output shapes, parameter counts, MACs, bytes and receptive fields.

Each fact is a number *and* the formula that gives it, with its numbers filled in: `32×(3×3×1)+32 = 320`. Nothing else in
the project computes one. Convention: 1 MAC is one multiply and one add, 2 FLOP; bias and activation are not MACs; padded
window cells count. Shapes are those of one sample, without the batch; images are (height, width, channels).

>>> from depthwise.layers import Conv2D
>>> facts = describe(Conv2D(32, (3, 3)), ((28, 28, 1),))
>>> facts.output_shape, facts.parameters.text, facts.macs.text
((26, 26, 32), '32×(3×3×1)+32 = 320', '26×26×32×(3×3×1) = 194,688')
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from depthwise.errors import ShapeError, describe_value
from depthwise.formula import Formula, number, product, total
from depthwise.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    InputLayer,
    Layer,
    ReLU,
    Rescaling,
    SeparableConv2D,
    ZeroPadding2D,
    _GlobalPooling,
    _Pooling,
)
from depthwise.window import Axis, window_axis

__all__ = [
    "BYTES_PER_NUMBER",
    "FLOP_PER_MAC",
    "MAXIMUM_ELEMENTS",
    "Axis",
    "Formula",
    "LayerFacts",
    "Shape",
    "Weight",
    "describe",
    "largest_smaller_depth_multiplier",
    "number",
    "receptive_field",
]

Shape = tuple[int, ...]

BYTES_PER_NUMBER = 4
"""All arithmetic is float32."""

FLOP_PER_MAC = 2
"""One multiply and one add."""

MAXIMUM_ELEMENTS = 2**31 - 1
"""The most numbers one map or one weight may hold; larger shapes are refused, not overflowed."""


@dataclass(frozen=True)
class Weight:
    """One array of a layer: its Keras name, shape, the formula of its size, and whether `fit` changes it."""

    name: str
    shape: Shape
    formula: Formula
    trainable: bool


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
    """

    layer: Layer
    input_shapes: tuple[Shape, ...]
    output_formulas: tuple[Formula, ...]
    weights: tuple[Weight, ...]
    parameters: Formula
    macs: Formula
    rows: Axis | None = None
    columns: Axis | None = None

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
    return names if len(shape) == 3 else ("output_units",) if len(shape) == 1 else ("output_size",) * len(shape)


Rule = Callable[[Any, tuple[Shape, ...]], LayerFacts]
_RULES: dict[type[Layer], Rule] = {}


def _rule(*classes: type[Layer]) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(classes, function))
        return function

    return register


def describe(layer: Layer, input_shapes: Sequence[Shape]) -> LayerFacts:
    """The facts of `layer` for inputs of `input_shapes` (each the shape of one sample).

    Raises:
        ShapeError: wrong rank or channels, an empty output, shapes that differ where they must not, or too many elements.
    """
    rule = next(_RULES[cls] for cls in type(layer).__mro__ if cls in _RULES)
    shapes = tuple(tuple(shape) for shape in input_shapes)
    facts = rule(layer, shapes)
    for what, shape in [("output", facts.output_shape), *((weight.name, weight.shape) for weight in facts.weights)]:
        if math.prod(shape) > MAXIMUM_ELEMENTS:
            raise ShapeError(
                f"{_who(layer)}: the {what} of shape {describe_value(shape)} would hold more numbers than the "
                f"{MAXIMUM_ELEMENTS:,} that are allowed"
            )
    return facts


def _who(layer: Layer) -> str:
    kind = type(layer).__name__
    return kind if layer.name is None else f"{kind} {describe_value(layer.name)}"


def _facts(
    layer: Layer,
    input_shapes: tuple[Shape, ...],
    output: Sequence[Formula],
    weights: Sequence[Weight] = (),
    macs: Formula | None = None,
    parameters: Formula | None = None,
    axes: tuple[Axis | None, Axis | None] = (None, None),
) -> LayerFacts:
    size = parameters if parameters is not None else total([weight.formula for weight in weights])
    return LayerFacts(layer, input_shapes, tuple(output), tuple(weights), size, macs or number(0), *axes)


def _same_shape(layer: Layer, shapes: tuple[Shape, ...]) -> list[Formula]:
    return [number(size, meaning) for size, meaning in zip(_single(layer, shapes), _meanings(shapes[0]))]


def _single(layer: Layer, shapes: tuple[Shape, ...]) -> Shape:
    if len(shapes) != 1:
        raise ShapeError(f"{_who(layer)} takes one input, got {len(shapes)}")
    return shapes[0]


def _image(layer: Layer, shapes: tuple[Shape, ...]) -> tuple[int, int, int]:
    shape = _single(layer, shapes)
    if len(shape) != 3:
        raise ShapeError(
            f"{_who(layer)} takes images of shape (height, width, channels), got a sample of shape {shape}; "
            "add the channel axis, or remove the Flatten before it"
        )
    return shape[0], shape[1], shape[2]


def _axes(
    layer: Layer, shape: tuple[int, int, int], kernel: Any, strides: Any, dilation: Any, padding: str
) -> tuple[Axis, Axis]:
    rows, columns = (
        window_axis(_who(layer), name, shape[i], kernel[i], strides[i], dilation[i], padding)
        for i, name in enumerate(("height", "width"))
    )
    return rows, columns


def _kernel_formula(kernel_size: Any, channels: Formula) -> Formula:
    height, width = number(kernel_size[0], "kernel_height"), number(kernel_size[1], "kernel_width")
    return (height * width * channels).group()


@_rule(InputLayer)
def _input(layer: InputLayer, shapes: tuple[Shape, ...]) -> LayerFacts:
    return _facts(layer, shapes, [number(size, meaning) for size, meaning in zip(layer.shape, _meanings(layer.shape))])


@_rule(Conv2D)
def _conv2d(layer: Conv2D, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _image(layer, shapes)
    if shape[2] % layer.groups:
        raise ShapeError(f"{_who(layer)}: the input's {shape[2]} channels are not a multiple of groups={layer.groups}")
    axes = _axes(layer, shape, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
    channels = number(shape[2] // layer.groups, "input_channels" if layer.groups == 1 else "channels_per_group")
    filters = number(layer.filters, "filters")
    kernel = _kernel_formula(layer.kernel_size, channels)
    weights = [
        Weight("kernel", (*_pair(layer.kernel_size), channels.value, layer.filters), filters * kernel, layer.trainable)
    ]
    if layer.use_bias:
        weights.append(Weight("bias", (layer.filters,), number(layer.filters, "biases"), layer.trainable))
    return _facts(
        layer,
        shapes,
        (axes[0].formula, axes[1].formula, filters),
        weights,
        number(axes[0].output, "output_height") * number(axes[1].output, "output_width") * filters * kernel,
        axes=axes,
    )


@_rule(DepthwiseConv2D)
def _depthwise_conv2d(layer: DepthwiseConv2D, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _image(layer, shapes)
    axes = _axes(layer, shape, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
    outputs = _depthwise_outputs(shape[2], layer.depth_multiplier)
    kernel = _kernel_formula(layer.kernel_size, number(1, "one_channel"))
    weights = [
        Weight(
            "kernel",
            (*_pair(layer.kernel_size), shape[2], layer.depth_multiplier),
            outputs * kernel,
            layer.trainable,
        )
    ]
    if layer.use_bias:
        weights.append(Weight("bias", (outputs.value,), number(outputs.value, "biases"), layer.trainable))
    return _facts(
        layer,
        shapes,
        (axes[0].formula, axes[1].formula, outputs),
        weights,
        number(axes[0].output, "output_height") * number(axes[1].output, "output_width") * outputs * kernel,
        axes=axes,
    )


def _depthwise_outputs(channels: int, depth_multiplier: int) -> Formula:
    formula = number(channels, "input_channels")
    return formula if depth_multiplier == 1 else formula * number(depth_multiplier, "depth_multiplier")


@_rule(SeparableConv2D)
def _separable_conv2d(layer: SeparableConv2D, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _image(layer, shapes)
    axes = _axes(layer, shape, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)
    middle = _depthwise_outputs(shape[2], layer.depth_multiplier)
    filters = number(layer.filters, "filters")
    kernel = _kernel_formula(layer.kernel_size, number(1, "one_channel"))
    pointwise = (
        number(1, "kernel_height") * number(1, "kernel_width") * number(middle.value, "middle_channels")
    ).group()
    weights = [
        Weight(
            "depthwise_kernel",
            (*_pair(layer.kernel_size), shape[2], layer.depth_multiplier),
            middle * kernel,
            layer.trainable,
        ),
        Weight("pointwise_kernel", (1, 1, middle.value, layer.filters), filters * pointwise, layer.trainable),
    ]
    if layer.use_bias:
        weights.append(Weight("bias", (layer.filters,), number(layer.filters, "biases"), layer.trainable))
    pixels = number(axes[0].output, "output_height") * number(axes[1].output, "output_width")
    return _facts(
        layer,
        shapes,
        (axes[0].formula, axes[1].formula, filters),
        weights,
        pixels * middle * kernel + pixels * filters * pointwise,
        axes=axes,
    )


@_rule(Dense)
def _dense(layer: Dense, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _single(layer, shapes)
    units, inputs = number(layer.units, "units"), number(shape[-1], "inputs")
    leading = [number(size, meaning) for size, meaning in zip(shape[:-1], _meanings(shape))]
    weights = [Weight("kernel", (shape[-1], layer.units), units * inputs, layer.trainable)]
    if layer.use_bias:
        weights.append(Weight("bias", (layer.units,), number(layer.units, "biases"), layer.trainable))
    return _facts(layer, shapes, (*leading, units), weights, product([*leading, units, inputs]))


@_rule(_Pooling)
def _pooling(layer: _Pooling, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _image(layer, shapes)
    axes = _axes(layer, shape, layer.pool_size, layer.strides, (1, 1), layer.padding)
    return _facts(layer, shapes, (axes[0].formula, axes[1].formula, number(shape[2], "input_channels")), axes=axes)


@_rule(_GlobalPooling)
def _global_pooling(layer: _GlobalPooling, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _image(layer, shapes)
    channels = number(shape[2], "input_channels")
    return _facts(layer, shapes, (number(1), number(1), channels) if layer.keepdims else (channels,))


@_rule(BatchNormalization)
def _batch_normalization(layer: BatchNormalization, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _single(layer, shapes)
    if layer.axis not in (-1, len(shape)):
        raise ShapeError(f"{_who(layer)}: axis must be the last one (-1 or {len(shape)}), got {layer.axis}")
    names = [
        *(["gamma"] if layer.scale else []),
        *(["beta"] if layer.center else []),
        "moving_mean",
        "moving_variance",
    ]
    channels = number(shape[-1], "input_channels")
    weights = [
        Weight(name, (shape[-1],), channels, layer.trainable and not name.startswith("moving")) for name in names
    ]
    return _facts(
        layer, shapes, _same_shape(layer, shapes), weights, parameters=number(len(names), "arrays") * channels
    )


@_rule(Flatten)
def _flatten(layer: Flatten, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _single(layer, shapes)
    meanings = ("input_height", "input_width", "input_channels") if len(shape) == 3 else ("input_size",) * len(shape)
    return _facts(layer, shapes, (product([number(size, name) for size, name in zip(shape, meanings)]),))


@_rule(Activation, ReLU, Dropout, Rescaling)
def _elementwise(layer: Layer, shapes: tuple[Shape, ...]) -> LayerFacts:
    return _facts(layer, shapes, _same_shape(layer, shapes))


@_rule(Add)
def _add(layer: Add, shapes: tuple[Shape, ...]) -> LayerFacts:
    if len(shapes) < 2 or len(set(shapes)) != 1:
        raise ShapeError(
            f"{_who(layer)} takes two or more inputs of one shape, got {', '.join(map(str, shapes)) or 'none'}"
        )
    return _facts(layer, shapes, _same_shape(layer, shapes[:1]))


@_rule(Concatenate)
def _concatenate(layer: Concatenate, shapes: tuple[Shape, ...]) -> LayerFacts:
    if len(shapes) < 2 or len({shape[:-1] for shape in shapes}) != 1:
        raise ShapeError(
            f"{_who(layer)} takes two or more inputs whose shapes differ in the last axis only, got "
            f"{', '.join(map(str, shapes)) or 'none'}"
        )
    if layer.axis not in (-1, len(shapes[0])):
        raise ShapeError(f"{_who(layer)}: axis must be the last one (-1 or {len(shapes[0])}), got {layer.axis}")
    leading = _same_shape(layer, shapes[:1])[:-1]
    return _facts(layer, shapes, (*leading, total([number(shape[-1], "input_channels") for shape in shapes])))


@_rule(ZeroPadding2D)
def _zero_padding2d(layer: ZeroPadding2D, shapes: tuple[Shape, ...]) -> LayerFacts:
    shape = _image(layer, shapes)
    sizes = []
    padding: Any = layer.padding
    for axis, size, (before, after) in zip(("height", "width"), shape, padding, strict=False):
        sizes.append(number(before, "padding_before") + number(size, f"input_{axis}") + number(after, "padding_after"))
    return _facts(layer, shapes, (*sizes, number(shape[2], "input_channels")))


def _pair(value: Any) -> tuple[int, int]:
    return value[0], value[1]


def receptive_field(path: Sequence[LayerFacts]) -> tuple[Formula, Formula, tuple[int, int]]:
    """Rows and columns of the input that one value at the end of `path` can depend on, and the step between neighbours.

    `path` is the chain of layers from the input on. Each window adds (span − 1) · step to the field, then multiplies the
    step by its stride. A layer that reads the whole map (Dense after Flatten, global pooling) makes it the whole input.

    Returns:
        (rows, columns, (row step, column step)) in input cells.
    """
    fields = [number(1), number(1)]
    steps = [1, 1]
    whole: tuple[int, int] | None = None
    for facts in path:
        if isinstance(facts.layer, (Dense, _GlobalPooling)) and (
            isinstance(facts.layer, _GlobalPooling) or len(facts.input_shapes[0]) == 1
        ):
            first = next((item for item in path if len(item.output_shape) == 3), None)
            whole = (first.output_shape[0], first.output_shape[1]) if first else None
        for index, axis in enumerate((facts.rows, facts.columns)):
            if axis is None:
                continue
            if axis.span > 1:
                growth = number(axis.span - 1, "window_span_minus_one")
                fields[index] = fields[index] + (growth * number(steps[index], "step") if steps[index] > 1 else growth)
            steps[index] *= axis.stride
    if whole is not None:
        return number(whole[0], "input_height"), number(whole[1], "input_width"), (0, 0)
    return fields[0], fields[1], (steps[0], steps[1])


def largest_smaller_depth_multiplier(kernel_size: tuple[int, int], filters: int) -> int:
    """The largest depth multiplier d with which a separable layer still has fewer weights than the ordinary one.

    Per input channel a separable layer has d·(k² + filters) weights, an ordinary one k²·filters (biases are the same), so
    it is smaller exactly while d < k²·filters / (k² + filters). 0 means that not even d = 1 is smaller.
    """
    cells = kernel_size[0] * kernel_size[1]
    return -(-cells * filters // (cells + filters)) - 1

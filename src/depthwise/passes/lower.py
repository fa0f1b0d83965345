"""Graph → program: every layer becomes operations on maps, with nothing fused yet."""

import math
from collections.abc import Callable
from typing import Any

from depthwise import operations as op
from depthwise.arithmetic import Shape
from depthwise.graph import Graph, Node
from depthwise.layers import (
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    InputLayer,
    Layer,
    MaxPooling2D,
    ReLU,
    Rescaling,
    SeparableConv2D,
    ZeroPadding2D,
)
from depthwise.program import MapShape, Operation, Padding, Parameter, Program

__all__ = ["lower"]


def lower(graph: Graph, *, training: bool = False) -> Program:
    """The program that computes `graph`'s outputs; with `training`, dropout and batch statistics are in it."""
    builder = _Builder(training)
    for node in graph.nodes:
        builder.add(node)
    return Program(
        tuple((name, graph.by_name[name].output_shape) for name in graph.inputs),
        tuple((builder.tensor_of[name], graph.by_name[name].output_shape) for name in graph.outputs),
        tuple(builder.operations),
        builder.tensors,
        builder.parameters,
    )


def map_shape(shape: Shape) -> MapShape:
    """A sample's shape as (height, width, channels)."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (1, 1, shape[0]) if len(shape) == 1 else (1, math.prod(shape[:-1]), shape[-1])


class _Builder:
    def __init__(self, training: bool) -> None:
        self.training = training
        self.operations: list[Operation] = []
        self.tensors: dict[str, MapShape] = {}
        self.parameters: dict[str, Parameter] = {}
        self.tensor_of: dict[str, str] = {}
        """The tensor that holds each node's output."""

    def add(self, node: Node) -> None:
        for weight in node.weights:
            name = f"{node.name}/{weight.name}"
            self.parameters[name] = Parameter(name, weight.shape, weight.trainable)
        _LOWER[type(node.layer)](self, node, node.layer)

    def inputs(self, node: Node) -> tuple[str, ...]:
        return tuple(self.tensor_of[name] for name in node.inputs)

    def emit(self, node: Node, operation: Operation, shape: MapShape, *, last: bool = True) -> None:
        self.operations.append(operation)
        self.tensors[operation.output] = shape
        if last:
            self.tensor_of[node.name] = operation.output

    def activate(self, node: Node, source: str, activation: str) -> None:
        """Ends a layer: its activation as an operation of its own; `source` is the layer's output without it."""
        shape = map_shape(node.output_shape)
        if activation == "softmax":
            self.emit(node, op.Softmax((source,), f"{node.name}/softmax"), shape)
        elif activation == "linear":
            self.tensor_of[node.name] = source
        else:
            self.emit(node, op.Activate((source,), f"{node.name}/activation", activation), shape)


def _padding(node: Node) -> Padding:
    rows, columns = node.facts.rows, node.facts.columns
    assert rows is not None
    assert columns is not None
    return rows.pad_before, rows.pad_after, columns.pad_before, columns.pad_after


def _bias(node: Node) -> str | None:
    layer: Any = node.layer
    return f"{node.name}/bias" if layer.use_bias else None


def _input(builder: _Builder, node: Node, layer: InputLayer) -> None:
    builder.tensors[node.name] = map_shape(layer.shape)
    builder.tensor_of[node.name] = node.name


def _conv2d(builder: _Builder, node: Node, layer: Any) -> None:
    convolve = op.Convolve(
        builder.inputs(node),
        node.name,
        f"{node.name}/kernel",
        _bias(node),
        layer.kernel_size,
        layer.strides,
        layer.dilation_rate,
        _padding(node),
        layer.groups,
    )
    builder.emit(node, convolve, map_shape(node.output_shape))
    builder.activate(node, node.name, layer.activation)


def _depthwise_part(builder: _Builder, node: Node, layer: Any, output: str, kernel: str, bias: str | None) -> None:
    """The depthwise stage; a depth multiplier above 1 repeats the channels first."""
    (source,) = builder.inputs(node)
    height, width, channels = builder.tensors[source]
    if layer.depth_multiplier > 1:
        channels *= layer.depth_multiplier
        repeat = op.Repeat((source,), f"{node.name}/repeated", layer.depth_multiplier)
        builder.emit(node, repeat, (height, width, channels), last=False)
        source = repeat.output
    rows, columns = node.output_shape[:2]
    operation = op.ConvolveDepthwise(
        (source,), output, kernel, bias, layer.kernel_size, layer.strides, layer.dilation_rate, _padding(node)
    )
    builder.emit(node, operation, (rows, columns, channels))


def _depthwise_conv2d(builder: _Builder, node: Node, layer: Any) -> None:
    _depthwise_part(builder, node, layer, node.name, f"{node.name}/kernel", _bias(node))
    builder.activate(node, node.name, layer.activation)


def _separable_conv2d(builder: _Builder, node: Node, layer: Any) -> None:
    middle = f"{node.name}/depthwise"
    _depthwise_part(builder, node, layer, middle, f"{node.name}/depthwise_kernel", None)
    pointwise = op.Convolve(
        (middle,), node.name, f"{node.name}/pointwise_kernel", _bias(node), (1, 1), (1, 1), (1, 1), (0, 0, 0, 0)
    )
    builder.emit(node, pointwise, map_shape(node.output_shape))
    builder.activate(node, node.name, layer.activation)


def _dense(builder: _Builder, node: Node, layer: Any) -> None:
    (source,) = builder.inputs(node)
    shape = map_shape(node.output_shape)
    kernel = f"{node.name}/kernel"
    if shape[:2] == (1, 1):
        builder.emit(node, op.Multiply((source,), node.name, kernel, _bias(node)), shape)
    else:  # on a map: a pointwise convolution
        pointwise = op.Convolve((source,), node.name, kernel, _bias(node), (1, 1), (1, 1), (1, 1), (0, 0, 0, 0))
        builder.emit(node, pointwise, shape)
    builder.activate(node, node.name, layer.activation)


def _pooling(builder: _Builder, node: Node, layer: Any) -> None:
    (source,) = builder.inputs(node)
    kind = "max" if isinstance(layer, MaxPooling2D) else "mean"
    padding = _padding(node)
    if any(padding):
        height, width, channels = builder.tensors[source]
        value = -math.inf if kind == "max" else 0.0
        pad = op.Pad((source,), f"{node.name}/padded", padding, value)
        padded = (height + padding[0] + padding[1], width + padding[2] + padding[3], channels)
        builder.emit(node, pad, padded, last=False)
        source = pad.output
    counted = padding if kind == "mean" else (0, 0, 0, 0)
    pool = op.Pool((source,), node.name, kind, layer.pool_size, layer.strides, counted)
    builder.emit(node, pool, map_shape(node.output_shape))


def _global_pooling(builder: _Builder, node: Node, layer: Layer) -> None:
    kind = "max" if isinstance(layer, GlobalMaxPooling2D) else "mean"
    builder.emit(node, op.PoolGlobally(builder.inputs(node), node.name, kind), map_shape(node.output_shape))


def _batch_normalization(builder: _Builder, node: Node, layer: BatchNormalization) -> None:
    gamma = f"{node.name}/gamma" if layer.scale else None
    beta = f"{node.name}/beta" if layer.center else None
    mean, variance = f"{node.name}/moving_mean", f"{node.name}/moving_variance"
    shape = map_shape(node.output_shape)
    inputs = builder.inputs(node)
    if builder.training and layer.trainable:
        operation: Operation = op.NormaliseBatch(
            inputs, node.name, gamma, beta, mean, variance, layer.momentum, layer.epsilon
        )
    else:
        sources = (gamma or "", beta or "", mean, variance)
        scale, shift = f"{node.name}/scale", f"{node.name}/shift"
        for name, rule in ((scale, "normalisation_scale"), (shift, "normalisation_shift")):
            builder.parameters[name] = Parameter(name, (shape[2],), False, rule, sources, (layer.epsilon,))
        operation = op.Normalise(inputs, node.name, scale, shift)
    builder.emit(node, operation, shape)


def _flatten(builder: _Builder, node: Node, layer: Flatten) -> None:
    builder.emit(node, op.Reshape(builder.inputs(node), node.name), map_shape(node.output_shape))


def _dropout(builder: _Builder, node: Node, layer: Dropout) -> None:
    (source,) = builder.inputs(node)
    if builder.training and layer.rate > 0:
        count = sum(isinstance(operation, op.Drop) for operation in builder.operations)
        builder.emit(node, op.Drop((source,), node.name, layer.rate, count), builder.tensors[source])
    else:
        builder.tensor_of[node.name] = source


def _activation(builder: _Builder, node: Node, layer: Activation) -> None:
    (source,) = builder.inputs(node)
    builder.activate(node, source, layer.activation)


def _relu(builder: _Builder, node: Node, layer: ReLU) -> None:
    (source,) = builder.inputs(node)
    if layer.negative_slope == 0 and layer.threshold == 0 and layer.max_value in (None, 6.0):
        builder.activate(node, source, "relu" if layer.max_value is None else "relu6")
        return
    limit = math.inf if layer.max_value is None else float(layer.max_value)
    relu = op.ApplyReLU((source,), node.name, limit, float(layer.negative_slope), float(layer.threshold))
    builder.emit(node, relu, builder.tensors[source])


def _add(builder: _Builder, node: Node, layer: Add) -> None:
    builder.emit(node, op.Add(builder.inputs(node), node.name), map_shape(node.output_shape))


def _concatenate(builder: _Builder, node: Node, layer: Concatenate) -> None:
    builder.emit(node, op.Concatenate(builder.inputs(node), node.name), map_shape(node.output_shape))


def _zero_padding2d(builder: _Builder, node: Node, layer: Any) -> None:
    (top, bottom), (left, right) = layer.padding
    pad = op.Pad(builder.inputs(node), node.name, (top, bottom, left, right), 0.0)
    builder.emit(node, pad, map_shape(node.output_shape))


def _rescaling(builder: _Builder, node: Node, layer: Rescaling) -> None:
    (source,) = builder.inputs(node)
    scale = op.Scale((source,), node.name, float(layer.scale), float(layer.offset))
    builder.emit(node, scale, builder.tensors[source])


_LOWER: dict[type[Layer], Callable[[_Builder, Node, Any], None]] = {
    InputLayer: _input,
    Conv2D: _conv2d,
    DepthwiseConv2D: _depthwise_conv2d,
    SeparableConv2D: _separable_conv2d,
    Dense: _dense,
    MaxPooling2D: _pooling,
    AveragePooling2D: _pooling,
    GlobalAveragePooling2D: _global_pooling,
    GlobalMaxPooling2D: _global_pooling,
    BatchNormalization: _batch_normalization,
    Flatten: _flatten,
    Dropout: _dropout,
    Activation: _activation,
    ReLU: _relu,
    Add: _add,
    Concatenate: _concatenate,
    ZeroPadding2D: _zero_padding2d,
    Rescaling: _rescaling,
}

"""A network's twin: the same network with ordinary convolutions for separable ones, or the other way round.

Comparing a network with its twin changes one thing only. Comparing the note's two networks with each other does not: its
separable network is the larger of the two (184,234 parameters against 55,744), because 148,874 of them are its dense head.

>>> from depthwise.network.graph import sequential
>>> from depthwise.layers.descriptions import Conv2D
>>> graph = sequential([Conv2D(3, (3, 3), input_shape=(5, 5, 2), name="small")])
>>> graph.parameters, twin(graph).parameters
(57, 27)
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from depthwise.errors import UnsupportedError, describe_value
from depthwise.layers.activation import Activation, ReLU
from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer
from depthwise.layers.normalization import BatchNormalization
from depthwise.layers.preprocessing import Rescaling
from depthwise.layers.regularization import Dropout
from depthwise.layers.shaping import ZeroPadding2D
from depthwise.network.facts import largest_smaller_depth_multiplier
from depthwise.network.graph import Call, Graph, from_calls, unique_names

__all__ = ["Direction", "ordinary_twin", "separable_twin", "twin", "twin_direction"]


class Direction(StrEnum):
    """What the twin is made of."""

    ORDINARY = "ordinary"
    SEPARABLE = "separable"


def twin_direction(graph: Graph) -> Direction:
    """The direction that changes something: a network with separable or depthwise layers has an ordinary twin."""
    separable = any(isinstance(node.layer, (SeparableConv2D, DepthwiseConv2D)) for node in graph.calls)
    return Direction.ORDINARY if separable else Direction.SEPARABLE


def twin(graph: Graph, direction: Direction | None = None, name: str | None = None) -> Graph:
    """The twin of `graph`, in the direction that `twin_direction` finds where none is given.

    Raises:
        UnsupportedError: no layer would change; the message says why.
    """
    chosen = direction or twin_direction(graph)
    return ordinary_twin(graph, name) if chosen is Direction.ORDINARY else separable_twin(graph, name)


def ordinary_twin(graph: Graph, name: str | None = None) -> Graph:
    """Every separable convolution replaced by the ordinary one with the same window, shapes, bias and activation.

    - `SeparableConv2D` becomes one `Conv2D`.
    - `DepthwiseConv2D` followed by a 1×1 `Conv2D`, with at most batch normalisation, activations and dropout between them
      (a MobileNet's block), becomes one `Conv2D` in the place of both, and what was between them is dropped (as in the
      comparison of Howard et al. 2017, arXiv:1704.04861, table 4).
    - Any other `DepthwiseConv2D` becomes a `Conv2D` with as many filters as it has output channels.

    Raises:
        UnsupportedError: the network has no separable and no depthwise convolution.
    """
    graph = _flat(graph)
    replaced: dict[str, Description] = {}
    removed: dict[str, str] = {}
    for node in graph.calls:
        layer: Any = node.layer
        if isinstance(layer, SeparableConv2D):
            replaced[node.name] = _ordinary(layer, layer.filters, layer, layer.pointwise_initializer)
        elif isinstance(layer, DepthwiseConv2D):
            block = _block_after(graph, node)
            if block:
                pointwise: Any = block[-1].layer
                replaced[block[-1].name] = _ordinary(layer, pointwise.filters, pointwise, pointwise.kernel_initializer)
                for item in (node, *block[:-1]):
                    removed[item.name] = item.reads[0]
            else:
                replaced[node.name] = _ordinary(
                    layer, node.facts.channels_last.output_shape[-1], layer, layer.depthwise_initializer
                )
    if not replaced:
        raise UnsupportedError(
            f"{describe_value(graph.name)} has no separable and no depthwise convolution, so its ordinary twin would be "
            "the network itself; ask for its separable twin instead"
        )
    return _rebuild(graph, replaced, removed, name or f"{graph.name}-ordinary")


def separable_twin(graph: Graph, name: str | None = None) -> Graph:
    """Ordinary convolutions replaced by `SeparableConv2D` (depth_multiplier 1) with the same window, shapes, bias and activation.

    These stay ordinary:

    - windows of 1×1 and grouped convolutions;
    - layers that would not become smaller, see `arithmetic.largest_smaller_depth_multiplier`;
    - layers with one input channel: all maps would be multiples of one and the same response;
    - the layer that reads the image, where others can be replaced: its few channels give as few different responses, and
      it has few parameters to save (the note's network, Xception and MobileNet all keep it).

    Raises:
        UnsupportedError: no layer can be replaced; the message gives the reason for each.
    """
    graph = _flat(graph)
    reasons = {node.name: _why_ordinary(node) for node in graph.calls if isinstance(node.layer, Conv2D)}
    possible = [name for name, reason in reasons.items() if reason is None]
    if not possible:
        raise UnsupportedError(
            f"{describe_value(graph.name)} has no separable twin: "
            + (
                "; ".join(f"{describe_value(name)} {reason}" for name, reason in list(reasons.items())[:5])
                or "it has no ordinary convolution"
            )
        )
    inner = [name for name in possible if not _reads_image(graph, graph.by_name[name])]
    replaced: dict[str, Description] = {}
    for item in inner or possible:
        layer: Any = graph.by_name[item].layer
        replaced[item] = SeparableConv2D(
            layer.filters,
            layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
            activation=layer.activation,
            use_bias=layer.use_bias,
            depthwise_initializer=layer.kernel_initializer,
            pointwise_initializer=layer.kernel_initializer,
            bias_initializer=layer.bias_initializer,
            name=layer.name,
            trainable=layer.trainable,
            input_shape=layer.input_shape,
        )
    return _rebuild(graph, replaced, {}, name or f"{graph.name}-separable")


def _flat(graph: Graph) -> Graph:
    """The graph without models inside: "encoder/conv2d" becomes the layer `encoder_conv2d`.

    Raises:
        UnsupportedError: a layer is called twice.
    """
    if len(graph.layers) < len(graph.calls):
        twice = next(call for call in graph.calls if graph.layers[call.path] is not call)
        raise UnsupportedError(
            f"{describe_value('/'.join(twice.path))} is called twice; the twin of a network whose layers share weights is "
            "not defined"
        )
    if all(len(call.path) == 1 for call in graph.calls):
        return graph
    flat = unique_names([(None, "_".join(call.path), "_".join(call.path)) for call in graph.calls])
    names = dict(zip((call.name for call in graph.calls), flat))
    layers = [
        (replace(call.layer, name=names[call.name]), tuple(names[read] for read in call.reads)) for call in graph.calls
    ]
    return from_calls(
        graph.name, layers, [names[name] for name in graph.inputs], [names[name] for name in graph.outputs]
    )


def _ordinary(window: Any, filters: int, end: Any, initializer: Any) -> Conv2D:
    """A `Conv2D` with the window of `window` and the bias, activation and place of `end`."""
    if max(window.strides) > 1 and max(window.dilation_rate) > 1:
        raise UnsupportedError(
            f"{window.label} has strides {window.strides} and dilation_rate {window.dilation_rate}, so the network has no "
            "ordinary twin: Conv2D takes only one of them above 1, here and in Keras"
        )
    return Conv2D(
        filters,
        window.kernel_size,
        strides=window.strides,
        padding=window.padding,
        data_format=window.data_format,
        dilation_rate=window.dilation_rate,
        activation=end.activation,
        use_bias=end.use_bias,
        kernel_initializer=initializer,
        bias_initializer=end.bias_initializer,
        name=end.name,
        trainable=end.trainable,
        input_shape=window.input_shape,
    )


def _block_after(graph: Graph, node: Call) -> list[Call]:
    """What follows a depthwise node up to and with its pointwise node; empty where there is none."""
    block: list[Call] = []
    current = node
    while True:
        readers = graph.consumers[current.name]
        if len(readers) != 1 or current.name in graph.outputs:
            return []
        current = graph.by_name[readers[0]]
        block.append(current)
        layer: Any = current.layer
        if isinstance(layer, Conv2D):
            pointwise = layer.kernel_size == (1, 1) and layer.strides == (1, 1) and layer.groups == 1
            return block if pointwise else []
        if not isinstance(layer, (BatchNormalization, Activation, ReLU, Dropout)):
            return []


def _why_ordinary(node: Call) -> str | None:
    """Why a convolution stays as it is; None where it can become separable."""
    layer: Any = node.layer
    channels = node.facts.channels_last.input_shapes[0][-1]
    if layer.kernel_size == (1, 1):
        return "has a 1×1 window, which is a pointwise convolution already"
    if layer.groups > 1:
        return f"is grouped (groups={layer.groups})"
    if channels == 1:
        return "has one input channel, so that all maps would be multiples of one response"
    if largest_smaller_depth_multiplier(layer.kernel_size, layer.filters) < 1:
        return f"with {layer.filters} filters would not become smaller"
    return None


def _reads_image(graph: Graph, node: Call) -> bool:
    """Whether nothing but preparation of the image stands between an input and the node."""
    current = graph.by_name[node.reads[0]]
    while isinstance(current.layer, (Rescaling, ZeroPadding2D, BatchNormalization)):
        current = graph.by_name[current.reads[0]]
    return isinstance(current.layer, InputLayer)


def _rebuild(graph: Graph, replaced: Mapping[str, Description], removed: Mapping[str, str], name: str) -> Graph:
    """The graph with some layers replaced and some left out (`removed`: name → what its readers read instead)."""
    renamed = _new_names(graph, replaced, removed)

    def target(read: str) -> str:
        while read in removed:
            read = removed[read]
        return renamed.get(read, read)

    layers = []
    for node in graph.calls:
        if node.name in removed:
            continue
        layer = replaced.get(node.name, node.layer)
        if node.name in renamed:
            layer = replace(layer, name=renamed[node.name])
        layers.append((layer, tuple(target(read) for read in node.reads)))
    twin_graph = from_calls(name, layers, graph.inputs, [target(output) for output in graph.outputs])
    return replace(twin_graph, is_sequential=graph.is_sequential)


def _new_names(graph: Graph, replaced: Mapping[str, Description], removed: Mapping[str, str]) -> dict[str, str]:
    """A name after the new class for every replaced layer whose name came from its old class; chosen names stay."""
    changing = [
        node
        for node in graph.calls
        if node.name in replaced and re.fullmatch(rf"{re.escape(node.layer.default_name)}(_\d+)?", node.name)
    ]
    taken = {node.name for node in graph.calls if node.name not in removed} - {node.name for node in changing}
    names: dict[str, str] = {}
    for node in changing:
        base = replaced[node.name].default_name
        name, number = base, 0
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        names[node.name] = name
    return names

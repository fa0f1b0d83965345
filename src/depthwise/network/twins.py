"""A network's twin: the same network with ordinary convolutions for separable ones, or the other way round.

Comparing a network with its twin changes one thing only. Comparing the note's two networks with each other does not: its
separable network is the larger of the two (184,234 parameters against 55,744), because 148,874 of them are its dense head.

Models inside stay models inside, and layers that share weights still share them: a layer is replaced once, for all its calls.

>>> from depthwise.network.graph import sequential
>>> from depthwise.layers.descriptions import Conv2D
>>> graph = sequential([Conv2D(3, (3, 3), input_shape=(5, 5, 2), name="small")])
>>> graph.parameters, twin(graph).parameters
(57, 27)
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
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
from depthwise.network.graph import Call, Graph, LayerPath
from depthwise.network.tree import (
    Member,
    ModelTree,
    TreeCall,
    TreePort,
    first_path,
    in_keras_order,
    inlined,
    tree_of,
)

__all__ = ["Direction", "ordinary_twin", "separable_twin", "twin", "twin_direction", "twin_with_origins"]


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


def twin_with_origins(graph: Graph, direction: Direction | None = None) -> tuple[Graph, dict[str, str]]:
    """The twin as `twin` makes it, and for each call of `graph` the name of the twin's call in its place.

    All calls of a block that became one convolution have that one.

    Raises:
        UnsupportedError: no layer would change; the message says why.
    """
    chosen = direction or twin_direction(graph)
    replaced, folded = (_ordinary_layers if chosen is Direction.ORDINARY else _separable_layers)(graph)
    other, places = _rebuild(graph, replaced, set(folded), f"{graph.name}-{chosen}")
    its = {use: call.name for call, use in _uses(other)}
    origins = {}
    for call, (path, number) in _uses(graph):
        place = folded.get(path, path)
        origins[call.name] = its[places.get(place, place), number]
    return other, origins


def _uses(graph: Graph) -> list[tuple[Call, tuple[LayerPath, int]]]:
    """Each call with its layer and a number, counted from 0 for each layer."""
    counted: Counter[LayerPath] = Counter()
    uses = []
    for call in graph.calls:
        uses.append((call, (call.path, counted[call.path])))
        counted[call.path] += 1
    return uses


def ordinary_twin(graph: Graph, name: str | None = None) -> Graph:
    """Every separable convolution replaced by the ordinary one with the same window, shapes, bias and activation.

    - `SeparableConv2D` becomes one `Conv2D`.
    - `DepthwiseConv2D` followed by a 1×1 `Conv2D`, with at most batch normalisation, activations and dropout between them
      (a MobileNet's block), becomes one `Conv2D` in place of both, and what was between them is dropped (as in the
      comparison of Howard et al. 2017, arXiv:1704.04861, table 4).
      Both must be in one model, and each of their calls must be part of such a block.
    - Any other `DepthwiseConv2D` becomes a `Conv2D` with as many filters as it has output channels.

    Raises:
        UnsupportedError: the network has no separable and no depthwise convolution.
    """
    replaced, folded = _ordinary_layers(graph)
    return _rebuild(graph, replaced, set(folded), name or f"{graph.name}-ordinary")[0]


def _ordinary_layers(graph: Graph) -> tuple[dict[LayerPath, Description], dict[LayerPath, LayerPath]]:
    """The new layers by their places, and for each layer of a block that goes, the place of the one that stands for it."""
    levels, together = _levels(tree_of(graph)), _in_several_models(graph)
    replaced: dict[LayerPath, Description] = {}
    folded: dict[LayerPath, LayerPath] = {}
    for path, node in graph.layers.items():
        layer: Any = node.layer
        if isinstance(layer, SeparableConv2D):
            replaced[path] = _ordinary(layer, layer.filters, layer, layer.pointwise_initializer)
        elif isinstance(layer, DepthwiseConv2D):
            block = [(*path[:-1], name) for name in _block_after(levels[path[:-1]], path[-1])]
            if block and together.isdisjoint([path, *block]):
                pointwise: Any = graph.layers[block[-1]].layer
                replaced[block[-1]] = _ordinary(layer, pointwise.filters, pointwise, pointwise.kernel_initializer)
                folded.update(dict.fromkeys((path, *block[:-1]), block[-1]))
            else:
                filters = node.facts.channels_last.output_shape[-1]
                replaced[path] = _ordinary(layer, filters, layer, layer.depthwise_initializer)
    if not replaced:
        raise UnsupportedError(
            f"{describe_value(graph.name)} has no separable and no depthwise convolution, so its ordinary twin would be "
            "the network itself; ask for its separable twin instead"
        )
    return replaced, folded


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
    return _rebuild(graph, _separable_layers(graph)[0], set(), name or f"{graph.name}-separable")[0]


def _separable_layers(graph: Graph) -> tuple[dict[LayerPath, Description], dict[LayerPath, LayerPath]]:
    """The new layers by their places; none is left out."""
    reasons = {path: _why_ordinary(node) for path, node in graph.layers.items() if isinstance(node.layer, Conv2D)}
    possible = [path for path, reason in reasons.items() if reason is None]
    if not possible:
        raise UnsupportedError(
            f"{describe_value(graph.name)} has no separable twin: "
            + (
                "; ".join(f"{describe_value('/'.join(path))} {reason}" for path, reason in list(reasons.items())[:5])
                or "it has no ordinary convolution"
            )
        )
    reading = {node.path for node in graph.calls if isinstance(node.layer, Conv2D) and _reads_image(graph, node)}
    inner = [path for path in possible if path not in reading]
    replaced: dict[LayerPath, Description] = {}
    for item in inner or possible:
        layer: Any = graph.layers[item].layer
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
    return replaced, {}


def _levels(tree: ModelTree) -> dict[LayerPath, ModelTree]:
    """The model and those inside it, by their paths; one that stands in several places where it stands first."""
    shared = dict(tree.shared)
    levels: dict[LayerPath, ModelTree] = {(): tree}

    def walk(within: ModelTree, path: LayerPath) -> None:
        for member in within.members:
            own = (*path, str(member.name))
            if isinstance(member, ModelTree) and own not in shared:
                levels[own] = member
                walk(member, own)

    walk(tree, ())
    return levels


def _in_several_models(graph: Graph) -> set[LayerPath]:
    """Layers and models that are members of several models, at all their places."""
    return {path for pair in tree_of(graph).shared for path in pair}


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


def _block_after(tree: ModelTree, name: str) -> list[str]:
    """What follows a depthwise member up to and with its pointwise one; empty where there is none.

    A layer that is called several times has a block where every call is followed by the same one, and no other call reads it.
    """
    calls = [call for call in tree.calls if call.member == name]
    first, *others = (_block_of(tree, call) for call in calls)
    uses = Counter(call.member for call in tree.calls)
    whole = all(block == first for block in others) and all(uses[member] == len(calls) for member in first)
    return first if whole else []


def _block_of(tree: ModelTree, call: TreeCall) -> list[str]:
    block: list[str] = []
    while True:
        port = TreePort(call.member, call.index)
        readers = [reader for reader in tree.calls if port in reader.inputs]
        if len(readers) != 1 or port in tree.outputs:
            return []
        call = readers[0]
        block.append(call.member)
        layer: Any = tree.member(call.member)
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


def _rebuild(
    graph: Graph, replaced: Mapping[LayerPath, Description], removed: AbstractSet[LayerPath], name: str
) -> tuple[Graph, dict[LayerPath, LayerPath]]:
    """The network with some layers replaced and some left out, nested and shared as before; where each layer stands in it.

    What a removed layer would have read is read by its readers instead.
    """
    tree = tree_of(graph)
    places: dict[LayerPath, LayerPath] = {(): ()}
    shared, together = dict(tree.shared), _in_several_models(graph)

    def edited(within: ModelTree, path: LayerPath) -> ModelTree:
        """`path` is where the model stands first: what is decided there holds wherever it stands."""
        of = {str(member.name): first_path(shared, (*path, str(member.name))) for member in within.members}
        gone = {own for own, place in of.items() if place in removed}
        names = _new_names(
            within,
            {own: replaced[place] for own, place in of.items() if place in replaced},
            gone,
            [own for own in of if (*path, own) in together],
        )
        for own, place in of.items():
            if own not in gone:
                places.setdefault(place, (*places[path], names.get(own, own)))
        reads = {(call.member, call.index): call.inputs for call in within.calls}

        def port(read: TreePort) -> TreePort:
            while read.member in gone:
                read = reads[read.member, read.call][0]
            return replace(read, member=names.get(read.member, read.member))

        members: list[Member] = []
        for member in within.members:
            own = str(member.name)
            if own in gone:
                continue
            if isinstance(member, ModelTree):
                members.append(edited(member, of[own]))
            else:
                members.append(replace(replaced.get(of[own], member), name=names.get(own, own)))
        calls = tuple(
            replace(call, member=names.get(call.member, call.member), inputs=tuple(map(port, call.inputs)))
            for call in within.calls
            if call.member not in gone
        )
        return in_keras_order(
            replace(within, members=tuple(members), calls=calls, outputs=tuple(map(port, within.outputs)))
        )

    return inlined(replace(edited(tree, ()), name=name)), places


def _new_names(
    tree: ModelTree, replaced: Mapping[str, Description], removed: AbstractSet[str], kept: Iterable[str]
) -> dict[str, str]:
    """A name after the new class for every replaced layer whose name came from its old class; chosen names stay.

    So do those that are `kept`: other models know the layer by it.
    """
    changing = [
        str(member.name)
        for member in tree.members
        if member.name in replaced
        and str(member.name) not in kept
        and re.fullmatch(rf"{re.escape(getattr(member, 'default_name', ''))}(_\d+)?", str(member.name))
    ]
    taken = {str(member.name) for member in tree.members} - set(removed) - set(changing)
    names: dict[str, str] = {}
    for own in changing:
        base = replaced[own].default_name
        name, number = base, 0
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        names[own] = name
    return names

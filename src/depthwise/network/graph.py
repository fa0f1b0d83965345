"""The graph: what to compute. Calls of layers in an order in which each comes after its inputs, every one with its facts.

A layer may be called several times: its calls share one path, and with it one set of weights. Models inside the model are
already put in their place; how the author nested them is kept in `Graph.tree`. Graphs never change; passes make new ones.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer
from depthwise.network.facts import LayerFacts, ReceptiveField, Shape, Weight, describe, receptive_field

if TYPE_CHECKING:
    from depthwise.network.tree import ModelTree

__all__ = ["Call", "Graph", "LayerPath", "Port", "WeightKey", "from_calls", "sequential", "snake_case", "unique_names"]

LayerPath = tuple[str, ...]
"""Names from the outermost model's member down to the layer: ("encoder", "conv2d"); one name where nothing is nested."""


@dataclass(frozen=True, order=True)
class WeightKey:
    """One array of one layer."""

    layer: LayerPath
    name: str

    @property
    def text(self) -> str:
        """ "encoder/conv2d/kernel": the key of `weights_by_name`, and the parameter's name in the program."""
        return "/".join((*self.layer, self.name))


@dataclass(frozen=True)
class Port:
    """One output of a call. The layers of today have one each."""

    call: str
    output: int = 0


@dataclass(frozen=True)
class Call:
    """One use of a layer.

    Attributes:
        name: unique in the graph: the layer's path, joined by "/"; the second use of one layer is called `dense[1]`.
        layer: the description, its name set.
        path: where the layer is; calls that share weights share it.
        inputs: what the call reads.
        facts: what follows from the layer and the shapes of its inputs.
    """

    name: str
    layer: Description
    path: LayerPath
    inputs: tuple[Port, ...]
    facts: LayerFacts

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the calls that it reads."""
        return tuple(port.call for port in self.inputs)

    @property
    def output_shape(self) -> Shape:
        return self.facts.output_shape

    @property
    def weights(self) -> tuple[Weight, ...]:
        return self.facts.weights

    def key(self, weight: str) -> str:
        """The text of the `WeightKey` of one of its weights."""
        return WeightKey(self.path, weight).text


@dataclass(frozen=True)
class Graph:
    """A network as data: see the module.

    Attributes:
        name: the model's name.
        calls: in an order in which each comes after its inputs.
        inputs: names of the `InputLayer` calls, in the order in which the model takes its inputs.
        outputs: names of the calls whose values the model returns.
        is_sequential: a plain chain, which Keras would call `Sequential`.
        tree: the models that it was made of; None for a graph that no model has.
    """

    name: str
    calls: tuple[Call, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_sequential: bool = False
    tree: "ModelTree | None" = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        shapes = " and ".join(map(str, self.output_shapes))
        return f"<Graph {describe_value(self.name)}: output {shapes}, layers {len(self.calls)}>"

    @cached_property
    def by_name(self) -> Mapping[str, Call]:
        return {call.name: call for call in self.calls}

    @cached_property
    def layers(self) -> Mapping[LayerPath, Call]:
        """The first call of each layer: what counts weights counts these."""
        first: dict[LayerPath, Call] = {}
        for call in self.calls:
            first.setdefault(call.path, call)
        return first

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the calls that read each call."""
        readers: dict[str, list[str]] = {call.name: [] for call in self.calls}
        for call in self.calls:
            for name in dict.fromkeys(call.reads):
                readers[name].append(call.name)
        return {name: tuple(names) for name, names in readers.items()}

    @cached_property
    def weight_shapes(self) -> Mapping[str, Shape]:
        """The shape of every weight by its key, in Keras' order."""
        return {call.key(weight.name): weight.shape for call in self.layers.values() for weight in call.weights}

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.by_name[name].output_shape for name in self.inputs)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.by_name[name].output_shape for name in self.outputs)

    @property
    def parameters(self) -> int:
        """Numbers in all weights; a layer that is called twice counts once."""
        return sum(call.facts.parameters.value for call in self.layers.values())

    @property
    def trainable_parameters(self) -> int:
        """Numbers in the weights that `fit` changes."""
        return sum(call.facts.trainable_parameters for call in self.layers.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample; a layer that is called twice counts twice."""
        return sum(call.facts.macs.value for call in self.calls)

    def with_trainable(self, flags: Mapping[LayerPath, bool]) -> "Graph":
        """The same with other values of `trainable`; itself where they are as they were."""
        calls = []
        for call in self.calls:
            trainable = flags.get(call.path, call.layer.trainable)
            if trainable != call.layer.trainable:
                layer = replace(call.layer, trainable=trainable)
                call = replace(call, layer=layer, facts=describe(layer, call.facts.input_shapes))
            calls.append(call)
        changed = any(call is not before for call, before in zip(calls, self.calls))
        return replace(self, calls=tuple(calls)) if changed else self

    @cached_property
    def receptive_fields(self) -> Mapping[str, ReceptiveField]:
        """The part of the input that one value of each call can depend on."""
        fields: dict[str, ReceptiveField] = {}
        for call in self.calls:
            fields[call.name] = receptive_field(call.facts, [fields[name] for name in call.reads])
        return fields


def snake_case(name: str) -> str:
    """`SeparableConv2D` → `separable_conv2d`: how Keras names a model after its class."""
    spaced = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()


def unique_names(wanted: Sequence[tuple[str | None, str | None, str]]) -> list[str]:
    """A name each, no two alike.

    Args:
        wanted: for each its chosen name, the name that it was given earlier, and what to derive one from: `conv2d` gives
            `conv2d`, `conv2d_1`, … in order. Chosen names stay; given ones stay where they are free.

    Raises:
        InvalidArgumentError: a name was chosen twice.
    """
    names: list[str | None] = [chosen for chosen, _, _ in wanted]
    for name, count in Counter(name for name in names if name is not None).items():
        if count > 1:
            raise InvalidArgumentError(f"{count} layers are named {describe_value(name)}; every name must be unique")
    taken = set(names)
    for index, (chosen, given, _) in enumerate(wanted):
        if chosen is None and given is not None and given not in taken:
            names[index] = given
            taken.add(given)
    next_number: Counter[str] = Counter()
    result = []
    for own, (_, _, base) in zip(names, wanted):
        while own is None:
            count = next_number[base]
            next_number[base] += 1
            free = base if count == 0 else f"{base}_{count}"
            own = free if free not in taken else None
        taken.add(own)
        result.append(own)
    return result


def _described(layer: Any) -> Description:
    description: Description = layer if isinstance(layer, Description) else layer.description
    return description


def with_input(layers: Sequence[Description]) -> list[Description]:
    """The chain, an `InputLayer` first.

    Raises:
        InvalidArgumentError: no layers, no input shape, or an input that is not first.
    """
    chain = list(layers)
    if not chain:
        raise InvalidArgumentError("Sequential has no layers yet; add one with .add(layer)")
    if not isinstance(chain[0], InputLayer):
        shape = chain[0].input_shape
        if shape is None:
            raise InvalidArgumentError(
                f"the first layer, {type(chain[0]).__name__}, does not say the shape of its input; give it "
                "input_shape=(height, width, channels), or put depthwise.Input(shape=…) first"
            )
        chain.insert(0, InputLayer(shape=shape))
    for layer in chain[1:]:
        if isinstance(layer, InputLayer):
            raise InvalidArgumentError("Sequential takes one Input, as its first layer")
    return chain


def sequential(layers: Iterable[Any], name: str | None = None) -> Graph:
    """A chain of layers or descriptions. The first is an `InputLayer`, or has `input_shape`.

    Raises:
        InvalidArgumentError: no layers, no input shape, or a name used twice.
        ShapeError: a layer that does not fit what comes before it; the message names it.
    """
    chain = with_input([_described(layer) for layer in layers])
    names = unique_names([(layer.name, None, layer.default_name) for layer in chain])
    calls: list[Call] = []
    for layer, own in zip(chain, names):
        named = layer if layer.name == own else replace(layer, name=own)
        previous = calls[-1:]
        facts = describe(named, [call.output_shape for call in previous])
        calls.append(Call(own, named, (own,), tuple(Port(call.name) for call in previous), facts))
    return Graph(name or "sequential", tuple(calls), (calls[0].name,), (calls[-1].name,), is_sequential=True)


def from_calls(
    name: str, layers: Sequence[tuple[Description, tuple[str, ...]]], inputs: Sequence[str], outputs: Sequence[str]
) -> Graph:
    """A graph from named layers and the names each reads, in any order: how twins are made.

    Raises:
        InvalidArgumentError: an unknown name, a circle, or a name used twice.
    """
    names = unique_names([(layer.name, None, layer.default_name) for layer, _ in layers])
    waiting = {own: (layer, reads) for own, (layer, reads) in zip(names, layers)}
    calls: dict[str, Call] = {}
    for missing in {*inputs, *outputs, *(read for _, reads in layers for read in reads)} - set(waiting):
        raise InvalidArgumentError(f"the graph names a layer {describe_value(missing)} that it does not have")
    while waiting:
        ready = [own for own, (_, reads) in waiting.items() if all(read in calls for read in reads)]
        if not ready:
            raise InvalidArgumentError(
                "the graph has a circle through " + ", ".join(describe_value(own) for own in list(waiting)[:5])
            )
        for item in ready:
            layer, reads = waiting.pop(item)
            facts = describe(layer, [calls[read].output_shape for read in reads])
            calls[item] = Call(item, layer, (item,), tuple(map(Port, reads)), facts)
    return Graph(name, tuple(calls.values()), tuple(inputs), tuple(outputs))

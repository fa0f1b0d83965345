"""The graph: what to compute. Nodes in an order in which each comes after its inputs, every one with its facts.

A node is a named layer applied to the outputs of other nodes. Each layer has one output, so a node's name also names its
tensor. Graphs never change; passes make new ones.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from depthwise.arithmetic import Formula, LayerFacts, Shape, Weight, describe, receptive_field
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer

__all__ = ["Call", "Graph", "SymbolicTensor", "functional", "sequential", "snake_case"]


@dataclass(frozen=True)
class Call:
    """One layer in its place: `layer` (its name set), the names of the nodes it reads, and what follows from both."""

    layer: Description
    inputs: tuple[str, ...]
    facts: LayerFacts

    @property
    def name(self) -> str:
        assert self.layer.name is not None
        return self.layer.name

    @property
    def output_shape(self) -> Shape:
        return self.facts.output_shape

    @property
    def weights(self) -> tuple[Weight, ...]:
        return self.facts.weights


@dataclass(frozen=True)
class Graph:
    """A network as data: see the module.

    Attributes:
        name: the model's name.
        calls: in an order in which each node comes after its inputs.
        inputs: names of the `InputLayer` nodes, in the order in which the model takes its inputs.
        outputs: names of the nodes whose values the model returns.
        is_sequential: a plain chain, which Keras would call `Sequential`.
    """

    name: str
    calls: tuple[Call, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_sequential: bool = False

    @cached_property
    def by_name(self) -> Mapping[str, Call]:
        return {node.name: node for node in self.calls}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the nodes that read each node."""
        readers: dict[str, list[str]] = {node.name: [] for node in self.calls}
        for node in self.calls:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node.name)
        return {name: tuple(names) for name, names in readers.items()}

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.by_name[name].output_shape for name in self.inputs)

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        return tuple(self.by_name[name].output_shape for name in self.outputs)

    @property
    def parameters(self) -> int:
        """Numbers in all weights."""
        return sum(node.facts.parameters.value for node in self.calls)

    @property
    def trainable_parameters(self) -> int:
        """Numbers in the weights that `fit` changes."""
        return sum(node.facts.trainable_parameters for node in self.calls)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return sum(node.facts.macs.value for node in self.calls)

    def path_to(self, name: str) -> tuple[LayerFacts, ...]:
        """The facts along one way from an input to the node, always through a node's first input."""
        facts: list[LayerFacts] = []
        current: str | None = name
        while current is not None:
            node = self.by_name[current]
            facts.append(node.facts)
            current = node.inputs[0] if node.inputs else None
        return tuple(reversed(facts))

    def receptive_field(self, name: str) -> tuple[Formula, Formula, tuple[int, int]]:
        """Rows and columns of the input that one value of the node depends on, and the step; see `arithmetic`."""
        return receptive_field(self.path_to(name))


@dataclass(frozen=True, eq=False)
class SymbolicTensor:
    """A value that is not there yet: the result of `Input` or of a layer called on such a result."""

    layer: Description
    inputs: tuple["SymbolicTensor", ...]
    sample_shape: Shape = field(repr=False)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """With the batch, as Keras shows it: (None, height, width, channels)."""
        return (None, *self.sample_shape)

    def connect(self, layer: Description, inputs: "SymbolicTensor | Sequence[SymbolicTensor]") -> "SymbolicTensor":
        tensors = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
        for tensor in tensors:
            if not isinstance(tensor, SymbolicTensor):
                raise InvalidArgumentError(
                    f"{type(layer).__name__}: every input must be the result of Input or of a layer, got "
                    f"{describe_value(type(tensor).__name__)}"
                )
        facts = describe(layer, [tensor.sample_shape for tensor in tensors])
        return SymbolicTensor(layer, tensors, facts.output_shape)


def snake_case(name: str) -> str:
    """`SeparableConv2D` → `separable_conv2d`: how Keras names a model after its class."""
    spaced = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()


def _named(layers: Sequence[Description]) -> list[Description]:
    """The layers with a name each: their own, or `conv2d`, `conv2d_1`, … in order."""
    taken: set[str] = set()
    for name, count in Counter(layer.name for layer in layers if layer.name is not None).items():
        if count > 1:
            raise InvalidArgumentError(f"{count} layers are named {describe_value(name)}; every name must be unique")
        taken.add(name)
    next_number: Counter[str] = Counter()
    result = []
    for layer in layers:
        if layer.name is None:
            base = layer.default_name
            while True:
                count = next_number[base]
                next_number[base] += 1
                name = base if count == 0 else f"{base}_{count}"
                if name not in taken:
                    break
            taken.add(name)
            layer = replace(layer, name=name)
        result.append(layer)
    return result


def sequential(layers: Iterable[Description], name: str | None = None) -> Graph:
    """A chain. The first layer is an `InputLayer`, or has `input_shape`.

    Raises:
        InvalidArgumentError: no layers, no input shape, or a name used twice.
        ShapeError: a layer that does not fit what comes before it; the message names it.
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
    nodes: list[Call] = []
    for layer in _named(chain):
        previous = nodes[-1:]
        facts = describe(layer, [node.output_shape for node in previous])
        nodes.append(Call(layer, tuple(node.name for node in previous), facts))
    return Graph(name or "sequential", tuple(nodes), (nodes[0].name,), (nodes[-1].name,), is_sequential=True)


def functional(
    inputs: SymbolicTensor | Sequence[SymbolicTensor],
    outputs: SymbolicTensor | Sequence[SymbolicTensor],
    name: str | None = None,
) -> Graph:
    """The graph between `inputs` and `outputs`.

    Raises:
        InvalidArgumentError: an input that no `Input` made, an output that depends on other inputs, or a name used twice.
        UnsupportedError: one layer called twice.
    """
    starts: list[SymbolicTensor] = [*inputs] if isinstance(inputs, (list, tuple)) else [inputs]  # type: ignore[list-item]
    ends: list[SymbolicTensor] = [*outputs] if isinstance(outputs, (list, tuple)) else [outputs]  # type: ignore[list-item]
    for what, tensors in (("inputs", starts), ("outputs", ends)):
        if not tensors or not all(isinstance(tensor, SymbolicTensor) for tensor in tensors):
            raise InvalidArgumentError(
                f"Model: {what} must be results of depthwise.Input or of layers, got {describe_value(tensors)}"
            )
    for tensor in starts:
        if not isinstance(tensor.layer, InputLayer):
            raise InvalidArgumentError("Model: every one of inputs must come from depthwise.Input(shape=…)")
    order = _topological(starts, ends)
    seen: set[int] = set()
    for tensor in order:
        if id(tensor.layer) in seen:
            raise UnsupportedError(
                f"{type(tensor.layer).__name__} is called twice; layers that share weights are not supported, make "
                "a layer for each call"
            )
        seen.add(id(tensor.layer))
    named = dict(zip((id(tensor) for tensor in order), _named([tensor.layer for tensor in order])))
    nodes = []
    for tensor in order:
        layer = named[id(tensor)]
        facts = describe(layer, [item.sample_shape for item in tensor.inputs])
        nodes.append(Call(layer, tuple(_name(named[id(item)]) for item in tensor.inputs), facts))
    return Graph(
        name or "functional",
        tuple(nodes),
        tuple(_name(named[id(tensor)]) for tensor in starts),
        tuple(_name(named[id(tensor)]) for tensor in ends),
    )


def _name(layer: Description) -> str:
    assert layer.name is not None
    return layer.name


def _topological(starts: list[SymbolicTensor], ends: list[SymbolicTensor]) -> list[SymbolicTensor]:
    order: list[SymbolicTensor] = []
    done: set[int] = set()
    known = {id(tensor) for tensor in starts}
    stack: list[tuple[SymbolicTensor, bool]] = [
        *((tensor, False) for tensor in reversed(ends)),
        *((tensor, False) for tensor in reversed(starts)),
    ]
    while stack:
        tensor, expanded = stack.pop()
        if id(tensor) in done:
            continue
        if expanded or not tensor.inputs:
            if isinstance(tensor.layer, InputLayer) and id(tensor) not in known:
                raise InvalidArgumentError(
                    "Model: an output depends on an Input that is not among inputs; add it to inputs"
                )
            done.add(id(tensor))
            order.append(tensor)
            continue
        stack.append((tensor, True))
        stack.extend((item, False) for item in reversed(tensor.inputs) if id(item) not in done)
    return order


def from_nodes(
    name: str, layers: Sequence[tuple[Description, tuple[str, ...]]], inputs: Sequence[str], outputs: Sequence[str]
) -> Graph:
    """A graph from named layers and the names each reads, in any order: how files and passes make one.

    Raises:
        InvalidArgumentError: an unknown name, a circle, or a name used twice.
    """
    _named([layer for layer, _ in layers])
    waiting = {_name(layer): (layer, reads) for layer, reads in layers}
    nodes: dict[str, Call] = {}
    for missing in {*inputs, *outputs, *(name for _, reads in layers for name in reads)} - set(waiting):
        raise InvalidArgumentError(f"the graph names a layer {describe_value(missing)} that it does not have")
    while waiting:
        ready = [name for name, (_, reads) in waiting.items() if all(read in nodes for read in reads)]
        if not ready:
            raise InvalidArgumentError(
                "the graph has a circle through " + ", ".join(describe_value(name) for name in list(waiting)[:5])
            )
        for item in ready:
            layer, reads = waiting.pop(item)
            nodes[item] = Call(layer, reads, describe(layer, [nodes[read].output_shape for read in reads]))
    return Graph(name, tuple(nodes.values()), tuple(inputs), tuple(outputs))


def Input(  # noqa: N802 - Keras' name
    shape: Sequence[int] | None = None, batch_size: int | None = None, dtype: Any = None, name: str | None = None
) -> SymbolicTensor:
    """Where the data enters a functional model, or a `Sequential`.

    Args:
        shape: of one sample, for example (28, 28, 1).
        batch_size: taken for Keras' sake; every batch size works.
    """
    if shape is None:
        raise ShapeError("Input: shape is missing; give the shape of one sample, for example shape=(28, 28, 1)")
    layer = InputLayer(shape=tuple(shape), name=name, dtype=dtype)
    return SymbolicTensor(layer, (), layer.shape)

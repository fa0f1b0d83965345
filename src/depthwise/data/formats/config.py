"""A model's config, as Keras 3 writes it to JSON, ↔ a tree of models. What is not known here is refused by name.

Source: the files that Keras 3.0 to 3.15 write (`keras.saving`), read as data; no class is looked up, nothing is imported.
"""

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from typing import Any

from depthwise.configuration import serialized
from depthwise.data.formats.dialect import DEEPEST, MODELS, MOST_LAYERS, Dialect, modern
from depthwise.data.formats.layer_config import (
    as_dict,
    as_list,
    as_name,
    check_dtype,
    check_module,
    layer_config,
    parse_layer,
    sample_shape,
)  # fmt: skip
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError, describe_value
from depthwise.layers.input import InputLayer
from depthwise.layers.operation import OPERATIONS, Operation
from depthwise.network.facts import Shape, describe
from depthwise.network.graph import Graph, LayerPath, unique_names
from depthwise.network.tree import (
    Member,
    ModelTree,
    TreeCall,
    TreePort,
    calls_within,
    chain,
    in_keras_order,
    inlined,
    with_shared,
)

__all__ = ["Parsed", "layers_refused", "model_config", "parse_model"]

SHARED, SHARED_IN_KERAS = "depthwise_shared_id", "shared_object_id"
"""Numbers that entries of one layer, or one model, have in common."""


@dataclass(frozen=True)
class Parsed:
    """What a config says.

    Attributes:
        graph: the network; its tree is in Keras' order.
        written: the tree in the order of the file, which its weights follow.
        policies: arithmetic other than float32 that its layers were made for.
    """

    graph: Graph
    written: ModelTree
    policies: tuple[str, ...] = ()

    @property
    def tree(self) -> ModelTree:
        assert self.graph.tree is not None
        return self.graph.tree


# Reading.


def parse_model(config: Any, what: str = "the config", dialect: Dialect | None = None) -> Parsed:
    """The network that a serialised `Sequential` or functional model describes.

    Args:
        config: as any Keras from 1 to 3 writes it.
        what: what messages call it.
        dialect: who wrote it, and what the user says of its names.

    Raises:
        UnsupportedError: a layer or an option that Depthwise does not have; the message names it and its value.
        InvalidFileError: the config contradicts itself, or is none.
    """
    dialect = dialect or Dialect(what)
    config = modern(as_dict(config, what), dialect)
    class_name = config.get("class_name")
    if class_name not in MODELS:
        raise UnsupportedError(
            f"{what} describes {describe_value(class_name)}; Sequential and functional models are supported, custom ones are not"
        )
    try:
        written = _model(config, what, 0)
        if calls_within(written) > MOST_LAYERS:
            raise InvalidFileError(f"{what} has more than {MOST_LAYERS:,} layers, which is the most that is read")
        identity = _identities(config, written)
        ordered, written = (with_shared(tree, identity) for tree in (_ordered(written), written))
        return Parsed(inlined(ordered), written, tuple(sorted(dialect.policies)))
    except InvalidFileError:
        raise
    except InvalidArgumentError as error:
        raise InvalidFileError(f"{what} contradicts itself: {error}") from error


def _identities(config: Mapping[str, Any], tree: ModelTree) -> dict[LayerPath, object]:
    """What the members that are one object have in common, by their paths.

    Keras gives a number to an object only where the file has it again. Where that is for the first time, the object is the
    one before it with the same name and config.

    Raises:
        UnsupportedError: several members before it have them, so that the file does not say which one it is.
    """
    found: dict[LayerPath, object] = {}
    before: dict[Member, list[LayerPath]] = {}
    numbers: set[object] = set()

    def walk(config: Mapping[str, Any], tree: ModelTree, path: LayerPath) -> None:
        entries = config["config"]["layers"]
        for entry, member in zip(entries, tree.members[len(tree.members) - len(entries) :]):
            own = (*path, str(member.name))
            number = entry.get(SHARED, entry.get(SHARED_IN_KERAS))
            if type(number) is int and not isinstance(member, InputLayer):
                # Layers that differ are not one, whatever the file says.
                identity = (number, replace(member, name="shared"))
                known = identity in numbers
                if not known and SHARED not in entry:
                    alike = before.get(member, [])
                    if len(alike) > 1:
                        raise UnsupportedError(
                            f"the layer {describe_value('/'.join(own))} is one of several with the same name and config, and "
                            "the file does not say which one; give layers of different models different names"
                        )
                    found.update((place, identity) for place in alike)
                    known = bool(alike)
                numbers.add(identity)
                found[own] = identity
                if known:
                    continue
            before.setdefault(member, []).append(own)
            if isinstance(member, ModelTree):
                walk(entry, member, own)

    walk(config, tree, ())
    return found


def layers_refused(config: Any, dialect: Dialect) -> Iterator[tuple[str, str, str]]:
    """(name, reason, the class or option in the way) for each layer or operation of a config that Depthwise does not read.

    Raises:
        InvalidFileError: the config is none, or contradicts itself.
    """
    dialect.problems = []
    config = modern(as_dict(config, dialect.what), dialect)
    yield from dialect.problems
    yield from _refused(config, {name for name, *_ in dialect.problems}, 0)


def _refused(config: Any, noted: Container[str], depth: int) -> Iterator[tuple[str, str, str]]:
    body = config.get("config")
    entries = body.get("layers") if isinstance(body, dict) else None
    for entry in entries if isinstance(entries, list) and depth <= DEEPEST else []:
        own = entry.get("config") if isinstance(entry, dict) else None
        name = (
            str(entry.get("name") or (own.get("name") if isinstance(own, dict) else ""))
            if isinstance(entry, dict)
            else ""
        )
        if isinstance(entry, dict) and entry.get("class_name") in MODELS:
            yield from _refused(entry, noted, depth + 1)
        elif name not in noted:
            try:
                _member(entry, depth)
            except DepthwiseError as error:
                yield name, str(error), getattr(error, "subject", "")


def _model(config: Mapping[str, Any], what: str, depth: int) -> ModelTree:
    class_name = config.get("class_name")
    if depth > DEEPEST:
        raise InvalidFileError(f"{what} has models inside models, more than {DEEPEST} deep")
    check_module(config, f"the model {describe_value(class_name)}")
    if re.search(r"\.layers\b", str(config.get("module"))):
        raise InvalidFileError(
            f"{what}: {describe_value(class_name)} of {describe_value(config.get('module'))} is no model"
        )
    body = as_dict(config.get("config"), f"{what}: the model's config")
    check_dtype(body.get("dtype"), "the model")
    trainable = body.get("trainable", True)
    if not isinstance(trainable, bool):
        raise InvalidFileError(f"{what}: trainable of the model must be true or false, got {describe_value(trainable)}")
    layers = as_list(body.get("layers"), f"{what}: the list of layers")
    if len(layers) > MOST_LAYERS:
        raise InvalidFileError(f"{what} has {len(layers):,} layers, at most {MOST_LAYERS:,} are read")
    name = None if body.get("name") is None else as_name(body["name"], "the model's name")
    if class_name == "Sequential":
        return _sequential(body, layers, name or "sequential", trainable, depth)
    return _functional(body, layers, name or "functional", trainable, depth)


def _member(entry: Any, depth: int) -> Member:
    if isinstance(entry, dict) and entry.get("class_name") in MODELS:
        tree = _model(entry, "the model inside", depth + 1)
        return replace(tree, name=as_name(entry.get("name", tree.name), "a model's name"))
    if isinstance(entry, dict) and re.fullmatch(r"keras\.(src\.)?ops\..*", str(entry.get("module"))):
        return _operation(entry)
    return parse_layer(entry)


def _operation(entry: dict[str, Any]) -> Operation:
    """An operation with the constants that its only call has among its arguments."""
    kind = OPERATIONS.get(str(entry.get("class_name")))
    config = as_dict(entry.get("config", {}), "the config of an operation")
    name = as_name(config.get("name", entry.get("name")), "the name of an operation")
    owner = f"the operation {describe_value(name)}"
    nodes = as_list(entry.get("inbound_nodes", []), f"the inputs of {owner}")
    if kind is None:
        raise UnsupportedError(
            f"{owner} is {describe_value(entry.get('class_name'))} of keras.ops, which is not supported; supported are "
            + ", ".join(OPERATIONS)
        )
    for key, value in config.items():
        if key not in ("name", "dtype"):
            raise UnsupportedError(f"{owner}: {describe_value(key)} = {describe_value(value)} is not supported")
    if len(nodes) != 1:
        raise UnsupportedError(f"{owner} is called {len(nodes)} times, which is not supported; call it once")
    arguments = as_list(as_dict(nodes[0], f"the inputs of {owner}").get("args", []), f"the arguments of {owner}")
    return kind(name=name, arguments=tuple(None if isinstance(item, dict) else item for item in arguments))


def _sequential(body: Mapping[str, Any], layers: list[Any], name: str, trainable: bool, depth: int) -> ModelTree:
    members = [_member(layer, depth) for layer in layers]
    if not members:
        raise InvalidArgumentError("Sequential has no layers yet; add one with .add(layer)")
    if not isinstance(members[0], InputLayer):
        shape = body.get("build_input_shape")
        if shape is None:
            raise UnsupportedError(
                "the Sequential model was saved before its input shape was known; build it in Keras first"
            )
        members.insert(0, InputLayer(shape=sample_shape(shape, "the Sequential model")))
    for member in members[1:]:
        if isinstance(member, InputLayer):
            raise InvalidArgumentError("Sequential takes one Input, as its first layer")
        if (isinstance(member, ModelTree) and len(member.inputs) != 1) or len(getattr(member, "outputs", "1")) != 1:
            raise InvalidFileError(
                f"the model {describe_value(member.name)} has several inputs or outputs, in a Sequential"
            )
    names = unique_names([(member.name, None, InputLayer.default_name) for member in members])
    named = [member if member.name == own else replace(member, name=own) for member, own in zip(members, names)]
    return chain(named, name, trainable)


def _functional(body: Mapping[str, Any], entries: list[Any], name: str, trainable: bool, depth: int) -> ModelTree:
    members: dict[str, Member] = {}
    calls: list[TreeCall] = []
    for entry in entries:
        member = _member(entry, depth)
        key = as_name(entry.get("name", member.name), "a layer's name")
        if member.name != key or key in members:
            raise InvalidFileError(f"the config gives the name {describe_value(key)} twice, or a layer two names")
        members[key] = member
        uses = _inbound(entry, key, constants=isinstance(member, Operation))
        if isinstance(member, InputLayer):
            if uses:
                raise InvalidFileError(f"the layer {describe_value(key)} has {len(uses[0])} inputs, which cannot be")
            uses = [[]]
        elif not uses or not all(uses):
            raise InvalidFileError(f"the layer {describe_value(key)} has 0 inputs, which cannot be")
        calls += [TreeCall(key, index, tuple(reads)) for index, reads in enumerate(uses)]
    inputs, _ = _ends(body.get("input_layers"), "input_layers")
    outputs, keys = _ends(body.get("output_layers"), "output_layers")
    outputs = tuple(replace(port, call=port.call - _first_use(members.get(port.member))) for port in outputs)
    uses_of = Counter(call.member for call in calls)
    for call in calls:
        for port in call.inputs:
            _check_port(port, members, uses_of, f"the layer {describe_value(call.member)} reads")
    for what, ports in (("input_layers", inputs), ("output_layers", outputs)):
        for port in ports:
            _check_port(port, members, uses_of, f"{what} names")
    if not inputs or not all(isinstance(members[port.member], InputLayer) for port in inputs):
        raise InvalidFileError("input_layers must name InputLayers, at least one")
    tree = ModelTree(name, tuple(members.values()), tuple(calls), inputs, outputs, False, keys, trainable)
    _check_connected(tree)
    return tree


def _first_use(member: Member | None) -> int:
    """The number that `output_layers` gives the first call of a member.

    As Keras: a functional model has a call of its own, number 0, between its input and its output. The `keras_history` of
    what layers read does not count it.
    """
    return 1 if isinstance(member, ModelTree) and not member.is_sequential else 0


def _check_port(port: TreePort, members: Mapping[str, Member], uses: Mapping[str, int], what: str) -> None:
    if port.member not in members:
        raise InvalidFileError(f"{what} {describe_value(port.member)}, which does not exist")
    member = members[port.member]
    outputs = len(member.outputs) if isinstance(member, ModelTree) else 1
    if not (0 <= port.call < uses[port.member] and 0 <= port.output < outputs):
        raise InvalidFileError(
            f"{what} the call {[port.call, port.output]} of {describe_value(port.member)}, which does not exist"
        )


def _check_connected(tree: ModelTree) -> None:
    """Every call leads to an output, and only from the model's inputs."""
    calls = {(call.member, call.index): call for call in tree.calls}
    reached: set[tuple[str, int]] = set()
    stack = [(port.member, port.call) for port in tree.outputs]
    while stack:
        item = stack.pop()
        if item not in reached:
            reached.add(item)
            stack.extend((port.member, port.call) for port in calls[item].inputs)
    given = {port.member for port in tree.inputs}
    for item, call in calls.items():
        if item not in reached and item[0] not in given:
            raise InvalidFileError(f"the layer {describe_value(item[0])} is not connected to an output")
        if not call.inputs and item[0] not in given:
            raise InvalidFileError(f"the input {describe_value(item[0])} is not among input_layers")


def _ordered(tree: ModelTree) -> ModelTree:
    members = tuple(_ordered(member) if isinstance(member, ModelTree) else member for member in tree.members)
    return in_keras_order(replace(tree, members=members))


def _inbound(entry: Mapping[str, Any], name: str, *, constants: bool) -> list[list[TreePort]]:
    """What each call of a layer reads; `constants` are left out, which an operation has already."""
    nodes = as_list(entry.get("inbound_nodes", []), f"the inputs of {describe_value(name)}")
    whose = f"the inputs of {describe_value(name)}"
    return [_arguments(as_dict(node, whose), name, constants=constants) for node in nodes]


def _arguments(node: Mapping[str, Any], name: str, *, constants: bool) -> list[TreePort]:
    for key, value in as_dict(node.get("kwargs", {}), f"the arguments of {describe_value(name)}").items():
        if value is not None and not (key == "training" and value is False):
            raise UnsupportedError(
                f"the layer {describe_value(name)} is called with {describe_value(key)} = {describe_value(value)}, which is not "
                "supported"
            )
    arguments = as_list(node.get("args", []), f"the arguments of {describe_value(name)}")
    if len(arguments) == 1 and isinstance(arguments[0], list):
        arguments = arguments[0]
    if constants:
        arguments = [argument for argument in arguments if isinstance(argument, dict)]
    return [_history(argument, name) for argument in arguments]


def _history(argument: Any, name: str) -> TreePort:
    if isinstance(argument, dict) and argument.get("class_name") == "__keras_tensor__":
        return _place(as_dict(argument.get("config"), "a tensor").get("keras_history"), name)
    raise UnsupportedError(
        f"the layer {describe_value(name)} is called on {describe_value(argument)}, not on another layer"
    )


def _place(value: Any, name: str) -> TreePort:
    if not (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and [type(index) for index in value[1:]] == [int, int]
    ):
        raise InvalidFileError(
            f"an input of {describe_value(name)} is not given as [layer, call, output]: {describe_value(value)}"
        )
    return TreePort(*value)


def _ends(value: Any, what: str) -> tuple[tuple[TreePort, ...], tuple[str, ...] | None]:
    """(ports, their keys if they are given by name)."""
    keys: tuple[str, ...] | None = None
    single = isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)
    if isinstance(value, dict):
        keys = tuple(sorted(as_name(key, f"a key of {what}") for key in value))
        places = [value[key] for key in keys]
    else:
        places = [value] if single else as_list(value, what)
    if not places:
        raise InvalidFileError(f"{what} is empty")
    return tuple(_place(place, what) for place in places), keys


# Writing.


def model_config(tree: ModelTree) -> dict[str, Any]:
    """The model as Keras serialises it, without its compilation.

    What stands in it several times has a number of its own. Keras' name for that number would make Keras fail: it then calls one
    layer for all models, and does not find its calls again. Under another name it makes as many layers.
    """
    numbers: dict[LayerPath, int] = {}
    for path, first in tree.shared:
        numbers[path] = numbers.setdefault(first, len(numbers))
    return _config(tree, (), numbers)


def _config(tree: ModelTree, path: LayerPath, numbers: Mapping[LayerPath, int]) -> dict[str, Any]:
    if tree.is_sequential:
        shape = [None, *tree.input_shapes[0]]
        config: dict[str, Any] = {
            "name": tree.name,
            "trainable": tree.trainable,
            "dtype": "float32",
            "layers": [_member_config(member, path, numbers) for member in tree.members],
            "build_input_shape": shape,
        }
        return serialized("keras", "Sequential", config) | {"build_config": {"input_shape": shape}}
    shapes = port_shapes(tree)
    layers = []
    for member in tree.members:
        uses = sorted((call for call in tree.calls if call.member == member.name), key=lambda call: call.index)
        inbound = [_call_config(member, call, shapes) for call in uses if call.inputs]
        layers.append(_member_config(member, path, numbers) | {"name": member.name, "inbound_nodes": inbound})
    inputs = [_history_config(port) for port in tree.inputs]
    outputs = [
        _history_config(replace(port, call=port.call + _first_use(tree.member(port.member)))) for port in tree.outputs
    ]
    ends: Any = outputs[0] if len(outputs) == 1 else outputs
    if tree.output_keys is not None:
        ends = dict(zip(tree.output_keys, outputs))
    config = {
        "name": tree.name,
        "trainable": tree.trainable,
        "layers": layers,
        "input_layers": inputs[0] if len(inputs) == 1 else inputs,
        "output_layers": ends,
    }
    return serialized("keras.src.models.functional", "Functional", config, "Functional")


def _member_config(member: Member, path: LayerPath, numbers: Mapping[LayerPath, int]) -> dict[str, Any]:
    own = (*path, str(member.name))
    config = _config(member, own, numbers) if isinstance(member, ModelTree) else layer_config(member)
    return config | {SHARED: numbers[own]} if own in numbers else config


def _history_config(port: TreePort) -> list[Any]:
    return [port.member, port.call, port.output]


def _call_config(member: Member, call: TreeCall, shapes: Mapping[TreePort, Shape]) -> dict[str, Any]:
    tensors: list[Any] = [
        {
            "class_name": "__keras_tensor__",
            "config": {
                "shape": [None, *shapes[port]],
                "dtype": "float32",
                "keras_history": _history_config(port),
            },
        }
        for port in call.inputs
    ]
    if isinstance(member, Operation):
        rest = iter(tensors)
        return {"args": [next(rest) if value is None else value for value in member.arguments], "kwargs": {}}
    as_list = len(tensors) != 1 or getattr(member, "takes_list", False)
    return {"args": [tensors] if as_list else tensors, "kwargs": {}}


def port_shapes(tree: ModelTree) -> dict[TreePort, Shape]:
    """The shape of every value between the members of a tree whose calls are in order."""
    members = {member.name: member for member in tree.members}
    shapes: dict[TreePort, Shape] = {}
    for call in tree.calls:
        member = members[call.member]
        if isinstance(member, ModelTree):
            inner = port_shapes(member)
            results = [inner[port] for port in member.outputs]
        else:
            results = [describe(member, [shapes[port] for port in call.inputs]).output_shape]
        shapes.update((TreePort(call.member, call.index, i), shape) for i, shape in enumerate(results))
    return shapes

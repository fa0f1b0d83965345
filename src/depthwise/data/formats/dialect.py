"""Configs of any Keras → the form in which Keras 3 writes them, which config.py reads.

Keras 1, Keras 2, tf.keras and Keras 3's own legacy writer say the same things differently: models (`Model`, a list of layers
without a name), the inputs of a layer (lists of `[layer, call, output, arguments]`), names with slashes, models inside models that
count their calls from 1. Values in, values out: nothing here decides what is allowed, and what is not understood stays as it is
for the reader to refuse by name. What layers say of themselves is in dialect_layers.py.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from depthwise.data.formats.dialect_layers import Dialect, bare_name, modern_layer, policy
from depthwise.data.formats.dialect_operations import is_operation, modern_operation, with_module
from depthwise.data.formats.layer_config import as_dict, as_list
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidFileError, UnsupportedError, describe_value

__all__ = ["DEEPEST", "MODELS", "MOST_LAYERS", "Dialect", "modern"]

MODELS = ("Sequential", "Functional", "Model")
MOST_LAYERS = 10_000
DEEPEST = 16
"""Models inside models inside models …"""

CONSTANT = "_CONSTANT_VALUE"
"""What tf.keras writes in place of a layer's name where an operation reads a number."""


def modern(config: Any, dialect: Dialect, depth: int = 0) -> Any:
    """The config of a model as Keras 3 would write it; anything else as it is.

    Raises:
        InvalidFileError: the config contradicts itself.
        UnsupportedError: an operation between layers that Depthwise does not have.
    """
    if not isinstance(config, dict) or bare_name(config.get("class_name")) not in MODELS:
        return config
    if depth > DEEPEST:
        raise InvalidFileError(f"{dialect.what} has models inside models, more than {DEEPEST} deep")
    class_name = bare_name(config["class_name"])
    body = config.get("config")
    body = {"layers": body} if isinstance(body, list) else dict(as_dict(body, f"{dialect.what}: the model's config"))
    entries = as_list(body.get("layers"), f"{dialect.what}: the list of layers")
    if len(entries) > MOST_LAYERS:
        raise InvalidFileError(f"{dialect.what} has {len(entries):,} layers, at most {MOST_LAYERS:,} are read")
    if "dtype" in body:
        body["dtype"] = policy(body["dtype"], dialect)
    if class_name == "Sequential":
        body["layers"] = _chain(entries, body, dialect, depth)
    else:
        body = _Functional(body, dialect, depth).read(entries)
    result = {**config, "class_name": "Functional" if class_name == "Model" else class_name, "config": body}
    if "module" not in config:
        result |= {"module": "keras", "registered_name": None}
    return result


def _is_model(entry: Any) -> bool:
    return isinstance(entry, dict) and bare_name(entry.get("class_name")) in MODELS


def _own_name(entry: Any) -> str | None:
    """What the entry is called: in a functional model the key beside its config, else in the config; None for no text."""
    if not isinstance(entry, dict):
        return None
    name = _raw_name(entry)
    return name if isinstance(name, str) else None


def _raw_name(entry: dict[str, Any]) -> Any:
    """The name as it is given, for the reader to refuse."""
    config = entry.get("config")
    return entry.get("name") or (config.get("name") if isinstance(config, dict) else None)


def _renamed(entry: dict[str, Any], name: Any) -> dict[str, Any]:
    config = entry.get("config")
    result = {**entry, "config": {**config, "name": name}} if isinstance(config, dict) else dict(entry)
    return {**result, "name": name} if "name" in entry or _is_model(entry) else result


def _plain_names(names: list[Any]) -> dict[Any, Any]:
    """New names for those with a slash, which ours and Keras 3's must not have."""
    taken = {name for name in names if isinstance(name, str)}
    new: dict[Any, Any] = {}
    for name in names:
        if isinstance(name, str) and "/" in name and name not in new:
            plain = base = name.replace("/", "_")
            count = 0
            while plain in taken:
                count += 1
                plain = f"{base}_{count}"
            taken.add(plain)
            new[name] = plain
    return new


# Chains.


def _chain(entries: list[Any], body: dict[str, Any], dialect: Dialect, depth: int) -> list[Any]:
    new = _plain_names([_own_name(entry) for entry in entries])
    shape = _first_shape(entries[0], 0) if entries else None
    result: list[Any] = []
    for entry in entries:
        own = _own_name(entry)
        if own in new:
            entry = _renamed(entry, new[own])
        result += [modern(entry, dialect, depth + 1)] if _is_model(entry) else modern_layer(entry, dialect)
    first = entries[0] if entries else None
    begins = isinstance(first, dict) and first.get("class_name") == "InputLayer"
    if shape is None:
        shape = body.get("build_input_shape")
    if shape is not None and result and not begins:
        name = f"{_own_name(result[0]) or 'sequential'}_input"
        config = {"batch_shape": shape, "dtype": "float32", "name": name}
        result.insert(
            0, {"module": "keras.layers", "class_name": "InputLayer", "config": config, "registered_name": None}
        )
    return result


def _first_shape(entry: Any, depth: int) -> Any:
    """The input's shape, batch included, that the first layer of a chain says; None where it does not."""
    config = entry.get("config") if isinstance(entry, dict) else None
    if _is_model(entry) and depth <= DEEPEST:
        layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
        if isinstance(layers, list) and layers:
            if bare_name(entry["class_name"]) == "Sequential":
                return _first_shape(layers[0], depth + 1)
            inputs = [item for item in layers if isinstance(item, dict) and item.get("class_name") == "InputLayer"]
            return _first_shape(inputs[0], depth + 1) if len(inputs) == 1 else None
    if isinstance(config, dict):
        return config.get("batch_input_shape", config.get("batch_shape"))
    return None


# Functional models.


@dataclass
class _Node:
    """One call of a layer: its arguments, tensors among them as Keras 3 writes them."""

    args: list[Any]
    kwargs: dict[str, Any]


@dataclass
class _Functional:
    """The layers of one functional model and how they are called."""

    body: dict[str, Any]
    dialect: Dialect
    depth: int
    is_older: bool = False
    new: dict[Any, Any] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    """The last of the layers that one became: who read that one reads this."""
    followers: set[str] = field(default_factory=set)
    """Those that follow the first: they read each other."""

    def read(self, entries: list[Any]) -> dict[str, Any]:
        self.new = _plain_names([_own_name(entry) for entry in entries])
        calls: list[tuple[dict[str, Any], list[_Node]]] = []
        for entry in entries:
            if not isinstance(entry, dict):
                return {**self.body, "layers": entries}  # the reader says what is wrong with it
            nodes = [
                self._node(node, _own_name(entry))
                for node in as_list(
                    entry.get("inbound_nodes") or [], f"the inputs of {describe_value(_own_name(entry))}"
                )
            ]
            own = _own_name(entry)
            calls.append((_renamed(entry, self.new[own]) if own in self.new else entry, nodes))
        calls = [made for entry, nodes in calls for made in self._layers(entry, nodes)]
        ends = {key: self._end(self.body.get(key)) for key in ("input_layers", "output_layers")}
        if self.is_older:
            self._count_from_zero(calls, ends)
        layers = []
        for entry, nodes in calls:
            own = _own_name(entry)
            given = 1 if own in self.followers else 0  # what they follow is theirs, the rest is as for everybody
            for tensor in _tensors([[node.args[given:], node.kwargs] for node in nodes]):
                tensor[0] = self.instead.get(tensor[0], tensor[0])
            inbound = [{"args": node.args, "kwargs": node.kwargs} for node in nodes]
            layers.append({**entry, "name": _raw_name(entry), "inbound_nodes": inbound})
        for place in _ports(ends["output_layers"]):
            place[0] = self.instead.get(place[0], place[0])
        return {**self.body, **ends, "layers": layers}

    def _layers(self, entry: dict[str, Any], nodes: list[_Node]) -> Iterator[tuple[dict[str, Any], list[_Node]]]:
        """The layer as one of Keras 3, and what must follow it in its place."""
        if _is_model(entry):
            yield modern(entry, self.dialect, self.depth + 1), nodes
            return
        others: list[dict[str, Any]] = []
        if not self.is_older:
            entry = with_module(entry)
        if is_operation(entry):
            if not nodes:
                raise InvalidFileError(f"the operation {describe_value(_own_name(entry))} has no inputs")
            try:
                made = [modern_operation(entry, node.args, node.kwargs, self.dialect) for node in nodes]
            except UnsupportedError as error:
                if self.dialect.problems is None:
                    raise
                self.dialect.problems.append((str(_own_name(entry)), str(error), str(entry.get("class_name"))))
                yield entry, nodes
                return
            if any(item.entry != made[0].entry for item in made):
                raise UnsupportedError(
                    f"the operation {describe_value(_own_name(entry))} is called with different options"
                )
            entry, nodes = made[0].entry, [_Node(item.args, {}) for item in made]
            others = made[0].after
        first, *more = modern_layer(entry, self.dialect)
        yield first, nodes
        previous = own = str(_own_name(first))
        for other in [*more, *others]:
            constants = other.get("constants", [])
            other = {key: value for key, value in other.items() if key != "constants"}
            yield other, [_Node([_tensor([previous, index, 0]), *constants], {}) for index in range(len(nodes))]
            previous = str(_own_name(other))
            self.followers.add(previous)
        self.instead[own] = previous

    def _end(self, value: Any) -> Any:
        """`input_layers` or `output_layers` with the new names."""
        if isinstance(value, dict):
            return {key: self._port(place) for key, place in value.items()}
        if isinstance(value, list) and _is_place(value):
            return self._port(value)
        return [self._port(place) for place in value] if isinstance(value, list) else value

    def _port(self, place: Any) -> Any:
        return [self.new.get(place[0], place[0]), *place[1:]] if _is_place(place) else place

    def _node(self, node: Any, owner: Any) -> _Node:
        if isinstance(node, dict):
            args = node.get("args", [])
            kwargs = as_dict(node.get("kwargs", {}), f"the arguments of {describe_value(owner)}")
            args, kwargs = _copy([as_list(args, f"the arguments of {describe_value(owner)}"), kwargs])
            for tensor in _tensors([args, kwargs]):
                tensor[0] = self.new.get(tensor[0], tensor[0])
            return _Node(args, kwargs)
        self.is_older = True
        places = as_list(node, f"the inputs of {describe_value(owner)}")
        single = bool(places) and isinstance(places[0], str)
        values: list[Any] = []
        kwargs = {}
        for place in [places] if single else places:
            if not isinstance(place, list) or len(place) not in (3, 4) or not isinstance(place[0], str):
                raise InvalidFileError(
                    f"an input of {describe_value(owner)} is not given as [layer, call, output]: {describe_value(place)}"
                )
            kwargs |= as_dict(place[3] if len(place) == 4 else {}, f"the arguments of {describe_value(owner)}")
            values.append(place[2] if place[0] == CONSTANT else _tensor(self._port(place[:3])))
        kwargs = {key: self._argument(value) for key, value in kwargs.items()}
        return _Node(values if len(values) == 1 else [values], kwargs)

    def _argument(self, value: Any) -> Any:
        """An argument of an older operation: `[layer, call, output]` is a tensor."""
        if _is_place(value) and len(value) == 3:
            return _tensor(self._port(value))
        return [self._argument(item) for item in value] if isinstance(value, list) else value

    def _count_from_zero(self, calls: list[tuple[dict[str, Any], list[_Node]]], ends: Mapping[str, Any]) -> None:
        """Calls of models inside: older Keras gave number 0 to the model's own, which is in no file."""
        reads: dict[str, list[list[Any]]] = defaultdict(list)
        for _, nodes in calls:
            for tensor in _tensors([[node.args, node.kwargs] for node in nodes]):
                reads[tensor[0]].append(tensor)
        outputs: dict[str, list[list[Any]]] = defaultdict(list)
        for place in _ports(ends["output_layers"]):
            outputs[place[0]].append(place)
        for entry, nodes in calls:
            if not _is_model(entry):
                continue
            name = str(_own_name(entry))
            places = [*reads[name], *outputs[name]]
            if not all(type(place[1]) is int for place in places):
                continue
            if places and min(place[1] for place in places) == 1 and max(place[1] for place in places) <= len(nodes):
                for place in places:
                    place[1] -= 1
            if bare_name(entry["class_name"]) != "Sequential":
                for place in outputs[name]:
                    place[1] += 1  # as Keras 3 counts them there, and nowhere else


def _is_place(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 3
        and isinstance(value[0], str)
        and [type(item) for item in value[1:3]] == [int, int]
    )


def _ports(value: Any) -> Iterator[list[Any]]:
    places = list(value.values()) if isinstance(value, dict) else [value] if _is_place(value) else value
    yield from (place for place in places if _is_place(place)) if isinstance(places, list) else ()


def _tensor(place: Any) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": place}}


def _tensors(value: Any) -> Iterator[list[Any]]:
    """The `[layer, call, output]` of every tensor among arguments, to be changed in place."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict):
            config = item.get("config")
            if item.get("class_name") == "__keras_tensor__" and isinstance(config, dict):
                if _is_place(config.get("keras_history")):
                    yield config["keras_history"]
            else:
                stack.extend(item.values())


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value

"""A model's config, as Keras 3 writes it to JSON, ↔ a graph. Reading is an allowlist: what is not known here is refused by name.

Source: the files that Keras 3.0 to 3.15 write (`keras.saving`), read as data; no class is looked up, nothing is imported.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from depthwise import graph as graphs
from depthwise import initializers
from depthwise.arguments import ACTIVATIONS
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError, describe_value
from depthwise.graph import Graph, SymbolicTensor
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer
from depthwise.layers.registry import LAYERS

if TYPE_CHECKING:
    from depthwise.models import Model

__all__ = ["Parsed", "check_module", "model_config", "model_from_config", "parse_model", "serialized"]

MOST_LAYERS = 10_000
LONGEST_NAME = 256
LARGEST_INTEGER = 2**63 - 1

_HARMLESS: dict[str, tuple[object, ...]] = {
    # Options of Keras that we lack, with the values at which they do nothing.
    "autocast": (True, None),
    "optional": (False,),
    "ragged": (False,),
    "renorm": (False,),
    "renorm_momentum": (0.99,),
    "sparse": (False,),
}
_INITIALIZER_ALIASES = {"OrthogonalInitializer": "Orthogonal", "IdentityInitializer": "Identity"}
_ACTIVATION_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What a config says: the graph, its layers' names in the order of the file, and the outputs' names if they have any."""

    graph: Graph
    layer_names: tuple[str, ...]
    output_keys: tuple[str, ...] | None


# Reading.


def model_from_config(config: Any, what: str = "the config") -> "Model":
    """A model with new weights.

    Raises:
        InvalidFileError, UnsupportedError: see `parse_model`.
    """
    from depthwise.models import Model

    parsed = parse_model(config, what)
    return Model.from_graph(parsed.graph, None, parsed.output_keys)


def parse_model(config: Any, what: str = "the config") -> Parsed:
    """The graph that a serialised `Sequential` or functional model describes.

    Raises:
        UnsupportedError: a layer or an option that Depthwise does not have; the message names it and its value.
        InvalidFileError: the config contradicts itself, or is none.
    """
    config = _dict(config, what)
    class_name = config.get("class_name")
    if class_name not in ("Sequential", "Functional", "Model"):
        raise UnsupportedError(
            f"{what} describes {describe_value(class_name)}; Sequential and functional models are supported, custom ones are not"
        )
    check_module(config, f"the model {describe_value(class_name)}")
    body = _dict(config.get("config"), f"{what}: the model's config")
    try:
        _check_dtype(body.get("dtype"), "the model")
        if body.get("trainable", True) is not True:
            raise UnsupportedError(
                f"{what}: a whole model with trainable=False is not supported; freeze its layers instead"
            )
        layers = _list(body.get("layers"), f"{what}: the list of layers")
        if len(layers) > MOST_LAYERS:
            raise InvalidFileError(f"{what} has {len(layers):,} layers, at most {MOST_LAYERS:,} are read")
        name = None if body.get("name") is None else _name(body["name"], "the model's name")
        if class_name == "Sequential":
            return _sequential(body, layers, name)
        return _functional(body, layers, name)
    except InvalidFileError:
        raise
    except InvalidArgumentError as error:
        raise InvalidFileError(f"{what} contradicts itself: {error}") from error


def _sequential(body: Mapping[str, Any], layers: list[Any], name: str | None) -> Parsed:
    chain = [parse_layer(layer) for layer in layers]
    if chain and not isinstance(chain[0], InputLayer):
        shape = body.get("build_input_shape")
        if shape is None:
            raise UnsupportedError(
                "the Sequential model was saved before its input shape was known; build it in Keras first"
            )
        chain.insert(0, InputLayer(shape=_sample_shape(shape, "the Sequential model")))
    graph = graphs.sequential(chain, name)
    return Parsed(graph, tuple(node.name for node in graph.calls), None)


def _functional(body: Mapping[str, Any], entries: list[Any], name: str | None) -> Parsed:
    layers: dict[str, Description] = {}
    reads: dict[str, list[str]] = {}
    for entry in entries:
        layer = parse_layer(entry)
        key = _name(entry.get("name", layer.name), "a layer's name")
        if layer.name != key or key in layers:
            raise InvalidFileError(f"the config gives the name {describe_value(key)} twice, or a layer two names")
        layers[key] = layer
        reads[key] = _inbound(entry, key)
        if isinstance(layer, InputLayer) != (not reads[key]):
            raise InvalidFileError(f"the layer {describe_value(key)} has {len(reads[key])} inputs, which cannot be")
    for key, names in reads.items():
        for read in names:
            if read not in layers:
                raise InvalidFileError(
                    f"the layer {describe_value(key)} reads {describe_value(read)}, which does not exist"
                )
    tensors = _connect(layers, reads)
    inputs, _ = _ends(body.get("input_layers"), tensors, "input_layers")
    outputs, keys = _ends(body.get("output_layers"), tensors, "output_layers")
    graph = graphs.functional(inputs, outputs, name)
    lost = set(layers) - set(graph.by_name)
    if lost:
        raise InvalidFileError(f"the layer {describe_value(min(lost))} is not connected to an output")
    return Parsed(graph, tuple(layers), keys)


def _connect(layers: Mapping[str, Description], reads: Mapping[str, list[str]]) -> dict[str, SymbolicTensor]:
    """Every layer called on what it reads, each after its inputs."""
    readers: dict[str, list[str]] = {name: [] for name in layers}
    missing = {}
    for name, names in reads.items():
        distinct = set(names)
        missing[name] = len(distinct)
        for read in distinct:
            readers[read].append(name)
    tensors: dict[str, SymbolicTensor] = {}
    ready = [name for name, count in missing.items() if not count]
    while ready:
        name = ready.pop()
        layer = layers[name]
        if isinstance(layer, InputLayer):
            tensors[name] = SymbolicTensor(layer, (), layer.shape)
        else:
            inputs = [tensors[read] for read in reads[name]]
            tensors[name] = inputs[0].connect(layer, inputs)
        for reader in readers[name]:
            missing[reader] -= 1
            if not missing[reader]:
                ready.append(reader)
    if len(tensors) < len(layers):
        circle = next(name for name in layers if name not in tensors)
        raise InvalidFileError(f"the layers form a circle through {describe_value(circle)}")
    return tensors


def _inbound(entry: Mapping[str, Any], name: str) -> list[str]:
    nodes = _list(entry.get("inbound_nodes", []), f"the inputs of {describe_value(name)}")
    if len(nodes) > 1:
        raise UnsupportedError(
            f"the layer {describe_value(name)} is called {len(nodes)} times; layers that share weights are not supported"
        )
    if not nodes:
        return []
    node = _dict(nodes[0], f"the inputs of {describe_value(name)}")
    for key, value in _dict(node.get("kwargs", {}), f"the arguments of {describe_value(name)}").items():
        if value is not None and not (key == "training" and value is False):
            raise UnsupportedError(
                f"the layer {describe_value(name)} is called with {describe_value(key)} = {describe_value(value)}, which is not "
                "supported"
            )
    arguments = _list(node.get("args", []), f"the arguments of {describe_value(name)}")
    if len(arguments) == 1 and isinstance(arguments[0], list):
        arguments = arguments[0]
    return [_history(argument, name) for argument in arguments]


def _history(argument: Any, name: str) -> str:
    if isinstance(argument, dict) and argument.get("class_name") == "__keras_tensor__":
        return _place(_dict(argument.get("config"), "a tensor").get("keras_history"), name)
    raise UnsupportedError(
        f"the layer {describe_value(name)} is called on {describe_value(argument)}, not on another layer"
    )


def _place(value: Any, name: str) -> str:
    if not (isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)):
        raise InvalidFileError(
            f"an input of {describe_value(name)} is not given as [layer, 0, 0]: {describe_value(value)}"
        )
    if [type(index) for index in value[1:]] != [int, int] or value[1:] != [0, 0]:
        raise UnsupportedError(
            f"{describe_value(name)} reads the call {describe_value(value[1:])} of {describe_value(value[0])}; layers that "
            "share weights are not supported"
        )
    return value[0]


def _ends(
    value: Any, tensors: Mapping[str, SymbolicTensor], what: str
) -> tuple[list[SymbolicTensor], tuple[str, ...] | None]:
    """(tensors, their keys if they are given by name)."""
    keys: tuple[str, ...] | None = None
    single = isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)
    if isinstance(value, dict):
        keys = tuple(sorted(_name(key, f"a key of {what}") for key in value))
        places = [value[key] for key in keys]
    else:
        places = [value] if single else _list(value, what)
    names = [_place(place, what) for place in places]
    for name in names:
        if name not in tensors:
            raise InvalidFileError(f"{what} names {describe_value(name)}, which does not exist")
    return [tensors[name] for name in names], keys


def parse_layer(entry: Any) -> Description:
    """The description of one serialised layer; see `parse_model` for what is raised."""
    entry = _dict(entry, "a layer")
    class_name = entry.get("class_name")
    config = _dict(entry.get("config", {}), f"the config of a {describe_value(class_name)} layer")
    name = _name(config.get("name", entry.get("name")), f"the name of a {describe_value(class_name)} layer")
    owner = f"the layer {describe_value(name)}"
    if class_name == "Lambda":
        raise UnsupportedError(f"{owner} is a Lambda, which holds code; code in a model file is never run")
    if class_name in ("Sequential", "Functional", "Model"):
        raise UnsupportedError(
            f"{owner} is a model inside the model, which is not supported; put its layers in its place"
        )
    check_module(entry, owner)
    if not isinstance(class_name, str) or class_name not in LAYERS:
        raise UnsupportedError(f"{owner} is a {describe_value(class_name)}, which is not supported; " + _supported())
    cls = LAYERS[class_name]
    _check_dtype(config.get("dtype"), owner)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    options: dict[str, Any] = {"name": name}
    for key, value in config.items():
        if key in ("name", "dtype"):
            continue
        if key in ("batch_shape", "batch_input_shape"):
            options["shape" if cls is InputLayer else "input_shape"] = _sample_shape(value, owner)
        elif key in fields and key != "input_shape":
            options[key] = _option(owner, key, value, fields[key].type)
        elif value is not None and value not in _HARMLESS.get(key, ()):
            raise UnsupportedError(f"{owner}: {describe_value(key)} = {describe_value(value)} is not supported")
    try:
        return cls(**options)
    except DepthwiseError as error:
        if isinstance(error, UnsupportedError):
            raise UnsupportedError(f"{owner}: {error}") from error
        raise InvalidFileError(f"{owner}: {error}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidFileError(f"{owner}: an option is missing or of a wrong type: {describe_value(config)}") from error


def _option(owner: str, key: str, value: Any, annotation: Any) -> Any:
    if any(
        type(item) is int and abs(item) > LARGEST_INTEGER for item in (value if isinstance(value, list) else [value])
    ):
        raise InvalidFileError(f"{owner}: {key} must be at most {LARGEST_INTEGER}, got {describe_value(value)}")
    if key.endswith("_initializer"):
        return _initializer(owner, key, value)
    if key == "activation":
        return _activation(owner, value)
    kinds = {part.strip() for part in str(getattr(annotation, "__name__", annotation)).split("|")}
    if "bool" in kinds and not isinstance(value, bool):
        raise InvalidFileError(f"{owner}: {key} must be true or false, got {describe_value(value)}")
    if "float" in kinds and "tuple" not in str(annotation):
        if value is None and "None" in kinds:
            return None
        if key in ("scale", "offset") and isinstance(value, (list, dict)):
            raise UnsupportedError(f"{owner}: {key} must be one number, got {describe_value(value)}")
        return _number(f"{owner}: {key}", value)
    return value


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidFileError(f"{what} must be a number, got {describe_value(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidFileError(f"{what} must be a finite number, got {describe_value(value)}")
    return number


def _initializer(owner: str, key: str, value: Any) -> Initializer:
    if isinstance(value, dict):
        check_module(value, f"{owner}: {key}")
        class_name = str(value.get("class_name"))
        class_name = _INITIALIZER_ALIASES.get(class_name, class_name)
        cls = initializers.CLASSES.get(class_name)
        if cls is not None:
            known = {field.name for field in dataclasses.fields(cls)}
            options: dict[str, Any] = {}
            for option, setting in _dict(value.get("config", {}), f"{owner}: the config of {key}").items():
                if option not in known:
                    if setting is not None and option != "dtype":
                        raise UnsupportedError(
                            f"{owner}: {key} has {describe_value(option)} = {describe_value(setting)}"
                        )
                elif option == "seed":
                    if setting is not None and type(setting) is not int:
                        raise UnsupportedError(
                            f"{owner}: the seed of {key} must be an integer, got {describe_value(setting)}"
                        )
                    options[option] = setting
                elif option in ("mode", "distribution"):
                    options[option] = str(setting)
                else:
                    options[option] = _number(f"{owner}: {option} of {key}", setting)
            return cls(**options)
    elif isinstance(value, str) and value in initializers._BY_NAME:
        return initializers.get(value)
    raise UnsupportedError(
        f"{owner}: {key} is {describe_value(_class_of(value))}, which is not one of Keras' initializers"
    )


def _activation(owner: str, value: Any) -> str:
    if value is None:
        return "linear"
    name: Any = value.get("config") if isinstance(value, dict) and value.get("class_name") == "function" else value
    if isinstance(name, str):
        if _ACTIVATION_ALIASES.get(name, name) in ACTIVATIONS:
            return _ACTIVATION_ALIASES.get(name, name)
        value = None
    # Keras writes code in several forms: as a __lambda__, as a function whose config is no name, as a bare value.
    if isinstance(value, dict) and (
        name is not value or "value" in value or value.get("class_name") in ("__lambda__", "Lambda")
    ):
        raise UnsupportedError(
            f"{owner}: the activation is a lambda, which holds code; code in a model file is never run"
        )
    raise UnsupportedError(
        f"{owner}: the activation {describe_value(_class_of(name))} is not supported; supported are {', '.join(ACTIVATIONS)}"
    )


def _class_of(value: Any) -> Any:
    return value.get("class_name", value) if isinstance(value, dict) else value


def check_module(entry: Mapping[str, Any], owner: str) -> None:
    """Only Keras' own classes; a custom class has another module, or a registered name such as 'package>Class'."""
    module, registered = entry.get("module"), entry.get("registered_name")
    class_name = entry.get("class_name")
    own = isinstance(module, str) and re.fullmatch(r"(tf_)?keras(\.[A-Za-z0-9_]+)*", module) is not None
    if not own or (registered is not None and registered != class_name):
        raise UnsupportedError(
            f"{owner} is a custom class, {describe_value(class_name)} of the module {describe_value(module)}"
            + (f" registered as {describe_value(registered)}" if registered is not None else "")
            + "; only Keras' own layers are read"
        )


def _check_dtype(dtype: Any, owner: str) -> None:
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else dtype.get("class_name")
    if dtype not in (None, "float32"):
        raise UnsupportedError(f"{owner}: dtype must be float32 (all arithmetic is), got {describe_value(dtype)}")


def _sample_shape(value: Any, owner: str) -> tuple[int, ...]:
    shape = _list(value, f"{owner}: the input shape")
    sizes = shape[1:]
    if any(size is None for size in sizes):
        raise UnsupportedError(f"{owner}: the input shape {describe_value(shape)} is open; every size must be fixed")
    if not sizes or not all(type(size) is int and 0 < size <= LARGEST_INTEGER for size in sizes):
        raise InvalidFileError(
            f"{owner}: the input shape must be [null, height, width, channels], got {describe_value(shape)}"
        )
    return tuple(sizes)


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or "/" in value or len(value) > LONGEST_NAME:
        raise InvalidFileError(
            f"{what} must be a text of 1 to {LONGEST_NAME} characters without '/', got {describe_value(value)}"
        )
    return value


def _dict(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidFileError(f"{what} should be an object of JSON, got {describe_value(value)}")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise InvalidFileError(f"{what} should be a list, got {describe_value(value)}")
    return list(value)


def _supported() -> str:
    return "supported are " + ", ".join(name for name in LAYERS if name != "InputLayer")


# Writing.


def serialized(module: str, class_name: str, config: Any, registered_name: str | None = None) -> dict[str, Any]:
    """One object as Keras serialises it."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered_name}


def model_config(model: "Model") -> dict[str, Any]:
    """The model as Keras serialises it, without its compilation."""
    graph = model.graph
    if graph.is_sequential:
        config: dict[str, Any] = {
            "name": model.name,
            "trainable": True,
            "dtype": "float32",
            "layers": [layer_config(node.layer) for node in graph.calls],
            "build_input_shape": [None, *graph.input_shapes[0]],
        }
        return serialized("keras", "Sequential", config) | {
            "build_config": {"input_shape": [None, *graph.input_shapes[0]]}
        }
    layers = []
    for node in graph.calls:
        tensors = [
            {
                "class_name": "__keras_tensor__",
                "config": {
                    "shape": [None, *graph.by_name[read].output_shape],
                    "dtype": "float32",
                    "keras_history": [read, 0, 0],
                },
            }
            for read in node.inputs
        ]
        arguments: list[Any] = tensors if len(tensors) == 1 else [tensors]
        inbound = [{"args": arguments, "kwargs": {}}] if tensors else []
        layers.append(layer_config(node.layer) | {"name": node.name, "inbound_nodes": inbound})
    outputs: Any = [[name, 0, 0] for name in graph.outputs]
    if model._output_keys is not None:
        outputs = dict(zip(model._output_keys, outputs))
    elif len(outputs) == 1:
        outputs = outputs[0]
    inputs = [[name, 0, 0] for name in graph.inputs]
    config = {
        "name": model.name,
        "trainable": True,
        "layers": layers,
        "input_layers": inputs[0] if len(inputs) == 1 else inputs,
        "output_layers": outputs,
    }
    return serialized("keras.src.models.functional", "Functional", config, "Functional")


def layer_config(layer: Description) -> dict[str, Any]:
    """A named layer as Keras serialises it."""
    if isinstance(layer, InputLayer):
        config: dict[str, Any] = {
            "batch_shape": [None, *layer.shape],
            "dtype": "float32",
            "sparse": False,
            "name": layer.name,
        }
    else:
        config = {"name": layer.name, "trainable": layer.trainable, "dtype": "float32"}
        for field in dataclasses.fields(layer):
            if field.name not in ("name", "trainable", "input_shape", "dtype"):
                config[field.name] = _written(getattr(layer, field.name))
    return serialized("keras.layers", type(layer).__name__, config)


def _written(value: Any) -> Any:
    if isinstance(value, Initializer):
        return serialized("keras.initializers", type(value).__name__, dataclasses.asdict(value))
    if isinstance(value, (tuple, list)):
        return [_written(item) for item in value]
    return value

"""One layer's config, as Keras 3 writes it to JSON, ↔ its description. Reading is an allowlist.

Source: the files that Keras 3.0 to 3.15 write (`keras.saving`), read as data; no class is looked up, nothing is imported.
"""

import dataclasses
import difflib
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from depthwise import constraints, initializers, regularizers
from depthwise.arguments import ACTIVATIONS, NO_LAYERS
from depthwise.configuration import serialized
from depthwise.constraints import Constraint
from depthwise.errors import DepthwiseError, InvalidFileError, UnsupportedError, describe_value
from depthwise.initializers import Initializer
from depthwise.layers.description import PENALISED, Description
from depthwise.layers.descriptions import LAYERS
from depthwise.layers.input import InputLayer
from depthwise.layers.names import UNSUPPORTED
from depthwise.layers.operation import Operation
from depthwise.layers.tensors import is_foreign
from depthwise.regularizers import Regularizer

__all__ = [
    "LONGEST_NAME", "as_dict", "as_list", "as_name", "check_dtype", "check_module", "check_shown", "layer_config", "layer_from_config",
    "parse_layer", "sample_shape",
]  # fmt: skip

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


def parse_layer(entry: Any) -> Description:
    """The description of one serialised layer; see `parse_model` for what is raised."""
    entry = as_dict(entry, "a layer")
    class_name = entry.get("class_name")
    config = as_dict(entry.get("config", {}), f"the config of a {describe_value(class_name)} layer")
    name = as_name(config.get("name", entry.get("name")), f"the name of a {describe_value(class_name)} layer")
    owner = f"the layer {describe_value(name)}"
    if class_name == "Lambda":
        raise UnsupportedError(
            f"{owner} is a Lambda, which holds code; code in a model file is never run", subject="Lambda"
        )
    check_module(entry, owner, "layers")
    if not isinstance(class_name, str) or class_name not in LAYERS:
        why = UNSUPPORTED.get(class_name) if isinstance(class_name, str) else None
        raise UnsupportedError(
            f"{owner} is a {describe_value(class_name)}, which is not supported"
            + (f": {why}" if why else "; " + _supported(class_name)),
            subject=class_name,
        )
    cls = LAYERS[class_name]
    check_dtype(config.get("dtype"), owner)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    options: dict[str, Any] = {"name": name}
    for key, value in config.items():
        if key in ("name", "dtype"):
            continue
        if key in ("batch_shape", "batch_input_shape"):
            options["shape" if cls is InputLayer else "input_shape"] = sample_shape(value, owner)
        elif key in fields and key != "input_shape":
            options[key] = _option(owner, key, value, fields[key].type)
        elif value is not None and value not in _HARMLESS.get(key, ()):
            raise UnsupportedError(
                f"{owner}: {describe_value(key)} = {describe_value(value)} is not supported"
                + (f"; {PENALISED}" if key == "activity_regularizer" else ""),
                subject=key,
            )
    try:
        return cls(**options)
    except DepthwiseError as error:
        if isinstance(error, UnsupportedError):
            subject = next((key for key in options if f"{key} " in str(error)), "")
            raise UnsupportedError(f"{owner}: {error}", subject=subject) from error
        raise InvalidFileError(f"{owner}: {error}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidFileError(f"{owner}: an option is missing or of a wrong type: {describe_value(config)}") from error


def layer_from_config(class_name: str, config: Mapping[str, Any]) -> Description:
    """The description that `get_config` of a layer gave, here or in Keras; raises what `parse_layer` does.

    A layer that was made without a name has none until it is in a model, so that its configuration may be used several times.
    """
    unnamed = "name" in config and config["name"] is None
    named = {
        "name": LAYERS[class_name].default_name,
        **{key: config[key] for key in config if not (unnamed and key == "name")},
    }
    description = parse_layer(serialized("keras.layers", class_name, named))
    return dataclasses.replace(description, name=None) if unnamed else description


def _option(owner: str, key: str, value: Any, annotation: Any) -> Any:
    if any(
        type(item) is int and abs(item) > LARGEST_INTEGER for item in (value if isinstance(value, list) else [value])
    ):
        raise InvalidFileError(f"{owner}: {key} must be at most {LARGEST_INTEGER}, got {describe_value(value)}")
    if key.endswith("_initializer"):
        return _initializer(owner, key, value)
    if key.endswith("_regularizer"):
        return _described(owner, key, value, regularizers)
    if key.endswith("_constraint"):
        return _described(owner, key, value, constraints)
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
        check_module(value, f"{owner}: {key}", "initializers")
        class_name = str(value.get("class_name"))
        class_name = _INITIALIZER_ALIASES.get(class_name, class_name)
        cls = initializers.CLASSES.get(class_name)
        if cls is not None:
            known = {field.name for field in dataclasses.fields(cls)}
            options: dict[str, Any] = {}
            for option, setting in as_dict(value.get("config", {}), f"{owner}: the config of {key}").items():
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


def _described(owner: str, key: str, value: Any, family: Any) -> Any:
    """A regularizer or a constraint: one of Keras' own, by an allowlist."""
    if value is None:
        return None
    kind = family.__name__.rpartition(".")[2]
    config: dict[str, Any] = {}
    cls = None
    if isinstance(value, str):
        cls = family.BY_NAME.get(value)
    elif isinstance(value, dict):
        check_module(value, f"{owner}: {key}", kind)
        cls = family.CLASSES.get(str(value.get("class_name")))
        config = as_dict(value.get("config") or {}, f"{owner}: the config of {key}")
    if cls is None or not set(config) <= {field.name for field in dataclasses.fields(cls)}:
        raise UnsupportedError(
            f"{owner}: {key} is {describe_value(_class_of(value))}, which is not one of Keras' {kind}"
        )
    try:
        return cls(**{option: _plain(f"{option} of {key}", item) for option, item in config.items()})
    except DepthwiseError as error:
        raise InvalidFileError(f"{owner}: {key}: {error}") from error


def _plain(what: str, value: Any) -> Any:
    """A number, a text, or a list of whole numbers."""
    if isinstance(value, list):
        if not all(type(item) is int and abs(item) <= LARGEST_INTEGER for item in value) or len(value) > 32:
            raise InvalidFileError(f"{what} must be a list of whole numbers, got {describe_value(value)}")
        return value
    if isinstance(value, str):
        return value
    if type(value) is int and abs(value) <= LARGEST_INTEGER:
        return value
    return _number(what, value)


def _activation(owner: str, value: Any) -> str:
    if value is None:
        return "linear"
    name: Any = value.get("config") if isinstance(value, dict) and value.get("class_name") == "function" else value
    if isinstance(name, str):
        if _ACTIVATION_ALIASES.get(name, name) in ACTIVATIONS:
            return _ACTIVATION_ALIASES.get(name, name)
        if name in NO_LAYERS:
            raise UnsupportedError(f"{owner}: the activation {name} is not supported: {NO_LAYERS[name]}", subject=name)
        value = None
    # Keras writes code in several forms: as a __lambda__, as a function whose config is not a name, as a bare value.
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


def check_module(entry: Mapping[str, Any], owner: str, family: str = "") -> None:
    """Only Keras' own classes; a custom class has another module, or a registered name such as 'package>Class'.

    Args:
        family: the part of Keras that the class must belong to: its operation `keras.src.ops.numpy.Add` is not the layer.
    """
    module, registered = entry.get("module"), entry.get("registered_name")
    class_name = entry.get("class_name")
    own = isinstance(module, str) and re.fullmatch(r"(tf_)?keras(\.[A-Za-z0-9_]+)*", module) is not None
    if not own or (registered is not None and registered != class_name):
        raise UnsupportedError(
            f"{owner} is a custom class, {describe_value(class_name)} of the module {describe_value(module)}"
            + (f" registered as {describe_value(registered)}" if registered is not None else "")
            + "; only Keras' own layers are read"
        )
    if family and not re.fullmatch(rf"(tf_)?keras\.(src\.)?{family}(\..*)?", str(module)):
        raise UnsupportedError(
            f"{owner} is {describe_value(class_name)} of the module {describe_value(module)}, which is none of keras.{family}"
        )


def check_dtype(dtype: Any, owner: str) -> None:
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        dtype = inner.get("name") if isinstance(inner, dict) else dtype.get("class_name")
    if dtype not in (None, "float32"):
        raise UnsupportedError(
            f"{owner}: dtype must be float32 (all arithmetic is), got {describe_value(dtype)}", subject="dtype"
        )


def sample_shape(value: Any, owner: str) -> tuple[int, ...]:
    shape = as_list(value, f"{owner}: the input shape")
    sizes = shape[1:]
    if any(size is None for size in sizes):
        raise UnsupportedError(f"{owner}: the input shape {describe_value(shape)} is open; every size must be fixed")
    if not sizes or not all(type(size) is int and 0 < size <= LARGEST_INTEGER for size in sizes):
        raise InvalidFileError(
            f"{owner}: the input shape must be [null, height, width, channels], got {describe_value(shape)}"
        )
    return tuple(sizes)


def as_name(value: Any, what: str) -> str:
    """A name that can be shown and written to a file again; InvalidFileError for others."""
    if not isinstance(value, str) or not value or "/" in value or len(value) > LONGEST_NAME or not _is_plain(value):
        raise InvalidFileError(
            f"{what} must be a text of 1 to {LONGEST_NAME} characters without '/' and control characters, got "
            f"{describe_value(value)}"
        )
    return value


def check_shown(name: Any, what: str) -> None:
    """InvalidFileError for a name that is printed in the course of a training and is not plain text; None means no name."""
    if name is not None and (not isinstance(name, str) or len(name) > LONGEST_NAME or not _is_plain(name)):
        raise InvalidFileError(
            f"{what} must be a text of at most {LONGEST_NAME} characters without control characters, got {describe_value(name)}"
        )


def _is_plain(text: str) -> bool:
    """Without control characters, separators of lines, and halves of characters, which no file could hold."""
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def as_dict(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidFileError(f"{what} should be an object of JSON, got {describe_value(value)}")
    return value


def as_list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise InvalidFileError(f"{what} should be a list, got {describe_value(value)}")
    return list(value)


def _supported(name: Any) -> str:
    """Where the user finds what is: all names would fill the screen."""
    near = difflib.get_close_matches(str(name), LAYERS, 3)
    like = f" (near that name: {', '.join(near)})" if near else ""
    return f"{len(LAYERS)} layers are{like}; depthwise.layers.LAYERS and the README list them"


def layer_config(layer: Description) -> dict[str, Any]:
    """A named layer as Keras serialises it.

    Raises:
        UnsupportedError: Keras has no such layer.
    """
    if is_foreign(layer):
        raise UnsupportedError(
            f"{layer.label} comes from an ONNX file and is no layer of Keras, so no file of Keras can hold it; keep the ONNX file, or "
            "write one with model.export"
        )
    if isinstance(layer, InputLayer):
        config: dict[str, Any] = {
            "batch_shape": [None, *layer.shape],
            "dtype": "float32",
            "sparse": False,
            "name": layer.name,
        }
    elif isinstance(layer, Operation):
        kind = type(layer).__name__
        return serialized(layer.module, kind, {"name": layer.name}, kind)
    else:
        config = {"name": layer.name, "trainable": layer.trainable, "dtype": "float32"}
        if not layer.writes_trainable:
            del config["trainable"]
        for field in dataclasses.fields(layer):
            if field.name not in ("name", "trainable", "input_shape", "dtype"):
                config[field.name] = _written(getattr(layer, field.name))
    kind = type(layer).__name__
    return serialized(layer.module, kind, config, None if layer.module == "keras.layers" else kind)


def _written(value: Any) -> Any:
    if isinstance(value, Initializer):
        return serialized("keras.initializers", type(value).__name__, dataclasses.asdict(value))
    if isinstance(value, Regularizer):
        return serialized("keras.regularizers", type(value).__name__, value.get_config())
    if isinstance(value, Constraint):
        return serialized("keras.constraints", type(value).__name__, value.get_config())
    if isinstance(value, (tuple, list)):
        return [_written(item) for item in value]
    return value

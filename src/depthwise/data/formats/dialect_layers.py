"""One layer's config of any Keras → that of Keras 3: names of classes and options, and the names that people's files use.

Everything here is a table or a small rule that says in which versions it is needed. A name that is not in a table stays, for the
reader to refuse; `custom_objects` of the user come before the tables.
"""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from depthwise.arguments import ACTIVATIONS
from depthwise.configuration import serialized
from depthwise.data.formats.layer_config import layer_config
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.layers.descriptions import LAYERS
from depthwise.layers.layer import Layer

__all__ = ["Dialect", "bare_name", "modern_layer", "policy"]

CLASSES = {
    # The short names of Keras, and those of Keras 1.
    "AtrousConvolution2D": "Conv2D", "AvgPool1D": "AveragePooling1D", "AvgPool2D": "AveragePooling2D",
    "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution2DTranspose": "Conv2DTranspose",
    "Deconvolution2D": "Conv2DTranspose", "DepthwiseConvolution2D": "DepthwiseConv2D",
    "GlobalAvgPool1D": "GlobalAveragePooling1D", "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool1D": "GlobalMaxPooling1D", "GlobalMaxPool2D": "GlobalMaxPooling2D", "MaxPool1D": "MaxPooling1D",
    "MaxPool2D": "MaxPooling2D", "SeparableConvolution2D": "SeparableConv2D",
    # tf.keras wrote the versions of its own classes for a while.
    "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization", "DenseV1": "Dense",
}  # fmt: skip

OWN_CLASSES = {
    # Classes that widely used networks bring along, and what they compute.
    "FixedDropout": "Dropout",
    "LayerScale": "LayerScale",
    "StochasticDepth": "Dropout",  # of whole samples
}

ACTIVATION_NAMES = {
    "Relu6": "relu6", "h_swish": "hard_silu", "hswish": "hard_silu", "hard_swish": "hard_silu", "relu_6": "relu6",
    "swish": "silu", "Swish": "silu", "tf.nn.relu": "relu", "tf.nn.relu6": "relu6", "tf.nn.swish": "silu",
}  # fmt: skip

_DROPPED = {
    # Options that a class inherits from its parent in Keras 2 and does not read.
    "DepthwiseConv2D": ("filters", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    "SeparableConv2D": ("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    "SeparableConv1D": ("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    "DepthwiseConv1D": ("filters", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    "BatchNormalization": ("fused", "virtual_batch_size", "_USE_V2_BEHAVIOR"),
}
_WITHOUT_EFFECT: dict[str, Any] = {"groups": 1, "dynamic": False, "stateful": False, "batch_size": None, "rank": 2}
"""Options of Keras 2 that Keras 3 does not have for every class, at the value at which they do nothing."""

_OPTIONS = {
    # Old name of an option → new one, for each class that had it.
    "LeakyReLU": {"alpha": "negative_slope"},
    "Dropout": {"p": "rate", "drop_path_rate": "rate"},
    "SpatialDropout2D": {"p": "rate"},
    "GaussianDropout": {"p": "rate"},
    "GaussianNoise": {"sigma": "stddev"},
}
_KERAS_1 = {
    "W_constraint": "kernel_constraint", "W_regularizer": "kernel_regularizer", "atrous_rate": "dilation_rate",
    "b_constraint": "bias_constraint", "b_regularizer": "bias_regularizer", "beta_init": "beta_initializer",
    "bias": "use_bias", "border_mode": "padding", "gamma_init": "gamma_initializer", "init": "kernel_initializer",
    "nb_filter": "filters", "output_dim": "units", "subsample": "strides",
}  # fmt: skip
_KERAS_1_DROPPED = ("input_dim", "input_dtype", "input_length", "mode", "nb_col", "nb_row")
_KERAS_1_MERGE = {
    "sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "min": "Minimum", "concat": "Concatenate",
    "dot": "Dot",
}  # fmt: skip
_FLAGS = ("use_bias", "trainable", "center", "keepdims")
_FAMILIES = {"_initializer": "initializers", "_regularizer": "regularizers", "_constraint": "constraints"}


@dataclass
class Dialect:
    """What is known of a config before it is read.

    Attributes:
        what: what messages call it.
        version: of the Keras that wrote it, "" where it is unknown: then that of Keras 3.
        custom: the user's meaning of names: a class of `depthwise.layers`, a function that makes a layer of options, or for
            activations a name or a function of `depthwise.activations`.
        policies: filled while it is read: arithmetic other than float32 that layers were made for.
        problems: where it is a list, operations that Depthwise lacks are noted there, by name, reason and class, instead of raised.
    """

    what: str = "the config"
    version: str = ""
    custom: Mapping[str, Any] = field(default_factory=dict)
    policies: set[str] = field(default_factory=set)
    problems: list[tuple[str, str, str]] | None = None

    @property
    def is_older(self) -> bool:
        return self.version.startswith(("0", "1.", "2."))


def bare_name(name: Any) -> Any:
    """`package>Class` without the package: what a registered class is called."""
    return name.rpartition(">")[2] if isinstance(name, str) else name


def policy(value: Any, dialect: Dialect) -> Any:
    """What a `dtype` means here: float32, other arithmetic is noted; what is not a type of floats stays."""
    name = value
    if isinstance(value, dict):
        inner = value.get("config")
        name = inner.get("name", inner.get("dtype")) if isinstance(inner, dict) else None
    if name in ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"):
        dialect.policies.add(name)
        return "float32"
    return "float32" if name in ("float32", "_infer", "infer") else value


def modern_layer(entry: Any, dialect: Dialect) -> list[dict[str, Any]]:
    """The entry as Keras 3 writes it, and the layers that must follow it for the same result."""
    if not isinstance(entry, dict) or not isinstance(entry.get("config", {}), dict):
        return [entry]
    if not isinstance(entry.get("class_name"), str):
        return [entry]
    class_name, registered = entry.get("class_name"), entry.get("registered_name")
    config = dict(entry.get("config", {}))
    names = [name for name in (registered, class_name, bare_name(class_name)) if isinstance(name, str)]
    given = next((dialect.custom[name] for name in names if name in dialect.custom), None)
    if given is not None and isinstance(class_name, str):
        entry, config = _given(entry, config, given)
    elif isinstance(class_name, str) and bare_name(class_name) in OWN_CLASSES:
        entry = _keras(entry, OWN_CLASSES[bare_name(class_name)])
        if bare_name(class_name) == "StochasticDepth":
            config["noise_shape"] = [None, 1, 1, 1]
    elif "module" not in entry and isinstance(class_name, str) and ">" not in class_name:
        entry = _keras(entry, CLASSES.get(class_name, class_name))
    own = entry["class_name"]
    if own == "Merge" and "mode" in config:
        own, config = _merge(config)
        entry = _keras(entry, own)
    config = _options(own, config, dialect)
    after: list[dict[str, Any]] = []
    if "activation" in config:
        config["activation"], after = _activation(own, config, dialect)
    return [{**entry, "config": config}, *after]


def _keras(entry: Mapping[str, Any], class_name: str) -> dict[str, Any]:
    return {**entry, "module": "keras.layers", "class_name": class_name, "registered_name": None}


def _given(entry: dict[str, Any], config: dict[str, Any], given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An entry whose class the user explains."""
    if isinstance(given, type) and issubclass(given, Layer):
        return _keras(entry, given.__name__), config
    owner = f"custom_objects[{describe_value(entry['class_name'])}]"
    if not callable(given):
        raise InvalidArgumentError(
            f"{owner} must be a class of depthwise.layers, or a function that takes the options of the file and returns a "
            f"layer, got {describe_value(given)}"
        )
    options = {key: value for key, value in config.items() if key not in ("dtype", "batch_input_shape")}
    made = given(**options)
    if not isinstance(made, Layer):
        raise InvalidArgumentError(f"{owner} must return a layer of depthwise.layers, got {describe_value(made)}")
    written = layer_config(made.description)
    return {**entry, **written}, {**written["config"], "name": config.get("name", made.name)}


def _options(class_name: str, config: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    names = _OPTIONS.get(class_name, {}) | (_KERAS_1 if _is_keras_1(config) else {})
    if _is_keras_1(config):
        config = _keras_1(class_name, config)
    result: dict[str, Any] = {}
    for key, value in config.items():
        if key in _DROPPED.get(class_name, ()) or (key == "batch_input_shape" and class_name != "InputLayer"):
            continue
        is_own = key in getattr(LAYERS.get(class_name), "__dataclass_fields__", ())
        if key in _WITHOUT_EFFECT and value == _WITHOUT_EFFECT[key] and not is_own:
            continue
        key = "batch_shape" if key == "batch_input_shape" else names.get(key, key)
        if isinstance(value, dict) and set(value) == {"type", "value"}:  # a NumPy array, in Keras 2.0 to 2.2
            value = value["value"]
        family = next((family for suffix, family in _FAMILIES.items() if key.endswith(suffix)), None)
        if family is not None:
            value = _part(value, family)
        elif key == "dtype":
            value = policy(value, dialect)
            if class_name == "InputLayer" and value in ("uint8", "int8", "int32", "int64", "bool"):
                value = "float32"  # whole numbers are converted with their values unchanged
        elif key == "axis" and isinstance(value, list) and len(value) == 1:
            value = value[0]
        elif (key in _FLAGS or (key == "scale" and class_name.endswith("Normalization"))) and value in (0, 1):
            value = bool(value)
        result[key] = value
    return result


def _part(value: Any, family: str) -> Any:
    """An initializer, a regularizer or a constraint: older Keras writes no module."""
    if isinstance(value, dict) and "module" not in value and isinstance(value.get("class_name"), str):
        config = value.get("config")
        if isinstance(config, dict):
            config = {key: item for key, item in config.items() if key != "dtype"}
        return serialized(f"keras.{family}", bare_name(value["class_name"]), config or {})
    return value


def _is_keras_1(config: Mapping[str, Any]) -> bool:
    return any(
        key in config for key in ("nb_filter", "border_mode", "init", "output_dim", "W_regularizer", "gamma_init")
    )


def _keras_1(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    result = {key: value for key, value in config.items() if key not in _KERAS_1_DROPPED}
    if "nb_row" in config:
        result["kernel_size"] = [config["nb_row"], config.get("nb_col")]
    if "dim_ordering" in result:
        result["data_format"] = {"tf": "channels_last", "th": "channels_first"}.get(result.pop("dim_ordering"))
    if class_name in ("SeparableConv2D", "DepthwiseConv2D") and "init" in result:
        result["depthwise_initializer"] = result.pop("init")
    return result


def _merge(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    mode = config["mode"]
    if mode not in _KERAS_1_MERGE:
        raise UnsupportedError(
            f"the layer {describe_value(config.get('name'))} merges by {describe_value(mode)}; supported are "
            + ", ".join(_KERAS_1_MERGE)
        )
    result = {"name": config.get("name")}
    if mode == "concat":
        result["axis"] = config.get("concat_axis", -1)
    if mode == "dot":
        result["axes"] = config.get("dot_axes", -1)
    return _KERAS_1_MERGE[mode], result


# Activations.


def _activation(class_name: str, config: Mapping[str, Any], dialect: Dialect) -> tuple[Any, list[dict[str, Any]]]:
    """The activation by a name of Keras 3, and the layers that compute it where it has none."""
    value, owner = config["activation"], config.get("name")
    name = value
    if isinstance(value, dict):
        inner = value.get("config")
        name = (
            inner if value.get("class_name") == "function" else value.get("registered_name") or value.get("class_name")
        )
        if isinstance(inner, dict) and value.get("class_name") == "Activation":
            name = inner.get("activation")
        elif isinstance(inner, dict) and name in _AS_LAYERS:
            layer = {**value, "config": {**inner, "name": f"{owner}_activation"}}
            return "linear", modern_layer(_keras(layer, str(bare_name(name))), dialect)
    if not isinstance(name, str):
        return value, []
    for key in (name, bare_name(name)):
        if key in dialect.custom:
            return _given_activation(key, dialect.custom[key]), []
    name = bare_name(name)
    name = ACTIVATION_NAMES.get(name, name)
    if name == "hard_sigmoid" and dialect.is_older:
        # Up to Keras 2.15 it is 0.2·x + 0.5 between 0 and 1; Keras 3 gave the name to another function.
        return "linear", [
            serialized("keras.layers", "Rescaling", {"name": f"{owner}_hard_sigmoid", "scale": 0.2, "offset": 0.5}),
            serialized("keras.layers", "ReLU", {"name": f"{owner}_hard_sigmoid_limit", "max_value": 1.0}),
        ]
    return (name if name in ACTIVATIONS else value), []


_AS_LAYERS = ("ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "ThresholdedReLU")
"""Layers that Keras takes as an activation."""


def _given_activation(name: str, given: Any) -> str:
    chosen = given if isinstance(given, str) else getattr(given, "__name__", None)
    own: Callable[..., Any] | None = None
    if not isinstance(given, str):
        from depthwise import activations  # NumPy: not before it is needed

        own = getattr(activations, str(chosen), None)
    chosen = ACTIVATION_NAMES.get(str(chosen), str(chosen))
    if chosen not in ACTIVATIONS or (not isinstance(given, str) and own is not given):
        raise InvalidArgumentError(
            f"custom_objects[{describe_value(name)}] must be the name of an activation or a function of depthwise.activations, "
            f"got {describe_value(given)}; there are {', '.join(ACTIVATIONS)}"
        )
    return chosen

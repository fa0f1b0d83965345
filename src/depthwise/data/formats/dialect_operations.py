"""Operations between layers → those of Keras 3 that Depthwise has, or layers that compute the same.

Keras 2 writes `x * 0.5` between layers as a `TFOpLambda` (2.4 to 2.15), a `TensorFlowOpLayer` (2.2 to 2.3) or a `SlicingOpLambda`;
Keras 3 as a class of `keras.src.ops`. The tables are the allowlist: an operation is read by its name, never looked up.
"""

from collections.abc import Callable
from dataclasses import field
from typing import Any

from depthwise.configuration import serialized
from depthwise.data.formats.dialect_layers import Dialect, bare_name
from depthwise.data.formats.layer_config import as_dict
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidFileError, UnsupportedError, describe_value
from depthwise.layers.operation import OPERATIONS

__all__ = ["Lowered", "is_operation", "modern_operation"]

OF_KERAS_2 = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
OF_NETWORKS = ("CustomScaleLayer",)
"""Layers that networks of keras.applications bring along and that are operations."""


@dataclass(frozen=True)
class Lowered:
    """What stands in place of an operation: a layer or operation of Keras 3, what it is called on, and what follows it.

    Those that follow read the one before; `constants` in them are their other arguments.
    """

    entry: dict[str, Any]
    args: list[Any]
    after: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Call:
    """One operation with the arguments of one call, by name."""

    name: str
    function: str
    options: dict[str, Any]

    def take(self, *names: str, default: Any = None) -> Any:
        """The argument of one of these names; it is then used up."""
        found = [self.options.pop(name) for name in names if name in self.options]
        return found[0] if found else default

    def tensor(self, *names: str) -> Any:
        value = self.take(*names)
        if not _is_tensor(value):
            raise self.refusal(f"its argument {names[0]} is {describe_value(value)}, not another layer's output")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        value = self.take(*names, default=default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.refusal(f"its argument {names[0]} is {describe_value(value)}, one number is supported")
        return float(value)

    def refusal(self, why: str) -> UnsupportedError:
        return UnsupportedError(f"the operation {describe_value(self.name)} ({describe_value(self.function)}): {why}")

    def layer(self, class_name: str, inputs: list[Any], **config: Any) -> Lowered:
        entry = serialized("keras.layers", class_name, {"name": self.name, **config})
        return Lowered({**entry, "name": self.name}, inputs)


Rule = Callable[[_Call], Lowered]


def is_operation(entry: Any) -> bool:
    """Whether the entry is an operation that has to be said with others: not a layer, nor one that Depthwise has."""
    module, class_name = str(entry.get("module")), entry.get("class_name")
    of_keras_3 = module.startswith("keras.src.ops.") or module == "keras.ops"
    if bare_name(class_name) in OF_NETWORKS:
        return True
    return class_name in OF_KERAS_2 or (of_keras_3 and class_name not in OPERATIONS)


def with_module(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with the module that Keras 3's legacy writer leaves out, where it is an operation and no layer.

    Some have the name of a layer: `Add` is both. The config of a layer has `trainable` or `dtype`, that of an operation neither.
    """
    class_name, config = entry.get("class_name"), entry.get("config")
    if "module" in entry or not isinstance(config, dict) or "dtype" in config or "trainable" in config:
        return entry
    kind = OPERATIONS.get(str(class_name))
    if kind is None and str(class_name).lower() not in _RULES:
        return entry
    return {**entry, "module": "keras.ops" if kind is None else kind.module, "registered_name": class_name}


def modern_operation(entry: dict[str, Any], args: list[Any], kwargs: dict[str, Any], dialect: Dialect) -> Lowered:
    """The layer that computes one call of the operation.

    Args:
        entry: what the file says of it.
        args: what it is called with, tensors as `__keras_tensor__`.
        kwargs: the same by name.
        dialect: who wrote it.

    Raises:
        UnsupportedError: no layer computes it; the message names the operation and what is in the way.
    """
    class_name = entry["class_name"]
    config = as_dict(entry.get("config", {}), f"the config of a {describe_value(class_name)}")
    name = str(entry.get("name") or config.get("name"))
    if class_name == "TensorFlowOpLayer":
        function, args = _of_graph(config, args)
    elif class_name == "SlicingOpLambda":
        function = "getitem"
    elif class_name == "TFOpLambda":
        function = str(config.get("function"))
    else:
        function = str(bare_name(class_name))
        kwargs = {key: value for key, value in config.items() if key not in ("name", "dtype", "trainable")} | kwargs
    short = function.rpartition(".")[2].replace("_", "").lower()
    found = _RULES.get(short)
    if found is None:
        raise UnsupportedError(
            f"{describe_value(name)} is the operation {describe_value(function)} between layers, which is not supported; "
            "supported are " + ", ".join(sorted(_RULES))
        )
    rule, names = found
    options = {key: value for key, value in kwargs.items() if key != "name" and value is not None}
    if len(args) > len(names):
        raise UnsupportedError(
            f"the operation {describe_value(name)} has {len(args)} arguments, at most {len(names)} are read"
        )
    options = dict(zip(names, args)) | options
    call = _Call(name, function, options)
    result = rule(call)
    if call.options:
        key, value = next(iter(call.options.items()))
        raise call.refusal(f"{describe_value(key)} = {describe_value(value)} is not supported")
    return result


def _of_graph(config: dict[str, Any], args: list[Any]) -> tuple[str, list[Any]]:
    """A `TensorFlowOpLayer`: a node of TensorFlow's graph, some of whose inputs are constants by their number."""
    node = as_dict(config.get("node_def"), "the node of a TensorFlowOpLayer")
    tensors = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    constants = as_dict(config.get("constants") or {}, "the constants of a TensorFlowOpLayer")
    count = len(tensors) + len(constants)
    if not all(key.isdecimal() and int(key) < count for key in constants):
        raise InvalidFileError(f"the constants of a TensorFlowOpLayer are numbered {describe_value(list(constants))}")
    rest = iter(tensors)
    values = [constants[str(index)] if str(index) in constants else next(rest, None) for index in range(count)]
    function = str(node.get("op"))
    if function.startswith("Concat"):  # its last input is the axis
        values = [values[:-1], values[-1]]
    return function, values


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class_name") == "__keras_tensor__"


# The rules.


def _arithmetic(class_name: str) -> Rule:
    """One of the operations that Depthwise has as Keras 3 has them, of tensors and numbers."""
    kind = OPERATIONS[class_name]
    names = (("x", "x1", "a", "features"), ("y", "x2", "b"))[: kind.count]

    def rule(call: _Call) -> Lowered:
        arguments = [call.take(*alternatives) for alternatives in names]
        for argument in arguments:
            if not _is_tensor(argument) and (isinstance(argument, bool) or not isinstance(argument, (int, float))):
                raise call.refusal(f"its constant is {describe_value(argument)}, one number is supported")
        return Lowered(_operation(class_name, call.name), arguments)

    return rule


def _operation(class_name: str, name: str) -> dict[str, Any]:
    return {**serialized(OPERATIONS[class_name].module, class_name, {"name": name}), "name": name}


def _activation(name: str) -> Rule:
    return lambda call: call.layer("Activation", [call.tensor("x", "features", "logits", "input")], activation=name)


def _relu(call: _Call) -> Lowered:
    x = call.tensor("x", "features")
    slope = call.number("alpha", "negative_slope", default=0.0)
    top = call.take("max_value")
    limits = {} if top is None else {"max_value": top}
    return call.layer("ReLU", [x], negative_slope=slope, threshold=call.number("threshold", default=0.0), **limits)


def _leaky(call: _Call) -> Lowered:
    return call.layer(
        "ReLU", [call.tensor("x", "features")], negative_slope=call.number("alpha", "negative_slope", default=0.2)
    )


def _softmax(call: _Call, activation: str = "softmax") -> Lowered:
    if call.take("axis", default=-1) != -1:
        raise call.refusal("axis must be the last one (-1)")
    return call.layer("Activation", [call.tensor("x", "logits")], activation=activation)


def _clip(call: _Call) -> Lowered:
    x = call.tensor("t", "x")
    low, high = call.number("clip_value_min", "x_min"), call.number("clip_value_max", "x_max")
    below = {**_operation("Minimum", f"{call.name}_below"), "constants": [high]}
    return Lowered(_operation("Maximum", call.name), [x, low], [below])


def _reduced(kind: str) -> Rule:
    """The mean or maximum over height and width."""

    def rule(call: _Call) -> Lowered:
        x = call.tensor("input_tensor", "x", "input")
        axes = call.take("axis", "reduction_indices")
        keep = call.take("keepdims", "keep_dims", default=False)
        if axes not in ([1, 2], [-3, -2], [2, 1]):
            raise call.refusal(f"its axis is {describe_value(axes)}, height and width ([1, 2]) are supported")
        return call.layer(f"Global{kind}Pooling2D", [x], keepdims=bool(keep))

    return rule


def _reshape(call: _Call) -> Lowered:
    x, shape = call.tensor("tensor", "x"), call.take("shape", "newshape", "target_shape")
    sizes = list(shape) if isinstance(shape, list) else []
    if len(sizes) < 2 or sizes[0] not in (-1, None) or not all(type(size) is int for size in sizes[1:]):
        raise call.refusal(f"its shape is {describe_value(shape)}; [-1, size, …] with the batch first is supported")
    if sizes[1:] == [-1]:
        return call.layer("Flatten", [x])
    return call.layer("Reshape", [x], target_shape=sizes[1:])


def _concatenate(call: _Call) -> Lowered:
    values = call.take("values", "xs", "arrays")
    if not isinstance(values, list) or not all(map(_is_tensor, values)):
        raise call.refusal("it joins the outputs of layers only")
    return call.layer("Concatenate", [values], axis=call.take("axis", default=-1))


def _pad(call: _Call) -> Lowered:
    x, padding = call.tensor("tensor", "x", "input"), call.take("paddings", "pad_width")
    mode, value = call.take("mode", default="constant"), call.take("constant_values", default=0)
    plain = isinstance(padding, list) and len(padding) == 4 and padding[0] == padding[3] == [0, 0]
    if not plain or str(mode).lower() != "constant" or value != 0:
        raise call.refusal("zeros around height and width are supported")
    return call.layer("ZeroPadding2D", [x], padding=padding[1:3])


def _transpose(call: _Call) -> Lowered:
    x, order = call.tensor("a", "x"), call.take("perm", "axes")
    if not isinstance(order, list) or not order or order[0] != 0:
        raise call.refusal(f"its order is {describe_value(order)}; the batch must stay first")
    return call.layer("Permute", [x], dims=order[1:])


_PLAIN_RESIZING = {
    "antialias": False, "preserve_aspect_ratio": False, "crop_to_aspect_ratio": False, "pad_to_aspect_ratio": False,
    "data_format": "channels_last", "fill_mode": "constant", "fill_value": 0.0,
}  # fmt: skip


def _resize(call: _Call) -> Lowered:
    x, size = call.tensor("images"), call.take("size")
    method = call.take("method", "interpolation", default="bilinear")
    for name, plain in _PLAIN_RESIZING.items():
        if call.take(name, default=plain) != plain:
            raise call.refusal(f"{name} is not supported")
    if not isinstance(size, list) or len(size) != 2 or method not in ("bilinear", "nearest"):
        raise call.refusal("a fixed size, bilinear or nearest, is supported")
    return call.layer("Resizing", [x], height=size[0], width=size[1], interpolation=method)


def _identity(call: _Call) -> Lowered:
    x = call.tensor("x", "input", "tensor")
    if call.take("dtype", default="float32") != "float32":
        raise call.refusal("all arithmetic is float32")
    return call.layer("Activation", [x], activation="linear")


def _scaled_sum(call: _Call) -> Lowered:
    """a + scale · b: the residuals of Inception-ResNet."""
    values, scale = call.take("values"), call.number("scale")
    if not isinstance(values, list) or len(values) != 2 or not all(map(_is_tensor, values)):
        raise call.refusal("it takes the outputs of two layers")
    total = {**_operation("Add", call.name), "constants": [values[0]]}
    return Lowered(_operation("Multiply", f"{call.name}_scaled"), [values[1], scale], [total])


_SPELLINGS = {
    "Absolute": ("abs", "absolute"), "Add": ("add", "addv2", "biasadd"), "Divide": ("divide", "div"), "Exp": ("exp",),
    "Log": ("log",), "Maximum": ("maximum",), "Minimum": ("minimum",), "Multiply": ("mul", "multiply"),
    "Negative": ("neg", "negative"), "Power": ("pow", "power"), "Reciprocal": ("reciprocal",), "Rsqrt": ("rsqrt",),
    "Sqrt": ("sqrt",), "Square": ("square",), "Subtract": ("sub", "subtract"), "TrueDivide": ("realdiv", "truediv"),
}  # fmt: skip
"""The operations of Keras 3 by what TensorFlow calls them, without underscores."""
_X = ("x",)
_RULES: dict[str, tuple[Rule, tuple[str, ...]]] = {
    **{
        key: (_arithmetic(name), ("x", "y")[: OPERATIONS[name].count])
        for name, keys in _SPELLINGS.items()
        for key in keys
    },
    "relu": (_relu, ("x", "alpha", "max_value", "threshold")),
    "leakyrelu": (_leaky, ("x", "alpha")),
    **{
        key: (_activation(name), _X)
        for key, name in (
            ("relu6", "relu6"), ("sigmoid", "sigmoid"), ("tanh", "tanh"), ("silu", "silu"), ("swish", "silu"), ("selu", "selu"),
            ("elu", "elu"), ("softplus", "softplus"), ("hardsilu", "hard_silu"), ("hardswish", "hard_silu"),
            ("hardsigmoid", "hard_sigmoid"),
        )
    },
    "customscalelayer": (_scaled_sum, ("values",)),
    "softmax": (_softmax, ("x", "axis")),
    "logsoftmax": (lambda call: _softmax(call, "log_softmax"), ("x", "axis")),
    "clipbyvalue": (_clip, ("x", "x_min", "x_max")),
    "clip": (_clip, ("x", "x_min", "x_max")),
    **dict.fromkeys(("mean", "reducemean"), (_reduced("Average"), ("x", "axis", "keepdims"))),
    **dict.fromkeys(("max", "reducemax", "amax"), (_reduced("Max"), ("x", "axis", "keepdims"))),
    "reshape": (_reshape, ("x", "shape")),
    **dict.fromkeys(("concat", "concatenate", "concatv2"), (_concatenate, ("values", "axis"))),
    **dict.fromkeys(("pad", "padv2"), (_pad, ("x", "paddings", "mode", "constant_values"))),
    "transpose": (_transpose, ("x", "perm")),
    "resize": (_resize, ("images", "size", "method")),
    **dict.fromkeys(("identity", "stopgradient", "cast"), (_identity, ("x", "dtype"))),
}  # fmt: skip

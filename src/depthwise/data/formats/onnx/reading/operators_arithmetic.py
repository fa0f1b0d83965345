"""Operators that compute element by element, with broadcasting."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from depthwise.arguments import SELU_ALPHA, SELU_SCALE, SHRINK_THRESHOLD
from depthwise.compiler.ir.expression import Constant as Number
from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.data.formats.onnx.reading.network import Constant, RefusedError, Tensor, Value, fits
from depthwise.data.formats.onnx.reading.registry import Given, operator
from depthwise.layers import descriptions as layer
from depthwise.layers.description import Description
from depthwise.layers.operation import OPERATIONS, raised, whole_power

X, Y = Operand(0), Operand(1)
ZERO, ONE = Number(0.0), Number(1.0)


def _chosen(predicate: str, a: Expression | float, b: Expression | float, yes: Any = 1.0, no: Any = 0.0) -> Expression:
    return apply(f"where_{predicate}", _number(a), _number(b), _number(yes), _number(no))


def _number(value: Expression | float) -> Expression:
    return value if isinstance(value, Expression) else Number(float(value))


def _bounded(low: float, x: Expression, high: float) -> Expression:
    return apply("min", high, apply("max", low, x))


# -- one tensor ------------------------------------------------------------------------------------------------------

POSITIVE = {"Abs", "Exp", "Relu", "Sigmoid", "Softplus", "Sqrt", "HardSigmoid", "ThresholdedRelu"}

_UNARY: dict[str, Callable[[Given], Expression]] = {
    "Abs": lambda g: apply("abs", X),
    "Ceil": lambda g: apply("ceil", X),
    "Celu": lambda g: _elu(X / _float(g, "alpha", 1.0), _float(g, "alpha", 1.0)),
    "Cosh": lambda g: (apply("exp", X) + apply("exp", -X)) * 0.5,
    "Elu": lambda g: _elu(X, _float(g, "alpha", 1.0), X),
    "Erf": lambda g: apply("erf", X),
    "Exp": lambda g: apply("exp", X),
    "Floor": lambda g: apply("floor", X),
    "Gelu": lambda g: _gelu(g),
    "HardSwish": lambda g: apply("hard_silu", X),
    "LeakyRelu": lambda g: _chosen("olt", X, 0.0, X * _float(g, "alpha", 0.01), X),
    "Log": lambda g: apply("log", X),
    "Mish": lambda g: apply("mish", X),
    "Neg": lambda g: -X,
    "Reciprocal": lambda g: ONE / X,
    "Relu": lambda g: apply("relu", X),
    "Round": lambda g: apply("roundeven", X),
    "Selu": lambda g: _selu(
        _float(g, "alpha", 1.67326319217681884765625), _float(g, "gamma", 1.05070102214813232421875)
    ),
    "Shrink": lambda g: _shrink(_float(g, "lambd", 0.5), _float(g, "bias", 0.0)),
    "Sigmoid": lambda g: apply("sigmoid", X),
    "Sign": lambda g: _chosen("ogt", X, 0.0, 1.0, _chosen("olt", X, 0.0, -1.0, X)),
    "Softplus": lambda g: apply("softplus", X),
    "Softsign": lambda g: apply("softsign", X),
    "Sqrt": lambda g: apply("sqrt", X),
    "Swish": lambda g: X * apply("sigmoid", X * _float(g, "alpha", 1.0)),
    "Tanh": lambda g: apply("tanh", X),
    "ThresholdedRelu": lambda g: _chosen("ogt", X, _float(g, "alpha", 1.0), X, 0.0),
}


def _float(given: Given, name: str, default: float) -> float:
    value = float(given.attribute(name, default))
    if not math.isfinite(value):
        raise ValueError(f"its {name} must be a number, got {value}")
    return value


def _elu(x: Expression, alpha: float, above: Expression = X) -> Expression:
    return apply("where_negative", x, apply("expm1_negative", x, alpha), above)


def _selu(alpha: float, gamma: float) -> Expression:
    return apply("where_negative", X, apply("expm1_negative", X, alpha * gamma), X * gamma)


def _shrink(limit: float, bias: float) -> Expression:
    return _chosen("olt", X, -limit, X + bias, _chosen("ogt", X, limit, X - bias, 0.0))


def _gelu(given: Given) -> Expression:
    if given.attribute("approximate", "none") == "none":
        return apply("gelu", X)
    inner = (X + X * X * X * 0.044715) * math.sqrt(2.0 / math.pi)
    return X * 0.5 * (apply("tanh", inner) + 1.0)


_DEFAULTS = {
    "Celu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Selu": {"alpha": SELU_ALPHA, "gamma": SELU_SCALE},
    "Shrink": {"lambd": 0.5, "bias": 0.0},
    "Swish": {"alpha": 1.0},
}
_WITH_NUMBERS: list[tuple[str, tuple[float, ...], str]] = [
    ("Celu", (1.0,), "celu"),
    ("HardSigmoid", (1 / 6, 0.5), "hard_sigmoid"),
    ("HardSigmoid", (0.5, 0.5), "sparse_sigmoid"),
    ("Selu", (SELU_ALPHA, SELU_SCALE), "selu"),
    ("Shrink", (SHRINK_THRESHOLD, 0.0), "hard_shrink"),
    ("Shrink", (SHRINK_THRESHOLD, SHRINK_THRESHOLD), "soft_shrink"),
    ("Swish", (1.0,), "silu"),
]
"""Keras' activations that are an operator with these numbers, in the order of `_DEFAULTS`."""


def _activation(given: Given) -> str | None:
    """The activation of Keras that an operator with numbers is; they are compared in float32, which files hold."""
    name = given.node.operator
    numbers = [np.float32(_float(given, key, usual)) for key, usual in _DEFAULTS.get(name, {}).items()]
    for operator_name, usual, activation in _WITH_NUMBERS:
        if operator_name == name and numbers == [np.float32(number) for number in usual]:
            return activation
    return None


def _as_layer(given: Given) -> Description | None:
    """The Keras layer that an operator is; None where there is none."""
    name = given.node.operator
    plain = {
        "Gelu": "gelu" if given.attribute("approximate", "none") == "none" else None, "HardSwish": "hard_silu",
        "Mish": "mish", "Relu": "relu", "Sigmoid": "sigmoid", "Softplus": "softplus", "Softsign": "softsign", "Tanh": "tanh",
    }.get(name)  # fmt: skip
    plain = plain or _activation(given)
    found: Description | None = None
    alpha, slope = _float(given, "alpha", 1.0), _float(given, "alpha", 0.01)
    if plain is not None:
        found = layer.ReLU() if plain == "relu" else layer.Activation(plain)
    elif name in ("Abs", "Exp", "Log", "Neg", "Reciprocal", "Sqrt"):
        found = OPERATIONS[{"Abs": "Absolute", "Neg": "Negative"}.get(name, name)]()
    elif name == "Elu" and alpha >= 0:
        found = layer.ELU(alpha)
    elif name == "LeakyRelu" and slope >= 0:
        found = layer.LeakyReLU(slope)
    elif name == "ThresholdedRelu" and alpha >= 0:
        found = layer.ReLU(threshold=alpha)
    return found


@operator(*_UNARY)
def _unary(given: Given) -> Tensor:
    name, tensor = given.node.operator, given.floats()
    positive = name in POSITIVE or (name in ("Ceil", "Floor", "Round") and tensor.positive)
    description = _as_layer(given)
    if description is None:
        return given.network.arithmetic(name, _UNARY[name](given), [tensor], positive=positive)
    port = given.network.add(description, [tensor.port])
    return given.network.result(port, tensor, positive=positive)


@operator("HardSigmoid")
def _hard_sigmoid(given: Given) -> Tensor:
    """α x + β, kept between 0 and 1: three members that Keras has; they run as one."""
    tensor, network = given.floats(), given.network
    port = tensor.port
    usual = _as_layer(given)
    if usual is not None:
        return network.result(network.add(usual, [port]), tensor, positive=True)
    for name, number in (("Multiply", _float(given, "alpha", 0.2)), ("Add", _float(given, "beta", 0.5))):
        port = network.add(OPERATIONS[name](arguments=(None, number)), [port], name=f"{network.prefix}_{name.lower()}")
    return network.result(network.add(layer.ReLU(max_value=1.0), [port]), tensor, positive=True)


@operator("Clip")
def _clip(given: Given) -> Tensor:
    tensor, limits = given.floats(), []
    for place, name, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        value = given.attribute(name)
        found = given.optional(place) if value is None else value
        limits.append(default if found is None else float(np.ravel(found)[0]))
    low, high = limits
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"it clips to the range from {low} to {high}")
    if low == 0.0 and high > 0.0:
        description = layer.ReLU(max_value=None if high == math.inf else high)
        return given.network.result(given.network.add(description, [tensor.port]), tensor, positive=True)
    if (low, high) == (-1.0, 1.0):
        return given.network.result(given.network.add(layer.Activation("hard_tanh"), [tensor.port]), tensor)
    return given.network.arithmetic("Clip", _bounded(low, X, high), [tensor], positive=low >= 0)


@operator("Not")
def _not(given: Given) -> Tensor:
    return given.network.arithmetic("Not", ONE - X, [given.tensor()], "bool", True)


@operator("IsNaN")
def _is_nan(given: Given) -> Tensor:
    return given.network.arithmetic("IsNaN", _chosen("uno", X, X), [given.floats()], "bool", True)


@operator("IsInf")
def _is_infinite(given: Given) -> Tensor:
    signs = [sign for sign, name in ((1.0, "detect_positive"), (-1.0, "detect_negative")) if given.attribute(name, 1)]
    found: Expression = ZERO
    for sign in signs:
        found = _chosen("oeq", X, math.inf * sign, 1.0, found)
    return given.network.arithmetic("IsInf", found, [given.floats()], "bool", True)


# -- several ---------------------------------------------------------------------------------------------------------


def _power(given: Given) -> Expression:
    """x to the power of a constant or of another tensor."""
    exponent = given.value(1)
    if isinstance(exponent, Constant) and exponent.array.size == 1:
        number = float(np.ravel(exponent.array)[0])
        if number in (0.5, -0.5):
            root = apply("sqrt", X)
            return root if number > 0 else ONE / root
        if number.is_integer():
            return whole_power(X, int(number))
    return raised(X, Y)


_BINARY: dict[str, tuple[Callable[[Given], Expression], str]] = {
    "Add": (lambda g: X + Y, "float"),
    "And": (lambda g: X * Y, "bool"),
    "Div": (lambda g: X / Y, "float"),
    "Equal": (lambda g: _chosen("oeq", X, Y), "bool"),
    "Greater": (lambda g: _chosen("ogt", X, Y), "bool"),
    "GreaterOrEqual": (lambda g: _chosen("oge", X, Y), "bool"),
    "Less": (lambda g: _chosen("olt", X, Y), "bool"),
    "LessOrEqual": (lambda g: _chosen("ole", X, Y), "bool"),
    "Mul": (lambda g: X * Y, "float"),
    "Or": (lambda g: apply("max", X, Y), "bool"),
    "PRelu": (lambda g: _chosen("olt", X, 0.0, X * Y, X), "float"),
    "Pow": (_power, "float"),
    "Sub": (lambda g: X - Y, "float"),
    "Xor": (lambda g: apply("abs", X - Y), "bool"),
}
_COMPARES = {"And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
_LAYERS = {
    "Add": "Add",
    "Mul": "Multiply",
    "Sub": "Subtract",
    "Max": "Maximum",
    "Min": "Minimum",
    "Sum": "Add",
    "Mean": "Average",
}
_OPERATIONS = {"Add": "Add", "Mul": "Multiply", "Sub": "Subtract", "Div": "Divide", "Max": "Maximum", "Min": "Minimum"}


@operator(*_BINARY)
def _binary(given: Given) -> Tensor:
    name = given.node.operator
    expression, element = _BINARY[name]
    values = [given.value(0), given.value(1)]
    if given.opset < 7 and (given.attribute("broadcast", 0) or name == "PRelu"):
        values[1] = _placed(given, values[0], values[1])
    for value in values:
        if isinstance(value, Tensor) and value.element == "int" and name not in _COMPARES:
            raise RefusedError("it computes with whole numbers; tensors are float32 here")
    for value, other, source in ((values[0], values[1], 0), (values[1], values[0], 1)):
        once = name == "Add" and given.network.readers.get(given.node.inputs[source]) == 1
        if not once or not isinstance(value, Tensor) or not isinstance(other, Constant):
            continue
        if given.network.takes_bias(value, other.array):
            return replace(value, positive=False)
    return _joined(given, name, values, expression(given), element)


def _placed(given: Given, first: Value, second: Value) -> Value:
    """The second operand with axes of one behind its own, as operator sets before 7 broadcast it: from `axis` of the first on."""
    network = given.network
    shapes = [network.full(item) if isinstance(item, Tensor) else item.array.shape for item in (first, second)]
    axis = int(given.attribute("axis", 1 if given.node.operator == "PRelu" else len(shapes[0]) - len(shapes[1])))
    missing = len(shapes[0]) - len(shapes[1]) - axis % max(1, len(shapes[0]))
    if isinstance(second, Constant):
        return Constant(second.array.reshape(shapes[1] + (1,) * max(0, missing)), second.inputs)
    return network.reshaped(second, second.shape + (1,) * max(0, missing))


def _joined(given: Given, name: str, values: list[Value], expression: Expression, element: str = "float") -> Tensor:
    network = given.network
    tensors = [value for value in values if isinstance(value, Tensor)]
    positive = element == "bool" or (
        name in ("Add", "Mul", "Max", "Sum", "Mean", "Min") and all(map(_is_positive, values))
    )
    if len(tensors) == len(values) > 1 and name in _LAYERS and element == "float":
        aligned, _ = network.aligned(values)
        kept = [item for item in aligned if isinstance(item, Tensor)]
        description = layer.LAYERS[_LAYERS[name]]()
        port = network.add(description, [item.port for item in kept])
        return network.result(port, kept[0], positive=positive)
    if len(values) == 2 and len(tensors) == 1 and name in _OPERATIONS:
        number = _single(values)
        if number is not None and len(tensors[0].shape) >= max(_rank(value) for value in values) - network.offset:
            own = network.settled(tensors[0])
            arguments = tuple(None if isinstance(value, Tensor) else number for value in values)
            port = network.add(OPERATIONS[_OPERATIONS[name]](arguments=arguments), [own.port])
            return network.result(port, own, positive=positive)
    return network.arithmetic(name, expression, values, element, positive)


def _rank(value: Value) -> int:
    return len(value.shape) if isinstance(value, Tensor) else int(value.array.ndim)


def _is_positive(value: Value) -> bool:
    return value.positive if isinstance(value, Tensor) else bool((value.array >= 0).all())


def _single(values: list[Value]) -> float | None:
    """The one number that is constant, where it can be an operation's argument."""
    array = next(value.array for value in values if isinstance(value, Constant))
    if array.size != 1 or not fits(array) or not np.isfinite(array).all():
        return None
    return float(np.ravel(array)[0])


@operator("Max", "Min", "Sum", "Mean")
def _variadic(given: Given) -> Tensor | Constant:
    name = given.node.operator
    values = [given.value(i) for i in range(len(given.inputs))]
    for value in values:
        if isinstance(value, Tensor) and value.element == "int":
            raise RefusedError("it computes with whole numbers; tensors are float32 here")
    if len(values) == 1:
        return values[0]
    function = {"Max": "maximum", "Min": "minimum"}.get(name, "add")
    total: Expression = X
    for i in range(1, len(values)):
        total = apply(function, total, Operand(i))
    return _joined(given, name, values, total / float(len(values)) if name == "Mean" else total)


@operator("Where")
def _where(given: Given) -> Tensor:
    values = [given.value(i) for i in range(3)]
    kinds = {value.element for value in values[1:] if isinstance(value, Tensor)}
    element = kinds.pop() if len(kinds) == 1 else "float"
    values[0] = _as_numbers(values[0])
    return given.network.arithmetic("Where", _chosen("ogt", X, 0.0, Y, Operand(2)), values, element)


def _as_numbers(value: Value) -> Value:
    return Constant(value.array.astype(np.float32), value.inputs) if isinstance(value, Constant) else value


@operator("Mod")
def _modulo(given: Given) -> Tensor:
    if not given.attribute("fmod"):
        raise RefusedError("of whole numbers it is not supported, and fmod=1 is what it needs for others")
    values = [given.value(0), given.value(1)]
    return given.network.arithmetic("Mod", X - Y * apply("trunc", X / Y), values)


@operator("Cast", "CastLike")
def _cast(given: Given) -> Tensor | Constant:
    network = given.network
    if given.node.operator == "CastLike":
        like, source = given.value(1), given.value(0)
        if isinstance(source, Constant) and isinstance(like, Tensor):
            return Constant(source.array.astype({"float": np.float32, "bool": np.bool_}.get(like.element, np.int64)))
        kind = {"float": 1, "bool": 9, "int": 7}[like.element] if isinstance(like, Tensor) else _kind_of(like)
    else:
        kind = int(given.attribute("to", 0))
    tensor = given.tensor()
    element = {1: "float", 9: "bool", 6: "int", 7: "int"}.get(kind)
    if element is None:
        raise RefusedError("to float32, int32, int64 and bool only")
    if element == "bool" and tensor.element != "bool":
        return network.arithmetic("Cast", _chosen("oeq", X, 0.0, 0.0, 1.0), [tensor], "bool", True)
    if element == "int" and tensor.element == "float":
        return network.arithmetic("Cast", apply("trunc", X), [tensor], "int", tensor.positive)
    return replace(tensor, element=element)


def _kind_of(value: Constant) -> int:
    kinds = {"float32": 1, "bool": 9, "int32": 6, "int64": 7}
    return kinds.get(value.array.dtype.name, 0)

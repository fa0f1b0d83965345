"""Arguments of layers, checked and normalised at the API's border; an error says what is allowed."""

from collections.abc import Sequence

from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value

__all__ = [
    "ACTIVATIONS",
    "FUNCTIONS_ONLY",
    "LARGEST_FLOAT32",
    "LEAKY_RELU_SLOPE",
    "NO_LAYERS",
    "SELU_ALPHA",
    "SELU_SCALE",
    "SHRINK_THRESHOLD",
    "Pair",
    "activation_name",
    "axes_argument",
    "choice",
    "integer",
    "pair",
    "sorted_axes",
    "whole_numbers",
]

Pair = tuple[int, int]

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
"""Klambauer et al. 2017, arXiv:1706.02515, to the digits that Keras uses."""

LEAKY_RELU_SLOPE = 0.2
"""Of leaky_relu as an activation, Keras' default. The reference has constants of its own: it shares nothing with what it judges."""

SHRINK_THRESHOLD = 0.5
"""Of hard_shrink and soft_shrink as activations, Keras' default."""

ACTIVATIONS = (
    "linear",
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "sigmoid",
    "hard_sigmoid",
    "hard_silu",
    "tanh",
    "softplus",
    "celu",
    "exponential",
    "hard_shrink",
    "hard_tanh",
    "log_sigmoid",
    "mish",
    "soft_shrink",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh_shrink",
    "softmax",
    "log_softmax",
)

NO_LAYERS = {
    "glu": "it halves the channels, and Keras' layers behind it fail; use layers.Multiply()([x, gate]) with a gate of activation sigmoid",
    "sparsemax": "Keras' results do not sum to 1; use softmax",
    "threshold": "its threshold has no default; use layers.ReLU(threshold=…)",
}
"""Activations of Keras that no layer can have, and why."""

FUNCTIONS_ONLY = ("glu", "threshold")
"""Those of them that `depthwise.activations` has."""

ACTIVATION_ALIASES = {None: "linear", "swish": "silu", "hard_swish": "hard_silu"}

LARGEST_FLOAT32 = 3.4028234663852886e38
"""The largest number of float32, in which everything is computed."""

LARGEST_SIZE = 2**31 - 1
"""The largest value of any size: no map and no weight may hold more elements than that."""


def integer(owner: str, name: str, value: object, minimum: int = 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < minimum:
        raise InvalidArgumentError(
            f"{owner}: {name} must be an integer of at least {minimum}, got {describe_value(value)}"
        )
    size = int(value)
    if size > LARGEST_SIZE:
        # Python itself refuses to print numbers of thousands of digits.
        given = str(size) if size.bit_length() <= 64 else f"a number of {size.bit_length()} bits"
        raise InvalidArgumentError(f"{owner}: {name} must be at most {LARGEST_SIZE:,}, got {given}")
    return size


def pair(owner: str, name: str, value: object, minimum: int = 1) -> Pair:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 2:
            raise InvalidArgumentError(
                f"{owner}: {name} must be an integer or two of them, got {describe_value(value)}"
            )
        return integer(owner, name, value[0], minimum), integer(owner, name, value[1], minimum)
    size = integer(owner, name, value, minimum)
    return size, size


def whole_numbers(owner: str, name: str, value: object, count: int, minimum: int = 1) -> tuple[int, ...]:
    """`count` integers, or one for all of them."""
    if count == 2:
        return pair(owner, name, value, minimum)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 1:
            raise InvalidArgumentError(f"{owner}: {name} must be an integer, got {describe_value(value)}")
        value = value[0]
    return (integer(owner, name, value, minimum),)


def axes_argument(owner: str, name: str, value: object) -> int | tuple[int, ...]:
    """One axis or several, as Keras counts them: the batch is axis 0, the last one -1."""
    several = isinstance(value, (list, tuple))
    given = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    axes = []
    for axis in given:
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            raise InvalidArgumentError(
                f"{owner}: {name} must be an integer or several of them, got {describe_value(value)}"
            )
        axes.append(int(axis))
    if not axes:
        raise InvalidArgumentError(f"{owner}: {name} must hold one axis at least, got {describe_value(value)}")
    return tuple(axes) if several and len(axes) > 1 else axes[0]


def sorted_axes(owner: str, value: object) -> int | tuple[int, ...]:
    """`axes_argument` of a layer whose weights have the axes in ascending order, as Keras sorts them."""
    axis = axes_argument(owner, "axis", value)
    if isinstance(axis, int):
        return axis
    axis = tuple(sorted(axis))
    if len(set(axis)) < len(axis) or axis[0] < 0 <= axis[-1]:
        raise UnsupportedError(
            f"{owner}: several axes must be different and all counted from the front, or all from the end as negative numbers, "
            f"got {describe_value(value)}"
        )
    return axis


def choice(owner: str, name: str, value: object, allowed: tuple[str, ...]) -> str:
    text = value.lower() if isinstance(value, str) else value
    if text not in allowed:
        raise InvalidArgumentError(f"{owner}: {name} must be one of {', '.join(allowed)}, got {describe_value(value)}")
    return str(text)


def activation_name(owner: str, value: object) -> str:
    if callable(value):
        value = getattr(value, "__name__", value)
    if value is None or isinstance(value, str):
        value = ACTIVATION_ALIASES.get(value, value)
    if isinstance(value, str) and value in NO_LAYERS:
        raise UnsupportedError(f"{owner}: the activation {value} is not supported in a layer: {NO_LAYERS[value]}")
    return choice(owner, "activation", value, ACTIVATIONS)

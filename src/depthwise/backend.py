"""`keras.backend` and `keras.config` by name: what is settled once for all models.

Depthwise has one way of computing: float32, channels last. Setting that again changes nothing, and anything else is refused with the
way to get it.
"""

from typing import Any

from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.meanings import SETTINGS

__all__ = [
    "backend",
    "clear_session",
    "dtype_policy",
    "epsilon",
    "floatx",
    "get_value",
    "image_data_format",
    "int_shape",
    "is_keras_tensor",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_value",
]

EPSILON = 1e-7


def backend() -> str:
    """The name of what computes: "depthwise"."""
    return "depthwise"


def clear_session(free_memory: bool = True) -> None:
    """Does nothing: Depthwise keeps no models, and layers are numbered within their model."""


def floatx() -> str:
    """The type of all numbers: "float32"."""
    return "float32"


def set_floatx(value: str) -> None:
    """Accepts "float32".

    Raises:
        UnsupportedError: another type.
    """
    if value != "float32":
        raise UnsupportedError(f"set_floatx: all arithmetic is float32, got {describe_value(value)}")


def dtype_policy() -> str:
    """The same as `floatx`."""
    return "float32"


def set_dtype_policy(policy: Any) -> None:
    """Accepts "float32"; raises UnsupportedError for another one, "mixed_float16" too."""
    if getattr(policy, "name", policy) != "float32":
        raise UnsupportedError(
            f"set_dtype_policy: all arithmetic is float32, got {describe_value(policy)}; leave the policy out, the results are "
            "more precise"
        )


def epsilon() -> float:
    """The small number that losses keep probabilities away from 0 and 1 by: 1e-7."""
    return EPSILON


def set_epsilon(value: float) -> None:
    """Accepts 1e-7; raises UnsupportedError for another number: give `epsilon=` to the layer or optimizer instead."""
    if value != EPSILON:
        raise UnsupportedError(
            f"set_epsilon: it is always {EPSILON}, got {describe_value(value)}; give epsilon= to the layer or optimizer instead"
        )


def image_data_format() -> str:
    """The order of an image's axes where a layer does not say another one: "channels_last"."""
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Accepts "channels_last".

    Raises:
        UnsupportedError: "channels_first", which no setting gives to all layers at once.
    """
    if data_format != "channels_last":
        raise UnsupportedError(
            f"set_image_data_format: images are channels_last by default, got {describe_value(data_format)}; put the channels of "
            "your data on the last axis: x.transpose(0, 2, 3, 1)"
        )


def get_value(x: Any) -> Any:
    """x itself: weights are arrays, an optimizer's learning rate is a number."""
    return x


def set_value(x: Any, value: Any) -> None:
    """Refused: numbers and arrays cannot be changed from outside.

    Raises:
        InvalidArgumentError: always; the message says how to set a learning rate or weights.
    """
    raise InvalidArgumentError(
        "set_value is not supported; assign model.optimizer.learning_rate = 0.01, or call layer.set_weights([…])"
    )


def is_keras_tensor(x: Any) -> bool:
    """Whether x is a symbolic tensor: the result of `Input`, or of a layer called on one."""
    return hasattr(x, "connect") and hasattr(x, "sample_shape")


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape of an array, or of a symbolic tensor with its batch as None."""
    return tuple(x.shape)


document(globals(), __all__, SETTINGS)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    from depthwise import ops

    if not name.startswith("_") and hasattr(ops, name):  # Keras 2 had the functions for tensors here
        return getattr(ops, name)
    raise AttributeError(
        f"depthwise.backend has no {name!r}; it has {', '.join(__all__)} and the functions of depthwise.ops"
    )

"""Arguments of layers under the names that Keras takes besides those of the descriptions."""

from collections.abc import Mapping
from typing import Any

from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value

__all__ = ["normalised", "shape_of_input"]


def normalised(owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a layer as its description takes them.

    `input_dim=4` is `input_shape=(4,)`, `batch_input_shape` is that with the batch. `InputLayer` has `shape` in their place.

    Raises:
        InvalidArgumentError: two of them at once.
        UnsupportedError: `weights`, which Keras 3 does not take either.
    """
    arguments = dict(given)
    target = "shape" if owner == "InputLayer" else "input_shape"
    for name in ("input_dim", "batch_input_shape", "batch_shape", "input_shape"):
        if name == target or name not in arguments or (name == "batch_shape" and owner != "InputLayer"):
            continue
        value = arguments.pop(name)
        if value is None:
            continue
        if arguments.get(target) is not None:
            raise InvalidArgumentError(f"{owner}: give {target} or {name}, not both")
        if name == "input_dim":
            value = (value,)
        elif name.startswith("batch_"):
            value = without_batch(owner, name, value)
        arguments[target] = value
    if arguments.get("weights") is not None:
        raise UnsupportedError(
            f"{owner}: weights is not supported; call set_weights([…]) on the layer after it is built"
        )
    arguments.pop("weights", None)
    for name in ("batch_size", "sparse", "ragged", "optional") if owner == "InputLayer" else ():
        value = arguments.pop(name, None)
        if value and name != "batch_size":
            raise UnsupportedError(f"InputLayer: {name}={value!r} is not supported; leave it out")
    return arguments


def without_batch(owner: str, name: str, value: Any) -> tuple[Any, ...]:
    """The shape of one sample out of one with the batch, whatever the batch is."""
    if not isinstance(value, (list, tuple)) or not value:
        raise InvalidArgumentError(
            f"{owner}: {name} must be a shape with the batch first, for example (None, 28, 28, 1), got {describe_value(value)}"
        )
    return tuple(value[1:])


def shape_of_input(
    shape: Any, batch_shape: Any, sparse: Any, ragged: Any, tensor: Any, optional: Any
) -> tuple[Any, ...]:
    """The shape of one sample that `Input` is told.

    Raises:
        InvalidArgumentError: none, or two. UnsupportedError: an option that has no meaning here.
    """
    for name, value in (("sparse", sparse), ("ragged", ragged), ("tensor", tensor), ("optional", optional)):
        if value is not None and value is not False:
            raise UnsupportedError(f"Input: {name}={describe_value(value)} is not supported; leave it out")
    if shape is not None and batch_shape is not None:
        raise InvalidArgumentError("Input: give shape or batch_shape, not both")
    if batch_shape is not None:
        return without_batch("Input", "batch_shape", batch_shape)
    return (shape,) if hasattr(shape, "__index__") else tuple(shape)

"""Objects as Keras writes them into files, `{"module": …, "class_name": …, "config": {…}}`, and back."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from depthwise.errors import InvalidArgumentError, describe_value

__all__ = ["identified", "made_from", "serialized"]

Kind = TypeVar("Kind")


def serialized(module: str, class_name: str, config: Any, registered_name: str | None = None) -> dict[str, Any]:
    """One object as Keras serialises it."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered_name}


def made_from(identifier: Mapping[str, Any], classes: Mapping[str, type[Kind]]) -> Kind | None:
    """The object that a configuration stands for; None where its class is not among `classes`, or has no such arguments.

    Args:
        identifier: what `serialized` gave, here or in Keras.
        classes: dataclasses by the names that `class_name` may have.
    """
    cls: Any = classes.get(str(identifier.get("class_name")))
    config = identifier.get("config") or {}
    if cls is None or not is_dataclass(cls) or not isinstance(config, Mapping):
        return None
    return cls(**config) if set(config) <= {item.name for item in fields(cls)} else None


def identified(kind: str, identifier: Any, base: type[Kind], classes: Mapping[str, type[Kind]], allowed: str) -> Kind:
    """What `identifier` names: an object, a class, a name, or a configuration.

    Args:
        kind: of object, for the message.
        base: of all that may be named.
        classes: by every name that is allowed.
        allowed: which these are, for the message.

    Raises:
        InvalidArgumentError: none of `classes`.
    """
    if isinstance(identifier, base):
        return identifier
    made: Kind | None = None
    if isinstance(identifier, type) and identifier in classes.values():
        made = identifier()
    elif isinstance(identifier, Mapping):
        made = made_from(identifier, classes)
    elif isinstance(identifier, str) and identifier in classes:
        made = classes[identifier]()
    if made is None:
        raise InvalidArgumentError(f"unknown {kind} {describe_value(identifier)}; allowed are {allowed}")
    return made

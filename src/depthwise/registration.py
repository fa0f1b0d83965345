"""Names that files may give to functions and classes of your own: `custom_object_scope`, `register_keras_serializable`.

What is registered here is what `load_model(custom_objects=…)` gets besides its own argument.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.meanings import SETTINGS

__all__ = [
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "known_objects",
    "register_keras_serializable",
]

_registered: dict[str, Any] = {}
_scopes = threading.local()
_Object = TypeVar("_Object")


def get_custom_objects() -> dict[str, Any]:
    """The registered objects by name: a dict that can be changed, as in Keras."""
    return _registered


def known_objects(more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Registered objects, those of the scopes around, and `more`, which wins."""
    found = dict(_registered)
    for scope in getattr(_scopes, "stack", ()):
        found.update(scope)
    return {**found, **(more or {})}


@contextmanager
def custom_object_scope(*args: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """While a `with` statement lasts, files may name these objects.

    Args:
        args: dicts of objects by name.

    >>> with custom_object_scope({"twice": lambda x: 2 * x}):
    ...     sorted(known_objects())
    ['twice']
    """
    scope: dict[str, Any] = {}
    for item in args:
        if not isinstance(item, Mapping):
            raise InvalidArgumentError(f"custom_object_scope takes dicts by name, got {describe_value(item)}")
        scope.update(item)
    stack = _scopes.__dict__.setdefault("stack", [])
    stack.append(scope)
    try:
        yield scope
    finally:
        stack.remove(scope)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[_Object], _Object]:
    """Decorator: registers a function, a loss or a metric under `package>name`.

    Args:
        package: the part before `>`. name: the part behind; the object's own by default.

    Raises:
        UnsupportedError: a class with a `call` method, which is a layer or a model: its code cannot be run.
    """

    def register(item: _Object) -> _Object:
        own = name or getattr(item, "__name__", None)
        if not own:
            raise InvalidArgumentError("register_keras_serializable: give name=…, the object has none")
        if isinstance(item, type) and hasattr(item, "call"):
            raise UnsupportedError(
                f"register_keras_serializable: {describe_value(own)} is a layer or a model of its own code, which Depthwise cannot "
                "run; put layers of depthwise.layers together with depthwise.Model instead"
            )
        _registered[f"{package}>{own}"] = item
        return item

    return register


def get_registered_name(obj: Any) -> str:
    """The name that the object is registered under, else its own."""
    for name, item in _registered.items():
        if item is obj:
            return name
    return str(obj.__name__)


def get_registered_object(name: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What is registered under `name`; None where nothing is."""
    return known_objects(custom_objects).get(name)


document(globals(), __all__, SETTINGS)


def __dir__() -> list[str]:
    return sorted(__all__)

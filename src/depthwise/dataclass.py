"""`dataclass` of the standard library whose methods are written when they are first used.

Before Python 3.13, the standard one compiles up to seven methods by `exec` for each class, half a millisecond of every import;
a process uses few of them. Here `__init__`, `__repr__`, `__eq__` and `__hash__` are made by the standard library too, but by their
first use. Everything else (`fields`, `replace`, `asdict`, signatures, pickles, what a frozen instance raises) is as there.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]


class _Method:
    """A method that puts the standard library's in its own place when it is first looked at."""

    def __init__(self, name: str, owner: type) -> None:
        self._name = name
        self._owner = owner

    def __get__(self, instance: object, owner: type) -> Any:
        made = getattr(_written(self._owner, self._name), self._name)
        made.__qualname__ = f"{self._owner.__qualname__}.{self._name}"
        setattr(self._owner, self._name, made)
        return made.__get__(instance, owner)


def _written(owner: type, name: str) -> type:
    """A class with the same fields, for which the standard library has written that one method."""
    space: dict[str, Any] = {"__annotations__": {}, "__module__": owner.__module__, "__doc__": owner.__name__}
    if hasattr(owner, "__post_init__"):
        space["__post_init__"] = None
    for item in dataclasses.fields(owner):
        space["__annotations__"][item.name] = item.type
        space[item.name] = dataclasses.field(
            default=item.default,
            default_factory=item.default_factory,
            init=item.init,
            repr=item.repr,
            hash=item.hash,
            compare=item.compare,
            kw_only=bool(item.kw_only),
        )
    comparing = name in ("__eq__", "__hash__")
    make = dataclasses.dataclass(init=name == "__init__", repr=name == "__repr__", eq=comparing, frozen=True)
    return make(type(owner.__name__, (), space))


def _set(self: object, name: str, value: object) -> None:
    _refuse(self, name, "assign to")
    object.__setattr__(self, name, value)


def _delete(self: object, name: str) -> None:
    _refuse(self, name, "delete")
    object.__delattr__(self, name)


def _refuse(self: Any, name: str, action: str) -> None:
    # As in the standard library: a subclass that is not a dataclass may have attributes of its own.
    if "__dataclass_fields__" in vars(type(self)) or name in self.__dataclass_fields__:
        raise FrozenInstanceError(f"cannot {action} field {name!r}")


def _state(self: object) -> dict[str, Any]:
    """A copy: while `copy.deepcopy` goes through it, another thread may ask for a `cached_property`, which then comes to the original."""
    return dict(vars(self))


def _waiting(eq: bool, cls: type) -> type:
    """`cls` as a frozen dataclass whose methods wait.

    It is not a frozen one for the standard library, which would write `__setattr__` for each: a class that inherits from it and
    is a dataclass must be one of this module.
    """
    own = {
        name for name, value in vars(cls).items() if value is not None
    }  # beside an `__eq__` Python sets `__hash__` to None
    cls.__doc__ = cls.__doc__ or cls.__name__  # otherwise the standard library asks for the signature
    dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
    for name in ("__init__", "__repr__", *(("__eq__", "__hash__") if eq else ())):
        if name not in own:
            setattr(cls, name, _Method(name, cls))
    if cls.__getstate__ is object.__getstate__:  # type: ignore[comparison-overlap]
        cls.__getstate__ = _state  # type: ignore[method-assign,assignment]
    cls.__setattr__, cls.__delattr__ = _set, _delete  # type: ignore[method-assign,assignment]
    return cls


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls: type | None = None, **options: bool) -> type | Callable[[type], type]:
        """As `dataclasses.dataclass`; only frozen classes without an order wait with their methods."""
        if options.keys() - {"eq"} != {"frozen"} or not options["frozen"]:
            return dataclasses.dataclass(cls, **options)
        return functools.partial(_waiting, options.get("eq", True))

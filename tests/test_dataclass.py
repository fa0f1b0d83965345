"""Dataclasses whose methods wait are the standard library's in everything but the time at which their methods are written."""

import copy
import dataclasses
import functools
import inspect
import pickle
from typing import Any, ClassVar

import pytest

from depthwise import layers
from depthwise.dataclass import dataclass


@dataclass(frozen=True)
class Base:
    """A base."""

    size: int
    name: str | None = dataclasses.field(default=None, kw_only=True)
    hidden: float = dataclasses.field(default=0.5, kw_only=True, repr=False, compare=False)
    kind: ClassVar[str] = "base"


@dataclass(frozen=True)
class Child(Base):
    """A child."""

    shape: tuple[int, ...] = (1, 2)
    parts: list[int] = dataclasses.field(default_factory=list, compare=False)
    area: int = dataclasses.field(default=0, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "area", self.size * self.size)


@dataclass(frozen=True, eq=False)
class Same(Base):
    """Equal only to itself; shown in its own way."""

    def __repr__(self) -> str:
        return "same"


class Free(Child):
    """No dataclass: it may have attributes of its own."""


def standard(cls: type) -> Any:
    """The same class as the standard library makes it."""
    base: Any = dataclasses.dataclass(frozen=True)(type("Base", (), {**plain(Base)}))
    if cls is Base:
        return base
    return dataclasses.dataclass(frozen=True, eq=cls is not Same)(type(cls.__name__, (base,), plain(cls)))


def plain(cls: Any) -> dict[str, Any]:
    """What the body of a class says."""
    names = inspect.get_annotations(cls)
    fields = {item.name: item for item in dataclasses.fields(cls) if item.name in names}
    space: dict[str, Any] = {"__annotations__": dict(names), "__doc__": cls.__doc__, "__module__": __name__}
    for name, item in fields.items():
        options = ("default", "default_factory", "init", "repr", "compare", "kw_only")
        space[name] = dataclasses.field(**{option: getattr(item, option) for option in options})
    return (
        space
        | {key: vars(cls)[key] for key in ("kind", "__post_init__") if key in vars(cls)}
        | ({"__repr__": Same.__repr__} if cls is Same else {})
    )


@pytest.mark.parametrize("cls", [Base, Child, Same])
def test_as_in_the_standard_library(cls: Any) -> None:
    other = standard(cls)
    assert inspect.signature(cls) == inspect.signature(other)
    assert [item.name for item in dataclasses.fields(cls)] == [item.name for item in dataclasses.fields(other)]
    for arguments in ({"size": 3}, {"size": 3, "name": "x", "hidden": 2.0}):
        made, wanted = cls(**arguments), other(**arguments)
        assert repr(made) == repr(wanted)
        assert vars(made) == vars(wanted)
        assert (made == cls(**arguments)) == (wanted == other(**arguments))
        if cls is not Same:
            assert hash(made) == hash(wanted)
        assert vars(dataclasses.replace(made, size=4)) == vars(dataclasses.replace(wanted, size=4))
        assert dataclasses.asdict(made) == dataclasses.asdict(wanted)
        assert vars(pickle.loads(pickle.dumps(made))) == vars(made) == vars(copy.deepcopy(made))
    for wrong in ({}, {"size": 1, "colour": 2}):
        with pytest.raises(TypeError) as ours:
            cls(**wrong)
        with pytest.raises(TypeError) as theirs:
            other(**wrong)
        assert str(ours.value) == str(theirs.value)


def test_comparisons_are_of_one_class_and_of_the_compared_fields() -> None:
    assert Base(1, hidden=1.0) == Base(1, hidden=2.0) != Base(2)
    assert Base(1) != Child(1)
    assert {Child(2): "found"}[Child(2, parts=[5])] == "found"


def test_frozen() -> None:
    made = Child(1)
    for name in ("size", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(made, name, 2)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'size'"):
        del made.size
    free = Free(1)
    free.own = 3  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'size'"):
        free.size = 2  # type: ignore[misc]


def test_no_method_is_written_before_it_is_used() -> None:
    @dataclass(frozen=True)
    class Fresh:
        """New."""

        size: int = 1

    methods = ("__init__", "__repr__", "__eq__", "__hash__")
    assert not any(inspect.isfunction(vars(Fresh)[name]) for name in methods)
    made = Fresh()
    assert [inspect.isfunction(vars(Fresh)[name]) for name in methods] == [True, False, False, False]
    assert hash(made) == hash(Fresh())
    assert [inspect.isfunction(vars(Fresh)[name]) for name in methods] == [True, False, False, True]


def test_layers_show_their_arguments() -> None:
    parameters = inspect.signature(layers.Dense).parameters
    assert [*parameters][:3] == ["units", "activation", "use_bias"]
    assert inspect.signature(layers.ReLU).parameters.keys() != parameters.keys()


def test_a_copy_bears_properties_that_come_meanwhile() -> None:
    """What another thread does in the middle of `deepcopy`, at a fixed place."""

    class Asks:
        owner: Any = None

        def __deepcopy__(self, memo: object) -> "Asks":
            assert self.owner.total == 3
            return Asks()

    @dataclass(frozen=True)
    class Sum:
        first: Any
        numbers: tuple[int, ...]

        @functools.cached_property
        def total(self) -> int:
            return sum(self.numbers)

    asks = Asks()
    asks.owner = original = Sum(asks, (1, 2))
    copied = copy.deepcopy(original)
    assert copied.numbers == (1, 2)
    assert copied.total == 3

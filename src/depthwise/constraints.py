"""Keras' constraints: what a weight is made to satisfy after each step of training.

>>> get("non_neg")([-1.0, 2.0]).tolist()
[0.0, 2.0]
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from depthwise.configuration import identified, serialized
from depthwise.dataclass import dataclass
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, ShapeError, describe_value
from depthwise.meanings import SETTINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CLASSES",
    "Constraint",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "NormConstraint",
    "UnitNorm",
    "deserialize",
    "get",
    "serialize",
]

EPSILON = 1e-7
"""Keras' `backend.epsilon()`: keeps the division by a norm from blowing up."""


@dataclass(frozen=True)
class Constraint:
    """Base of all constraints."""

    def __call__(self, w: Any) -> "NDArray[Any]":
        """The nearest array that satisfies the constraint."""
        raise NotImplementedError

    def check(self, owner: str, shape: tuple[int, ...]) -> None:
        """Raises ShapeError where a weight of this shape cannot have this constraint."""

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Constraint":
        """A constraint from what `get_config` gave."""
        return cls(**config)

    def _number(self, name: str, least: float = 0.0, most: float = math.inf) -> None:
        value = getattr(self, name)
        number = float(value) if hasattr(value, "__float__") and not isinstance(value, bool) else math.nan
        if not (math.isfinite(number) and least <= number <= most):
            allowed = f"from {least:g} to {most:g}" if most < math.inf else f"of at least {least:g}"
            raise InvalidArgumentError(
                f"{type(self).__name__}: {name} must be a number {allowed}, got {describe_value(value)}"
            )
        object.__setattr__(self, name, number)


@dataclass(frozen=True)
class NonNeg(Constraint):
    """Every number at least 0."""

    def __call__(self, w: Any) -> "NDArray[Any]":
        import numpy as np  # descriptions need the standard library only

        kept: NDArray[Any] = np.maximum(np.asarray(w), 0)
        return kept


@dataclass(frozen=True)
class NormConstraint(Constraint):
    """A limit on norms over some axes: w ← w × desired(norm) / (norm + 1e-7)."""

    @property
    def limits(self) -> tuple[float, float, float]:
        """(least, most, rate): the desired norm is rate × the norm within its limits + (1 - rate) × the norm."""
        raise NotImplementedError

    def axes(self, rank: int) -> tuple[int, ...]:
        """The axes of a weight of that rank over which a norm is taken, in ascending order."""
        axis: Any = getattr(self, "axis")  # noqa: B009 - each class has its own, in Keras' place
        return tuple(sorted({item % rank for item in (axis if isinstance(axis, tuple) else (axis,))}))

    def check(self, owner: str, shape: tuple[int, ...]) -> None:
        axis: Any = getattr(self, "axis")  # noqa: B009
        given = axis if isinstance(axis, tuple) else (axis,)
        if any(not -len(shape) <= item < len(shape) for item in given):
            raise ShapeError(
                f"{owner}: {type(self).__name__}'s axis must be among those of the weight's shape {shape}, got "
                f"{describe_value(list(given))}"
            )

    def __call__(self, w: Any) -> "NDArray[Any]":
        import numpy as np

        array = np.asarray(w)
        self.check(type(self).__name__, array.shape)
        norms = np.sqrt(np.square(array).sum(axis=self.axes(array.ndim), keepdims=True))
        least, most, rate = self.limits
        desired = rate * np.clip(norms, least, most) + (1.0 - rate) * norms
        scaled: NDArray[Any] = array * (desired / (EPSILON + norms))
        return scaled

    def _axis(self) -> None:
        axis: Any = getattr(self, "axis")  # noqa: B009
        several = isinstance(axis, Sequence) and not isinstance(axis, str)
        items = tuple(axis) if several else (axis,)
        if not items or any(isinstance(item, bool) or not isinstance(item, int) for item in items):
            raise InvalidArgumentError(
                f"{type(self).__name__}: axis must be a whole number or a list of such, got {describe_value(axis)}"
            )
        object.__setattr__(self, "axis", items if several else axis)


@dataclass(frozen=True)
class MaxNorm(NormConstraint):
    """A norm of at most `max_value`.

    Args:
        max_value: the largest norm.
        axis: over which the norms are taken: 0 for the columns of a Dense layer's kernel, [0, 1, 2] for the filters of a
            convolution.
    """

    max_value: float = 2.0
    axis: int | Sequence[int] = 0

    def __post_init__(self) -> None:
        self._number("max_value")
        self._axis()

    @property
    def limits(self) -> tuple[float, float, float]:
        return 0.0, self.max_value, 1.0


@dataclass(frozen=True)
class UnitNorm(NormConstraint):
    """A norm of 1; `axis` as in `MaxNorm`."""

    axis: int | Sequence[int] = 0

    def __post_init__(self) -> None:
        self._axis()

    @property
    def limits(self) -> tuple[float, float, float]:
        return 1.0, 1.0, 1.0


@dataclass(frozen=True)
class MinMaxNorm(NormConstraint):
    """A norm between `min_value` and `max_value`.

    Args:
        min_value, max_value: the limits.
        rate: how far towards the limits each step goes: 1 for all the way.
        axis: as in `MaxNorm`.
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: int | Sequence[int] = 0

    def __post_init__(self) -> None:
        self._number("min_value")
        self._number("max_value")
        self._number("rate", most=1.0)
        self._axis()

    @property
    def limits(self) -> tuple[float, float, float]:
        return self.min_value, self.max_value, self.rate


CLASSES: dict[str, type[Constraint]] = {cls.__name__: cls for cls in (MaxNorm, MinMaxNorm, NonNeg, UnitNorm)}

BY_NAME: dict[str, type[Constraint]] = CLASSES | {
    "max_norm": MaxNorm,
    "min_max_norm": MinMaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
}


def get(identifier: Any) -> Constraint | None:
    """The constraint that `identifier` names: a name, a class, Keras' configuration, or a constraint itself; None for None.

    Raises:
        InvalidArgumentError: not one of Keras' constraints; the message lists them.
    """
    if identifier is None:
        return None
    allowed = "'max_norm', 'min_max_norm', 'non_neg', 'unit_norm' and the classes of depthwise.constraints"
    return identified("constraint", identifier, Constraint, BY_NAME, allowed)


def serialize(constraint: Constraint) -> dict[str, Any]:
    """The constraint as Keras serialises it."""
    return serialized("keras.constraints", type(constraint).__name__, constraint.get_config())


def deserialize(config: Mapping[str, Any]) -> Constraint | None:
    """A constraint from what `serialize` gave, here or in Keras."""
    return get(config)


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm


document(globals(), __all__, SETTINGS)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Keras' regularizers: penalties on a layer's weights (or outputs) that are added to the loss.

>>> penalty = get("l2")
>>> penalty
L2(l2=0.01)
>>> penalty([3.0, 4.0])
0.25
"""

import math
from collections.abc import Mapping
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
    "BY_NAME",
    "CLASSES",
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "serialize",
]


@dataclass(frozen=True)
class Regularizer:
    """Base of all regularizers."""

    def __call__(self, x: Any) -> float:
        """The penalty of an array."""
        raise NotImplementedError

    @property
    def factors(self) -> tuple[float, float]:
        """The factors of Σ|x| and of Σx²."""
        return 0.0, 0.0

    def check(self, owner: str, shape: tuple[int, ...]) -> None:
        """Raises ShapeError where a weight of this shape cannot have this penalty."""

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Regularizer":
        """A regularizer from what `get_config` gave."""
        return cls(**config)

    def _number(self, name: str, default: float) -> None:
        value = getattr(self, name)
        value = default if value is None else value
        number = float(value) if hasattr(value, "__float__") and not isinstance(value, bool) else math.nan
        if not 0 <= number < math.inf:
            raise InvalidArgumentError(
                f"{type(self).__name__}: {name} must be a number of at least 0, got {describe_value(value)}"
            )
        object.__setattr__(self, name, number)


class _Sums(Regularizer):
    def __call__(self, x: Any) -> float:
        import numpy as np  # descriptions need the standard library only

        array, (l1, l2) = np.asarray(x), self.factors
        total = 0.0
        if l1:
            total += l1 * float(np.abs(array).sum(dtype=np.float64))
        if l2:
            total += l2 * float(np.square(array).sum(dtype=np.float64))
        return total


@dataclass(frozen=True)
class L1(_Sums):
    """l1 × Σ|x|. A weight of 0 has no slope: it stays 0 unless the loss moves it."""

    l1: float = 0.01

    def __post_init__(self) -> None:
        self._number("l1", 0.01)

    @property
    def factors(self) -> tuple[float, float]:
        return self.l1, 0.0


@dataclass(frozen=True)
class L2(_Sums):
    """l2 × Σx²."""

    l2: float = 0.01

    def __post_init__(self) -> None:
        self._number("l2", 0.01)

    @property
    def factors(self) -> tuple[float, float]:
        return 0.0, self.l2


@dataclass(frozen=True)
class L1L2(_Sums):
    """l1 × Σ|x| + l2 × Σx²."""

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        self._number("l1", 0.0)
        self._number("l2", 0.0)

    @property
    def factors(self) -> tuple[float, float]:
        return self.l1, self.l2


@dataclass(frozen=True)
class OrthogonalRegularizer(Regularizer):
    """factor × the mean of |cos| of the angles between all pairs of rows (or columns) of a matrix.

    Args:
        factor: of the penalty.
        mode: "rows" or "columns".
    """

    factor: float = 0.01
    mode: str = "rows"

    def __post_init__(self) -> None:
        self._number("factor", 0.01)
        if self.mode not in ("rows", "columns"):
            raise InvalidArgumentError(
                f"OrthogonalRegularizer: mode must be 'rows' or 'columns', got {describe_value(self.mode)}"
            )

    def check(self, owner: str, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise ShapeError(
                f"{owner}: OrthogonalRegularizer takes weights of rank 2, such as a Dense layer's kernel, got the shape "
                f"{shape}"
            )

    def _directions(self, x: Any) -> "tuple[NDArray[Any], NDArray[Any]]":
        """(vectors as rows divided by their norms, norms), in float64."""
        import numpy as np

        array = np.asarray(x, np.float64)
        self.check("OrthogonalRegularizer", array.shape)
        vectors = array if self.mode == "rows" else array.T
        norms = np.sqrt(np.maximum(np.square(vectors).sum(axis=1, keepdims=True), 1e-12))
        return vectors / norms, norms

    def __call__(self, x: Any) -> float:
        import numpy as np

        directions, _ = self._directions(x)
        count = len(directions)
        cosines = directions @ directions.T
        np.fill_diagonal(cosines, 0.0)
        return self.factor * 0.5 * float(np.abs(cosines).sum()) / (count * (count - 1) / 2) if count > 1 else math.nan

    def gradient(self, x: Any) -> "NDArray[Any]":
        """The gradient of the penalty, float64 of x's shape."""
        import numpy as np

        directions, norms = self._directions(x)
        count = len(directions)
        signs = np.sign(directions @ directions.T)
        np.fill_diagonal(signs, 0.0)
        towards = signs @ directions * (self.factor / (count * (count - 1) / 2) if count > 1 else math.nan)
        # Only what turns a vector counts, not what makes it longer.
        found: NDArray[Any] = (towards - directions * (towards * directions).sum(axis=1, keepdims=True)) / norms
        return found if self.mode == "rows" else found.T


CLASSES: dict[str, type[Regularizer]] = {cls.__name__: cls for cls in (L1, L2, L1L2, OrthogonalRegularizer)}

BY_NAME: dict[str, type[Regularizer]] = CLASSES | {
    "l1": L1,
    "l2": L2,
    "l1_l2": L1L2,
    "l1l2": L1L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
}


def get(identifier: Any) -> Regularizer | None:
    """The regularizer that `identifier` names: a name, a class, Keras' configuration, or a regularizer itself; None for None.

    Raises:
        InvalidArgumentError: not one of Keras' regularizers; the message lists them.
    """
    if identifier is None:
        return None
    allowed = "'l1', 'l2', 'l1_l2', 'orthogonal_regularizer' and the classes of depthwise.regularizers"
    return identified("regularizer", identifier, Regularizer, BY_NAME, allowed)


def serialize(regularizer: Regularizer) -> dict[str, Any]:
    """The regularizer as Keras serialises it."""
    return serialized("keras.regularizers", type(regularizer).__name__, regularizer.get_config())


def deserialize(config: Mapping[str, Any]) -> Regularizer | None:
    """A regularizer from what `serialize` gave, here or in Keras."""
    return get(config)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer


document(globals(), __all__, SETTINGS)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Descriptions of Keras' initializers: what distribution a new weight is drawn from.

A description holds no numbers of the weight itself; `depthwise.network.initialize` draws them, also when it is called. Names, arguments and defaults are
those of `keras.initializers`.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from depthwise.absent import absent
from depthwise.configuration import identified, serialized
from depthwise.dataclass import dataclass
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.meanings import INITIALIZERS

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "deserialize",
    "get",
    "serialize",
]


@dataclass(frozen=True)
class Initializer:
    """Base of all initializer descriptions.

    Called, a description draws an array: with a seed the same each time, without one a new one each time.

    >>> GlorotUniform(seed=1)((3, 2)).shape
    (3, 2)
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """A new float32 array of that shape.

        Raises:
            InvalidArgumentError: `Identity` or `Orthogonal` for a rank that they are not defined for.
            UnsupportedError: `dtype` is another one than "float32".
        """
        from depthwise.network.initialize import draw
        from depthwise.random import generator

        if dtype not in (None, "float32"):
            raise UnsupportedError(
                f"{type(self).__name__}: dtype must be float32 (all arithmetic is), got {describe_value(dtype)}"
            )
        return draw(self, tuple(shape), generator("initializer"))

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them into a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Initializer":
        """A description from what `get_config` gave, here or in Keras."""
        return cls(**_without_defaults(config))

    def clone(self) -> "Initializer":
        """An equal description."""
        return dataclasses.replace(self)


@dataclass(frozen=True)
class Zeros(Initializer):
    """Every value 0."""


@dataclass(frozen=True)
class Ones(Initializer):
    """Every value 1."""


@dataclass(frozen=True)
class Constant(Initializer):
    """Every value `value`."""

    value: float = 0.0


@dataclass(frozen=True)
class Identity(Initializer):
    """`gain` times the identity matrix; for weights of rank 2 only."""

    gain: float = 1.0


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal distribution."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None


@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Uniform distribution over [minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal distribution, values beyond two standard deviations drawn again."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Variance `scale / n`, n the fan in, the fan out or their mean (He et al. 2015, arXiv:1502.01852)."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise InvalidArgumentError(f"VarianceScaling: scale must be above 0, got {self.scale}")
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise InvalidArgumentError(
                f"VarianceScaling: mode must be 'fan_in', 'fan_out' or 'fan_avg', got {describe_value(self.mode)}"
            )
        if self.distribution not in ("normal", "truncated_normal", "untruncated_normal", "uniform"):
            raise InvalidArgumentError(
                "VarianceScaling: distribution must be 'truncated_normal', 'untruncated_normal' or "
                f"'uniform', got {describe_value(self.distribution)}"
            )


@dataclass(frozen=True)
class GlorotUniform(Initializer):
    """Uniform over ±√(6 / (fan in + fan out)) (Glorot and Bengio 2010)."""

    seed: int | None = None


@dataclass(frozen=True)
class GlorotNormal(Initializer):
    """Truncated normal, variance 2 / (fan in + fan out) (Glorot and Bengio 2010)."""

    seed: int | None = None


@dataclass(frozen=True)
class HeUniform(Initializer):
    """Uniform over ±√(6 / fan in) (He et al. 2015)."""

    seed: int | None = None


@dataclass(frozen=True)
class HeNormal(Initializer):
    """Truncated normal, variance 2 / fan in (He et al. 2015)."""

    seed: int | None = None


@dataclass(frozen=True)
class LecunUniform(Initializer):
    """Uniform over ±√(3 / fan in) (LeCun et al. 1998)."""

    seed: int | None = None


@dataclass(frozen=True)
class LecunNormal(Initializer):
    """Truncated normal, variance 1 / fan in (LeCun et al. 1998); the one SELU was derived for."""

    seed: int | None = None


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """An orthogonal matrix times `gain` (Saxe et al. 2014, arXiv:1312.6120)."""

    gain: float = 1.0
    seed: int | None = None


CLASSES: dict[str, type[Initializer]] = {
    cls.__name__: cls
    for cls in (
        Constant, GlorotNormal, GlorotUniform, HeNormal, HeUniform, Identity, LecunNormal,
        LecunUniform, Ones, Orthogonal, RandomNormal, RandomUniform, TruncatedNormal,
        VarianceScaling, Zeros,
    )
}  # fmt: skip


def _without_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the axes that Keras 3.15 writes where none were chosen."""
    return {
        key: value for key, value in config.items() if key not in ("input_axes", "output_axes") or value is not None
    }


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


_BY_NAME: dict[str, type[Initializer]] = {
    **CLASSES,
    **{_snake_case(name): cls for name, cls in CLASSES.items()},
    "IdentityInitializer": Identity,
    "OrthogonalInitializer": Orthogonal,
}


_ALLOWED = ", ".join(sorted(map(_snake_case, CLASSES)))


def get(identifier: str | Initializer | type[Initializer] | dict[str, Any]) -> Initializer:
    """The description that `identifier` names: a name in either of Keras' spellings, a class, Keras' configuration, or a
    description itself.

    >>> get("glorot_uniform")
    GlorotUniform(seed=None)

    Raises:
        InvalidArgumentError: the name is not one of Keras' initializers.
    """
    if isinstance(identifier, dict) and isinstance(identifier.get("config"), dict):
        identifier = {**identifier, "config": _without_defaults(identifier["config"])}
    return identified("initializer", identifier, Initializer, _BY_NAME, _ALLOWED)


def serialize(initializer: Initializer) -> dict[str, Any]:
    """The initializer as Keras serialises it."""
    return serialized("keras.initializers", type(initializer).__name__, dataclasses.asdict(initializer))


def deserialize(config: dict[str, Any]) -> Initializer:
    """An initializer from what `serialize` gave, here or in Keras."""
    return get(config)


document(globals(), __all__, INITIALIZERS)


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name in _BY_NAME:
        return _BY_NAME[name]
    raise absent("initializers", name, __all__)

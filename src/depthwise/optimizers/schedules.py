"""Learning-rate schedules: the learning rate as a function of the steps done. Names and values are Keras' own.

A schedule is called once a step in Python; the native training step takes the number.
"""

import itertools
import math
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from depthwise.configuration import made_from, serialized
from depthwise.dataclass import dataclass
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.meanings import SCHEDULES

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "get",
]


class LearningRateSchedule(ABC):
    """Base of all schedules; a class of your own needs `__call__(step)` only."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The learning rate of the step after `step` steps."""

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them into a file."""
        raise InvalidArgumentError(
            f"{type(self).__name__} cannot be saved: it has no get_config(); add one that returns its arguments"
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "LearningRateSchedule":
        """A schedule from what `get_config` gave, here or in Keras."""
        return cls(**config)


def _number(owner: str, name: str, value: object) -> float:
    if isinstance(value, bool) or not hasattr(value, "__float__") or not math.isfinite(float(value)):
        raise InvalidArgumentError(f"{owner}: {name} must be a finite number, got {describe_value(value)}")
    return float(value)


def _steps(owner: str, name: str, value: object, minimum: int) -> int:
    number = _number(owner, name, value)
    if number != int(number) or number < minimum:
        raise InvalidArgumentError(
            f"{owner}: {name} must be a whole number of at least {minimum}, got {describe_value(value)}"
        )
    return int(number)


@dataclass(frozen=True)
class _Described(LearningRateSchedule):
    def __post_init__(self) -> None:
        self._normalise(type(self).__name__)

    def _normalise(self, owner: str) -> None:
        raise NotImplementedError

    def _set(self, **values: object) -> None:
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def __call__(self, step: int) -> float:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@dataclass(frozen=True)
class ExponentialDecay(_Described):
    """`initial_learning_rate × decay_rate ^ (step / decay_steps)`.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: steps in which the rate is multiplied by `decay_rate` once.
        decay_rate: the factor.
        staircase: round `step / decay_steps` down, so that the rate falls in stairs.

    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False
    name: str = "ExponentialDecay"

    def _normalise(self, owner: str) -> None:
        self._set(
            initial_learning_rate=_number(owner, "initial_learning_rate", self.initial_learning_rate),
            decay_steps=_steps(owner, "decay_steps", self.decay_steps, 1),
            decay_rate=_number(owner, "decay_rate", self.decay_rate),
        )
        if self.decay_rate <= 0:
            raise InvalidArgumentError(f"{owner}: decay_rate must be above 0, got {self.decay_rate}")

    def __call__(self, step: int) -> float:
        exponent = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate**exponent


@dataclass(frozen=True)
class CosineDecay(_Described):
    """Half a cosine down to `alpha` times the peak, after an optional linear warm-up (Loshchilov and Hutter 2016,
    arXiv:1608.03983; warm-up after Goyal et al. 2017, arXiv:1706.02677).

    Args:
        initial_learning_rate: at step 0.
        decay_steps: steps of the decay, not counting the warm-up.
        alpha: the last rate as a share of the peak.
        warmup_target: the peak; None for no warm-up, then `initial_learning_rate` is the peak.
        warmup_steps: steps of the warm-up.

    >>> CosineDecay(0.0, decay_steps=10, warmup_target=0.1, warmup_steps=4)(2)
    0.05
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    name: str = "CosineDecay"
    warmup_target: float | None = None
    warmup_steps: int = 0

    def _normalise(self, owner: str) -> None:
        self._set(
            initial_learning_rate=_number(owner, "initial_learning_rate", self.initial_learning_rate),
            decay_steps=_steps(owner, "decay_steps", self.decay_steps, 1),
            alpha=_number(owner, "alpha", self.alpha),
            warmup_steps=_steps(owner, "warmup_steps", self.warmup_steps, 0),
        )
        if self.warmup_target is not None:
            self._set(warmup_target=_number(owner, "warmup_target", self.warmup_target))

    def __call__(self, step: int) -> float:
        start, peak = 0, self.initial_learning_rate
        if self.warmup_target is not None:
            start, peak = self.warmup_steps, self.warmup_target
            if step < start:
                return self.initial_learning_rate + (peak - self.initial_learning_rate) * step / start
        share = min(step - start, self.decay_steps) / self.decay_steps
        return peak * ((1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * share)) + self.alpha)


@dataclass(frozen=True)
class PiecewiseConstantDecay(_Described):
    """`values[0]` up to and including step `boundaries[0]`, then `values[1]`, and so on.

    Args:
        boundaries: rising step numbers.
        values: one more than there are boundaries.

    >>> PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.1])(101)
    0.5
    """

    boundaries: Sequence[int]
    values: Sequence[float]
    name: str = "PiecewiseConstant"

    def _normalise(self, owner: str) -> None:
        for key in ("boundaries", "values"):
            if not isinstance(getattr(self, key), Sequence) or isinstance(getattr(self, key), str):
                raise InvalidArgumentError(f"{owner}: {key} must be a list, got {describe_value(getattr(self, key))}")
        boundaries = tuple(_steps(owner, "boundaries", item, 0) for item in self.boundaries)
        values = tuple(_number(owner, "values", item) for item in self.values)
        if len(values) != len(boundaries) + 1 or not boundaries:
            raise InvalidArgumentError(
                f"{owner}: values must hold one more number than boundaries, and boundaries at least one, got "
                f"{len(values)} values and {len(boundaries)} boundaries"
            )
        if any(first >= second for first, second in itertools.pairwise(boundaries)):
            raise InvalidArgumentError(f"{owner}: boundaries must rise, got {describe_value(list(boundaries))}")
        self._set(boundaries=boundaries, values=values)

    def __call__(self, step: int) -> float:
        return self.values[bisect_left(self.boundaries, step)]


@dataclass(frozen=True)
class CosineDecayRestarts(_Described):
    """Half a cosine down to `alpha` times the start, again and again (SGDR: Loshchilov and Hutter 2016, arXiv:1608.03983).

    Args:
        initial_learning_rate: at step 0.
        first_decay_steps: steps of the first fall.
        t_mul: each fall takes so many times as long as the one before.
        m_mul: each starts at so many times the rate of the one before.
        alpha: the last rate of a fall as a share of the start.

    >>> schedule = CosineDecayRestarts(0.1, first_decay_steps=10, m_mul=0.5)
    >>> schedule(0), schedule(5), schedule(10)
    (0.1, 0.05, 0.05)
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0
    name: str = "SGDRDecay"

    def _normalise(self, owner: str) -> None:
        self._set(
            initial_learning_rate=_number(owner, "initial_learning_rate", self.initial_learning_rate),
            first_decay_steps=_steps(owner, "first_decay_steps", self.first_decay_steps, 1),
            t_mul=_number(owner, "t_mul", self.t_mul),
            m_mul=_number(owner, "m_mul", self.m_mul),
            alpha=_number(owner, "alpha", self.alpha),
        )
        if self.t_mul < 1:
            raise InvalidArgumentError(f"{owner}: t_mul must be at least 1, got {self.t_mul}")

    def __call__(self, step: int) -> float:
        # Fall by fall, not by a logarithm: that may round to the wrong side of a restart.
        begun, length, height = 0.0, float(self.first_decay_steps), 1.0
        if self.t_mul == 1:
            falls = step // self.first_decay_steps
            begun, height = float(falls * self.first_decay_steps), self.m_mul**falls
        else:
            while step >= begun + length:
                begun, length, height = begun + length, length * self.t_mul, height * self.m_mul
        cosine = 0.5 * height * (1 + math.cos(math.pi * (step - begun) / length))
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


@dataclass(frozen=True)
class PolynomialDecay(_Described):
    """`(initial_learning_rate - end_learning_rate) × (1 - step / decay_steps) ^ power + end_learning_rate`.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: steps until the rate is `end_learning_rate`, where it stays.
        end_learning_rate: the last rate.
        power: 1 for a straight line.
        cycle: do not stay: beyond `decay_steps` the decay is stretched to the next multiple of it.

    >>> PolynomialDecay(0.5, decay_steps=4, end_learning_rate=0.0)(2)
    0.25
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0
    cycle: bool = False
    name: str = "PolynomialDecay"

    def _normalise(self, owner: str) -> None:
        self._set(
            initial_learning_rate=_number(owner, "initial_learning_rate", self.initial_learning_rate),
            decay_steps=_steps(owner, "decay_steps", self.decay_steps, 1),
            end_learning_rate=_number(owner, "end_learning_rate", self.end_learning_rate),
            power=_number(owner, "power", self.power),
        )

    def __call__(self, step: int) -> float:
        stretched = self.decay_steps * max(1, -(-step // self.decay_steps)) if self.cycle else self.decay_steps
        left = 1 - min(step, stretched) / stretched
        share = float(left**self.power)
        return (self.initial_learning_rate - self.end_learning_rate) * share + self.end_learning_rate


@dataclass(frozen=True)
class InverseTimeDecay(_Described):
    """`initial_learning_rate / (1 + decay_rate × step / decay_steps)`.

    Args:
        initial_learning_rate: at step 0.
        decay_steps: steps that count as one unit of time.
        decay_rate: how fast it falls. With `decay_steps=1` this is the argument `decay` of Keras 1 and 2.
        staircase: round `step / decay_steps` down, so that the rate falls in stairs.

    >>> InverseTimeDecay(0.5, decay_steps=10, decay_rate=1.0)(10)
    0.25
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False
    name: str = "InverseTimeDecay"

    def _normalise(self, owner: str) -> None:
        self._set(
            initial_learning_rate=_number(owner, "initial_learning_rate", self.initial_learning_rate),
            decay_steps=_steps(owner, "decay_steps", self.decay_steps, 1),
            decay_rate=_number(owner, "decay_rate", self.decay_rate),
        )

    def __call__(self, step: int) -> float:
        time = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * time)


CLASSES: dict[str, type[_Described]] = {
    cls.__name__: cls
    for cls in (
        CosineDecay,
        CosineDecayRestarts,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}


def get(identifier: LearningRateSchedule | dict[str, Any]) -> LearningRateSchedule:
    """A schedule from Keras' configuration (`{"class_name": …, "config": {…}}`), or a schedule itself.

    Raises:
        InvalidArgumentError: not one of the schedules here; the message lists them.
    """
    if isinstance(identifier, LearningRateSchedule):
        return identifier
    made = made_from(identifier, CLASSES) if isinstance(identifier, dict) else None
    if made is None:
        raise InvalidArgumentError(
            f"unknown learning-rate schedule {describe_value(identifier)}; allowed are " + ", ".join(sorted(CLASSES))
        )
    return made


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """The schedule as Keras serialises it."""
    schedule = learning_rate_schedule
    return serialized("keras.optimizers.schedules", type(schedule).__name__, schedule.get_config())


def deserialize(config: dict[str, Any]) -> LearningRateSchedule:
    """A schedule from what `serialize` gave, here or in Keras."""
    return get(config)


document(globals(), __all__, SCHEDULES)


def __dir__() -> list[str]:
    return sorted(__all__)

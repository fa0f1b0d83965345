"""Descriptions of Keras' optimizers: how a gradient changes a weight.

A description holds the arguments and never changes; the learning rate of a running training and the optimizer's state
(momentum, velocity) belong to the training loop and to the native step. Names, arguments, defaults and update rules are
those of `keras.optimizers`; options that we lack are refused by name.

One step, for every trainable weight w with gradient g: clip g (by `clipnorm`: each weight's own norm; `global_clipnorm`:
the norm over all weights; `clipvalue`: each number), then w ← w - w × weight_decay × learning_rate, then the rule of the
optimizer.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.optimizers import schedules
from depthwise.optimizers.schedules import LearningRateSchedule

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop", "get"]

_LACKING: dict[str, object] = {
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


@dataclass(frozen=True)
class Optimizer:
    """Base of all optimizer descriptions.

    All take, besides their own arguments:
        learning_rate: a number, or a schedule of `depthwise.optimizers.schedules`.
        weight_decay: decoupled weight decay on every trainable weight, biases too; None for none.
        clipnorm, clipvalue, global_clipnorm: gradient clipping, at most one of them.
        name: accepted for compatibility with Keras.
    """

    default_name: ClassVar[str] = "optimizer"

    def __post_init__(self) -> None:
        values = vars(self)
        for key, default in _LACKING.items():
            if values[key] != default:
                raise UnsupportedError(
                    f"{self._owner}: {key} is not supported, got {describe_value(values[key])}; leave it at {default}"
                )
        rate = values["learning_rate"]
        if isinstance(rate, dict):
            self._set(learning_rate=schedules.get(rate))
        elif not isinstance(rate, LearningRateSchedule):
            if callable(rate):
                raise UnsupportedError(
                    f"{self._owner}: learning_rate cannot be a function; use a schedule (ExponentialDecay, CosineDecay, "
                    "PiecewiseConstantDecay, or a subclass of LearningRateSchedule)"
                )
            self._set(learning_rate=self._number("learning_rate", rate, "a number of at least 0, or a schedule"))
        if values["weight_decay"] is not None:
            self._set(weight_decay=self._number("weight_decay", values["weight_decay"]))
        given = [key for key in ("clipnorm", "clipvalue", "global_clipnorm") if values[key] is not None]
        if len(given) > 1:
            raise InvalidArgumentError(
                f"{self._owner}: give only one of clipnorm, clipvalue and global_clipnorm, got {' and '.join(given)}"
            )
        for key in given:
            self._set(**{key: self._number(key, values[key], "a number above 0, or None", above=True)})
        if values["name"] is None:
            self._set(name=self.default_name)
        self._normalise()

    def _normalise(self) -> None:
        """Checks the optimizer's own arguments."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the state that is kept for each trainable weight, shaped like it, zero at first; Keras' names."""
        return ()

    @property
    def _owner(self) -> str:
        return type(self).__name__

    def _set(self, **values: object) -> None:
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _number(
        self,
        name: str,
        value: object,
        allowed: str = "a number of at least 0",
        above: bool = False,
        most: float = math.inf,
    ) -> float:
        number = float(value) if hasattr(value, "__float__") and not isinstance(value, bool) else math.nan
        if not math.isfinite(number) or number < 0 or number > most or (above and number == 0):
            raise InvalidArgumentError(f"{self._owner}: {name} must be {allowed}, got {describe_value(value)}")
        return number

    def _share(self, name: str) -> None:
        self._set(**{name: self._number(name, getattr(self, name), "a number from 0 to 1", most=1.0)})

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them into a file."""
        config = {item.name: getattr(self, item.name) for item in fields(self)}
        rate = config["learning_rate"]
        if isinstance(rate, LearningRateSchedule):
            config["learning_rate"] = {
                "module": "keras.optimizers.schedules",
                "class_name": type(rate).__name__,
                "config": rate.get_config(),
                "registered_name": None,
            }
        return config


def _flag(optimizer: Optimizer, name: str) -> None:
    value = getattr(optimizer, name)
    if not isinstance(value, bool):
        raise InvalidArgumentError(
            f"{type(optimizer).__name__}: {name} must be True or False, got {describe_value(value)}"
        )


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: w ← w - learning_rate × g; with momentum, v ← momentum × v - learning_rate × g and w ← w + v;
    with `nesterov`, w ← w + momentum × v - learning_rate × g (the new v).

    Args:
        momentum: from 0 to 1.
        nesterov: Nesterov's momentum.
    """

    learning_rate: float | LearningRateSchedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = field(default=False, repr=False)
    ema_momentum: float = field(default=0.99, repr=False)
    ema_overwrite_frequency: int | None = field(default=None, repr=False)
    loss_scale_factor: float | None = field(default=None, repr=False)
    gradient_accumulation_steps: int | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False, compare=False)

    default_name: ClassVar[str] = "sgd"

    def _normalise(self) -> None:
        self._share("momentum")
        _flag(self, "nesterov")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """v ← rho × v + (1 - rho) × g², then w ← w - learning_rate × g / √(v + epsilon) (Hinton 2012). `centered` subtracts
    the square of a running mean of g from v; with momentum, m ← momentum × m + the step, and w ← w - m.

    Args:
        rho: how slowly the average of g² forgets.
        momentum: 0 for none.
        epsilon: keeps the division from blowing up; inside the root.
        centered: divide by the variance instead of the mean square.
    """

    learning_rate: float | LearningRateSchedule = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = field(default=False, repr=False)
    ema_momentum: float = field(default=0.99, repr=False)
    ema_overwrite_frequency: int | None = field(default=None, repr=False)
    loss_scale_factor: float | None = field(default=None, repr=False)
    gradient_accumulation_steps: int | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False, compare=False)

    default_name: ClassVar[str] = "rmsprop"

    def _normalise(self) -> None:
        self._share("rho")
        self._share("momentum")
        self._set(epsilon=self._number("epsilon", self.epsilon))
        _flag(self, "centered")

    @property
    def slots(self) -> tuple[str, ...]:
        return (
            "velocity",
            *(("momentum",) if self.momentum else ()),
            *(("average_gradient",) if self.centered else ()),
        )


@dataclass(frozen=True)
class Adam(Optimizer):
    """m ← m + (g - m)(1 - beta_1), v ← v + (g² - v)(1 - beta_2), then w ← w - a × m / (√v + epsilon) with
    a = learning_rate × √(1 - beta_2^t) / (1 - beta_1^t), t the steps counted from 1 (Kingma and Ba 2014,
    arXiv:1412.6980). `amsgrad` divides by the largest v so far (Reddi et al. 2018).

    Args:
        beta_1: how slowly the mean of g forgets.
        beta_2: how slowly the mean of g² forgets.
        epsilon: keeps the division from blowing up; outside the root ("epsilon hat" of the paper).
        amsgrad: keep the largest v.
    """

    learning_rate: float | LearningRateSchedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    weight_decay: float | None = None
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = field(default=False, repr=False)
    ema_momentum: float = field(default=0.99, repr=False)
    ema_overwrite_frequency: int | None = field(default=None, repr=False)
    loss_scale_factor: float | None = field(default=None, repr=False)
    gradient_accumulation_steps: int | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False, compare=False)

    default_name: ClassVar[str] = "adam"

    def _normalise(self) -> None:
        _check_adam(self)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")


@dataclass(frozen=True)
class AdamW(Optimizer):
    """`Adam` with decoupled weight decay, on by default (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Args:
        weight_decay: a number; see `Optimizer`.
        beta_1, beta_2, epsilon, amsgrad: see `Adam`.
    """

    learning_rate: float | LearningRateSchedule = 0.001
    weight_decay: float = 0.004
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = field(default=False, repr=False)
    ema_momentum: float = field(default=0.99, repr=False)
    ema_overwrite_frequency: int | None = field(default=None, repr=False)
    loss_scale_factor: float | None = field(default=None, repr=False)
    gradient_accumulation_steps: int | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False, compare=False)

    default_name: ClassVar[str] = "adamw"

    def _normalise(self) -> None:
        if self.weight_decay is None:
            raise InvalidArgumentError("AdamW: weight_decay must be a number, got None; use Adam for no weight decay")
        _check_adam(self)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")


def _check_adam(optimizer: Adam | AdamW) -> None:
    for key in ("beta_1", "beta_2"):
        optimizer._share(key)
        if getattr(optimizer, key) == 1:
            raise InvalidArgumentError(f"{type(optimizer).__name__}: {key} must be below 1, got 1")
    optimizer._set(epsilon=optimizer._number("epsilon", optimizer.epsilon))
    _flag(optimizer, "amsgrad")


CLASSES: dict[str, type[Optimizer]] = {cls.__name__: cls for cls in (SGD, RMSprop, Adam, AdamW)}

_BY_NAME = {name.lower(): cls for name, cls in CLASSES.items()}


def get(identifier: str | Optimizer | type[Optimizer] | dict[str, Any]) -> Optimizer:
    """The description that `identifier` names: a name in any case, a class, Keras' configuration, or a description.

    >>> get("adam").learning_rate
    0.001

    Raises:
        InvalidArgumentError: not one of the optimizers here; the message lists them.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and identifier in CLASSES.values():
        return identifier()
    if isinstance(identifier, dict):
        cls = _BY_NAME.get(str(identifier.get("class_name")).lower())
        config = identifier.get("config", {})
        if cls is not None and isinstance(config, dict) and set(config) <= {item.name for item in fields(cls)}:
            return cls(**config)
    elif isinstance(identifier, str) and identifier.lower() in _BY_NAME:
        return _BY_NAME[identifier.lower()]()
    raise InvalidArgumentError(
        f"unknown optimizer {describe_value(identifier)}; allowed are " + ", ".join(sorted(_BY_NAME))
    )

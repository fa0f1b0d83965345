"""What an optimizer is, as a frozen value: its arguments, and its rule as expressions of a weight and its gradient.

The native step, the saved state and the configuration follow from a description; `depthwise.optimizers.optimizer` holds what
changes while training goes on.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import field, fields, replace
from functools import cached_property
from typing import Any, ClassVar

from depthwise.arguments import LARGEST_FLOAT32
from depthwise.compiler.ir.expression import Expression, apply
from depthwise.compiler.ir.types import Value
from depthwise.compiler.ir.update import (
    CLIP_FACTOR,
    GRADIENT,
    WEIGHT,
    Array,
    Phase,
    Scalar,
    SpecialPhase,
    Update,
    where,
)
from depthwise.constraints import NonNeg, NormConstraint
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.optimizers import schedules
from depthwise.optimizers.schedules import LearningRateSchedule
from depthwise.optimizers.terms import sign

__all__ = ["ACCUMULATOR", "AVERAGE", "CLIPS", "LEARNING_RATE", "PENALTY", "OptimizerDescription", "Results", "Weights"]

Results = dict[str, Expression]
"""What one phase computes: array → expression."""

Weights = Iterator[tuple[str, tuple[int, ...]]]

LEARNING_RATE = Scalar("learning_rate")
CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
AVERAGE, ACCUMULATOR = "average", "gradient_accumulator"


PENALTY = "penalty"
"""A slot for the gradient of a penalty that is not a sum over the weight's numbers: the caller puts it in before every step."""


def _needs_penalty_array(value: Value) -> bool:
    return (
        value.regularizer is not None and not any(value.regularizer.factors) and hasattr(value.regularizer, "gradient")
    )


def _penalised(value: Value) -> Expression:
    """The gradient with that of the weight's penalty."""
    gradient: Expression = GRADIENT
    if value.regularizer is not None:
        l1, l2 = value.regularizer.factors
        if l1:
            gradient = gradient + l1 * sign(WEIGHT)
        if l2:
            gradient = gradient + (2.0 * l2) * WEIGHT
        if _needs_penalty_array(value):
            gradient = gradient + Array(PENALTY)
    return gradient


def _where_applied(phase: Results) -> Results:
    """A phase that changes nothing in the steps that only accumulate gradients."""
    return {
        key: item if key == "gradient" else where(Scalar("applies"), item, Array(key)) for key, item in phase.items()
    }


def _common(default: Any = None) -> Any:
    return field(default=default, kw_only=True)


def _quiet(default: Any = None, compare: bool = True) -> Any:
    return field(default=default, kw_only=True, repr=False, compare=compare)


@dataclass(frozen=True)
class OptimizerDescription:
    """Base of all optimizer descriptions.

    All take these arguments, and their own.

    Args:
        learning_rate: a number, or a schedule of `depthwise.optimizers.schedules`.
        weight_decay: decoupled weight decay on every trainable weight, biases too (see `exclude_from_weight_decay`); None
            for none.
        clipnorm, clipvalue, global_clipnorm: gradient clipping, at most one of them.
        use_ema: keep a moving average of each weight; after `fit` the weights are these averages.
        ema_momentum: how slowly the average forgets.
        ema_overwrite_frequency: replace the weights by their averages after every so many steps, too.
        gradient_accumulation_steps: move the weights after every so many steps only, by the mean of their gradients; None
            for every step.
        loss_scale_factor: accepted for compatibility with Keras. It only keeps float16 gradients from vanishing; ours are
            float32, where a factor and its inverse change nothing.
        name: accepted for compatibility with Keras.
    """

    learning_rate: Any = 0.001
    weight_decay: float | None = _common()
    clipnorm: float | None = _common()
    clipvalue: float | None = _common()
    global_clipnorm: float | None = _common()
    use_ema: bool = _quiet(False)
    ema_momentum: float = _quiet(0.99)
    ema_overwrite_frequency: int | None = _quiet()
    loss_scale_factor: float | None = _quiet()
    gradient_accumulation_steps: int | None = _quiet()
    name: str | None = _quiet(compare=False)

    default_name: ClassVar[str] = "optimizer"
    arguments_at_end: ClassVar[tuple[str, ...]] = ()
    """Arguments of the optimizer that Keras has after the common ones."""
    numbers: ClassVar[Mapping[str, float]] = {}
    """Single numbers that are kept from step to step, with their first values."""

    def __post_init__(self) -> None:
        rate = self.learning_rate
        if isinstance(rate, dict):
            self._set(learning_rate=schedules.get(rate))
        elif not isinstance(rate, LearningRateSchedule):
            if callable(rate):
                raise UnsupportedError(
                    f"{self._owner}: learning_rate cannot be a function; use a schedule (ExponentialDecay, CosineDecay, "
                    "PiecewiseConstantDecay, or a subclass of LearningRateSchedule)"
                )
            self._set(learning_rate=self._number("learning_rate", rate, "a number of at least 0, or a schedule"))
        if self.weight_decay is not None:
            self._set(weight_decay=self._number("weight_decay", self.weight_decay))
        given = [key for key in CLIPS if getattr(self, key) is not None]
        if len(given) > 1:
            raise InvalidArgumentError(
                f"{self._owner}: give only one of clipnorm, clipvalue and global_clipnorm, got {' and '.join(given)}"
            )
        for key in given:
            self._set(**{key: self._number(key, getattr(self, key), "a number above 0, or None", above=True)})
        self._flag("use_ema")
        self._share("ema_momentum")
        self._count("ema_overwrite_frequency", 1)
        self._count("gradient_accumulation_steps", 2)
        if self.loss_scale_factor is not None:
            allowed = "a number above 0, or None"
            self._set(loss_scale_factor=self._number("loss_scale_factor", self.loss_scale_factor, allowed, above=True))
        if self.name is None:
            self._set(name=self.default_name)
        self._normalise()

    # What each optimizer says of itself.

    def _normalise(self) -> None:
        """Checks the optimizer's own arguments."""

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Names of the arrays that are kept for each trainable weight, shaped like it, by Keras' names.

        Keras makes the arrays of a group weight by weight, and one group after the other; files hold them in that order.
        """
        return ()

    @property
    def initial(self) -> Mapping[str, float]:
        """First values of slots that do not start as zeros."""
        return {}

    def hyperparameters(self, rate: float, step: int, numbers: dict[str, float]) -> dict[str, float]:
        """The scalars of the rule for one step.

        Args:
            rate: the learning rate. step: the number of the step, from 1.
            numbers: see `numbers`; what changes is put back in.
        """
        return {}

    def rule(self, weight: Expression, gradient: Expression) -> tuple[Results, ...]:
        """What becomes of the weight and the slots, in one or several phases; "weight" is in the last one.

        The first phase gets the weight decayed and the gradient clipped; a later one reads `WEIGHT`, what an earlier one has
        written into the weight or the gradient included.
        """
        raise NotImplementedError

    # What follows.

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of all the arrays that are kept for each trainable weight."""
        return tuple(slot for group in self._all_groups() for slot in group)

    def slot_shape(self, slot: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what is kept under a slot's name for a weight; never more numbers than the weight has."""
        return shape

    def keeps(self, slot: str, name: str, shape: tuple[int, ...]) -> bool:
        """Whether the slot is kept for the weight `layer/weight`."""
        return True

    def _all_groups(self) -> tuple[tuple[str, ...], ...]:
        average = ((AVERAGE,),) if self.use_ema else ()
        accumulator = ((ACCUMULATOR,),) if self.gradient_accumulation_steps else ()
        return (*average, *accumulator, *self.groups)

    def slots_in_order(self, weights: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """(`weight/slot`, shape) of all that is kept for weights, in the order of Keras' files; single numbers come last."""
        for group in self._all_groups():
            for name, shape in weights.items():
                for slot in group:
                    if self.keeps(slot, name, shape):
                        yield f"{name}/{slot}", self.slot_shape(slot, shape)
        for name in self.numbers:
            yield name, ()

    @property
    def structure(self) -> tuple[object, ...]:
        """What decides the native code of a step; any other argument is a number that every step is given."""
        values: list[object] = []
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in ("learning_rate", "name"):
                values.append(value if isinstance(value, bool) or item.name in self._structural else value is None)
        return (type(self), self.slots, *values)

    _structural: ClassVar[tuple[str, ...]] = ()
    """Arguments that are numbers or lists, and decide the code all the same."""

    @cached_property
    def _limits(self) -> dict[str, float]:
        return {key: getattr(self, key) for key in CLIPS if getattr(self, key) is not None}

    def step_scalars(self, rate: float, steps: int, numbers: dict[str, float]) -> dict[str, float]:
        """All that a step is given, by name: the first is the learning rate.

        Args:
            rate: the learning rate of this step. steps: steps done before. numbers: see `numbers`; brought up to date.
        """
        every = self.gradient_accumulation_steps or 1
        applies = (steps + 1) % every == 0
        updates = steps // every
        kept = numbers if applies else dict(numbers)
        values = {"learning_rate": rate, **self.hyperparameters(rate, updates + 1, kept)}
        if self.weight_decay is not None:
            values["decay"] = rate * self.weight_decay
        values.update(self._limits)
        if every > 1:
            values["accumulated"], values["applies"] = every, float(applies)
        if self.use_ema:
            values["ema_momentum"] = self.ema_momentum if updates else 0.0
            frequency = self.ema_overwrite_frequency
            values["ema_overwrites"] = float(frequency is not None and (updates + 1) % frequency == 0)
        return values

    def update(self, weights: Mapping[str, Value], undecayed: tuple[str, ...] = ()) -> Update:
        """What the native step does to trainable weights.

        Args:
            weights: the weights by name. undecayed: patterns of names of weights that do not decay.
        """
        phases, preparation = {}, {}
        for name, value in weights.items():
            own_name = name.rpartition("/")[2]
            decays = not any(re.search(pattern, own_name) for pattern in undecayed)
            phases[name] = self._phases(value, decays)
            before = self._preparation(value)
            if before is not None:
                preparation[name] = before
        scalars = tuple(self.step_scalars(0.0, 0, dict(self.numbers)))
        clip = next((key for key in ("clipnorm", "global_clipnorm") if getattr(self, key) is not None), None)
        slots = (*self.slots, *((PENALTY,) if any(_needs_penalty_array(value) for value in weights.values()) else ()))
        limits = {
            name: value.constraint for name, value in weights.items() if isinstance(value.constraint, NormConstraint)
        }
        return Update(phases, preparation, slots, ("seed", *scalars), limits, clip)

    def rule_for(self, weight: Expression, gradient: Expression, value: Value) -> tuple[Results | SpecialPhase, ...]:
        """`rule` for the weight `value`, where its shape matters."""
        return self.rule(weight, gradient)

    def decay_of(self, value: Value) -> Expression | None:
        """The share of the weight `value` that decays in a step; None for no decay."""
        return None if self.weight_decay is None else Scalar("decay")

    def _preparation(self, value: Value) -> Phase | None:
        """The gradient that the optimizer sees, where it is not just that of the batch."""
        gradient = _penalised(value)
        if self.gradient_accumulation_steps:
            total = gradient + Array(ACCUMULATOR)
            kept = where(Scalar("applies"), 0.0, total)
            return Phase((("gradient", total / Scalar("accumulated")), (ACCUMULATOR, kept)))
        return None if gradient is GRADIENT else Phase((("gradient", gradient),))

    def _phases(self, value: Value, decays: bool) -> tuple[Phase | SpecialPhase, ...]:
        gradient: Expression = GRADIENT
        if self.clipnorm is not None or self.global_clipnorm is not None:
            gradient = gradient * CLIP_FACTOR
        if self.clipvalue is not None:  # the limits come first, so that NaN stays NaN
            limit = Scalar("clipvalue")
            gradient = apply("max", -limit, apply("min", limit, gradient))
        decay = self.decay_of(value) if decays else None
        weight = WEIGHT if decay is None else WEIGHT - WEIGHT * decay
        *earlier, last = self.rule_for(weight, gradient, value)
        assert isinstance(last, dict)
        if self.gradient_accumulation_steps:
            earlier = [_where_applied(phase) if isinstance(phase, dict) else phase for phase in earlier]
            last = _where_applied(last)
        if self.use_ema:
            last = last | self._averaged(last["weight"])
        if isinstance(value.constraint, NonNeg):
            last = last | {"weight": apply("max", 0.0, last["weight"])}
        return tuple(Phase(tuple(phase.items())) if isinstance(phase, dict) else phase for phase in (*earlier, last))

    def _averaged(self, weight: Expression) -> Results:
        momentum = Scalar("ema_momentum")
        average = momentum * Array(AVERAGE) + (1.0 - momentum) * weight
        return {AVERAGE: average, "weight": where(Scalar("ema_overwrites"), average, weight)}

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that are numbers, flags or None, but for the learning rate."""
        items = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "learning_rate"}
        return {name: value for name, value in items.items() if value is None or isinstance(value, (bool, int, float))}

    def with_settings(self, values: Mapping[str, Any]) -> "OptimizerDescription":
        """The same with other settings; what is none of them is left out."""
        return replace(self, **{name: value for name, value in values.items() if name in self.settings})

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras writes them into a file."""
        config = {item.name: getattr(self, item.name) for item in fields(self)}
        rate = config["learning_rate"]
        if isinstance(rate, LearningRateSchedule):
            config["learning_rate"] = schedules.serialize(rate)
        return config

    # Checks.

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
        least: float = 0.0,
        most: float = math.inf,
    ) -> float:
        try:
            number = float(value) if hasattr(value, "__float__") and not isinstance(value, bool) else math.nan
        except OverflowError:  # an integer beyond every float
            number = math.inf
        if not abs(number) <= LARGEST_FLOAT32 or not least <= number <= most or (above and number == 0):
            raise InvalidArgumentError(f"{self._owner}: {name} must be {allowed}, got {describe_value(value)}")
        return number

    def _numbers(self, *names: str) -> None:
        for name in names:
            self._set(**{name: self._number(name, getattr(self, name))})

    def _share(self, name: str) -> None:
        self._set(**{name: self._number(name, getattr(self, name), "a number from 0 to 1", most=1.0)})

    def _decaying(self, *names: str) -> None:
        """Shares that a bias correction divides by: below 1."""
        for name in names:
            self._share(name)
            if getattr(self, name) == 1:
                raise InvalidArgumentError(f"{self._owner}: {name} must be below 1, got 1")

    def _flag(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, bool):
            raise InvalidArgumentError(f"{self._owner}: {name} must be True or False, got {describe_value(value)}")

    def _count(self, name: str, least: int) -> None:
        value = getattr(self, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InvalidArgumentError(
                f"{self._owner}: {name} must be a whole number of at least {least}, or None, got {describe_value(value)}"
            )

"""Optimizers as users make them: objects whose hyperparameters can be changed while they work, as in Keras.

>>> from depthwise import optimizers
>>> optimizer = optimizers.SGD(0.1, momentum=0.5)
>>> optimizer.momentum = 0.9
>>> optimizer.momentum, optimizer.iterations
(0.9, 0)
"""

import dataclasses
import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.optimizers.description import OptimizerDescription
from depthwise.optimizers.schedules import LearningRateSchedule

__all__ = ["Iterations", "LearningRate", "Optimizer", "description_of", "public"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


class LearningRate(float):
    """The learning rate of an optimizer: a number that scripts may treat as Keras' variable."""

    _optimizer: "Optimizer"

    def numpy(self) -> np.float32:
        """The number as Keras' variables give it."""
        return np.float32(self)

    def assign(self, value: Any) -> None:
        """Sets the optimizer's learning rate."""
        self._optimizer.learning_rate = value

    def __reduce__(self) -> Any:
        return float, (float(self),)


class Iterations(int):
    """The number of times that an optimizer has moved the weights."""

    def numpy(self) -> np.int64:
        """The number as Keras' variables give it."""
        return np.int64(self)

    def __reduce__(self) -> Any:
        return int, (int(self),)


class Optimizer:
    """Base of all optimizers.

    Every argument can be read and set. What is set takes effect with the next step; nothing is compiled again, unless another
    kind of step is needed (`nesterov`, `amsgrad`, a clipping or a momentum where there was none).

    Attributes:
        steps: training steps done.
        iterations: times that the weights were moved: `steps`, or fewer with `gradient_accumulation_steps`.
        description: the current arguments, frozen.
        catch_up: brings `state` up to date where a training step still holds a newer one.
    """

    description_class: ClassVar[type[OptimizerDescription]] = OptimizerDescription

    description: OptimizerDescription
    steps: int
    catch_up: Callable[[], None] | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if type(self).description_class is OptimizerDescription:
            raise UnsupportedError(
                f"{type(self).__name__}: optimizers written as a class of your own are not supported; use one of "
                "depthwise.optimizers"
            )
        _check_old_names(type(self).__name__, kwargs)
        signature: inspect.Signature = type(self).__signature__  # type: ignore[attr-defined]
        unknown = [name for name in kwargs if name not in signature.parameters]
        if unknown:
            raise InvalidArgumentError(
                f"{type(self).__name__}: unexpected argument {describe_value(unknown[0])}; allowed are "
                + ", ".join(signature.parameters)
            )
        self._start(self.description_class(**signature.bind(*args, **kwargs).arguments))

    def _start(self, description: OptimizerDescription) -> None:
        self.steps = 0
        self.catch_up = None
        self._state: dict[str, Array] = {}
        self._undecayed: tuple[str, ...] = ()
        self._owner: weakref.ref[object] | None = None
        self._rate: Any = description.learning_rate
        self.description = description

    @classmethod
    def of(cls, description: OptimizerDescription) -> "Optimizer":
        """A new optimizer that is described so."""
        optimizer: Optimizer = object.__new__(_BY_DESCRIPTION[type(description)])
        optimizer._start(description)
        return optimizer

    # Hyperparameters.

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "description":
            raise AttributeError(name)
        return getattr(self.description, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name in _OWN:
            object.__setattr__(self, name, value)
        elif name in _OLD_NAMES:
            raise InvalidArgumentError(f"{type(self).__name__}.{name} cannot be assigned: {_OLD_NAMES[name]}")
        elif name == "name" or name not in {item.name for item in dataclasses.fields(self.description)}:
            raise InvalidArgumentError(
                f"{type(self).__name__}.{name} cannot be assigned: training would not see it; what can be set is "
                + ", ".join(item.name for item in dataclasses.fields(self.description) if item.name != "name")
            )
        else:
            self.description = dataclasses.replace(self.description, **{name: value})

    @property
    def next_rate(self) -> float:
        """The learning rate of the next step, as a plain number."""
        rate = self._rate
        return float(rate(self.steps)) if isinstance(rate, LearningRateSchedule) else rate

    @property
    def learning_rate(self) -> LearningRate:
        """The learning rate of the next step.

        A number or a schedule can be set. A number cannot replace a schedule: that decides by itself.
        """
        number = LearningRate(self.next_rate)
        number._optimizer = self
        return number

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule):
            self._rate = value
            return
        if isinstance(self._rate, LearningRateSchedule):
            raise InvalidArgumentError(
                f"the learning rate follows {type(self._rate).__name__}, so it cannot be set; compile with a number to set "
                "it, or to use callbacks that do"
            )
        if not hasattr(value, "__float__") or not 0 <= float(value) < float("inf"):
            raise InvalidArgumentError(f"learning_rate must be a number of at least 0, got {describe_value(value)}")
        self._rate = float(value)

    @property
    def has_schedule(self) -> bool:
        """Whether the learning rate follows a schedule."""
        return isinstance(self._rate, LearningRateSchedule)

    def take_settings(self, values: Mapping[str, Any]) -> None:
        """Sets several arguments at once; see `OptimizerDescription.settings`."""
        if any(self.description.settings.get(name, self) != value for name, value in values.items()):
            self.description = self.description.with_settings(values)

    def exclude_from_weight_decay(
        self, var_list: Sequence[Any] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Spares weights from weight decay; to be called before training begins.

        Args:
            var_names: patterns (regular expressions) of weights' names, such as "bias" or "gamma|beta".
            var_list: not supported: give names.

        Raises:
            InvalidArgumentError: training has begun.
        """
        if var_list:
            raise UnsupportedError(
                "exclude_from_weight_decay: var_list is not supported; give var_names, for example ['bias', 'gamma', 'beta']"
            )
        if self.steps:
            raise InvalidArgumentError(
                "exclude_from_weight_decay has to be called before training begins; make a new optimizer and compile with it"
            )
        if isinstance(var_names, str) or not all(isinstance(item, str) for item in var_names or ()):
            raise InvalidArgumentError(
                f"exclude_from_weight_decay: var_names must be a list of names, got {describe_value(var_names)}"
            )
        self._undecayed = tuple(var_names or ())

    @property
    def undecayed(self) -> tuple[str, ...]:
        """Patterns of the names of weights that do not decay."""
        return self._undecayed

    @property
    def structure(self) -> tuple[object, ...]:
        """What decides the native code of a step."""
        return (*self.description.structure, self._undecayed)

    # What changes while it works.

    @property
    def iterations(self) -> Iterations:
        """How often the weights were moved; it can be set."""
        return Iterations(self.steps // (self.description.gradient_accumulation_steps or 1))

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.steps = int(value) * (self.description.gradient_accumulation_steps or 1)

    @property
    def state(self) -> dict[str, Array]:
        """What is kept for each weight, by name; empty before the first step."""
        if self.catch_up is not None:
            self.catch_up()
        return self._state

    @property
    def variables(self) -> list[Array]:
        """Copies of what Keras calls the optimizer's variables: the steps done, the learning rate where it is a number, and
        after the first step what is kept for the weights."""
        first = [np.array(self.steps, np.int32)]
        if not self.has_schedule:
            first.append(np.array(self.learning_rate, np.float32))
        return first + [value.copy() for name, value in self.state.items() if name != "iteration"]

    def reset(self) -> None:
        """Clears what is kept for each weight; the hyperparameters stay."""
        self.steps, self._state = 0, {}

    def bind(self, model: object) -> None:
        """Notes whose weights the optimizer moves.

        Raises:
            InvalidArgumentError: it has moved those of another model, and what it keeps is of no use here.
        """
        if self._owner is None or not self.steps:
            self._owner = weakref.ref(model)
        elif self._owner() is not model:
            raise InvalidArgumentError(
                f"this {type(self).__name__} has trained another model; make a new one for each model: "
                f"optimizers.{type(self).__name__}.from_config(optimizer.get_config())"
            )

    def keep(self, state: Mapping[str, Array]) -> None:
        """Takes the state of the native step."""
        self._state = dict(state)
        if "iteration" in state:
            self.steps = int(state["iteration"])

    # As a value.

    def get_config(self) -> dict[str, Any]:
        """The current arguments, as Keras writes them."""
        return dataclasses.replace(self.description, learning_rate=self._rate).get_config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Optimizer":
        """A new optimizer from `config`, what `get_config` gave, here or in Keras."""
        return cls(**config)

    def __getstate__(self) -> dict[str, Any]:
        self.state  # noqa: B018 - what a training still holds
        return self.__dict__ | {"catch_up": None, "_owner": None}

    def __repr__(self) -> str:
        return f"<{self.description!r} after {self.steps} steps, learning rate {self.learning_rate:g}>"


_OWN = {"description", "steps", "iterations", "catch_up", "learning_rate"}
_OLD_NAMES = {
    "lr": "the name is learning_rate",
    "decay": "give learning_rate=optimizers.schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=decay) instead, or "
    "weight_decay where that is meant",
}
_BY_DESCRIPTION: dict[type[OptimizerDescription], type[Optimizer]] = {}


def _check_old_names(owner: str, arguments: Mapping[str, Any]) -> None:
    for name, instead in _OLD_NAMES.items():
        if arguments.get(name) is not None:
            raise InvalidArgumentError(f"{owner}: {name} is an argument of Keras 1 and 2; {instead}")


def _signature(description: type[OptimizerDescription]) -> inspect.Signature:
    """The arguments in Keras' order: those of the optimizer follow the learning rate, but AdamW's weight decay does too."""
    given = inspect.signature(description).parameters.values()
    positional = [item for item in given if item.kind is not item.KEYWORD_ONLY]
    common = [item for item in given if item.kind is item.KEYWORD_ONLY]
    tail = [item for item in positional if item.name in description.arguments_at_end]
    order = [item for item in positional if item not in tail] + common + tail
    return inspect.Signature([item.replace(kind=item.POSITIONAL_OR_KEYWORD) for item in order])


def public(description: type[OptimizerDescription]) -> type[Optimizer]:
    """The class of optimizers that are described by `description`."""
    made = type(
        description.__name__,
        (Optimizer,),
        {
            "__module__": "depthwise.optimizers",
            "__doc__": description.__doc__,
            "__signature__": _signature(description),
            "description_class": description,
        },
    )
    _BY_DESCRIPTION[description] = made
    return made


def description_of(optimizer: Optimizer | OptimizerDescription) -> OptimizerDescription:
    """The current arguments of an optimizer."""
    return optimizer.description if isinstance(optimizer, Optimizer) else optimizer

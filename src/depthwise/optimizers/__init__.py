"""Keras' optimizers: how a gradient changes a weight.

Names, arguments, defaults and update rules are those of `keras.optimizers`; options that we lack are refused by name.

One step, for every trainable weight w with gradient g: clip g (by `clipnorm`: each weight's own norm; `global_clipnorm`:
the norm over all weights; `clipvalue`: each number), then w ← w - w × weight_decay × learning_rate, then the rule of the
optimizer.
"""

import dataclasses
from typing import Any

from depthwise.absent import ABSENT, absent
from depthwise.configuration import serialized
from depthwise.documentation import document
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.meanings import OPTIMIZERS
from depthwise.optimizers import rules, schedules
from depthwise.optimizers.description import OptimizerDescription
from depthwise.optimizers.optimizer import Optimizer, description_of, public

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "LossScaleOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerDescription",
    "RMSprop",
    "description_of",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

CLASSES: dict[str, type[Optimizer]] = {rule.__name__: public(rule) for rule in rules.RULES}

SGD, RMSprop, Adam, AdamW = (CLASSES[name] for name in ("SGD", "RMSprop", "Adam", "AdamW"))
Nadam, Adamax, Adagrad, Adadelta = (CLASSES[name] for name in ("Nadam", "Adamax", "Adagrad", "Adadelta"))
Ftrl, Lion, Lamb, Adafactor, Muon = (CLASSES[name] for name in ("Ftrl", "Lion", "Lamb", "Adafactor", "Muon"))

_BY_NAME = {name.lower(): cls for name, cls in CLASSES.items()}


_LACKING = {name.lower(): name for name in ABSENT["optimizers"]}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    raise absent("optimizers", name, sorted(CLASSES))


def get(identifier: Any) -> Optimizer:
    """The optimizer that `identifier` names: a name in any case, a class, Keras' configuration, or an optimizer itself.

    >>> get("adam").learning_rate
    0.001

    Raises:
        InvalidArgumentError: not one of the optimizers here; the message lists them.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, OptimizerDescription):
        return Optimizer.of(identifier)
    if isinstance(identifier, type) and identifier in CLASSES.values():
        made: Optimizer = identifier()
        return made
    if isinstance(identifier, dict):
        cls = _BY_NAME.get(str(identifier.get("class_name")).lower())
        config = identifier.get("config", {})
        if identifier.get("class_name") == LossScaleOptimizer.__name__ and isinstance(config, dict):
            return get(config.get("inner_optimizer"))
        if cls is not None and isinstance(config, dict):
            known = {item.name for item in dataclasses.fields(cls.description_class)}
            if set(config) <= known:
                return cls(**config)
    elif isinstance(identifier, str) and identifier.lower() in _BY_NAME:
        return _BY_NAME[identifier.lower()]()
    name = identifier.get("class_name") if isinstance(identifier, dict) else identifier
    if str(name).lower() in _LACKING:
        raise UnsupportedError(str(absent("optimizers", _LACKING[str(name).lower()])))
    raise InvalidArgumentError(
        f"unknown optimizer {describe_value(identifier)}; allowed are " + ", ".join(sorted(_BY_NAME))
    )


def LossScaleOptimizer(  # noqa: N802 - Keras' name of a class
    inner_optimizer: Any,
    initial_scale: float = 2.0**15,
    dynamic_growth_steps: int = 2000,
    name: str | None = None,
) -> Optimizer:
    """The inner optimizer itself: the scale of the loss keeps float16 gradients from vanishing, and ours are float32.

    Args:
        inner_optimizer: an optimizer, or what `get` takes.
        initial_scale, dynamic_growth_steps, name: accepted for compatibility with Keras.
    """
    if not isinstance(initial_scale, (int, float)) or not 0 < initial_scale < float("inf"):
        raise InvalidArgumentError(
            f"LossScaleOptimizer: initial_scale must be a number above 0, got {describe_value(initial_scale)}"
        )
    if isinstance(dynamic_growth_steps, bool) or not isinstance(dynamic_growth_steps, int) or dynamic_growth_steps < 1:
        raise InvalidArgumentError(
            "LossScaleOptimizer: dynamic_growth_steps must be a whole number of at least 1, got "
            f"{describe_value(dynamic_growth_steps)}"
        )
    if name is not None and not isinstance(name, str):
        raise InvalidArgumentError(f"LossScaleOptimizer: name must be a text, got {describe_value(name)}")
    return get(inner_optimizer)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer as Keras serialises it."""
    return serialized("keras.optimizers", type(optimizer).__name__, optimizer.get_config())


def deserialize(config: dict[str, Any]) -> Optimizer:
    """A new optimizer from what `serialize` gave, here or in Keras."""
    return get(dict(config))


document(globals(), __all__, OPTIMIZERS)

"""Every accepted argument of losses and schedules counts: another value changes the outcome as in Keras, or is refused."""

import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import losses
from depthwise.errors import DepthwiseError, ShapeError
from depthwise.optimizers import schedules
from depthwise.reference.bounds import UNIT_ROUNDOFF as U

GENERATOR = np.random.default_rng(11)
SHARES = GENERATOR.dirichlet(np.ones(6), 12).astype(np.float32)
BITS = GENERATOR.integers(0, 2, (12, 6)).astype(np.float32)
ONE_HOT = np.eye(6, dtype=np.float32)[GENERATOR.integers(0, 6, 12)]
CLASSES = ONE_HOT.argmax(axis=1).astype(np.int32)
VALUES = GENERATOR.normal(size=(12, 6)).astype(np.float32)
SIGNS = np.where(BITS > 0, 1.0, -1.0).astype(np.float32)

SAME = {"name", "dtype"}
"""Arguments that are about the object, not about what it computes; each has its own test."""

ANOTHER: dict[str, Any] = {
    "alpha": 0.75, "apply_class_balancing": True, "axis": 0, "beta": 2.0, "delta": 0.25, "from_logits": True, "gamma": 1.0,
    "ignore_class": 2, "label_smoothing": 0.25, "q": 0.25, "reduction": "sum",
}  # fmt: skip
"""A value of each argument that is not its default."""


def parameters(cls: Any) -> Iterator[inspect.Parameter]:
    yield from (item for item in inspect.signature(cls).parameters.values() if item.name not in SAME)


def data_for(name: str) -> tuple[Any, Any]:
    """Labels and predictions that the loss or metric of that name takes."""
    if name.startswith(("Sparse", "CategoricalGeneralized")):
        return CLASSES, SHARES
    if "Categorical" in name or "OneHot" in name or name in ("F1Score", "FBetaScore"):
        return ONE_HOT, SHARES
    if name in (
        "Hinge",
        "SquaredHinge",
        "CategoricalHinge",
        "LogCosh",
        "LogCoshError",
        "Huber",
        "R2Score",
        "CosineSimilarity",
    ):
        return SIGNS, VALUES
    if name.endswith("Correlation"):
        return SIGNS, VALUES
    return BITS, SHARES


def near(ours: Any, theirs: Any, name: str) -> None:
    """Sums of 72 terms at most, each of about a dozen roundings."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, name
    assert np.abs(ours - theirs).max() <= 84 * U * max(1.0, float(np.abs(theirs).max())), (name, ours, theirs)


LOSSES = [(cls, item.name) for cls in losses.CLASSES.values() for item in parameters(cls)]


@pytest.mark.parametrize(("cls", "argument"), LOSSES, ids=lambda item: getattr(item, "__name__", item))
def test_of_losses(cls: Any, argument: str) -> None:
    labels, predictions = data_for(cls.__name__)
    values = {argument: ANOTHER[argument]}
    if argument == "alpha" and cls.__name__ == "BinaryFocalCrossentropy":
        values["apply_class_balancing"] = True  # without it alpha is of no use, in Keras too
    if argument == "axis":  # the mean of all is the same whatever came first
        values["reduction"] = None
    if argument == "axis" and cls.__name__.startswith("Categorical"):
        labels, predictions = labels.T, predictions.T / predictions.T.sum(axis=0)
    if argument == "axis" and cls.__name__.startswith("Sparse"):
        turned = predictions.T
        straight = cls(reduction=None)(labels, predictions)  # Keras refuses class numbers with another axis
        near(cls(**values)(labels, turned), straight, "axis")
        with pytest.raises(ShapeError, match="do not fit predictions of shape"):
            cls()(labels, turned)
        return
    if argument == "reduction" and cls.__name__ in ("Dice", "Tversky"):
        values["axis"] = -1  # by default the whole batch has one loss
    plain = cls(**{key: value for key, value in values.items() if key != argument})
    other = cls(**values)
    theirs = getattr(keras.losses, cls.__name__)(**values)
    got = other(labels, predictions)
    near(got, theirs(labels, predictions), cls.__name__)
    before = np.asarray(plain(labels, predictions))
    assert np.asarray(got).shape != before.shape or np.abs(got - before).max() > 1e-3, "the argument counts"


SCHEDULES: dict[str, dict[str, Any]] = {
    "CosineDecay": {"initial_learning_rate": 0.5, "decay_steps": 40},
    "CosineDecayRestarts": {"initial_learning_rate": 0.5, "first_decay_steps": 10},
    "ExponentialDecay": {"initial_learning_rate": 0.5, "decay_steps": 40, "decay_rate": 0.5},
    "InverseTimeDecay": {"initial_learning_rate": 0.5, "decay_steps": 40, "decay_rate": 0.5},
    "PiecewiseConstantDecay": {"boundaries": [10, 20], "values": [0.5, 0.25, 0.125]},
    "PolynomialDecay": {"initial_learning_rate": 0.5, "decay_steps": 40},
}
OF_SCHEDULES: dict[str, Any] = {
    "alpha": 0.25, "boundaries": [5, 30], "cycle": True, "decay_rate": 0.25, "decay_steps": 20, "end_learning_rate": 0.125,
    "first_decay_steps": 7, "initial_learning_rate": 0.75, "m_mul": 0.5, "power": 2.0, "staircase": True, "t_mul": 3.0,
    "values": [0.25, 0.5, 0.75], "warmup_steps": 8, "warmup_target": 1.0,
}  # fmt: skip


TOGETHER: dict[str, dict[str, Any]] = {"warmup_target": {"warmup_steps": 8}, "warmup_steps": {"warmup_target": 1.0}}


@pytest.mark.parametrize("name", sorted(schedules.CLASSES))
def test_of_schedules(name: str) -> None:
    cls: Any = schedules.CLASSES[name]
    base = SCHEDULES[name]
    for item in parameters(cls):
        others: dict[str, Any] = TOGETHER.get(item.name, {})
        values = base | others | {item.name: OF_SCHEDULES[item.name]}
        ours, theirs = cls(**values), getattr(keras.optimizers.schedules, name)(**values)
        steps = range(0, 60, 3)
        got, before = [ours(step) for step in steps], [cls(**base | others)(step) for step in steps]
        # Keras counts in float32; a cosine near its zero loses what a rounding of π does.
        near(got, [float(theirs(step)) for step in steps], item.name)
        assert max(abs(a - b) for a, b in zip(got, before)) > 1e-3, f"{item.name} counts"


def test_every_argument_has_another_value() -> None:
    assert {item.name for cls in losses.CLASSES.values() for item in parameters(cls)} <= {*ANOTHER}


def test_names_and_types() -> None:
    every: list[Any] = [*losses.CLASSES.values()]
    for cls in every:
        assert cls(name="mine").name == "mine"
        with pytest.raises(DepthwiseError, match="float32"):
            cls(dtype="float16")

"""Hyperparameters that change while training goes on, against real Keras; moving averages and accumulated gradients."""

import copy
import pickle
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, models, optimizers
from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.optimizers import schedules
from depthwise.reference.bounds import UNIT_ROUNDOFF as U
from depthwise.runtime import training_step

GENERATOR = np.random.default_rng(3)
X = GENERATOR.standard_normal((24, 5)).astype(np.float32)
Y = GENERATOR.standard_normal((24, 3)).astype(np.float32)


def pair(name: str, arguments: dict[str, Any]) -> tuple[Any, Any]:
    """The same linear model with the same weights here and in Keras, which computes step by step: traced, it would not see
    what changes."""
    ours = models.Sequential([layers.Dense(4, input_shape=(5,)), layers.Dense(3)])
    theirs = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4), keras.layers.Dense(3)])
    theirs.set_weights(ours.get_weights())
    ours.compile(getattr(optimizers, name)(**arguments), "mse")
    theirs.compile(getattr(keras.optimizers, name)(**arguments), "mse", run_eagerly=True)
    return ours, theirs


def assert_same_weights(ours: Any, theirs: Any, steps: int) -> None:
    """About thirty roundings a step, of numbers below 4; what a step magnifies it magnifies for both."""
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        assert np.abs(a - b).max() <= 30 * steps * U * 4.0


CHANGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("SGD", {"learning_rate": 0.1}, {"learning_rate": 0.02}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.5}, {"momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.5}, {"nesterov": True}),
    ("SGD", {"learning_rate": 0.1, "weight_decay": 0.1}, {"weight_decay": 0.5}),
    ("SGD", {"learning_rate": 0.1}, {"weight_decay": 0.5}),
    ("SGD", {"learning_rate": 0.1, "clipnorm": 0.5}, {"clipnorm": 0.1}),
    ("SGD", {"learning_rate": 0.1, "clipvalue": 0.1}, {"clipvalue": 0.02}),
    ("SGD", {"learning_rate": 0.1}, {"global_clipnorm": 0.1}),
    ("RMSprop", {"learning_rate": 0.01, "momentum": 0.5}, {"rho": 0.5, "momentum": 0.2, "epsilon": 0.01}),
    ("Adam", {"learning_rate": 0.01}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.01}),
    ("AdamW", {"learning_rate": 0.01}, {"weight_decay": 0.2}),
    ("Nadam", {"learning_rate": 0.01}, {"beta_1": 0.5, "beta_2": 0.9}),
    ("Adamax", {"learning_rate": 0.01}, {"beta_1": 0.5, "beta_2": 0.9}),
    ("Adagrad", {"learning_rate": 0.1}, {"epsilon": 0.01}),
    ("Adadelta", {"learning_rate": 1.0}, {"rho": 0.5, "epsilon": 1e-3}),
    ("Ftrl", {"learning_rate": 0.1}, {"l1_regularization_strength": 0.01, "beta": 0.5}),
    ("Ftrl", {"learning_rate": 0.1}, {"learning_rate_power": -0.4}),
    ("Lamb", {"learning_rate": 0.01}, {"beta_1": 0.5, "epsilon": 1e-3}),
    # (errors of an orthogonalised step grow by 4 to the power of ns_steps, of a share of 0.5 · learning_rate)
    ("Muon", {"learning_rate": 0.01}, {"momentum": 0.5, "muon_a": 2.0, "muon_b": -1.5, "muon_c": 0.5}),
    ("Muon", {"learning_rate": 0.01}, {"weight_decay": 0.5, "adam_weight_decay": 0.1, "adam_lr_ratio": 0.1}),
    ("Muon", {"learning_rate": 0.01}, {"nesterov": False, "ns_steps": 3, "rms_rate": None}),
    ("Lion", {"learning_rate": 0.01}, {"beta_1": 0.5, "beta_2": 0.9}),
]


@pytest.mark.parametrize(("name", "arguments", "changes"), CHANGES, ids=str)
def test_what_is_set_counts_from_the_next_step_on(
    name: str, arguments: dict[str, Any], changes: dict[str, Any]
) -> None:
    ours, theirs = pair(name, arguments)
    for model in (ours, theirs):
        model.train_on_batch(X, Y)
        model.train_on_batch(X, Y)
        for key, value in changes.items():
            setattr(model.optimizer, key, value)
            assert getattr(model.optimizer, key) == value or key == "learning_rate"
        model.train_on_batch(X, Y)
        model.train_on_batch(X, Y)
    assert_same_weights(ours, theirs, 4)
    config = ours.optimizer.get_config()
    assert {key: config[key] for key in changes} == changes


def test_the_optimizer_that_was_given_is_the_one_in_use() -> None:
    """Set on the object that `compile` got, before or after, by a callback too: it is the model's."""
    optimizer = optimizers.SGD(0.1, momentum=0.5)
    optimizer.learning_rate = 0.0
    model = models.Sequential([layers.Dense(3, input_shape=(5,))])
    model.compile(optimizer, "mse")
    assert model.optimizer is optimizer
    before = model.get_weights()
    model.train_on_batch(X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    optimizer.learning_rate = 0.1
    model.fit(X, Y, verbose=0)
    assert optimizer.iterations == 2
    assert not np.array_equal(before[0], model.get_weights()[0])
    assert optimizer.variables[0] == 2
    assert len(optimizer.variables) == 2 + 2


@pytest.mark.parametrize("rule", sorted(optimizers.CLASSES))
def test_no_number_needs_new_native_code(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.Sequential([layers.Dense(3, input_shape=(5,))])
    optimizer = optimizers.CLASSES[rule](weight_decay=0.1, clipnorm=1.0, use_ema=True)
    if rule in ("SGD", "RMSprop"):
        optimizer.momentum = 0.5
    model.compile(optimizer, "mse")
    model.train_on_batch(X, Y)
    session = model._session

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("native code was compiled")

    monkeypatch.setattr(training_step, "compile", refuse)
    numbers = [key for key, value in optimizer.get_config().items() if isinstance(value, float)]
    assert "learning_rate" in numbers
    assert "ema_momentum" in numbers
    for key in numbers:
        if key != "learning_rate_power":  # −½ is a square root
            setattr(optimizer, key, 0.9 * getattr(optimizer, key))
    model.train_on_batch(X, Y)
    assert model._session is session, "the step went on where it was"


def test_assignments_are_checked_as_arguments_are() -> None:
    optimizer = optimizers.Adam()
    for name, value, message in (
        ("beta_1", 2.0, "beta_1 must be a number from 0 to 1, got 2.0"),
        ("clipnorm", -1, "clipnorm must be a number above 0, or None"),
        ("learning_rate", -1.0, "learning_rate must be a number of at least 0"),
        ("rho", 0.5, "Adam.rho cannot be assigned: .* what can be set is learning_rate, .*beta_1"),
        ("lr", 0.5, "Adam.lr cannot be assigned: the name is learning_rate"),
        ("decay", 0.5, "InverseTimeDecay"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            setattr(optimizer, name, value)
    assert optimizer.get_config() == optimizers.Adam().get_config()


def test_a_schedule_may_follow_a_number() -> None:
    ours, theirs = pair("SGD", {"learning_rate": 0.1})
    for model, made in ((ours, schedules), (theirs, keras.optimizers.schedules)):
        model.train_on_batch(X, Y)
        model.optimizer.learning_rate = made.ExponentialDecay(0.2, 1, 0.5)
        model.train_on_batch(X, Y)
    assert_same_weights(ours, theirs, 2)
    assert ours.optimizer.get_config()["learning_rate"]["class_name"] == "ExponentialDecay"


def test_numbers_may_be_used_as_variables_of_keras() -> None:
    optimizer = optimizers.Adam(0.25)
    optimizer.learning_rate.assign(0.125)
    optimizer.iterations = 7
    assert optimizer.learning_rate.numpy() == np.float32(0.125) == optimizer.learning_rate
    assert optimizer.iterations.numpy() == 7
    kept = pickle.loads(pickle.dumps((optimizer.learning_rate, optimizer.iterations)))
    assert [type(item) for item in kept] == [float, int]
    again = copy.deepcopy(optimizer)
    again.learning_rate.assign(1.0)
    assert optimizer.learning_rate == 0.125
    assert again.iterations == 7


def test_an_optimizer_serves_one_model() -> None:
    optimizer = optimizers.SGD(0.1)
    first, second = (models.Sequential([layers.Dense(3, input_shape=(5,))]) for _ in range(2))
    for model in (first, second):
        model.compile(optimizer, "mse")
    first.train_on_batch(X, Y)
    with pytest.raises(InvalidArgumentError, match=r"has trained another model; make a new one .*SGD.from_config"):
        second.train_on_batch(X, Y)
    second.compile(optimizers.SGD.from_config(optimizer.get_config()), "mse")
    second.train_on_batch(X, Y)


AVERAGES: list[dict[str, Any]] = [
    {"use_ema": True, "ema_momentum": 0.7},
    {"use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 2},
    {"gradient_accumulation_steps": 3, "clipnorm": 0.1, "weight_decay": 0.1},
    {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 2},
    {"loss_scale_factor": 1024.0},
]


@pytest.mark.parametrize("options", AVERAGES, ids=str)
@pytest.mark.parametrize("rule", ["SGD", "Adam", "Nadam", "Lamb", "Muon"])
def test_averages_and_accumulated_gradients(rule: str, options: dict[str, Any]) -> None:
    ours, theirs = pair(rule, {"learning_rate": 0.05, **options})
    ours.fit(X, Y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    theirs.fit(X, Y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    assert_same_weights(ours, theirs, 6)
    assert ours.optimizer.iterations == int(theirs.optimizer.iterations)


@pytest.mark.parametrize("names", [["bias"], ["kern"], ["bias|kernel"]])
def test_weights_that_do_not_decay(names: list[str]) -> None:
    ours, theirs = pair("AdamW", {"learning_rate": 0.05, "weight_decay": 0.5})
    start = [array + 1.0 for array in ours.get_weights()]
    for model in (ours, theirs):
        model.set_weights(start)
        model.optimizer.exclude_from_weight_decay(var_names=names)
        for _ in range(3):
            model.train_on_batch(X, Y)
    assert_same_weights(ours, theirs, 3)


def test_weights_that_do_not_decay_are_named_before_training() -> None:
    ours, _ = pair("SGD", {"learning_rate": 0.1, "weight_decay": 0.1})
    with pytest.raises(UnsupportedError, match="give var_names"):
        ours.optimizer.exclude_from_weight_decay(var_list=ours.weights)
    with pytest.raises(InvalidArgumentError, match="must be a list of names, got 'bias'"):
        ours.optimizer.exclude_from_weight_decay(var_names="bias")
    ours.train_on_batch(X, Y)
    with pytest.raises(InvalidArgumentError, match="before training begins"):
        ours.optimizer.exclude_from_weight_decay(var_names=["bias"])


def test_the_bits_do_not_depend_on_the_threads() -> None:
    """Two phases, norms of whole weights, averages and accumulated gradients."""
    results = []
    model = models.Sequential([layers.Dense(300, input_shape=(5,)), layers.Dense(90), layers.Dense(3)])
    start, before = model.get_weights(), depthwise.get_threads()
    try:
        for threads in (1, 2, 3):
            depthwise.set_threads(threads)
            model.set_weights(start)
            model.compile(
                optimizers.Lamb(0.05, global_clipnorm=0.5, use_ema=True, gradient_accumulation_steps=2), "mse"
            )
            model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
            results.append(model.get_weights())
    finally:
        depthwise.set_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other))

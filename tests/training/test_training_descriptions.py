"""Losses, metrics, schedules and optimizers against real Keras: signatures, values, configurations, refusals."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
import pytest

from depthwise import losses, metrics, optimizers
from depthwise.errors import DepthwiseError, InvalidArgumentError, ShapeError
from depthwise.optimizers import schedules

GENERATOR = np.random.default_rng(5)
PROBABILITIES = GENERATOR.dirichlet(np.ones(6), size=40).astype(np.float32)
PROBABILITIES[0] = [0, 0, 1, 0, 0, 0]  # the clip at 1e-7 counts
LOGITS = GENERATOR.normal(scale=4, size=(40, 6)).astype(np.float32)
NUMBERS = GENERATOR.integers(0, 6, size=40)
ONE_HOT = np.eye(6, dtype=np.float32)[NUMBERS]
NEW = ("Nadam", "Adamax", "Adagrad", "Adadelta", "Ftrl", "Lion", "Lamb", "Muon")
BITS = GENERATOR.integers(0, 2, size=(40, 6)).astype(np.float32)
VALUES = GENERATOR.normal(size=(40, 6)).astype(np.float32)


@pytest.mark.parametrize("name", [cls.__name__ for cls in losses.CLASSES.values()])
def test_loss_arguments_are_those_of_keras(name: Any) -> None:
    same_signature(getattr(losses, name), getattr(keras.losses, name))


@pytest.mark.parametrize("name", sorted(optimizers.CLASSES))
def test_optimizer_arguments_are_those_of_keras(name: Any) -> None:
    same_signature(optimizers.CLASSES[name], getattr(keras.optimizers, name))


@pytest.mark.parametrize("name", sorted(schedules.CLASSES))
def test_schedule_arguments_are_those_of_keras(name: Any) -> None:
    same_signature(schedules.CLASSES[name], getattr(keras.optimizers.schedules, name))


@pytest.mark.parametrize("name", sorted({cls.__name__ for cls in metrics.CLASSES.values()}))
def test_metric_arguments_are_those_of_keras(name: Any) -> None:
    same_signature(getattr(metrics, name), getattr(keras.metrics, name))


def same_signature(ours: Any, theirs: Any) -> None:
    wanted = [p for p in inspect.signature(theirs).parameters.values() if p.kind is not p.VAR_KEYWORD]
    given = list(inspect.signature(ours).parameters.values())
    assert [(p.name, p.default) for p in given] == [(p.name, p.default) for p in wanted]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_values_are_those_of_keras(
    rng: np.random.Generator, smoothing: float, from_logits: bool, weighted: bool
) -> None:
    predictions = LOGITS if from_logits else PROBABILITIES
    weight = rng.uniform(size=40).astype(np.float32) if weighted else None
    pairs: list[Any] = [
        (losses.CategoricalCrossentropy, keras.losses.CategoricalCrossentropy, ONE_HOT, {"label_smoothing": smoothing}),
        (losses.BinaryCrossentropy, keras.losses.BinaryCrossentropy, BITS, {"label_smoothing": smoothing}),
        (losses.SparseCategoricalCrossentropy, keras.losses.SparseCategoricalCrossentropy, NUMBERS, {}),
    ]
    for ours, theirs, labels, arguments in pairs:
        mine = ours(from_logits=from_logits, **arguments)
        other = theirs(from_logits=from_logits, **arguments, reduction=None)
        each = np.asarray(other(labels, predictions))
        got = losses.per_sample(mine, labels, predictions)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, each, rtol=3e-6, atol=3e-7)
        other = theirs(from_logits=from_logits, **arguments)
        assert mine(labels, predictions, weight) == pytest.approx(float(other(labels, predictions, weight)), rel=1e-5)


def test_regression_losses() -> None:
    for name in ("MeanSquaredError", "MeanAbsoluteError"):
        each = np.asarray(getattr(keras.losses, name)(reduction=None)(BITS, VALUES))
        np.testing.assert_allclose(losses.per_sample(getattr(losses, name)(), BITS, VALUES), each, rtol=1e-6)


def test_losses_by_name() -> None:
    for alias, cls in {
        "mse": "MeanSquaredError", "MSE": "MeanSquaredError", "mae": "MeanAbsoluteError", "bce": "BinaryCrossentropy",
        "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
        "CategoricalCrossentropy": "CategoricalCrossentropy",
    }.items():  # fmt: skip
        assert type(losses.get(alias)).__name__ == cls
    config = keras.losses.serialize(keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1))
    assert losses.get(config) == losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    with pytest.raises(
        InvalidArgumentError, match="unknown loss 'hunger'; allowed are binary_crossentropy, binary_focal"
    ):
        losses.get("hunger")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.MeanSquaredError(reduction="most"), "reduction must be one of 'sum_over_batch_size', 'mean', 'sum'"),
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class="void"), "ignore_class must be an integer, got 'void'"),  # type: ignore[arg-type]
        (lambda: losses.CategoricalCrossentropy(axis=None), "axis must be an integer, got None"),  # type: ignore[arg-type]
        (lambda: losses.Huber(delta=-1.0), "delta must be a number of at least 0, got -1.0"),
        (lambda: losses.CategoricalGeneralizedCrossEntropy(q=1.0), "q must lie between 0 and 1, got 1.0"),
        (lambda: losses.get("ctc"), "the loss 'ctc' is not supported: it aligns sequences of text or sound; there are"),
        (lambda: losses.get("Circle"), "it compares the embeddings of all pairs of samples"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=2), "label_smoothing must be a number from 0 to 1, got 2"),
        (lambda: losses.BinaryCrossentropy(from_logits=1), "from_logits must be True or False, got 1"),  # type: ignore[arg-type]
        (lambda: losses.MeanSquaredError(dtype="float16"), "dtype must be float32"),
        (lambda: optimizers.Adam(use_ema=1), "Adam: use_ema must be True or False, got 1"),
        (lambda: optimizers.Adam(use_ema=True, ema_momentum=2), "ema_momentum must be a number from 0 to 1, got 2"),
        (lambda: optimizers.SGD(ema_overwrite_frequency=0), "ema_overwrite_frequency must be a whole number of at least 1"),
        (lambda: optimizers.SGD(gradient_accumulation_steps=1), "gradient_accumulation_steps must be a whole number of at"),
        (lambda: optimizers.SGD(loss_scale_factor=0), "loss_scale_factor must be a number above 0, or None, got 0"),
        (lambda: optimizers.SGD(lr=0.1), "SGD: lr is an argument of Keras 1 and 2; the name is learning_rate"),
        (lambda: optimizers.SGD(decay=0.1), "SGD: decay is an argument of Keras 1 and 2; give learning_rate=optimizers.sch"),
        (lambda: optimizers.Adam(beta_3=0.1), "Adam: unexpected argument 'beta_3'; allowed are learning_rate, beta_1"),
        (lambda: optimizers.Ftrl(learning_rate_power=0.5), "learning_rate_power must be at most 0, got 0.5"),
        (lambda: optimizers.get("schedulefreeadamw"), "ScheduleFreeAdamW is not supported: it predicts with other weights"),
        (lambda: optimizers.Muon(ns_steps=100), "Muon: ns_steps must be a whole number from 0 to 64, got 100"),
        (lambda: optimizers.Muon(exclude_layers="dense"), "Muon: exclude_layers must be a list of texts, got 'dense'"),
        (lambda: optimizers.Muon(exclude_layers=["("]), "Muon: exclude_layers must be regular expressions, got '('"),
        (lambda: optimizers.get({"class_name": "MultiOptimizer", "config": {}}), "MultiOptimizer is not supported: one"),
        (lambda: optimizers.Adafactor(gradient_accumulation_steps=2), "gradient_accumulation_steps is not supported, got 2"),
        (lambda: optimizers.Lion(beta_1=0), "beta_1 must be a number above 0, at most 1, got 0"),
        (lambda: optimizers.SGD(-1.0), "learning_rate must be a number of at least 0, or a schedule, got -1.0"),
        (lambda: optimizers.SGD("fast"), "learning_rate must be a number"),
        (lambda: optimizers.SGD(lambda: 0.1), "learning_rate cannot be a function; use a schedule"),
        (lambda: optimizers.SGD(momentum=1.5), "momentum must be a number from 0 to 1, got 1.5"),
        (lambda: optimizers.SGD(nesterov="yes"), "nesterov must be True or False, got 'yes'"),
        (lambda: optimizers.Adam(clipnorm=1, clipvalue=1), "give only one of clipnorm, clipvalue and global_clipnorm"),
        (lambda: optimizers.Adam(clipnorm=0), "clipnorm must be a number above 0, or None, got 0"),
        (lambda: optimizers.Adam(beta_1=1), "beta_1 must be below 1"),
        (lambda: optimizers.AdamW(weight_decay=None), "weight_decay must be a number, got None; use Adam"),
        (lambda: optimizers.Adam(weight_decay=float("nan")), "weight_decay must be a number of at least 0, got nan"),
        (lambda: optimizers.get("lions"), "unknown optimizer 'lions'; allowed are ada"),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps must be a whole number of at least 1, got 0"),
        (lambda: schedules.ExponentialDecay(float("inf"), 1, 0.5), "initial_learning_rate must be a finite number"),
        (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), "values must hold one more number than boundaries"),
        (lambda: schedules.PiecewiseConstantDecay([5, 5], [1.0, 2.0, 3.0]), "boundaries must rise"),
        (lambda: schedules.get({"class_name": "LinearDecay"}), "unknown learning-rate schedule"),
        (lambda: metrics.get("f1"), "unknown metric 'f1'; allowed are accuracy, "),
        (lambda: metrics.TopKCategoricalAccuracy(k=0), "k must be an integer of at least 1, got 0"),
        (
            lambda: metrics.resolve("sparse_categorical_accuracy", losses.get("categorical_crossentropy"), 3),
            "needs labels with class numbers, but the loss CategoricalCrossentropy takes one value for each output; use",
        ),
        (
            lambda: metrics.resolve("mse", losses.get("sparse_categorical_crossentropy"), 3),
            "but the loss SparseCategoricalCrossentropy takes class numbers; leave it out",
        ),
    ],
)  # fmt: skip
def test_refusals_say_what_is_allowed(make: Callable[..., Any], message: str) -> None:
    with pytest.raises(DepthwiseError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_losses_refuse_labels_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="give one class number a sample"):
        losses.per_sample(losses.get("sparse_categorical_crossentropy"), ONE_HOT, PROBABILITIES)
    with pytest.raises(ShapeError, match="give one label for each output"):
        losses.per_sample(losses.get("mse"), NUMBERS, VALUES)


SCHEDULES = [
    ("ExponentialDecay", (0.1, 70, 0.8), {}),
    ("ExponentialDecay", (0.1, 70, 0.8), {"staircase": True}),
    ("CosineDecay", (0.3, 500), {"alpha": 0.05}),
    ("CosineDecay", (0.01, 400), {"warmup_target": 0.2, "warmup_steps": 130, "alpha": 0.1}),
    ("CosineDecay", (0.0, 400), {"warmup_target": 0.2, "warmup_steps": 0}),
    ("CosineDecayRestarts", (0.2, 70), {}),
    ("CosineDecayRestarts", (0.2, 70), {"t_mul": 1.0, "m_mul": 0.5, "alpha": 0.1}),
    ("CosineDecayRestarts", (0.2, 70), {"t_mul": 1.5, "m_mul": 0.8}),
    ("PolynomialDecay", (0.2, 300), {}),
    ("PolynomialDecay", (0.2, 300), {"power": 2.0, "end_learning_rate": 0.01, "cycle": True}),
    ("InverseTimeDecay", (0.2, 70, 0.5), {}),
    ("InverseTimeDecay", (0.2, 70, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([100, 250, 700], [1.0, 0.5, 0.25, 0.01]), {}),
]


@pytest.mark.parametrize(("name", "arguments", "keywords"), SCHEDULES)
def test_a_thousand_steps_of_each_schedule(name: Any, arguments: Any, keywords: Any) -> None:
    ours = getattr(schedules, name)(*arguments, **keywords)
    theirs = getattr(keras.optimizers.schedules, name)(*arguments, **keywords)
    wanted = jax.vmap(theirs)(np.arange(1000, dtype=np.int32))
    # Keras computes in float32: a cosine near its zero loses digits there, hence the absolute part.
    np.testing.assert_allclose([ours(step) for step in range(1000)], wanted, rtol=3e-6, atol=2e-8)
    again = schedules.get(keras.optimizers.schedules.serialize(theirs))
    assert again == ours
    assert ours.get_config() == theirs.get_config()


@pytest.mark.parametrize("name", sorted(optimizers.CLASSES))
def test_optimizer_configurations_go_both_ways(name: Any) -> None:
    rate = {"learning_rate": schedules.ExponentialDecay(0.1, 10, 0.5)}
    for arguments in ({}, {"clipnorm": 2.0}, rate):
        ours: Any = optimizers.CLASSES[name](**arguments)
        theirs = getattr(keras.optimizers, name).from_config(ours.get_config())
        config = theirs.get_config()
        assert set(config) == set(ours.get_config())
        again: Any = optimizers.get(keras.optimizers.serialize(theirs))
        if isinstance(config["learning_rate"], float):  # Keras keeps it as float32
            assert again.learning_rate == pytest.approx(ours.learning_rate, rel=1e-7)
        else:
            assert again.description == ours.description


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (optimizers.SGD(), keras.optimizers.SGD()),
        (optimizers.SGD(momentum=0.9), keras.optimizers.SGD(momentum=0.9)),
        (optimizers.RMSprop(), keras.optimizers.RMSprop()),
        (optimizers.RMSprop(momentum=0.5, centered=True), keras.optimizers.RMSprop(momentum=0.5, centered=True)),
        (optimizers.Adam(), keras.optimizers.Adam()),
        (optimizers.Adam(amsgrad=True), keras.optimizers.Adam(amsgrad=True)),
        (optimizers.AdamW(), keras.optimizers.AdamW()),
        *((getattr(optimizers, name)(), getattr(keras.optimizers, name)()) for name in NEW),
        *(
            (getattr(optimizers, name)(**both), getattr(keras.optimizers, name)(**both))
            for name in ("SGD", "Lamb")
            for both in ({"use_ema": True}, {"use_ema": True, "gradient_accumulation_steps": 2})
        ),
    ],
)
def test_slots_are_the_variables_of_keras(ours: Any, theirs: Any) -> None:
    theirs.build([keras.Variable(np.zeros(3), name="w")])
    names = [variable.path.rsplit("/", 1)[-1] for variable in theirs.variables[2:]]
    if ours.numbers:
        names.pop()  # Nadam's product has no name of its own in Keras
    assert [f"w_{slot}" for slot in ours.slots] == names


METRICS = [
    ("SparseCategoricalAccuracy", {}, NUMBERS, PROBABILITIES),
    ("CategoricalAccuracy", {}, ONE_HOT, PROBABILITIES),
    ("BinaryAccuracy", {"threshold": 0.3}, BITS, PROBABILITIES),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, PROBABILITIES),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, NUMBERS, PROBABILITIES),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, NUMBERS, np.round(PROBABILITIES, 1)),  # ties
    ("MeanSquaredError", {}, BITS, VALUES),
    ("MeanAbsoluteError", {}, BITS, VALUES),
]


@pytest.mark.parametrize(("name", "arguments", "labels", "predictions"), METRICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_metric_values_are_those_of_keras(
    name: Any, arguments: Any, labels: Any, predictions: Any, weighted: bool
) -> None:
    ours, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    assert ours.name == theirs.name
    assert ours.direction == getattr(theirs, "_direction", "down")
    for start, stop in ((0, 16), (16, 21), (21, 40)):
        weight = np.linspace(0, 2, stop - start).astype(np.float32) if weighted else None
        ours.update_state(labels[start:stop], predictions[start:stop], weight)
        theirs.update_state(labels[start:stop], predictions[start:stop], weight)
        assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-5)
    ours.reset_state()
    assert ours.result() == 0.0


def test_mean() -> None:
    ours, theirs = metrics.Mean(), keras.metrics.Mean()
    for values, weight in (([1.0, 3.0], None), (5.0, None), ([2.0, 4.0], [1.0, 0.5])):
        ours.update_state(values, sample_weight=weight)
        theirs.update_state(values, sample_weight=weight)
        assert ours.result() == pytest.approx(float(theirs.result()))


def test_a_schedule_of_ones_own() -> None:
    class Halving(schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            return 0.5**step

    halving = optimizers.SGD(Halving())
    assert halving.has_schedule
    halving.iterations = 3
    assert halving.learning_rate == 0.125
    with pytest.raises(InvalidArgumentError, match=r"Halving cannot be saved: it has no get_config"):
        optimizers.SGD(Halving()).get_config()


def test_equal_descriptions_are_equal_and_hashable() -> None:
    assert hash(optimizers.Adam(0.1).description) == hash(optimizers.Adam(0.1).description)
    assert optimizers.Adam(0.1).description == optimizers.Adam(0.1, name="another").description
    assert hash(losses.get("mse")) == hash(losses.MeanSquaredError(reduction="mean"))


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match=r"ScheduleFreeAdamW is not supported: .* use AdamW"):
        optimizers.ScheduleFreeAdamW  # noqa: B018
    with pytest.raises(AttributeError, match=r"depthwise\.optimizers' has no attribute 'Adan'; there are Adadelta, "):
        optimizers.Adan  # noqa: B018
    assert not hasattr(optimizers, "ScheduleFreeAdamW")

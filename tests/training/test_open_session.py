"""`train_on_batch` leaves the weights in its step: whoever looks must see the newest ones."""

import numpy as np
import pytest

from depthwise import layers, models


@pytest.fixture
def model() -> models.Sequential:
    made = models.Sequential(
        [layers.Dense(4, activation="relu", input_shape=(3,)), layers.Dense(2, activation="softmax")]
    )
    made.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return made


X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = np.arange(8) % 2


def test_looking_between_steps_changes_nothing(model: models.Sequential) -> None:
    start = model.get_weights()
    for _ in range(4):
        model.train_on_batch(X, Y)
    unseen, state = model.get_weights(), dict(model.optimizer.state)
    model.set_weights(start)
    model.optimizer.reset()
    for _ in range(4):
        model.train_on_batch(X, Y)
        model.get_weights()
        model.predict_on_batch(X)
    assert all(np.array_equal(a, b) for a, b in zip(unseen, model.get_weights()))
    assert all(np.array_equal(state[name], model.optimizer.state[name]) for name in state)


def test_prediction_sees_the_newest_weights(model: models.Sequential) -> None:
    before = model.predict_on_batch(X)
    model.train_on_batch(X, Y)
    after = model.predict_on_batch(X)
    assert not np.array_equal(before, after)
    fresh = models.Model.from_graph(model.graph, model.weights_by_name)
    assert np.array_equal(fresh.predict_on_batch(X), after)


def test_weights_that_are_set_are_not_overwritten(model: models.Sequential) -> None:
    model.train_on_batch(X, Y)
    zeros = [np.zeros_like(array) for array in model.get_weights()]
    model.train_on_batch(X, Y)
    model.set_weights(zeros)
    assert all(not array.any() for array in model.get_weights())


def test_the_optimizer_state_is_the_newest(model: models.Sequential) -> None:
    model.train_on_batch(X, Y)
    model.train_on_batch(X, Y)
    assert int(model.optimizer.state["iteration"]) == model.optimizer.iterations == 2


def test_an_interrupt_while_the_weights_come_back_loses_nothing(
    model: models.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = model.get_weights()
    model.train_on_batch(X, Y)
    with monkeypatch.context() as patch:

        def interrupt(*arguments: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(models.Sequential, "put_weights", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.predict_on_batch(X)
    assert any(not np.array_equal(a, b) for a, b in zip(start, model.get_weights()))

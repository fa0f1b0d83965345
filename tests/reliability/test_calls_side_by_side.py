"""Promise: calls of one model that overlap, in threads or in callbacks, each have the loss, the metrics and the weights of their own."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from depthwise import callbacks, layers, metrics, models, optimizers, regularizers
from depthwise.errors import InvalidArgumentError

RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 4)).astype(np.float32)
Y = (RNG.random(size=(12, 2)) < 0.5).astype(np.float32)


class Largest(metrics.Metric):
    """A user's metric: the largest prediction so far, in an array that it changes in place."""

    def __init__(self, name: str = "largest") -> None:
        super().__init__(name)
        self.seen = np.full(1, -np.inf)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        np.maximum(self.seen, np.max(y_pred), out=self.seen)

    def result(self) -> float:
        return float(self.seen[0])

    def reset_state(self) -> None:
        self.seen[:] = -np.inf


def made(rate: float = 0.0, **arguments: Any) -> Any:
    model = models.Sequential(
        [layers.Dense(2, activation="sigmoid", kernel_regularizer=regularizers.L2(0.1), input_shape=(4,))]
    )
    model.set_weights([np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2), np.zeros(2, np.float32)])
    arguments = {"metrics": ["mae", metrics.AUC(), Largest()], "weighted_metrics": ["mse"], **arguments}
    model.compile(optimizers.SGD(rate), "binary_crossentropy", **arguments)
    return model


def evaluated(model: Any, count: int = 12, **arguments: Any) -> Any:
    return model.evaluate(X[:count], Y[:count], batch_size=2, verbose=0, **arguments)


def trained(model: Any, **arguments: Any) -> Any:
    return model.fit(X, Y, batch_size=3, epochs=2, shuffle=False, verbose=0, **arguments).history


INNER: dict[str, Callable[[Any], Any]] = {
    "evaluate": lambda model: evaluated(model, 5),
    "test_on_batch": lambda model: model.test_on_batch(X[:5], Y[:5]),
}


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("in_thread", [False, True])
def test_in_the_middle_of_a_training(name: str, in_thread: bool) -> None:
    """The training's logs are those that it has alone; so are the values of the other call."""
    found: list[Any] = []

    def inner() -> None:
        found.append(INNER[name](model))

    def at_batch(batch: int, logs: Any = None) -> None:
        if in_thread:
            thread = threading.Thread(target=inner)
            thread.start()
            thread.join()
        else:
            inner()

    largest = Largest()
    model = made(metrics=["mae", metrics.AUC(), largest])
    history = trained(
        model, validation_data=(X[:6], Y[:6]), callbacks=callbacks.LambdaCallback(on_train_batch_end=at_batch)
    )
    assert history == trained(made(), validation_data=(X[:6], Y[:6]))
    assert found == [INNER[name](made())] * 8
    assert largest.result() == history["val_largest"][-1]


def test_an_evaluation_in_the_middle_of_another_and_a_training_in_the_middle_of_that() -> None:
    model, alone = made(), evaluated(made())
    found: list[Any] = []

    def train(batch: int, logs: Any = None) -> None:
        if batch == 1:
            found.append(trained(model))

    def evaluate(batch: int, logs: Any = None) -> None:
        if batch == 2:
            found.append(evaluated(model, callbacks=callbacks.LambdaCallback(on_test_batch_end=train)))

    assert evaluated(model, callbacks=callbacks.LambdaCallback(on_test_batch_end=evaluate)) == alone
    assert found == [trained(made()), alone]


def test_threads_that_evaluate_at_once(record_property: Callable[[str, object], None]) -> None:
    """Each its own part of the data, over and over, with switches between any two steps."""
    model = made()
    wanted = {count: evaluated(model, count) for count in range(4, 8)}
    start, wrong = threading.Barrier(len(wanted)), []

    def work(count: int) -> None:
        start.wait()
        for _ in range(25):
            found = evaluated(model, count)
            if found != wanted[count]:
                wrong.append((found, wanted[count]))

    threads = [threading.Thread(target=work, args=(count,)) for count in wanted]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
    record_property("tried", 25 * len(wanted))


def test_a_call_keeps_the_weights_that_it_began_with() -> None:
    """As in Keras: what a callback or another thread sets counts from the next call on."""
    model = made()
    weights, others = model.get_weights(), [array + 1 for array in model.get_weights()]
    change = callbacks.LambdaCallback(
        on_test_batch_end=lambda batch, logs: model.set_weights(others),
        on_predict_batch_end=lambda batch, logs: model.set_weights(others),
    )
    wanted = evaluated(model)
    assert evaluated(model, callbacks=change) == wanted
    assert evaluated(model) != wanted
    model.set_weights(weights)
    predicted = model.predict(X, batch_size=2, verbose=0)
    model.set_weights(weights)
    np.testing.assert_array_equal(model.predict(X, batch_size=2, verbose=0, callbacks=[change]), predicted)
    assert (model.predict(X, verbose=0) != predicted).all()


def test_what_begins_in_a_hook_before_the_first_batch_counts() -> None:
    """Callbacks that swap weights for an evaluation do it there."""
    model = made()
    others = [array + 1 for array in model.get_weights()]
    change = callbacks.LambdaCallback(
        on_test_begin=lambda logs: model.set_weights(others), on_predict_begin=lambda logs: model.set_weights(others)
    )
    found, predicted = evaluated(model, callbacks=change), model.predict(X, batch_size=2, verbose=0, callbacks=[change])
    assert found == evaluated(model)
    np.testing.assert_array_equal(predicted, model.predict(X, verbose=0))


class Locked(Largest):
    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class Growing(Largest):
    """While it is copied, another thread's batch gives it one more attribute, twice."""

    def __init__(self) -> None:
        super().__init__("growing")
        self.growth = Growth()


class Growth:
    times = 0

    def __deepcopy__(self, memo: Any) -> Any:
        Growth.times += 1
        if Growth.times < 3:
            raise RuntimeError("dictionary changed size during iteration")
        return Growth()


def nested(metric: metrics.Metric) -> Any:
    model = made(metrics=[metric])
    found: list[Any] = []
    inner = callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: found.append(evaluated(model)))
    assert evaluated(model, callbacks=inner) == evaluated(model)
    return found


def test_a_metric_that_cannot_be_copied_is_named() -> None:
    assert evaluated(made(metrics=[Locked()]))
    with pytest.raises(
        InvalidArgumentError, match=r"trained or evaluated already.*'locked', 'mse'.*cannot be copied.*after the other"
    ):
        nested(Locked())


def test_a_metric_that_changes_while_it_is_copied() -> None:
    assert nested(Growing()) == [evaluated(made(metrics=[Largest("growing")]))] * 6
    assert Growth.times >= 3

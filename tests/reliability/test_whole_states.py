"""Promise: of one model in several threads, each call sees a whole state, from before a change or from after it; the last state stays.

A state is told by its bits: weights that are all the same number, or those that a training has at the end of an epoch.
"""

import copy
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depthwise import callbacks, layers, models, optimizers
from depthwise.runtime.threads import set_threads
from depthwise.utils import set_random_seed

Array = npt.NDArray[Any]
Record = Callable[[str, object], None]
SECONDS = float(os.environ.get("DEPTHWISE_STRESS_SECONDS", "600"))
X = np.linspace(-1.0, 1.0, 24, dtype=np.float32).reshape(6, 4)
Y = np.linspace(1.0, -1.0, 18, dtype=np.float32).reshape(6, 3)
NUMBERS = (1.0, 2.0, 3.0)


def made() -> Any:
    model = models.Sequential([layers.Dense(5, activation="tanh", input_shape=(4,)), layers.Dense(3)])
    model.compile(optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    return model


def same(model: Any, number: float) -> list[Array]:
    return [np.full_like(array, number) for array in model.get_weights()]


def bits(arrays: Any) -> bytes:
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)


def evaluation(model: Any) -> tuple[float, ...]:
    """Loss and metrics, over several batches."""
    return tuple(model.evaluate(X, Y, batch_size=2, verbose=0))


def train(model: Any, epochs: int = 3, **arguments: Any) -> None:
    """Always the same: from the weights 1, with a new optimizer."""
    set_random_seed(4)
    model.compile(optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    model.fit(X, Y, batch_size=2, epochs=epochs, shuffle=False, verbose=0, **arguments)


class States:
    """The whole states, and what they predict of all samples and of the first one."""

    def __init__(self) -> None:
        model = made()
        self.weights: set[bytes] = set()
        self.predictions: dict[bytes, bytes] = {}
        self.evaluations: set[tuple[float, ...]] = set()
        for number in NUMBERS:
            model.set_weights(same(model, number))
            self._note(model)
        model.set_weights(same(model, NUMBERS[0]))
        ended = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self._note(model))
        train(model, callbacks=ended)
        self.trained = bits(model.get_weights())

    def _note(self, model: Any) -> None:
        weights = bits(model.get_weights())
        self.weights.add(weights)
        for batch in (6, 1):
            self.predictions[model.predict_on_batch(X[:batch]).tobytes()] = weights
        self.evaluations.add(evaluation(model))

    def check_prediction(self, y: Array) -> None:
        assert y.tobytes() in self.predictions, f"no whole state predicts this: {y}"

    def check_evaluation(self, values: tuple[float, ...]) -> None:
        assert values in self.evaluations, f"no whole state has this loss and these metrics: {values}"

    def check_weights(self, arrays: Any) -> None:
        assert bits(arrays) in self.weights, f"no whole state: {arrays}"


@pytest.fixture(scope="module")
def states() -> States:
    return States()


def readers(model: Any, states: States, folder: Path) -> dict[str, Callable[[], None]]:
    """What another thread may do while the model changes; each checks what it gets."""

    def saved() -> None:
        path = folder / f"{threading.get_ident()}.keras"
        model.save(path)
        states.check_weights(models.load_model(path).get_weights())

    def copied() -> None:
        other = copy.deepcopy(model)
        states.check_weights(other.get_weights())
        states.check_prediction(other.predict_on_batch(X))

    return {
        "predict": lambda: states.check_prediction(model.predict_on_batch(X)),
        "predict in batches": lambda: states.check_prediction(model.predict(X, batch_size=2, verbose=0)),
        "evaluate": lambda: states.check_evaluation(evaluation(model)),
        "predict one": lambda: states.check_prediction(model.predict_on_batch(X[:1])),
        "get_weights": lambda: states.check_weights(model.get_weights()),
        "save": saved,
        "deepcopy": copied,
    }


def at_line(wanted: int, act: Callable[[], Any], other: Callable[[], None]) -> bool:
    """`other` in another thread when `act` comes to its line number `wanted`; False where it has fewer.

    `act` waits for it, but not if `other` itself waits for a lock that `act` holds: then it ends later.
    """
    parts = ("depthwise/model/", "depthwise/models.py", "layers/store.py", "runtime/", "training/session.py")
    seen, errors = 0, []

    def run() -> None:
        try:
            other()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal seen
        if not any(part in frame.f_code.co_filename for part in parts):
            return None
        if event == "line":
            seen += 1
            if seen == wanted:
                thread.start()
                thread.join(0.02)
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
    if seen < wanted:
        return False
    thread.join()
    if errors:
        raise errors[0]
    return True


def schedules(stride: int, first: int, states: States, folder: Path, chosen: Any = None) -> Iterator[int]:
    """Every action interrupted by every reader, or those of `chosen`, at each `stride`-th line."""
    weights = folder / "two.weights.h5"
    model = made()
    model.set_weights(same(model, 2.0))
    model.save_weights(weights)
    actions: dict[str, tuple[Callable[[Any], Any], float | None]] = {
        "set_weights": (lambda model: model.set_weights(same(model, 2.0)), 2.0),
        "load_weights": (lambda model: model.load_weights(weights), 2.0),
        "fit": (train, None),
        "predict": (lambda model: states.check_prediction(model.predict_on_batch(X)), 1.0),
    }
    for name, (act, number) in actions.items():
        for reader in readers(model, states, folder):
            if chosen is not None and (name, reader) not in chosen:
                continue
            wanted = first
            model.set_weights(same(model, 1.0))
            while at_line(wanted, lambda: act(model), readers(model, states, folder)[reader]):  # noqa: B023 - called at once
                yield 1
                last = states.trained if number is None else bits(same(model, number))
                assert bits(model.get_weights()) == last
                assert states.predictions[model.predict_on_batch(X).tobytes()] == last
                assert states.predictions[model.predict_on_batch(X[:1]).tobytes()] == last
                model.set_weights(same(model, 1.0))
                wanted += stride


def test_another_thread_at_any_line(states: States, tmp_path: Path, record_property: Record) -> None:
    chosen = {("set_weights", "predict"), ("set_weights", "save"), ("fit", "predict"), ("predict", "predict one")}
    count = sum(schedules(97, 3, states, tmp_path, chosen))
    assert count > 8
    record_property("tried", count)


@pytest.mark.long
def test_another_thread_at_more_lines(states: States, tmp_path: Path, record_property: Record) -> None:
    count = sum(schedules(41, 1, states, tmp_path))
    assert count > 100
    record_property("tried", count)


def stress(states: States, folder: Path, seconds: float) -> int:
    """One thread changes the model in all ways, five others read it in all ways, one changes the number of threads."""
    model, writer = made(), random.Random(5)
    model.set_weights(same(model, 1.0))
    paths = {}
    for number in NUMBERS:
        model.set_weights(same(model, number))
        paths[number] = folder / f"{number}.weights.h5"
        model.save_weights(paths[number])
    done, errors, calls = threading.Event(), [], [0] * 7

    def work(place: int, chosen: Callable[[random.Random], None]) -> None:
        random_of_thread = random.Random(place)
        try:
            while not done.is_set():
                chosen(random_of_thread)
                calls[place] += 1
        except BaseException as error:
            errors.append(error)
            done.set()

    actions = list(readers(model, states, folder).values())
    weights = [20, 10, 10, 20, 10, 1, 1]
    works: list[Callable[[random.Random], None]] = [lambda r: r.choices(actions, weights)[0]()] * 5

    def change_threads(random_of_thread: random.Random) -> None:
        set_threads(random_of_thread.randint(1, 3))
        time.sleep(0.01)

    works.append(change_threads)
    others = [threading.Thread(target=work, args=(place, chosen)) for place, chosen in enumerate(works)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in others:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not done.is_set():
            kind, number = writer.randrange(3), writer.choice(NUMBERS)
            if kind == 0:
                model.set_weights(same(model, number))
            elif kind == 1:
                model.load_weights(paths[number])
            else:
                model.set_weights(same(model, 1.0))
                train(model)
            last = states.trained if kind == 2 else bits(same(model, number))
            assert bits(model.get_weights()) == last
            assert states.predictions[model.predict_on_batch(X).tobytes()] == last
            calls[6] += 1
    finally:
        done.set()
        for thread in others:
            thread.join()
        sys.setswitchinterval(before)
    if errors:
        raise errors[0]
    assert all(calls), calls
    return sum(calls)


@pytest.mark.sweep
def test_thirty_seconds_of_everything_at_once(states: States, tmp_path: Path, record_property: Record) -> None:
    record_property("tried", stress(states, tmp_path, min(SECONDS, 30.0)))


@pytest.mark.long
def test_ten_minutes_of_everything_at_once(states: States, tmp_path: Path, record_property: Record) -> None:
    calls = stress(states, tmp_path, SECONDS)
    record_property("tried", calls)
    print(f"{calls} calls in {SECONDS:.0f} s")

"""`PyDataset`: batches in the same order whatever the threads, hooks at the right time, errors that come through."""

import threading
from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise import layers, utils
from depthwise.errors import InvalidArgumentError, UnsupportedError


class Ramp(utils.PyDataset):  # type: ignore[misc]
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.asked: list[int] = []
        self.threads: set[int] = set()
        self.hooks: list[str] = []

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        self.threads.add(threading.get_ident())
        return np.full((2, 3), index / 6, np.float32), np.full((2, 1), index / 6, np.float32)

    def on_epoch_begin(self) -> None:
        self.hooks.append("begin")

    def on_epoch_end(self) -> None:
        self.hooks.append("end")


def model() -> Any:
    network = depthwise.Sequential([depthwise.Input(shape=(3,)), layers.Dense(1, kernel_initializer="ones")])
    network.compile("sgd", "mse")
    return network


@pytest.mark.parametrize("shuffle", [False, True])
def test_threads_change_nothing(shuffle: bool) -> None:
    results = []
    for workers in (1, 4):
        depthwise.utils.set_random_seed(3)
        data = Ramp(workers=workers, max_queue_size=3)
        network = model()
        history = network.fit(data, epochs=2, shuffle=shuffle, verbose=0, validation_data=Ramp(workers=workers))
        results.append((history.history, network.get_weights()[0].tolist(), network.predict(data, verbose=0).tolist()))
        assert sorted(data.asked[:6]) == list(range(6))
        assert data.hooks[:4] == ["begin", "end"] * 2
        own = threading.get_ident()
        assert data.threads == {own} if workers == 1 else own not in data.threads
    assert results[0] == results[1]


def test_no_more_wait_than_max_queue_size() -> None:
    data = Ramp(workers=2, max_queue_size=2)
    seen: list[int] = []
    callback = depthwise.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(len(data.asked) - batch)
    )
    model().fit(data, verbose=0, shuffle=False, callbacks=[callback])
    assert max(seen) <= 3  # the batch itself, and two that wait


def test_an_error_in_a_thread_comes_through() -> None:
    class Broken(Ramp):
        def __getitem__(self, index: int) -> Any:
            if index == 3:
                raise RuntimeError("batch three is broken")
            return super().__getitem__(index)

    for workers in (1, 3):
        with pytest.raises(RuntimeError, match="batch three"):
            model().fit(Broken(workers=workers), shuffle=False, verbose=0)
    assert threading.active_count() < 20


def test_a_constructor_without_super_works_as_with_defaults() -> None:
    class Careless(utils.Sequence):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return np.ones((2, 3)), np.ones((2, 1))

    assert len(model().fit(Careless(), verbose=0).history["loss"]) == 1


@pytest.mark.parametrize("name", ["workers", "max_queue_size"])
def test_wrong_numbers(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"Ramp: {name} must be an integer"):
        Ramp(**{name: -1})


def test_processes_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="workers=4"):
        Ramp(use_multiprocessing=True)

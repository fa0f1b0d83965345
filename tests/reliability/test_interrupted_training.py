"""Promise: an interrupted training goes on to the same bits, callbacks included, and a second Ctrl-C leaves a model that trains on."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise import callbacks, layers, models, optimizers
from depthwise.errors import InvalidArgumentError, InvalidFileError
from depthwise.runtime.buffers import aligned_empty
from depthwise.training.session import Session
from depthwise.utils import set_random_seed

RNG = np.random.default_rng(5)
X = RNG.normal(size=(24, 4)).astype(np.float32)
Y = RNG.normal(size=(24, 3)).astype(np.float32)


class Kill(callbacks.Callback):
    """Ends `fit` after so many hooks, at the end of a batch or of an epoch, before or after the other callbacks."""

    def __init__(self, hooks: int) -> None:
        super().__init__()
        self.left = hooks

    def _count(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    on_train_batch_end = _count
    on_epoch_end = _count
    on_epoch_begin = _count


class Memory(callbacks.Callback):
    """A callback of a user's that changes the training by what it remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0.0

    def get_training_state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def set_training_state(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen += logs["loss"]
        self.model.optimizer.learning_rate = 0.05 / (1.0 + self.seen)


CALLBACKS: dict[str, Any] = {
    "ReduceLROnPlateau": lambda: [callbacks.ReduceLROnPlateau("loss", 0.5, 1, min_delta=0.05, cooldown=1)],
    "EarlyStopping": lambda: [callbacks.EarlyStopping("loss", 0.02, 2, restore_best_weights=True)],
    "LearningRateScheduler": lambda: [callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.8)],
    "of a user": lambda: [Memory()],
}


def fitted(backup: Path, name: str, save_freq: Any, kill: int | None, first: bool) -> Any:
    """A new process's fit: everything made anew. None where it was killed."""
    set_random_seed(3)
    model = models.Sequential([layers.Dense(3, input_shape=(4,)), layers.Dropout(0.2)])
    model.compile(optimizers.Adam(0.05), "mse")
    saved = [callbacks.BackupAndRestore(backup, save_freq=save_freq, double_checkpoint=True)]
    others = CALLBACKS[name]()
    ordered = [*saved, *others] if first else [*others, *saved]
    if kill is not None:
        ordered.insert(1, Kill(kill))
    try:
        model.fit(X, Y, batch_size=8, epochs=8, verbose=0, callbacks=ordered)
    except KeyboardInterrupt:
        return None
    return model, others


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_remember_what_they_knew(tmp_path: Path, name: str) -> None:
    """Broken off again and again, at all places, with backups after epochs and in the middle of them."""
    for number, (save_freq, first) in enumerate((("epoch", True), (2, False))):
        whole, remembered = fitted(tmp_path / "whole", name, save_freq, None, first)
        for kill in (10, 14):
            folder = tmp_path / f"{number} {kill}"
            for _ in range(30):
                resumed = fitted(folder, name, save_freq, kill, first)
                if resumed is not None:
                    break
            else:  # each life is too short for an epoch
                resumed = fitted(folder, name, save_freq, None, first)
            for one, other in zip(whole.get_weights(), resumed[0].get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)
            assert float(whole.optimizer.learning_rate) == float(resumed[0].optimizer.learning_rate)
            for one, other in zip(remembered, resumed[1], strict=True):
                assert getattr(one, "stopped_epoch", 0) == getattr(other, "stopped_epoch", 0)


class Foreign(callbacks.Callback):
    def get_training_state(self) -> dict[str, Any]:
        return {"function": print}


def test_a_backup_holds_numbers_texts_and_weights(tmp_path: Path) -> None:
    model = models.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile("sgd", "mse")
    backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    with pytest.raises(
        InvalidArgumentError, match=r"Foreign.get_training_state gives .* for 'function'; a backup holds"
    ):
        model.fit(X, Y, verbose=0, callbacks=[Foreign(), backup])
    stopping = callbacks.EarlyStopping("loss", restore_best_weights=True)
    model.fit(X, Y, verbose=0, callbacks=[stopping, backup])
    good = backup.path.read_bytes()
    assert b'"best": ' in good
    backup.path.write_bytes(good.replace(b'"wait": 0', b'"wait":-1'))
    with pytest.raises(InvalidFileError, match="damaged"):  # the checksum of the archive tells
        model.fit(X, Y, verbose=0, callbacks=[stopping, backup])
    with pytest.raises(InvalidArgumentError, match="backup gives -1 for wait; delete the backup"):
        stopping.set_training_state({"best": 0.5, "wait": -1})


def test_a_second_interrupt_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sync = Session.sync
    interrupts = iter([KeyboardInterrupt])

    def interrupted(session: Session) -> None:
        for error in interrupts:
            raise error
        sync(session)

    found = []
    for kill in (None, 3):
        set_random_seed(3)
        model = models.Sequential([layers.Dense(3, input_shape=(4,))])
        model.compile(optimizers.SGD(0.05, momentum=0.9), "mse")
        if kill is None:
            for start in (0, 8):
                model.train_on_batch(X[start : start + 8], Y[start : start + 8])
        else:
            monkeypatch.setattr(Session, "sync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                model.fit(X, Y, batch_size=8, shuffle=False, verbose=0, callbacks=Kill(kill))
        found.append(model.get_weights())
        model.fit(X, Y, verbose=0, shuffle=False)
        found.append(model.get_weights())
    for one, other in zip(found[:2], found[2:], strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_two_trainings_at_once_are_refused() -> None:
    model = models.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile("sgd", "mse")
    inside, go_on, messages = threading.Event(), threading.Event(), []

    class Wait(callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            inside.set()
            go_on.wait(60)

    first = threading.Thread(target=lambda: model.fit(X, Y, verbose=0, callbacks=Wait()))
    first.start()
    inside.wait(60)
    for train in (lambda: model.fit(X, Y, verbose=0), lambda: model.train_on_batch(X, Y)):
        with pytest.raises(
            InvalidArgumentError, match="the model is being trained already; call it after fit"
        ) as caught:
            train()
        messages.append(str(caught.value).partition(":")[0])
    go_on.set()
    first.join()
    assert messages == ["fit", "train_on_batch"]
    model.fit(X, Y, verbose=0)


def test_a_table_on_a_full_disk_ends_the_training_with_a_sentence() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("a system without /dev/full")
    model = models.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile("sgd", "mse")
    with pytest.raises(InvalidArgumentError, match="CSVLogger: cannot write '/dev/full': No space left on device"):
        model.fit(X, Y, verbose=0, callbacks=callbacks.CSVLogger("/dev/full"))
    model.fit(X, Y, verbose=0)


def test_memory_that_is_not_there_is_said() -> None:
    with pytest.raises(MemoryError, match=r"not enough memory: [\d,]+ MB were asked for; use a smaller batch_size"):
        aligned_empty(2**62)

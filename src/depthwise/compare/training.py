"""One network trained with one seed, an epoch at a time, and what is kept when Ctrl-C stops it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from depthwise.classification import class_loss, scaled_for
from depthwise.compare.report import Epoch, Report, TrainingRun
from depthwise.data.dataset import Dataset
from depthwise.models import Model
from depthwise.optimizers import Adam
from depthwise.optimizers.schedules import CosineDecay
from depthwise.seeds import set_random_seed
from depthwise.training.callback import Callback
from depthwise.training.not_finite import TerminateOnNaN

__all__ = ["PEAK_LEARNING_RATE", "Observer", "Training", "count_correct", "describe_optimizer", "run_of", "train"]

PEAK_LEARNING_RATE = 0.003
"""Adam's highest rate. The first tenth of the steps leads up to it, half a cosine takes it to 0 by the last.

Without the way up SELU networks of ordinary convolutions lose their first epoch: on 6,000 images and 4 epochs the note's
ordinary twin came to 95.3 % instead of 98.0 %.
"""

_EPOCH_STRIDE = 1_000_003


class Observer(Protocol):
    """Who is told how far a comparison is."""

    def timing(self) -> None:
        """Prediction is about to be timed."""

    def measured(self, report: Report) -> None:
        """Everything that needs no training is known."""

    def training(self, network: int, seed: int, epoch: int, step: int, steps: int, accuracy: float) -> None:
        """A step is done: step `step` of `steps` in epoch `epoch`, all counted from 1; the accuracy of the epoch so far."""

    def epoch_done(self, network: int, seed: int, epoch: int, result: Epoch) -> None:
        """An epoch is trained and tested."""


def describe_optimizer() -> str:
    """The optimizer in words that need no translation."""
    return f"Adam, CosineDecay(0 → {PEAK_LEARNING_RATE:g} → 0)"


class _Watch(Callback):
    """Times each epoch without its test, keeps its logs, and the weights at its end."""

    def __init__(self, network: int, seed: int, observer: Observer) -> None:
        super().__init__()
        self.epochs: list[Epoch] = []
        self.weights: Mapping[str, NDArray[np.float32]] = {}
        self._network, self._seed, self._observer = network, seed, observer
        self._epoch = 0
        self._start = 0.0
        self._seconds: float | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch, self._seconds = epoch + 1, None
        self._start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        accuracy = float((logs or {})["accuracy"])
        self._observer.training(self._network, self._seed, self._epoch, batch + 1, self.params["steps"], accuracy)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._seconds = time.perf_counter() - self._start

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        seconds = time.perf_counter() - self._start if self._seconds is None else self._seconds
        values = logs or {}
        loss, accuracy, test_loss, test_accuracy = (
            float(values[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")
        )
        result = Epoch(loss, accuracy, test_loss, test_accuracy, seconds)
        # A model's arrays are replaced, never changed, so this keeps them as they are now.
        self.weights = dict(self.model.weights_by_name)
        self.epochs.append(result)
        self._observer.epoch_done(self._network, self._seed, epoch + 1, result)


class Training:
    """A new model that is trained an epoch at a time, so that two networks can take turns.

    Args:
        model: with new weights. epochs: how many there will be: the learning rate's way depends on it.
        network: which of the two it is, for `observer`.
    """

    def __init__(
        self, model: Model, data: Dataset, seed: int, epochs: int, batch_size: int, network: int, observer: Observer
    ) -> None:
        self.model = model
        self._data, self._seed, self._epochs, self._batch_size = data, seed, epochs, batch_size
        steps = epochs * -(-len(data.x_train) // batch_size)
        warmup = steps // 10
        schedule = CosineDecay(
            0.0, decay_steps=max(1, steps - warmup), warmup_target=PEAK_LEARNING_RATE, warmup_steps=warmup
        )
        model.compile(Adam(learning_rate=schedule), class_loss(model.graph), metrics=["accuracy"])
        self._watch = _Watch(network, seed, observer)
        self._interrupted = False

    def epoch(self) -> bool:
        """Trains and tests the next epoch. False where Ctrl-C ended it; the weights are those of the last whole epoch then."""
        done = len(self._watch.epochs)
        x_train, x_test = (scaled_for(self.model.graph, images) for images in (self._data.x_train, self._data.x_test))
        # The order of the images follows from the seed and the epoch, whatever was trained in between.
        set_random_seed((self._seed + done * _EPOCH_STRIDE) % 2**32)
        try:
            self.model.fit(
                x_train,
                self._data.y_train,
                batch_size=self._batch_size,
                initial_epoch=done,
                epochs=done + 1,
                verbose=0,
                callbacks=[TerminateOnNaN(), self._watch],
                validation_data=(x_test, self._data.y_test),
            )
        except KeyboardInterrupt:
            self._interrupted = True
            if self._watch.weights:
                self.model.set_weights_by_name(self._watch.weights)
        return not self._interrupted

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """Those that are done."""
        return tuple(self._watch.epochs)

    def resume(self, model: Model, epochs: Sequence[Epoch]) -> None:
        """Goes on with a copy of the model, compiled and with what its optimizer knew, after these epochs."""
        self.model = model
        self._watch.epochs = list(epochs)
        self._watch.weights = dict(model.weights_by_name)

    def run(self) -> TrainingRun:
        """What came of it."""
        return run_of(self._seed, self._watch.epochs, self._epochs, len(self._data.x_test))


def run_of(seed: int, epochs: Sequence[Epoch], wanted: int, tested: int) -> TrainingRun:
    """A training of which `epochs` are done, of as many as were `wanted`, each with a test of `tested` images."""
    if not epochs:
        return TrainingRun(seed, (), 0, 0, not wanted)
    return TrainingRun(seed, tuple(epochs), round(epochs[-1].test_accuracy * tested), tested, len(epochs) == wanted)


def train(
    model: Model, data: Dataset, seed: int, epochs: int, batch_size: int, network: int, observer: Observer
) -> tuple[TrainingRun, bool]:
    """Trains a new model; Ctrl-C ends it with the weights of its last whole epoch.

    Returns:
        the run, and whether Ctrl-C ended it.
    """
    training = Training(model, data, seed, epochs, batch_size, network, observer)
    whole = all(training.epoch() for _ in range(epochs))
    return training.run(), not whole


def count_correct(model: Model, data: Dataset) -> int:
    """How many of the test images get the highest output for their class."""
    outputs = model.predict(scaled_for(model.graph, data.x_test), verbose=0)
    return int(np.count_nonzero(np.argmax(outputs, axis=-1) == data.y_test))

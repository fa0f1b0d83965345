"""Trainings with every optimizer, interrupted and continued: by a backup to the bit, and through files."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import callbacks, layers, models, optimizers, regularizers
from depthwise.errors import InvalidArgumentError
from depthwise.reference.bounds import UNIT_ROUNDOFF as U

GENERATOR = np.random.default_rng(7)
X = GENERATOR.standard_normal((20, 5)).astype(np.float32)
Y = GENERATOR.standard_normal((20, 3)).astype(np.float32)

EVERY: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in sorted(optimizers.CLASSES)),
    ("SGD", {"momentum": 0.9, "use_ema": True, "ema_overwrite_frequency": 3}),
    ("Adam", {"amsgrad": True, "gradient_accumulation_steps": 3}),
]


class Interrupt(callbacks.Callback):
    """Stops the training after some batches, as a crash does, having changed a hyperparameter before."""

    def __init__(self, after: int, changes: dict[str, Any]) -> None:
        super().__init__()
        self.after, self.changes, self.count = after, changes, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count += 1
        if self.count == 2:
            for name, value in self.changes.items():
                setattr(self.model.optimizer, name, value)
        if self.count == self.after:
            raise KeyboardInterrupt


def made(name: str, arguments: dict[str, Any], start: Any = None) -> Any:
    orthogonal = regularizers.OrthogonalRegularizer(0.1)
    model = models.Sequential(
        [layers.Dense(4, input_shape=(5,), kernel_regularizer=orthogonal), layers.Dense(3, kernel_regularizer="l1_l2")]
    )
    if start is not None:
        model.set_weights(start)
    model.compile(getattr(optimizers, name)(0.01, **arguments), "mse")
    return model


@pytest.mark.parametrize(("name", "arguments"), EVERY, ids=str)
def test_a_backup_continues_to_the_bit(name: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    changes = {"weight_decay": 0.2, "clipnorm": 0.7}
    whole = made(name, arguments)
    start = whole.get_weights()
    options: dict[str, Any] = {"batch_size": 4, "epochs": 3, "shuffle": False, "verbose": 0}
    history = whole.fit(X, Y, callbacks=[Interrupt(1000, changes)], **options).history

    broken = made(name, arguments, start)
    backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(X, Y, callbacks=[Interrupt(8, changes), backup], **options)
    resumed = made(name, arguments, start)
    again = resumed.fit(
        X, Y, callbacks=[callbacks.BackupAndRestore(tmp_path / "backup", save_freq=1)], **options
    ).history
    assert resumed.optimizer.weight_decay == 0.2
    assert resumed.optimizer.clipnorm == 0.7
    assert again["loss"][-1] == history["loss"][-1]
    for a, b in zip(whole.get_weights(), resumed.get_weights()):
        assert np.array_equal(a, b)
    assert whole.optimizer.state.keys() == resumed.optimizer.state.keys()
    for key, value in whole.optimizer.state.items():
        assert np.array_equal(value, resumed.optimizer.state[key]), key


@pytest.mark.parametrize(("name", "arguments"), EVERY, ids=str)
def test_a_file_continues_to_the_bit(name: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    """Hyperparameters as they were set, and all that the optimizer keeps."""
    model = made(name, arguments)
    for _ in range(3):
        model.train_on_batch(X, Y)
    model.optimizer.weight_decay = 0.1
    model.train_on_batch(X, Y)
    model.save(tmp_path / "model.keras")
    read = models.load_model(tmp_path / "model.keras")
    assert read.optimizer.get_config() == model.optimizer.get_config()
    assert read.optimizer.steps == 4
    for other in (model, read):
        other.train_on_batch(X, Y)
        other.train_on_batch(X, Y)
    for a, b in zip(model.get_weights(), read.get_weights()):
        assert np.array_equal(a, b)


def test_an_optimizer_inside_one_that_scales_the_loss(tmp_path: Path) -> None:
    """Keras writes it for mixed precision; ours goes on with what the one inside has learnt."""
    theirs = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    theirs.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.02)), "mse")
    for _ in range(3):
        theirs.train_on_batch(X, Y)
    theirs.save(tmp_path / "scaled.keras")
    ours = models.load_model(tmp_path / "scaled.keras")
    assert isinstance(ours.optimizer, optimizers.Adam)
    assert ours.optimizer.steps == 3
    for model in (ours, theirs):
        model.train_on_batch(X, Y)
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        assert np.abs(a - b).max() <= 4 * 30 * U * 4.0
    inner = optimizers.SGD(0.1)
    assert optimizers.LossScaleOptimizer(inner, initial_scale=8.0) is inner
    with pytest.raises(InvalidArgumentError, match="initial_scale must be a number above 0, got 0"):
        optimizers.LossScaleOptimizer("sgd", initial_scale=0)

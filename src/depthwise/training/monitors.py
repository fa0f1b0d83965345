"""Callbacks that follow one value of the logs: stop, save, or lower the learning rate. Decisions are Keras' own."""

import math
import os
import warnings
from pathlib import Path
from typing import Any, ClassVar

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.training.callback import Callback, Logs

__all__ = ["EarlyStopping", "ModelCheckpoint", "MonitorCallback", "ReduceLROnPlateau"]


class MonitorCallback(Callback):
    """Base: knows which direction of `monitor` is better, and what counts as better.

    Args:
        monitor: name of the value in the logs.
        mode: "min", "max", or "auto": the loss falls, accuracies rise, as the metric of that name says.
        baseline: the value to beat at first, None for none.
        min_delta: smaller changes do not count.
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            raise InvalidArgumentError(
                f"{self._owner}: mode must be 'auto', 'min' or 'max', got {describe_value(mode)}"
            )
        self.monitor = monitor
        self.mode = mode
        self.best: float | None = baseline
        self.min_delta = abs(min_delta)
        self._rises: bool | None = {"min": False, "max": True}.get(mode)

    _remembered: ClassVar[tuple[str, ...]] = ("best",)
    """The attributes that change while training."""

    @property
    def _owner(self) -> str:
        return type(self).__name__

    def _find_direction(self) -> bool:
        if self._rises is None:
            name = self.monitor.removeprefix("val_")
            compiled = getattr(self._model, "compiled", None)
            direction = compiled.metric_set(self._model.graph).direction(name) if compiled is not None else None
            if name == "loss":
                direction = "down"
            if direction is None:
                known = ["loss"] if compiled is None else compiled.metric_set(self._model.graph).names
                if name in known:  # a function of the user's own
                    raise InvalidArgumentError(
                        f"{self._owner}: whether {describe_value(self.monitor)} should rise or fall is not known, as it is a "
                        "function of your own; give mode='min' or mode='max'"
                    )
                raise InvalidArgumentError(
                    f"{self._owner}: whether {describe_value(self.monitor)} should rise or fall is not known; the logs have "
                    f"{', '.join(known)}, and the same with val_ in front for the validation: monitor one of these, or give "
                    "mode='min' or mode='max' for a value that a callback of your own adds"
                )
            self._rises = direction == "up"
        return self._rises

    def is_improvement(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference` by more than `min_delta`; anything is better than None."""
        if reference is None:
            return True
        if self._find_direction():
            return value - self.min_delta > reference
        return value + self.min_delta < reference

    def get_training_state(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in self._remembered}
        return {**state, "best": None if self.best is None else float(self.best)}  # a callback may log a NumPy number

    def set_training_state(self, state: dict[str, Any]) -> None:
        for name in self._remembered:
            value = state.get(name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            fine = {"best": value is None or number, "best_weights": value is None or isinstance(value, list)}
            if not fine.get(name, type(value) is int and value >= 0):
                raise InvalidArgumentError(
                    f"{self._owner}: the training's backup gives {describe_value(value)} for {name}; delete the backup to start "
                    "afresh"
                )
            setattr(self, name, value)

    def _missing(self, logs: dict[str, Any], consequence: str) -> None:
        warnings.warn(
            f"{self._owner}: there is no {describe_value(self.monitor)} in the logs ({', '.join(logs)}), so "
            f"{consequence}; give validation_data, or monitor one of these",
            stacklevel=5,
        )


def _whole(owner: str, name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 0:
        raise InvalidArgumentError(f"{owner}: {name} must be an integer of at least 0, got {describe_value(value)}")
    return int(value)


class EarlyStopping(MonitorCallback):
    """Stops when `monitor` has not improved for `patience` epochs.

    Args:
        monitor, min_delta, mode: see `MonitorCallback`.
        patience: epochs without improvement to wait for.
        verbose: 1 prints what is done.
        baseline: a value that must be beaten for an epoch to count as an improvement.
        restore_best_weights: at the end, go back to the weights of the best epoch.
        start_from_epoch: epochs to let pass before looking.
    """

    _remembered: ClassVar[tuple[str, ...]] = ("best", "wait", "stopped_epoch", "best_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = _whole(self._owner, "patience", patience)
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = _whole(self._owner, "start_from_epoch", start_from_epoch)
        self.wait = 0
        self.stopped_epoch = 0
        self.best_epoch = 0
        self.best_weights: list[Any] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._find_direction()
        current = (logs or {}).get(self.monitor)
        if current is None:
            self._missing(logs or {}, "training is not stopped early")
            return
        if epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self.is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.is_improvement(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    Args:
        monitor, mode, min_delta: see `MonitorCallback`.
        factor: from 0 to below 1.
        patience: epochs without improvement to wait for.
        verbose: 1 prints what is done.
        cooldown: epochs to wait after a reduction before counting again.
        min_lr: the learning rate is not lowered below it.
    """

    _remembered: ClassVar[tuple[str, ...]] = ("best", "wait", "cooldown_counter")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if not 0 <= factor < 1:
            raise InvalidArgumentError(f"{self._owner}: factor must be from 0 to below 1, got {describe_value(factor)}")
        self.factor = factor
        self.patience = _whole(self._owner, "patience", patience)
        self.verbose = verbose
        self.cooldown = _whole(self._owner, "cooldown", cooldown)
        self.min_lr = min_lr
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._find_direction()
        logs = {} if logs is None else logs
        optimizer = self._model.optimizer
        logs["learning_rate"] = float(optimizer.learning_rate)
        current = logs.get(self.monitor)
        if current is None:
            self._missing(logs, "the learning rate is not lowered")
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            old = float(optimizer.learning_rate)
            if self.wait >= self.patience and old > self.min_lr:
                new = max(old * self.factor, self.min_lr)
                optimizer.learning_rate = new
                if self.verbose > 0:
                    print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
                self.cooldown_counter = self.cooldown
                self.wait = 0


class ModelCheckpoint(MonitorCallback):
    """Saves the model, or its weights, while training. Each file is replaced at once: a crash leaves the old one whole.

    Args:
        filepath: ends in `.keras`, or in `.weights.h5` with `save_weights_only`; may hold `{epoch:02d}`, `{batch}` and names
            of the logs: `"{epoch:02d}-{val_loss:.2f}.keras"`. Missing folders are made.
        monitor, mode: see `MonitorCallback`; for `save_best_only`.
        verbose: 1 prints what is done.
        save_best_only: save only when `monitor` has improved.
        save_weights_only: save the weights without the network.
        save_freq: "epoch", or after so many batches.
        initial_value_threshold: save only what is better than this.
    """

    _remembered: ClassVar[tuple[str, ...]] = ("best", "_batches")

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        if save_freq != "epoch" and (isinstance(save_freq, (bool, str)) or save_freq < 1):
            raise InvalidArgumentError(
                f"{self._owner}: save_freq must be 'epoch' or a number of batches, got {describe_value(save_freq)}"
            )
        self.save_freq = save_freq
        ending = ".weights.h5" if save_weights_only else ".keras"
        if not self.filepath.endswith(ending):
            raise InvalidArgumentError(
                f"{self._owner}: filepath must end in {ending}, got {describe_value(self.filepath)}"
            )
        self._batches = 0
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches >= int(self.save_freq):
            self._batches = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        values = {"epoch": epoch + 1, **logs}
        if batch is not None:
            values.setdefault("batch", batch + 1)
        try:
            return self.filepath.format(**values)
        except (KeyError, IndexError, ValueError) as error:
            raise InvalidArgumentError(
                f"{self._owner}: filepath {describe_value(self.filepath)} cannot be filled in ({describe_value(str(error))}); "
                f"names it may hold are {', '.join(values)}"
            ) from error

    def _wanted(self, epoch: int, logs: dict[str, Any], path: str) -> bool:
        if not self.save_best_only:
            return True
        current = logs.get(self.monitor)
        if current is None:
            self._missing(logs, "the model is saved whether it is better or not")
            return True
        if not math.isfinite(current):
            return False
        before = "None" if self.best is None else f"{self.best:.5f}"
        if self.is_improvement(current, self.best):
            if self.verbose > 0:
                print(
                    f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to {current:.5f}, saving model to {path}"
                )
            self.best = current
            return True
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {before}")
        return False

    def _save(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> None:
        path = self._path(epoch, batch, logs)
        if not self._wanted(epoch, logs, path):
            return
        if Path(path).is_dir():
            raise InvalidArgumentError(f"{self._owner}: filepath {describe_value(path)} is a folder; name a file")
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgumentError(
                f"{self._owner}: the folder of {describe_value(path)} cannot be made: {error.strerror}"
            ) from error
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: finished saving model to {path}")

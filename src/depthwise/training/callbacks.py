"""`depthwise.callbacks`: Keras' callbacks by name."""

import contextlib
import csv
import math
import os
from collections.abc import Callable, Iterator
from typing import IO, Any

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.training.callback import Callback, CallbackList, LambdaCallback, Logs
from depthwise.training.checkpoint import BackupAndRestore
from depthwise.training.history import History
from depthwise.training.monitors import EarlyStopping, ModelCheckpoint, MonitorCallback, ReduceLROnPlateau
from depthwise.training.not_finite import NotFiniteWarning, TerminateOnNaN
from depthwise.training.progress import ProgbarLogger
from depthwise.training.refused_callbacks import OrbaxCheckpoint, RemoteMonitor, SwapEMAWeights, TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "NotFiniteWarning",
    "OrbaxCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch.

    Args:
        schedule: called with (epoch, learning rate), or with (epoch) where it takes one argument; returns the new rate.
        verbose: 1 prints it.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise InvalidArgumentError(
                f"LearningRateScheduler: schedule must be a function (epoch, lr) -> lr, got {describe_value(schedule)}"
            )
        self.schedule = schedule
        self.verbose = verbose
        self._last: int | None = None
        self._resumed: int | None = None

    def get_training_state(self) -> dict[str, Any]:
        return {"epoch": self._last}

    def set_training_state(self, state: dict[str, Any]) -> None:
        self._resumed = state.get("epoch")

    def on_train_begin(self, logs: Logs = None) -> None:
        self._last = self._resumed = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        resumed, self._last, self._resumed = self._resumed, epoch, None
        if epoch == resumed:
            return  # A backup from the middle of the epoch: its learning rate is the one that was set at its beginning.
        optimizer = self._model.optimizer
        try:
            rate = self.schedule(epoch, float(optimizer.learning_rate))
        except TypeError:  # as Keras: the old form takes the epoch alone
            rate = self.schedule(epoch)
        if isinstance(rate, bool) or not hasattr(rate, "__float__") or not math.isfinite(float(rate)):
            raise InvalidArgumentError(
                f"LearningRateScheduler: schedule must return a finite number, got {describe_value(rate)} for epoch {epoch}"
            )
        optimizer.learning_rate = float(rate)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(self._model.optimizer.learning_rate)


class CSVLogger(Callback):
    """Writes every epoch's logs as a row of a CSV file; a row is flushed before the next epoch begins.

    Args:
        filename: the file. separator: between its columns.
        append: go on with an existing file instead of replacing it.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        if not isinstance(separator, str) or len(separator) != 1:
            raise InvalidArgumentError(f"CSVLogger: separator must be one character, got {describe_value(separator)}")
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self.keys: list[str] | None = None
        self._file: IO[str] | None = None
        self._writer: Any = None
        self._header = True

    def on_train_begin(self, logs: Logs = None) -> None:
        self._close()
        with self._explained():
            if self.append and os.path.exists(self.filename):
                self._header = os.path.getsize(self.filename) == 0
            self._file = open(self.filename, "a" if self.append else "w", encoding="utf-8", newline="")  # noqa: SIM115
        self.keys, self._writer = None, None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        with self._explained():
            self._write(epoch, logs)

    def _write(self, epoch: int, logs: dict[str, Any]) -> None:
        assert self._file is not None
        if self._writer is None:
            keys = sorted(logs)
            if not any(key.startswith("val_") for key in keys):
                # As Keras: room for a validation that runs in later epochs only (validation_freq).
                keys += [f"val_{key}" for key in keys]
            self.keys = keys
            self._writer = csv.DictWriter(self._file, ["epoch", *keys], delimiter=self.separator)
            if self._header:
                self._writer.writerow({"epoch": "epoch", **{key: _plain(key) for key in keys}})
        assert self.keys is not None
        self._writer.writerow({"epoch": epoch, **{key: logs.get(key, "NA") for key in self.keys}})
        self._file.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        self._close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """A disk that fails ends the training with a sentence."""
        try:
            yield
        except OSError as error:
            self._close()
            raise InvalidArgumentError(
                f"CSVLogger: cannot write {describe_value(self.filename)}: {error.strerror}"
            ) from error

    def _close(self) -> None:
        file, self._file, self._writer = self._file, None, None
        if file is not None:
            with contextlib.suppress(OSError):  # of a row that could not be written, which has been said
                file.close()

    def __del__(self) -> None:
        if self.__dict__.get("_file") is not None:  # interrupted: on_train_end was never reached
            self._close()


def _plain(name: str) -> str:
    """A metric's name as a spreadsheet shows it: one that begins as a formula, which may come from a model's file, is marked as text."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name

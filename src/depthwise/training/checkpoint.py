"""Files that an interrupted training continues from: weights, optimizer state, epoch, batch, the seed of all that is random, and what
callbacks know.

A file is an `.npz` without pickle, written atomically. Resumed, a training takes the same steps, to the bit, that it would
have taken without the break.
"""

import contextlib
import json
import os
import struct
import zipfile
import zlib
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeAlias

import numpy as np

from depthwise.data.npy import read_npy_header
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError, describe_value
from depthwise.files import atomic_write
from depthwise.network.graph import Graph
from depthwise.optimizers import OptimizerDescription
from depthwise.training.batches import Place
from depthwise.training.callback import Callback, Logs
from depthwise.training.session import Session

__all__ = ["BackupAndRestore", "TrainingState", "load_state", "save_state"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

VERSION = 1
_META_LIMIT = 1 << 20
WEIGHTS = "/weights"
"""Stands for weights in the state of a callback."""
_MOST_REMEMBERED = 8


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training has come.

    Attributes:
        epoch, step: what comes next. round, index: the batch that comes next (`batches.Place`).
        steps: steps of an epoch, None while unknown.
        seed: shuffles and dropout follow from it.
        learning_rate: None where a schedule decides.
        iterations: steps done in all.
        metrics: the numbers of each metric in the epoch that is running.
        settings: the optimizer's numbers and flags, as they were set last.
        callbacks: class and state of each callback that has one; where it remembers weights, `WEIGHTS` stands for them.
        stopped: whether a callback has ended the training.
    """

    epoch: int
    step: int
    round: int
    index: int
    steps: int | None
    seed: int
    learning_rate: float | None
    iterations: int
    metrics: list[list[float]]
    settings: dict[str, Any] = field(default_factory=dict)
    callbacks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    stopped: bool = False


@dataclass(frozen=True)
class TrainingState:
    """The whole state of a training: see the module."""

    progress: TrainingProgress
    weights: dict[str, Array]
    optimizer_state: dict[str, Array]
    remembered: list[dict[str, Array]] = field(default_factory=list)
    """Weights that callbacks remember, in the order in which `WEIGHTS` stands for them."""


def save_state(path: str | os.PathLike[str], state: TrainingState) -> None:
    """Writes `state` to `path` atomically.

    Raises:
        InvalidArgumentError, DepthwiseError: see `depthwise.files.atomic_write`.
    """
    meta = json.dumps({"version": VERSION, **asdict(state.progress)}).encode()
    arrays = {f"weights/{name}": array for name, array in state.weights.items()}
    arrays |= {f"optimizer/{name}": np.asarray(array) for name, array in state.optimizer_state.items()}
    for number, weights in enumerate(state.remembered):
        arrays |= {f"callbacks/{number}/{name}": array for name, array in weights.items()}

    def write(file: BinaryIO) -> None:
        np.savez(file, allow_pickle=False, meta=np.frombuffer(meta, dtype=np.uint8), **arrays)

    atomic_write(path, write)


def load_state(path: str | os.PathLike[str], graph: Graph, optimizer: OptimizerDescription) -> TrainingState:
    """Reads what `save_state` wrote for the same network and optimizer.

    Nothing is allocated that the network does not imply: every array's shape is known before it is read.

    Raises:
        InvalidFileError: damaged, foreign, or of another network or optimizer.
    """
    shapes = dict(graph.weight_shapes)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != len(set(names)):
                raise _damaged(path, "holds a name twice")
            progress = _progress(path, archive)
            try:
                optimizer = optimizer.with_settings(progress.settings)
            except InvalidArgumentError as error:
                raise _damaged(path, f"has impossible settings ({error})") from error
            weights = {name: _read(path, archive, f"weights/{name}", shape) for name, shape in shapes.items()}
            count = sum(value == WEIGHTS for _, kept in progress.callbacks for value in kept.values())
            own = {f"callbacks/{number}/{name}": shape for number in range(count) for name, shape in shapes.items()}
            remembered = [
                {name: _read(path, archive, f"callbacks/{number}/{name}", shape) for name, shape in shapes.items()}
                for number in range(count)
            ]
            state: dict[str, Array] = {}
            for member in names:
                key = member.removesuffix(".npy").removeprefix("optimizer/")
                if not member.startswith("optimizer/"):
                    if member.removesuffix(".npy") in own:
                        continue
                    if member != "meta.npy" and member.removesuffix(".npy").removeprefix("weights/") not in shapes:
                        raise _damaged(path, f"holds {describe_value(member)}, which the network does not have")
                    continue
                owner, _, slot = key.rpartition("/")
                if owner in shapes and slot in optimizer.slots and optimizer.keeps(slot, owner, shapes[owner]):
                    shape = optimizer.slot_shape(slot, shapes[owner])
                    state[key] = _read(path, archive, f"optimizer/{key}", shape)
                elif key == "iteration" or key in optimizer.numbers:
                    state[key] = _read(path, archive, f"optimizer/{key}", ())
                else:
                    raise _damaged(path, f"holds {describe_value(key)}, which the optimizer does not keep")
    except DepthwiseError:
        raise
    # ValueError: a name that is not UTF-8, a size that an array cannot have; struct.error: fields of the zip that are cut off.
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        KeyError,
        ValueError,
        RuntimeError,
    ) as error:
        raise _damaged(path, f"cannot be read ({describe_value(str(error))})") from error
    return TrainingState(progress, weights, state, remembered)


def _damaged(path: str | os.PathLike[str], what: str) -> InvalidFileError:
    return InvalidFileError(
        f"the training backup {describe_value(os.fspath(path), 200)} {what}; it is damaged or of another training: delete it "
        "to start afresh"
    )


def _progress(path: str | os.PathLike[str], archive: zipfile.ZipFile) -> TrainingProgress:
    info = archive.getinfo("meta.npy")
    if info.file_size > _META_LIMIT:
        raise _damaged(path, f"claims {info.file_size} bytes of metadata")
    with archive.open(info) as stream:
        metadata = _array(path, stream, "meta", None, np.dtype(np.uint8))
    try:
        meta = json.loads(metadata.tobytes())
        if meta.pop("version") != VERSION:
            raise _damaged(path, "was written by another version of Depthwise")
        progress = TrainingProgress(**meta)
        kept: list[tuple[str, dict[str, Any]]] = [(name, dict(state)) for name, state in progress.callbacks]
        values = [value for _, state in kept for value in state.values()]
        kept_fine = all(value is None or isinstance(value, (bool, int, float, str)) for value in values)
        kept_fine = (
            kept_fine and all(isinstance(name, str) for name, _ in kept) and values.count(WEIGHTS) <= _MOST_REMEMBERED
        )
        kept_fine = kept_fine and type(progress.stopped) is bool
        counts = (progress.epoch, progress.step, progress.round, progress.index, progress.seed, progress.iterations)
        steps_fine = progress.steps is None or type(progress.steps) is int
        rate_fine = progress.learning_rate is None or isinstance(progress.learning_rate, float)
        sums_fine = all(isinstance(item, float) for numbers in progress.metrics for item in numbers)
        settings = progress.settings.values()
        settings_fine = all(value is None or isinstance(value, (bool, int, float)) for value in settings)
        fine = all(type(count) is int and count >= 0 for count in counts) and steps_fine and rate_fine and sums_fine
        fine = fine and settings_fine and kept_fine
        progress = replace(progress, callbacks=kept)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, "has unreadable metadata") from error
    if not fine:
        raise _damaged(path, "has impossible metadata")
    return progress


def _read(path: str | os.PathLike[str], archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> Array:
    with archive.open(f"{name}.npy") as stream:
        return _array(path, stream, name, shape, None)


def _array(
    path: str | os.PathLike[str], stream: Any, name: str, shape: tuple[int, ...] | None, dtype: np.dtype[Any] | None
) -> Array:
    try:
        found, fortran_order, kind = read_npy_header(stream)
    except ValueError as error:
        raise _damaged(path, f"has no valid array {describe_value(name)}") from error
    allowed = dtype is None or kind == dtype
    if kind.kind not in "iuf" or kind.itemsize > 8 or fortran_order or not allowed:
        raise _damaged(path, f"holds {describe_value(name)} of dtype {describe_value(str(kind))}")
    if shape is None and len(found) == 1 and 0 <= found[0] <= _META_LIMIT:
        shape = found
    if found != shape:
        raise _damaged(
            path, f"holds {describe_value(name)} of shape {describe_value(found)}, not {describe_value(shape)}"
        )
    count = int(np.prod(found, dtype=np.int64))
    data = stream.read(count * kind.itemsize)
    if len(data) != count * kind.itemsize:
        raise _damaged(path, f"ends within {describe_value(name)}")
    return np.frombuffer(data, dtype=kind).reshape(found).copy()


class BackupAndRestore(Callback):
    """Backs the training up while it runs; when `fit` is called again after a crash, it continues from there.

    Pass it to `fit` in both calls, with the same data and arguments: the second call restores weights, optimizer, learning
    rate, epoch and batch, the order of the batches that are left, and what the other callbacks know (`EarlyStopping`,
    `ReduceLROnPlateau`, `ModelCheckpoint`, `LearningRateScheduler`, and yours if they have `get_training_state` and
    `set_training_state`). It is called last at the end of batches and epochs.

    Args:
        backup_dir: a folder of its own; made where missing.
        save_freq: "epoch", or after so many batches.
        double_checkpoint: keep the backup before the last one too, for a disk that loses files.
        delete_checkpoint: delete the backup when `fit` comes to its end.
    """

    saves_training_state: ClassVar[bool] = True

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not os.fspath(backup_dir):
            raise InvalidArgumentError("BackupAndRestore: backup_dir is empty; name a folder")
        if save_freq is False:
            raise UnsupportedError(
                "BackupAndRestore: save_freq=False is not supported; use 'epoch' or a number of batches"
            )
        if save_freq != "epoch" and (isinstance(save_freq, (bool, str)) or save_freq < 1):
            raise InvalidArgumentError(
                f"BackupAndRestore: save_freq must be 'epoch' or a number of batches, got {describe_value(save_freq)}"
            )
        self.backup_dir = Path(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self.path = self.backup_dir / "training.npz"
        self.previous_path = self.backup_dir / "training.previous.npz"
        self._epoch = 0
        self._batches = 0

    @property
    def _session(self) -> Session:
        session: Session = self._model.compiled.session
        return session

    def on_train_begin(self, logs: Logs = None) -> None:
        self._batches = 0
        session = self._session
        for path in (self.path, self.previous_path):
            if not path.exists():
                continue
            try:
                state = load_state(path, self._model.graph, session.optimizer.description)
            except InvalidFileError:
                if path == self.path and self.previous_path.exists():
                    continue
                raise
            self._restore(session, state)
            return

    def _restore(self, session: Session, state: TrainingState) -> None:
        progress, schedule = state.progress, session.schedule
        assert schedule is not None
        if progress.steps is not None and schedule.count is not None and progress.steps != schedule.count:
            raise InvalidArgumentError(
                f"the backup in {describe_value(os.fspath(self.backup_dir), 200)} is of a training with {progress.steps} steps "
                f"an epoch, this one has {schedule.count}; use the same data and batch_size, or delete the backup"
            )
        try:
            session.metrics.restore(progress.metrics)
        except (ValueError, IndexError, OverflowError) as error:  # the last of an infinite count
            raise InvalidArgumentError(
                f"the backup in {describe_value(os.fspath(self.backup_dir), 200)} is of a training with other metrics; compile "
                "with the same ones, or delete the backup"
            ) from error
        session.optimizer.take_settings(progress.settings)
        session.take_settings()
        session.put(state.weights, state.optimizer_state)
        session.optimizer.steps = progress.iterations
        if progress.learning_rate is not None and not session.optimizer.has_schedule:
            session.optimizer.learning_rate = progress.learning_rate
        remembered = iter(state.remembered)
        session.callback_states = [
            (name, {key: list(next(remembered).values()) if value == WEIGHTS else value for key, value in kept.items()})
            for name, kept in progress.callbacks
        ]
        session.stopped = progress.stopped
        session.restart(progress.seed, progress.epoch, progress.step, Place(progress.round, progress.index))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches >= int(self.save_freq):
            self._batches = 0
            self._save(self._epoch, batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch + 1, 0)

    def _save(self, epoch: int, step: int) -> None:
        session = self._session
        session.sync()
        optimizer, schedule = session.optimizer, session.schedule
        assert schedule is not None
        callbacks, remembered = self._known(session)
        progress = TrainingProgress(
            epoch=epoch,
            step=step,
            round=schedule.next.round,
            index=schedule.next.index,
            steps=schedule.count,
            seed=session.seed,
            learning_rate=None if optimizer.has_schedule else float(optimizer.learning_rate),
            iterations=optimizer.steps,
            metrics=[[float(item) for item in pair] for pair in session.metrics.state],
            settings=optimizer.description.settings,
            callbacks=callbacks,
            stopped=bool(self._model.stop_training),
        )
        try:
            self.backup_dir.mkdir(parents=True, exist_ok=True)
            if self.double_checkpoint and self.path.exists():
                os.replace(self.path, self.previous_path)
        except OSError as error:
            raise InvalidArgumentError(
                f"BackupAndRestore: the folder {describe_value(os.fspath(self.backup_dir), 200)} cannot be used: "
                f"{error.strerror}"
            ) from error
        weights = dict(self._model.weights_by_name)
        save_state(self.path, TrainingState(progress, weights, optimizer.state, remembered))

    def _known(self, session: Session) -> tuple[list[tuple[str, dict[str, Any]]], list[dict[str, Array]]]:
        """What the callbacks remember, as `TrainingProgress` and `TrainingState` hold it."""
        shapes = dict(self._model.graph.weight_shapes)
        known: list[tuple[str, dict[str, Any]]] = []
        remembered: list[dict[str, Array]] = []
        for owner, state in session.listeners.get_training_states():
            kept = dict(state)
            for key, value in state.items():
                if isinstance(value, list) and [np.shape(item) for item in value] == list(shapes.values()):
                    remembered.append({name: np.asarray(item, np.float32) for name, item in zip(shapes, value)})
                    kept[key] = WEIGHTS
                elif value == WEIGHTS or not (value is None or isinstance(value, (bool, int, float, str))):
                    raise InvalidArgumentError(
                        f"BackupAndRestore: {owner}.get_training_state gives {describe_value(value)} for {describe_value(key)}; "
                        "a backup holds numbers, texts, None, and lists of arrays as model.get_weights() gives them"
                    )
            known.append((owner, kept))
        if len(remembered) > _MOST_REMEMBERED:
            raise InvalidArgumentError(
                f"BackupAndRestore: callbacks remember {len(remembered)} sets of weights; a backup holds {_MOST_REMEMBERED}"
            )
        return known, remembered

    def on_train_end(self, logs: Logs = None) -> None:
        if self.delete_checkpoint:
            for path in (self.path, self.previous_path):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the folder holds something else, or is gone
                self.backup_dir.rmdir()

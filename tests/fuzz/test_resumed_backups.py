"""Promise: a training that continues from any backup, damaged as it may be, goes on or says one sentence."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise import callbacks, layers, models
from depthwise.errors import DepthwiseError

from .mutations import change_json

Change = Callable[[dict[str, Any]], object]
X, Y = np.ones((6, 3), np.float32), np.zeros((6, 2), np.float32)


class Backup:
    """A tiny training that was interrupted in its first epoch, and can be continued from other backups."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = models.Sequential([layers.Dense(2, input_shape=(3,))])
        self.model.compile("adam", "mse", metrics=["mae", "r2_score"])

        class Interrupt(callbacks.Callback):
            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                if batch:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.fit(Interrupt())
        self.path = folder / "training.npz"
        with zipfile.ZipFile(self.path) as archive:
            self.parts = {name: archive.read(name) for name in archive.namelist()}
        self.meta: bytes = np.load(io.BytesIO(self.parts["meta.npy"])).tobytes()

    def fit(self, *others: Any) -> None:
        kept = callbacks.BackupAndRestore(self.folder, save_freq=1, delete_checkpoint=False)
        stopping = callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True)
        self.model.fit(X, Y, 2, 2, verbose=0, callbacks=[*others, kept, stopping, callbacks.ReduceLROnPlateau("loss")])

    def outcome(self, meta: bytes) -> str:
        """How the training goes on from a backup with this metadata."""
        buffer = io.BytesIO()
        np.save(buffer, np.frombuffer(meta, np.uint8))
        with zipfile.ZipFile(self.path, "w") as archive:
            for name, content in (self.parts | {"meta.npy": buffer.getvalue()}).items():
                archive.writestr(name, content)
        try:
            self.fit()
        except DepthwiseError as error:
            return "refused" if str(error).isprintable() else "not printable"
        return "continued"


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    return Backup(tmp_path)


def test_what_once_failed(backup: Backup) -> None:
    def changed(change: Change) -> str:
        meta = json.loads(backup.meta)
        change(meta)
        return backup.outcome(json.dumps(meta).encode())

    assert changed(lambda meta: None) == "continued"
    assert changed(lambda meta: meta["callbacks"][0].__setitem__(1, [])) == "refused"
    assert changed(lambda meta: meta["callbacks"][1].__setitem__(1, [["wait", 1]])) == "refused"
    assert changed(lambda meta: meta["metrics"][-1].__setitem__(0, float("inf"))) == "refused"


@pytest.mark.sweep
@pytest.mark.filterwarnings(
    "ignore::RuntimeWarning", "ignore::UserWarning"
)  # numbers overflow, data runs out: that may be
def test_metadata_changed_at_random(backup: Backup, record_property: Callable[[str, object], None]) -> None:
    outcomes = [backup.outcome(change_json(backup.meta, random.Random(seed))) for seed in range(1_000)]
    assert set(outcomes) == {"continued", "refused"}
    assert 50 < outcomes.count("continued") < 500
    record_property("tried", len(outcomes))

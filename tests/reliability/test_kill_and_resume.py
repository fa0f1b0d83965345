"""Promise: a training that is killed and started again takes the same steps, to the bit, that it would have taken in one go.

Drawn at random: optimizer, schedule, callbacks with state, validation, data as arrays or batches, how often it is backed up, after how many
hooks it is killed, and how many threads each life has. Every life is a process of its own, forked from one that has made nothing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = """
import hashlib, json, os, random, shutil, signal, sys
from pathlib import Path
import numpy as np
from depthwise import callbacks, layers, metrics, models, optimizers, set_threads
from depthwise.optimizers import schedules
from depthwise.utils import Sequence, set_random_seed

folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
X = rng.normal(size=(22, 5, 4, 2)).astype(np.float32)
Y = rng.normal(size=(22, 3)).astype(np.float32)

class Batches(Sequence):
    def __len__(self):
        return 4
    def __getitem__(self, index):
        return X[6 * index : 6 * index + 6], Y[6 * index : 6 * index + 6]

class Memory(callbacks.Callback):
    total = 0.0
    def get_training_state(self):
        return {"total": self.total}
    def set_training_state(self, state):
        self.total = state["total"]
    def on_train_batch_end(self, batch, logs=None):
        self.total += logs["loss"]
    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.05 / (1.0 + self.total)

class Kill(callbacks.Callback):
    def __init__(self, hooks):
        super().__init__()
        self.left = hooks
    def count(self, *_, **__):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    on_train_batch_begin = on_train_batch_end = on_epoch_begin = on_epoch_end = on_test_end = count

OPTIMIZERS = [
    lambda rate: optimizers.SGD(rate, momentum=0.9, nesterov=True), lambda rate: optimizers.Adam(rate),
    lambda rate: optimizers.AdamW(rate, amsgrad=True), lambda rate: optimizers.RMSprop(rate, centered=True),
    lambda rate: optimizers.Nadam(rate), lambda rate: optimizers.Adagrad(rate), lambda rate: optimizers.Adadelta(rate),
    lambda rate: optimizers.Lion(rate), lambda rate: optimizers.Ftrl(rate), lambda rate: optimizers.Adamax(rate),
    lambda rate: optimizers.Adam(rate, use_ema=True, ema_overwrite_frequency=3),
    lambda rate: optimizers.SGD(rate, gradient_accumulation_steps=3),
]
RATES = [
    lambda: 0.05, lambda: schedules.ExponentialDecay(0.05, 5, 0.8), lambda: schedules.CosineDecay(0.05, 20),
    lambda: schedules.PiecewiseConstantDecay([6, 11], [0.05, 0.02, 0.01]),
]
CALLBACKS = [
    lambda watched: [], lambda watched: [callbacks.EarlyStopping(watched, 0.01, 1, restore_best_weights=True)],
    lambda watched: [callbacks.ReduceLROnPlateau(watched, 0.5, 1, min_delta=0.02, cooldown=1)],
    lambda watched: [callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7)],
    lambda watched: [callbacks.EarlyStopping(watched, 0.0, 2), Memory()],
    lambda watched: [callbacks.ModelCheckpoint(folder / "best.weights.h5", watched, save_best_only=True, save_weights_only=True)],
]

def train(case, backup, kill, threads):
    chance = random.Random(case)
    set_threads(threads)
    set_random_seed(case)
    model = models.Sequential([
        layers.SeparableConv2D(3, 2, activation="relu", input_shape=(5, 4, 2)), layers.BatchNormalization(),
        layers.Dropout(0.3), layers.Flatten(), layers.Dense(3),
    ])
    rate = chance.choice(RATES)()
    model.compile(chance.choice(OPTIMIZERS)(rate), "mse", metrics=["mae"])
    kind = chance.choice(["arrays", "split", "data", "batches"])
    arguments = {
        "arrays": {"x": X, "y": Y}, "split": {"x": X, "y": Y, "validation_split": 0.3},
        "data": {"x": X, "y": Y, "validation_data": (X[:5], Y[:5]), "shuffle": chance.random() < 0.7},
        "batches": {"x": Batches(), "validation_data": (X[:5], Y[:5]), "validation_freq": 2},
    }[kind]
    if kind != "batches":
        arguments["batch_size"] = 6
    watched = "val_loss" if kind in ("split", "data") else "loss"
    fixed = [index for index in range(len(CALLBACKS)) if isinstance(rate, float) or index in (0, 1, 5)]
    used = CALLBACKS[chance.choice(fixed)](watched)
    saved = callbacks.BackupAndRestore(backup, chance.choice(["epoch", 1, 2, 3]), chance.random() < 0.5)
    used.insert(chance.randrange(len(used) + 1), saved)
    if kill:
        used.insert(chance.randrange(len(used) + 1), Kill(kill))
    model.fit(**arguments, epochs=5, verbose=0, callbacks=used)
    state = b"".join(np.asarray(array).tobytes() for _, array in sorted(model.optimizer.state.items()))
    weights = b"".join(array.tobytes() for array in model.get_weights())
    return hashlib.sha256(weights + state + repr(float(model.optimizer.learning_rate)).encode()).hexdigest()

def life(case, backup, kill, threads):
    '''Its result, None where it was killed.'''
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, train(case, backup, kill, threads).encode())
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as file:
        result = file.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL, f"case {case} failed"
    return result or None

cases = lives = 0
different = []
for case in range(first, first + count):
    chance = random.Random(-1 - case)
    backup = folder / "backup"
    whole = life(case, backup, 0, 1)
    result = None
    for number in range(40):
        kill = 0 if number == 39 else chance.randrange(2, 45)
        result = life(case, backup, kill, chance.randrange(1, 4))
        lives += 1
        if result is not None:
            break
    cases += 1
    if result != whole:
        different.append(case)
    shutil.rmtree(backup, ignore_errors=True)
print(json.dumps({"cases": cases, "lives": lives, "different": different}))
"""


def resumed(folder: Path, first: int, count: int) -> dict[str, object]:
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        SCRIPT,
        os.fspath(folder),
        str(first),
        str(count),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, object] = json.loads(done.stdout)
    print(found)
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX's")
@pytest.mark.parametrize(
    ("first", "count"),
    [pytest.param(0, 12, marks=pytest.mark.sweep), pytest.param(12, 238, marks=pytest.mark.long)],
)
def test_lives_end_with_the_same_bits(
    tmp_path: Path, first: int, count: int, record_property: Callable[[str, object], None]
) -> None:
    found = resumed(tmp_path, first, count)
    record_property("tried", found["lives"])
    assert found["cases"] == count
    assert found["different"] == []
    assert int(str(found["lives"])) > 2 * count, "hardly a training was killed"

"""Callbacks against real Keras on scripted values, files that survive a crash, and trainings that go to NaN."""

import csv
import os
import random
import subprocess
import sys
import textwrap
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import layers, metrics, models
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError
from depthwise.metrics import SparseCategoricalAccuracy
from depthwise.optimizers import SGD, Adam
from depthwise.random import set_random_seed
from depthwise.training import callbacks, not_finite
from depthwise.training.callback import CallbackList
from depthwise.training.metric_set import MetricSet
from depthwise.training.outputs import TrainedOutput
from depthwise.training.progress import ProgbarLogger
from support.reference_step import data, dense_model

LOSS = "sparse_categorical_crossentropy"


def fake_model(library: Any) -> Any:
    """What callbacks touch of a model: weights that tell the epoch, a learning rate, the flag to stop."""
    model = SimpleNamespace(stop_training=False, saved=[], epoch=0, set=None, graph=None)
    model.get_weights = lambda: [np.full(2, model.epoch)]
    model.set_weights = lambda weights: setattr(model, "set", int(weights[0][0]))
    model.save = lambda path, overwrite=True: model.saved.append(os.path.basename(path))
    model.save_weights = model.save
    model.optimizer = SimpleNamespace(learning_rate=1.0)
    if library == "keras":
        metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        compiled = keras.src.trainers.compile_utils.CompileMetrics([metric], None)
        compiled.built, compiled._flat_metrics, compiled._flat_weighted_metrics = True, [metric], []
        model.metrics = [compiled]
    else:
        metrics = MetricSet([TrainedOutput("dense", (3,), None, 1.0, (SparseCategoricalAccuracy("accuracy"),))])
        model.compiled = SimpleNamespace(metric_set=lambda graph: metrics, session=None)
    return model


def decisions(callback: Any, model: Any, script: Any, batches: int = 3) -> Any:
    """What the callback does in a training whose epochs end with the logs of `script`."""
    notes = []
    callback.set_model(model)
    callback.set_params({"epochs": len(script), "verbose": 0, "steps": batches})
    callback.on_train_begin(None)
    for epoch, logs in enumerate(script):
        model.epoch = epoch
        logs = dict(logs)
        callback.on_epoch_begin(epoch, None)
        for batch in range(batches):
            callback.on_train_batch_end(batch, logs=dict(logs))
        callback.on_epoch_end(epoch, logs)
        notes.append(
            (round(float(model.optimizer.learning_rate), 9), model.stop_training, sorted(logs), list(model.saved))
        )
        if model.stop_training:
            break
    callback.on_train_end(None)
    return notes, model.set


def scripts() -> Iterator[Any]:
    generator = random.Random(11)
    for index in range(12):
        values = [generator.choice([0.1, 0.2, 0.25, 0.3, 0.31, 0.5]) for _ in range(14)]
        yield [{"loss": v, "val_loss": v + 0.01 * index, "val_accuracy": 1 - v, "accuracy": v} for v in values]


CONFIGURATIONS = [
    ("EarlyStopping", {}),
    ("EarlyStopping", {"patience": 2, "restore_best_weights": True}),
    ("EarlyStopping", {"monitor": "val_accuracy", "patience": 3, "min_delta": 0.06, "restore_best_weights": True}),
    ("EarlyStopping", {"monitor": "loss", "mode": "max", "patience": 1, "start_from_epoch": 4}),
    ("EarlyStopping", {"monitor": "val_loss", "baseline": 0.22, "patience": 3, "restore_best_weights": True}),
    ("EarlyStopping", {"monitor": "accuracy", "baseline": 0.4, "patience": 2}),
    ("ReduceLROnPlateau", {"patience": 1}),
    ("ReduceLROnPlateau", {"patience": 2, "factor": 0.5, "cooldown": 2}),
    ("ReduceLROnPlateau", {"monitor": "accuracy", "patience": 1, "factor": 0.3, "min_lr": 0.05, "min_delta": 0.1}),
    ("ReduceLROnPlateau", {"monitor": "val_accuracy", "mode": "min", "patience": 1, "cooldown": 1}),
    ("ModelCheckpoint", {"filepath": "m.keras"}),
    ("ModelCheckpoint", {"filepath": "{epoch:02d}-{val_loss:.2f}.keras", "save_best_only": True}),
    ("ModelCheckpoint", {"filepath": "{epoch}-{accuracy:.3f}.keras", "save_best_only": True, "monitor": "accuracy"}),
    ("ModelCheckpoint", {"filepath": "w{epoch}.weights.h5", "save_weights_only": True, "mode": "max"}),
    ("ModelCheckpoint", {"filepath": "{epoch}-{batch}.keras", "save_freq": 4}),
    ("ModelCheckpoint", {"filepath": "{epoch}.keras", "save_best_only": True, "initial_value_threshold": 0.25}),
]


@pytest.mark.parametrize(("name", "arguments"), CONFIGURATIONS)
def test_decisions_are_those_of_keras(name: Any, arguments: Any) -> None:
    for script in scripts():
        ours = decisions(getattr(callbacks, name)(**arguments), fake_model("ours"), script)
        theirs = decisions(getattr(keras.callbacks, name)(**arguments), fake_model("keras"), script)
        assert ours == theirs


@pytest.mark.parametrize("schedule", [lambda epoch, lr: lr * 0.5, lambda epoch: 0.1 / (epoch + 1)])
def test_learning_rate_scheduler(schedule: Callable[..., Any]) -> None:
    script = [{"loss": 1.0}] * 4
    ours = decisions(callbacks.LearningRateScheduler(schedule), fake_model("ours"), script)
    assert ours == decisions(keras.callbacks.LearningRateScheduler(schedule), fake_model("keras"), script)
    assert ours[0][-1][2] == ["learning_rate", "loss"]


def test_the_learning_rate_reaches_the_step(reference_step: Any) -> None:
    x, y = data()
    model = dense_model()
    model.compile(SGD(0.1), LOSS)
    history = model.fit(
        x, y, batch_size=25, epochs=3, verbose=0, callbacks=callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2)
    )
    assert [call.learning_rate for call in reference_step[0].calls] == [0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125]
    assert history.history["learning_rate"] == [0.05, 0.025, 0.0125]
    assert model.optimizer.learning_rate == 0.0125
    from depthwise.optimizers.schedules import ExponentialDecay

    model.compile(SGD(ExponentialDecay(0.1, 1, 0.5)), LOSS)
    model.fit(x, y, batch_size=25, epochs=2, verbose=0)
    assert [call.learning_rate for call in reference_step[1].calls] == [0.1, 0.05, 0.025, 0.0125]
    with pytest.raises(InvalidArgumentError, match="the learning rate follows ExponentialDecay, so it cannot be set"):
        model.fit(x, y, verbose=0, callbacks=callbacks.LearningRateScheduler(lambda epoch: 0.1))


@pytest.mark.parametrize("validation", [True, False])
@pytest.mark.parametrize("arguments", [{}, {"separator": ";"}, {"append": True}])
def test_csv_files_are_those_of_keras(tmp_path: Path, arguments: Any, validation: bool) -> None:
    script = [
        {"loss": 1.5, "accuracy": 0.25} | ({"val_loss": 2.0} if validation else {}),
        {"loss": 1.25, "accuracy": 0.5},
    ]
    texts = []
    for library, module in (("ours", callbacks), ("keras", keras.callbacks)):
        path = tmp_path / f"{library}.csv"
        for _ in range(2):
            decisions(module.CSVLogger(path, **arguments), fake_model(library), script)
        texts.append(path.read_bytes())
    assert texts[0].replace(b"\r\n", b"\n") == texts[1].replace(b"\r\n", b"\n")


def test_names_that_a_spreadsheet_would_compute_are_texts(tmp_path: Path) -> None:
    """Names of metrics come from model files too."""
    path = tmp_path / "log.csv"
    names = ["=HYPERLINK(1)", "+1", "-1", "@a", "\ta", "\ra", "a=1", "a-b"]
    logger = callbacks.CSVLogger(path)
    decisions(logger, fake_model("ours"), [dict.fromkeys([*names, *(f"val_{name}" for name in names)], -1.5)])
    with path.open(newline="", encoding="utf-8") as file:
        header, row = csv.reader(file)
    assert {name for name in names[:6] if f"'{name}" in header} == set(names[:6])
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in header)
    assert {"a=1", "a-b"} <= set(header)
    assert row[1:] == ["-1.5"] * (2 * len(names))


def test_csv_files_of_others_are_appended_to_whatever_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xff\xfe\n")
    decisions(callbacks.CSVLogger(path, append=True), fake_model("ours"), [{"loss": 0.5}])
    assert path.read_bytes().replace(b"\r\n", b"\n") == b"\xff\xfe\n0,0.5,NA\n"


def test_csv_rows_survive_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    program = f"""
        import os
        from depthwise.training.callbacks import CSVLogger
        logger = CSVLogger({str(path)!r})
        logger.on_train_begin()
        for epoch in range(3):
            logger.on_epoch_end(epoch, {{"loss": 1.0 / (epoch + 1)}})
        os._exit(9)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False).returncode == 9
    with path.open() as file:
        assert [row["loss"] for row in csv.DictReader(file)] == ["1.0", "0.5", "0.3333333333333333"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: callbacks.EarlyStopping(mode="up"), "EarlyStopping: mode must be 'auto', 'min' or 'max', got 'up'"),
        (lambda: callbacks.EarlyStopping(patience=-1), "patience must be an integer of at least 0, got -1"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.0), "factor must be from 0 to below 1, got 1.0"),
        (lambda: callbacks.ModelCheckpoint("m.h5"), "ModelCheckpoint: filepath must end in .keras, got 'm.h5'"),
        (lambda: callbacks.ModelCheckpoint("m.keras", save_weights_only=True), "must end in .weights.h5"),
        (lambda: callbacks.ModelCheckpoint("m.keras", save_freq="batch"), "save_freq must be 'epoch' or a number of batc"),
        (lambda: callbacks.CSVLogger("a.csv", separator=";;"), "separator must be one character, got ';;'"),
        (lambda: callbacks.LearningRateScheduler(0.1), "schedule must be a function (epoch, lr) -> lr, got 0.1"),  # type: ignore[arg-type]
        (lambda: callbacks.BackupAndRestore(""), "backup_dir is empty; name a folder"),
        (lambda: callbacks.BackupAndRestore("a", save_freq=0), "save_freq must be 'epoch' or a number of batches, got 0"),
        (lambda: callbacks.LambdaCallback(on_lunch=print), "unknown hook 'on_lunch'; allowed are on_train_begin"),
        (lambda: callbacks.LambdaCallback(on_epoch_end=3), "on_epoch_end must be a function, got 3"),
        (lambda: CallbackList([callbacks.EarlyStopping]), "make an instance of it"),
    ],
)  # fmt: skip
def test_refusals(make: Callable[..., Any], message: str) -> None:
    with pytest.raises(DepthwiseError) as caught:
        make()
    assert message in str(caught.value)


def test_messages_while_training(tmp_path: Path) -> None:
    x, y = data()
    model = dense_model()
    model.compile("sgd", LOSS)
    with pytest.raises(
        InvalidArgumentError, match="whether 'val_f1' should rise or fall is not known; the logs have loss"
    ):
        model.fit(x, y, verbose=0, callbacks=callbacks.EarlyStopping("val_f1"))
    with pytest.warns(
        UserWarning, match=r"there is no 'val_loss' in the logs \(loss\), so training is not stopped early"
    ):
        model.fit(x, y, verbose=0, callbacks=callbacks.EarlyStopping())
    with pytest.raises(InvalidArgumentError, match=r"names it may hold are epoch, loss"):
        model.fit(x, y, verbose=0, callbacks=callbacks.ModelCheckpoint(tmp_path / "{f1}.keras"))
    with pytest.raises(InvalidArgumentError, match="schedule must return a finite number, got 'fast' for epoch 0"):
        model.fit(x, y, verbose=0, callbacks=callbacks.LearningRateScheduler(lambda epoch, lr: "fast"))  # type: ignore[arg-type, return-value]
    with pytest.raises(InvalidArgumentError, match="CSVLogger: cannot write"):
        model.fit(x, y, verbose=0, callbacks=callbacks.CSVLogger(tmp_path / "none" / "log.csv"))
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(InvalidArgumentError, match="is a folder; name a file"):
        model.fit(x, y, verbose=0, callbacks=callbacks.ModelCheckpoint(tmp_path / "folder.keras"))


# Broken off and gone on with.


class Break(callbacks.Callback):
    def __init__(self, epoch: Any, batch: Any) -> None:
        super().__init__()
        self.at = (epoch, batch)

    def on_epoch_begin(self, epoch: Any, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: Any, logs: Any = None) -> None:
        if (self.epoch, batch) == self.at:
            raise RuntimeError("the power went out")


def trained(tmp_path: Path, broken: Any, save_freq: Any, seed: int = 3) -> Any:
    set_random_seed(seed)
    model = dense_model()
    x, y = data()
    x, y = x.copy(), y.copy()
    histories: list[Any] = []
    for _ in range(2 if broken else 1):
        model = dense_model() if not broken or not histories else model
        model.compile(Adam(0.05), LOSS, metrics=["accuracy", metrics.MeanIoU(3, sparse_y_pred=False)])
        arguments = {"batch_size": 8, "epochs": 4, "validation_data": (x, y), "verbose": 0}
        backup = callbacks.BackupAndRestore(tmp_path / "backup", save_freq=save_freq)
        halving = callbacks.LearningRateScheduler(lambda epoch: 0.05 / 2**epoch)
        if broken and not histories:
            with pytest.raises(RuntimeError, match="power"):
                model.fit(x, y, callbacks=[halving, backup, Break(2, 4)], **arguments)
            assert backup.path.exists()
            histories.append(model.history)
            model.set_weights([np.zeros((4, 3)), np.ones(3)])  # a new process: all that was in memory is gone
            set_random_seed(99)
        else:
            histories.append(model.fit(x, y, callbacks=[halving, backup], **arguments))
            assert not (tmp_path / "backup").exists()
    return model, histories


@pytest.mark.parametrize("save_freq", ["epoch", 5])
def test_a_broken_training_goes_on_to_the_same_bits(tmp_path: Path, save_freq: Any) -> None:
    whole, (history,) = trained(tmp_path, False, save_freq)
    resumed, (first, second) = trained(tmp_path, True, save_freq)
    assert first.epoch == [0, 1]
    assert second.epoch == [2, 3]
    for one, other in zip(whole.get_weights(), resumed.get_weights()):
        np.testing.assert_array_equal(one, other)
    for name in ("loss", "mean_io_u"):
        assert history.history[name] == first.history[name] + second.history[name]


def test_backups_of_another_training_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    x, y = data()

    def make(units: int = 3, optimizer: str = "adam", **arguments: Any) -> Any:
        model = dense_model(classes=units)
        model.compile(optimizer, LOSS)
        backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False, double_checkpoint=True)
        return lambda: model.fit(x, y, epochs=2, verbose=0, callbacks=backup, **arguments), backup

    run, backup = make()
    run()
    good, previous = backup.path.read_bytes(), backup.previous_path.read_bytes()
    assert run().epoch == []  # both epochs are done
    backup.previous_path.unlink()
    with pytest.raises(
        InvalidArgumentError, match="is of a training with 2 steps an epoch, this one has 7; use the same"
    ):
        make(batch_size=8)[0]()
    with pytest.raises(
        InvalidFileError, match=r"shape \(4, 3\), not \(4, 4\); it is damaged or of another training: delete"
    ):
        make(units=4)[0]()
    with pytest.raises(InvalidFileError, match="which the optimizer does not keep"):
        make(optimizer="sgd")[0]()
    for damage in (good[: len(good) // 2], b"", b"no zip", good.replace(b"version", b"Version")):
        backup.path.write_bytes(damage)
        with pytest.raises(InvalidFileError, match="delete it to start afresh"):
            make()[0]()
    backup.path.write_bytes(good[:100])
    backup.previous_path.write_bytes(previous)
    assert make()[0]().epoch == [1]  # the backup before the damaged one


def test_a_backup_cannot_carry_objects(tmp_path: Path) -> None:
    x, y = data()
    model = dense_model()
    model.compile("sgd", LOSS)
    backup = callbacks.BackupAndRestore(tmp_path, delete_checkpoint=False)
    model.fit(x, y, verbose=0, callbacks=backup)
    with np.load(backup.path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays[next(name for name in arrays if name.startswith("weights/"))] = np.array([print], dtype=object)
    np.savez(backup.path, **arrays)
    with pytest.raises(InvalidFileError, match="of dtype 'object'"):
        model.fit(x, y, verbose=0, callbacks=backup)
    with zipfile.ZipFile(backup.path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.npy", b"\0" * (64 << 20))
    with pytest.raises(InvalidFileError, match="claims 67108864 bytes of metadata"):
        model.fit(x, y, verbose=0, callbacks=backup)


# To NaN.


def deep_model() -> Any:
    return models.Sequential(
        [
            layers.Dense(5, activation="relu", input_shape=(4,), name="first"),
            layers.Dense(5, name="second"),
            layers.Dense(3, name="last"),
        ]
    )


class Blow(callbacks.Callback):
    """Sets one weight so large that float32 cannot hold what comes out of its layer."""

    def __init__(self, at: Any, name: Any, value: Any) -> None:
        super().__init__()
        self.at, self.name, self.value = at, name, value

    def on_train_batch_end(self, batch: Any, logs: Any = None) -> None:
        if batch == self.at:
            weights = {name: np.array(array) for name, array in self.model.weights_by_name.items()}
            weights[self.name][:] = self.value
            self.model.set_weights_by_name(weights)
            self.weights = weights


@pytest.mark.parametrize("raise_error", [False, True])
def test_the_layer_whose_output_overflows_is_named(raise_error: bool) -> None:
    x, y = data()
    model = deep_model()
    model.compile(SGD(0.01), "mse")
    blow = Blow(2, "second/kernel", 3e38)
    arguments = {"batch_size": 8, "epochs": 3, "verbose": 0, "callbacks": [blow, callbacks.TerminateOnNaN(raise_error)]}
    labels = np.eye(3, dtype=np.float32)[y]
    pattern = "training stopped in epoch 1, step 4: .*the first bad layer is second: .* of its output are NaN or beyond float32"
    if raise_error:
        with pytest.raises(DepthwiseError, match=pattern):
            model.fit(x, labels, **arguments)
    else:
        with pytest.warns(callbacks.NotFiniteWarning, match=pattern):
            history = model.fit(x, labels, **arguments)
        assert history.epoch == [0]
        assert not np.isfinite(history.history["loss"][0])
    for name, array in blow.weights.items():
        np.testing.assert_array_equal(model.weights_by_name[name], array)
    assert model.optimizer.iterations == 3


@pytest.mark.parametrize("steps_between", [1, 3, 50])
def test_an_update_that_overflows_is_found_and_undone(
    monkeypatch: pytest.MonkeyPatch, steps_between: int, reference_step: Any
) -> None:
    monkeypatch.setattr(not_finite, "STEPS_BETWEEN_COPIES", steps_between)
    x, y = data()
    kept = []

    class Keep(callbacks.Callback):
        def on_train_batch_begin(self, batch: Any, logs: Any = None) -> None:
            kept.append([array.copy() for array in self.model.get_weights()])
            self._model.optimizer.learning_rate = 1e38 if batch == 4 else 1e-4

    model = deep_model()
    model.compile(SGD(0.01), "mse")
    labels = np.eye(3, dtype=np.float32)[y] * 100
    with pytest.warns(
        callbacks.NotFiniteWarning, match=r"the first bad layer is (first|second|last): \d+ of the \d+ numbers of its"
    ):
        model.fit(
            x, labels, batch_size=8, shuffle=True, epochs=2, callbacks=[Keep(), callbacks.TerminateOnNaN()], verbose=0
        )
    for restored, before in zip(model.get_weights(), kept[4]):
        np.testing.assert_array_equal(restored, before)
    assert model.optimizer.iterations == 4


def test_training_goes_on_without_it_and_the_layer_is_named_once() -> None:
    """As Keras: every epoch is run, with NaN in the logs; the weights are what the same steps of Keras leave, NaN."""
    x, y = data()
    model = deep_model()
    model.compile(SGD(0.01), "mse")
    blow = Blow(2, "second/kernel", 3e38)
    labels = np.eye(3, dtype=np.float32)[y]
    pattern = "the loss became (nan|inf) in epoch 1, step 4: the first bad layer is second: .*; training goes on; callbacks.Term"
    with pytest.warns(callbacks.NotFiniteWarning, match=pattern) as caught:
        history = model.fit(x, labels, batch_size=8, epochs=3, verbose=0, callbacks=[blow])
    assert len([item for item in caught if item.category is callbacks.NotFiniteWarning]) == 1
    assert history.epoch == [0, 1, 2]
    assert not np.isfinite(history.history["loss"]).any()
    assert model.optimizer.iterations == 21


def test_a_loss_that_float32_cannot_hold() -> None:
    x, _ = data()
    model = dense_model(activation="linear")
    model.compile(SGD(0.0), "mse")
    with pytest.warns(
        callbacks.NotFiniteWarning, match="every layer's output is finite, so the loss itself is what float32"
    ):
        model.fit(x, np.full((50, 3), 3e38, np.float32), verbose=0)


def test_bad_weights_from_the_start_are_said_to_be() -> None:
    x, y = data()
    model = deep_model()
    model.set_weights([np.full_like(array, np.nan) if i == 2 else array for i, array in enumerate(model.get_weights())])
    model.compile(SGD(0.1), "mse")
    with pytest.warns(
        callbacks.NotFiniteWarning,
        match="the first bad layer is second: 25 of the 25 .*the weights were bad from the start",
    ):
        model.fit(x, np.eye(3)[y], verbose=0, callbacks=callbacks.TerminateOnNaN())


# The bar.


def test_lines_for_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = data()
    model = dense_model()
    model.compile("sgd", LOSS, metrics=["accuracy"])
    model.fit(x, y, epochs=2, verbose="auto")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1/2"
    assert lines[1].startswith("2/2 - 0s - ")
    assert " - accuracy: 0." in lines[1]
    assert len(lines) == 4
    model.fit(x, y, verbose=0)
    assert capsys.readouterr().out == ""
    model.evaluate(x, y, verbose=2)
    assert capsys.readouterr().out.startswith("2/2 - 0s - ")


def test_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = data()
    model = dense_model()
    model.compile("sgd", LOSS)
    model.fit(x, y, verbose=1)
    out = capsys.readouterr().out
    assert "2/2 ━━━━━━━━━━━━━━━━━━━━ 0s " in out
    assert "step - loss: " in out


def test_in_a_notebook_the_bar_is_a_line_of_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rich would leave a widget behind for each bar, and an empty output beside it."""
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    x, y = data()
    model = dense_model()
    model.compile("sgd", LOSS)
    model.fit(x, y)
    lines = capsys.readouterr().out.split("\r")
    assert [line.startswith("2/2 ━") for line in lines[-1:]] == [True]
    assert all("\x1b" not in line for line in lines)


def test_the_bar_is_drawn_at_most_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = ProgbarLogger()
    bar.set_params({"verbose": 1, "epochs": 1, "steps": 1000})
    drawn, now = [], [0.0]
    monkeypatch.setattr("depthwise.training.progress.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(bar, "_draw", lambda logs, at: drawn.append(at))
    now[0] = 5.0
    bar.on_epoch_begin(0)
    for step in range(1000):
        now[0] += 0.001
        bar.on_train_batch_end(step, {"loss": 1.0})
    assert 9 <= len(drawn) <= 11

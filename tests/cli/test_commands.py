"""The commands at work, in processes of their own, on a tiny data set; JSON is JSON and nothing else."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import depthwise

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def facts_of(result: "subprocess.CompletedProcess[str]") -> Any:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_summary(run: Run, model_file: Path) -> None:
    facts = facts_of(run("summary", model_file, "--json"))
    assert facts["name"] == "tiny"
    assert facts["parameters"] == sum(layer["parameters"] for layer in facts["layers"])
    assert facts["layers"][0]["parameters_formula"] == "4×(3×3×1)+4 = 40"
    table = run("summary", model_file)
    assert "4×(3×3×1)+4" in table.stdout
    keras = run("summary", model_file, "--style", "keras")
    assert "4×(3×3×1)+4" not in keras.stdout
    assert "Total params" in keras.stdout


def test_evaluate_agrees_with_predict(run: Run, model_file: Path, data_file: Path) -> None:
    facts = facts_of(run("evaluate", model_file, "--data", data_file, "--json", "--threads", 1))
    data = np.load(data_file)
    outputs = depthwise.load_model(model_file).predict(data["x_test"] / np.float32(255), verbose=0)
    correct = int(np.count_nonzero(outputs.argmax(-1) == data["y_test"]))
    assert (facts["correct"], facts["tested"]) == (correct, 100)
    chosen = outputs[np.arange(100), data["y_test"]].astype(np.float64)
    assert facts["loss"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    low, high = facts["interval"]
    assert low < facts["accuracy"] < high
    shown = run("evaluate", model_file, "--data", data_file)
    assert f"{correct} of 100" in shown.stdout


def test_predict_images_and_arrays_alike(run: Run, model_file: Path, tmp_path: Path) -> None:
    from PIL import Image

    image = np.random.default_rng(2).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "digit.png")
    np.save(tmp_path / "digits.npy", np.stack([image, image])[..., None])
    np.savez(tmp_path / "scaled.npz", x=(image / np.float32(255))[None, ..., None])
    facts = facts_of(run("predict", model_file, "digit.png", "digits.npy", "scaled.npz", "--json", "--top", 2))
    assert [(row["file"], row["index"]) for row in facts] == [
        ("digit.png", None), ("digits.npy", 0), ("digits.npy", 1), ("scaled.npz", 0),
    ]  # fmt: skip
    outputs = depthwise.load_model(model_file).predict((image / np.float32(255))[None, ..., None], verbose=0)[0]
    best = [int(number) for number in np.argsort(-outputs)[:2]]
    for row in facts:
        assert [item["class"] for item in row["predictions"]] == best
        assert [item["score"] for item in row["predictions"]] == pytest.approx([float(outputs[n]) for n in best])
    table = run("predict", model_file, "digit.png", "digits.npy").stdout
    assert f"{outputs[best[0]]:.4f}" in table
    assert len([line for line in table.splitlines() if "digits.npy" in line]) == 2


def test_train_goes_on_with_a_file_and_is_reproducible(
    run: Run, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    options = ("--data", data_file, "--epochs", 1, "--batch-size", 50, "--seed", 9, "--learning-rate", 0.01)
    for name in ("one.keras", "two.keras"):
        result = run("train", model_file, *options, "--out", name)
        assert result.returncode == 0, result.stderr
        assert f"saved in {name}" in result.stdout
    one, two = (depthwise.load_model(tmp_path / name).get_weights() for name in ("one.keras", "two.keras"))
    start = depthwise.load_model(model_file).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(one, two))
    assert not any(np.array_equal(a, b) for a, b in zip(one, start) if a.size > 10)


def test_compare_writes_and_prints_everything(run: Run, model_file: Path, data_file: Path, tmp_path: Path) -> None:
    options = ("--data", data_file, "--epochs", 1, "--seeds", "1,2", "--prediction-batch-size", 8)
    result = run("compare", model_file, "--twin", *options, "--language", "zh")
    assert result.returncode == 0, result.stderr
    assert "tiny 与 tiny-ordinary 并排比较" in result.stdout
    assert "4×(3×3×1)+8×(1×1×4)+8 = 76" in result.stdout
    assert "8×(3×3×4)+8 = 296" in result.stdout
    names = ["explain-tiny-ordinary.html", "explain-tiny.html", "report.html", "report.json"]
    names += ["tiny-ordinary-seed-2.keras", "tiny-ordinary.keras", "tiny-seed-2.keras", "tiny.keras"]
    assert sorted(path.name for path in (tmp_path / "compare").iterdir()) == names
    report = json.loads((tmp_path / "compare" / "report.json").read_text())
    assert report["files"] == names
    assert report["networks"][0]["files"] == ["tiny.keras", "tiny-seed-2.keras"]
    # Again: beside the first one, which stays as it is; both files are now compared as they are.
    before = {path.name: path.read_bytes() for path in (tmp_path / "compare").iterdir()}
    paths = [tmp_path / "compare" / name for name in ("tiny.keras", "tiny-ordinary.keras")]
    again = run("compare", *paths, "--data", data_file, "--prediction-batch-size", 8)
    assert again.returncode == 0, again.stderr
    assert "weights as loaded, nothing trained" in again.stdout
    assert "compare/ exists already; this comparison goes to compare-2/" in again.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "compare").iterdir()} == before
    second = json.loads((tmp_path / "compare-2" / "report.json").read_text())
    accuracies = [[network["runs"][0]["accuracy"] for network in facts["networks"]] for facts in (report, second)]
    assert accuracies[0] == accuracies[1]


def interrupt(arguments: list[object], folder: Path, until: Callable[[str], bool]) -> tuple[int, str, str]:
    """Runs a command, and presses Ctrl-C when `until` says so of what it has printed."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "depthwise", *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "100"},
    )
    assert process.stdout is not None
    shown = ""
    deadline = time.monotonic() + 200
    while not until(shown):
        line = process.stdout.readline()
        assert line, f"ended before it could be stopped: {shown}"
        assert time.monotonic() < deadline
        shown += line
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=200)
    return process.returncode, shown, rest


def test_ctrl_c_in_compare_reports_and_saves_what_there_is(data_file: Path, model_file: Path, tmp_path: Path) -> None:
    arguments = ["compare", model_file, "--twin", "--data", data_file, "--epochs", 5000]
    code, _, rest = interrupt(arguments, tmp_path, lambda shown: "epoch 2 of 5000" in shown)
    assert code == 130
    assert "Traceback" not in rest
    assert "Stopped by Ctrl-C: these are the results so far." in rest
    report = json.loads((tmp_path / "compare" / "report.json").read_text())
    assert report["is_complete"] is False
    run = report["networks"][0]["runs"][0]
    assert len(run["epochs"]) >= 2
    assert report["networks"][0]["files"] == ["tiny.keras"]
    model = depthwise.load_model(tmp_path / "compare" / "tiny.keras")
    data = np.load(data_file)
    outputs = model.predict(data["x_test"] / np.float32(255), verbose=0)
    assert np.count_nonzero(outputs.argmax(-1) == data["y_test"]) == run["correct"]


def test_ctrl_c_in_train_saves_what_was_learnt(data_file: Path, model_file: Path, tmp_path: Path) -> None:
    arguments = ["train", model_file, "--data", data_file, "--epochs", 5000, "--out", "kept.keras"]
    code, _, rest = interrupt(arguments, tmp_path, lambda shown: "Epoch 3/5000" in shown)
    assert code == 130
    assert "Traceback" not in rest
    assert "stopped; what was learnt until then is in kept.keras" in rest
    kept, start = (depthwise.load_model(path).get_weights() for path in (tmp_path / "kept.keras", model_file))
    assert not all(np.array_equal(a, b) for a, b in zip(kept, start))


def test_a_closed_pipe_is_no_error(model_file: Path, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m depthwise summary "{model_file}" --json | head -c 10'
    result = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert result.stderr == ""
    assert len(result.stdout) == 10


def test_python_m_depthwise_is_the_command(run: Run) -> None:
    assert run("--version").stdout == f"depthwise {depthwise.__version__}\n"

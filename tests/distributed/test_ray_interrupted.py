"""Ctrl-C in a comparison on a Ray cluster: the results so far, the exit code of one process, and no cluster left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import depthwise

pytestmark = pytest.mark.sweep


def ray_processes() -> set[int]:
    """Processes of Ray on this machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if line.startswith(b"ray::") or b"/ray/core/src/ray/" in line.split(b"\0")[0]:
            found.add(int(entry.name))
    return found


def test_ctrl_c_reports_and_saves_what_there_is_and_stops_the_cluster(tmp_path: Path) -> None:
    (x, y), (x_test, y_test) = depthwise.datasets.mnist.load_data()
    np.savez(tmp_path / "small.npz", x_train=x[:300], y_train=y[:300], x_test=x_test[:100], y_test=y_test[:100])
    before = ray_processes()
    words = "compare note-cnn --twin --data small.npz --epochs 5000 --seeds 1,2 --threads 1 --ray local"
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "depthwise", *words.split()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "100"},
        start_new_session=True,
    )
    assert process.stdout is not None
    shown, seen = "", set()
    while not all(f"seed {seed}, epoch 2 of 5000" in shown for seed in (1, 2)):
        line = process.stdout.readline()
        assert line, f"ended before it could be stopped: {shown}"
        shown += line
        seen |= ray_processes() - before if "epoch 2 of" in line else set()
    assert seen
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    rest, _ = process.communicate(timeout=200)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert "Stopped by Ctrl-C: these are the results so far." in rest
    assert "Seed 2 was trained on machine 1" in rest
    report = json.loads((tmp_path / "compare" / "report.json").read_text(encoding="utf-8"))
    assert report["is_complete"] is False
    assert set(report["places"]) == {"1", "2"}
    for network in report["networks"]:
        assert [run["seed"] for run in network["runs"]] == [1, 2]
        for run, name in zip(network["runs"], network["files"], strict=True):
            assert len(run["epochs"]) >= 1
            model = depthwise.load_model(tmp_path / "compare" / name)
            outputs = model.predict(x_test[:100] / np.float32(255), verbose=0)
            assert np.count_nonzero(outputs.argmax(-1) == y_test[:100]) == run["correct"]
    deadline = time.monotonic() + 60
    while seen & ray_processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not seen & ray_processes()

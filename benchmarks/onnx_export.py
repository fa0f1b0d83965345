"""Exports the note's networks as ONNX, here and by Keras through tf2onnx: `python -m benchmarks.onnx_export`.

For each network: seconds to export, bytes of the file, its nodes and transposes, and microseconds of a prediction by ONNX Runtime on
one thread, the two files in turns, the best of many runs. Needs the group `bench`; where TensorFlow or tf2onnx is missing, Keras'
column says why.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.networks import NETWORKS, network

RUNS = {1: 200, 64: 20}
"""How often a batch of each size is predicted by each file."""


@dataclass
class File:
    """An exported file, and its figures."""

    path: Path
    seconds: float
    nodes: int
    transposes: int
    session: Any


def main() -> None:
    """Prints a line for each file."""
    print(
        f"{'network':16} {'by':10} {'export s':>9} {'bytes':>10} {'nodes':>6} {'transposes':>11} {'µs, 1':>8} {'µs, 64':>9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            _compare(name, Path(folder))


def _compare(name: str, folder: Path) -> None:
    ours = network(name)
    ours.save(folder / "model.keras")
    files = {"depthwise": _export(folder / "ours.onnx", lambda path: ours.export(path))}
    try:
        files["keras"] = _export(folder / "theirs.onnx", _export_by_keras(folder / "model.keras"))
    except Exception as error:  # whatever it is, it is the result
        print(f"{name:16} keras      cannot: {type(error).__name__}: {str(error).strip().splitlines()[0][:120]}")
    times = {by: [] for by in files}  # type: dict[str, list[float]]
    for batch, count in RUNS.items():
        x = np.random.default_rng(0).random((batch, 28, 28, 1), np.float32)
        results = {by: _predict(file, x) for by, file in files.items()}
        assert all(np.abs(y - results["depthwise"]).max() < 1e-5 for y in results.values()), "the files differ"
        best = dict.fromkeys(files, float("inf"))
        for _ in range(count):
            for by, file in files.items():
                start = time.perf_counter()
                _predict(file, x)
                best[by] = min(best[by], time.perf_counter() - start)
        for by, seconds in best.items():
            times[by].append(seconds * 1e6)
    for by, file in files.items():
        figures = f"{file.seconds:9.2f} {file.path.stat().st_size:10,} {file.nodes:6} {file.transposes:11}"
        print(f"{name:16} {by:10} {figures} {times[by][0]:8.0f} {times[by][1]:9.0f}")


def _export_by_keras(path: Path) -> Callable[[Path], None]:
    import keras

    model = keras.models.load_model(path)
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports only what was called
    return lambda target: model.export(target, format="onnx", verbose=False)


def _export(path: Path, export: Callable[[Path], None]) -> File:
    """Exports twice, so that what is imported for the first time does not count."""
    import onnx
    import onnxruntime

    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export(path)
        seconds = time.perf_counter() - start
    operators = [node.op_type for node in onnx.load(path).graph.node]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return File(path, seconds, len(operators), operators.count("Transpose"), session)


def _predict(file: File, x: np.ndarray[Any, Any]) -> Any:
    return file.session.run(None, {file.session.get_inputs()[0].name: x})[0]


if __name__ == "__main__":
    main()

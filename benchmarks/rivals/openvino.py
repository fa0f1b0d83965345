"""OpenVINO: f32 (never bfloat16), the hint for latency on the whole batch, that for throughput on chunks."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import openvino

from benchmarks.models import Array
from benchmarks.protocol import CHUNK, Candidate, Candidates, Task, batch_sizes

_core = openvino.Core()
_threads = 1


def configure(threads: int) -> None:
    """Remember the threads; each compiled model gets them as a property."""
    global _threads
    _threads = threads


def _compile(task: Task, batch: int, hint: str) -> Any:
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": _threads,
        "PERFORMANCE_HINT": hint,
    }
    if folder := os.environ.get("BENCHMARK_OPENVINO_CACHE"):
        settings["CACHE_DIR"] = folder
    return _core.compile_model(str(task.file(batch, "model.onnx")), "CPU", settings)


def _arrange(images: Array) -> Array:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def prepare_predict(task: Task) -> Candidates:
    """Return one synchronous request for latency, and a queue of requests for throughput."""

    def latency() -> Candidate:
        request = _compile(task, task.batch, "LATENCY").create_infer_request()

        def run(images: Array) -> Array:
            request.infer([images], share_inputs=True, share_outputs=True)
            return np.array(request.get_output_tensor(0).data)

        return Candidate(run, _arrange)

    def throughput() -> Candidate:
        chunk = batch_sizes(task.batch)[-1]
        queue = openvino.AsyncInferQueue(_compile(task, chunk, "THROUGHPUT"))
        outputs = np.empty((task.batch, task.network.classes), np.float32)

        def store(request: Any, start: int) -> None:
            outputs[start : start + chunk] = request.get_output_tensor(0).data

        queue.set_callback(store)

        def run(images: Array) -> Array:
            for start in range(0, len(images), chunk):
                queue.start_async([images[start : start + chunk]], start, share_inputs=True)
            queue.wait_all()
            return outputs

        return Candidate(run, _arrange)

    candidates: dict[str, Callable[[], Candidate]] = {"latency": latency}
    if task.batch > CHUNK:
        candidates[f"throughput, chunks of {CHUNK}"] = throughput
    return candidates

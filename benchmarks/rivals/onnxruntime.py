"""ONNX Runtime: all graph optimisations, its threads spinning, the batch whole, in chunks, or shared out."""

from collections.abc import Callable

import numpy as np
import onnxruntime

from benchmarks.models import Array
from benchmarks.protocol import CHUNK, Candidate, Candidates, Task, in_chunks, in_parallel

_threads = 1


def configure(threads: int) -> None:
    """Remember the threads; each session makes its own pool."""
    global _threads
    _threads = threads
    onnxruntime.disable_telemetry_events()


def _run(task: Task, batch: int, threads: int, spinning: bool) -> Callable[[Array], Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "01"[spinning])
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(
        str(task.file(batch, "model.onnx")), options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    return lambda images: session.run(None, {given.name: images})[0]


def _arrange(images: Array) -> Array:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def prepare_predict(task: Task) -> Candidates:
    """Return the whole batch with and without spinning threads; for large batches also by chunks."""

    def whole(spinning: bool) -> Candidate:
        return Candidate(_run(task, task.batch, _threads, spinning), _arrange)

    def chunks() -> Candidate:
        return Candidate(in_chunks(_run(task, CHUNK, _threads, spinning=True)), _arrange)

    def shared() -> Candidate:
        sessions = [_run(task, CHUNK, 1, spinning=False) for _ in range(_threads)]
        return Candidate(in_parallel(sessions), _arrange)

    candidates: dict[str, Callable[[], Candidate]] = {
        "whole batch": lambda: whole(spinning=True),
        "whole batch, no spinning": lambda: whole(spinning=False),
    }
    if task.batch > CHUNK:
        candidates[f"chunks of {CHUNK}"] = chunks
        candidates[f"chunks of {CHUNK}, a session a thread"] = shared
    return candidates

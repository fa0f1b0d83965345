"""LiteRT with XNNPACK (its default delegate), the batch whole, in chunks, or shared out.

Every `.tflite` form of the network takes part: see `benchmarks/artefacts/tflite_file.py` on SELU.
"""

from collections.abc import Callable

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.models import Array
from benchmarks.protocol import CHUNK, Candidate, Candidates, Task, in_chunks, in_parallel

_threads = 1


def configure(threads: int) -> None:
    """Remember the threads; each interpreter makes its own pool."""
    global _threads
    _threads = threads


def _run(task: Task, batch: int, form: str, threads: int) -> Callable[[Array], Array]:
    interpreter = Interpreter(str(task.file(batch, form)), num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def run(images: Array) -> Array:
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(target))

    return run


def prepare_predict(task: Task) -> Candidates:
    """Return a candidate for each form and, at large batches, each way to cut the batch."""

    def whole(form: str) -> Candidate:
        return Candidate(_run(task, task.batch, form, _threads))

    def chunks(form: str) -> Candidate:
        return Candidate(in_chunks(_run(task, CHUNK, form, _threads)))

    def shared(form: str) -> Candidate:
        return Candidate(in_parallel([_run(task, CHUNK, form, 1) for _ in range(_threads)]))

    ways: dict[str, Callable[[str], Candidate]] = {"whole batch": whole}
    if task.batch > CHUNK:
        ways[f"chunks of {CHUNK}"] = chunks
        ways[f"chunks of {CHUNK}, an interpreter a thread"] = shared
    forms = sorted(path.name for path in task.file(task.batch, "").glob("*.tflite"))
    return {
        f"{form.removesuffix('.tflite')}, {way}": lambda form=form, make=make: make(form)
        for form in forms
        for way, make in ways.items()
    }

"""One rival's process: reads commands as JSON lines, answers as JSON lines.

`python -m benchmarks.worker MODULE THREADS`. Commands, each an object with the key `do`:

- `load`: import the rival and configure it → `import_seconds`;
- `prepare` (`kind`, `network`, `batch`, `files`, `seconds`, `outputs`, optionally `only`): build every candidate, try it, keep
  the fastest → `variant`, `candidates`; what it computed lies in the `outputs` file;
- `measure` (`seconds`) → `nanoseconds`, of each run of the kept candidate;
- `release`: forget the kept candidate;
- `first` (`network`, `batch`, `files`, `only`): one prediction, nothing tried → `peak_memory`.
"""

import gc
import importlib
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKED_STEPS = 4  # training steps whose losses are compared
TRIAL_RUNS = 2  # at least, in a candidate's trial; a step of a large network may take seconds
TRAINING_BATCHES = 16  # different batches in a training turn, so that nothing is learnt by heart


class Worker:
    """The state of one rival's process."""

    def __init__(self, module: str, threads: int) -> None:
        self.module_name = module
        self.threads = threads
        self.rival: Any = None
        self.run: Callable[[Any], Any] | None = None
        self.inputs: list[Any] = []

    def load(self) -> dict[str, Any]:
        """Import the rival, timed, and configure it."""
        begin = time.perf_counter()
        self.rival = importlib.import_module(self.module_name)
        seconds = time.perf_counter() - begin
        self.rival.configure(self.threads)
        return {"import_seconds": seconds}

    def _candidates(self, order: dict[str, Any]) -> tuple[Any, dict[str, Callable[[], Any]]]:
        from benchmarks.keras_networks import ALL_NETWORKS
        from benchmarks.models import Network, make_weights
        from benchmarks.protocol import Task

        network = ALL_NETWORKS[order["network"]]
        weights = make_weights(network) if isinstance(network, Network) else []
        task = Task(network, weights, order["batch"], self.threads, Path(order["files"]))
        kind = order.get("kind", "predict")
        candidates = dict(getattr(self.rival, f"prepare_{kind}")(task))
        if only := order.get("only"):
            candidates = {only: candidates[only]}
        return task, candidates

    def _inputs(self, order: dict[str, Any], task: Any, candidate: Any) -> list[Any]:
        from benchmarks.models import make_images, make_labels

        if order.get("kind", "predict") == "predict":
            return [candidate.arrange(make_images(task.network, task.batch))]
        images = make_images(task.network, task.batch * TRAINING_BATCHES)
        labels = make_labels(task.batch * TRAINING_BATCHES)
        return [
            candidate.arrange(images[start : start + task.batch], labels[start : start + task.batch])
            for start in range(0, len(images), task.batch)
        ]

    def prepare(self, order: dict[str, Any]) -> dict[str, Any]:
        """Build and try every candidate, keep the fastest."""
        import numpy as np

        from benchmarks.timing import measure

        task, candidates = self._candidates(order)
        tried: dict[str, Any] = {}
        best: tuple[float, str, Any, list[Any], Any] | None = None
        for name, make in candidates.items():
            try:
                candidate = make()
                inputs = self._inputs(order, task, candidate)
                checks = inputs[:1] if order["kind"] == "predict" else inputs[:CHECKED_STEPS]
                outputs = [np.array(candidate.run(arranged)) for arranged in checks]
                times = measure(candidate.run, inputs, order["seconds"], least=TRIAL_RUNS)
            except Exception as error:
                # A setting that a version or a machine cannot do is reported, not fatal.
                tried[name] = f"{type(error).__name__}: {error}"[:300]
                continue
            microseconds = statistics.median(times) / 1e3 / task.batch
            tried[name] = microseconds
            if best is None or microseconds < best[0]:
                best = (microseconds, name, candidate.run, inputs, outputs)
        if best is None:
            raise RuntimeError("; ".join(f"{name}: {why}" for name, why in tried.items()))
        _, variant, self.run, self.inputs, outputs = best
        np.save(order["outputs"], outputs[0] if order["kind"] == "predict" else np.stack(outputs))
        return {"variant": variant, "candidates": tried}

    def measure(self, order: dict[str, Any]) -> dict[str, Any]:
        """Time the kept candidate."""
        from benchmarks.timing import measure

        assert self.run is not None, "measure was asked for before prepare"
        return {"nanoseconds": measure(self.run, self.inputs, order["seconds"])}

    def release(self) -> dict[str, Any]:
        """Forget the kept candidate."""
        self.run, self.inputs = None, []
        gc.collect()
        return {}

    def first(self, order: dict[str, Any]) -> dict[str, Any]:
        """Make one prediction and tell the most memory that the process ever held."""
        task, candidates = self._candidates(order)
        candidate = next(iter(candidates.values()))()
        candidate.run(*self._inputs(order, task, candidate))
        return {"peak_memory": peak_memory()}

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command."""
        action = order["do"]
        if action in ("load", "release"):
            return dict(getattr(self, action)())
        if action in ("prepare", "measure", "first"):
            return dict(getattr(self, action)(order))
        raise ValueError(f"The worker knows no command {action!r}.")


def peak_memory() -> int:
    """Return the largest resident size this process had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def die_with_parent() -> None:
    """Have Linux end this process when the runner ends, however it does: a stopped process reads no end of input."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def main() -> None:
    """Serve commands until the input ends."""
    die_with_parent()
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print must not get between the replies
    module, threads = sys.argv[1], int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    worker = Worker(module, threads)
    for line in sys.stdin:
        try:
            reply = {"ok": True, **worker.answer(json.loads(line))}
        except Exception as error:
            reply = {"ok": False, "reason": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()

"""A rival that answers rightly and slowly through the reference, or wrongly in the way `FAKE_FAULT` names."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.protocol import Candidate

from benchmarks import reference

NAME = os.environ["FAKE_NAME"]
FAULT = os.environ["FAKE_FAULT"]

if FAULT == "import":
    raise ImportError("libfake.so.3: cannot open shared object file")


def _write(what: str) -> None:
    with Path(os.environ["FAKE_LOG"]).open("a") as log:
        log.write(f"{NAME} {what}\n")


def configure(threads: int) -> None:
    """Tell the log how many threads were asked for, and what the cache held."""
    cache = Path(os.environ["FAKE_CACHE"])
    _write(f"threads {threads} cache {len(list(cache.iterdir()))}")
    (cache / "compiled").touch()


def prepare_predict(task: Any) -> Any:
    """Return a quick candidate, a slow one, and one that this machine cannot do."""
    images = []

    def arrange(values: Any) -> Any:
        images.append(values)
        return reference.predict(task.network, task.weights, values).astype(np.float32)

    def run(answer: Any) -> Any:
        _write("run")
        time.sleep(0.001)
        if FAULT == "crash":
            os._exit(3)
        if FAULT == "deviate":
            return answer + np.float32(0.01)
        if FAULT == "nan":
            return answer * np.float32("nan")
        return answer

    def slow(answer: Any) -> Any:
        time.sleep(0.03)
        return run(answer)

    def impossible() -> None:
        raise RuntimeError("needs another machine")

    if FAULT == "impossible":
        return {"only": impossible}
    return {
        "slow": lambda: Candidate(slow, arrange),
        "quick": lambda: Candidate(run, arrange),
        "impossible": impossible,
    }


def prepare_training(task: Any) -> Any:
    """Return losses that fall from the right first one; `deviate` falls otherwise."""

    def train() -> Any:
        steps: list[Any] = []
        first = 0.0

        def run(batch: Any) -> Any:
            nonlocal first
            _write("step")
            steps.append(batch)
            images, labels = batch
            if len(steps) == 1:
                probabilities = reference.predict(task.network, task.weights, images)
                first = reference.cross_entropy(probabilities, labels)
            fall = 0.2 if FAULT == "deviate" else 0.1
            return first - fall * (len(steps) - 1)

        return Candidate(run)

    return {"train": train}

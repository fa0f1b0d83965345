"""What a rival's module offers, and the few helpers that several rivals share.

A rival is a module `benchmarks/rivals/<name>.py` that imports its framework at the top (so the import can be
timed) and has

- `configure(threads: int) -> None`, called once, straight after the import;
- `prepare_predict(task: Task) -> Candidates`;
- `prepare_training(task: Task) -> Candidates`, if the framework trains.

`Candidates` maps the name of a setting to a function that builds it. The worker builds each, tries each for a moment
and keeps the fastest, so that no rival is judged by a setting that does not suit it.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.keras_networks import KerasNetwork
from benchmarks.models import Adam, Array, Network, build

CHUNK = 16  # images at a time, for runtimes whose maps of a whole batch fall out of the cache


@dataclass(frozen=True)
class Task:
    """One thing to prepare: a network, its weights in Keras' order, the batch and the threads.

    `files` is the folder of model files that `benchmarks/artefacts` wrote. `weights` is empty for a network that lies in a file.
    """

    network: Network | KerasNetwork
    weights: list[Array]
    batch: int
    threads: int
    files: Path = Path()
    optimizer: Adam = field(default_factory=Adam)

    def file(self, batch: int, name: str) -> Path:
        """Return the path of the model file `name` made for this network and `batch`."""
        return files_of(self.files, self.network.name, batch) / name

    @property
    def steps(self) -> Network:
        """The network as a chain of steps; ValueError if it is one that only Keras makes."""
        if isinstance(self.network, KerasNetwork):
            raise ValueError("runs only the networks that are written down as a chain of layers")
        return self.network

    def build(self, namespace: Any, logits: bool = False, channels_first: bool = False) -> Any:
        """Return the model with its weights, in any namespace with Keras' names; networks of files end with logits always."""
        if isinstance(self.network, KerasNetwork):
            if channels_first:
                raise ValueError("a saved network keeps its order of channels")
            return namespace.models.load_model(keras_file_of(self.files, self.network.name), compile=False)
        model = build(self.network, namespace, logits, channels_first)
        model.set_weights(self.weights)
        return model


def files_of(folder: Path, network: str, batch: int) -> Path:
    """The folder of a network's files for a batch."""
    return folder / f"{network}_{batch}"


def keras_file_of(folder: Path, network: str) -> Path:
    """The `.keras` file of a real network, for all batches."""
    return folder / network / "model.keras"


def unchanged(*values: Any) -> Any:
    """Return the NumPy arrays as they are."""
    return values if len(values) > 1 else values[0]


@dataclass(frozen=True)
class Candidate:
    """One setting, ready to run.

    `arrange` turns NumPy images `(batch, height, width, channels)` (and labels) into what the framework likes
    best; it is *not* timed. `run` is: for prediction it returns the `(batch, classes)` NumPy probabilities, for training it
    does one step and returns the loss as a `float`, which also waits for the step to end.
    """

    run: Callable[[Any], Any]
    arrange: Callable[..., Any] = unchanged


Candidates = Mapping[str, Callable[[], Candidate]]


def batch_sizes(batch: int) -> list[int]:
    """Return the batch sizes worth a model file when `batch` images are predicted."""
    return [batch, CHUNK] if batch > CHUNK and batch % CHUNK == 0 else [batch]


def in_chunks(run: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Return a function that runs a batch as chunks of `CHUNK`, one after the other."""

    def run_chunks(images: Array) -> Array:
        return np.concatenate([run(chunk) for chunk in _chunks(images)])

    return run_chunks


def in_parallel(runs: Iterable[Callable[[Array], Array]]) -> Callable[[Array], Array]:
    """Return a function that deals chunks of `CHUNK` to `runs`, each on a Python thread of its own.

    Every `run` must release the interpreter lock and use one thread itself.
    """
    workers = list(runs)
    pool = ThreadPoolExecutor(len(workers))

    def work(run: Callable[[Array], Array], chunks: list[Array]) -> list[Array]:
        return [run(chunk) for chunk in chunks]

    def run_parallel(images: Array) -> Array:
        chunks = _chunks(images)
        shares = [chunks[first :: len(workers)] for first in range(len(workers))]
        dealt = list(pool.map(work, workers, shares))
        in_order = itertools.chain.from_iterable(itertools.zip_longest(*dealt))
        return np.concatenate([output for output in in_order if output is not None])

    return run_parallel


def _chunks(images: Array) -> list[Array]:
    return [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]

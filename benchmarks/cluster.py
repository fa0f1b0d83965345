"""What predictions on a Ray cluster cost beside one process with the same processors, and from when a cluster pays.

    python -m benchmarks.cluster
    python -m benchmarks.cluster --images 100000 --processors 2 --turns 3

Arrays of MNIST's size become rows of results in turns: in one process with as many threads as the cluster has processors, from an .npy file; on a
cluster of this machine alone, from the same file; and there from a dataset of Ray in memory. What comes before the tenth batch is not counted, so
neither is the start of the workers: it is printed beside. Then come the cost of a row to the process that asked,
and of a job for which nothing is computed, without bytes and with.
"""

import argparse
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from depthwise.datasets import mnist
from depthwise.distributed.cluster import connected
from depthwise.distributed.pool import run_in_order
from depthwise.distributed.prediction import predicted
from depthwise.networks import trained
from depthwise.pictures import reading_of
from depthwise.predictions.pieces import files_of, grouped, pieces_of
from depthwise.predictions.rows import Classifier, Rows
from depthwise.predictions.tables import write_table
from depthwise.runtime.threads import set_threads

BATCH = 1024
BEFORE = 10
"""Batches that are not counted."""

JOBS = 500
PAYLOAD = 8 << 20
"""Bytes of a block for the rate of the object store."""


class Idle:
    """A worker that computes nothing."""

    def ready(self) -> bool:
        return True

    def work(self, job: Any) -> int:
        return len(job)


def images(count: int) -> np.ndarray[Any, Any]:
    """MNIST's, again and again."""
    x = mnist.load_data()[0][0]
    return x[np.arange(count) % len(x)]


def one_process(classifier: Classifier, name: str) -> Iterator[Rows]:
    """The rows as `depthwise predict` computes them."""
    pieces = pieces_of(files_of([name]), classifier.graph, classifier.reading.scale, BATCH)
    return (classifier.rows(group) for group in grouped(pieces, BATCH))


def seconds(batches: Iterator[Rows]) -> tuple[float, int]:
    """Until all rows are there, from the tenth batch on, and how many come then."""
    for _ in range(BEFORE):
        next(batches)
    start = time.perf_counter()
    count = sum(len(rows) for rows in batches)
    return time.perf_counter() - start, count


def job_seconds(ray: Any, processors: int, payload: int, jobs: int) -> float:
    """Of one job on idle workers: handed out, looked at and taken back."""
    actor = ray.remote(Idle).options(num_cpus=0)
    content = [ray.put(np.zeros(payload, np.uint8)) for _ in range(4)] if payload else []
    source = (content[number % 4] if payload else [number] for number in range(jobs + 1))
    results = run_in_order(ray, actor.remote, lambda: processors, source, print)
    next(results)
    start = time.perf_counter()
    for _ in results:
        pass
    return (time.perf_counter() - start) / jobs


def row_costs(classifier: Classifier, rows: Rows, out: str) -> str:
    """What a row costs the process that asked for it."""
    turns = JOBS // 10
    content = pickle.dumps(rows)
    start = time.perf_counter()
    for _ in range(turns):
        pickle.loads(content)
    moved = time.perf_counter() - start
    start = time.perf_counter()
    write_table(out, [rows] * turns, classifier.reading, classifier.columns, classifier.top)
    written = time.perf_counter() - start
    size, each = len(content) / len(rows), 1e6 / turns / len(rows)
    return f"row: {size:.0f} bytes, {each * moved:.2f} µs to take, {each * written:.2f} µs to write to Parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Predictions on a Ray cluster beside one process.")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--processors", type=int, default=os.cpu_count())
    parser.add_argument("--network", default="note-cnn")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args(arguments)
    set_threads(given.processors)
    model = trained(given.network)
    classifier = Classifier(model, reading_of(model))
    arrays = images(given.images)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, connected("local", given.processors) as ray:
        print(f"cluster started in {time.perf_counter() - start:.1f} s")
        file = os.path.join(folder, "images.npy")
        np.save(file, arrays)
        dataset = ray.data.from_numpy([arrays[at : at + BATCH] for at in range(0, len(arrays), BATCH)]).materialize()
        ways: dict[str, Callable[[], Iterator[Rows]]] = {
            "one process": lambda: one_process(classifier, file),
            "cluster, file": lambda: predicted(classifier, [file]),
            "cluster, dataset": lambda: predicted(classifier, dataset),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.turns):
            for name, way in ways.items():
                start = time.perf_counter()
                took, count = seconds(way())
                rates[name].append(count / took)
                before = time.perf_counter() - start - took
                print(f"{name}: {count / took:,.0f} images/s after {before:.1f} s until batch {BEFORE}")
        medians = {name: statistics.median(values) for name, values in rates.items()}
        print()
        for name, rate in medians.items():
            share = f"{rate / medians['one process']:.0%} of one process"
            print(
                f"{name}: {rate:,.0f} images/s, {1e6 * given.processors / rate:.1f} µs an image and processor, {share}"
            )
        empty = job_seconds(ray, given.processors, 0, JOBS)
        full = job_seconds(ray, given.processors, PAYLOAD, JOBS // 10)
        print(row_costs(classifier, next(one_process(classifier, file)), os.path.join(folder, "rows.parquet")))
        print(f"job: {1e3 * empty:.2f} ms; {PAYLOAD >> 20} MB through the object store: {1e3 * full:.2f} ms")


if __name__ == "__main__":
    main()

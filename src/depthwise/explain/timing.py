"""How long a network and its twin take on this machine: measured when a page is made, side by side in one run."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.errors import UnsupportedError
from depthwise.graph import Graph

__all__ = ["measure"]

BATCHES = (1, 256)
ROUNDS = 7
MOST_MACS = 10_000_000_000
"""A batch whose arithmetic exceeds this is left out, so that a page for a large network is made in seconds."""

Weights = Mapping[str, npt.NDArray[np.float32]]


def measure(graph: Graph, weights: Weights, twin: Graph, twin_weights: Weights) -> dict[str, Any] | None:
    """Median microseconds a sample for both networks, in alternating rounds.

    Returns:
        processor, threads, rounds, and for each batch size the two times; None where native code cannot be had.
    """
    batches = [batch for batch in BATCHES if batch * max(graph.macs, twin.macs) <= MOST_MACS]
    try:
        runs = [_ready(graph, weights), _ready(twin, twin_weights)]
    except (UnsupportedError, ImportError, OSError):
        return None
    results = []
    for batch in batches:
        inputs = tuple(np.zeros((batch, *shape), np.float32) + 0.5 for shape in graph.input_shapes)
        seconds: list[list[float]] = [[], []]
        for round_number in range(ROUNDS + 1):
            for index, run in enumerate(runs):
                repeats = 20 if batch == 1 else 1
                start = time.perf_counter()
                for _ in range(repeats):
                    run(inputs)
                if round_number:  # the first round warms caches and is dropped
                    seconds[index].append((time.perf_counter() - start) / repeats / batch)
        own, other = (statistics.median(times) * 1e6 for times in seconds)
        results.append({"batch": batch, "network": own, "twin": other})
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count() or 1,
        "rounds": ROUNDS,
        "batches": results,
    }


def _ready(graph: Graph, weights: Weights) -> Callable[[tuple[npt.NDArray[np.float32], ...]], object]:
    from depthwise.compiler.lower import lower
    from depthwise.inference import Prediction  # the compiler is heavy, and a machine may lack it

    prediction: Callable[[tuple[npt.NDArray[np.float32], ...]], object]
    prediction = made = Prediction(lower(graph))
    made.load(dict(weights))
    return prediction

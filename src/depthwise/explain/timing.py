"""How long a network and its twin take on this machine: measured when a page is made, side by side in one run."""

import functools
import os
import platform
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.errors import UnsupportedError
from depthwise.network.graph import Graph
from depthwise.timing import time_in_turns

__all__ = ["measure"]

BATCHES = (1, 256)
ROUNDS = 7
BUSY = 0.5
"""A load of this part of the cores, before anything is measured, disturbs the times."""

MOST_MACS = 10_000_000_000
"""A batch whose arithmetic exceeds this is left out, so that a page for a large network is made in seconds."""

Weights = Mapping[str, npt.NDArray[np.float32]]


def measure(graph: Graph, weights: Weights, twin: Graph, twin_weights: Weights) -> dict[str, Any] | None:
    """Median microseconds a sample for both networks, in alternating rounds.

    Returns:
        processor, cores, rounds, the machine's load where others were at work on it (else None), and for each batch size the two times; None where native code cannot be had.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    batches = [batch for batch in BATCHES if batch * max(graph.macs, twin.macs) <= MOST_MACS]
    try:
        runs = [_ready(graph, weights), _ready(twin, twin_weights)]
    except (UnsupportedError, ImportError, OSError):
        return None
    results = []
    for batch in batches:
        inputs = tuple(np.zeros((batch, *shape), np.float32) + 0.5 for shape in graph.input_shapes)
        calls = [functools.partial(run, inputs) for run in runs]
        timed = time_in_turns(calls, 0.0, ROUNDS, ROUNDS)
        own, other = (statistics.median(rounds) / batch * 1e6 for rounds in timed)
        results.append({"batch": batch, "network": own, "twin": other})
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count() or 1,
        "rounds": ROUNDS,
        "busy": f"{load:.1f}" if load > BUSY * (os.cpu_count() or 1) else None,
        "batches": results,
    }


def _ready(graph: Graph, weights: Weights) -> Callable[[tuple[npt.NDArray[np.float32], ...]], object]:
    from depthwise.compiler.lower import lower
    from depthwise.runtime.prediction import Prediction  # the compiler is heavy, and a machine may lack it

    prediction: Callable[[tuple[npt.NDArray[np.float32], ...]], object]
    prediction = made = Prediction(lower(graph))
    made.load(dict(weights))
    return prediction

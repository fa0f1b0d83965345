"""Prediction times of two networks, measured in turns so that a busy moment of the machine hits both."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.classification import scaled_for
from depthwise.compare.report import Timing
from depthwise.models import Model

__all__ = ["time_in_turns", "time_prediction"]

_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 31
_SECONDS = 3.0
_CALL_SECONDS = 0.002
"""A round repeats its call until about so much time has passed, so that the clock's resolution does not matter."""


def time_prediction(
    models: Sequence[Model], images: NDArray[Any], batch_size: int, seconds: float = _SECONDS
) -> tuple[Timing, ...]:
    """How long `predict_on_batch` takes for `batch_size` of the images (uint8), for each model."""
    chosen = np.take(images, np.arange(batch_size), axis=0, mode="wrap")
    calls = [_call(model, scaled_for(model.graph, chosen)) for model in models]
    return tuple(Timing(batch_size, rounds) for rounds in time_in_turns(calls, seconds))


def _call(model: Model, images: NDArray[np.float32]) -> Callable[[], object]:
    return lambda: model.predict_on_batch(images)


def time_in_turns(calls: Sequence[Callable[[], object]], seconds: float = _SECONDS) -> tuple[tuple[float, ...], ...]:
    """Seconds of each call, one value a round; in each round every call has its turn.

    A first round, not counted, compiles, warms the caches and finds how often to repeat short calls. At least 5 rounds are
    counted, and more, up to 31, while fewer than `seconds` have passed.
    """
    repeats = []
    for call in calls:
        call()
        start = time.perf_counter()
        call()
        repeats.append(max(1, round(_CALL_SECONDS / max(time.perf_counter() - start, 1e-9))))
    results: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    for number in range(_MOST_ROUNDS):
        if number >= _FEWEST_ROUNDS and time.perf_counter() >= end:
            break
        for call, count, values in zip(calls, repeats, results):
            start = time.perf_counter()
            for _ in range(count):
                call()
            values.append((time.perf_counter() - start) / count)
    return tuple(tuple(values) for values in results)

"""Prediction times of two networks, measured in turns so that a busy moment of the machine hits both."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.classification import scaled_for
from depthwise.compare.report import Timing
from depthwise.models import Model
from depthwise.timing import time_in_turns

__all__ = ["time_prediction"]

_FEWEST_ROUNDS, _MOST_ROUNDS = 5, 31
_SECONDS = 3.0


def time_prediction(
    models: Sequence[Model], images: NDArray[Any], batch_size: int, seconds: float = _SECONDS
) -> tuple[Timing, ...]:
    """How long `predict_on_batch` takes for `batch_size` of the images (uint8), for each model."""
    chosen = np.take(images, np.arange(batch_size), axis=0, mode="wrap")
    calls = [_call(model, scaled_for(model.graph, chosen)) for model in models]
    timed = time_in_turns(calls, seconds, _FEWEST_ROUNDS, _MOST_ROUNDS)
    return tuple(Timing(batch_size, rounds) for rounds in timed)


def _call(model: Model, images: NDArray[np.float32]) -> Callable[[], object]:
    return lambda: model.predict_on_batch(images)

"""The loop is tested on a step made of the float64 reference, so its tests say nothing about native code and need none."""

from typing import Any

import numpy as np
import pytest

from depthwise import models
from depthwise.random import set_random_seed
from depthwise.reference import network
from depthwise.training import compiled
from support.reference_step import ReferenceStep


class Reference:
    """A prediction in float64, with the weights that the model has now."""

    def __init__(self, model: Any) -> None:
        self.graph, self.weights = model.graph, model.weights_by_name

    def __call__(self, arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            values = network.forward(self.graph, dict(self.weights), arrays)
            return tuple(values[name].astype(np.float32) for name in self.graph.outputs)


@pytest.fixture(autouse=True)
def reference_step(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every step of the loop is a `ReferenceStep`; the fixture's value lists those that were made."""
    made = []

    def make(graph: Any, outputs: Any, optimizer: Any) -> Any:
        made.append(ReferenceStep(graph, outputs, optimizer))
        return made[-1]

    def ready(model: Any) -> Any:
        return Reference(model)

    monkeypatch.setattr(compiled, "make_step", make)
    monkeypatch.setattr(models.Model, "_ready", ready)
    set_random_seed(7)
    return made

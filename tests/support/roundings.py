"""How much of a training step may be rounding, from the lengths of its sums: for steps whose gradients the tests do not know."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from depthwise.network.graph import Graph
from depthwise.reference import bounds

__all__ = ["Way", "roundings"]

ELEMENTWISE = 8
"""Roundings of an activation, a normalisation or a loss for one number: their formulas have up to eight operations."""


def roundings(graph: Graph, batch: int) -> int:
    """Roundings one after the other between an input, the loss and a weight's gradient, at most.

    Of a number of a layer's output: the terms of its sum, and those of the sums over channels of a normalisation or softmax.
    The gradient goes the same way back, and is then added up over the batch and the positions of the map.
    """
    forward = 0
    for call in graph.calls:
        fan_in = max((prod(weight.shape[:-1]) for weight in call.weights), default=0)
        forward += fan_in + call.output_shape[-1] + ELEMENTWISE
    positions = max(prod(call.output_shape[:-1]) for call in graph.calls)
    return 2 * forward + batch * positions


class Way:
    """How far weights have gone, step by step, in the reference; what rounding makes of it follows.

    A step moves a weight by a multiple of its gradient (and of former ones), which has a relative error of `roundings` · u
    of its terms. The terms are as large as the largest way that a weight of the network goes: a gradient that cancels, as that
    of a bias before a normalisation does, leaves the rounding of what cancels. Besides, each step rounds the weight itself.
    """

    def __init__(self, graph: Graph, batch: int, start: Mapping[str, Any]) -> None:
        self.count = roundings(graph, batch)
        self._last = {name: np.asarray(value, np.float64) for name, value in start.items()}
        self._gone = dict.fromkeys(start, 0.0)
        self.steps = 0

    def step(self, weights: Mapping[str, Any]) -> None:
        """Takes the weights after another step."""
        self.steps += 1
        for name, last in self._last.items():
            self._gone[name] += float(np.abs(weights[name] - last).max()) if last.size else 0.0
            self._last[name] = np.asarray(weights[name], np.float64)

    def allowed(self, name: str) -> float:
        """How far a weight may be off by rounding that is not magnified."""
        u = bounds.UNIT_ROUNDOFF
        return u * (self.count * max(self._gone.values()) + self.steps * float(np.abs(self._last[name]).max()))

    def allowed_log(self, value: float) -> float:
        """How far a loss or metric may be off: it has the roundings of the forward pass, from weights that each step moved off."""
        return bounds.UNIT_ROUNDOFF * self.count * (self.steps + 1) * max(1.0, abs(value))

"""How the reference describes a layer: its formula, and what carries a gradient back. One file a family has the rules.

A formula is written with the arrays of `depthwise.reference.running`, so that the bound of its float32 errors comes with it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from depthwise.reference.running import Bounded
from depthwise.reference.windows import Array

__all__ = ["Given", "Rule", "moves"]


class Given(NamedTuple):
    """What a rule computes with.

    Attributes:
        layer: the description.
        weights: by their short names.
        inputs: one array (batch, …) for each input.
        kept: in training what a random layer drew, in the shape of what it draws; else None.
    """

    layer: Any
    weights: Mapping[str, Bounded]
    inputs: Sequence[Bounded]
    kept: Any = None

    @property
    def arrays(self) -> list[Array]:
        """The inputs without their errors."""
        return [item.value for item in self.inputs]


class Rule(NamedTuple):
    """One layer.

    Attributes:
        forward: its result.
        gradients: from the gradient of the result to those of the inputs, and of the weights by their short names.
        weights: the shapes of its weights, from the layer and the shapes of its inputs.
    """

    forward: Callable[[Given], Bounded]
    gradients: Callable[[Given, Array], tuple[list[Array], dict[str, Array]]]
    weights: Callable[[Any, Sequence[tuple[int, ...]]], dict[str, tuple[int, ...]]] = lambda layer, shapes: {}


def moves(function: Callable[[Any, Array], Array]) -> Rule:
    """The rule of a layer that moves numbers of its one input: the gradient of each goes back to where it came from."""

    def forward(given: Given) -> Bounded:
        (x,) = given.inputs
        return Bounded(function(given.layer, x.value), function(given.layer, x.error))

    def gradients(given: Given, dy: Array) -> tuple[list[Array], dict[str, Array]]:
        (x,) = given.arrays
        numbers = np.arange(1, x.size + 1, dtype=np.float64).reshape(x.shape)
        place = function(given.layer, numbers).astype(np.int64)  # 0 where the layer puts in a number of its own
        dx = np.zeros(x.size + 1)
        np.add.at(dx, place.ravel(), np.asarray(dy).ravel())
        return [dx[1:].reshape(x.shape)], {}

    return Rule(forward, gradients)

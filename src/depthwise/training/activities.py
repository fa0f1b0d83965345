"""Penalties on what layers give (`activity_regularizer`), as losses of outputs that nobody sees.

The sum of |y| or y² over a sample's values is their number times the mean absolute or squared error against 0: the native step
has these losses. As in Keras the penalty is the mean over the samples of the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, TypeAlias

import numpy as np

from depthwise.dataclass import dataclass
from depthwise.errors import UnsupportedError
from depthwise.losses import Loss, MeanAbsoluteError, MeanSquaredError
from depthwise.network.graph import Graph
from depthwise.regularizers import L1, L1L2, L2, Regularizer

__all__ = ["Activity", "ActivityPenalty", "activities", "with_activities"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Activity:
    """One penalty: `weight` times the loss of the call's values against zeros."""

    call: str
    loss: Loss
    weight: float


def activities(graph: Graph) -> tuple[Activity, ...]:
    """The penalties on what the network's layers give.

    Raises:
        UnsupportedError: an activity regularizer other than L1, L2 and L1L2.
    """
    found: list[Activity] = []
    for call in graph.calls:
        regularizer = call.layer.activity_penalty
        if regularizer is None:
            continue
        if not isinstance(regularizer, (L1, L2, L1L2)):
            raise UnsupportedError(
                f"{call.layer.label}: {type(regularizer).__name__} is not supported as activity_regularizer; use L1, L2 or L1L2"
            )
        l1, l2 = regularizer.factors
        size = prod(call.output_shape)
        found += [Activity(call.name, MeanAbsoluteError(), l1 * size)] if l1 else []
        found += [Activity(call.name, MeanSquaredError(), l2 * size)] if l2 else []
    return tuple(found)


def with_activities(graph: Graph, found: Sequence[Activity]) -> Graph:
    """The network with the penalised values as further outputs."""
    return replace(graph, outputs=(*graph.outputs, *(item.call for item in found)), tree=None)


class ActivityPenalty:
    """What the penalties add to the loss where nothing is trained.

    Args:
        graph: the network. weights: by name, as they are now.
    """

    def __init__(self, graph: Graph, weights: Mapping[str, Array]) -> None:
        penalties: dict[str, Regularizer] = {}
        if activities(graph):
            penalties = {
                call.name: call.layer.activity_penalty
                for call in graph.calls
                if call.layer.activity_penalty is not None
            }
        self._penalties = list(penalties.values())
        if penalties:
            from depthwise.compiler.lower import lower
            from depthwise.runtime.prediction import Prediction

            inner = replace(graph, outputs=tuple(penalties), tree=None)
            self._prediction = Prediction(lower(inner)).with_weights(weights)

    def __call__(self, x: Sequence[Array]) -> float:
        """The penalty of a batch."""
        if not self._penalties:
            return 0.0
        values = self._prediction(tuple(x))
        return sum(penalty(array) / len(array) for penalty, array in zip(self._penalties, values))

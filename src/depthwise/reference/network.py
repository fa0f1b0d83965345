"""A whole graph, node by node: every value, and every gradient."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthwise.layers.input import InputLayer
from depthwise.network.graph import Call, Graph
from depthwise.reference import layer as one_layer
from depthwise.reference import optimizers
from depthwise.reference.losses import loss_gradient, total_loss
from depthwise.reference.windows import Array

__all__ = [
    "Gradients",
    "TrainingResult",
    "forward",
    "gradients",
    "gradients_from",
    "moving_statistics",
    "training_step",
    "weights_of",
]

Weights = Mapping[str, npt.ArrayLike]


class Gradients(NamedTuple):
    """What `gradients` gives.

    Attributes:
        loss: the mean loss over the batch, weighted.
        weights: gradient to each trainable weight, by `node/weight`.
        nodes: gradient to each node's result; that of an input node is the gradient to the data.
    """

    loss: float
    weights: dict[str, Array]
    nodes: dict[str, Array]


class TrainingResult(NamedTuple):
    """What `training_step` gives.

    Attributes:
        loss: the mean loss over the batch, weighted, before the step.
        weights: all weights after the step, moving statistics too, by `node/weight`.
        state: the optimizer's, for the next step.
        prediction: the output before the step.
    """

    loss: float
    weights: dict[str, Array]
    state: dict[str, Array]
    prediction: Array


def weights_of(node: Call, weights: Weights) -> dict[str, npt.ArrayLike]:
    """The node's weights by their short names, out of those of the whole graph (`node/weight`)."""
    return {name: weights[node.key(name)] for name in _shapes(node)}


def _shapes(node: Call) -> dict[str, tuple[int, ...]]:
    return one_layer.weight_shapes(node.layer, node.facts.input_shapes)


def forward(
    graph: Graph,
    weights: Weights,
    inputs: Sequence[npt.ArrayLike],
    training: bool = False,
    dropout_masks: Mapping[str, npt.ArrayLike] | None = None,
) -> dict[str, Array]:
    """Every node's result, by its name.

    Args:
        weights: by `node/weight`, for example `conv2d/kernel`.
        inputs: one array (batch, …) for each of the graph's inputs.
        training: Dropout drops, and BatchNormalization uses the batch's own statistics.
        dropout_masks: by node name, which values were kept: true or 1.
    """
    values: dict[str, Array] = {}
    given = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.calls:
        reads = [given[node.name]] if isinstance(node.layer, InputLayer) else [values[name] for name in node.reads]
        kept = (dropout_masks or {}).get(node.name)
        values[node.name] = one_layer.forward(node.layer, weights_of(node, weights), reads, training, kept)
    return values


def moving_statistics(graph: Graph, weights: Weights, values: Mapping[str, Array]) -> dict[str, Array]:
    """Every moving mean and variance after a training step whose values `forward(…, training=True)` gave."""
    updated = {}
    for node in graph.calls:
        if node.reads:
            changes = one_layer.moving_statistics(node.layer, weights_of(node, weights), values[node.reads[0]])
            updated.update({node.key(name): value for name, value in changes.items()})
    return updated


def gradients_from(
    graph: Graph,
    weights: Weights,
    values: Mapping[str, Array],
    output_gradients: Mapping[str, npt.ArrayLike],
    training: bool = True,
    dropout_masks: Mapping[str, npt.ArrayLike] | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Gradients to every weight and every node, from those to the outputs: (weights, nodes).

    Args:
        values: what `forward` gave for the same arguments.
        output_gradients: by node name; nodes that no output reads have gradient 0.
    """
    nodes = {node.name: np.zeros_like(values[node.name]) for node in graph.calls}
    for name, gradient in output_gradients.items():
        nodes[name] = nodes[name] + np.asarray(gradient, dtype=np.float64)
    found: dict[str, Array] = {}
    for node in reversed(graph.calls):
        if isinstance(node.layer, InputLayer):
            continue
        reads = [values[name] for name in node.reads]
        kept = (dropout_masks or {}).get(node.name)
        to_inputs, to_weights = one_layer.gradients(
            node.layer, weights_of(node, weights), reads, nodes[node.name], training, kept
        )
        for name, gradient in zip(node.reads, to_inputs):
            nodes[name] = nodes[name] + gradient
        for name in one_layer.trainable_weights(node.layer, node.facts.input_shapes):
            key = node.key(name)
            found[key] = found[key] + to_weights[name] if key in found else to_weights[name]
    return found, nodes


def gradients(
    graph: Graph,
    weights: Weights,
    inputs: Sequence[npt.ArrayLike],
    loss: Any,
    targets: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    dropout_masks: Mapping[str, npt.ArrayLike] | None = None,
    training: bool = True,
) -> Gradients:
    """The loss of the graph's one output, and its gradients to every trainable weight and every node.

    Args:
        loss: a description of the loss, or `reference.losses.Loss`.
        targets: (batch, …) labels for sparse categorical cross-entropy, else (batch, …, outputs).
        sample_weight: (batch,), or (batch, …) with one for each pixel; see `total_loss`.
    """
    (output,) = graph.outputs
    values = forward(graph, weights, inputs, training, dropout_masks)
    start = {output: loss_gradient(loss, targets, values[output], sample_weight)}
    found, nodes = gradients_from(graph, weights, values, start, training, dropout_masks)
    return Gradients(total_loss(loss, targets, values[output], sample_weight), found, nodes)


def training_step(
    graph: Graph,
    weights: Weights,
    state: Mapping[str, npt.ArrayLike],
    inputs: Sequence[npt.ArrayLike],
    loss: Any,
    targets: npt.ArrayLike,
    optimizer: Any,
    learning_rate: float,
    sample_weight: npt.ArrayLike | None = None,
    dropout_masks: Mapping[str, npt.ArrayLike] | None = None,
) -> TrainingResult:
    """One whole step: forward, loss, backward, optimizer, moving statistics.

    Args:
        state: {} at first, later that of the last result; the others as in `gradients` and `optimizers.step`.
    """
    values = forward(graph, weights, inputs, True, dropout_masks)
    found = gradients(graph, weights, inputs, loss, targets, sample_weight, dropout_masks)
    after, state_after = optimizers.step(optimizer, weights, found.weights, state, learning_rate)
    after.update(moving_statistics(graph, weights, values))
    return TrainingResult(found.loss, after, state_after, values[graph.outputs[0]])

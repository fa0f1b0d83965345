"""Whole training steps: frozen layers, batch statistics, every loss behind its activation, sample weights."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depthwise import losses
from depthwise.compiler.lower import lower
from depthwise.layers.descriptions import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Description,
    Flatten,
    GlobalAveragePooling2D,
    ReLU,
)
from depthwise.network.graph import Graph, sequential
from depthwise.optimizers import SGD
from depthwise.reference import bounds, network
from depthwise.reference.losses import loss_gradient, sample_losses
from depthwise.runtime.training_step import TrainingStep
from support.branches import graph_weights
from support.gates import error_gate
from support.gradient_bounds import gradient_errors
from support.native_runs import step_gradients, train

U = bounds.UNIT_ROUNDOFF
BATCH = 6


def _network(*last: Description) -> Graph:
    first = [Conv2D(5, 3, activation="selu", input_shape=(7, 6, 2)), DepthwiseConv2D(3), GlobalAveragePooling2D()]
    return sequential([*first, *last])


def _map_network(*last: Description) -> Graph:
    return sequential([Conv2D(5, 3, activation="selu", input_shape=(7, 6, 2)), DepthwiseConv2D(3), *last])


def _data(graph: Graph, seed: int = 0) -> tuple[np.random.Generator, dict[str, Any], np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = graph_weights(rng, graph)
    shape = graph.by_name[graph.inputs[0]].output_shape
    return rng, weights, rng.standard_normal((BATCH, *shape)).astype(np.float32)


CLASSES = 5
LOSSES: dict[str, tuple[losses.Loss, str]] = {
    "sparse": (losses.SparseCategoricalCrossentropy(), "softmax"),
    "sparse logits": (losses.SparseCategoricalCrossentropy(from_logits=True), "linear"),
    "sparse sigmoid": (losses.SparseCategoricalCrossentropy(), "sigmoid"),
    "categorical": (losses.CategoricalCrossentropy(), "softmax"),
    "categorical smoothed": (losses.CategoricalCrossentropy(label_smoothing=0.1), "softmax"),
    "categorical logits": (losses.CategoricalCrossentropy(from_logits=True), "linear"),
    "binary": (losses.BinaryCrossentropy(), "sigmoid"),
    "binary smoothed logits": (losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2), "linear"),
    "binary softplus": (losses.BinaryCrossentropy(), "hard_sigmoid"),
    "squared": (losses.MeanSquaredError(), "tanh"),
    "absolute": (losses.MeanAbsoluteError(), "linear"),
}


LAST: dict[str, Callable[[str], Graph]] = {
    "vector": lambda activation: _network(Dense(CLASSES, activation=activation)),
    "map": lambda activation: _map_network(Conv2D(CLASSES, 1, activation=activation)),
    "map of a dense layer": lambda activation: _map_network(Dense(CLASSES, activation=activation)),
    "map behind a layer of its own": lambda activation: _map_network(Conv2D(CLASSES, 2), Activation(activation)),
}


@pytest.mark.parametrize("weighted", ["not", "by sample", "by position"])
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_behind_its_activation(name: str, last: str, weighted: str) -> None:
    """Softmax and sigmoid are fused with their losses: the gradients are the same as of the two one after the other."""
    loss, activation = LOSSES[name]
    graph = LAST[last](activation)
    rng, weights, x = _data(graph)
    positions = (BATCH, *graph.output_shapes[0][:-1])
    labels = rng.integers(0, CLASSES, positions)
    target: npt.NDArray[Any]
    if loss.sparse:
        target = labels.astype(np.int32)
    elif "absolute" in name or "squared" in name:
        target = rng.standard_normal((*positions, CLASSES)).astype(np.float32)
    else:
        target = np.eye(CLASSES, dtype=np.float32)[labels]
    by = (0.5 + rng.random(BATCH if weighted == "by sample" else positions)).astype(np.float32)
    share = None if weighted == "not" else by
    step = TrainingStep(lower(graph, training=True), loss, SGD())
    step.load(weights, {})
    result = train(step, (x,), target, share)
    output = graph.outputs[0]
    y = network.forward(graph, weights, (x,), True)[output]
    error = bounds.network_errors(graph, weights, (x,), True)[output]
    error_gate(result.predictions, y, error, "predictions")
    # The losses of exactly what was predicted: a logarithm, a few products, one sum of five.
    expected = sample_losses(loss, target, result.predictions)
    scale = 1.0 + np.abs(result.predictions).max() + np.abs(expected)
    allowed_loss = 40.0 * U * scale
    if name.startswith("binary"):
        # In float32 a certain prediction is clipped at 1 − 2⁻²³ instead of 1 − 10⁻⁷.
        certain = np.count_nonzero(result.predictions >= 1.0 - 1e-7, axis=-1)
        allowed_loss = allowed_loss + certain / CLASSES * np.log(2.0**-23 / 1e-7)
    error_gate(result.losses, expected, allowed_loss, "losses")
    gradient = loss_gradient(loss, target, y, share)
    # To first order: how much the loss's slope changes with its prediction, by the reference itself.
    moved = np.maximum(
        np.abs(loss_gradient(loss, target, y + error, share) - gradient),
        np.abs(loss_gradient(loss, target, y - error, share) - gradient),
    )
    allowed_start = 4.0 * moved + 40.0 * U * np.abs(gradient).max()
    expected_gradients, allowed = gradient_errors(graph, weights, (x,), gradient, allowed_start)
    actual = step_gradients(step)
    assert set(actual) == set(expected_gradients)
    for key, value in expected_gradients.items():
        error_gate(actual[key], value, allowed[key], f"{name}: gradient of {key}")


def test_frozen_layers_keep_their_weights() -> None:
    """Gradients go through them, to the layers below; a frozen normalisation uses its moving statistics."""
    graph = sequential(
        [
            Conv2D(4, 3, activation="tanh", input_shape=(6, 6, 2)),
            Conv2D(6, 3, activation="selu", trainable=False),
            BatchNormalization(trainable=False),
            Flatten(),
            Dense(3),
        ]
    )
    rng, weights, x = _data(graph)
    target = rng.standard_normal((BATCH, 3)).astype(np.float32)
    step = TrainingStep(lower(graph, training=True), losses.MeanSquaredError(), SGD())
    step.load(weights, {})
    result = train(step, (x,), target, None)
    y = network.forward(graph, weights, (x,), True)[graph.outputs[0]]
    error = bounds.network_errors(graph, weights, (x,), True)[graph.outputs[0]]
    error_gate(result.predictions, y, error, "predictions")
    gradient = loss_gradient(losses.MeanSquaredError(), target, y)
    start = 2.0 / 3 / BATCH * (error + 6.0 * U * (np.abs(y) + np.abs(target)))
    expected, allowed = gradient_errors(graph, weights, (x,), gradient, start)
    trainable = {name for name in expected if name.split("/")[0] in ("conv2d", "dense")}
    actual = step_gradients(step)
    assert set(actual) == trainable
    for name in trainable:
        error_gate(actual[name], expected[name], allowed[name], name)
    step.load(weights, {})
    step((x,), target, None, learning_rate=0.1)
    for name, value in step.weights().items():
        assert np.array_equal(value, weights[name]) != (name in trainable), name


def test_batch_normalisation_learns_and_moves_its_statistics() -> None:
    """One whole step with a large batch: chunks of several samples, joined; weights, moving mean and variance."""
    graph = sequential(
        [
            Conv2D(5, 3, input_shape=(6, 5, 2)),
            BatchNormalization(momentum=0.8),
            ReLU(),
            DepthwiseConv2D(2),
            BatchNormalization(scale=False),
            GlobalAveragePooling2D(),
            Dense(2),
        ]
    )
    rng = np.random.default_rng(3)
    weights = graph_weights(rng, graph)
    x = (rng.standard_normal((50, 6, 5, 2)) + 3.0).astype(np.float32)
    target = rng.standard_normal((50, 2)).astype(np.float32)
    step = TrainingStep(lower(graph, training=True), losses.MeanSquaredError(), SGD())
    step.load(weights, {})
    step((x,), target, None, learning_rate=0.5)
    expected = network.training_step(graph, weights, {}, (x,), losses.MeanSquaredError(), target, SGD(), 0.5).weights
    for name, value in step.weights().items():
        # A few hundred roundings of numbers about 10: a worst case would be 1500 · u · 10.
        error_gate(value, expected[name], 1500 * U * (1.0 + np.abs(expected[name])), name)


def test_a_sample_without_weight_does_not_count() -> None:
    graph = _network(Dense(2))
    rng, weights, x = _data(graph)
    target = rng.standard_normal((BATCH, 2)).astype(np.float32)
    share = np.ones(BATCH, np.float32)
    share[2:4] = 0.0
    other = x.copy()
    other[2:4] = 100.0
    found = []
    for data in (x, other):
        step = TrainingStep(lower(graph, training=True), losses.MeanSquaredError(), SGD())
        step.load(weights, {})
        train(step, (data,), target, share)
        found.append(step_gradients(step))
    for name, value in found[0].items():
        np.testing.assert_array_equal(found[1][name], value, name)
        assert np.abs(value).max() > 0.0

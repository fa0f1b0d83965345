"""Training with a map as output: every position counts, and Flatten behind the network changes nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from depthwise import Input, layers, losses, models
from depthwise.compiler.lower import lower
from depthwise.network.graph import Graph
from depthwise.optimizers import SGD
from depthwise.reference import bounds
from depthwise.runtime.training_step import TrainingStep
from support.branches import graph_weights
from support.gates import error_gate
from support.native_runs import step_gradients, train

BATCH = 4
U = bounds.UNIT_ROUNDOFF

Tensor = Any

NETWORKS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "Conv2D": ((4, 4, 3), layers.Conv2D(2, 3, padding="same", name="last")),
    "one channel": ((4, 4, 3), layers.Conv2D(1, 3, padding="same", name="last")),
    "one row": ((1, 8, 3), layers.Conv2D(1, 1, name="last")),
    "one column": ((8, 1, 3), layers.Conv2D(4, 1, name="last")),
    "two by two": ((2, 2, 1), layers.Conv2D(1, 1, name="last")),
    "many channels": ((2, 2, 3), layers.Conv2D(32, 1, name="last")),
    "SeparableConv2D": ((4, 4, 3), layers.SeparableConv2D(8, 3, padding="same", name="last")),
    "rank 2": ((8, 5), layers.Dense(4, name="last")),
    "Dense on a map": ((4, 2, 5), layers.Dense(2, name="last")),
    "MaxPooling2D": ((8, 4, 3), lambda x: layers.MaxPooling2D(2)(layers.Conv2D(2, 1, name="c")(x))),
    "AveragePooling2D": ((8, 4, 3), lambda x: layers.AveragePooling2D(2)(layers.Conv2D(2, 1, name="c")(x))),
    "Activation": ((4, 4, 3), lambda x: layers.Activation("tanh")(layers.Conv2D(2, 1, name="c")(x))),
    "ReLU": ((4, 4, 3), lambda x: layers.ReLU()(layers.Conv2D(2, 1, name="c")(x))),
    "BatchNormalization": ((4, 4, 3), lambda x: layers.BatchNormalization()(layers.Conv2D(2, 1, name="c")(x))),
    "Dropout": ((4, 4, 3), lambda x: layers.Dropout(0.5)(layers.Conv2D(2, 1, name="c")(x))),
    "ZeroPadding2D": ((2, 2, 3), lambda x: layers.ZeroPadding2D(1)(layers.Conv2D(2, 1, name="c")(x))),
    "Add": ((4, 4, 2), lambda x: layers.Add()([x, layers.Conv2D(2, 3, padding="same", name="c")(x)])),
    "Concatenate": (
        (4, 4, 2),
        lambda x: layers.Concatenate()(
            [layers.Conv2D(3, 1, name="a")(x), layers.Conv2D(5, 3, padding="same", name="b")(x)]
        ),
    ),
}
"""Outputs with powers of two in every axis: shares of the loss are then exact."""

LOSSES = (
    losses.MeanSquaredError(),
    losses.MeanAbsoluteError(),
    losses.BinaryCrossentropy(from_logits=True),
)


def _graphs(name: str) -> tuple[Graph, Graph]:
    """The network, and the same with Flatten behind it."""
    shape, build = NETWORKS[name]
    made = []
    for flat in (False, True):
        start = Input(shape=shape)
        end = build(start)
        made.append(models.Model(start, layers.Flatten()(end) if flat else end).graph)
    return made[0], made[1]


def _step(graph: Graph, loss: losses.Loss, weights: dict[str, Any]) -> TrainingStep:
    step = TrainingStep(lower(graph, training=True), loss, SGD())
    step.load(weights, {})
    return step


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("name", NETWORKS)
def test_flatten_behind_the_network_changes_nothing(name: str, loss: losses.Loss) -> None:
    """The same gradients bit for bit, and the same loss to the rounding of its sum."""
    graph, flat = _graphs(name)
    rng = np.random.default_rng(len(name))
    weights = graph_weights(rng, graph)
    x = rng.standard_normal((BATCH, *graph.input_shapes[0])).astype(np.float32)
    y = rng.random((BATCH, *graph.output_shapes[0])).astype(np.float32)
    share = rng.integers(1, 4, BATCH).astype(np.float32)
    first, second = _step(graph, loss, weights), _step(flat, loss, weights)
    one = train(first, (x,), y, share, seed=5)
    other = train(second, (x,), y.reshape(BATCH, -1), share, seed=5)
    np.testing.assert_array_equal(one.predictions.reshape(BATCH, -1), other.predictions)
    means = one.losses.reshape(BATCH, -1).mean(axis=1, dtype=np.float64)
    size = 1.0 + np.abs(one.predictions).max()
    error_gate(other.losses, means, (y[0].size + 12.0) * U * size * np.abs(means), "losses")
    gradients, expected = step_gradients(first), step_gradients(second)
    assert set(gradients) == set(expected)
    assert gradients
    for key, value in expected.items():
        np.testing.assert_array_equal(gradients[key], value, key)
        assert np.abs(value).max() > 0.0


def test_every_place_of_the_target_counts_alike() -> None:
    model = models.Sequential([Input(shape=(4, 4, 2)), layers.Conv2D(2, 1, use_bias=False, kernel_initializer="zeros")])
    model.compile(SGD(0.0), "mse")
    x = np.ones((1, 4, 4, 2), np.float32)
    for place in np.ndindex(4, 4, 2):
        y = np.zeros((1, 4, 4, 2), np.float32)
        y[0][place] = 1.0
        assert model.train_on_batch(x, y) == model.evaluate(x, y, verbose=0) == 1.0 / 32.0


def test_weights_by_position_choose_what_is_learnt() -> None:
    """A weight of 0 hides a position: its label may be anything."""
    graph, _ = _graphs("Conv2D")
    rng = np.random.default_rng(0)
    weights = graph_weights(rng, graph)
    x = rng.standard_normal((BATCH, 4, 4, 3)).astype(np.float32)
    y = rng.random((BATCH, 4, 4, 2)).astype(np.float32)
    share = rng.integers(0, 2, (BATCH, 4, 4)).astype(np.float32)
    step = _step(graph, losses.MeanSquaredError(), weights)
    train(step, (x,), y, share)
    expected = step_gradients(step)
    train(step, (x,), np.where(share[..., np.newaxis] == 0.0, np.float32(50.0), y), share)
    for key, value in step_gradients(step).items():
        np.testing.assert_array_equal(value, expected[key], key)
        assert np.abs(value).max() > 0.0

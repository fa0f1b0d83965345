"""A loop in a schedule computes what its rounds would, written out: equal bit for bit."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from depthwise.compiler.lower import lower
from depthwise.compiler.passes import PREDICTION
from depthwise.compiler.passes.depthwise import use_depthwise
from depthwise.compiler.plan import repeats
from depthwise.compiler.plan.prediction import plan_batches
from depthwise.compiler.plan.schedule import Item, Repeat, Schedule
from depthwise.compiler.plan.training import plan_training
from depthwise.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    GlobalAveragePooling2D,
    Layer,
    MaxPooling2D,
    SeparableConv2D,
)
from depthwise.losses import SparseCategoricalCrossentropy
from depthwise.network.graph import Graph, sequential
from depthwise.optimizers import SGD
from depthwise.reference import bounds, network
from depthwise.runtime.executable import host_machine
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads, set_threads
from depthwise.runtime.training_step import TrainingStep
from support.gates import error_gate
from support.large import inverted_residuals
from support.networks import seeded_weights
from support.planned import ADAM, prediction_program, training_program


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = get_threads()
    yield
    set_threads(before)


def strips_and_groups() -> Graph:
    """Strips of rows; groups within strips, of whole vectors and of parts; cells of a strided kernel with groups within."""
    chain: list[Layer] = [
        Conv2D(16, 3, padding="same", groups=8, activation="selu", input_shape=(61, 61, 8)),
        SeparableConv2D(16, 3, padding="same", activation="relu"),
        Conv2D(64, 5, strides=2, groups=4),
        BatchNormalization(),
        MaxPooling2D(2, padding="same"),
        Conv2D(15, 1),
        Conv2D(30, 3, groups=5, padding="same"),
        GlobalAveragePooling2D(),
        Dense(4, activation="softmax"),
    ]
    return sequential(chain, "strips_and_groups")


def depth(items: tuple[Item, ...]) -> int:
    """Of the deepest loop."""
    return max((1 + depth(item.body) for item in items if isinstance(item, Repeat)), default=0)


def deepest(schedule: Schedule) -> int:
    return max(depth(items) for stage in schedule.stages for items in stage.lists)


def test_the_network_has_loops_within_loops() -> None:
    graph = strips_and_groups()
    assert deepest(plan_batches(prediction_program(graph), host_machine())) >= 1
    assert deepest(plan_training(training_program(graph), host_machine(), ADAM)) == 3


@pytest.mark.parametrize("threads", [1, 2])
def test_results_are_those_of_calls_written_out(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    set_threads(threads)
    graph = strips_and_groups()
    weights = seeded_weights(graph)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, *graph.input_shapes[0])).astype(np.float32)
    labels = rng.integers(0, 4, 3).astype(np.int32)

    def everything() -> list[np.ndarray]:
        prediction = Prediction(lower(graph))
        prediction.load(weights)
        step = TrainingStep(lower(graph, training=True), SparseCategoricalCrossentropy(), SGD())
        step.load(weights, {})
        step((x,), labels, None, learning_rate=0.1, seed=0)
        return [*prediction((x,)), *prediction((x[:1],)), *step.weights().values()]

    looped = everything()
    monkeypatch.setattr(repeats, "LEAST_ROUNDS", 1 << 30)
    assert deepest(plan_batches(prediction_program(graph), host_machine())) == 0
    for one, other in zip(looped, everything(), strict=True):
        np.testing.assert_array_equal(one, other)


def depthwise_like(**options: Any) -> Graph:
    """A convolution with a group and a filter for each channel."""
    chain: list[Layer] = [
        Conv2D(20, 3, padding="same", input_shape=(13, 11, 3)),
        Conv2D(20, 3, groups=20, **options),
        BatchNormalization(),
        GlobalAveragePooling2D(),
        Dense(3, activation="softmax"),
    ]
    return sequential(chain, "depthwise_like")


@pytest.mark.parametrize(
    "options", [{"padding": "same"}, {"strides": 2, "activation": "gelu"}, {"dilation_rate": 2, "use_bias": False}]
)
def test_a_group_for_each_channel_is_a_depthwise_convolution(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    graph = depthwise_like(**options)
    weights = seeded_weights(graph)
    x = np.random.default_rng(1).standard_normal((3, 13, 11, 3)).astype(np.float32)

    def predict() -> tuple[list[str], list[np.ndarray]]:
        prediction = Prediction(lower(graph))
        prediction.load(weights)
        kinds = [type(operation).__name__ for operation in prediction.program.operations]
        return kinds, [*prediction((x,)), *prediction((x[:1],))]

    kinds, found = predict()
    assert kinds.count("ConvolveDepthwise") == 1
    without = tuple(item for item in PREDICTION if item is not use_depthwise)
    monkeypatch.setattr("depthwise.runtime.prediction.PREDICTION", without)
    kinds, grouped = predict()
    assert "ConvolveDepthwise" not in kinds
    for one, other in zip(found, grouped, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_network_of_more_than_150_layers() -> None:
    """Small maps, so that it compiles soon. By the deviation of independent roundings, as worst cases grow with every layer."""
    graph = inverted_residuals(32, 8)
    assert len(graph.calls) > 150
    weights = seeded_weights(graph)
    x = np.random.default_rng(2).random((2, 32, 32, 3), dtype=np.float32)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    (y,) = prediction((x,))
    (alone,) = prediction((x[1:].copy(),))
    np.testing.assert_array_equal(alone, y[1:])
    output = graph.outputs[0]
    deviation = bounds.network_deviations(graph, weights, (x,))[output]
    error_gate(y, network.forward(graph, weights, (x,))[output], 8.0 * deviation)

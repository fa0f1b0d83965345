"""Padding as an operation of its own is read around the map instead: the same bits, without the copy."""

import numpy as np
import pytest

from depthwise.compiler.lower import lower
from depthwise.compiler.passes import PREDICTION, TRAINING
from depthwise.compiler.passes.padding import fold_padding, fold_padding_for_training
from depthwise.layers import (
    Add,
    AveragePooling2D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ZeroPadding2D,
)
from depthwise.losses import SparseCategoricalCrossentropy
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.training_step import TrainingStep
from support import native_runs
from support.networks import seeded_weights
from support.planned import ADAM

ASYMMETRIC = ((0, 1), (2, 1))


def chain() -> Graph:
    """Before each kind that folds, and more rows around the map than a kernel reaches."""
    start = Input((13, 12, 5))
    x = Conv2D(9, 3, strides=2)(ZeroPadding2D(((2, 1), (0, 3)))(start))
    x = DepthwiseConv2D(3, strides=2, activation="relu")(ZeroPadding2D(ASYMMETRIC)(x))
    x = MaxPooling2D(3, strides=2, padding="same")(Conv2D(8, 1)(ZeroPadding2D(3)(x)))
    x = AveragePooling2D(2, padding="same")(ZeroPadding2D(ASYMMETRIC)(x))
    return functional(start, Dense(3, activation="softmax")(GlobalAveragePooling2D()(x)), "chain")


def shared() -> Graph:
    """A map with readers that want different numbers around it, a padded map with two readers, and one that the caller sees."""
    start = Input((9, 9, 4))
    x = Conv2D(8, 3, padding="same", activation="relu")(start)
    largest, mean = MaxPooling2D(3, strides=1, padding="same")(x), AveragePooling2D(3, strides=1, padding="same")(x)
    padded = ZeroPadding2D(1)(Add()([largest, mean]))
    both = Add()([Conv2D(8, 3)(padded), MaxPooling2D(3, strides=1)(padded)])
    seen = ZeroPadding2D(2)(both)
    return functional(start, [Conv2D(4, 3)(seen), seen], "shared")


def _pads(prediction: Prediction | TrainingStep) -> int:
    return [type(operation).__name__ for operation in prediction.program.operations].count("Pad")


# What is left in `shared`: of a maximum's padding and a mean's around one map, one; and the map that the caller sees.
@pytest.mark.parametrize(("graph", "before", "after"), [(chain(), 5, 0), (shared(), 4, 2)], ids=lambda item: str(item))
def test_prediction(monkeypatch: pytest.MonkeyPatch, graph: Graph, before: int, after: int) -> None:
    weights = seeded_weights(graph)
    x = np.random.default_rng(3).standard_normal((3, *graph.input_shapes[0])).astype(np.float32)

    def predict() -> tuple[int, list[np.ndarray]]:
        prediction = Prediction(lower(graph))
        prediction.load(weights)
        results = [*native_runs.predict(prediction, (x,)), *native_runs.predict(prediction, (x[:1].copy(),))]
        return _pads(prediction), results

    left, found = predict()
    assert left == after
    monkeypatch.setattr(
        "depthwise.runtime.prediction.PREDICTION", tuple(item for item in PREDICTION if item is not fold_padding)
    )
    copied, wanted = predict()
    assert copied == before
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_training(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain()
    weights = seeded_weights(graph)
    generator = np.random.default_rng(4)
    x = generator.standard_normal((5, *graph.input_shapes[0])).astype(np.float32)
    y = generator.integers(0, 3, 5)

    def gradients() -> tuple[int, dict[str, np.ndarray]]:
        step = TrainingStep(lower(graph, training=True), SparseCategoricalCrossentropy(), ADAM)
        step.load(weights, {})
        native_runs.train(step, (x,), y, None)
        return _pads(step), native_runs.step_gradients(step)

    left, found = gradients()
    without = tuple(item for item in TRAINING if item is not fold_padding_for_training)
    monkeypatch.setattr("depthwise.runtime.training_step.TRAINING", without)
    copied, wanted = gradients()
    assert (left, copied) == (2, 5)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, wanted[name], err_msg=name)

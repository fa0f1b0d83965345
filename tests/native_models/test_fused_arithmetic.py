"""Sums of two maps in the convolution before, products with a gate in the block of the convolution after: the same bits."""

import numpy as np
import pytest

from depthwise.compiler.lower import lower
from depthwise.compiler.passes import PREDICTION
from depthwise.compiler.passes.fuse import compose_elementwise, fuse_addition
from depthwise.layers import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    MaxPooling2D,
    Multiply,
)
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional
from depthwise.runtime.prediction import Prediction
from support import native_runs
from support.networks import seeded_weights


def shortcuts() -> Graph:
    """Maps of one size that lie in memory in different ways; a short activation behind a sum and a long one; groups whose
    channels are no whole vectors; rows too short for a tile; the caller's own map."""
    start = Input((10, 5, 8))
    x = Add()([start, Conv2D(8, 1)(start)])
    y = DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = Activation("relu")(Add()([Conv2D(8, 1)(y), x]))
    x = Add()([x, Conv2D(8, 3, padding="same")(x)])
    z = Conv2D(15, 3, padding="same")(x)
    z = Activation("gelu")(Add()([z, Conv2D(15, 3, padding="same", groups=3)(z)]))
    projected = Conv2D(12, 1, strides=2)(z)
    return functional(start, Add()([Conv2D(12, 3, strides=2, padding="same")(z), projected]), "shortcuts")


def gated() -> Graph:
    """Squeeze-and-excite: the product with the gate is read by a convolution alone."""
    start = Input((12, 12, 16))
    x = DepthwiseConv2D(3, padding="same", activation="swish")(start)
    gate = Conv2D(16, 1, activation="hard_sigmoid")(
        Conv2D(4, 1, activation="relu")(GlobalAveragePooling2D(keepdims=True)(x))
    )
    x = Conv2D(24, 1)(Multiply()([gate, x]))
    return functional(start, MaxPooling2D(2)(Add()([x, Conv2D(24, 1)(start)])), "gated")


def chained() -> Graph:
    """Arithmetic on arithmetic: of one map and of several, with what is broadcast, and so long that it must not be one."""
    start = Input((6, 5, 9))
    other, gate = Conv2D(9, 1)(start), GlobalAveragePooling2D(keepdims=True)(start)
    x = Activation("tanh")((start * 0.5 + other) * gate - start / 3.0)
    for _ in range(12):
        x = Multiply()([x, x]) - 0.75
    return functional(start, x + (gate + 1.0) * 2.0, "chained")


def _predict(graph: Graph) -> tuple[Prediction, list[np.ndarray]]:
    prediction = Prediction(lower(graph))
    prediction.load(seeded_weights(graph))
    x = np.random.default_rng(3).standard_normal((3, *graph.input_shapes[0])).astype(np.float32)
    return prediction, [*native_runs.predict(prediction, (x,)), *native_runs.predict(prediction, (x[:1].copy(),))]


def _arithmetic(prediction: Prediction) -> int:
    return [type(operation).__name__ for operation in prediction.program.operations].count("Elementwise")


@pytest.mark.parametrize(("graph", "before", "after"), [(shortcuts(), 7, 0), (gated(), 2, 1), (chained(), 33, 6)])
def test_arithmetic_has_no_pass_of_its_own(
    monkeypatch: pytest.MonkeyPatch, graph: Graph, before: int, after: int
) -> None:
    prediction, found = _predict(graph)
    assert _arithmetic(prediction) == after
    without = tuple(item for item in PREDICTION if item not in (fuse_addition, compose_elementwise))
    monkeypatch.setattr("depthwise.runtime.prediction.PREDICTION", without)
    prediction, wanted = _predict(graph)
    assert _arithmetic(prediction) == before
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)

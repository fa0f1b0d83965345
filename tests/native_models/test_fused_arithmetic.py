"""Arithmetic in the blocks of the convolutions around it, and on the caller's images where they lie: the same bits."""

from pathlib import Path

import numpy as np
import pytest

from depthwise.compiler.lower import lower
from depthwise.compiler.passes import PREDICTION
from depthwise.compiler.passes.fuse import compose_elementwise
from depthwise.compiler.plan.prediction import plan_batches, plan_single
from depthwise.compiler.plan.schedule import every_call
from depthwise.layers import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    GlobalAveragePooling2D,
    MaxPooling2D,
    Multiply,
    Normalization,
    Rescaling,
)
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional
from depthwise.runtime.executable import host_machine
from depthwise.runtime.prediction import Prediction
from support import native_runs
from support.networks import seeded_weights
from support.planned import prediction_program, small_caches


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


def _kinds(prediction: Prediction) -> list[str]:
    return [type(operation).__name__ for operation in prediction.program.operations]


def test_arithmetic_on_arithmetic_is_one_expression(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chained()
    prediction, found = _predict(graph)
    assert _kinds(prediction).count("Elementwise") == 5
    without = tuple(item for item in PREDICTION if item is not compose_elementwise)
    monkeypatch.setattr("depthwise.runtime.prediction.PREDICTION", without)
    prediction, wanted = _predict(graph)
    assert _kinds(prediction).count("Elementwise") == 33
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("graph", "together"), [(shortcuts(), "add"), (gated(), "multiply")])
def test_arithmetic_goes_by_strips(monkeypatch: pytest.MonkeyPatch, graph: Graph, together: str) -> None:
    """In the block of a convolution: in whole maps, and in strips of a row."""
    tiny = small_caches(host_machine(), 256, 256)
    program = prediction_program(graph)
    for schedule in (plan_batches(program, tiny), plan_single(program, tiny, 2)):
        tasks = [
            items for stage in schedule.stages for items in (*stage.tasks, *(item.calls for item in stage.segments))
        ]
        shared = [[call.kernel for call in every_call(items)] for items in tasks]
        kinds = [{getattr(kernel, "kind", type(kernel).__name__) for kernel in kernels} for kernels in shared]
        assert any({"Contraction", together} <= {kind.split()[-1] for kind in found if kind} for found in kinds)
    _, wanted = _predict(graph)
    monkeypatch.setattr("depthwise.runtime.prediction.host_machine", lambda: tiny)
    _, found = _predict(graph)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(7, 5, 3), (19, 33, 3), (4, 9, 1)])
def test_images_are_scaled_where_they_lie(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    """Rows shorter and longer than a period, with what is left of one; a number for each channel and for all. Memory that must
    not be touched lies on both sides."""
    start = Input(shape)
    deviations = tuple(float(2 + i) for i in range(shape[2]))
    x = Normalization(mean=(0.25,) * shape[2], variance=deviations)(Rescaling(1 / 127.5, offset=-1.0)(start))
    graph = functional(start, Conv2D(8, 3, strides=2, padding="same", activation="relu")(x), "scaled")
    weights = seeded_weights(graph)
    images = np.random.default_rng(3).uniform(0.0, 255.0, (3, *shape)).astype(np.float32)

    def predict() -> tuple[list[str], list[np.ndarray]]:
        program, machine = prediction_program(graph), host_machine()
        prediction = Prediction(lower(graph))
        prediction.load(weights)
        results = [*native_runs.predict(prediction, (images,)), *native_runs.predict(prediction, (images[:1].copy(),))]
        kinds = [
            type(call.kernel).__name__
            for schedule in (plan_batches(program, machine), plan_single(program, machine, 2))
            for stage in schedule.stages
            for items in stage.lists
            for call in every_call(items)
        ]
        return kinds, results

    kinds, found = predict()
    assert kinds.count("ElementwiseRuns") >= 2
    assert "Copy" not in kinds[:2]
    monkeypatch.setenv("DEPTHWISE_CACHE_DIR", str(tmp_path))  # the cache knows no functions of a test
    monkeypatch.setattr("depthwise.compiler.plan.prediction.in_runs", lambda program, vectors: program)
    kinds, wanted = predict()
    assert "ElementwiseRuns" not in kinds
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)

"""Ten training steps of networks with several outputs beside real Keras and the float64 reference: logs and weights."""

from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise.reference import bounds, network, optimizers
from depthwise.reference.losses import loss_gradient
from depthwise.training.outputs import TrainedOutput
from support.topologies import TOPOLOGIES

SPARSE, DENSE = "sparse_categorical_crossentropy", "categorical_crossentropy"
BATCH, STEPS = 6, 10

Case = tuple[str, Any, dict[str, Any]]

CASES: list[Case] = [
    ("two_heads", [SPARSE, "mse"], {}),
    (
        "two_heads",
        {"size": "mae", "kind": "obj:CategoricalCrossentropy"},
        {"loss_weights": {"size": 0.25, "kind": 2.0}, "metrics": {"size": "mse"}},
    ),
    ("two_heads", [SPARSE, None], {"metrics": [["accuracy", "sparse_top_k_categorical_accuracy"], None]}),
    ("two_heads", "mse", {"loss_weights": [0.5], "metrics": ["mae", ["mse", "mae"]]}),
    ("classes_and_map", [SPARSE, SPARSE], {"loss_weights": [1.0, 0.3], "metrics": [["accuracy"], ["accuracy"]]}),
    (
        "classes_and_map",
        {"pixels": DENSE, "image": "mse"},
        {"loss_weights": [3.0, 0.1], "weighted_metrics": {"pixels": ["accuracy"], "image": ["mae"]}},
    ),
    ("read_on", [SPARSE, "mse"], {"loss_weights": [0.7, 1.3], "metrics": [["accuracy"], ["mae"]]}),
    ("listed_twice", ["binary_crossentropy", "mse"], {"loss_weights": [1.0, 2.0]}),
    ("siamese", ["mse", "binary_crossentropy"], {"metrics": [["mae"], ["accuracy"]]}),
    ("one_layer_twice", ["mse", "mae"], {"metrics": [["mae"], ["mae"]], "weighted_metrics": [["mae"], None]}),
    ("nested", [SPARSE, "mse"], {"metrics": {"top": "accuracy", "inner": ["mae"]}}),
    ("encoder_twice", {"both": "mse", "first": "mae"}, {"loss_weights": [0.5, 4.0]}),
    (
        "by_name",
        {"zebra": SPARSE, "ant": "mse"},
        {"metrics": {"ant": ["mae"]}, "loss_weights": {"zebra": 2.0, "ant": 0.5}},
    ),
    ("by_name", {"ant": "mse"}, {}),
    ("by_name", ["mae", SPARSE], {"metrics": [["mse"], ["accuracy"]]}),
    ("every_level", "mse", {}),
    ("every_level", ["mse", None, "mae"], {"loss_weights": [0.2, 1.0, 1.0]}),
    ("frozen_trunk", [SPARSE, "mse"], {"loss_weights": [1.0, 0.5]}),
]


def _kit(kit: Any, loss: Any) -> Any:
    """`obj:Name` becomes the kit's own loss object."""
    if isinstance(loss, dict):
        return {name: _kit(kit, item) for name, item in loss.items()}
    if isinstance(loss, list):
        return [_kit(kit, item) for item in loss]
    return getattr(kit.losses, loss[4:])() if isinstance(loss, str) and loss.startswith("obj:") else loss


def _labels(rng: np.random.Generator, output: TrainedOutput) -> np.ndarray:
    if output.sparse:
        return rng.integers(0, output.shape[-1], (BATCH, *output.shape[:-1])).astype(np.int32)
    if isinstance(output.loss, depthwise.losses.CategoricalCrossentropy):
        return np.eye(output.shape[-1], dtype=np.float32)[
            rng.integers(0, output.shape[-1], (BATCH, *output.shape[:-1]))
        ]
    return rng.random((BATCH, *output.shape)).astype(np.float32)


def _reference(
    graph: Any, outputs: Any, weights: Any, state: Any, x: Any, y: Any, share: Any, optimizer: Any
) -> tuple[Any, Any]:
    """One step in float64."""
    values = network.forward(graph, weights, x, True)
    start: dict[str, Any] = {}
    for name, output, labels, own in zip(graph.outputs, outputs, y, share):
        if output.loss is not None:
            gradient = output.weight * loss_gradient(output.loss, labels, values[name], own)
            start[name] = start.get(name, 0.0) + gradient
    found, _ = network.gradients_from(graph, weights, values, start)
    after, state = optimizers.step(optimizer, weights, found, state, float(optimizer.learning_rate))
    after.update(network.moving_statistics(graph, weights, values))
    return after, state


@pytest.mark.parametrize(
    ("topology", "loss", "arguments"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("weighted", [False, True])
def test_ten_steps(topology: str, loss: Any, arguments: dict[str, Any], weighted: bool) -> None:
    """Ours must be as near to the reference as Keras is: see `support.keras_steps.compare_steps` for the tolerance."""
    rng = np.random.default_rng(3)
    keras.utils.set_random_seed(1)
    theirs, ours = TOPOLOGIES[topology](keras), TOPOLOGIES[topology](depthwise)
    ours.set_weights(theirs.get_weights())
    optimizer = depthwise.optimizers.SGD(0.05, momentum=0.9)
    theirs.compile(keras.optimizers.SGD(0.05, momentum=0.9), _kit(keras, loss), run_eagerly=True, **arguments)
    ours.compile(optimizer, _kit(depthwise, loss), **arguments)
    assert ours.output_names == theirs.output_names
    graph = ours.compiled.graph(ours)
    outputs = ours.compiled.outputs(graph)
    start = {name: value.astype(np.float64) for name, value in ours.weights_by_name.items()}
    weights: dict[str, Any] = dict(start)
    state: dict[str, Any] = {}
    for _ in range(STEPS):
        x = [rng.standard_normal((BATCH, *shape)).astype(np.float32) for shape in graph.input_shapes]
        y = [_labels(rng, output) for output in outputs]
        share: list[Any] = [None] * len(outputs)
        theirs_share: Any = None
        if weighted:
            share = [(0.5 + rng.random(BATCH)).astype(np.float32) for _ in outputs]
            # Keras broadcasts along the last axes: one weight a sample needs axes of length 1 there.
            theirs_share = [own.reshape(BATCH, *(1 for _ in output.shape[1:])) for own, output in zip(share, outputs)]
        keys = [output.name for output in outputs]
        as_dict = theirs.output_names != keys  # the model returns a dict
        pack = (lambda values, keys=keys: dict(zip(keys, values))) if as_dict else list
        given = x[0] if len(x) == 1 else x
        theirs.reset_metrics()
        expected = theirs.train_on_batch(
            given, pack(y), None if theirs_share is None else pack(theirs_share), return_dict=True
        )
        got = ours.train_on_batch(given, pack(y), pack(share) if weighted else None, return_dict=True)
        assert list(got) == list(expected)
        for name, value in expected.items():
            assert abs(got[name] - value) <= 1e-4 * max(1.0, abs(value)), (name, got[name], value)
        weights, state = _reference(graph, outputs, weights, state, x, y, share, optimizer)
    assert ours.metrics_names == theirs.metrics_names
    moved_any = False
    for (name, value), other in zip(ours.weights_by_name.items(), theirs.get_weights(), strict=True):
        truth = weights[name]
        moved = float(np.abs(truth - start[name]).max())
        moved_any |= moved > 0.0
        allowed = 4.0 * float(np.abs(other - truth).max()) + 2e-5 * moved
        allowed += STEPS * bounds.UNIT_ROUNDOFF * float(np.abs(truth).max())
        error = float(np.abs(value - truth).max())
        assert error <= allowed, f"{name}: {error:.2e} off after moving {moved:.2e}, allowed {allowed:.2e}"
        # Keras itself is near: the comparison is no comparison of two wrong runs.
        assert float(np.abs(other - truth).max()) <= 0.1 * moved + STEPS * bounds.UNIT_ROUNDOFF * 4.0
    assert moved_any
    evaluated = theirs.evaluate(given, pack(y), verbose=0)
    mine = ours.evaluate(given, pack(y), verbose=0)
    np.testing.assert_allclose(np.atleast_1d(mine), np.atleast_1d(evaluated), rtol=1e-4, atol=1e-5)


def test_cases_have_every_topology() -> None:
    assert {case[0] for case in CASES} == set(TOPOLOGIES)


def test_weights_that_no_loss_depends_on_decay_as_in_keras() -> None:
    """Their gradient is 0, but the optimizer's weight decay is for all trainable weights."""
    keras.utils.set_random_seed(1)
    theirs, ours = TOPOLOGIES["two_heads"](keras), TOPOLOGIES["two_heads"](depthwise)
    ours.set_weights(theirs.get_weights())
    for model, kit in ((theirs, keras), (ours, depthwise)):
        model.compile(kit.optimizers.AdamW(0.01, weight_decay=0.1), [SPARSE, None])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 6)).astype(np.float32), rng.integers(0, 3, 6)
    before = ours.get_layer("size").get_weights()[0]
    for _ in range(3):
        theirs.train_on_batch(x, [y, None])
        ours.train_on_batch(x, y)
    after = ours.get_layer("size").get_weights()[0]
    # Three products with 1 − 0.001, each rounded once or twice.
    np.testing.assert_allclose(
        after, before.astype(np.float64) * (1.0 - 0.01 * 0.1) ** 3, rtol=8 * bounds.UNIT_ROUNDOFF
    )
    np.testing.assert_allclose(after, theirs.get_layer("size").get_weights()[0], rtol=16 * bounds.UNIT_ROUNDOFF)

"""Shared layers, models inside models, several inputs and outputs: against real Keras, files both ways included."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import models


def data(shape: tuple[int, ...], seed: int = 0, samples: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(samples, *shape)).astype(np.float32)


def encoder(kit: Any) -> Any:
    """Two outputs, one layer frozen in it."""
    x = kit.Input((6, 6, 2), name="picture")
    y = kit.layers.Conv2D(3, 3, activation="tanh", name="conv")(x)
    flat = kit.layers.Flatten(name="flat")(y)
    return kit.Model(
        x, [kit.layers.Dense(4, name="code")(flat), kit.layers.Dense(2, name="side")(flat)], name="encoder"
    )


def head(kit: Any) -> Any:
    return kit.Sequential(
        [kit.layers.Dense(5, activation="relu", name="wide", input_shape=(4,))]
        if kit is depthwise
        else [kit.Input((4,)), kit.layers.Dense(5, activation="relu", name="wide")],
        name="head",
    )


def shared(kit: Any) -> Any:
    """A layer on two inputs: a Siamese network."""
    left, right = kit.Input((5,), name="left"), kit.Input((5,), name="right")
    dense = kit.layers.Dense(4, activation="tanh", name="shared")
    joined = kit.layers.Concatenate(name="join")([dense(left), dense(right), dense(left)])
    return kit.Model([left, right], kit.layers.Dense(3, name="top")(joined), name="siamese")


def nested(kit: Any) -> Any:
    """A model with two outputs called twice, a Sequential called once, and a shared convolution in front."""
    a, b = kit.Input((6, 6, 2), name="a"), kit.Input((6, 6, 2), name="b")
    first = kit.layers.Conv2D(2, 1, name="first")
    inner, top = encoder(kit), head(kit)
    code_a, side_a = inner(first(a))
    code_b, _ = inner(first(b))
    both = kit.layers.Add(name="both")([code_a, code_b])
    return kit.Model([a, b], [top(both), side_a], name="outer")


def stacked(kit: Any) -> Any:
    """Sequential in Sequential in Sequential."""
    block = kit.Sequential(
        [kit.Input((4,)), kit.layers.Dense(3, name="d1"), kit.layers.Dense(4, name="d2")], name="block"
    )
    middle = kit.Sequential([kit.Input((4,)), block, kit.layers.Dense(6, name="d3")], name="middle")
    return kit.Sequential([kit.Input((4,)), middle, kit.layers.Dense(2, name="d4")], name="stack")


def frozen(kit: Any) -> Any:
    """A pretrained part with batch normalisation, frozen as a whole, and a new head."""
    base = kit.Sequential(
        [
            kit.Input((6, 6, 2)),
            kit.layers.Conv2D(3, 3, name="conv"),
            kit.layers.BatchNormalization(name="norm"),
            kit.layers.ReLU(name="relu"),
        ],
        name="base",
    )
    base.trainable = False
    x = kit.Input((6, 6, 2), name="x")
    return kit.Model(x, kit.layers.Dense(3, name="top")(kit.layers.Flatten(name="flat")(base(x))), name="tuned")


def mixed(kit: Any) -> Any:
    """A dense layer on a vector and on a map, and a normalisation that is called twice."""
    vector, picture = kit.Input((4,), name="vector"), kit.Input((2, 3, 4), name="picture")
    dense, norm = kit.layers.Dense(2, name="both"), kit.layers.BatchNormalization(name="norm", momentum=0.7)
    flat = kit.layers.Flatten(name="flat")(dense(picture))
    once = norm(dense(vector))
    # No bias: the normalisation takes it away again, so its gradient is rounding alone, which Adam would blow up.
    twice = norm(kit.layers.Dense(2, use_bias=False, name="more")(once))
    return kit.Model([vector, picture], kit.layers.Concatenate(name="join")([once, twice, flat]), name="mixed")


NETWORKS = {
    "shared": shared,
    "nested": nested,
    "stacked": stacked,
    "frozen": frozen,
    "two outputs": encoder,
    "mixed": mixed,
}


def pair(name: str) -> tuple[models.Model, Any, Any]:
    """Ours, Keras' and data for both."""
    ours, theirs = NETWORKS[name](depthwise), NETWORKS[name](keras)
    rng = np.random.default_rng(1)
    ours.set_weights(
        [
            rng.uniform(0.2, 1.0, w.shape) * rng.choice([-1, 1], w.shape)
            if w.ndim > 1
            else rng.uniform(0.5, 1, w.shape)
            for w in ours.get_weights()
        ]
    )
    theirs.set_weights(ours.get_weights())
    x = [data(shape, seed) for seed, shape in enumerate(ours.graph.input_shapes)]
    return ours, theirs, x if len(x) > 1 else x[0]


def assert_close(ours: Any, theirs: Any) -> None:
    for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_and_weights_are_those_of_keras(name: str) -> None:
    ours, theirs, x = pair(name)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    assert ours.count_params() == theirs.count_params()
    assert len(ours.trainable_weights) == len(theirs.trainable_weights)
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))


@pytest.mark.parametrize("name", NETWORKS)
def test_files_go_both_ways(name: str, tmp_path: Path) -> None:
    ours, theirs, x = pair(name)
    expected = ours.predict(x, verbose=0)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), ours.get_weights(), strict=True))
    assert_close(expected, loaded.predict(x, verbose=0))
    for again in (
        models.load_model(tmp_path / "theirs.keras"),
        models.load_model(tmp_path / "ours.keras"),
        depthwise.from_keras(theirs),
    ):
        assert [call.path for call in again.graph.calls if call.inputs] == [
            c.path for c in ours.graph.calls if c.inputs
        ]
        assert len(again.trainable_weights) == len(theirs.trainable_weights)
        assert all(
            np.array_equal(a, b)
            for a, b in zip(keras.tree.flatten(again.predict(x, verbose=0)), keras.tree.flatten(expected))
        )
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.set_weights([np.zeros_like(w) for w in theirs.get_weights()])
    theirs.load_weights(tmp_path / "ours.weights.h5")
    assert_close(expected, theirs.predict(x, verbose=0))


OPTIMIZERS = {
    "sgd": lambda kit: kit.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda kit: kit.optimizers.Adam(0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["shared", "one of two", "stacked", "frozen", "mixed"])
def test_training_is_that_of_keras(name: str, optimizer: str, tmp_path: Path) -> None:
    """Three steps: the losses, then every weight; shared ones have the gradients of all their uses."""
    if name == "one of two":
        full, theirs_full, x = pair("nested")
        ours = depthwise.Model(full.inputs, full.outputs[0])
        theirs = keras.Model(theirs_full.inputs, theirs_full.outputs[0])
    else:
        ours, theirs, x = pair(name)
    y = data(ours.output_shape[1:], 9)
    for model, kit in ((ours, depthwise), (theirs, keras)):
        model.compile(OPTIMIZERS[optimizer](kit), "mse")
    for _ in range(3):
        assert_close(ours.train_on_batch(x, y), theirs.train_on_batch(x, y))
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    ours.save(tmp_path / "trained.keras")
    again = keras.models.load_model(tmp_path / "trained.keras")
    assert_close(again.train_on_batch(x, y), ours.train_on_batch(x, y))

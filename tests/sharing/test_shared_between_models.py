"""One layer, or one model, in several of the models inside a model: trained as one, copied and saved as one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import models
from depthwise.errors import UnsupportedError

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
Y = [np.random.default_rng(1).random((6, 4)).astype(np.float32)] * 2


def _chain(kit: Any, members: list[Any], name: str) -> Any:
    return kit.Sequential([kit.Input((4,)), *members], name=name)


def _joined(kit: Any, first: Any, second: Any) -> Any:
    x = kit.Input((4,), name="x")
    return kit.Model(x, [first(x), second(x)])


def in_chains(kit: Any) -> Any:
    shared = kit.layers.Dense(4, name="shared")
    return _joined(
        kit,
        _chain(kit, [shared], "a"),
        _chain(kit, [kit.layers.Dense(4, activation="tanh", name="own"), shared], "b"),
    )


def in_functional_models(kit: Any) -> Any:
    shared = kit.layers.Dense(4, name="shared")
    x, y = kit.Input((4,), name="in_a"), kit.Input((4,), name="in_b")
    first = kit.Model(x, shared(x), name="a")
    return _joined(kit, first, kit.Model(y, shared(kit.layers.Dense(4, name="own")(y)), name="b"))


def inside_and_outside(kit: Any) -> Any:
    shared = kit.layers.Dense(4, name="shared")
    return _joined(kit, _chain(kit, [shared], "a"), shared)


def a_model_in_two(kit: Any) -> Any:
    shared = _chain(kit, [kit.layers.Dense(4, name="inner")], "shared")
    return _joined(kit, _chain(kit, [shared], "a"), _chain(kit, [kit.layers.Dense(4, name="own"), shared], "b"))


NETWORKS = [in_chains, in_functional_models, inside_and_outside, a_model_in_two]


@pytest.mark.parametrize("build", NETWORKS)
def test_trained_as_in_keras(build: Callable[[Any], Any]) -> None:
    theirs, ours = build(keras), build(depthwise)
    ours.set_weights(theirs.get_weights())
    for model in (theirs, ours):
        model.compile("sgd", ["mse", "mse"], loss_weights=[1.0, 0.5])
        for _ in range(3):
            model.train_on_batch(X, Y)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("build", NETWORKS)
def test_saved_and_loaded(build: Callable[[Any], Any], tmp_path: Path) -> None:
    model = build(depthwise)
    model.compile("adam", "mse")
    model.train_on_batch(X, Y)
    model.save(tmp_path / "ours.keras")
    again = models.load_model(tmp_path / "ours.keras")
    assert len(again.weights) == len(model.weights)
    assert list(again.weights_by_name) == list(model.weights_by_name)
    for each in (model, again):
        each.train_on_batch(X, Y)
    for a, b in zip(again.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(a, b)
    model.save_weights(tmp_path / "ours.weights.h5")
    fresh = build(depthwise)
    fresh.load_weights(tmp_path / "ours.weights.h5")
    for a, b in zip(fresh.predict(X, verbose=0), model.predict(X, verbose=0)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("build", NETWORKS)
def test_keras_reads_ours(build: Callable[[Any], Any], tmp_path: Path) -> None:
    """It makes several layers of one, as of its own files, each with the weights."""
    model = build(depthwise)
    model.save(tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    for a, b in zip(theirs.predict(X, verbose=0), model.predict(X, verbose=0)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("build", NETWORKS)
def test_files_and_live_models_of_keras(build: Callable[[Any], Any], tmp_path: Path) -> None:
    """Keras writes the shared weights once, and does not read such a file itself."""
    theirs = build(keras)
    theirs.save(tmp_path / "theirs.keras")
    for ours in (models.load_model(tmp_path / "theirs.keras"), models.from_keras(theirs)):
        assert len(ours.weights) == len(theirs.weights)
        for a, b in zip(ours.predict(X, verbose=0), theirs.predict(X, verbose=0)):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("build", NETWORKS)
def test_clones_and_configs_share_too(build: Callable[[Any], Any]) -> None:
    model = build(depthwise)
    for copy in (models.clone_model(model), models.model_from_json(model.to_json())):
        assert list(copy.weights_by_name) == list(model.weights_by_name)
        assert copy.graph == model.graph
        copy.set_weights(model.get_weights())
        for a, b in zip(copy.predict(X, verbose=0), model.predict(X, verbose=0)):
            np.testing.assert_array_equal(a, b)


def test_layers_that_differ_are_not_one_whatever_the_config_says() -> None:
    text = (
        in_chains(depthwise).to_json().replace('"units": 4, "activation": "tanh"', '"units": 4, "activation": "relu"')
    )
    assert len(models.model_from_json(text).weights) == 4
    model = _joined(
        depthwise,
        _chain(depthwise, [depthwise.layers.Dense(4, name="one")], "a"),
        _chain(depthwise, [depthwise.layers.Dense(4, activation="relu", name="two")], "b"),
    )
    claimed = model.to_json().replace('"class_name": "Dense"', '"depthwise_shared_id": 7, "class_name": "Dense"')
    assert len(models.model_from_json(claimed).weights) == 4


def test_a_file_of_keras_that_does_not_say_which_layer_is_refused(tmp_path: Path) -> None:
    """Two layers of one name and config stand before the third, which is one of them."""
    shared, other = (keras.layers.Dense(4, name="same") for _ in range(2))
    x = keras.Input((4,))
    model = keras.Model(
        x, [_chain(keras, [layer], name)(x) for layer, name in ((shared, "a"), (other, "b"), (shared, "c"))]
    )
    model.save(tmp_path / "theirs.keras")
    with pytest.raises(UnsupportedError, match="the layer 'c/same' is one of several with the same name and config"):
        models.load_model(tmp_path / "theirs.keras")

"""Keras' activations by name: values against Keras itself, options and errors."""

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import Sequential, activations, layers
from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.models import load_model

X = np.concatenate([np.linspace(-9, 9, 181), [-1e30, -100.0, 100.0, 1e30]]).astype(np.float32).reshape(5, 37)


@pytest.mark.parametrize("name", [*layers.ACTIVATIONS, "swish", "hard_swish", "glu", "log_softmax"])
def test_values_and_signature_are_those_of_keras(name: str) -> None:
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)
    x = X[:, :36]
    if name in ("exponential", "squareplus"):  # Keras' squares overflow
        x = np.clip(x, -80.0, 80.0)
    np.testing.assert_allclose(ours(x), np.asarray(theirs(x)), rtol=2e-5, atol=1e-6)
    assert ours(x).dtype == np.float32
    assert ours([1, 2]).dtype == np.float64
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
    for parameter, their_parameter in zip(
        inspect.signature(ours).parameters.values(), inspect.signature(theirs).parameters.values()
    ):
        assert parameter.default == their_parameter.default


def test_options() -> None:
    for options in ({"negative_slope": 0.3}, {"max_value": 2.0}, {"threshold": 1.5}):
        theirs = np.asarray(keras.activations.relu(X, **options))
        np.testing.assert_allclose(activations.relu(X, **options), theirs, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(activations.elu(X, 0.5), np.asarray(keras.activations.elu(X, 0.5)), rtol=1e-5)
    ours, theirs = activations.gelu(X, approximate=True), np.asarray(keras.activations.gelu(X, approximate=True))
    np.testing.assert_allclose(ours[np.abs(X) < 50], theirs[np.abs(X) < 50], rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(
        activations.softmax(X, axis=0), np.asarray(keras.activations.softmax(X, axis=0)), rtol=2e-5, atol=1e-30
    )


def test_options_of_the_shrinking_ones_and_of_those_of_whole_rows() -> None:
    cases: dict[str, dict[str, Any]] = {
        "celu": {"alpha": 0.5},
        "hard_shrink": {"threshold": 1.5},
        "soft_shrink": {"threshold": 1.5},
        "squareplus": {"b": 1.0},
        "threshold": {"threshold": 2.0, "default_value": -3.0},
        "log_softmax": {"axis": 0},
        "glu": {"axis": 1},
    }
    for name, options in cases.items():
        x = np.clip(X[:, 1:35], -9.0, 9.0)
        theirs = np.asarray(getattr(keras.activations, name)(x, **options))
        np.testing.assert_allclose(getattr(activations, name)(x, **options), theirs, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["softsign", "mish", "squareplus", "tanh_shrink", "hard_shrink", "log_sigmoid"])
def test_infinities_give_the_limit_and_nan_stays(name: str) -> None:
    """In every layer and every function alike; Keras gives NaN for some of them."""
    limits: list[float] = {
        "softsign": [1.0, -1.0],
        "mish": [np.inf, 0.0],
        "squareplus": [np.inf, 0.0],
        "tanh_shrink": [np.inf, -np.inf],
        "hard_shrink": [np.inf, -np.inf],
        "log_sigmoid": [0.0, -np.inf],
    }[name]
    x = np.array([[np.inf, -np.inf, np.nan, 1.0]], np.float32)
    with np.errstate(all="ignore"):
        function = getattr(activations, name)(x)
    layer = Sequential([layers.Input((4,)), layers.Activation(name)]).predict(x, verbose=0)
    for result in (function, layer):
        np.testing.assert_array_equal(result[0, :3], [*limits, np.nan])


@pytest.mark.parametrize("name", ["glu", "log_softmax", "sparsemax", "threshold"])
def test_what_no_layer_can_have_is_refused_with_the_reason(name: str) -> None:
    for given in (name, getattr(activations, name, name)):
        with pytest.raises(UnsupportedError, match=f"Dense: the activation {name} is not supported in a layer: "):
            layers.Dense(4, activation=given)


@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_a_file_of_keras_with_it_opens_and_goes_back(name: str, tmp_path: Path) -> None:
    theirs = keras.Sequential(
        [keras.Input((6, 5, 2)), keras.layers.Conv2D(4, 3, activation=name), keras.layers.Activation(name)]
    )
    theirs.save(tmp_path / "theirs.keras")
    x = np.random.default_rng(1).normal(0.0, 0.5, (3, 6, 5, 2)).astype(np.float32)
    expected = np.asarray(theirs(x))
    ours = load_model(tmp_path / "theirs.keras")
    np.testing.assert_allclose(ours.predict(x, verbose=0), expected, rtol=2e-5, atol=2e-6)
    ours.save(tmp_path / "ours.keras")
    back = keras.saving.load_model(tmp_path / "ours.keras")
    np.testing.assert_allclose(np.asarray(back(x)), expected, rtol=2e-5, atol=2e-6)


def test_names_and_functions() -> None:
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.silu
    assert activations.get(activations.selu) is activations.selu
    assert activations.serialize(activations.hard_swish) == "hard_silu"
    assert layers.Conv2D(3, 3, activation=activations.selu).activation == "selu"
    with pytest.raises(InvalidArgumentError, match="unknown activation 'mash'; allowed are linear, relu"):
        activations.get("mash")
    with pytest.raises(InvalidArgumentError, match="only Depthwise's own activations have a name"):
        activations.serialize(max)

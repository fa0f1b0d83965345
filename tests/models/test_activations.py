"""Keras' activations by name: values against Keras itself, options and errors."""

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import Sequential, activations, layers, losses, optimizers
from depthwise.arguments import NO_LAYERS
from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.models import load_model
from support.keras_steps import compare_steps

X = np.concatenate([np.linspace(-9, 9, 181), [-1e30, -100.0, 100.0, 1e30]]).astype(np.float32).reshape(5, 37)


@pytest.mark.parametrize("name", [*layers.ACTIVATIONS, "swish", "hard_swish", "glu"])
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


def test_every_activation_of_keras_is_one_of_layers_or_fails_in_keras_too() -> None:
    theirs = {name for name in dir(keras.activations) if inspect.isfunction(getattr(keras.activations, name))}
    assert theirs - {"deserialize", "get", "serialize", "swish", "hard_swish"} == {*layers.ACTIVATIONS, *NO_LAYERS}
    x = np.array([[3.0, 1.0, 0.0, 2.0]], np.float32)
    layer = keras.layers.Activation("glu")
    assert layer(x).shape != layer(keras.Input((4,))).shape
    assert float(np.sum(keras.layers.Activation("sparsemax")(np.ones((1, 4), np.float32)))) == 0.0
    with pytest.raises(TypeError, match="missing 2 required positional arguments"):
        keras.layers.Activation("threshold")(x)


def test_the_logarithm_of_softmax_trains_as_in_keras() -> None:
    """In a layer, as a layer, and with the channels first."""
    x = depthwise.Input((4, 5, 2))
    y = layers.Conv2D(3, 3, data_format="channels_first", padding="same", use_bias=False, activation="log_softmax")(x)
    y = layers.Dense(6, activation="log_softmax")(layers.Flatten()(layers.Activation("log_softmax")(y)))
    compare_steps(depthwise.Model(x, y).graph, optimizers.SGD(0.05), 4, losses.MeanSquaredError(), steps=2)


def test_the_logarithm_of_softmax_of_a_tensor() -> None:
    x = depthwise.Input((3, 4))
    values = np.random.default_rng(2).normal(0.0, 3.0, (2, 3, 4)).astype(np.float32)
    model = depthwise.Model(x, depthwise.ops.log_softmax(x, axis=2))
    np.testing.assert_allclose(model.predict(values, verbose=0), keras.ops.log_softmax(values), rtol=2e-6, atol=1e-6)
    with pytest.raises(UnsupportedError, match=r"log_softmax: axis must be the last one \(-1\), got 1"):
        depthwise.ops.log_softmax(x, axis=1)


@pytest.mark.parametrize("name", ["glu", "sparsemax", "threshold"])
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

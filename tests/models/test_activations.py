"""Keras' activations by name: values against Keras itself, options and errors."""

import inspect

import keras
import numpy as np
import pytest

from depthwise import activations, layers
from depthwise.errors import InvalidArgumentError

X = np.concatenate([np.linspace(-9, 9, 181), [-1e30, -100.0, 100.0, 1e30]]).astype(np.float32).reshape(5, 37)


@pytest.mark.parametrize("name", [*layers.ACTIVATIONS, "swish", "hard_swish"])
def test_values_and_signature_are_those_of_keras(name: str) -> None:
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)
    np.testing.assert_allclose(ours(X), np.asarray(theirs(X)), rtol=2e-5, atol=1e-6)
    assert ours(X).dtype == np.float32
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


def test_names_and_functions() -> None:
    assert activations.get(None) is activations.linear
    assert activations.get("swish") is activations.silu
    assert activations.get(activations.selu) is activations.selu
    assert activations.serialize(activations.hard_swish) == "hard_silu"
    assert layers.Conv2D(3, 3, activation=activations.selu).activation == "selu"  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="unknown activation 'mish'; allowed are linear, relu"):
        activations.get("mish")
    with pytest.raises(InvalidArgumentError, match="only Depthwise's own activations have a name"):
        activations.serialize(max)

"""What networks of keras.applications are made of beside plain layers: LayerScale, operations, scales by channel."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications.convnext import LayerScale, StochasticDepth

import depthwise
from depthwise import layers, models
from depthwise.errors import InvalidArgumentError, ShapeError
from depthwise.layers import descriptions
from support.keras_applications import drawn_quickly, put_random_numbers


def _near(ours: np.ndarray, theirs: Any) -> bool:
    theirs = np.asarray(theirs)
    return bool(np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max())


@pytest.fixture(scope="module")
def theirs() -> Any:
    """The forms that ConvNeXt, MobileNetV3 and EfficientNet have, in one small network."""
    with drawn_quickly():
        image = x = keras.Input((6, 5, 3))
        x = keras.layers.Rescaling(1 / 255)(x)
        x = keras.layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3])(x)
        x = keras.layers.Rescaling([2.0, 0.5, -1.0], [0.25, 0.0, 1.0])(x)
        y = keras.layers.LayerNormalization(epsilon=1e-6)(keras.layers.Conv2D(4, 3, padding="same")(x))
        y = LayerScale(1e-6, 4, name="scaled")(keras.layers.Dense(4, activation="gelu")(y))
        y = StochasticDepth(0.5)(y)
        x = keras.layers.Add()([keras.layers.Conv2D(4, 1)(x), y])
        x = x * (keras.layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0))
        x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
        model = keras.Model(image, x)
    put_random_numbers(model)
    return model


X = np.random.default_rng(0).random((3, 6, 5, 3), np.float32) * np.float32(255)


@pytest.mark.parametrize("form", ["live", "keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_each_form_predicts_what_keras_does(theirs: Any, form: str, tmp_path: Path) -> None:
    if form == "live":
        ours = depthwise.from_keras(theirs)
    else:
        theirs.save(tmp_path / f"model.{form}")
        ours = models.load_model(tmp_path / f"model.{form}")
    assert _near(ours.predict(X, verbose=0), theirs.predict(X, verbose=0))
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert len(ours.operations) == len(theirs.operations)


def test_keras_opens_what_is_saved(theirs: Any, tmp_path: Path) -> None:
    ours = depthwise.from_keras(theirs)
    ours.save(tmp_path / "ours.keras")
    back = keras.models.load_model(tmp_path / "ours.keras")
    assert _near(ours.predict(X, verbose=0), back.predict(X, verbose=0))
    assert type(back.get_layer("scaled")) is LayerScale


def test_steps_of_training(theirs: Any) -> None:
    """SGD changes every weight as Keras does; without StochasticDepth, which Keras cannot train on JAX."""

    def same(layer: Any) -> Any:
        if isinstance(layer, StochasticDepth):
            return keras.layers.Identity()
        return layer.__class__.from_config(layer.get_config())

    model = keras.models.clone_model(theirs, clone_function=same)
    model.set_weights(theirs.get_weights())
    ours = depthwise.from_keras(model)
    start = ours.get_weights()
    y = np.array([0, 2, 1])
    for kit, one in ((keras, model), (depthwise, ours)):
        loss = kit.losses.SparseCategoricalCrossentropy(from_logits=True)
        one.compile(optimizer=kit.optimizers.SGD(0.1), loss=loss)
    for _ in range(3):
        expected = float(model.train_on_batch(X, y))
        assert abs(float(ours.train_on_batch(X, y)) - expected) <= 1e-5 * expected
    for before, own, other in zip(start, ours.get_weights(), model.get_weights(), strict=True):
        moved = np.abs(other - before).max()
        assert moved > 0.0
        assert np.abs(own - other).max() <= 1e-4 * moved + 2.0**-22 * np.abs(other).max()


def test_scales_by_channel() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 2)).astype(np.float32)
    scale: Any
    offset: Any
    wrong: Any
    for scale, offset in (((0.5, 3.0), 1.0), (2.0, (0.0, -4.0)), ((2.0,), (1.0,)), (np.array([1.0, 2.0]), 0.0)):
        wanted = x * np.asarray(scale, np.float32) + np.asarray(offset, np.float32)
        layer = layers.Rescaling(scale, offset)
        assert np.allclose(layer(x), wanted, rtol=1e-6, atol=1e-6)
        assert layers.Rescaling.from_config(layer.get_config()).description == layer.description
    with pytest.raises(ShapeError, match=r"the 3 numbers of scale do not fit 2 channels"):
        layers.Rescaling((1.0, 2.0, 3.0))(x)
    for wrong in ("a", [], [1.0, None], True, [[1.0]]):
        with pytest.raises(InvalidArgumentError, match="Rescaling: scale must be a number or a list of one for each"):
            layers.Rescaling(wrong)


def test_layer_scale_says_what_is_wrong() -> None:
    with pytest.raises(ShapeError, match="projection_dim is 4, but the input has 2 channels"):
        layers.LayerScale(1e-6, 4)(np.zeros((1, 2, 2, 2), np.float32))
    with pytest.raises(InvalidArgumentError, match="LayerScale: init_values must be a number, got 'a'"):
        descriptions.LayerScale("a", 4)
    assert np.array_equal(layers.LayerScale(0.5, 2)(np.ones((1, 2), np.float32)), [[0.5, 0.5]])


def test_a_layer_of_the_name_of_an_operation_stays_a_layer(tmp_path: Path) -> None:
    image = keras.Input((4, 4, 2))
    model = keras.Model(image, keras.layers.Multiply()([keras.layers.Add()([image, image * 0.5]), image]))
    model.save(tmp_path / "model.h5")
    ours = models.load_model(tmp_path / "model.h5")
    x = np.random.default_rng(1).normal(size=(2, 4, 4, 2)).astype(np.float32)
    assert np.allclose(ours.predict(x, verbose=0), x * (x + x * np.float32(0.5)), rtol=1e-6)
    assert [type(layer).__name__ for layer in ours.layers] == ["InputLayer", "Add", "Multiply"]

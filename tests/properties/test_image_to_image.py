"""Networks from images to images, trained on pictures made from MNIST beside real Keras: the losses of every epoch, the outputs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import depthwise

IMAGES, EPOCHS, BATCH = 128, 4, 16

pytestmark = pytest.mark.sweep


def digits() -> Any:
    """(images, rows, columns, 1), 0 … 1."""
    (images, labels), _ = depthwise.datasets.mnist.load_data()
    return images[:IMAGES, ..., None].astype(np.float32) / 255, labels[:IMAGES]


def super_resolution(kit: Any) -> Any:
    """The three layers of "Image super-resolution using deep convolutional networks" (SRCNN, 2014), with fewer filters."""
    layers = kit.layers
    return kit.Sequential(
        [
            kit.Input((28, 28, 1)),
            layers.Conv2D(12, 9, padding="same", activation="relu"),
            layers.Conv2D(8, 1, activation="relu"),
            layers.Conv2D(1, 5, padding="same"),
        ]
    )


def coarse_and_fine() -> Any:
    """Digits at half the resolution, enlarged again, and as they are."""
    fine, _ = digits()
    coarse = fine.reshape(IMAGES, 14, 2, 14, 2, 1).mean(axis=(2, 4))
    return coarse.repeat(2, axis=1).repeat(2, axis=2), fine


def segmentation(kit: Any) -> Any:
    """Down and up again, with a way around: a class for every pixel."""
    layers = kit.layers
    x = kit.Input((28, 28, 1))
    wide = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    low = layers.Conv2D(12, 3, padding="same", activation="relu")(layers.MaxPooling2D()(wide))
    up = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(low)
    return kit.Model(x, layers.Conv2D(3, 1, activation="softmax")(layers.Concatenate()([wide, up])))


def pixels_and_classes() -> Any:
    """Background 0; the pixels of a digit 1 where it is below 5, else 2."""
    x, labels = digits()
    return x, np.where(x[..., 0] > 0.5, 1 + (labels >= 5)[:, None, None], 0).astype(np.int32)


def autoencoder(kit: Any) -> Any:
    layers = kit.layers
    x = kit.Input((28, 28, 1))
    h = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    code = layers.Dense(10, activation="tanh", name="code")(layers.Flatten()(h))
    y = layers.Reshape((7, 7, 2))(layers.Dense(7 * 7 * 2, activation="relu")(code))
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.UpSampling2D()(y))
    return kit.Model(x, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(layers.UpSampling2D()(y)))


def same_twice() -> Any:
    x, _ = digits()
    return x, x


CASES: dict[str, tuple[Callable[[Any], Any], Callable[[], Any], str]] = {
    "super-resolution": (super_resolution, coarse_and_fine, "mse"),
    "segmentation": (segmentation, pixels_and_classes, "sparse_categorical_crossentropy"),
    "autoencoder": (autoencoder, same_twice, "binary_crossentropy"),
}


def trained(kit: Any, build: Any, x: Any, y: Any, loss: str, weights: Any) -> Any:
    """(model, the losses of the epochs), from `weights`."""
    model = build(kit)
    model.set_weights(weights)
    model.compile(kit.optimizers.SGD(0.05, momentum=0.9), loss)
    history = model.fit(
        x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, validation_data=(x[:BATCH], y[:BATCH])
    )
    return model, history.history


@pytest.mark.parametrize("name", CASES)
def test_trains_as_keras_does(name: str) -> None:
    """As far from Keras as Keras is from itself where each weight is one rounding away at the start, times four."""
    build, data, loss = CASES[name]
    x, y = data()
    keras.utils.set_random_seed(4)
    weights = build(keras).get_weights()
    near = [np.nextafter(array, np.float32(np.inf), dtype=np.float32) for array in weights]
    runs = [trained(keras, build, x, y, loss, start) for start in (weights, near)]
    ours, history = trained(depthwise, build, x, y, loss, weights)
    (theirs, expected), (moved, other) = runs
    assert list(history) == list(expected)
    steps = EPOCHS * IMAGES // BATCH
    for key, values in expected.items():
        distance = np.abs(np.subtract(values, other[key]))
        room = 4 * distance + steps * np.finfo(np.float32).eps * np.abs(values)
        assert (np.abs(np.subtract(history[key], values)) <= room).all(), (key, history[key], values, room)
    assert expected["loss"][-1] < 0.9 * expected["loss"][0]

    def close(mine: Any, right: Any, other_way: Any) -> None:
        room = 4 * float(np.abs(right - other_way).max()) + steps * np.finfo(np.float32).eps * float(
            np.abs(right).max()
        )
        assert float(np.abs(mine - right).max()) <= room, (float(np.abs(mine - right).max()), room)

    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), moved.predict(x, verbose=0))
    if name == "autoencoder":
        encoders = [
            kit.Model(model.inputs, model.get_layer("code").output)
            for kit, model in ((depthwise, ours), (keras, theirs), (keras, moved))
        ]
        before = encoders[0].get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(before, ours.get_weights()))
        close(*(encoder.predict(x, verbose=0) for encoder in encoders))

"""Hands-On Machine Learning, chapter 14: a convolutional network for Fashion-MNIST.

The original's residual units are a class with code of its own, which Depthwise refuses; they are a function here.
"""

from functools import partial
from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    mean, std = x_train.mean(axis=0, keepdims=True), x_train.std(axis=0, keepdims=True) + 1e-7
    x_train, x_test = (x_train - mean) / std, (x_test - mean) / std
    x_train, x_test = x_train[..., np.newaxis], x_test[..., np.newaxis]
    default_conv = partial(keras.layers.Conv2D, kernel_size=3, activation="relu", padding="SAME")
    model = keras.models.Sequential(
        [
            default_conv(filters=8, kernel_size=7, input_shape=[28, 28, 1]),
            keras.layers.MaxPooling2D(pool_size=2),
            default_conv(filters=16),
            default_conv(filters=16),
            keras.layers.MaxPooling2D(pool_size=2),
            keras.layers.Flatten(),
            keras.layers.Dense(units=32, activation="relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(units=10, activation="softmax"),
        ]
    )
    model.compile(loss="sparse_categorical_crossentropy", optimizer="nadam", metrics=["accuracy"])
    history = model.fit(x_train, y_train, epochs=1, validation_split=0.2, verbose=0)

    def residual_unit(x: Any, filters: int, strides: int = 1) -> Any:
        conv = partial(keras.layers.Conv2D, kernel_size=3, padding="same", use_bias=False)
        z = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(conv(filters, strides=strides)(x)))
        z = keras.layers.BatchNormalization()(conv(filters)(z))
        skip = x
        if strides > 1:
            skip = keras.layers.BatchNormalization()(conv(filters, kernel_size=1, strides=strides)(x))
        return keras.layers.Activation("relu")(keras.layers.Add()([z, skip]))

    start = keras.layers.Input(shape=[28, 28, 1])
    x = keras.layers.Conv2D(8, 7, strides=2, padding="same", use_bias=False)(start)
    x = keras.layers.MaxPool2D(pool_size=3, strides=2, padding="same")(x)
    x = residual_unit(residual_unit(x, 8), 16, strides=2)
    x = keras.layers.GlobalAvgPool2D()(x)
    resnet = keras.models.Model(start, keras.layers.Dense(10, activation="softmax")(keras.layers.Flatten()(x)))
    resnet.compile(loss="sparse_categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
    residual = resnet.fit(x_train, y_train, epochs=1, verbose=0)
    return {
        "history": history.history,
        "residual": residual.history,
        "score": resnet.evaluate(x_test, y_test, verbose=0)[0],
    }

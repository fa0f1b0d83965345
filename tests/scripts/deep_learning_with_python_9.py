"""Deep Learning with Python, chapter 9: residual blocks, and a small model like Xception."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (24, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, 2, 24)

    inputs = keras.Input(shape=(32, 32, 3))
    x = layers.Rescaling(1.0 / 255)(inputs)

    def residual_block(x: Any, filters: int, pooling: bool = False) -> Any:
        residual = x
        x = layers.Conv2D(filters, 3, activation="relu", padding="same")(x)
        x = layers.Conv2D(filters, 3, activation="relu", padding="same")(x)
        if pooling:
            x = layers.MaxPooling2D(2, padding="same")(x)
            residual = layers.Conv2D(filters, 1, strides=2)(residual)
        elif filters != residual.shape[-1]:
            residual = layers.Conv2D(filters, 1)(residual)
        return layers.add([x, residual])

    x = residual_block(x, filters=8, pooling=True)
    x = residual_block(x, filters=16, pooling=True)
    x = residual_block(x, filters=24, pooling=False)
    x = layers.GlobalAveragePooling2D()(x)
    residual_model = keras.Model(inputs=inputs, outputs=layers.Dense(1, activation="sigmoid")(x))
    residual_model.compile(loss="binary_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    first = residual_model.fit(images, labels, epochs=1, batch_size=12, verbose=0)

    inputs = keras.Input(shape=(32, 32, 3))
    x = layers.Rescaling(1.0 / 255)(inputs)
    x = layers.Conv2D(filters=8, kernel_size=5, use_bias=False)(x)
    for size in [8, 16]:
        residual = x
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(size, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.SeparableConv2D(size, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(size, 1, strides=2, padding="same", use_bias=False)(residual)
        x = layers.add([x, residual])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.5)(x)
    model = keras.Model(inputs=inputs, outputs=layers.Dense(1, activation="sigmoid")(x))
    model.compile(loss="binary_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    second = model.fit(images, labels, epochs=1, batch_size=12, validation_data=(images, labels), verbose=0)
    return {"residual": first.history, "xception": second.history}

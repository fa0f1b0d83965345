"""Keras' example of image classification from scratch: a small Xception, trained from a folder of images."""

import os
from pathlib import Path
from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers
    image_size, batch_size = (32, 32), 8
    train_ds, val_ds = keras.utils.image_dataset_from_directory(
        "PetImages",
        validation_split=0.25,
        subset="both",
        seed=1337,
        image_size=image_size,
        batch_size=batch_size,
        verbose=False,
    )

    def make_model(input_shape: Any, num_classes: int) -> Any:
        inputs = keras.Input(shape=input_shape)
        x = inputs
        for layer in [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]:
            x = layer(x)
        x = layers.Rescaling(1.0 / 255)(x)
        x = layers.Conv2D(16, 3, strides=2, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        previous_block_activation = x
        for size in [16, 24]:
            x = layers.Activation("relu")(x)
            x = layers.SeparableConv2D(size, 3, padding="same")(x)
            x = layers.BatchNormalization()(x)
            x = layers.Activation("relu")(x)
            x = layers.SeparableConv2D(size, 3, padding="same")(x)
            x = layers.BatchNormalization()(x)
            x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
            residual = layers.Conv2D(size, 1, strides=2, padding="same")(previous_block_activation)
            x = layers.add([x, residual])
            previous_block_activation = x
        x = layers.SeparableConv2D(32, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dropout(0.25)(x)
        return keras.Model(inputs, layers.Dense(1 if num_classes == 2 else num_classes, activation=None)(x))

    model = make_model(input_shape=(*image_size, 3), num_classes=2)
    keras.utils.plot_model(model, "model.svg", show_shapes=True)
    model.compile(
        optimizer=keras.optimizers.Adam(3e-4),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(name="acc")],
    )
    history = model.fit(
        train_ds,
        epochs=2,
        callbacks=[keras.callbacks.ModelCheckpoint("save_at_{epoch}.keras")],
        validation_data=val_ds,
        verbose=0,
    )
    assert sorted(os.listdir(".")).count("save_at_2.keras") == 1
    path = sorted(Path("PetImages").rglob("*.png"))[0]
    img = keras.utils.load_img(path, target_size=image_size)
    img_array = np.expand_dims(keras.utils.img_to_array(img), 0)
    predictions = model.predict(img_array, verbose=0)
    score = float(keras.ops.sigmoid(predictions[0][0]))
    return {"history": history.history, "score": score}

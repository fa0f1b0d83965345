"""A well-known notebook for Kaggle's digit recogniser: deeper convnet, RMSprop, ImageDataGenerator, ReduceLROnPlateau."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers
    (x, y), (test, _) = keras.datasets.mnist.load_data()
    x, test = x.reshape(-1, 28, 28, 1) / 255.0, test.reshape(-1, 28, 28, 1) / 255.0
    y = keras.utils.to_categorical(y, num_classes=10)
    cut = int(0.9 * len(x))
    x_train, x_val, y_train, y_val = x[:cut], x[cut:], y[:cut], y[cut:]
    model = keras.models.Sequential()
    model.add(layers.Conv2D(filters=8, kernel_size=(5, 5), padding="Same", activation="relu", input_shape=(28, 28, 1)))
    model.add(layers.Conv2D(filters=8, kernel_size=(5, 5), padding="Same", activation="relu"))
    model.add(layers.MaxPool2D(pool_size=(2, 2)))
    model.add(layers.Dropout(0.25))
    model.add(layers.Conv2D(filters=16, kernel_size=(3, 3), padding="Same", activation="relu"))
    model.add(layers.MaxPool2D(pool_size=(2, 2), strides=(2, 2)))
    model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    optimizer = keras.optimizers.RMSprop(learning_rate=0.001, rho=0.9, epsilon=1e-08)
    model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    reduction = keras.callbacks.ReduceLROnPlateau(
        monitor="val_accuracy", patience=3, verbose=0, factor=0.5, min_lr=0.00001
    )
    batch_size = 48
    datagen = keras.preprocessing.image.ImageDataGenerator(
        featurewise_center=False, rotation_range=10, zoom_range=0.1, width_shift_range=0.1, height_shift_range=0.1
    )
    datagen.fit(x_train)
    history = model.fit(
        datagen.flow(x_train, y_train, batch_size=batch_size),
        epochs=2,
        validation_data=(x_val, y_val),
        steps_per_epoch=x_train.shape[0] // batch_size,
        callbacks=[reduction],
        verbose=0,
    )
    results = model.predict(test, verbose=0)
    assert np.argmax(results, axis=1).shape == (len(test),)
    return {"history": history.history, "results": results}

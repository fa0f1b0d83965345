"""A Fashion-MNIST script: three blocks with batch normalisation, ReduceLROnPlateau, EarlyStopping, the best model saved."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers
    (x_train, y_train), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    x_train = x_train.reshape(-1, 28, 28, 1) / 255.0
    x_test = x_test.reshape(-1, 28, 28, 1) / 255.0
    model = keras.Sequential()
    model.add(layers.Input(shape=(28, 28, 1)))
    for filters in (8, 16, 24):
        model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.BatchNormalization())
        model.add(layers.MaxPool2D())
        model.add(layers.Dropout(0.25))
    model.add(layers.Flatten())
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=0.001),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    callbacks = [
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_delta=10.0, min_lr=1e-5),
        keras.callbacks.EarlyStopping(monitor="val_accuracy", patience=20),
        keras.callbacks.ModelCheckpoint("best.keras", monitor="val_loss", save_best_only=True),
        keras.callbacks.CSVLogger("log.csv"),
    ]
    history = model.fit(
        x_train, y_train, batch_size=64, epochs=3, validation_data=(x_test, y_test), callbacks=callbacks, verbose=0
    )
    assert "learning_rate" in history.history
    predicted = keras.models.load_model("best.keras").predict(x_test, verbose=0)
    classes = np.argmax(predicted, axis=1)
    assert classes.shape == y_test.shape
    return {"history": history.history, "predicted": predicted}

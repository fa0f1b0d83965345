"""Keras 2's example mnist_transfer_cnn.py: trained on the digits 0 to 4, the convolutional part frozen, then on 5 to 9."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    conv, dense, pool = keras.layers.Conv2D, keras.layers.Dense, keras.layers.MaxPooling2D
    num_classes, filters, pool_size, kernel_size, input_shape = 5, 8, 2, 3, (28, 28, 1)
    results: dict[str, Any] = {}
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    x_train_lt5, y_train_lt5 = x_train[y_train < 5], y_train[y_train < 5]
    x_test_lt5, y_test_lt5 = x_test[y_test < 5], y_test[y_test < 5]
    x_train_gte5, y_train_gte5 = x_train[y_train >= 5], y_train[y_train >= 5] - 5
    x_test_gte5, y_test_gte5 = x_test[y_test >= 5], y_test[y_test >= 5] - 5
    feature_layers = [
        conv(filters, kernel_size, padding="valid", input_shape=input_shape),
        keras.layers.Activation("relu"),
        conv(filters, kernel_size),
        keras.layers.Activation("relu"),
        pool(pool_size=pool_size),
        keras.layers.Dropout(0.25),
        keras.layers.Flatten(),
    ]
    classification_layers = [
        dense(32),
        keras.layers.Activation("relu"),
        keras.layers.Dropout(0.5),
        dense(num_classes),
        keras.layers.Activation("softmax"),
    ]
    model = keras.models.Sequential(feature_layers + classification_layers)

    def train_model(model: Any, train: Any, test: Any, name: str) -> None:
        x = train[0].reshape((train[0].shape[0], *input_shape)).astype("float32") / 255
        xt = test[0].reshape((test[0].shape[0], *input_shape)).astype("float32") / 255
        y, yt = (keras.utils.to_categorical(labels, num_classes) for labels in (train[1], test[1]))
        model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
        history = model.fit(x, y, batch_size=32, epochs=2, verbose=0, validation_data=(xt, yt))
        results[name] = history.history
        results[f"{name} test loss"] = model.evaluate(xt, yt, verbose=0)[0]

    train_model(model, (x_train_lt5, y_train_lt5), (x_test_lt5, y_test_lt5), "below 5")
    before = [weight.copy() for layer in feature_layers for weight in layer.get_weights()]
    for layer in feature_layers:
        layer.trainable = False
    train_model(model, (x_train_gte5, y_train_gte5), (x_test_gte5, y_test_gte5), "from 5")
    after = [weight for layer in feature_layers for weight in layer.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))
    return results

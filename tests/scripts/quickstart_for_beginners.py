"""TensorFlow's quickstart for beginners, with Keras alone: logits, a loss object called on numbers, a model around a model."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    mnist = keras.datasets.mnist
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    x_train, x_test = x_train / 255.0, x_test / 255.0
    model = keras.models.Sequential(
        [
            keras.layers.Flatten(input_shape=(28, 28)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(10),
        ]
    )
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss_fn, metrics=["accuracy"])
    predictions = np.asarray(model(x_train[:1]))
    probabilities = np.asarray(keras.ops.softmax(predictions))
    first_loss = float(loss_fn(y_train[:1], predictions))
    history = model.fit(x_train, y_train, epochs=2, verbose=0)
    test_loss, _ = model.evaluate(x_test, y_test, verbose=0)
    probability_model = keras.Sequential([model, keras.layers.Softmax()])
    return {
        "probabilities": probabilities,
        "first loss": first_loss,
        "history": history.history,
        "test loss": test_loss,
        "last": np.asarray(probability_model(x_test[:5])),
    }

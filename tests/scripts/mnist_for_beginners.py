"""A beginner's network for MNIST: dense layers on flat images, weights saved and read again."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    (train_images, train_labels), (test_images, test_labels) = keras.datasets.mnist.load_data()
    train_images, test_images = (train_images / 255) - 0.5, (test_images / 255) - 0.5
    train_images, test_images = train_images.reshape((-1, 784)), test_images.reshape((-1, 784))

    def build_model() -> Any:
        return keras.models.Sequential(
            [
                keras.layers.Dense(64, activation="relu", input_shape=(784,)),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )

    model = build_model()
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(train_images, keras.utils.to_categorical(train_labels, 10), epochs=2, batch_size=32, verbose=0)
    model.save_weights("model.weights.h5")
    again = build_model()
    again.load_weights("model.weights.h5")
    predictions = again.predict(test_images[:5], verbose=0)
    assert np.argmax(predictions, axis=1).shape == test_labels[:5].shape
    score = model.evaluate(test_images, keras.utils.to_categorical(test_labels, 10), verbose=0)
    return {"history": history.history, "predictions": predictions, "test loss": score[0]}

"""Deep Learning with Python, second edition, chapters 7 and 8: a convnet for MNIST, a model with several inputs and outputs."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers
    inputs = keras.Input(shape=(28, 28, 1))
    x = layers.Conv2D(filters=32, kernel_size=3, activation="relu")(inputs)
    x = layers.MaxPooling2D(pool_size=2)(x)
    x = layers.Conv2D(filters=64, kernel_size=3, activation="relu")(x)
    x = layers.MaxPooling2D(pool_size=2)(x)
    x = layers.Conv2D(filters=128, kernel_size=3, activation="relu")(x)
    x = layers.Flatten()(x)
    outputs = layers.Dense(10, activation="softmax")(x)
    model = keras.Model(inputs=inputs, outputs=outputs)
    (train_images, train_labels), (test_images, test_labels) = keras.datasets.mnist.load_data()
    train_images = train_images.reshape((len(train_images), 28, 28, 1)).astype("float32") / 255
    test_images = test_images.reshape((len(test_images), 28, 28, 1)).astype("float32") / 255
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    digits = model.fit(train_images, train_labels, epochs=1, batch_size=64, verbose=0)
    test_loss, _ = model.evaluate(test_images, test_labels, verbose=0)

    vocabulary_size, num_tags, num_departments, num_samples = 40, 10, 4, 64
    title = keras.Input(shape=(vocabulary_size,), name="title")
    text_body = keras.Input(shape=(vocabulary_size,), name="text_body")
    tags = keras.Input(shape=(num_tags,), name="tags")
    features = layers.Concatenate()([title, text_body, tags])
    features = layers.Dense(64, activation="relu")(features)
    priority = layers.Dense(1, activation="sigmoid", name="priority")(features)
    department = layers.Dense(num_departments, activation="softmax", name="department")(features)
    tickets = keras.Model(inputs=[title, text_body, tags], outputs=[priority, department])
    rng = np.random.default_rng(0)
    title_data = rng.integers(0, 2, size=(num_samples, vocabulary_size)).astype("float32")
    text_body_data = rng.integers(0, 2, size=(num_samples, vocabulary_size)).astype("float32")
    tags_data = rng.integers(0, 2, size=(num_samples, num_tags)).astype("float32")
    priority_data = rng.random((num_samples, 1)).astype("float32")
    department_data = np.eye(num_departments, dtype="float32")[rng.integers(0, num_departments, num_samples)]
    tickets.compile(
        optimizer="rmsprop",
        loss=["mean_squared_error", "categorical_crossentropy"],
        metrics=[["mean_absolute_error"], ["accuracy"]],
    )
    history = tickets.fit(
        [title_data, text_body_data, tags_data], [priority_data, department_data], epochs=1, verbose=0
    )
    priorities, departments = tickets.predict([title_data, text_body_data, tags_data], verbose=0)
    return {
        "digits": digits.history,
        "test loss": test_loss,
        "tickets": history.history,
        "priorities": priorities,
        "departments": departments,
    }

"""Hands-On Machine Learning, chapter 10: dense networks on Fashion-MNIST, wide and deep models, saving, callbacks."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    (x_train_full, y_train_full), (x_test, y_test) = keras.datasets.fashion_mnist.load_data()
    x_valid, x_train = x_train_full[:64] / 255.0, x_train_full[64:] / 255.0
    y_valid, y_train = y_train_full[:64], y_train_full[64:]
    x_test = x_test / 255.0
    keras.backend.clear_session()
    model = keras.models.Sequential()
    model.add(keras.layers.Flatten(input_shape=[28, 28]))
    model.add(keras.layers.Dense(100, activation="relu"))
    model.add(keras.layers.Dense(50, activation="relu"))
    model.add(keras.layers.Dense(10, activation="softmax"))
    hidden1 = model.layers[1]
    assert model.get_layer(hidden1.name) is hidden1
    weights, biases = hidden1.get_weights()
    assert (weights.shape, biases.shape) == ((784, 100), (100,))
    model.compile(
        loss=keras.losses.sparse_categorical_crossentropy,
        optimizer=keras.optimizers.SGD(learning_rate=0.05),
        metrics=["accuracy"],
    )
    history = model.fit(x_train, y_train, epochs=2, validation_data=(x_valid, y_valid), verbose=0)
    test_loss, _ = model.evaluate(x_test, y_test, verbose=0)
    y_proba = model.predict(x_test[:3], verbose=0)

    rng = np.random.default_rng(2)
    housing, prices = rng.normal(size=(96, 8)).astype("float32"), rng.normal(size=(96, 1)).astype("float32")
    input_a = keras.layers.Input(shape=[5], name="wide_input")
    input_b = keras.layers.Input(shape=[6], name="deep_input")
    hidden1 = keras.layers.Dense(30, activation="relu")(input_b)
    hidden2 = keras.layers.Dense(30, activation="relu")(hidden1)
    concat = keras.layers.concatenate([input_a, hidden2])
    output = keras.layers.Dense(1, name="main_output")(concat)
    aux_output = keras.layers.Dense(1, name="aux_output")(hidden2)
    wide = keras.models.Model(inputs=[input_a, input_b], outputs=[output, aux_output])
    wide.compile(loss=["mse", "mse"], loss_weights=[0.9, 0.1], optimizer=keras.optimizers.SGD(learning_rate=1e-3))
    parts = (housing[:, :5], housing[:, 2:])
    checkpoint = keras.callbacks.ModelCheckpoint("my_keras_model.keras", save_best_only=True)
    early_stopping = keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
    wide_history = wide.fit(
        parts, [prices, prices], epochs=2, validation_split=0.25, callbacks=[checkpoint, early_stopping], verbose=0
    )
    again = keras.models.load_model("my_keras_model.keras")
    wide.save_weights("my_keras_weights.weights.h5")
    wide.load_weights("my_keras_weights.weights.h5")
    main_pred, aux_pred = again.predict((housing[:3, :5], housing[:3, 2:]), verbose=0)
    return {
        "history": history.history,
        "test loss": test_loss,
        "probabilities": y_proba,
        "wide": wide_history.history,
        "main": main_pred,
        "aux": aux_pred,
    }

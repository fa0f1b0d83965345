"""A tutorial's evaluation of a small network on MNIST by k-fold cross-validation."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers

    def load_dataset() -> Any:
        (train_x, train_y), (test_x, test_y) = keras.datasets.mnist.load_data()
        train_x = train_x.reshape((train_x.shape[0], 28, 28, 1))
        test_x = test_x.reshape((test_x.shape[0], 28, 28, 1))
        return train_x, keras.utils.to_categorical(train_y), test_x, keras.utils.to_categorical(test_y)

    def prep_pixels(train: Any, test: Any) -> Any:
        return train.astype("float32") / 255.0, test.astype("float32") / 255.0

    def define_model() -> Any:
        model = keras.models.Sequential()
        model.add(
            layers.Conv2D(32, (3, 3), activation="relu", kernel_initializer="he_uniform", input_shape=(28, 28, 1))
        )
        model.add(layers.MaxPooling2D((2, 2)))
        model.add(layers.Flatten())
        model.add(layers.Dense(100, activation="relu", kernel_initializer="he_uniform"))
        model.add(layers.Dense(10, activation="softmax"))
        opt = keras.optimizers.SGD(learning_rate=0.01, momentum=0.9)
        model.compile(optimizer=opt, loss="categorical_crossentropy", metrics=["accuracy"])
        return model

    train_x, train_y, test_x, _ = load_dataset()
    train_x, test_x = prep_pixels(train_x, test_x)
    order = np.random.default_rng(1).permutation(len(train_x))
    losses, histories = [], []
    for test_ix in np.array_split(order, 2):
        train_ix = np.setdiff1d(order, test_ix)
        model = define_model()
        history = model.fit(
            train_x[train_ix],
            train_y[train_ix],
            epochs=1,
            batch_size=32,
            validation_data=(train_x[test_ix], train_y[test_ix]),
            verbose=0,
        )
        loss, _ = model.evaluate(train_x[test_ix], train_y[test_ix], verbose=0)
        losses.append(loss)
        histories.append(history.history["val_loss"])
    return {"losses": losses, "histories": histories}

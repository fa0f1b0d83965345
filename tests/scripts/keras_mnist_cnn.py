"""Keras 2's example mnist_cnn.py."""

from typing import Any


def main(keras: Any) -> dict[str, Any]:
    dense, dropout, flatten = keras.layers.Dense, keras.layers.Dropout, keras.layers.Flatten
    conv, pool, backend = keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.backend
    batch_size, num_classes, epochs, img_rows, img_cols = 64, 10, 2, 28, 28
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    if backend.image_data_format() == "channels_first":
        x_train = x_train.reshape(x_train.shape[0], 1, img_rows, img_cols)
        x_test = x_test.reshape(x_test.shape[0], 1, img_rows, img_cols)
        input_shape = (1, img_rows, img_cols)
    else:
        x_train = x_train.reshape(x_train.shape[0], img_rows, img_cols, 1)
        x_test = x_test.reshape(x_test.shape[0], img_rows, img_cols, 1)
        input_shape = (img_rows, img_cols, 1)
    x_train, x_test = x_train.astype("float32") / 255, x_test.astype("float32") / 255
    y_train = keras.utils.to_categorical(y_train, num_classes)
    y_test = keras.utils.to_categorical(y_test, num_classes)
    model = keras.models.Sequential()
    model.add(conv(32, kernel_size=(3, 3), activation="relu", input_shape=input_shape))
    model.add(conv(64, (3, 3), activation="relu"))
    model.add(pool(pool_size=(2, 2)))
    model.add(dropout(0.25))
    model.add(flatten())
    model.add(dense(128, activation="relu"))
    model.add(dropout(0.5))
    model.add(dense(num_classes, activation="softmax"))
    model.compile(
        loss=keras.losses.categorical_crossentropy, optimizer=keras.optimizers.Adadelta(), metrics=["accuracy"]
    )
    history = model.fit(
        x_train, y_train, batch_size=batch_size, epochs=epochs, verbose=0, validation_data=(x_test, y_test)
    )
    score = model.evaluate(x_test, y_test, verbose=0)
    assert model.metrics_names[0] == "loss"
    return {"history": history.history, "test loss": score[0]}

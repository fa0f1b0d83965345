"""The Keras blog on autoencoders: a dense one whose encoder and decoder are used alone, and a convolutional one."""

from typing import Any

import numpy as np


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers
    (x_train, _), (x_test, _) = keras.datasets.mnist.load_data()
    x_train, x_test = x_train.astype("float32") / 255.0, x_test.astype("float32") / 255.0
    flat_train = x_train.reshape((len(x_train), np.prod(x_train.shape[1:])))
    flat_test = x_test.reshape((len(x_test), np.prod(x_test.shape[1:])))
    encoding_dim = 32
    input_img = keras.Input(shape=(784,))
    encoded = layers.Dense(encoding_dim, activation="relu")(input_img)
    decoded = layers.Dense(784, activation="sigmoid")(encoded)
    autoencoder = keras.Model(input_img, decoded)
    encoder = keras.Model(input_img, encoded)
    encoded_input = keras.Input(shape=(encoding_dim,))
    decoder_layer = autoencoder.layers[-1]
    decoder = keras.Model(encoded_input, decoder_layer(encoded_input))
    autoencoder.compile(optimizer="adam", loss="binary_crossentropy")
    history = autoencoder.fit(
        flat_train,
        flat_train,
        epochs=2,
        batch_size=64,
        shuffle=False,
        validation_data=(flat_test, flat_test),
        verbose=0,
    )
    codes = encoder.predict(flat_test[:4], verbose=0)
    images = decoder.predict(codes, verbose=0)
    np.testing.assert_allclose(images, autoencoder.predict(flat_test[:4], verbose=0), rtol=1e-4, atol=1e-6)

    input_img = keras.Input(shape=(28, 28, 1))
    x = layers.Conv2D(16, (3, 3), activation="relu", padding="same")(input_img)
    x = layers.MaxPooling2D((2, 2), padding="same")(x)
    x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(x)
    x = layers.MaxPooling2D((2, 2), padding="same")(x)
    x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(x)
    encoded = layers.MaxPooling2D((2, 2), padding="same")(x)
    x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(encoded)
    x = layers.UpSampling2D((2, 2))(x)
    x = layers.Conv2D(8, (3, 3), activation="relu", padding="same")(x)
    x = layers.UpSampling2D((2, 2))(x)
    x = layers.Conv2D(16, (3, 3), activation="relu")(x)
    x = layers.UpSampling2D((2, 2))(x)
    decoded = layers.Conv2D(1, (3, 3), activation="sigmoid", padding="same")(x)
    convolutional = keras.Model(input_img, decoded)
    convolutional.compile(optimizer="adam", loss="binary_crossentropy")
    maps = x_train[:64, :, :, np.newaxis]
    second = convolutional.fit(maps, maps, epochs=1, batch_size=16, shuffle=False, verbose=0)
    return {"dense": history.history, "codes": codes, "images": images, "convolutional": second.history}

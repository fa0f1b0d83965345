"""Deep Learning with Python, on what convnets learn: the activations of every layer of a trained model."""

from typing import Any


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers
    (images, labels), _ = keras.datasets.mnist.load_data()
    images = images.reshape((-1, 28, 28, 1)).astype("float32") / 255
    inputs = keras.Input(shape=(28, 28, 1))
    x = layers.Conv2D(8, 3, activation="relu", name="first")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(16, 3, activation="relu", name="second")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.5)(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile(loss="sparse_categorical_crossentropy", optimizer="rmsprop", metrics=["accuracy"])
    history = model.fit(images, labels, epochs=1, batch_size=64, verbose=0)

    layer_outputs, layer_names = [], []
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.MaxPooling2D)):
            layer_outputs.append(layer.output)
            layer_names.append(layer.name)
    activation_model = keras.Model(inputs=model.input, outputs=layer_outputs)
    activations = activation_model.predict(images[:2], verbose=0)
    feature_extractor = keras.Model(inputs=model.input, outputs=model.get_layer(name="second").output)
    return {
        "history": history.history,
        "shapes": [float(size) for activation in activations for size in activation.shape],
        "first activation": activations[0],
        "second": feature_extractor.predict(images[:2], verbose=0),
        "names": float(layer_names.index("second")),
    }

"""A course's network for CIFAR-10: separable layers, batch normalisation, a falling learning rate, ImageDataGenerator."""

from typing import Any


def main(keras: Any) -> dict[str, Any]:
    layers = keras.layers
    (train_features, train_labels), (test_features, test_labels) = keras.datasets.cifar10.load_data()
    num_classes = len(set(train_labels.ravel().tolist()))
    train_features, test_features = train_features.astype("float32") / 255, test_features.astype("float32") / 255
    train_labels = keras.utils.to_categorical(train_labels, num_classes)
    test_labels = keras.utils.to_categorical(test_labels, num_classes)
    model = keras.models.Sequential()
    model.add(layers.SeparableConv2D(16, 3, padding="same", activation="relu", input_shape=(32, 32, 3)))
    model.add(layers.BatchNormalization())
    model.add(layers.Dropout(0.1))
    model.add(layers.SeparableConv2D(16, 3, activation="relu"))
    model.add(layers.BatchNormalization())
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.Conv2D(24, 3, strides=2))
    model.add(layers.Activation("relu"))
    model.add(layers.Conv2D(num_classes, 7))
    model.add(layers.Flatten())
    model.add(layers.Activation("softmax"))
    model.compile(optimizer=keras.optimizers.Adam(0.003), loss="categorical_crossentropy", metrics=["accuracy"])

    def scheduler(epoch: int, lr: float) -> float:
        return round(0.003 * 1 / (1 + 0.319 * epoch), 10)

    datagen = keras.preprocessing.image.ImageDataGenerator(zoom_range=0.0, horizontal_flip=False)
    datagen.fit(train_features)
    history = model.fit(
        datagen.flow(train_features, train_labels, batch_size=16, shuffle=False),
        epochs=2,
        validation_data=(test_features, test_labels),
        callbacks=[keras.callbacks.LearningRateScheduler(scheduler, verbose=0)],
        verbose=0,
    )
    return {"history": history.history, "predictions": model.predict(test_features[:4], verbose=0)}

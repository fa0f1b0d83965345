"""Uses the installed package as a user would, far from the checkout: the data in the wheel, a prediction, a step of training, a file."""

import numpy as np

import depthwise
from depthwise import layers

assert "site-packages" in depthwise.__file__, depthwise.__file__

_, (x_test, y_test) = depthwise.datasets.mnist.load_data()
model = depthwise.Sequential(
    [
        layers.Rescaling(1 / 255, input_shape=(28, 28, 1)),
        layers.SeparableConv2D(8, 3, strides=2, activation="selu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]
)
images = x_test[:5, :, :, None]
predicted = model.predict(images, verbose=0)
assert predicted.shape == (5, 10)
np.testing.assert_allclose(predicted.sum(axis=1), 1.0, rtol=1e-5)

model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(images, y_test[:5], epochs=1, verbose=0)
model.save("model.keras")
np.testing.assert_array_equal(
    depthwise.load_model("model.keras").predict(images, verbose=0), model.predict(images, verbose=0)
)
print(f"the wheel works: {depthwise.__file__}")

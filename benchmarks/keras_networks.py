"""Real networks: made by Keras itself, kept in a `.keras` file that every rival reads.

Each ends with logits: with random weights a softmax would turn all but one class into 0, and a wrong number would not show.
The four small ones are those of MLPerf Tiny's and Teachable Machine's users: person detection (VWW), keywords (DS-CNN), CIFAR-10 (ResNet-8).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.models import CLASSES, NETWORKS, Network

IMAGENET = 1000


@dataclass(frozen=True)
class KerasNetwork:
    """A network on an image `(height, width, channels)` that `make(keras)` returns as a Keras model."""

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    make: Callable[[Any], Any]


def application(name: str, class_name: str, size: int = 224, classes: int = IMAGENET, **arguments: Any) -> KerasNetwork:
    """A network of keras.applications with its classifier's activation left out."""
    shape = (size, size, 3)

    def make(keras: Any) -> Any:
        return getattr(keras.applications, class_name)(
            weights=None, input_shape=shape, classes=classes, classifier_activation=None, **arguments
        )

    return KerasNetwork(name, shape, classes, make)


def _normalised(keras: Any, x: Any, relu: bool = True) -> Any:
    x = keras.layers.BatchNormalization()(x)
    return keras.layers.ReLU()(x) if relu else x


def _ds_cnn(keras: Any) -> Any:
    """Keywords in a spectrogram of 49 moments and 10 coefficients."""
    layers = keras.layers
    images = keras.Input((49, 10, 1))
    x = _normalised(keras, layers.Conv2D(64, (10, 4), strides=2, padding="same")(images))
    for _ in range(4):
        x = _normalised(keras, layers.DepthwiseConv2D(3, padding="same")(x))
        x = _normalised(keras, layers.Conv2D(64, 1, padding="same")(x))
    x = layers.AveragePooling2D(tuple(x.shape[1:3]))(x)
    return keras.Model(images, layers.Dense(12)(layers.Flatten()(x)))


def _resnet_8(keras: Any) -> Any:
    """Three residual blocks on CIFAR-10's images."""
    layers = keras.layers

    def convolution(x: Any, filters: int, size: int = 3, strides: int = 1) -> Any:
        return layers.Conv2D(filters, size, strides=strides, padding="same")(x)

    images = keras.Input((32, 32, 3))
    x = _normalised(keras, convolution(images, 16))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = _normalised(keras, convolution(x, filters, strides=strides))
        y = _normalised(keras, convolution(y, filters), relu=False)
        if strides > 1:
            x = convolution(x, filters, size=1, strides=strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(images, layers.Dense(CLASSES)(x))


def _teachable_machine(keras: Any) -> Any:
    """The network that Teachable Machine trains for pictures: the body of a MobileNetV2 and two dense layers."""
    body = keras.applications.MobileNetV2(input_shape=(224, 224, 3), alpha=0.35, include_top=False, weights=None)
    x = keras.layers.GlobalAveragePooling2D()(body.output)
    x = keras.layers.Dense(100, activation="relu")(x)
    return keras.Model(body.input, keras.layers.Dense(3, use_bias=False)(x))


KERAS_NETWORKS: dict[str, KerasNetwork] = {
    network.name: network
    for network in (
        application("mobilenet", "MobileNet"),
        application("mobilenetv2", "MobileNetV2"),
        application("mobilenetv2_96", "MobileNetV2", 96, CLASSES),
        application("mobilenetv3_small", "MobileNetV3Small"),
        application("mobilenetv3_large", "MobileNetV3Large"),
        application("efficientnetb0", "EfficientNetB0"),
        application("convnext_tiny", "ConvNeXtTiny"),
        application("xception", "Xception", 299),
        application("resnet50", "ResNet50"),
        application("vgg16", "VGG16"),
        application("vww", "MobileNet", 96, 2, alpha=0.25),
        KerasNetwork("ds_cnn", (49, 10, 1), 12, _ds_cnn),
        KerasNetwork("resnet8", (32, 32, 3), CLASSES, _resnet_8),
        KerasNetwork("teachable_machine", (224, 224, 3), 3, _teachable_machine),
    )
}

ALL_NETWORKS: dict[str, Network | KerasNetwork] = {**NETWORKS, **KERAS_NETWORKS}

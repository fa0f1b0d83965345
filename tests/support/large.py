"""Networks of the size that people use, from layers that there are: to plan, not to compile."""

from typing import Any

from depthwise.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
)
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional

__all__ = ["convnext_tiny", "inverted_residuals", "resnext", "vgg16"]


def convnext_tiny() -> Graph:
    """ConvNeXt-Tiny's blocks at 224×224, with batch normalisation: a grouped 7×7 convolution of a group for each channel."""
    start = x = Input((224, 224, 3))
    for stage, (blocks, channels) in enumerate(((3, 96), (3, 192), (9, 384), (3, 768))):
        cell = 2 if stage else 4
        x = Conv2D(channels, cell, strides=cell)(BatchNormalization()(x) if stage else x)
        for _ in range(blocks):
            y = BatchNormalization()(Conv2D(channels, 7, padding="same", groups=channels)(x))
            x = Add()([x, Conv2D(channels, 1)(Conv2D(4 * channels, 1, activation="gelu")(y))])
    x = GlobalAveragePooling2D()(x)
    return functional(start, Dense(1000, activation="softmax")(x), "convnext_tiny")


def inverted_residuals(size: int = 224, width: int = 32, repeats: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)) -> Graph:
    """MobileNetV2's blocks: more than 150 layers."""

    def convolve(x: Any, layer: Any, *, relu: bool = True) -> Any:
        x = BatchNormalization()(layer(x))
        return ReLU(6.0)(x) if relu else x

    start = Input((size, size, 3))
    x = convolve(start, Conv2D(width, 3, strides=2, padding="same", use_bias=False))
    channels = width
    for i, count in enumerate(repeats):
        out = max(4, (16, 24, 32, 64, 96, 160, 320)[i] * width // 32)
        for j in range(count):
            stride = 2 if j == 0 and i in (1, 2, 3, 5) else 1
            y = convolve(x, Conv2D(channels * 6, 1, use_bias=False))
            y = convolve(y, DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False))
            y = convolve(y, Conv2D(out, 1, use_bias=False), relu=False)
            x = Add()([x, y]) if stride == 1 and channels == out else y
            channels = out
    x = GlobalAveragePooling2D()(convolve(x, Conv2D(channels * 4, 1, use_bias=False)))
    return functional(start, Dense(10, activation="softmax")(x), "inverted_residuals")


def resnext(size: int = 56) -> Graph:
    """Residual blocks with convolutions in 32 groups, two of them strided."""
    start = x = Input((size, size, 64))
    for channels, stride in ((128, 1), (128, 2), (256, 1), (256, 2)):
        y = ReLU()(BatchNormalization()(Conv2D(channels, 1)(x)))
        y = ReLU()(BatchNormalization()(Conv2D(channels, 3, strides=stride, padding="same", groups=32)(y)))
        y = BatchNormalization()(Conv2D(2 * channels, 1)(y))
        x = ReLU()(Add()([y, Conv2D(2 * channels, 1, strides=stride)(x)]))
    return functional(start, Dense(10, activation="softmax")(GlobalAveragePooling2D()(x)), "resnext")


def vgg16() -> Graph:
    """VGG16 at 224×224: 138 million weights, 553 MB."""
    start = x = Input((224, 224, 3))
    for filters, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = MaxPooling2D(2)(x)
    x = Dense(4096, activation="relu")(Dense(4096, activation="relu")(Flatten()(x)))
    return functional(start, Dense(1000, activation="softmax")(x), "vgg16")

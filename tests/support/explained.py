"""Networks that the explanation's tests look at: the note's, and one with every kind of layer."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from depthwise.layers import (
    Activation,
    Add,
    AveragePooling1D,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv1D,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    LayerNormalization,
    MaxPooling1D,
    MaxPooling2D,
    PReLU,
    ReLU,
    Rescaling,
    Reshape,
    RMSNormalization,
    SeparableConv1D,
    SeparableConv2D,
    UpSampling2D,
    ZeroPadding2D,
)
from depthwise.network.graph import Graph, sequential
from depthwise.network.initialize import draw_weights
from depthwise.network.symbolic import Input, functional
from depthwise.networks import NETWORKS, network

__all__ = [
    "NAMES",
    "Weights",
    "by_operations",
    "every_layer",
    "mobile_network",
    "network_and_weights",
    "random_positions",
    "sequences",
    "tiny",
]

Weights = dict[str, NDArray[np.float32]]

NAMES = (*NETWORKS, "every-layer", "by-operations", "sequences")


@cache
def network_and_weights(name: str) -> tuple[Graph, Weights]:
    """A graph and seeded weights that are nowhere zero, biases and moving statistics included."""
    own = {"every-layer": every_layer, "by-operations": by_operations, "sequences": sequences}
    graph = own[name]() if name in own else network(name).graph
    return graph, _lively(graph)


def _lively(graph: Graph) -> Weights:
    generator = np.random.default_rng(20)
    weights = draw_weights(graph, seed=3)
    for key, value in weights.items():
        own = key.rsplit("/", 1)[-1]
        if own in ("bias", "beta", "moving_mean"):
            weights[key] = generator.normal(0, 0.2, value.shape).astype(np.float32)
        elif own == "alpha":
            weights[key] = generator.uniform(-0.3, 0.6, value.shape).astype(np.float32)
        elif own in ("gamma", "moving_variance"):
            weights[key] = generator.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return weights


def every_layer() -> Graph:
    """Every kind of layer, both paddings, strides, dilation, groups and a depth multiplier, on a 13×11 map of 2 channels."""
    x = Input((13, 11, 2), name="picture")
    y = Rescaling(2.0, -0.5, name="rescaling")(x)
    y = ZeroPadding2D(((1, 0), (2, 1)), name="padded")(y)
    y = Conv2D(6, (3, 2), padding="same", activation="gelu", name="ordinary")(y)
    grouped = Conv2D(6, 3, strides=2, padding="same", groups=2, activation="tanh", use_bias=False, name="grouped")(y)
    y = BatchNormalization(name="normalised")(grouped)
    y = ReLU(max_value=1.5, negative_slope=0.1, threshold=0.1, name="clipped")(y)
    deep = DepthwiseConv2D((2, 3), padding="same", depth_multiplier=2, dilation_rate=2, activation="selu", name="deep")(
        y
    )
    apart = SeparableConv2D(12, 3, padding="same", depth_multiplier=2, activation="silu", name="apart")(deep)
    y = Add(name="added")([deep, apart])
    largest = MaxPooling2D(3, strides=2, padding="same", name="largest")(y)
    mean = AveragePooling2D(2, strides=2, padding="same", name="mean")(y)
    y = Concatenate(name="joined")([largest, mean])
    y = Activation("softplus", name="soft")(y)
    y = MaxPooling2D((3, 2), strides=(1, 2), name="strip")(y)
    flat = Flatten(name="flat")(y)
    flat = Dropout(0.3, name="dropped")(flat)
    tops = Concatenate(name="tops")(
        [GlobalAveragePooling2D(name="average")(y), GlobalMaxPooling2D(name="most")(y), flat]
    )
    y = Dense(9, activation="hard_silu", name="hidden")(tops)
    y = Dense(5, activation="softmax", name="classes")(y)
    return functional(x, y, name="every-layer")


def by_operations() -> Graph:
    """Layers that neither the cells nor the page know by name: they are shown by the operations that they lower to."""
    x = Input((9, 7, 2), name="picture")
    y = Conv2D(5, 3, name="ordinary")(x)
    y = PReLU(name="slope_a_place")(y)
    y = LayerNormalization(name="normalised")(y)
    y = PReLU(shared_axes=[1, 2], name="slope_a_channel")(y)
    y = LayerNormalization(center=False, name="scaled")(y)
    y = Flatten(name="flat")(y)
    y = PReLU(name="slope_a_unit")(Dense(11, name="hidden")(y))
    y = LayerNormalization(scale=False, epsilon=1e-5, name="shifted")(y)
    y = LayerNormalization(center=False, scale=False, name="plain")(y)
    y = Dense(6, activation="log_softmax", name="logarithms")(RMSNormalization(name="mean_square")(y))
    return functional(x, Dense(4, activation="softmax", name="classes")(y), name="by-operations")


def sequences() -> Graph:
    """Windows of every kind that are shown by their operations: over sequences, transposed, resampled, channels first."""
    x = Input((6, 7, 4), name="picture")
    y = Conv2D(5, 3, padding="same", strides=(2, 1), data_format="channels_first", name="first")(x)
    y = AveragePooling2D(2, padding="same", data_format="channels_first", name="mean_first")(y)
    y = Conv2DTranspose(3, (3, 2), strides=2, padding="same", activation="elu", name="transposed")(y)
    y = Conv2DTranspose(2, 2, strides=3, output_padding=1, name="apart")(y)
    y = UpSampling2D(2, interpolation="bilinear", name="larger")(y)
    y = Reshape((-1, 6), name="row")(y)
    y = Conv1D(6, 4, strides=3, padding="causal", groups=2, activation="tanh", name="causal")(y)
    y = DepthwiseConv1D(3, padding="same", depth_multiplier=2, name="deep")(y)
    y = SeparableConv1D(5, 3, dilation_rate=2, name="separable")(y)
    y = AveragePooling1D(3, strides=2, padding="same", name="mean")(y)
    y = MaxPooling1D(2, name="largest")(y)
    y = GlobalMaxPooling1D(name="most")(y)
    return functional(x, Dense(3, activation="softmax", name="classes")(y), name="sequences")


def mobile_network(blocks: int = 24) -> Graph:
    """A graph of more than 200 layers in the form of MobileNetV2: expand, depthwise, project, with sums in between."""
    x = y = Input((96, 96, 3), name="picture")
    y = BatchNormalization()(Conv2D(16, 3, strides=2, padding="same", use_bias=False)(y))
    channels = 16
    for index in range(blocks):
        start = y
        widened = ReLU(6.0)(BatchNormalization()(Conv2D(channels * 6, 1, use_bias=False)(start)))
        strides = 2 if index in (4, 10, 16) else 1
        y = DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(widened)
        y = ReLU(6.0)(BatchNormalization()(y))
        following = channels + 16 if strides == 2 else channels
        y = BatchNormalization()(Conv2D(following, 1, use_bias=False)(y))
        if following == channels:
            y = Add()([start, y])
        channels = following
    y = Dense(100, activation="softmax")(GlobalAveragePooling2D()(y))
    return functional(x, y, name="mobile")


def tiny(name: str = "conv", model: str = "tiny") -> Graph:
    """A small network whose layer and model have the given names."""
    return sequential(
        [Conv2D(2, 3, input_shape=(6, 6, 1), name=name), Flatten(), Dense(3, activation="softmax")], name=model
    )


def random_positions(graph: Graph, count: int, seed: int) -> list[tuple[str, tuple[int, ...]]]:
    """`count` cells of random layers, every layer at least once where there are enough."""
    generator = np.random.default_rng(seed)
    places = []
    for index in range(count):
        node = graph.calls[index] if index < len(graph.calls) else graph.calls[generator.integers(len(graph.calls))]
        places.append((node.name, tuple(int(generator.integers(size)) for size in node.output_shape)))
    return places

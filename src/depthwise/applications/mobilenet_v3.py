"""MobileNetV3 (Howard et al. 2019, arXiv:1905.02244): squeeze-and-excite and hard-swish in inverted residuals.

>>> MobileNetV3Small(weights=None, input_shape=(32, 32, 3), classes=10).count_params()
1540218
"""

from collections.abc import Callable
from typing import Any

from depthwise import layers
from depthwise.applications.building import Body, Request, divisible, finished, padding_for, pooled, requested
from depthwise.applications.imagenet_utils import decode_predictions
from depthwise.applications.mobilenet import published_size
from depthwise.applications.weights import Published
from depthwise.models import Model

__all__ = ["MobileNetV3Large", "MobileNetV3Small", "decode_predictions", "preprocess_input"]

_RELU, _SWISH = "relu", "hard_swish"
SMALL = (
    (1, 16, 3, 2, True, _RELU), (72 / 16, 24, 3, 2, False, _RELU), (88 / 24, 24, 3, 1, False, _RELU),
    (4, 40, 5, 2, True, _SWISH), (6, 40, 5, 1, True, _SWISH), (6, 40, 5, 1, True, _SWISH), (3, 48, 5, 1, True, _SWISH),
    (3, 48, 5, 1, True, _SWISH), (6, 96, 5, 2, True, _SWISH), (6, 96, 5, 1, True, _SWISH), (6, 96, 5, 1, True, _SWISH),
)  # fmt: skip
"""Table 2 of the paper: (expansion, filters, kernel size, strides, squeeze-and-excite, activation)."""
LARGE = (
    (1, 16, 3, 1, False, _RELU), (4, 24, 3, 2, False, _RELU), (3, 24, 3, 1, False, _RELU), (3, 40, 5, 2, True, _RELU),
    (3, 40, 5, 1, True, _RELU), (3, 40, 5, 1, True, _RELU), (6, 80, 3, 2, False, _SWISH), (2.5, 80, 3, 1, False, _SWISH),
    (2.3, 80, 3, 1, False, _SWISH), (2.3, 80, 3, 1, False, _SWISH), (6, 112, 3, 1, True, _SWISH),
    (6, 112, 3, 1, True, _SWISH), (6, 160, 5, 2, True, _SWISH), (6, 160, 5, 1, True, _SWISH), (6, 160, 5, 1, True, _SWISH),
)  # fmt: skip
"""Table 1, in the same form."""
SQUEEZE = 0.25
FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v3/"
HASHES = {
    "large_224_0.75_float": ("765b44a33ad4005b3ac83185abf1d0eb", "40af19a13ebea4e2ee0c676887f69a2e"),
    "large_224_1.0_float": ("59e551e166be033d707958cf9e29a6a7", "07fb09a5933dd0c8eaafa16978110389"),
    "large_minimalistic_224_1.0_float": ("675e7b876c45c57e9e63e6d90a36599c", "ec5221f64a2f6d1ef965a614bdae7973"),
    "small_224_0.75_float": ("cb65d4e5be93758266aa0a7f2c6708b7", "ebdb5cc8e0b497cd13a7c275d475c819"),
    "small_224_1.0_float": ("8768d4c2e7dee89b9d02b2d03d65d862", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "small_minimalistic_224_1.0_float": ("99cd97fb2fcdad2bf028eb838de69e37", "cde8136e733e811080d9fcd8a252f7e4"),
}
"""Of the files with and without a top."""
_BODY = Body(normalization={"epsilon": 1e-3, "momentum": 0.999})


def _variant(own_name: str, size: str, blocks: tuple[Any, ...], last_filters: int) -> Callable[..., Model]:
    def make(
        input_shape: Any = None,
        alpha: float = 1.0,
        minimalistic: bool = False,
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: Any = None,
        classes: int = 1000,
        pooling: str | None = None,
        dropout_rate: float = 0.2,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str | None = own_name,
    ) -> Model:
        request = requested(
            own_name, 224, include_top=include_top, weights=weights, input_tensor=input_tensor, input_shape=input_shape,
            pooling=pooling, classes=classes, classifier_activation=classifier_activation, top_sizes=None,
        )  # fmt: skip
        published = _published(own_name, request, size, alpha, minimalistic) if request.from_imagenet else None
        x: Any = request.input
        if include_preprocessing:
            x = layers.Rescaling(1 / 127.5, -1.0)(x)
        swish = _RELU if minimalistic else _SWISH
        x = _activated(_BODY.convolve(x, 16, 3, strides=2, name="conv"), swish)
        for number, (expansion, filters, kernel_size, strides, squeezes, activation) in enumerate(blocks):
            if minimalistic:
                kernel_size, squeezes, activation = 3, False, _RELU
            x = _block(x, number, expansion, divisible(filters * alpha), kernel_size, strides, squeezes, activation)
        x = _activated(_BODY.convolve(x, divisible(x.sample_shape[-1] * 6), name="conv_1"), swish)
        if include_top:
            x = _top(request, x, divisible(last_filters * alpha) if alpha > 1.0 else last_filters, swish, dropout_rate)
        else:
            x = pooled(request, x, "avg_pool", "max_pool")
        return finished(own_name, request, x, name, published)

    make.__name__ = make.__qualname__ = own_name
    make.__doc__ = f"""{own_name}, for images with values 0 to 255, or −1 to 1 with `include_preprocessing=False`.

    Args:
        minimalistic: without squeeze-and-excite, hard-swish and windows of 5×5.
        dropout_rate: share of the values that are dropped before the last layer, in training.
        include_preprocessing: begin with a layer that brings 0 to 255 to −1 to 1.

    The others are those of `MobileNet`.
    """
    return make


def _published(owner: str, request: Request, size: str, alpha: float, minimalistic: bool) -> Published:
    published_size(owner, request, alpha, (1.0,) if minimalistic else (0.75, 1.0), (224,))
    kind = f"{size}{'_minimalistic' if minimalistic else ''}_224_{float(alpha)}_float"
    ending = "" if request.include_top else "_no_top_v2"
    return Published(f"weights_mobilenet_v3_{kind}{ending}.h5", FOLDER, HASHES[kind][not request.include_top])


def _activated(x: Any, activation: str) -> Any:
    return layers.ReLU()(x) if activation == _RELU else layers.Activation(activation)(x)


def _block(
    start: Any,
    number: int,
    expansion: float,
    filters: int,
    kernel_size: int,
    strides: int,
    squeezes: bool,
    activation: str,
) -> Any:
    x, channels = start, start.sample_shape[-1]
    prefix = f"expanded_conv_{number}_" if number else "expanded_conv_"
    inner = divisible(channels * expansion)
    if number:
        x = _activated(_BODY.convolve(x, inner, name=f"{prefix}expand"), activation)
    zeros = {"padding": padding_for(x.sample_shape, kernel_size), "name": f"{prefix}depthwise_pad"}
    x = _activated(_BODY.depthwise(x, kernel_size, strides, name=f"{prefix}depthwise", zeros=zeros), activation)
    if squeezes:
        x = _squeezed(x, inner, f"{prefix}squeeze_excite_")
    x = _BODY.convolve(x, filters, name=f"{prefix}project")
    return layers.Add(name=f"{prefix}add")([start, x]) if strides == 1 and channels == filters else x


def _squeezed(start: Any, filters: int, prefix: str) -> Any:
    x = layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}avg_pool")(start)
    x = layers.Conv2D(divisible(filters * SQUEEZE), 1, padding="same", name=f"{prefix}conv")(x)
    x = layers.ReLU(name=f"{prefix}relu")(x)
    x = layers.Conv2D(filters, 1, padding="same", name=f"{prefix}conv_1")(x)
    x = layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)
    return layers.Multiply(name=f"{prefix}mul")([start, x])


def _top(request: Request, x: Any, filters: int, activation: str, dropout: float) -> Any:
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = _activated(layers.Conv2D(filters, 1, padding="same", name="conv_2")(x), activation)
    if dropout > 0:
        x = layers.Dropout(dropout)(x)
    x = layers.Conv2D(request.classes, 1, padding="same", name="logits")(x)
    return layers.Activation(request.activation, name="predictions")(layers.Flatten()(x))


MobileNetV3Small = _variant("MobileNetV3Small", "small", SMALL, 1024)
MobileNetV3Large = _variant("MobileNetV3Large", "large", LARGE, 1280)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """`x` as it is: the network has a layer that scales images with values 0 to 255. `data_format` changes nothing, as in Keras."""
    return x

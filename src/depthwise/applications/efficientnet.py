"""EfficientNet B0 to B7 (Tan and Le 2019, arXiv:1905.11946): MobileNetV2's block with squeeze-and-excite, scaled as a whole.

>>> EfficientNetB0(weights=None, input_shape=(32, 32, 3), classes=10).count_params()
4062381
"""

from collections.abc import Callable
from math import ceil, sqrt
from typing import Any

from depthwise import layers
from depthwise.applications.building import Body, classifier, divisible, finished, padding_for, pooled, requested
from depthwise.applications.imagenet_utils import decode_predictions
from depthwise.applications.mobilenet_v3 import preprocess_input
from depthwise.applications.weights import Published
from depthwise.initializers import VarianceScaling
from depthwise.models import Model

__all__ = [*(f"EfficientNetB{number}" for number in range(8)), "decode_predictions", "preprocess_input"]

GROUPS = (
    (1, 16, 3, 1, 1), (6, 24, 3, 2, 2), (6, 40, 5, 2, 2), (6, 80, 3, 3, 2), (6, 112, 5, 3, 1), (6, 192, 5, 4, 2),
    (6, 320, 3, 1, 1),
)  # fmt: skip
"""Table 1 of the paper: (expansion, filters, kernel size, repeats, strides of the first), all with squeeze-and-excite."""
VARIANTS = (
    (1.0, 1.0, 224, 0.2), (1.0, 1.1, 240, 0.2), (1.1, 1.2, 260, 0.3), (1.2, 1.4, 300, 0.3), (1.4, 1.8, 380, 0.4),
    (1.6, 2.2, 456, 0.4), (1.8, 2.6, 528, 0.5), (2.0, 3.1, 600, 0.5),
)  # fmt: skip
"""B0 to B7: (width, depth, size of the image, dropout)."""
DROPPED_BLOCKS = 0.2
"""The share of samples for which the last block is left out in training; it grows from 0 at the first."""
SQUEEZE = 0.25
DEVIATION = (0.229, 0.224, 0.225)
FOLDER = "https://storage.googleapis.com/keras-applications/"
HASHES = (
    ("902e53a9f72be733fc0bcb005b3ebbac", "50bc09e76180e00e4465e1a485ddc09d"),
    ("1d254153d4ab51201f1646940f018540", "74c4e6b3e1f6a1eea24c589628592432"),
    ("b15cce36ff4dcbd00b6dd88e7857a6ad", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    ("ffd1fdc53d0ce67064dc6a9c7960ede0", "af6d107764bb5b1abb91932881670226"),
    ("18c95ad55216b8f92d7e70b3a046e2fc", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    ("ace28f2a6363774853a83a0b21b9421a", "38879255a25d3c92d5e44e04ae6cec6f"),
    ("165f6e37dce68623721b423839de8be5", "9ecce42647a20130c1f39a5d4cb75743"),
    ("8c03f828fec3ef71311cd463b6759d99", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
)
"""Of the files with and without a top."""
KERNELS = VarianceScaling(2.0, "fan_out", "truncated_normal")
HEAD = VarianceScaling(1 / 3, "fan_out", "uniform")
_BODY = Body(initializer=KERNELS, normalization={"axis": 3})


def _variant(number: int) -> Callable[..., Model]:
    own_name = f"EfficientNetB{number}"
    width, depth, size, dropout = VARIANTS[number]

    def make(
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: Any = None,
        input_shape: Any = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str | None = own_name.lower(),
    ) -> Model:
        request = requested(
            own_name, size, include_top=include_top, weights=weights, input_tensor=input_tensor, input_shape=input_shape,
            pooling=pooling, classes=classes, classifier_activation=classifier_activation,
        )  # fmt: skip
        file = f"{own_name.lower()}{'' if include_top else '_notop'}.h5"
        x = layers.Normalization(axis=3)(layers.Rescaling(1 / 255)(request.input))
        if request.from_imagenet:  # the published weights were trained with images divided by the variance
            x = layers.Rescaling(tuple(1 / sqrt(deviation) for deviation in DEVIATION))(x)
        x = layers.ZeroPadding2D(padding_for(x.sample_shape, 3), name="stem_conv_pad")(x)
        x = _BODY.convolve(x, divisible(32 * width), 3, strides=2, padding="valid", name="stem_conv", bn="stem_bn")
        x = activated(x, "stem_")
        x = _blocks(x, width, depth)
        x = activated(_BODY.convolve(x, divisible(1280 * width), name="top_conv", bn="top_bn"), "top_")
        if include_top:
            x = classifier(request, x, pool="avg_pool", dropout=dropout, kernel_initializer=HEAD)
        else:
            x = pooled(request, x, "avg_pool", "max_pool")
        return finished(own_name, request, x, name, Published(file, FOLDER, HASHES[number][not include_top]))

    make.__name__ = make.__qualname__ = own_name
    make.__doc__ = f"""{own_name}, for images with values 0 to 255, ({size}, {size}, 3) by default.

    Arguments as those of `MobileNet`; with `weights="imagenet"` the input is scaled once more, by a `Rescaling` with a number for
    each channel.
    """
    return make


def _blocks(x: Any, width: float, depth: float) -> Any:
    groups = [(group, ceil(depth * group[3])) for group in GROUPS]
    done, total = 0, sum(repeats for _, repeats in groups)
    for index, ((expansion, filters, kernel_size, _, strides), repeats) in enumerate(groups, 1):
        for repeat in range(repeats):
            name = f"block{index}{chr(ord('a') + repeat)}_"
            x = _block(
                x, name, expansion, divisible(filters * width), kernel_size, 1 if repeat else strides,
                DROPPED_BLOCKS * done / total,
            )  # fmt: skip
            done += 1
    return x


def _block(start: Any, name: str, expansion: int, filters: int, kernel_size: int, strides: int, dropped: float) -> Any:
    x, channels = start, start.sample_shape[-1]
    if expansion != 1:
        x = _BODY.convolve(x, channels * expansion, name=f"{name}expand_conv", bn=f"{name}expand_bn")
        x = activated(x, f"{name}expand_")
    zeros = {"padding": padding_for(x.sample_shape, kernel_size), "name": f"{name}dwconv_pad"}
    x = activated(_BODY.depthwise(x, kernel_size, strides, name=f"{name}dwconv", bn=f"{name}bn", zeros=zeros), name)
    x = squeezed(x, channels, name)
    x = _BODY.convolve(x, filters, name=f"{name}project_conv", bn=f"{name}project_bn")
    return residual(start, x, name, dropped) if strides == 1 and channels == filters else x


def activated(x: Any, name: str) -> Any:
    """The activation of all layers of the family."""
    return layers.Activation("silu", name=f"{name}activation")(x)


def squeezed(start: Any, channels: int, name: str) -> Any:
    """Squeeze-and-excite of a block that has read `channels`."""
    filters = start.sample_shape[-1]
    x = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(start)
    x = layers.Reshape((1, 1, filters), name=f"{name}se_reshape")(x)
    for part, inner, activation in (
        ("reduce", max(1, int(channels * SQUEEZE)), "silu"),
        ("expand", filters, "sigmoid"),
    ):
        x = layers.Conv2D(
            inner, 1, padding="same", activation=activation, kernel_initializer=KERNELS, name=f"{name}se_{part}"
        )(x)
    return layers.Multiply(name=f"{name}se_excite")([start, x])


def residual(start: Any, x: Any, name: str, dropped: float) -> Any:
    """The sum of a block and its input; in training the block is left out for a share of the samples."""
    if dropped > 0.0:
        x = layers.Dropout(dropped, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
    return layers.Add(name=f"{name}add")([x, start])


EfficientNetB0, EfficientNetB1, EfficientNetB2, EfficientNetB3 = map(_variant, range(4))
EfficientNetB4, EfficientNetB5, EfficientNetB6, EfficientNetB7 = map(_variant, range(4, 8))

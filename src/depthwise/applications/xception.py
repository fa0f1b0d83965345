"""Xception (Chollet 2017, arXiv:1610.02357): separable convolutions with residuals.

>>> Xception(weights=None, input_shape=(71, 71, 3), classes=10).count_params()
20881970
"""

from typing import Any

from depthwise import layers
from depthwise.applications.building import Body, classifier, finished, pooled, requested
from depthwise.applications.imagenet_utils import decode_predictions
from depthwise.applications.mobilenet import preprocess_input
from depthwise.applications.weights import Published
from depthwise.models import Model

__all__ = ["Xception", "decode_predictions", "preprocess_input"]

ENTRY = ((2, (128, 128)), (3, (256, 256)), (4, (728, 728)))
"""(number of the block, filters of its separable convolutions); each halves the map."""
MIDDLE = range(5, 13)
EXIT = (13, (728, 1024))
LAST = (1536, 2048)
FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
FILES = "xception_weights_tf_dim_ordering_tf_kernels"
HASHES = ("0a58e3b7378bc2990ea3b43d5981f1f6", "b0042744bf5b25fce3cb969f33bebb97")
_BODY = Body()


def Xception(  # noqa: N802 - Keras' name
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    input_shape: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = "xception",
) -> Model:
    """Xception, for images with values −1 to 1, (299, 299, 3) by default, 71×71 at least; arguments as those of `MobileNet`."""
    request = requested(
        "Xception", 299, include_top=include_top, weights=weights, input_tensor=input_tensor, input_shape=input_shape,
        pooling=pooling, classes=classes, classifier_activation=classifier_activation, smallest=71,
    )  # fmt: skip
    published = Published(f"{FILES}{'' if include_top else '_notop'}.h5", FOLDER, HASHES[not include_top])
    x = request.input
    for number, filters, strides in ((1, 32, 2), (2, 64, 1)):
        x = _BODY.convolve(x, filters, 3, strides=strides, padding="valid", name=f"block1_conv{number}")
        x = layers.Activation("relu", name=f"block1_conv{number}_act")(x)
    for number, inner in ENTRY:
        x = _halved(x, number, inner, rectified=number != 2)
    for number in MIDDLE:
        start = x
        for part in (1, 2, 3):
            x = _separable(_rectified(x, number, part), number, part, 728)
        x = layers.Add()([x, start])
    x = _halved(x, *EXIT, rectified=True)
    for part, filters in enumerate(LAST, 1):
        x = _rectified(_separable(x, 14, part, filters), 14, part)
    x = classifier(request, x, pool="avg_pool") if include_top else pooled(request, x)
    return finished("Xception", request, x, name, published)


def _halved(start: Any, number: int, inner: tuple[int, int], *, rectified: bool) -> Any:
    """A block with a convolution beside it; `rectified` is whether it begins with a rectifier."""
    beside = _BODY.convolve(start, inner[-1], strides=2, name=None)
    x = _rectified(start, number, 1) if rectified else start
    x = _separable(x, number, 1, inner[0])
    x = _separable(_rectified(x, number, 2), number, 2, inner[1])
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"block{number}_pool")(x)
    return layers.Add()([x, beside])


def _rectified(x: Any, number: int, part: int) -> Any:
    return layers.Activation("relu", name=f"block{number}_sepconv{part}_act")(x)


def _separable(x: Any, number: int, part: int, filters: int) -> Any:
    name = f"block{number}_sepconv{part}"
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return _BODY.normalise(x, name)

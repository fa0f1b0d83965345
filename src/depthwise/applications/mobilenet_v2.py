"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381): inverted residuals with linear bottlenecks.

>>> MobileNetV2(weights=None, alpha=0.35, input_shape=(32, 32, 3), classes=10).count_params()
423018
"""

from typing import Any

from depthwise import layers
from depthwise.applications.building import Body, classifier, divisible, finished, padding_for, pooled, requested
from depthwise.applications.imagenet_utils import decode_predictions
from depthwise.applications.mobilenet import preprocess_input, published_size
from depthwise.applications.weights import Published
from depthwise.models import Model

__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]

GROUPS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Table 2 of the paper: (expansion, filters, repeats, strides of the first)."""
FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
FILES = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels"
SIZES = (96, 128, 160, 192, 224)
WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
_BODY = Body(bn="_BN", normalization={"epsilon": 1e-3, "momentum": 0.999})


def MobileNetV2(  # noqa: N802 - Keras' name
    input_shape: Any = None,
    alpha: float = 1.0,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Model:
    """MobileNetV2, for images with values −1 to 1; see `preprocess_input`. Arguments as those of `MobileNet`."""
    request = requested(
        "MobileNetV2", 224, include_top=include_top, weights=weights, input_tensor=input_tensor, input_shape=input_shape,
        pooling=pooling, classes=classes, classifier_activation=classifier_activation, top_sizes=SIZES,
    )  # fmt: skip
    rows, published = request.shape[0], None
    if request.from_imagenet:
        rows = published_size("MobileNetV2", request, alpha, WIDTHS, SIZES)
        published = Published(f"{FILES}_{float(alpha)}_{rows}{'' if include_top else '_no_top'}.h5", FOLDER)
    x = _BODY.convolve(request.input, divisible(32 * alpha), 3, strides=2, name="Conv1", bn="bn_Conv1")
    x = layers.ReLU(6.0, name="Conv1_relu")(x)
    number = 0
    for expansion, filters, repeats, strides in GROUPS:
        for repeat in range(repeats):
            x = _block(x, number, expansion, divisible(int(filters * alpha)), 1 if repeat else strides)
            number += 1
    x = _BODY.convolve(
        x, divisible(1280 * alpha) if alpha > 1.0 else 1280, padding="valid", name="Conv_1", bn="Conv_1_bn"
    )
    x = layers.ReLU(6.0, name="out_relu")(x)
    x = classifier(request, x, pool=None) if include_top else pooled(request, x)
    return finished("MobileNetV2", request, x, name or f"mobilenetv2_{alpha:0.2f}_{rows}", published)


def _block(start: Any, number: int, expansion: int, filters: int, strides: int) -> Any:
    x, channels = start, start.sample_shape[-1]
    prefix = f"block_{number}_" if number else "expanded_conv_"
    if number:
        x = _BODY.convolve(x, expansion * channels, name=f"{prefix}expand")
        x = layers.ReLU(6.0, name=f"{prefix}expand_relu")(x)
    zeros = {"padding": padding_for(x.sample_shape, 3), "name": f"{prefix}pad"}
    x = _BODY.depthwise(x, 3, strides, name=f"{prefix}depthwise", zeros=zeros)
    x = layers.ReLU(6.0, name=f"{prefix}depthwise_relu")(x)
    x = _BODY.convolve(x, filters, name=f"{prefix}project")
    return layers.Add(name=f"{prefix}add")([start, x]) if strides == 1 and channels == filters else x

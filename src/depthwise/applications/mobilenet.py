"""MobileNet (Howard et al. 2017, arXiv:1704.04861): depthwise separable convolutions all through.

>>> MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 3), classes=10).count_params()
221114
"""

import warnings
from typing import Any

from depthwise import layers
from depthwise.applications import imagenet_utils
from depthwise.applications.building import Body, Request, finished, pooled, requested
from depthwise.applications.imagenet_utils import decode_predictions
from depthwise.applications.weights import Published
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.models import Model

__all__ = ["MobileNet", "decode_predictions", "preprocess_input"]

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""(filters, strides)."""
FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/"
SIZES = (128, 160, 192, 224)
WIDTHS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}


def MobileNet(  # noqa: N802 - Keras' name
    input_shape: Any = None,
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    weights: Any = "imagenet",
    input_tensor: Any = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str | None = None,
) -> Model:
    """MobileNet, for images with values −1 to 1; see `preprocess_input`.

    Args:
        input_shape: (height, width, channels) of one image, 32×32 at least; (224, 224, 3) by default.
        alpha: the share of the paper's filters.
        depth_multiplier: maps that each depthwise convolution makes of one.
        dropout: share of the values that are dropped before the last layer, in training.
        include_top: end in classes, not in maps.
        weights: "imagenet" from Keras' cache folder or the network, None for new ones, or the path of a file.
        input_tensor: a symbolic tensor to start from, in place of a new input.
        pooling: without a top: None for maps, "avg" or "max" for their means or maxima.
        classes: with a top: how many.
        classifier_activation: of the last layer; None for logits.

    Raises:
        InvalidArgumentError, ShapeError, UnsupportedError: arguments that are not allowed, or do not go together.
        InvalidFileError: a file that does not fit. DepthwiseError: a download that failed.
    """
    request = requested(
        "MobileNet", 224, include_top=include_top, weights=weights, input_tensor=input_tensor, input_shape=input_shape,
        pooling=pooling, classes=classes, classifier_activation=classifier_activation, top_sizes=SIZES,
    )  # fmt: skip
    rows, published = request.shape[0], None
    if request.from_imagenet:
        if depth_multiplier != 1:
            raise InvalidArgumentError(
                f'MobileNet: weights="imagenet" need depth_multiplier=1, got {describe_value(depth_multiplier)}'
            )
        rows = published_size("MobileNet", request, alpha, tuple(WIDTHS), SIZES)
        published = Published(f"mobilenet_{WIDTHS[alpha]}_{rows}_tf{'' if include_top else '_no_top'}.h5", FOLDER)
    body = Body()
    x = body.convolve(request.input, int(32 * alpha), 3, strides=2, name="conv1")
    x = layers.ReLU(6.0, name="conv1_relu")(x)
    for number, (filters, strides) in enumerate(BLOCKS, 1):
        zeros = {"padding": ((0, 1), (0, 1)), "name": f"conv_pad_{number}"}
        x = body.depthwise(x, 3, strides, name=f"conv_dw_{number}", zeros=zeros, depth_multiplier=depth_multiplier)
        x = layers.ReLU(6.0, name=f"conv_dw_{number}_relu")(x)
        x = body.convolve(x, int(filters * alpha), name=f"conv_pw_{number}")
        x = layers.ReLU(6.0, name=f"conv_pw_{number}_relu")(x)
    if include_top:
        x = layers.GlobalAveragePooling2D(keepdims=True)(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(request.classes, 1, padding="same", name="conv_preds")(x)
        x = layers.Reshape((request.classes,), name="reshape_2")(x)
        x = layers.Activation(request.activation, name="predictions")(x)
    else:
        x = pooled(request, x)
    return finished("MobileNet", request, x, name or f"mobilenet_{alpha:0.2f}_{rows}", published)


def published_size(
    owner: str, request: Request, alpha: float, widths: tuple[float, ...], sizes: tuple[int, ...]
) -> int:
    """The size of the images that the weights to load were trained on: that of the input, or else 224, with a warning.

    Raises:
        InvalidArgumentError: no weights are published for `alpha`.
    """
    if alpha not in widths:
        allowed = ", ".join(map(str, widths))
        raise InvalidArgumentError(
            f'{owner}: weights="imagenet" are published for alpha {allowed}, got {describe_value(alpha)}; weights=None for others'
        )
    rows, columns = request.shape[:2]
    if rows == columns and rows in sizes:
        return rows
    warnings.warn(
        f"{owner}: no weights are published for images of {rows}×{columns}; those for 224×224 are loaded", stacklevel=3
    )
    return 224


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Images with values 0 to 255 as values −1 to 1; see `imagenet_utils.preprocess_input`."""
    return imagenet_utils.preprocess_input(x, data_format, "tf")

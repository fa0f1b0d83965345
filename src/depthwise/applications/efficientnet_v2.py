"""EfficientNetV2 (Tan and Le 2021, arXiv:2104.00298): ordinary convolutions in the first blocks, separable ones behind.

>>> EfficientNetV2B0(weights=None, input_shape=(32, 32, 3), classes=10).count_params()
5932122
"""

from collections.abc import Callable
from math import ceil
from typing import Any

from depthwise import layers
from depthwise.applications.building import Body, classifier, finished, pooled, requested
from depthwise.applications.efficientnet import DROPPED_BLOCKS, HEAD, KERNELS, activated, residual, squeezed
from depthwise.applications.imagenet_utils import decode_predictions
from depthwise.applications.mobilenet_v3 import preprocess_input
from depthwise.applications.weights import Published
from depthwise.dataclass import dataclass
from depthwise.initializers import Constant
from depthwise.models import Model

__all__ = [
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    "decode_predictions",
    "preprocess_input",
]

BASE = ((1, 16, 1, 1), (4, 32, 2, 2), (4, 48, 2, 2), (4, 96, 3, 2), (6, 112, 5, 1), (6, 192, 8, 2))
SMALL = ((1, 24, 2, 1), (4, 48, 4, 2), (4, 64, 4, 2), (4, 128, 6, 2), (6, 160, 9, 1), (6, 256, 15, 2))
MEDIUM = ((1, 24, 3, 1), (4, 48, 5, 2), (4, 80, 5, 2), (4, 160, 7, 2), (6, 176, 14, 1), (6, 304, 18, 2), (6, 512, 5, 1))
LARGE = ((1, 32, 4, 1), (4, 64, 7, 2), (4, 96, 7, 2), (4, 192, 10, 2), (6, 224, 19, 1), (6, 384, 25, 2), (6, 640, 7, 1))
"""Table 4 of the paper: (expansion, filters, repeats, strides of the first), windows of 3×3."""
FUSED = 3
"""Groups whose blocks have an ordinary convolution in place of a pointwise and a depthwise one, and no squeeze-and-excite."""
MEAN, VARIANCE = (0.485, 0.456, 0.406), (0.229**2, 0.224**2, 0.225**2)
FOLDER = "https://storage.googleapis.com/tensorflow/keras-applications/efficientnet_v2/"
_BODY = Body(initializer=KERNELS, normalization={"axis": 3, "momentum": 0.9})


@dataclass(frozen=True)
class _Variant:
    """One member of the family; `hashes` are of the files with and without a top."""

    groups: tuple[tuple[int, int, int, int], ...]
    stem: int
    width: float
    depth: float
    size: int
    hashes: tuple[str, str]


VARIANTS = {
    "B0": _Variant(BASE, 32, 1.0, 1.0, 224, ("21ecbf6da12460d5c40bb2f29ceb2188", "893217f2bb855e2983157299931e43ff")),
    "B1": _Variant(BASE, 32, 1.0, 1.1, 240, ("069f0534ff22adf035c89e2d9547a9dc", "0e80663031ca32d657f9caa404b6ec37")),
    "B2": _Variant(BASE, 32, 1.1, 1.2, 260, ("424e49f28180edbde1e94797771950a7", "1dfe2e7a5d45b6632553a8961ea609eb")),
    "B3": _Variant(BASE, 32, 1.2, 1.4, 300, ("1f1fc43bd98a6e4fd8fdfd551e02c7a0", "f6abf7b5849ac99a89b50dd3fd532856")),
    "S": _Variant(SMALL, 24, 1.0, 1.0, 384, ("e1d88a8495beba45748fedd0cecbe016", "af0682fb74e8c54910f2d4393339c070")),
    "M": _Variant(MEDIUM, 24, 1.0, 1.0, 480, ("a3bf6aa3276309f4fc6a34aa114c95cd", "1b8dc055df72dde80d614482840fe342")),
    "L": _Variant(LARGE, 32, 1.0, 1.0, 480, ("27e6d408b53c7ebc868fefa357689935", "b0b66b5c863aef5b46e8608fe1711615")),
}


def _variant(key: str) -> Callable[..., Model]:
    variant, own_name, model_name = VARIANTS[key], f"EfficientNetV2{key}", f"efficientnetv2-{key.lower()}"

    def make(
        include_top: bool = True,
        weights: Any = "imagenet",
        input_tensor: Any = None,
        input_shape: Any = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        include_preprocessing: bool = True,
        name: str | None = model_name,
    ) -> Model:
        request = requested(
            own_name, variant.size, include_top=include_top, weights=weights, input_tensor=input_tensor,
            input_shape=input_shape, pooling=pooling, classes=classes, classifier_activation=classifier_activation,
        )  # fmt: skip
        file = f"{model_name}{'' if include_top else '_notop'}.h5"
        x: Any = request.input
        if include_preprocessing and key.startswith("B") and request.shape[-1] == 3:
            x = layers.Normalization(mean=MEAN, variance=VARIANCE, axis=3)(layers.Rescaling(1 / 255)(x))
        elif include_preprocessing:
            x = layers.Rescaling(1 / 128, -1.0)(x)
        x = _BODY.convolve(x, _rounded(variant.stem * variant.width), 3, strides=2, name="stem_conv", bn="stem_bn")
        x = _blocks(activated(x, "stem_"), variant)
        x = activated(_BODY.convolve(x, _rounded(1280 * variant.width), name="top_conv", bn="top_bn"), "top_")
        if include_top:
            options = {"kernel_initializer": HEAD, "bias_initializer": Constant(0.0)}
            x = classifier(request, x, pool="avg_pool", dropout=0.2, **options)
        else:
            x = pooled(request, x, "avg_pool", "max_pool")
        return finished(own_name, request, x, name, Published(file, FOLDER, variant.hashes[not include_top]))

    make.__name__ = make.__qualname__ = own_name
    make.__doc__ = f"""{own_name}, for images with values 0 to 255, ({variant.size}, {variant.size}, 3) by default.

    Args:
        include_preprocessing: begin with layers that scale the image; without them values are −1 to 1.

    The others are those of `MobileNet`.
    """
    return make


def _rounded(filters: float) -> int:
    """The multiple of 8 that is nearest, at least 8."""
    return max(8, int(filters + 4) // 8 * 8)


def _blocks(x: Any, variant: _Variant) -> Any:
    # As in Keras: the share of dropped blocks grows by the repeats of the table, however deep the network is.
    done, total = 0, sum(repeats for _, _, repeats, _ in variant.groups)
    for index, (expansion, filters, repeats, strides) in enumerate(variant.groups, 1):
        block = _fused if index <= FUSED else _separable
        for repeat in range(ceil(variant.depth * repeats)):
            name, own = f"block{index}{chr(ord('a') + repeat)}_", 1 if repeat else strides
            start, filters_out = x, _rounded(filters * variant.width)
            x = block(start, name, expansion, filters_out, own)
            if own == 1 and start.sample_shape[-1] == filters_out:
                x = residual(start, x, name, DROPPED_BLOCKS * done / total)
            done += 1
    return x


def _separable(x: Any, name: str, expansion: int, filters: int, strides: int) -> Any:
    channels = x.sample_shape[-1]
    x = _BODY.convolve(x, channels * expansion, name=f"{name}expand_conv", bn=f"{name}expand_bn")
    x = activated(x, f"{name}expand_")
    x = activated(_BODY.depthwise(x, 3, strides, name=f"{name}dwconv2", bn=f"{name}bn"), name)
    x = squeezed(x, channels, name)
    return _BODY.convolve(x, filters, name=f"{name}project_conv", bn=f"{name}project_bn")


def _fused(x: Any, name: str, expansion: int, filters: int, strides: int) -> Any:
    project: dict[str, Any] = {"name": f"{name}project_conv", "bn": f"{name}project_bn"}
    if expansion == 1:
        return activated(_BODY.convolve(x, filters, 3, strides=strides, **project), f"{name}project_")
    inner = x.sample_shape[-1] * expansion
    x = _BODY.convolve(x, inner, 3, strides=strides, name=f"{name}expand_conv", bn=f"{name}expand_bn")
    return _BODY.convolve(activated(x, f"{name}expand_"), filters, **project)


EfficientNetV2B0, EfficientNetV2B1, EfficientNetV2B2, EfficientNetV2B3 = map(_variant, ("B0", "B1", "B2", "B3"))
EfficientNetV2S, EfficientNetV2M, EfficientNetV2L = map(_variant, ("S", "M", "L"))

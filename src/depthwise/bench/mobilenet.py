"""MobileNet's blocks as networks of their own: the shapes that carry its time, with BatchNormalization to be folded.

| block | what |
|---|---|
| 112x112x32-64 | depthwise 3×3 and pointwise (Howard et al. 2017, arXiv:1704.04861), ReLU6 after each; 56, 28, 14, 7 likewise |
| 28x28x32-192-32 | inverted residual: expand, depthwise 3×3, project, add (Sandler et al. 2018, arXiv:1801.04381) |
"""

from collections.abc import Callable

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers import Add, BatchNormalization, Conv2D, DepthwiseConv2D, ReLU
from depthwise.models import Input, Model

__all__ = ["BLOCKS", "blocks"]

SEPARABLE = ((112, 32, 64, 1), (56, 128, 128, 1), (28, 128, 256, 2), (14, 512, 512, 1), (7, 1024, 1024, 1))
"""(rows and columns, channels, filters, stride of the depthwise stage)."""

INVERTED = ((28, 32, 192, 32),)
"""(rows and columns, channels, expanded channels, filters)."""


def separable_block(size: int, channels: int, filters: int, stride: int) -> Model:
    """Depthwise 3×3 and pointwise convolution, each with BatchNormalization and ReLU6."""
    start = Input((size, size, channels))
    x = DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name="depthwise")(start)
    x = ReLU(6.0)(BatchNormalization()(x))
    x = Conv2D(filters, 1, use_bias=False, name="pointwise")(x)
    x = ReLU(6.0)(BatchNormalization()(x))
    strides = f"-stride{stride}" if stride > 1 else ""
    return Model(start, x, name=f"{size}x{size}x{channels}-{filters}{strides}")


def inverted_residual(size: int, channels: int, expanded: int, filters: int) -> Model:
    """Pointwise to more channels, depthwise 3×3, pointwise back without activation, and the input added."""
    start = Input((size, size, channels))
    x = Conv2D(expanded, 1, use_bias=False, name="expand")(start)
    x = ReLU(6.0)(BatchNormalization()(x))
    x = DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = ReLU(6.0)(BatchNormalization()(x))
    x = Conv2D(filters, 1, use_bias=False, name="project")(x)
    x = BatchNormalization()(x)
    return Model(start, Add()([start, x]), name=f"{size}x{size}x{channels}-{expanded}-{filters}")


def _mobilenet() -> list[Model]:
    return [*(separable_block(*shape) for shape in SEPARABLE), *(inverted_residual(*shape) for shape in INVERTED)]


BLOCKS: dict[str, Callable[[], list[Model]]] = {"mobilenet": _mobilenet}


def blocks(name: str) -> list[Model]:
    """The blocks of a family, as models with new weights.

    Raises:
        InvalidArgumentError: no family has the name.

    >>> [model.name for model in blocks("mobilenet")][-1]
    '28x28x32-192-32'
    """
    if name not in BLOCKS:
        raise InvalidArgumentError(f"no blocks are named {describe_value(name)}; there are {', '.join(BLOCKS)}")
    return BLOCKS[name]()

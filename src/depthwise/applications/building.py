"""What all families share: the arguments that a network is asked for with, its blocks' parts, its end and its weights.

A family is a table and a block; everything here is written once for all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from depthwise import layers
from depthwise.applications.weights import Cached, NotCachedError, Published, cached, load_published
from depthwise.arguments import integer
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError, describe_value
from depthwise.models import Input, Model
from depthwise.network.symbolic import SymbolicTensor, is_input

__all__ = ["Body", "Request", "classifier", "divisible", "finished", "padding_for", "pooled", "requested"]

SMALLEST = 32
"""Height and width that a network takes at least, unless its family says otherwise."""


@dataclass(frozen=True)
class Request:
    """The arguments that every family has, checked.

    Attributes:
        input: where the image enters.
        shape: of one image.
        from_imagenet: whether published weights are loaded.
    """

    include_top: bool
    weights: Any
    pooling: str | None
    classes: int
    activation: Any
    input: SymbolicTensor
    shape: tuple[int, ...]

    @property
    def from_imagenet(self) -> bool:
        return isinstance(self.weights, Cached) or (isinstance(self.weights, str) and self.weights == "imagenet")


def requested(
    owner: str,
    default_size: int,
    *,
    include_top: bool,
    weights: Any,
    input_tensor: Any,
    input_shape: Any,
    pooling: Any,
    classes: Any,
    classifier_activation: Any,
    smallest: int = SMALLEST,
    top_sizes: Sequence[int] | None = (),
) -> Request:
    """The arguments that every family has, checked and with their defaults filled in.

    Args:
        owner: the network, for messages.
        default_size: height and width of an image where nobody says.
        smallest: height and width of an image at least.
        top_sizes: those for which published weights with a top exist, beside `default_size`; None for any.

    Raises:
        InvalidArgumentError: an argument that is not allowed.
        ShapeError: an image that is too small, or has no three axes.
    """
    if not isinstance(include_top, bool):
        raise InvalidArgumentError(f"{owner}: include_top must be True or False, got {describe_value(include_top)}")
    if weights is not None and not isinstance(weights, (str, Cached)) and not hasattr(weights, "__fspath__"):
        raise InvalidArgumentError(
            f'{owner}: weights must be None (new ones), "imagenet" or the path of a file, got {describe_value(weights)}'
        )
    if pooling not in (None, "avg", "max"):
        raise InvalidArgumentError(f'{owner}: pooling must be None, "avg" or "max", got {describe_value(pooling)}')
    classes = integer(owner, "classes", classes)
    tensor, shape = _input(owner, input_tensor, input_shape, default_size)
    if min(shape[:2]) < smallest:
        raise ShapeError(f"{owner}: the image must be at least {smallest}×{smallest}, got {shape[0]}×{shape[1]}")
    request = Request(include_top, weights, pooling, classes, classifier_activation, tensor, shape)
    if request.from_imagenet:
        _check_published(owner, request, (default_size, *top_sizes) if top_sizes is not None else None)
    return request


def _input(owner: str, tensor: Any, shape: Any, default_size: int) -> tuple[SymbolicTensor, tuple[int, ...]]:
    if tensor is not None and not isinstance(tensor, SymbolicTensor):
        raise InvalidArgumentError(
            f"{owner}: input_tensor must be what depthwise.Input or a layer gave, got {describe_value(type(tensor).__name__)}"
        )
    if shape is not None:
        sizes = tuple(shape) if isinstance(shape, (list, tuple)) else ()
        if len(sizes) != 3:
            raise ShapeError(f"{owner}: input_shape must be (height, width, channels), got {describe_value(shape)}")
        if None in sizes:
            raise UnsupportedError(f"{owner}: every size of input_shape must be fixed, got {describe_value(shape)}")
        shape = tuple(integer(owner, "input_shape", size) for size in sizes)
    if tensor is None:
        shape = (default_size, default_size, 3) if shape is None else shape
        return Input(shape), shape
    own = tensor.sample_shape
    if len(own) != 3 or shape not in (None, own):
        wanted = "(height, width, channels)" if shape is None else describe_value(shape)
        raise ShapeError(f"{owner}: input_tensor must have the shape {wanted}, got {describe_value(own)}")
    return tensor, own


def _check_published(owner: str, request: Request, sizes: tuple[int, ...] | None) -> None:
    """Whether there can be published weights for this."""
    if request.shape[2] != 3:
        raise InvalidArgumentError(
            f'{owner}: weights="imagenet" are for images of 3 channels, got {request.shape[2]}; weights=None for others'
        )
    if not request.include_top:
        return
    if request.classes != 1000:
        raise InvalidArgumentError(
            f'{owner}: weights="imagenet" with include_top=True have 1000 classes, got {request.classes}; '
            "give include_top=False and a top of your own"
        )
    if request.activation not in (None, "softmax", "linear"):
        raise InvalidArgumentError(
            f'{owner}: classifier_activation must be "softmax" or None with weights="imagenet", got '
            f"{describe_value(request.activation)}"
        )
    if sizes is not None and request.shape[:2] not in [(size, size) for size in sizes]:
        allowed = " or ".join(f"{size}×{size}" for size in sorted(set(sizes)))
        raise InvalidArgumentError(
            f'{owner}: weights="imagenet" with include_top=True are for images of {allowed}, got '
            f"{request.shape[0]}×{request.shape[1]}; give include_top=False for others"
        )


def divisible(filters: float, divisor: int = 8) -> int:
    """`filters` rounded to a multiple of `divisor`, at least one, and no more than a tenth below.

    >>> divisible(32 * 0.35), divisible(90), divisible(1)
    (16, 88, 8)
    """
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded


def padding_for(shape: Sequence[int], kernel_size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The zeros around a map before a window with stride 2 and no padding: as TensorFlow's `same` on maps of even size.

    >>> padding_for((224, 7, 16), 3)
    ((0, 1), (1, 1))
    """
    half = kernel_size // 2
    height, width = ((half - 1 + size % 2, half) for size in shape[:2])
    return height, width


@dataclass(frozen=True)
class Body:
    """The parts that the blocks of a family are made of.

    Attributes:
        bn: what follows the name of a convolution in that of its BatchNormalization.
        normalization: arguments of every BatchNormalization.
        initializer: of every convolution's kernel; Keras' default where None.
    """

    bn: str = "_bn"
    normalization: Mapping[str, Any] = field(default_factory=dict)
    initializer: Any = None

    def convolve(
        self, x: Any, filters: int, kernel_size: int = 1, *, name: str | None, bn: str | None = None, **options: Any
    ) -> Any:
        """A convolution without bias, and its BatchNormalization, which `bn` names where the family's rule does not."""
        own = {} if self.initializer is None else {"kernel_initializer": self.initializer}
        options = {"padding": "same", **own, **options}
        x = layers.Conv2D(filters, kernel_size, use_bias=False, name=name, **options)(x)
        return self.normalise(x, name, bn)

    def depthwise(
        self,
        x: Any,
        kernel_size: int,
        strides: int,
        *,
        name: str,
        bn: str | None = None,
        zeros: Any = None,
        **options: Any,
    ) -> Any:
        """A depthwise convolution without bias, and its BatchNormalization.

        Args:
            zeros: arguments of a layer of zeros in front, in place of the window's padding; used with stride 2 only.
        """
        padding = "same"
        if strides == 2 and zeros is not None:
            x, padding = layers.ZeroPadding2D(**zeros)(x), "valid"
        own = {} if self.initializer is None else {"depthwise_initializer": self.initializer}
        options = {"padding": padding, **own, **options}
        x = layers.DepthwiseConv2D(kernel_size, strides=strides, use_bias=False, name=name, **options)(x)
        return self.normalise(x, name, bn)

    def normalise(self, x: Any, name: str | None, bn: str | None = None) -> Any:
        """The BatchNormalization behind a layer of that name."""
        own = bn if bn is not None else None if name is None else name + self.bn
        return layers.BatchNormalization(name=own, **self.normalization)(x)


def pooled(request: Request, x: Any, avg: str | None = None, maximum: str | None = None) -> Any:
    """The end without a top: maps, or their means or maxima, by layers of the names given."""
    if request.pooling == "avg":
        return layers.GlobalAveragePooling2D(name=avg)(x)
    return layers.GlobalMaxPooling2D(name=maximum)(x) if request.pooling == "max" else x


def classifier(request: Request, x: Any, *, pool: str | None, dropout: float = 0.0, **options: Any) -> Any:
    """The end that most families have: means, dropout, Dense."""
    x = layers.GlobalAveragePooling2D(name=pool)(x)
    if dropout > 0.0:
        x = layers.Dropout(dropout, name="top_dropout")(x)
    return layers.Dense(request.classes, activation=request.activation, name="predictions", **options)(x)


FROM_MINUS_ONE = ("MobileNet", "MobileNetV2", "Xception")
"""Families whose published weights were trained on images from -1 to 1; the others have a layer for that."""


def finished(owner: str, request: Request, x: Any, name: str | None, published: Published | None = None) -> Model:
    """The model from the source of its input to `x`, with the weights that were asked for."""
    model = Model(_sources(request.input), x, name=name)
    if request.from_imagenet:
        assert published is not None
        if isinstance(request.weights, Cached) and cached(published) is None:
            raise NotCachedError(f"{published.file} is not in Keras' cache folder")
        load_published(owner, model, published)
        if owner in FROM_MINUS_ONE:
            model.input_scale = "-1..1"
    elif request.weights is not None:
        model.load_weights(request.weights)
    return model


def _sources(tensor: SymbolicTensor) -> Any:
    """The inputs that a tensor depends on: one, or a list in the order of a walk from the left."""
    found: list[SymbolicTensor] = []
    seen: set[int] = set()
    stack = [tensor]
    while stack:
        item = stack.pop()
        if id(item.call) not in seen:
            seen.add(id(item.call))
            if is_input(item.layer):
                found.append(item)
            stack.extend(reversed(item.inputs))
    return found[0] if len(found) == 1 else found

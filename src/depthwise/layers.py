"""Layers as descriptions: frozen dataclasses with Keras' names, arguments and defaults.

A description holds what the user asked for, normalised once, and nothing that follows from it: shapes, parameter counts
and MACs are `depthwise.arithmetic`'s, weights are the model's. The graph, the compiler, the explanations and the tests all
read these objects. Images are `channels_last`: height, width, channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from depthwise import initializers
from depthwise.arguments import ACTIVATIONS, Pair, activation_name, choice, integer, pair
from depthwise.errors import InvalidArgumentError, UnsupportedError, describe_value
from depthwise.initializers import Initializer

__all__ = [
    "ACTIVATIONS", "LAYERS", "Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D",
    "Dense", "DepthwiseConv2D", "Dropout", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "InputLayer",
    "Layer", "MaxPool2D", "MaxPooling2D", "ReLU", "Rescaling", "SeparableConv2D", "ZeroPadding2D",
]  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """Base of all layer descriptions.

    Args:
        name: the layer's name; the graph gives one (`conv2d`, `conv2d_1`, …) where it is None.
        trainable: whether `fit` changes the layer's weights.
        input_shape: for the first layer of a `Sequential`: the shape of one sample, (height, width, channels).
    """

    name: str | None = field(default=None, kw_only=True)
    trainable: bool = field(default=True, kw_only=True)
    input_shape: tuple[int, ...] | None = field(default=None, kw_only=True)
    dtype: str | None = field(default=None, kw_only=True, repr=False, compare=False)

    default_name: ClassVar[str] = "layer"

    def __post_init__(self) -> None:
        if self.name is not None and (not isinstance(self.name, str) or not self.name or "/" in self.name):
            raise InvalidArgumentError(
                f"{self._owner}: name must be a non-empty text without '/', or None, got {describe_value(self.name)}"
            )
        if self.dtype not in (None, "float32"):
            raise UnsupportedError(
                f"{self._owner}: dtype must be float32 (all arithmetic is), got {describe_value(self.dtype)}"
            )
        if self.input_shape is not None:
            shape = tuple(integer(self._owner, "input_shape", size) for size in self.input_shape)
            self._set(input_shape=shape)
        if not isinstance(self.trainable, bool):
            raise InvalidArgumentError(
                f"{self._owner}: trainable must be True or False, got {describe_value(self.trainable)}"
            )
        self._normalise()

    def _normalise(self) -> None:
        """Brings the layer's own arguments into their one form, or raises InvalidArgumentError."""

    def _set(self, **values: object) -> None:
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def _owner(self) -> str:
        return type(self).__name__

    def _channels_last(self) -> None:
        data_format = getattr(self, "data_format", None)
        if data_format not in (None, "channels_last"):
            raise UnsupportedError(
                f"{self._owner}: data_format must be 'channels_last', got {describe_value(data_format)}; "
                "put the channels on the last axis"
            )
        self._set(data_format="channels_last")

    def _no_regularisers(self) -> None:
        for key, value in vars(self).items():
            if key.endswith(("_regularizer", "_constraint")) and value is not None:
                raise UnsupportedError(
                    f"{self._owner}: {key} is not supported, got {describe_value(value)}; use weight_decay "
                    "of the optimizer instead"
                )

    def _initializers(self) -> None:
        for key, value in list(vars(self).items()):
            if key.endswith("_initializer"):
                self._set(**{key: initializers.get(value)})

    def __call__(self, inputs: Any) -> Any:
        """Connects the layer in the functional style: `y = Conv2D(32, 3)(x)`.

        Args:
            inputs: one symbolic tensor of `depthwise.Input` or of another layer, or a list of them.
        """
        first = inputs[0] if isinstance(inputs, (list, tuple)) and inputs else inputs
        connect: Callable[[Layer, Any], Any] | None = getattr(first, "connect", None)
        if connect is None:
            raise InvalidArgumentError(
                f"{self._owner} was called on {describe_value(type(inputs).__name__)}; a layer connects to the "
                "result of depthwise.Input(...) or of another layer, or to a list of them"
            )
        return connect(self, inputs)


@dataclass(frozen=True)
class InputLayer(Layer):
    """Where the data enters. `shape` is that of one sample, without the batch."""

    shape: tuple[int, ...] = ()
    default_name: ClassVar[str] = "input_layer"

    def _normalise(self) -> None:
        if not isinstance(self.shape, Sequence) or isinstance(self.shape, str) or not self.shape:
            raise InvalidArgumentError(
                f"Input: shape must hold at least one size, for example (28, 28, 1), got {describe_value(self.shape)}"
            )
        self._set(shape=tuple(integer("Input", "shape", size) for size in self.shape))


@dataclass(frozen=True)
class _Convolution(Layer):
    def _normalise_window(self) -> None:
        layer: Any = self
        owner = self._owner
        self._set(
            kernel_size=pair(owner, "kernel_size", layer.kernel_size),
            strides=pair(owner, "strides", layer.strides),
            dilation_rate=pair(owner, "dilation_rate", layer.dilation_rate),
            padding=choice(owner, "padding", layer.padding, ("valid", "same")),
            activation=activation_name(owner, layer.activation),
        )
        if max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
            raise UnsupportedError(
                f"{owner}: strides {layer.strides} and dilation_rate {layer.dilation_rate} above 1 cannot be "
                "combined; set one of them to 1"
            )
        self._channels_last()
        self._no_regularisers()
        self._initializers()


@dataclass(frozen=True)
class Conv2D(_Convolution):
    """Ordinary convolution: each of the `filters` kernels reads every channel of its group and gives one channel.

    Input (height, width, channels), output (new height, new width, filters). Weights: kernel (kernel height, kernel width,
    channels / groups, filters), bias (filters). It is a cross-correlation: the kernel is not mirrored.
    """

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = (1, 1)
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: int | Pair = (1, 1)
    groups: int = 1
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    kernel_regularizer: None = field(default=None, repr=False)
    bias_regularizer: None = field(default=None, repr=False)
    activity_regularizer: None = field(default=None, repr=False)
    kernel_constraint: None = field(default=None, repr=False)
    bias_constraint: None = field(default=None, repr=False)
    default_name: ClassVar[str] = "conv2d"

    def _normalise(self) -> None:
        self._set(
            filters=integer(self._owner, "filters", self.filters),
            groups=integer(self._owner, "groups", self.groups),
        )
        if self.filters % self.groups:
            raise InvalidArgumentError(
                f"Conv2D: filters must be a multiple of groups, got filters={self.filters}, groups={self.groups}"
            )
        self._normalise_window()


@dataclass(frozen=True)
class DepthwiseConv2D(_Convolution):
    """Each input channel has `depth_multiplier` kernels of its own; nothing is added over channels.

    Output channel c·depth_multiplier + q comes from input channel c. Weights: kernel (kernel height, kernel width, channels,
    depth_multiplier), bias (channels · depth_multiplier).
    """

    kernel_size: int | Pair
    strides: int | Pair = (1, 1)
    padding: str = "valid"
    depth_multiplier: int = 1
    data_format: str | None = None
    dilation_rate: int | Pair = (1, 1)
    activation: str | None = None
    use_bias: bool = True
    depthwise_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    depthwise_regularizer: None = field(default=None, repr=False)
    bias_regularizer: None = field(default=None, repr=False)
    activity_regularizer: None = field(default=None, repr=False)
    depthwise_constraint: None = field(default=None, repr=False)
    bias_constraint: None = field(default=None, repr=False)
    default_name: ClassVar[str] = "depthwise_conv2d"

    def _normalise(self) -> None:
        self._set(depth_multiplier=integer(self._owner, "depth_multiplier", self.depth_multiplier))
        self._normalise_window()


@dataclass(frozen=True)
class SeparableConv2D(_Convolution):
    """A depthwise convolution, then a pointwise (1×1) one; no activation between, one bias after the second.

    Weights: depthwise_kernel (kernel height, kernel width, channels, depth_multiplier), pointwise_kernel
    (1, 1, channels · depth_multiplier, filters), bias (filters).
    """

    filters: int
    kernel_size: int | Pair
    strides: int | Pair = (1, 1)
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: int | Pair = (1, 1)
    depth_multiplier: int = 1
    activation: str | None = None
    use_bias: bool = True
    depthwise_initializer: str | Initializer = "glorot_uniform"
    pointwise_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    depthwise_regularizer: None = field(default=None, repr=False)
    pointwise_regularizer: None = field(default=None, repr=False)
    bias_regularizer: None = field(default=None, repr=False)
    activity_regularizer: None = field(default=None, repr=False)
    depthwise_constraint: None = field(default=None, repr=False)
    pointwise_constraint: None = field(default=None, repr=False)
    bias_constraint: None = field(default=None, repr=False)
    default_name: ClassVar[str] = "separable_conv2d"

    def _normalise(self) -> None:
        self._set(
            filters=integer(self._owner, "filters", self.filters),
            depth_multiplier=integer(self._owner, "depth_multiplier", self.depth_multiplier),
        )
        self._normalise_window()


@dataclass(frozen=True)
class Dense(Layer):
    """Every output reads every value of the last axis: y = activation(x · kernel + bias)."""

    units: int
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    kernel_regularizer: None = field(default=None, repr=False)
    bias_regularizer: None = field(default=None, repr=False)
    activity_regularizer: None = field(default=None, repr=False)
    kernel_constraint: None = field(default=None, repr=False)
    bias_constraint: None = field(default=None, repr=False)
    default_name: ClassVar[str] = "dense"

    def _normalise(self) -> None:
        self._set(
            units=integer(self._owner, "units", self.units),
            activation=activation_name(self._owner, self.activation),
        )
        self._no_regularisers()
        self._initializers()


@dataclass(frozen=True)
class _Pooling(Layer):
    pool_size: int | Pair = (2, 2)
    strides: int | Pair | None = None
    padding: str = "valid"
    data_format: str | None = None

    def _normalise(self) -> None:
        pool_size = pair(self._owner, "pool_size", self.pool_size)
        strides = pool_size if self.strides is None else pair(self._owner, "strides", self.strides)
        padding = choice(self._owner, "padding", self.padding, ("valid", "same"))
        self._set(pool_size=pool_size, strides=strides, padding=padding)
        self._channels_last()


@dataclass(frozen=True)
class MaxPooling2D(_Pooling):
    """The largest value of each window, channel by channel. `strides` is `pool_size` where it is None."""

    default_name: ClassVar[str] = "max_pooling2d"


MaxPool2D = MaxPooling2D


@dataclass(frozen=True)
class AveragePooling2D(_Pooling):
    """The mean of each window, channel by channel; padded cells do not count."""

    default_name: ClassVar[str] = "average_pooling2d"


@dataclass(frozen=True)
class _GlobalPooling(Layer):
    data_format: str | None = None
    keepdims: bool = False

    def _normalise(self) -> None:
        self._channels_last()


@dataclass(frozen=True)
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel over the whole map: (height, width, channels) → (channels,)."""

    default_name: ClassVar[str] = "global_average_pooling2d"


@dataclass(frozen=True)
class GlobalMaxPooling2D(_GlobalPooling):
    """The largest value of each channel over the whole map: (height, width, channels) → (channels,)."""

    default_name: ClassVar[str] = "global_max_pooling2d"


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """y = gamma · (x − mean) / √(variance + epsilon) + beta, per channel (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Prediction uses the moving mean and variance, training those of the batch; moving ← moving · momentum + batch · (1 − momentum).
    """

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: str | Initializer = "zeros"
    gamma_initializer: str | Initializer = "ones"
    moving_mean_initializer: str | Initializer = "zeros"
    moving_variance_initializer: str | Initializer = "ones"
    beta_regularizer: None = field(default=None, repr=False)
    gamma_regularizer: None = field(default=None, repr=False)
    beta_constraint: None = field(default=None, repr=False)
    gamma_constraint: None = field(default=None, repr=False)
    synchronized: bool = field(default=False, repr=False)
    default_name: ClassVar[str] = "batch_normalization"

    def _normalise(self) -> None:
        if self.axis not in (-1, 1, 3):
            raise UnsupportedError(
                f"BatchNormalization: axis must be the last one (-1), got {describe_value(self.axis)}"
            )
        if not 0.0 <= self.momentum <= 1.0:
            raise InvalidArgumentError(f"BatchNormalization: momentum must be between 0 and 1, got {self.momentum}")
        if not self.epsilon > 0.0:
            raise InvalidArgumentError(f"BatchNormalization: epsilon must be above 0, got {self.epsilon}")
        self._no_regularisers()
        self._initializers()


@dataclass(frozen=True)
class Flatten(Layer):
    """(height, width, channels) → (height · width · channels,), rows first, channels innermost."""

    data_format: str | None = None
    default_name: ClassVar[str] = "flatten"

    def _normalise(self) -> None:
        self._channels_last()


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, sets a share `rate` of the values to 0 and divides the rest by 1 − rate; in prediction, nothing."""

    rate: float
    noise_shape: None = None
    seed: int | None = None
    default_name: ClassVar[str] = "dropout"

    def _normalise(self) -> None:
        if isinstance(self.rate, bool) or not 0.0 <= self.rate <= 1.0:
            raise InvalidArgumentError(f"Dropout: rate must be between 0 and 1, got {describe_value(self.rate)}")
        if self.noise_shape is not None:
            raise UnsupportedError("Dropout: noise_shape is not supported; leave it out")


@dataclass(frozen=True)
class Activation(Layer):
    """One of Keras' activations, value by value (softmax: over the last axis)."""

    activation: str
    default_name: ClassVar[str] = "activation"

    def _normalise(self) -> None:
        self._set(activation=activation_name(self._owner, self.activation))


@dataclass(frozen=True)
class ReLU(Layer):
    """x where x > threshold (or ≥ for a threshold of 0), else negative_slope · (x − threshold); at most max_value."""

    max_value: float | None = None
    negative_slope: float = 0.0
    threshold: float = 0.0
    default_name: ClassVar[str] = "re_lu"

    def _normalise(self) -> None:
        for name in ("max_value", "negative_slope", "threshold"):
            value = getattr(self, name)
            if value is not None and not value >= 0.0:
                raise InvalidArgumentError(f"ReLU: {name} must be at least 0, got {value}")


@dataclass(frozen=True)
class Add(Layer):
    """The sum, value by value, of two or more inputs of one shape."""

    default_name: ClassVar[str] = "add"


@dataclass(frozen=True)
class Concatenate(Layer):
    """Joins the inputs along the last axis."""

    axis: int = -1
    default_name: ClassVar[str] = "concatenate"

    def _normalise(self) -> None:
        if self.axis not in (-1, 1, 3):
            raise UnsupportedError(f"Concatenate: axis must be the last one (-1), got {describe_value(self.axis)}")


@dataclass(frozen=True)
class ZeroPadding2D(Layer):
    """Rows and columns of zeros around the map; `padding` ((top, bottom), (left, right)), or one or two numbers."""

    padding: int | tuple[Any, Any] = (1, 1)
    data_format: str | None = None
    default_name: ClassVar[str] = "zero_padding2d"

    def _normalise(self) -> None:
        value = self.padding
        if isinstance(value, Sequence) and len(value) == 2:
            rows, columns = value
        else:
            rows = columns = value
        self._set(
            padding=(
                pair(self._owner, "padding", rows, minimum=0),
                pair(self._owner, "padding", columns, minimum=0),
            )
        )
        self._channels_last()


@dataclass(frozen=True)
class Rescaling(Layer):
    """y = x · scale + offset."""

    scale: float
    offset: float = 0.0
    default_name: ClassVar[str] = "rescaling"

    def _normalise(self) -> None:
        for name in ("scale", "offset"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UnsupportedError(f"Rescaling: {name} must be one number, got {describe_value(value)}")


LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        InputLayer, Conv2D, DepthwiseConv2D, SeparableConv2D, Dense, MaxPooling2D, AveragePooling2D,
        GlobalAveragePooling2D, GlobalMaxPooling2D, BatchNormalization, Flatten, Dropout, Activation,
        ReLU, Add, Concatenate, ZeroPadding2D, Rescaling,
    )
}  # fmt: skip
"""Every layer by its Keras class name: the allowlist that files are read against."""

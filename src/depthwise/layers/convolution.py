"""Convolutions: ordinary, depthwise, separable."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import Pair, activation_name, choice, integer, pair
from depthwise.compiler.ir import operations as op
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import LayerFacts, Shape, Weight, as_pair, image, kernel_formula, layer_facts, window_axes
from depthwise.network.formula import Formula, number
from depthwise.network.window import Axis

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Conv2D", "DepthwiseConv2D", "SeparableConv2D"]


@dataclass(frozen=True)
class _Convolution(Description):
    takes_both: ClassVar[bool] = True
    """Whether strides and dilation may both be above 1, as Keras has it."""

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
        if not self.takes_both and max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
            raise UnsupportedError(
                f"{owner}: strides {layer.strides} and dilation_rate {layer.dilation_rate} above 1 cannot be "
                "combined (Keras refuses it too); set one of them to 1"
            )
        self._channels_last()
        self._no_regularisers()
        self._initializers()

    def _axes(self, shape: tuple[int, int, int]) -> tuple[Axis, Axis]:
        layer: Any = self
        return window_axes(self.label, shape, layer.kernel_size, layer.strides, layer.dilation_rate, layer.padding)

    def _biased(self, weights: list[Weight], size: int) -> list[Weight]:
        """The weights, and the bias where the layer has one."""
        layer: Any = self
        if layer.use_bias:
            weights.append(Weight("bias", (size,), number(size, "biases"), self.trainable))
        return weights

    def _depthwise_weight(self, name: str, channels: int) -> tuple[Formula, Formula, Weight]:
        """(output channels, cells of one kernel, weight) of a depthwise stage."""
        layer: Any = self
        outputs = number(channels, "input_channels")
        if layer.depth_multiplier > 1:
            outputs = outputs * number(layer.depth_multiplier, "depth_multiplier")
        kernel = kernel_formula(layer.kernel_size, number(1, "one_channel"))
        shape = (*as_pair(layer.kernel_size), channels, layer.depth_multiplier)
        return outputs, kernel, Weight(name, shape, outputs * kernel, self.trainable)

    def _lower_depthwise(self, builder: "Builder", call: "Call", output: str, *weights: str) -> str:
        """The depthwise stage; a depth multiplier above 1 repeats the channels first."""
        layer: Any = self
        (source,) = builder.inputs(call)
        if layer.depth_multiplier > 1:
            repeat = op.Repeat((source,), (f"{call.name}/repeated",), layer.depth_multiplier)
            source = builder.emit(call, repeat)
        window = (layer.kernel_size, layer.strides, layer.dilation_rate, builder.padding(call))
        return builder.emit(call, op.ConvolveDepthwise((source, *weights), (output,), *window))


def _pixels(axes: tuple[Axis, Axis]) -> Formula:
    return number(axes[0].output, "output_height") * number(axes[1].output, "output_width")


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
    takes_both: ClassVar[bool] = False

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

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = image(self, shapes)
        if shape[2] % self.groups:
            raise ShapeError(
                f"{self.label}: the input's {shape[2]} channels are not a multiple of groups={self.groups}"
            )
        axes = self._axes(shape)
        channels = number(shape[2] // self.groups, "input_channels" if self.groups == 1 else "channels_per_group")
        filters = number(self.filters, "filters")
        kernel = kernel_formula(self.kernel_size, channels)
        kernel_shape = (*as_pair(self.kernel_size), channels.value, self.filters)
        weights = self._biased([Weight("kernel", kernel_shape, filters * kernel, self.trainable)], self.filters)
        output = (axes[0].formula, axes[1].formula, filters)
        return layer_facts(self, shapes, output, weights, _pixels(axes) * filters * kernel, axes=axes)

    def lower(self, builder: "Builder", call: "Call") -> None:
        layer: Any = self
        window = (layer.kernel_size, layer.strides, layer.dilation_rate, builder.padding(call))
        operands = (*builder.inputs(call), builder.weight(call, "kernel"), *builder.bias(call))
        result = builder.emit(call, op.Convolve(operands, (call.name,), *window, groups=layer.groups))
        builder.activate(call, result, layer.activation)


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

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = image(self, shapes)
        axes = self._axes(shape)
        outputs, kernel, weight = self._depthwise_weight("kernel", shape[2])
        weights = self._biased([weight], outputs.value)
        output = (axes[0].formula, axes[1].formula, outputs)
        return layer_facts(self, shapes, output, weights, _pixels(axes) * outputs * kernel, axes=axes)

    def lower(self, builder: "Builder", call: "Call") -> None:
        weights = (builder.weight(call, "kernel"), *builder.bias(call))
        builder.activate(call, self._lower_depthwise(builder, call, call.name, *weights), str(self.activation))


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

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = image(self, shapes)
        axes = self._axes(shape)
        middle, kernel, depthwise = self._depthwise_weight("depthwise_kernel", shape[2])
        filters = number(self.filters, "filters")
        ones = number(1, "kernel_height") * number(1, "kernel_width")
        cells = (ones * number(middle.value, "middle_channels")).group()
        pointwise = Weight("pointwise_kernel", (1, 1, middle.value, self.filters), filters * cells, self.trainable)
        weights = self._biased([depthwise, pointwise], self.filters)
        pixels = _pixels(axes)
        macs = pixels * middle * kernel + pixels * filters * cells
        return layer_facts(self, shapes, (axes[0].formula, axes[1].formula, filters), weights, macs, axes=axes)

    def lower(self, builder: "Builder", call: "Call") -> None:
        kernel = builder.weight(call, "depthwise_kernel")
        middle = self._lower_depthwise(builder, call, f"{call.name}/depthwise", kernel)
        result = builder.pointwise(call, middle, builder.weight(call, "pointwise_kernel"))
        builder.activate(call, result, str(self.activation))

"""Convolutions: ordinary, depthwise, separable; over images, and over sequences, which are maps one row high."""

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import Pair, activation_name, choice, integer, whole_numbers
from depthwise.compiler.ir import operations as op
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import (
    LayerFacts,
    Shape,
    Weight,
    as_pair,
    kernel_formula,
    layer_facts,
    spatial,
    window_axes,
)
from depthwise.network.formula import Formula, number, product
from depthwise.network.window import Axis
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"]

Sizes = int | tuple[int, ...]


@dataclass(frozen=True)
class _Convolution(Description):
    rank: ClassVar[int] = 2
    """Axes that the window moves along."""
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    takes_both: ClassVar[bool] = True
    """Whether strides and dilation may both be above 1, as Keras has it."""

    def _normalise_window(self) -> None:
        layer: Any = self
        owner = self._owner
        self._set(
            kernel_size=whole_numbers(owner, "kernel_size", layer.kernel_size, self.rank),
            strides=whole_numbers(owner, "strides", layer.strides, self.rank),
            dilation_rate=whole_numbers(owner, "dilation_rate", layer.dilation_rate, self.rank),
            padding=choice(owner, "padding", layer.padding, self.paddings),
            activation=activation_name(owner, layer.activation),
        )
        if not self.takes_both and max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
            raise UnsupportedError(
                f"{owner}: strides {layer.strides} and dilation_rate {layer.dilation_rate} above 1 cannot be "
                "combined (Keras refuses it too); set one of them to 1"
            )
        self._normalise_data_format()
        self._regularizers()
        self._initializers()

    def _axes(self, shape: Shape) -> tuple[Axis, Axis]:
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
        shape = (*layer.kernel_size, channels, layer.depth_multiplier)
        return outputs, kernel, Weight(name, shape, outputs * kernel, self.trainable)

    def _lower_depthwise(self, builder: "Builder", call: "Call", output: str, *weights: str) -> str:
        """The depthwise stage; a depth multiplier above 1 repeats the channels first."""
        layer: Any = self
        (source,) = builder.inputs(call)
        if layer.depth_multiplier > 1:
            repeat = op.Repeat((source,), (f"{call.name}/repeated",), layer.depth_multiplier)
            source = builder.emit(call, repeat)
        return builder.emit(call, op.ConvolveDepthwise((source, *weights), (output,), *self._window(builder, call)))

    def _window(self, builder: "Builder", call: "Call") -> tuple[Pair, Pair, Pair, tuple[int, int, int, int]]:
        """Kernel size, strides, dilation and padding of the operation."""
        layer: Any = self
        sizes = (as_pair(item) for item in (layer.kernel_size, layer.strides, layer.dilation_rate))
        kernel_size, strides, dilation = sizes
        return kernel_size, strides, dilation, builder.padding(call)

    def _pixels(self, axes: tuple[Axis, Axis]) -> Formula:
        """Positions of the window."""
        names = ("output_height", "output_width") if self.rank == 2 else ("output_length",)
        return product([number(axis.output, name) for axis, name in zip(axes[-self.rank :], names)])

    def _output(self, axes: tuple[Axis, Axis], channels: Formula) -> tuple[Formula, ...]:
        return (*(axis.formula for axis in axes[-self.rank :]), channels)


@dataclass(frozen=True)
class _Ordinary(_Convolution):
    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: Sizes = 1
    groups: int = 1
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    kernel_regularizer: str | Regularizer | None = field(default=None, repr=False)
    bias_regularizer: str | Regularizer | None = field(default=None, repr=False)
    activity_regularizer: str | Regularizer | None = field(default=None, repr=False)
    kernel_constraint: str | Constraint | None = field(default=None, repr=False)
    bias_constraint: str | Constraint | None = field(default=None, repr=False)
    takes_both: ClassVar[bool] = False

    def _normalise(self) -> None:
        self._set(
            filters=integer(self._owner, "filters", self.filters),
            groups=integer(self._owner, "groups", self.groups),
        )
        if self.filters % self.groups:
            raise InvalidArgumentError(
                f"{self._owner}: filters must be a multiple of groups, got filters={self.filters}, groups={self.groups}"
            )
        self._normalise_window()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = spatial(self, shapes, self.rank)
        if shape[-1] % self.groups:
            raise ShapeError(
                f"{self.label}: the input's {shape[-1]} channels are not a multiple of groups={self.groups}"
            )
        axes = self._axes(shape)
        channels = number(shape[-1] // self.groups, "input_channels" if self.groups == 1 else "channels_per_group")
        filters = number(self.filters, "filters")
        kernel = kernel_formula(self.kernel_size, channels)
        layer: Any = self
        kernel_shape = (*layer.kernel_size, channels.value, self.filters)
        weights = self._biased([Weight("kernel", kernel_shape, filters * kernel, self.trainable)], self.filters)
        macs = self._pixels(axes) * filters * kernel
        return layer_facts(self, shapes, self._output(axes, filters), weights, macs, axes=axes)

    def lower(self, builder: "Builder", call: "Call") -> None:
        window = self._window(builder, call)
        operands = (*builder.inputs(call), builder.weight(call, "kernel"), *builder.bias(call))
        result = builder.emit(call, op.Convolve(operands, (call.name,), *window, groups=self.groups))
        builder.activate(call, result, str(self.activation))


@dataclass(frozen=True)
class Conv2D(_Ordinary):
    """Ordinary convolution: each of the `filters` kernels reads every channel of its group and gives one channel.

    y[i, j, n] = activation(Σ kernel[a, b, c, n] · x[i·s + a·r, j·s + b·r, c] + bias[n]) over a, b and c, with strides s and
    dilation r.

    Input (height, width, channels), output (new height, new width, filters). Weights: kernel (kernel height, kernel width,
    channels / groups, filters), bias (filters). It is a cross-correlation: the kernel is not mirrored.
    """

    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)
    default_name: ClassVar[str] = "conv2d"


@dataclass(frozen=True)
class Conv1D(_Ordinary):
    """Ordinary convolution of a sequence: input (steps, channels), output (new steps, filters).

    Weights: kernel (kernel size, channels / groups, filters), bias (filters). With the padding "causal" an output sees no
    later step than its own.
    """

    rank: ClassVar[int] = 1
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same", "causal")
    default_name: ClassVar[str] = "conv1d"


@dataclass(frozen=True)
class _Depthwise(_Convolution):
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    depth_multiplier: int = 1
    data_format: str | None = None
    dilation_rate: Sizes = 1
    activation: str | None = None
    use_bias: bool = True
    depthwise_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    depthwise_regularizer: str | Regularizer | None = field(default=None, repr=False)
    bias_regularizer: str | Regularizer | None = field(default=None, repr=False)
    activity_regularizer: str | Regularizer | None = field(default=None, repr=False)
    depthwise_constraint: str | Constraint | None = field(default=None, repr=False)
    bias_constraint: str | Constraint | None = field(default=None, repr=False)

    def _normalise(self) -> None:
        self._set(depth_multiplier=integer(self._owner, "depth_multiplier", self.depth_multiplier))
        self._normalise_window()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = spatial(self, shapes, self.rank)
        axes = self._axes(shape)
        outputs, kernel, weight = self._depthwise_weight("kernel", shape[-1])
        weights = self._biased([weight], outputs.value)
        macs = self._pixels(axes) * outputs * kernel
        return layer_facts(self, shapes, self._output(axes, outputs), weights, macs, axes=axes)

    def lower(self, builder: "Builder", call: "Call") -> None:
        weights = (builder.weight(call, "kernel"), *builder.bias(call))
        builder.activate(call, self._lower_depthwise(builder, call, call.name, *weights), str(self.activation))


@dataclass(frozen=True)
class DepthwiseConv2D(_Depthwise):
    """Each input channel has `depth_multiplier` kernels of its own; nothing is added over channels.

    y[i, j, c·m + q] = activation(Σ kernel[a, b, c, q] · x[i·s + a·r, j·s + b·r, c] + bias[c·m + q]) over a and b, with strides
    s, dilation r and m = depth_multiplier.

    Output channel c·depth_multiplier + q comes from input channel c. Weights: kernel (kernel height, kernel width, channels,
    depth_multiplier), bias (channels · depth_multiplier).
    """

    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)
    default_name: ClassVar[str] = "depthwise_conv2d"


@dataclass(frozen=True)
class DepthwiseConv1D(_Depthwise):
    """DepthwiseConv2D for sequences (steps, channels); kernel (kernel size, channels, depth_multiplier)."""

    rank: ClassVar[int] = 1
    default_name: ClassVar[str] = "depthwise_conv1d"


@dataclass(frozen=True)
class _Separable(_Convolution):
    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    data_format: str | None = None
    dilation_rate: Sizes = 1
    depth_multiplier: int = 1
    activation: str | None = None
    use_bias: bool = True
    depthwise_initializer: str | Initializer = "glorot_uniform"
    pointwise_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    depthwise_regularizer: str | Regularizer | None = field(default=None, repr=False)
    pointwise_regularizer: str | Regularizer | None = field(default=None, repr=False)
    bias_regularizer: str | Regularizer | None = field(default=None, repr=False)
    activity_regularizer: str | Regularizer | None = field(default=None, repr=False)
    depthwise_constraint: str | Constraint | None = field(default=None, repr=False)
    pointwise_constraint: str | Constraint | None = field(default=None, repr=False)
    bias_constraint: str | Constraint | None = field(default=None, repr=False)

    def _normalise(self) -> None:
        self._set(
            filters=integer(self._owner, "filters", self.filters),
            depth_multiplier=integer(self._owner, "depth_multiplier", self.depth_multiplier),
        )
        self._normalise_window()

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        shape = spatial(self, shapes, self.rank)
        axes = self._axes(shape)
        middle, kernel, depthwise = self._depthwise_weight("depthwise_kernel", shape[-1])
        filters = number(self.filters, "filters")
        ones = (1,) * self.rank
        cells = kernel_formula(ones, number(middle.value, "middle_channels"))
        pointwise = Weight("pointwise_kernel", (*ones, middle.value, self.filters), filters * cells, self.trainable)
        weights = self._biased([depthwise, pointwise], self.filters)
        pixels = self._pixels(axes)
        macs = pixels * middle * kernel + pixels * filters * cells
        return layer_facts(self, shapes, self._output(axes, filters), weights, macs, axes=axes)

    def lower(self, builder: "Builder", call: "Call") -> None:
        kernel = builder.weight(call, "depthwise_kernel")
        middle = self._lower_depthwise(builder, call, f"{call.name}/depthwise", kernel)
        result = builder.pointwise(call, middle, builder.weight(call, "pointwise_kernel"))
        builder.activate(call, result, str(self.activation))


@dataclass(frozen=True)
class SeparableConv2D(_Separable):
    """A depthwise convolution, then a pointwise (1×1) one; no activation between, one bias after the second.

    z[i, j, c·m + q] = Σ depthwise_kernel[a, b, c, q] · x[i·s + a·r, j·s + b·r, c] over a and b, with strides s, dilation r and
    m = depth_multiplier; y[i, j, n] = activation(Σ pointwise_kernel[0, 0, k, n] · z[i, j, k] + bias[n]) over k.

    Weights: depthwise_kernel (kernel height, kernel width, channels, depth_multiplier), pointwise_kernel
    (1, 1, channels · depth_multiplier, filters), bias (filters).
    """

    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)
    default_name: ClassVar[str] = "separable_conv2d"


@dataclass(frozen=True)
class SeparableConv1D(_Separable):
    """SeparableConv2D for sequences (steps, channels).

    Weights: depthwise_kernel (kernel size, channels, depth_multiplier), pointwise_kernel (1, channels · depth_multiplier,
    filters), bias (filters).
    """

    rank: ClassVar[int] = 1
    default_name: ClassVar[str] = "separable_conv1d"

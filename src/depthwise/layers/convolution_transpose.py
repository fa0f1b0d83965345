"""Transposed convolutions: the gradient of a convolution's input, as a layer that enlarges its map."""

from dataclasses import field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from depthwise.arguments import activation_name, choice, integer, whole_numbers
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Operand
from depthwise.constraints import Constraint
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.initializers import Initializer
from depthwise.layers.description import Description
from depthwise.network.facts import (
    LayerFacts,
    Resampling,
    Shape,
    Weight,
    as_pair,
    kernel_formula,
    layer_facts,
    spatial,
)
from depthwise.network.formula import Formula, number, product
from depthwise.regularizers import Regularizer

if TYPE_CHECKING:
    from depthwise.compiler.lower import Builder
    from depthwise.network.graph import Call

__all__ = ["Conv1DTranspose", "Conv2DTranspose"]

Sizes = int | tuple[int, ...]


@dataclass(frozen=True)
class _Transposed(Description):
    filters: int
    kernel_size: Sizes
    strides: Sizes = 1
    padding: str = "valid"
    output_padding: Sizes | None = None
    data_format: str | None = None
    dilation_rate: Sizes = 1
    activation: str | None = None
    use_bias: bool = True
    kernel_initializer: str | Initializer = "glorot_uniform"
    bias_initializer: str | Initializer = "zeros"
    kernel_regularizer: str | Regularizer | None = field(default=None, repr=False)
    bias_regularizer: str | Regularizer | None = field(default=None, repr=False)
    activity_regularizer: str | Regularizer | None = field(default=None, repr=False)
    kernel_constraint: str | Constraint | None = field(default=None, repr=False)
    bias_constraint: str | Constraint | None = field(default=None, repr=False)
    rank: ClassVar[int] = 2

    def _normalise(self) -> None:
        owner, rank = self._owner, self.rank
        strides = whole_numbers(owner, "strides", self.strides, rank)
        dilation = whole_numbers(owner, "dilation_rate", self.dilation_rate, rank)
        added = self.output_padding
        if added is not None:
            added = whole_numbers(owner, "output_padding", added, rank, 0)
            if any(more >= stride for more, stride in zip(added, strides)):
                raise InvalidArgumentError(
                    f"{owner}: output_padding must be below strides along each axis, got output_padding={added}, "
                    f"strides={strides}"
                )
        if max(strides) > 1 and max(dilation) > 1:
            raise UnsupportedError(
                f"{owner}: strides {strides} and dilation_rate {dilation} above 1 cannot be combined (Keras refuses it "
                "too); set one of them to 1"
            )
        self._set(
            filters=integer(owner, "filters", self.filters),
            kernel_size=whole_numbers(owner, "kernel_size", self.kernel_size, rank),
            strides=strides,
            dilation_rate=dilation,
            output_padding=added,
            padding=choice(owner, "padding", self.padding, ("valid", "same")),
            activation=activation_name(owner, self.activation),
        )
        self._normalise_data_format()
        self._regularizers()
        self._initializers()

    def _axes(self) -> "list[_Axis]":
        layer: Any = self
        added = layer.output_padding or (None,) * self.rank
        windows = zip(layer.kernel_size, layer.strides, layer.dilation_rate, added)
        return [_Axis((kernel - 1) * rate + 1, stride, self.padding, more) for kernel, stride, rate, more in windows]

    def facts(self, shapes: tuple[Shape, ...]) -> LayerFacts:
        layer: Any = self
        shape = spatial(self, shapes, self.rank)
        names = ("height", "width") if self.rank == 2 else ("length",)
        axes = self._axes()
        filters, channels = number(self.filters, "filters"), number(shape[-1], "input_channels")
        kernel = kernel_formula(layer.kernel_size, channels)
        weights = [Weight("kernel", (*layer.kernel_size, self.filters, shape[-1]), filters * kernel, self.trainable)]
        if self.use_bias:
            weights.append(Weight("bias", (self.filters,), number(self.filters, "biases"), self.trainable))
        output = [axis.formula(size, name) for axis, size, name in zip(axes, shape, names)]
        if min(size.value for size in output) < 1:
            raise ShapeError(
                f"{self.label}: the output would be empty: {'×'.join(str(size.value) for size in output)} cells; use a larger "
                "input, or a larger output_padding"
            )
        macs = product([*_pixels(shape), filters, kernel])
        reach = [(-(-axis.span // axis.stride), Fraction(1, axis.stride)) for axis in axes]
        resampling = Resampling(*([(1, Fraction(1))] * (2 - self.rank)), *reach)
        return layer_facts(self, shapes, (*output, filters), weights, macs, resampling=resampling)

    def lower(self, builder: "Builder", call: "Call") -> None:
        layer: Any = self
        (source,) = builder.inputs(call)
        sides: list[int] = [0, 0] * (2 - self.rank)
        for axis, size, output in zip(self._axes(), call.facts.input_shapes[0], call.output_shape):
            before = axis.cut
            sides += [before, max(0, (size - 1) * axis.stride + axis.span - output - before)]
        transposed = op.ConvolveTransposed(
            (source, builder.weight(call, "kernel")),
            (f"{call.name}/transposed" if self.use_bias else call.name,),
            as_pair(layer.kernel_size),
            as_pair(layer.strides),
            as_pair(layer.dilation_rate),
            (sides[0], sides[1], sides[2], sides[3]),
            1,
            as_pair(call.output_shape[:-1]),
            call.output_shape,
        )
        result = builder.emit(call, transposed)
        if self.use_bias:
            builder.elementwise(call, Operand(0) + Operand(1), result, builder.weight(call, "bias"))
        builder.activate(call, builder.tensor_of[call.name], str(self.activation))


def _pixels(shape: Shape) -> list[Formula]:
    names = ("input_height", "input_width") if len(shape) == 3 else ("input_length",)
    return [number(size, name) for size, name in zip(shape, names)]


@dataclass(frozen=True)
class _Axis:
    """How a transposed window moves along one axis: input i adds to the outputs from i · stride − cut on.

    Attributes:
        added: output_padding, None for as much as makes a strided convolution of the result fit.
    """

    span: int
    stride: int
    padding: str
    added: int | None

    @property
    def last(self) -> int:
        """Cells of the output from the place of the last input on."""
        if self.padding == "same":
            return self.stride if self.added is None else self.span % 2 + self.added
        return max(self.span, self.stride) if self.added is None else self.span + self.added

    @property
    def cut(self) -> int:
        """Cells before the first output that the first window would reach: what "same" cuts off, as Keras divides it."""
        if self.padding == "valid":
            return 0
        total = self.stride + self.span - 2 if self.added is None else self.span + self.span % 2 - 2 + self.added
        return self.span - 1 - min(total // 2 + total % 2, self.span - 1)

    def formula(self, size: int, name: str) -> Formula:
        """The output's size."""
        stride = number(self.stride, f"stride_{name}")
        if self.last == self.stride:
            return number(size, f"input_{name}") * stride
        return number(size - 1, f"input_{name}_minus_one") * stride + number(self.last, "last_window")


@dataclass(frozen=True)
class Conv2DTranspose(_Transposed):
    """Every input number adds itself times a kernel to the output, `strides` further on for the next (deconvolution).

    Input (height, width, channels), output (new height, new width, filters). Weights: kernel (kernel height, kernel width,
    filters, channels), bias (filters).
    """

    strides: Sizes = (1, 1)
    dilation_rate: Sizes = (1, 1)
    default_name: ClassVar[str] = "conv2d_transpose"


@dataclass(frozen=True)
class Conv1DTranspose(_Transposed):
    """Conv2DTranspose for sequences (steps, channels); kernel (kernel size, filters, channels)."""

    rank: ClassVar[int] = 1
    default_name: ClassVar[str] = "conv1d_transpose"

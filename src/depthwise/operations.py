"""The operations of a program, forward. Their gradients are in `depthwise.gradient_operations`."""

from dataclasses import dataclass

from depthwise.program import Operation, Padding

__all__ = [
    "Activate",
    "Add",
    "ApplyReLU",
    "Concatenate",
    "Convolve",
    "ConvolveDepthwise",
    "CopyMap",
    "Drop",
    "Multiply",
    "Normalise",
    "NormaliseBatch",
    "Pad",
    "Pool",
    "PoolGlobally",
    "Repeat",
    "Reshape",
    "Scale",
    "Softmax",
]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Convolve(Operation):
    """An ordinary (or, 1×1, pointwise) convolution; kernel (height, width, channels / groups, filters)."""

    kernel: str
    bias: str | None
    kernel_size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding
    groups: int = 1
    activation: str = "linear"

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.kernel,) if self.bias is None else (self.kernel, self.bias)


@dataclass(frozen=True)
class ConvolveDepthwise(Operation):
    """Each channel with its own kernel; kernel (height, width, channels · 1)."""

    kernel: str
    bias: str | None
    kernel_size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding
    activation: str = "linear"

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.kernel,) if self.bias is None else (self.kernel, self.bias)


@dataclass(frozen=True)
class Multiply(Operation):
    """A dense layer on a vector: x · kernel + bias; kernel (inputs, units)."""

    kernel: str
    bias: str | None
    activation: str = "linear"

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.kernel,) if self.bias is None else (self.kernel, self.bias)


@dataclass(frozen=True)
class Pool(Operation):
    """ "max" or "mean" of windows that stay inside. `counted_padding`: the mean divides by the cells that are not padding."""

    kind: str
    pool_size: Pair
    strides: Pair
    counted_padding: Padding = (0, 0, 0, 0)
    activation: str = "linear"


@dataclass(frozen=True)
class PoolGlobally(Operation):
    """ "max" or "mean" of each channel over the whole map."""

    kind: str


@dataclass(frozen=True)
class Pad(Operation):
    """Rows and columns of `value` around the map."""

    padding: Padding
    value: float


@dataclass(frozen=True)
class Activate(Operation):
    """One of `emit.activation`'s functions, value by value."""

    activation: str


@dataclass(frozen=True)
class ApplyReLU(Operation):
    """Keras' ReLU layer with its arguments; `limit` is infinity for none."""

    limit: float
    negative_slope: float
    threshold: float


@dataclass(frozen=True)
class Softmax(Operation):
    """Over the channels of each pixel."""


@dataclass(frozen=True)
class Scale(Operation):
    """x · scale + offset."""

    scale: float
    offset: float


@dataclass(frozen=True)
class Normalise(Operation):
    """x · scale + shift with a number a channel each: batch normalisation in prediction."""

    scale: str
    shift: str
    activation: str = "linear"

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.scale, self.shift)


@dataclass(frozen=True)
class NormaliseBatch(Operation):
    """Batch normalisation in training: with the mean and variance of the batch; moves the moving ones."""

    gamma: str | None
    beta: str | None
    moving_mean: str
    moving_variance: str
    momentum: float
    epsilon: float

    @property
    def parameters(self) -> tuple[str, ...]:
        names = (self.gamma, self.beta, self.moving_mean, self.moving_variance)
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True)
class Add(Operation):
    """The sum of all inputs."""


@dataclass(frozen=True)
class Concatenate(Operation):
    """The inputs' channels one after the other."""


@dataclass(frozen=True)
class Repeat(Operation):
    """Each channel `times` times, neighbours: what a depth multiplier above 1 reads."""

    times: int


@dataclass(frozen=True)
class Reshape(Operation):
    """The same numbers, rows first, channels innermost, in another shape."""


@dataclass(frozen=True)
class Drop(Operation):
    """Dropout in training; `layer` tells the layers' random numbers apart."""

    rate: float
    layer: int


@dataclass(frozen=True)
class CopyMap(Operation):
    """The same map in another place: from and to what the caller gave, or with another border."""

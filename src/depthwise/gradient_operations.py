"""The operations of a training step besides the forward ones: slopes, gradients of inputs and parameters, the loss.

`…Slope` and `…InputGradient` turn the gradient of an operation's output into that of its input; a `ParameterGradient`
adds to what its chunk of samples collects. `level` says how a plan may run it: for each sample ("image"), for a group of
samples at once ("group"), or once all samples are done ("reduce").
"""

from dataclasses import dataclass

from depthwise.operations import Pair
from depthwise.program import Operation, Padding

__all__ = [
    "ActivationSlope",
    "ApplyNormalisation",
    "BiasGradient",
    "CollectMoments",
    "CollectNormalisationSums",
    "ConvolveInputGradient",
    "ConvolveKernelGradient",
    "Crop",
    "DepthwiseInputGradient",
    "DepthwiseKernelGradient",
    "FinishMoments",
    "FinishNormalisationSums",
    "LossGradient",
    "LossValue",
    "MultiplyInputGradient",
    "MultiplyKernelGradient",
    "NormalisationSlope",
    "NormaliseSlope",
    "ParameterGradient",
    "PoolGloballySlope",
    "PoolSlope",
    "ReLUSlope",
    "RepeatSum",
    "ScatterConvolution",
    "Slice",
    "SlopeAndBiasGradient",
    "SoftmaxSlope",
    "Spread",
]


@dataclass(frozen=True)
class ActivationSlope(Operation):
    """Inputs: the activation's output or input (as `emit.activation.KEPT` says), the gradient of its output."""

    activation: str


@dataclass(frozen=True)
class ReLUSlope(Operation):
    """Inputs: the input of a ReLU layer, the gradient of its output."""

    limit: float
    negative_slope: float
    threshold: float


@dataclass(frozen=True)
class SoftmaxSlope(Operation):
    """Inputs: softmax's output, the gradient of it."""


@dataclass(frozen=True)
class Spread(Operation):
    """The gradient with zeros between its values, as far apart as the strides of the convolution."""

    strides: Pair


@dataclass(frozen=True)
class ConvolveInputGradient(Operation):
    """A convolution of the (spread) output gradient with the mirrored kernel, its channels and filters exchanged."""

    kernel: str
    kernel_size: Pair
    dilation: Pair
    padding: Padding  # of the forward convolution
    groups: int
    border: Padding  # zeros that it reads around the output gradient

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.kernel,)


@dataclass(frozen=True)
class ScatterConvolution(Operation):
    """The input gradient of a convolution as a sum over the kernel's cells: the output gradient times the cell's weights,
    added where the cell read. No zeros are multiplied, whatever strides and padding."""

    kernel: str
    kernel_size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding  # of the forward convolution
    groups: int

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.kernel,)

    def valid(self, *sizes: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """For each row and each column of the kernel: (first, how many) rows and columns of the output gradient whose windows
        have that cell inside the map. `sizes` are the rows and columns of the map, then of the gradient."""
        spans = []
        for axis in range(2):
            inside, count, stride = sizes[axis], sizes[2 + axis], self.strides[axis]
            cells = []
            for cell in range(self.kernel_size[axis]):
                offset = cell * self.dilation[axis] - self.padding[2 * axis]
                first = max(0, -(offset // stride))
                cells.append((first, max(0, min(count, (inside - 1 - offset) // stride + 1) - first)))
            spans.append(cells)
        return spans[0], spans[1]


@dataclass(frozen=True)
class DepthwiseInputGradient(Operation):
    """A depthwise convolution of the (spread) output gradient with the mirrored kernel."""

    kernel: str
    kernel_size: Pair
    dilation: Pair
    padding: Padding
    border: Padding

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.kernel,)


@dataclass(frozen=True)
class MultiplyInputGradient(Operation):
    """gradient · kernelᵀ."""

    kernel: str

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.kernel,)


@dataclass(frozen=True)
class ParameterGradient(Operation):
    """Base of what adds to the gradient of `parameter`; most write no tensor (`output` is empty)."""

    parameter: str

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.parameter,)


@dataclass(frozen=True)
class ConvolveKernelGradient(ParameterGradient):
    """Inputs: the convolution's input, the gradient of its output."""

    kernel_size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding
    groups: int


@dataclass(frozen=True)
class DepthwiseKernelGradient(ParameterGradient):
    """Inputs: the convolution's input, the gradient of its output."""

    kernel_size: Pair
    strides: Pair
    dilation: Pair
    padding: Padding


@dataclass(frozen=True)
class MultiplyKernelGradient(ParameterGradient):
    """Inputs: the dense layer's input, the gradient of its output; summed over the whole batch at once."""


@dataclass(frozen=True)
class BiasGradient(ParameterGradient):
    """Input: the gradient of what the bias was added to."""


@dataclass(frozen=True)
class SlopeAndBiasGradient(ParameterGradient):
    """An `ActivationSlope` that also adds up what it writes: the gradient of the bias before the activation."""

    activation: str


@dataclass(frozen=True)
class PoolSlope(Operation):
    """Inputs: the pooling's input, the gradient of its output."""

    kind: str
    pool_size: Pair
    strides: Pair
    counted_padding: Padding


@dataclass(frozen=True)
class PoolGloballySlope(Operation):
    """Inputs: the pooling's input, the gradient of its output."""

    kind: str


@dataclass(frozen=True)
class Crop(Operation):
    """What is left without the padding: the gradient of Pad."""

    padding: Padding


@dataclass(frozen=True)
class Slice(Operation):
    """`channels` channels from `first` on: the gradient of Concatenate."""

    first: int
    channels: int


@dataclass(frozen=True)
class RepeatSum(Operation):
    """The sum of each `times` neighbouring channels: the gradient of Repeat."""

    times: int


@dataclass(frozen=True)
class NormaliseSlope(Operation):
    """gradient · scale: through batch normalisation that uses its moving statistics."""

    scale: str

    @property
    def parameters(self) -> tuple[str, ...]:
        return (self.scale,)


@dataclass(frozen=True)
class CollectMoments(Operation):
    """Collects mean and spread of its input for the batch normalisation `key`; writes no tensor."""

    key: str


@dataclass(frozen=True)
class FinishMoments(Operation):
    """Once all samples are done: the batch's statistics from those of its chunks; moves the moving ones."""

    key: str
    pixels: int
    channels: int
    gamma: str | None
    beta: str | None
    moving_mean: str
    moving_variance: str
    momentum: float
    epsilon: float


@dataclass(frozen=True)
class ApplyNormalisation(Operation):
    """(x − mean) · gamma / deviation + beta, with the statistics of `key`."""

    key: str


@dataclass(frozen=True)
class CollectNormalisationSums(Operation):
    """Inputs: the normalisation's input, the gradient of its output. Collects the sums of dy and dy · x̂."""

    key: str


@dataclass(frozen=True)
class FinishNormalisationSums(Operation):
    """Once all samples are done: the gradients of beta and gamma, and the means that the input gradient needs."""

    key: str
    pixels: int
    channels: int
    gamma: str | None
    beta: str | None


@dataclass(frozen=True)
class NormalisationSlope(Operation):
    """Inputs: the normalisation's input, the gradient of its output."""

    key: str


@dataclass(frozen=True)
class LossValue(Operation):
    """Inputs: the predictions (or logits), the target. One number a pixel, in a row."""

    kind: str
    smoothing: float
    sparse: bool


@dataclass(frozen=True)
class LossGradient(Operation):
    """Inputs: the predictions (or what the fused rule reads), the target, each pixel's weight over the number of all."""

    kind: str
    smoothing: float
    sparse: bool


REDUCE = (FinishMoments, FinishNormalisationSums, MultiplyKernelGradient)
"""What runs once all samples are done."""

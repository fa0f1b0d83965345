"""All operations, by family. A new one is a class that says its types, its windows and its gradient, and a rule in
`depthwise.compiler.plan.rules` that turns it into kernel calls."""

from depthwise.compiler.ir.operations.accumulate import (
    Accumulate,
    AccumulateContraction,
    AccumulateConvolution,
    AccumulateDepthwise,
    AccumulateMap,
    AccumulateSum,
)
from depthwise.compiler.ir.operations.contraction import Contract, ContractTransposed
from depthwise.compiler.ir.operations.convolution import (
    Convolve,
    ConvolveDepthwise,
    ConvolveDepthwiseTransposed,
    ConvolveTransposed,
    Pair,
    Spread,
)
from depthwise.compiler.ir.operations.elementwise import (
    AFFINE,
    Elementwise,
    ElementwiseRuns,
    ElementwiseSum,
    sum_of,
    unary,
)
from depthwise.compiler.ir.operations.loss import HandOver, LossGradient, LossValue
from depthwise.compiler.ir.operations.normalisation import (
    CollectMoments,
    CollectNormalisationSums,
    FinishMoments,
    FinishNormalisationSums,
    NormaliseBatch,
    NormaliseBatchGradient,
)
from depthwise.compiler.ir.operations.pooling import (
    PoolGradient,
    PoolWindows,
    Reduce,
    ReduceMap,
    ReduceMapGradient,
    Sum,
)
from depthwise.compiler.ir.operations.resampling import Resample, Taps
from depthwise.compiler.ir.operations.rows import (
    Dropout,
    NormaliseRows,
    NormaliseRowsGradient,
    Softmax,
    SoftmaxGradient,
)
from depthwise.compiler.ir.operations.shaping import (
    Concatenate,
    Copy,
    Pad,
    Rearrange,
    Repeat,
    RepeatSum,
    Reshape,
    Slice,
    Transpose,
)
from depthwise.compiler.ir.operations.warping import Warp

__all__ = [
    "AFFINE",
    "Accumulate",
    "AccumulateContraction",
    "AccumulateConvolution",
    "AccumulateDepthwise",
    "AccumulateMap",
    "AccumulateSum",
    "CollectMoments",
    "CollectNormalisationSums",
    "Concatenate",
    "Contract",
    "ContractTransposed",
    "Convolve",
    "ConvolveDepthwise",
    "ConvolveDepthwiseTransposed",
    "ConvolveTransposed",
    "Copy",
    "Dropout",
    "Elementwise",
    "ElementwiseRuns",
    "ElementwiseSum",
    "FinishMoments",
    "FinishNormalisationSums",
    "HandOver",
    "LossGradient",
    "LossValue",
    "NormaliseBatch",
    "NormaliseBatchGradient",
    "NormaliseRows",
    "NormaliseRowsGradient",
    "Pad",
    "Pair",
    "PoolGradient",
    "PoolWindows",
    "Rearrange",
    "Reduce",
    "ReduceMap",
    "ReduceMapGradient",
    "Repeat",
    "RepeatSum",
    "Resample",
    "Reshape",
    "Slice",
    "Softmax",
    "SoftmaxGradient",
    "Spread",
    "Sum",
    "Taps",
    "Transpose",
    "Warp",
    "sum_of",
    "unary",
]

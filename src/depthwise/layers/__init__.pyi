# Written by .ci/stubs.py from the descriptions in this folder.
from collections.abc import Callable, Sequence
from typing import Any

from depthwise.constraints import Constraint
from depthwise.initializers import Initializer
from depthwise.layers.layer import Layer
from depthwise.regularizers import Regularizer

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "LAYERS",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AvgPool1D",
    "AvgPool2D",
    "BatchNormalization",
    "CenterCrop",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "Identity",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LayerScale",
    "LeakyReLU",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "Subtract",
    "ThresholdedReLU",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
ACTIVATIONS: Any

class Activation(Layer):
    def __init__(
        self,
        activation: str | Callable[[Any], Any],
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class ActivityRegularization(Layer):
    def __init__(
        self,
        l1: float = ...,
        l2: float = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Add(Layer):
    def __init__(
        self,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class AlphaDropout(Layer):
    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = ...,
        seed: int | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Average(Layer):
    def __init__(
        self,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class AveragePooling1D(Layer):
    def __init__(
        self,
        pool_size: int | Sequence[int] = ...,
        strides: int | Sequence[int] | None = ...,
        padding: str = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class AveragePooling2D(Layer):
    def __init__(
        self,
        pool_size: int | Sequence[int] = ...,
        strides: int | Sequence[int] | None = ...,
        padding: str = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class BatchNormalization(Layer):
    def __init__(
        self,
        axis: int = ...,
        momentum: float = ...,
        epsilon: float = ...,
        center: bool = ...,
        scale: bool = ...,
        beta_initializer: str | Initializer = ...,
        gamma_initializer: str | Initializer = ...,
        moving_mean_initializer: str | Initializer = ...,
        moving_variance_initializer: str | Initializer = ...,
        beta_regularizer: str | Regularizer | None = ...,
        gamma_regularizer: str | Regularizer | None = ...,
        beta_constraint: str | Constraint | None = ...,
        gamma_constraint: str | Constraint | None = ...,
        synchronized: bool = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class CenterCrop(Layer):
    def __init__(
        self,
        height: int,
        width: int,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Concatenate(Layer):
    def __init__(
        self,
        axis: int = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Conv1D(Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = ...,
        padding: str = ...,
        data_format: str | None = ...,
        dilation_rate: int | Sequence[int] = ...,
        groups: int = ...,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        kernel_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        kernel_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        kernel_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Conv1DTranspose(Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = ...,
        padding: str = ...,
        output_padding: int | Sequence[int] | None = ...,
        data_format: str | None = ...,
        dilation_rate: int | Sequence[int] = ...,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        kernel_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        kernel_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        kernel_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Conv2D(Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = ...,
        padding: str = ...,
        data_format: str | None = ...,
        dilation_rate: int | Sequence[int] = ...,
        groups: int = ...,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        kernel_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        kernel_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        kernel_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Conv2DTranspose(Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = ...,
        padding: str = ...,
        output_padding: int | Sequence[int] | None = ...,
        data_format: str | None = ...,
        dilation_rate: int | Sequence[int] = ...,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        kernel_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        kernel_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        kernel_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Cropping1D(Layer):
    def __init__(
        self,
        cropping: int | Sequence[int] = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Cropping2D(Layer):
    def __init__(
        self,
        cropping: int | tuple[Any, Any] = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Dense(Layer):
    def __init__(
        self,
        units: int,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        kernel_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        kernel_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        kernel_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class DepthwiseConv1D(Layer):
    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = ...,
        padding: str = ...,
        depth_multiplier: int = ...,
        data_format: str | None = ...,
        dilation_rate: int | Sequence[int] = ...,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        depthwise_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        depthwise_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        depthwise_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class DepthwiseConv2D(Layer):
    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = ...,
        padding: str = ...,
        depth_multiplier: int = ...,
        data_format: str | None = ...,
        dilation_rate: int | Sequence[int] = ...,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        depthwise_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        depthwise_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        depthwise_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Dot(Layer):
    def __init__(
        self,
        axes: int | Sequence[int],
        normalize: bool = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Dropout(Layer):
    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = ...,
        seed: int | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class ELU(Layer):
    def __init__(
        self,
        alpha: float = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Flatten(Layer):
    def __init__(
        self,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class GaussianDropout(Layer):
    def __init__(
        self,
        rate: float,
        seed: int | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class GaussianNoise(Layer):
    def __init__(
        self,
        stddev: float,
        seed: int | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class GlobalAveragePooling1D(Layer):
    def __init__(
        self,
        data_format: str | None = ...,
        keepdims: bool = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class GlobalAveragePooling2D(Layer):
    def __init__(
        self,
        data_format: str | None = ...,
        keepdims: bool = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class GlobalMaxPooling1D(Layer):
    def __init__(
        self,
        data_format: str | None = ...,
        keepdims: bool = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class GlobalMaxPooling2D(Layer):
    def __init__(
        self,
        data_format: str | None = ...,
        keepdims: bool = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class GroupNormalization(Layer):
    def __init__(
        self,
        groups: int = ...,
        axis: int = ...,
        epsilon: float = ...,
        center: bool = ...,
        scale: bool = ...,
        beta_initializer: str | Initializer = ...,
        gamma_initializer: str | Initializer = ...,
        beta_regularizer: str | Regularizer | None = ...,
        gamma_regularizer: str | Regularizer | None = ...,
        beta_constraint: str | Constraint | None = ...,
        gamma_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Identity(Layer):
    def __init__(
        self,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

Input: Any

class InputLayer(Layer):
    def __init__(
        self,
        shape: Sequence[int] = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

LAYERS: dict[Any, Any]

class LayerNormalization(Layer):
    def __init__(
        self,
        axis: int | Sequence[int] = ...,
        epsilon: float = ...,
        center: bool = ...,
        scale: bool = ...,
        beta_initializer: str | Initializer = ...,
        gamma_initializer: str | Initializer = ...,
        beta_regularizer: str | Regularizer | None = ...,
        gamma_regularizer: str | Regularizer | None = ...,
        beta_constraint: str | Constraint | None = ...,
        gamma_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
        rms_scaling: bool = ...,
    ) -> None: ...

class LayerScale(Layer):
    def __init__(
        self,
        init_values: float,
        projection_dim: int,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class LeakyReLU(Layer):
    def __init__(
        self,
        negative_slope: float = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class MaxPooling1D(Layer):
    def __init__(
        self,
        pool_size: int | Sequence[int] = ...,
        strides: int | Sequence[int] | None = ...,
        padding: str = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class MaxPooling2D(Layer):
    def __init__(
        self,
        pool_size: int | Sequence[int] = ...,
        strides: int | Sequence[int] | None = ...,
        padding: str = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Maximum(Layer):
    def __init__(
        self,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Minimum(Layer):
    def __init__(
        self,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Multiply(Layer):
    def __init__(
        self,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Normalization(Layer):
    def __init__(
        self,
        axis: int | Sequence[int] | None = ...,
        mean: float | tuple[float, ...] | None = ...,
        variance: float | tuple[float, ...] | None = ...,
        invert: bool = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class PReLU(Layer):
    def __init__(
        self,
        alpha_initializer: str | Initializer = ...,
        alpha_regularizer: str | Regularizer | None = ...,
        alpha_constraint: str | Constraint | None = ...,
        shared_axes: int | Sequence[int] | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Permute(Layer):
    def __init__(
        self,
        dims: Sequence[int],
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RMSNormalization(Layer):
    def __init__(
        self,
        axis: int | Sequence[int] = ...,
        epsilon: float = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RandomBrightness(Layer):
    def __init__(
        self,
        factor: float | tuple[float, float],
        value_range: tuple[float, float] = ...,
        seed: int | None = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RandomContrast(Layer):
    def __init__(
        self,
        factor: float | tuple[float, float],
        value_range: tuple[float, float] = ...,
        seed: int | None = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RandomCrop(Layer):
    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RandomFlip(Layer):
    def __init__(
        self,
        mode: str = ...,
        seed: int | None = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RandomRotation(Layer):
    def __init__(
        self,
        factor: float | tuple[float, float],
        fill_mode: str = ...,
        interpolation: str = ...,
        seed: int | None = ...,
        fill_value: float = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RandomTranslation(Layer):
    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float],
        fill_mode: str = ...,
        interpolation: str = ...,
        seed: int | None = ...,
        fill_value: float = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RandomZoom(Layer):
    def __init__(
        self,
        height_factor: float | tuple[float, float],
        width_factor: float | tuple[float, float] | None = ...,
        fill_mode: str = ...,
        interpolation: str = ...,
        seed: int | None = ...,
        fill_value: float = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class ReLU(Layer):
    def __init__(
        self,
        max_value: float | None = ...,
        negative_slope: float = ...,
        threshold: float = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class RepeatVector(Layer):
    def __init__(
        self,
        n: int,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Rescaling(Layer):
    def __init__(
        self,
        scale: float | tuple[float, ...],
        offset: float | tuple[float, ...] = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Reshape(Layer):
    def __init__(
        self,
        target_shape: Sequence[int],
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Resizing(Layer):
    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = ...,
        crop_to_aspect_ratio: bool = ...,
        pad_to_aspect_ratio: bool = ...,
        fill_mode: str = ...,
        fill_value: float = ...,
        antialias: bool = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class SeparableConv1D(Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = ...,
        padding: str = ...,
        data_format: str | None = ...,
        dilation_rate: int | Sequence[int] = ...,
        depth_multiplier: int = ...,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        depthwise_initializer: str | Initializer = ...,
        pointwise_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        depthwise_regularizer: str | Regularizer | None = ...,
        pointwise_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        depthwise_constraint: str | Constraint | None = ...,
        pointwise_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class SeparableConv2D(Layer):
    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = ...,
        padding: str = ...,
        data_format: str | None = ...,
        dilation_rate: int | Sequence[int] = ...,
        depth_multiplier: int = ...,
        activation: str | None | Callable[[Any], Any] = ...,
        use_bias: bool = ...,
        depthwise_initializer: str | Initializer = ...,
        pointwise_initializer: str | Initializer = ...,
        bias_initializer: str | Initializer = ...,
        depthwise_regularizer: str | Regularizer | None = ...,
        pointwise_regularizer: str | Regularizer | None = ...,
        bias_regularizer: str | Regularizer | None = ...,
        activity_regularizer: str | Regularizer | None = ...,
        depthwise_constraint: str | Constraint | None = ...,
        pointwise_constraint: str | Constraint | None = ...,
        bias_constraint: str | Constraint | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Softmax(Layer):
    def __init__(
        self,
        axis: int | Sequence[int] = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class SpatialDropout1D(Layer):
    def __init__(
        self,
        rate: float,
        seed: int | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class SpatialDropout2D(Layer):
    def __init__(
        self,
        rate: float,
        data_format: str | None = ...,
        seed: int | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class Subtract(Layer):
    def __init__(
        self,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class ThresholdedReLU(Layer):
    def __init__(
        self,
        theta: float = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class UnitNormalization(Layer):
    def __init__(
        self,
        axis: int | Sequence[int] = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class UpSampling1D(Layer):
    def __init__(
        self,
        size: int = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class UpSampling2D(Layer):
    def __init__(
        self,
        size: int | Sequence[int] = ...,
        data_format: str | None = ...,
        interpolation: str = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class ZeroPadding1D(Layer):
    def __init__(
        self,
        padding: int | Sequence[int] = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

class ZeroPadding2D(Layer):
    def __init__(
        self,
        padding: int | tuple[Any, Any] = ...,
        data_format: str | None = ...,
        *,
        name: str | None = ...,
        trainable: bool = ...,
        input_shape: Sequence[int] | None = ...,
        dtype: str | None = ...,
    ) -> None: ...

add: Any
average: Any
concatenate: Any
dot: Any
maximum: Any
minimum: Any
multiply: Any
subtract: Any
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
Convolution1D = Conv1D
Convolution1DTranspose = Conv1DTranspose
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D

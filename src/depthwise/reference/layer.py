"""One layer description at a time: its weights' shapes, its result, its gradients.

>>> import numpy as np
>>> from depthwise.layers.descriptions import Conv2D
>>> layer = Conv2D(3, (3, 3), input_shape=(5, 5, 2))
>>> weight_shapes(layer, [(5, 5, 2)])
{'kernel': (3, 3, 2, 3), 'bias': (3,)}
>>> forward(layer, {"kernel": np.ones((3, 3, 2, 3)), "bias": np.ones(3)}, [np.ones((1, 5, 5, 2))])[0, 0, 0].tolist()
[19.0, 19.0, 19.0]
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.layers.activation import Activation, ReLU
from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.layers.convolution_transpose import Conv2DTranspose
from depthwise.layers.dense import Dense
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer
from depthwise.layers.layer_normalization import LayerNormalization
from depthwise.layers.normalization import BatchNormalization
from depthwise.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from depthwise.layers.prelu import PReLU
from depthwise.layers.preprocessing import Rescaling
from depthwise.layers.regularization import Dropout
from depthwise.layers.shaping import Flatten, ZeroPadding2D
from depthwise.reference import activations, arithmetic, augmentation, backward, joining, resampling, single
from depthwise.reference import forward as operations
from depthwise.reference.channels import moved_axis, moved_back, moved_shapes, moved_to_end, with_channels_last
from depthwise.reference.planar import (
    as_map,
    as_sequence,
    as_sequence_weights,
    as_weights,
    padded_before,
    planar,
    with_row,
)
from depthwise.reference.rules import Given, Rule
from depthwise.reference.running import Bounded, exact
from depthwise.reference.transposed import Scattering, conv2d_transpose, conv2d_transpose_gradients
from depthwise.reference.windows import Array

__all__ = [
    "activation_name",
    "bounded",
    "forward",
    "gradients",
    "has_rule",
    "moving_statistics",
    "pre_activation",
    "trainable_weights",
    "weight_shapes",
]

Shape = tuple[int, ...]
Weights = Mapping[str, npt.ArrayLike]

_RULES: dict[type[Description], Rule] = {
    **arithmetic.RULES,
    **augmentation.RULES,
    **joining.RULES,
    **resampling.RULES,
    **single.RULES,
}
"""Layers that are described by a rule of their family's file."""


def has_rule(layer: Description) -> bool:
    """Whether the layer is described by a rule, which gives a bound of its errors too."""
    if isinstance(layer, LayerNormalization) and isinstance(layer.axis, int):
        return False  # that over one axis is a function of its own; the rule is for several
    return type(layer) in _RULES


def bounded(
    layer: Description, weights: Weights, inputs: Sequence[Bounded], training: bool = False, kept: Any = None
) -> Bounded:
    """The result of a layer that has a rule, with what float32 may be off; arguments as in `forward`."""
    known = {name: exact(value) for name, value in weights.items()}
    return _RULES[type(layer)].forward(Given(layer, known, inputs, kept if training else None))


def weight_shapes(layer: Description, input_shapes: Sequence[Shape]) -> dict[str, Shape]:
    """Names and shapes of the layer's weights, in Keras' order; `input_shapes` are those of one sample."""
    if has_rule(layer):
        return _RULES[type(layer)].weights(layer, input_shapes)
    axis = moved_axis(layer, len(input_shapes[0]) + 1) if input_shapes else None
    if axis is not None:
        return weight_shapes(with_channels_last(layer), moved_shapes(input_shapes, axis))
    owner: Any = layer
    if planar(layer) is not layer:
        rows = weight_shapes(planar(layer), with_row(input_shapes))
        return {name: shape[1:] if name.endswith("kernel") else shape for name, shape in rows.items()}
    shapes: dict[str, Shape] = {}
    outputs = 0
    match layer:
        case Conv2D():
            outputs = owner.filters
            shapes["kernel"] = (*owner.kernel_size, input_shapes[0][-1] // owner.groups, outputs)
        case DepthwiseConv2D():
            outputs = input_shapes[0][-1] * owner.depth_multiplier
            shapes["kernel"] = (*owner.kernel_size, input_shapes[0][-1], owner.depth_multiplier)
        case SeparableConv2D():
            outputs = owner.filters
            middle = input_shapes[0][-1] * owner.depth_multiplier
            shapes["depthwise_kernel"] = (*owner.kernel_size, input_shapes[0][-1], owner.depth_multiplier)
            shapes["pointwise_kernel"] = (1, 1, middle, outputs)
        case Conv2DTranspose():
            outputs = owner.filters
            shapes["kernel"] = (*owner.kernel_size, outputs, input_shapes[0][-1])
        case Dense():
            outputs = owner.units
            shapes["kernel"] = (input_shapes[0][-1], outputs)
        case BatchNormalization():
            channels = input_shapes[0][-1]
            if owner.scale:
                shapes["gamma"] = (channels,)
            if owner.center:
                shapes["beta"] = (channels,)
            shapes["moving_mean"] = shapes["moving_variance"] = (channels,)
        case LayerNormalization():
            names = ("gamma", owner.scale), ("beta", owner.center)
            shapes.update({name: (input_shapes[0][-1],) for name, is_there in names if is_there})
        case PReLU():
            shared = owner.shared_axes or ()
            shapes["alpha"] = tuple(1 if axis + 1 in shared else size for axis, size in enumerate(input_shapes[0]))
    if getattr(layer, "use_bias", False):
        shapes["bias"] = (outputs,)
    return shapes


def trainable_weights(layer: Description, input_shapes: Sequence[Shape]) -> list[str]:
    """Names of the weights that training changes by their gradient."""
    names = weight_shapes(layer, input_shapes) if layer.trainable else {}
    measured = ("moving_mean", "moving_variance", "mean", "variance", "count")
    return [name for name in names if name not in measured]


def activation_name(layer: Description) -> str:
    """The activation at the layer's end; `linear` for a layer that has none."""
    if has_rule(layer):
        return "linear"
    return getattr(layer, "activation", None) or "linear"


def _window(layer: Any) -> dict[str, Any]:
    return {"strides": layer.strides, "padding": layer.padding, "dilation_rate": layer.dilation_rate}


def _scattering(layer: Any) -> Scattering:
    return Scattering(layer.kernel_size, layer.strides, layer.padding, layer.output_padding, layer.dilation_rate)


def _pool(layer: Any) -> dict[str, Any]:
    return {"pool_size": layer.pool_size, "strides": layer.strides, "padding": layer.padding}


def _relu(layer: Any) -> dict[str, Any]:
    return {"negative_slope": layer.negative_slope, "max_value": layer.max_value, "threshold": layer.threshold}


def _uses_batch_statistics(layer: Description, training: bool) -> bool:
    # Keras runs a frozen BatchNormalization as in prediction.
    return training and layer.trainable


def _drops(layer: Dropout, training: bool, kept: npt.ArrayLike | None) -> bool:
    if not training or layer.rate == 0.0:
        return False
    if kept is None:
        raise ValueError(f"training through {layer.name} needs its mask: which values were kept")
    return True


def pre_activation(
    layer: Description,
    weights: Weights,
    inputs: Sequence[npt.ArrayLike],
    training: bool = False,
    kept: npt.ArrayLike | None = None,
) -> Array:
    """What the layer computes before its activation; arguments as in `forward`."""
    axis = moved_axis(layer, np.ndim(inputs[0]))
    if axis is not None:
        moved = moved_to_end(inputs, axis)
        last = pre_activation(with_channels_last(layer), weights, moved, training, kept)
        return moved_back(last, axis, moved[0].ndim)
    if has_rule(layer):
        return bounded(layer, weights, [exact(x) for x in inputs], training, kept).value
    owner: Any = layer
    flat = planar(layer)
    if flat is not layer:
        return as_sequence(pre_activation(flat, as_weights(weights), [as_map(layer, inputs[0])], training, kept))
    x = inputs[0]
    bias = weights.get("bias")
    match layer:
        case Conv2D():
            return operations.conv2d(x, weights["kernel"], bias, groups=owner.groups, **_window(layer))
        case DepthwiseConv2D():
            return operations.depthwise_conv2d(x, weights["kernel"], bias, **_window(layer))
        case SeparableConv2D():
            return operations.separable_conv2d(
                x, weights["depthwise_kernel"], weights["pointwise_kernel"], bias, **_window(layer)
            )
        case Conv2DTranspose():
            return conv2d_transpose(x, weights["kernel"], bias, _scattering(layer))
        case Dense():
            return operations.dense(x, weights["kernel"], bias)
        case BatchNormalization():
            if _uses_batch_statistics(layer, training):
                mean, variance = operations.batch_statistics(x)
            else:
                mean, variance = (operations.float64(weights[name]) for name in ("moving_mean", "moving_variance"))
            return operations.batch_normalization(
                x, mean, variance, weights.get("gamma"), weights.get("beta"), owner.epsilon
            )
        case LayerNormalization():
            return operations.layer_normalization(x, weights.get("gamma"), weights.get("beta"), owner.epsilon)
        case PReLU():
            return operations.prelu(x, weights["alpha"])
    return _without_weights(layer, inputs, training, kept)


def _without_weights(
    layer: Description, inputs: Sequence[npt.ArrayLike], training: bool, kept: npt.ArrayLike | None
) -> Array:
    """What a layer that has no weights computes before its activation."""
    owner: Any = layer
    x = inputs[0]
    match layer:
        case MaxPooling2D():
            return operations.max_pooling2d(x, **_pool(layer))
        case AveragePooling2D():
            return operations.average_pooling2d(x, **_pool(layer))
        case GlobalAveragePooling2D():
            return operations.global_average_pooling2d(x, owner.keepdims)
        case GlobalMaxPooling2D():
            return operations.global_max_pooling2d(x, owner.keepdims)
        case Dropout():
            if not _drops(layer, training, kept):
                return operations.float64(x)
            return operations.dropout(x, np.asarray(kept), owner.rate)
        case ReLU():
            return activations.relu(x, **_relu(layer))
        case Flatten():
            return operations.flatten(x)
        case ZeroPadding2D():
            return operations.zero_padding2d(x, owner.padding)
        case Rescaling():
            return operations.rescaling(x, owner.scale, owner.offset)
        case Activation() | InputLayer():
            return operations.float64(x)
    raise TypeError(f"the reference does not know the layer {type(layer).__name__}")


def forward(
    layer: Description,
    weights: Weights,
    inputs: Sequence[npt.ArrayLike],
    training: bool = False,
    kept: npt.ArrayLike | None = None,
) -> Array:
    """The layer's result.

    Args:
        weights: by their short names: `kernel`, `bias`, `gamma`, …
        inputs: one array (batch, …) for each input.
        training: Dropout drops, and BatchNormalization uses the batch's own statistics.
        kept: for Dropout in training: true or 1 where a value is kept, in the shape of the input.
    """
    return activations.activation(activation_name(layer), pre_activation(layer, weights, inputs, training, kept))


def moving_statistics(layer: Description, weights: Weights, x: npt.ArrayLike) -> dict[str, Array]:
    """The moving statistics after a training step on `x`; empty for a layer that has none or is frozen."""
    if not isinstance(layer, BatchNormalization) or not layer.trainable:
        return {}
    axis = moved_axis(layer, np.ndim(x))
    x = x if axis is None else np.moveaxis(np.asarray(x), axis, -1)
    mean, variance = operations.batch_statistics(x)
    return {
        "moving_mean": operations.moving_average(weights["moving_mean"], mean, layer.momentum),
        "moving_variance": operations.moving_average(weights["moving_variance"], variance, layer.momentum),
    }


def gradients(
    layer: Description,
    weights: Weights,
    inputs: Sequence[npt.ArrayLike],
    output_gradient: npt.ArrayLike,
    training: bool = True,
    kept: npt.ArrayLike | None = None,
) -> tuple[list[Array], dict[str, Array]]:
    """Gradients to each input, and to each weight by its short name (moving statistics have none).

    Args:
        output_gradient: gradient to the layer's result, after its activation; the others as in `forward`.
    """
    axis = moved_axis(layer, np.ndim(inputs[0]))
    if axis is not None:
        before = pre_activation(layer, weights, inputs, training, kept)
        dy = np.asarray(activations.activation_gradient(activation_name(layer), before, output_gradient))
        moved = moved_to_end(inputs, axis)
        (dy,) = moved_to_end([dy], axis) if dy.ndim == moved[0].ndim else [dy]
        to_inputs, to_weights = gradients(with_channels_last(layer, linear=True), weights, moved, dy, training, kept)
        return [moved_back(dx, axis, dx.ndim) for dx in to_inputs], to_weights
    if has_rule(layer):
        known = {name: exact(value) for name, value in weights.items()}
        given = Given(layer, known, [exact(x) for x in inputs], kept if training else None)
        return _RULES[type(layer)].gradients(given, operations.float64(output_gradient))
    flat = planar(layer)
    if flat is not layer:
        dy = operations.float64(output_gradient)
        x = as_map(layer, inputs[0])
        (dx,), found = gradients(
            flat, as_weights(weights), [x], dy[:, np.newaxis] if dy.ndim == 3 else dy, training, kept
        )
        return [as_sequence(dx)[:, padded_before(layer) :]], as_sequence_weights(found)
    before = pre_activation(layer, weights, inputs, training, kept)
    dy = activations.activation_gradient(activation_name(layer), before, output_gradient)
    return _linear_gradients(layer, weights, inputs, dy, training, kept)


def _linear_gradients(
    layer: Description,
    weights: Weights,
    inputs: Sequence[npt.ArrayLike],
    dy: Array,
    training: bool,
    kept: npt.ArrayLike | None,
) -> tuple[list[Array], dict[str, Array]]:
    """As `gradients`; `dy` is to what the layer computes before its activation."""
    owner: Any = layer
    x = operations.float64(inputs[0])
    found = {}
    if "bias" in weights:
        found["bias"] = backward.bias_gradient(dy)
    match layer:
        case Conv2D():
            window = {**_window(layer), "groups": owner.groups}
            kernel = operations.float64(weights["kernel"])
            found["kernel"] = backward.conv2d_kernel_gradient(x, dy, kernel.shape[:2], **window)
            return [backward.conv2d_input_gradient(dy, kernel, x.shape, **window)], found
        case DepthwiseConv2D():
            window = _window(layer)
            kernel = operations.float64(weights["kernel"])
            found["kernel"] = backward.depthwise_conv2d_kernel_gradient(x, dy, kernel.shape[:2], **window)
            return [backward.depthwise_conv2d_input_gradient(dy, kernel, x.shape, **window)], found
        case SeparableConv2D():
            names = ("depthwise_kernel", "pointwise_kernel")
            dx, *kernels = backward.separable_conv2d_gradients(
                x, weights[names[0]], weights[names[1]], dy, **_window(layer)
            )
            return [dx], {**dict(zip(names, kernels)), **found}
        case Conv2DTranspose():
            dx, found["kernel"] = conv2d_transpose_gradients(x, weights["kernel"], dy, _scattering(layer))
            return [dx], found
        case Dense():
            found["kernel"] = backward.dense_kernel_gradient(x, dy)
            return [backward.dense_input_gradient(dy, weights["kernel"])], found
        case BatchNormalization():
            gamma = weights.get("gamma")
            if _uses_batch_statistics(layer, training):
                dx, *scales = backward.batch_normalization_training_gradients(x, gamma, dy, owner.epsilon)
            else:
                dx, *scales = backward.batch_normalization_gradients(
                    x, weights["moving_mean"], weights["moving_variance"], gamma, dy, owner.epsilon
                )
            return [dx], {name: value for name, value in zip(("gamma", "beta"), scales) if name in weights}
        case LayerNormalization():
            dx, *scales = backward.layer_normalization_gradients(x, weights.get("gamma"), dy, owner.epsilon)
            return [dx], {name: value for name, value in zip(("gamma", "beta"), scales) if name in weights}
        case PReLU():
            dx, found["alpha"] = backward.prelu_gradients(x, weights["alpha"], dy)
            return [dx], found
    return _gradients_without_weights(layer, inputs, dy, training, kept), {}


def _gradients_without_weights(
    layer: Description, inputs: Sequence[npt.ArrayLike], dy: Array, training: bool, kept: npt.ArrayLike | None
) -> list[Array]:
    """The gradient to each input of a layer that has no weights; `dy` is to what it computes before its activation."""
    owner: Any = layer
    x = operations.float64(inputs[0])
    match layer:
        case MaxPooling2D():
            return [backward.max_pooling2d_gradient(x, dy, **_pool(layer))]
        case AveragePooling2D():
            return [backward.average_pooling2d_gradient(dy, x.shape, **_pool(layer))]
        case GlobalAveragePooling2D():
            return [backward.global_average_pooling2d_gradient(dy, x.shape)]
        case GlobalMaxPooling2D():
            return [backward.global_max_pooling2d_gradient(x, dy)]
        case Dropout():
            return [operations.dropout(dy, np.asarray(kept), owner.rate) if _drops(layer, training, kept) else dy]
        case ReLU():
            return [dy * activations.relu_slope(x, **_relu(layer))]
        case Flatten():
            return [dy.reshape(x.shape)]
        case ZeroPadding2D():
            return [backward.zero_padding2d_gradient(dy, owner.padding)]
        case Rescaling():
            return [dy * np.asarray(owner.scale)]
        case Activation():
            return [dy]
    raise TypeError(f"the reference does not know the layer {type(layer).__name__}")

"""Sizes around a tile, seeded random layer configurations, and data whose float32 sums are exact."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from depthwise.arguments import ACTIVATIONS
from depthwise.layers import descriptions as layers
from depthwise.reference import bounds
from depthwise.reference import layer as one_layer
from depthwise.reference.planar import planar

__all__ = [
    "Configuration",
    "draw_inputs",
    "draw_weights",
    "integer_case",
    "random_configuration",
    "sizes_around",
    "small_integers",
]

Shape = tuple[int, ...]
Arrays = dict[str, npt.NDArray[np.float32]]
INTERPOLATIONS = ("nearest", "nearest", "bilinear", "bilinear", "bicubic", "lanczos3", "lanczos5")
EXACT_BELOW = 2.0**24


def sizes_around(tile: int) -> tuple[int, ...]:
    """1, tile − 1, tile, tile + 1 and 2·tile + 3, each once, none below 1.

    >>> sizes_around(4), sizes_around(1)
    ((1, 3, 4, 5, 11), (1, 2, 5))
    """
    return tuple(sorted({size for size in (1, tile - 1, tile, tile + 1, 2 * tile + 3) if size >= 1}))


class Configuration(NamedTuple):
    """A layer, and the shapes of its inputs: each that of one sample."""

    layer: layers.Description
    input_shapes: tuple[Shape, ...]


def _one_of(rng: np.random.Generator, *values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _image(rng: np.random.Generator, least: tuple[int, int] = (1, 1)) -> tuple[int, int, int]:
    """Mostly small and odd; one row, one column and one channel come up often."""
    rows, columns = (max(low, int(_one_of(rng, 1, 2, 3, 5, 7, int(rng.integers(1, 14))))) for low in least)
    return rows, columns, int(_one_of(rng, 1, 1, 2, 3, 4, 5, 8, int(rng.integers(1, 20))))


def _window(rng: np.random.Generator, *, both: bool = False) -> tuple[dict[str, Any], tuple[int, int, int]]:
    """Arguments of a convolution's window, and an input that it fits; `both` may have strides and dilation above 1."""
    kernel = _one_of(rng, (3, 3), (1, 1), (5, 5), (int(rng.integers(1, 5)), int(rng.integers(1, 5))))
    strides, dilation = (1, 1), (1, 1)
    if rng.random() < 0.5:
        # Keras' TensorFlow backend takes equal strides only for depthwise kernels; mostly equal ones are what is used.
        strides = _one_of(rng, (2, 2), (2, 2), (3, 3), (int(rng.integers(1, 4)), int(rng.integers(1, 4))))
    if (both or strides == (1, 1)) and rng.random() < 0.4:
        dilation = _one_of(rng, (2, 2), (3, 3), (int(rng.integers(1, 4)), int(rng.integers(1, 4))))
    padding = _one_of(rng, "valid", "same")
    spans = (1 + (kernel[0] - 1) * dilation[0], 1 + (kernel[1] - 1) * dilation[1])
    arguments = {"kernel_size": kernel, "strides": strides, "padding": padding, "dilation_rate": dilation}
    return arguments, _image(rng, spans if padding == "valid" else (1, 1))


def _ending(rng: np.random.Generator) -> dict[str, Any]:
    activation = _one_of(rng, *ACTIVATIONS) if rng.random() < 0.6 else None
    return {"activation": activation, "use_bias": bool(rng.random() < 0.8)}


def _conv2d(rng: np.random.Generator) -> Configuration:
    window, (rows, columns, channels) = _window(rng)
    groups = int(_one_of(rng, 1, 1, 1, 2, 3, channels))
    channels = -(-channels // groups) * groups
    filters = groups * int(rng.integers(1, 1 + max(1, 12 // groups)))
    layer = layers.Conv2D(filters, groups=groups, **window, **_ending(rng))
    return Configuration(layer, ((rows, columns, channels),))


def _depthwise_conv2d(rng: np.random.Generator) -> Configuration:
    window, shape = _window(rng, both=True)
    layer = layers.DepthwiseConv2D(depth_multiplier=int(_one_of(rng, 1, 1, 2, 3)), **window, **_ending(rng))
    return Configuration(layer, (shape,))


def _separable_conv2d(rng: np.random.Generator) -> Configuration:
    window, shape = _window(rng, both=True)
    filters, multiplier = int(rng.integers(1, 20)), int(_one_of(rng, 1, 1, 2, 3))
    layer = layers.SeparableConv2D(filters, depth_multiplier=multiplier, **window, **_ending(rng))
    return Configuration(layer, (shape,))


def _conv2d_transpose(rng: np.random.Generator) -> Configuration:
    kernel = _one_of(rng, (3, 3), (2, 2), (int(rng.integers(1, 5)), int(rng.integers(1, 5))))
    strides: tuple[int, int] = _one_of(rng, (1, 1), (2, 2), (int(rng.integers(1, 4)), int(rng.integers(1, 4))))
    dilation = _one_of(rng, (1, 1), (2, 2), (1, 3)) if strides == (1, 1) else (1, 1)
    added = tuple(int(rng.integers(stride)) for stride in strides) if rng.random() < 0.4 else None
    layer = layers.Conv2DTranspose(
        int(rng.integers(1, 20)), kernel, strides, _one_of(rng, "valid", "same"), added, dilation_rate=dilation,
        **_ending(rng),
    )  # fmt: skip
    return Configuration(layer, (_image(rng, (1, 1) if added is None else (2, 2)),))


def _up_sampling2d(rng: np.random.Generator) -> Configuration:
    size = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    return Configuration(layers.UpSampling2D(size, interpolation=_one_of(rng, *INTERPOLATIONS)), (_image(rng),))


def _resizing(rng: np.random.Generator) -> Configuration:
    height, width = (int(size) for size in rng.integers(1, 12, 2))
    aspect = _one_of(rng, {}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True, "fill_value": 0.5})
    layer = layers.Resizing(height, width, _one_of(rng, *INTERPOLATIONS), antialias=bool(rng.random() < 0.5), **aspect)
    return Configuration(layer, (_image(rng),))


def _center_crop(rng: np.random.Generator) -> Configuration:
    height, width = (int(size) for size in rng.integers(1, 8, 2))
    return Configuration(layers.CenterCrop(height, width), (_image(rng),))


def _random_change(kind: str, **options: Any) -> Callable[[np.random.Generator], Configuration]:
    make: Any = layers.LAYERS[kind]
    return lambda rng: Configuration(make(**options), (_image(rng),))


def _dense(rng: np.random.Generator) -> Configuration:
    shape = (int(rng.integers(1, 70)),) if rng.random() < 0.7 else _image(rng)
    return Configuration(layers.Dense(int(rng.integers(1, 40)), **_ending(rng)), (shape,))


def _pooling(kind: type[layers.Description]) -> Callable[[np.random.Generator], Configuration]:
    def draw(rng: np.random.Generator) -> Configuration:
        pool = _one_of(rng, (2, 2), (3, 3), (int(rng.integers(1, 5)), int(rng.integers(1, 5))))
        strides = _one_of(rng, None, None, (1, 1), (2, 2), (int(rng.integers(1, 5)), int(rng.integers(1, 5))))
        padding = _one_of(rng, "valid", "same")
        make: Any = kind
        layer = make(pool_size=pool, strides=strides, padding=padding)
        return Configuration(layer, (_image(rng, pool if padding == "valid" else (1, 1)),))

    return draw


def _global_pooling(kind: type[layers.Description]) -> Callable[[np.random.Generator], Configuration]:
    make: Any = kind
    return lambda rng: Configuration(make(keepdims=bool(rng.random() < 0.3)), (_image(rng),))


def _any_shape(rng: np.random.Generator) -> Shape:
    return _image(rng) if rng.random() < 0.7 else (int(rng.integers(1, 70)),)


def _batch_normalization(rng: np.random.Generator) -> Configuration:
    layer = layers.BatchNormalization(
        momentum=float(_one_of(rng, 0.99, 0.9, 0.5)),
        epsilon=float(_one_of(rng, 1e-3, 1e-5)),
        center=bool(rng.random() < 0.8),
        scale=bool(rng.random() < 0.8),
    )
    return Configuration(layer, (_any_shape(rng),))


def _relu(rng: np.random.Generator) -> Configuration:
    layer = layers.ReLU(
        max_value=_one_of(rng, None, None, 6.0, 1.5),
        negative_slope=float(_one_of(rng, 0.0, 0.0, 0.25)),
        threshold=float(_one_of(rng, 0.0, 0.0, 0.5)),
    )
    return Configuration(layer, (_any_shape(rng),))


def _layer_normalization(rng: np.random.Generator) -> Configuration:
    center, scale = (bool(rng.random() < 0.8) for _ in range(2))
    epsilon, shape = float(_one_of(rng, 1e-3, 1e-5)), _any_shape(rng)
    axes: tuple[Any, ...] = (-1,) if len(shape) == 1 else (-1, 2, (1, 2), (-3, -1))
    axis = axes[sum(shape) % len(axes)]
    return Configuration(layers.LayerNormalization(axis, epsilon, center=center, scale=scale), (shape,))


def _rms_normalization(rng: np.random.Generator) -> Configuration:
    shape = _any_shape(rng)
    axis = _one_of(rng, -1, (-2, -1)) if len(shape) > 1 else -1
    return Configuration(layers.RMSNormalization(axis, float(_one_of(rng, 1e-6, 1e-3))), (shape,))


def _prelu(rng: np.random.Generator) -> Configuration:
    shape = _any_shape(rng)
    shared = tuple(axis + 1 for axis in range(len(shape)) if rng.random() < 0.5)
    return Configuration(layers.PReLU(shared_axes=shared or None), (shape,))


def _layer_scale(rng: np.random.Generator) -> Configuration:
    shape = _any_shape(rng)
    return Configuration(layers.LayerScale(0.5, shape[-1]), (shape,))


def _zero_padding2d(rng: np.random.Generator) -> Configuration:
    top, bottom, left, right = (int(size) for size in rng.integers(0, 4, 4))
    return Configuration(layers.ZeroPadding2D(((top, bottom), (left, right))), (_image(rng),))


def _rescaling(rng: np.random.Generator) -> Configuration:
    if rng.random() < 0.3:
        shape = _any_shape(rng)
        scale, offset = (tuple(float(item) for item in rng.uniform(-2.0, 2.0, shape[-1])) for _ in range(2))
        return Configuration(layers.Rescaling(scale, _one_of(rng, 0.0, 0.5, offset)), (shape,))
    layer = layers.Rescaling(float(_one_of(rng, 1 / 255, 2.0, -0.5)), float(_one_of(rng, 0.0, -1.0, 0.5)))
    return Configuration(layer, (_any_shape(rng),))


def _merge(kind: type[layers.Description], most: int = 4) -> Callable[[np.random.Generator], Configuration]:
    """Inputs of one shape, or some that are broadcast: one row, one column, one channel, a vector of channels."""
    make: Any = kind

    def draw(rng: np.random.Generator) -> Configuration:
        shape = _any_shape(rng)
        count = 2 if most == 2 else int(rng.integers(1, most + 1))
        shapes = [shape]
        for _ in range(count - 1):
            own = tuple(1 if rng.random() < 0.25 else size for size in shape)
            shapes.append(own[-1:] if rng.random() < 0.1 else own)
        return Configuration(make(), tuple(shapes[:: int(_one_of(rng, 1, -1))]))

    return draw


def _concatenate_along(rng: np.random.Generator) -> Configuration:
    shape = _any_shape(rng)
    axis = int(rng.integers(len(shape))) if rng.random() < 0.4 else len(shape) - 1
    sizes = rng.integers(1, 9, int(rng.integers(1, 5)))
    shapes = tuple((*shape[:axis], int(size), *shape[axis + 1 :]) for size in sizes)
    return Configuration(layers.Concatenate(_axis(rng, axis, shape)), shapes)


def _axis(rng: np.random.Generator, axis: int, shape: Shape) -> int:
    """An axis of a sample as Keras counts it, from the start or from the end."""
    return int(_one_of(rng, axis + 1, axis - len(shape)))


def _axes(rng: np.random.Generator, shape: Shape) -> Any:
    chosen = [axis for axis in range(len(shape)) if rng.random() < 0.4]
    if not chosen:
        return -1
    return tuple(_axis(rng, axis, shape) for axis in chosen) if len(chosen) > 1 else _axis(rng, chosen[0], shape)


def _along(kind: type[layers.Description]) -> Callable[[np.random.Generator], Configuration]:
    make: Any = kind

    def draw(rng: np.random.Generator) -> Configuration:
        shape = _any_shape(rng)
        return Configuration(make(axis=_axes(rng, shape)), (shape,))

    return draw


def _dot(rng: np.random.Generator) -> Configuration:
    length, normalize = int(rng.integers(1, 20)), bool(rng.random() < 0.5)
    shapes, axes = [], []
    for _ in range(2):
        others = tuple(int(size) for size in rng.integers(1, 5, int(rng.integers(0, 3))))
        axis = int(rng.integers(len(others) + 1))
        shapes.append((*others[:axis], length, *others[axis:]))
        axes.append(_axis(rng, axis, shapes[-1]))
    same = axes[0] == axes[1] and rng.random() < 0.5
    layer = layers.Dot(axes[0] if same else tuple(axes), normalize)
    return Configuration(layer, tuple(shapes))


def _group_normalization(rng: np.random.Generator) -> Configuration:
    groups = int(_one_of(rng, 1, 2, 3, -1))
    channels = abs(groups) * int(rng.integers(1, 6))
    shape = (*_image(rng)[:2], channels) if rng.random() < 0.7 else (channels * 2,)
    center, scale = (bool(rng.random() < 0.8) for _ in range(2))
    epsilon, axis = float(_one_of(rng, 1e-3, 1e-5)), -1
    if len(shape) == 3 and shape[0] % 2:
        shape, axis = (shape[2], *shape[:2]), 1
    return Configuration(layers.GroupNormalization(groups, axis, epsilon, center=center, scale=scale), (shape,))


def _reshape(rng: np.random.Generator) -> Configuration:
    shape = _any_shape(rng)
    size = int(np.prod(shape))
    divisor = int(_one_of(rng, *(n for n in range(1, 7) if size % n == 0)))
    rest = size // divisor
    target = _one_of(rng, (size,), (-1,), (divisor, rest), (rest, -1), (-1, divisor, 1), (divisor, 1, rest), shape)
    return Configuration(layers.Reshape(target), (shape,))


def _permute(rng: np.random.Generator) -> Configuration:
    shape = _any_shape(rng)
    return Configuration(layers.Permute(tuple(int(axis) + 1 for axis in rng.permutation(len(shape)))), (shape,))


def _normalization(rng: np.random.Generator) -> Configuration:
    shape, invert = _any_shape(rng), bool(rng.integers(2))
    several = tuple(float(item) for item in rng.uniform(0.5, 2.0, shape[-1]))
    chosen = int(rng.integers(4))
    if chosen < 2:
        return Configuration(layers.Normalization(-1 if chosen else None, invert=invert), (shape,))
    mean, variance = (0.5, 2.0) if chosen == 2 else (several[::-1], several)
    return Configuration(layers.Normalization(mean=mean, variance=variance, invert=invert), (shape,))


def _repeat_vector(rng: np.random.Generator) -> Configuration:
    return Configuration(layers.RepeatVector(int(rng.integers(1, 6))), ((int(rng.integers(1, 40)),),))


def _sides(rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(0, 4)), int(rng.integers(0, 4))


def _cropping2d(rng: np.random.Generator) -> Configuration:
    rows, columns = _sides(rng), _sides(rng)
    return Configuration(layers.Cropping2D((rows, columns)), (_image(rng, (sum(rows) + 1, sum(columns) + 1)),))


def _cropping1d(rng: np.random.Generator) -> Configuration:
    sides = _sides(rng)
    return Configuration(layers.Cropping1D(sides), (_image(rng, (1, sum(sides) + 1))[1:],))


def _on_sequences(kind: str, draw: Callable[[np.random.Generator], Configuration]) -> Any:
    """Configurations of a layer over sequences, from those of the one over maps."""

    def draw_sequence(rng: np.random.Generator) -> Configuration:
        layer, ((_, columns, channels),) = draw(rng)
        arguments = {
            field.name: getattr(layer, field.name)
            for field in dataclasses.fields(layer)
            if field.name not in ("name", "input_shape", "dtype", "data_format")
        }
        lengths = ("kernel_size", "strides", "dilation_rate", "pool_size", "output_padding")
        arguments |= {name: arguments[name][-1] for name in lengths if arguments.get(name) is not None}
        if kind == "Conv1D" and rng.random() < 0.4:
            arguments["padding"] = "causal"
        return Configuration(layers.LAYERS[kind](**arguments), ((columns, channels),))

    return draw_sequence


_KINDS: dict[type[layers.Description], Callable[[np.random.Generator], Configuration]] = {
    layers.Conv2D: _conv2d,
    layers.DepthwiseConv2D: _depthwise_conv2d,
    layers.SeparableConv2D: _separable_conv2d,
    layers.Conv2DTranspose: _conv2d_transpose,
    layers.UpSampling1D: lambda rng: Configuration(layers.UpSampling1D(int(rng.integers(1, 4))), (_image(rng)[1:],)),
    layers.UpSampling2D: _up_sampling2d,
    layers.Resizing: _resizing,
    layers.CenterCrop: _center_crop,
    **{
        layers.LAYERS[kind]: _random_change(kind, **options)
        for kind, options in {
            "RandomFlip": {},
            "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.1},
            "RandomRotation": {"factor": 0.1},
            "RandomZoom": {"height_factor": 0.2},
            "RandomContrast": {"factor": 0.3},
            "RandomBrightness": {"factor": 0.3},
        }.items()
    },
    layers.RandomCrop: _random_change("RandomCrop", height=2, width=3),
    layers.Dense: _dense,
    layers.MaxPooling2D: _pooling(layers.MaxPooling2D),
    layers.AveragePooling2D: _pooling(layers.AveragePooling2D),
    layers.GlobalAveragePooling2D: _global_pooling(layers.GlobalAveragePooling2D),
    layers.GlobalMaxPooling2D: _global_pooling(layers.GlobalMaxPooling2D),
    layers.BatchNormalization: _batch_normalization,
    layers.LayerNormalization: _layer_normalization,
    layers.RMSNormalization: _rms_normalization,
    layers.PReLU: _prelu,
    layers.LayerScale: _layer_scale,
    layers.Flatten: lambda rng: Configuration(layers.Flatten(), (_image(rng),)),
    layers.Dropout: lambda rng: Configuration(
        layers.Dropout(float(_one_of(rng, 0.0, 0.2, 0.5, 1.0))), (_any_shape(rng),)
    ),
    layers.Activation: lambda rng: Configuration(layers.Activation(_one_of(rng, *ACTIVATIONS)), (_any_shape(rng),)),
    layers.ReLU: _relu,
    layers.Add: _merge(layers.Add),
    layers.Subtract: _merge(layers.Subtract, 2),
    layers.Multiply: _merge(layers.Multiply),
    layers.Average: _merge(layers.Average),
    layers.Maximum: _merge(layers.Maximum),
    layers.Minimum: _merge(layers.Minimum),
    layers.Concatenate: _concatenate_along,
    layers.Dot: _dot,
    layers.Softmax: _along(layers.Softmax),
    layers.UnitNormalization: _along(layers.UnitNormalization),
    layers.GroupNormalization: _group_normalization,
    layers.LeakyReLU: lambda rng: Configuration(
        layers.LeakyReLU(float(_one_of(rng, 0.3, 0.0, 1.5))), (_any_shape(rng),)
    ),
    layers.ELU: lambda rng: Configuration(layers.ELU(float(_one_of(rng, 1.0, 0.5, 2.0))), (_any_shape(rng),)),
    layers.ThresholdedReLU: lambda rng: Configuration(
        layers.ThresholdedReLU(float(_one_of(rng, 1.0, 0.5))), (_any_shape(rng),)
    ),
    layers.Identity: lambda rng: Configuration(layers.Identity(), (_any_shape(rng),)),
    layers.ActivityRegularization: lambda rng: Configuration(
        layers.ActivityRegularization(0.01, 0.02), (_any_shape(rng),)
    ),
    layers.Reshape: _reshape,
    layers.SpatialDropout2D: lambda rng: Configuration(layers.SpatialDropout2D(0.4), (_image(rng),)),
    layers.SpatialDropout1D: lambda rng: Configuration(layers.SpatialDropout1D(0.4), (_image(rng)[1:],)),
    layers.GaussianNoise: lambda rng: Configuration(layers.GaussianNoise(0.4), (_any_shape(rng),)),
    layers.GaussianDropout: lambda rng: Configuration(layers.GaussianDropout(0.4), (_any_shape(rng),)),
    layers.AlphaDropout: lambda rng: Configuration(layers.AlphaDropout(0.4), (_any_shape(rng),)),
    layers.Permute: _permute,
    layers.RepeatVector: _repeat_vector,
    layers.Cropping2D: _cropping2d,
    layers.Cropping1D: _cropping1d,
    layers.ZeroPadding1D: lambda rng: Configuration(layers.ZeroPadding1D(_sides(rng)), (_image(rng)[1:],)),
    layers.ZeroPadding2D: _zero_padding2d,
    layers.Rescaling: _rescaling,
    layers.Normalization: _normalization,
    **{
        layers.LAYERS[kind]: _on_sequences(kind, draw)
        for kind, draw in {
            "Conv1D": _conv2d,
            "DepthwiseConv1D": _depthwise_conv2d,
            "SeparableConv1D": _separable_conv2d,
            "Conv1DTranspose": _conv2d_transpose,
            "MaxPooling1D": _pooling(layers.MaxPooling2D),
            "AveragePooling1D": _pooling(layers.AveragePooling2D),
            "GlobalMaxPooling1D": _global_pooling(layers.GlobalMaxPooling2D),
            "GlobalAveragePooling1D": _global_pooling(layers.GlobalAveragePooling2D),
        }.items()
    },
}


_FRACTIONS = (
    layers.Average,
    layers.ELU,
    layers.GroupNormalization,
    layers.LeakyReLU,
    layers.Normalization,
    layers.RMSNormalization,
    layers.Softmax,
    layers.ThresholdedReLU,
    layers.UnitNormalization,
)
"""Layers that make fractions of whole numbers."""


def random_configuration(
    rng: np.random.Generator, kinds: Sequence[type[layers.Description]] | None = None
) -> Configuration:
    """A random legal layer with inputs that fit it, small enough for the reference.

    Args:
        kinds: the layer classes to choose from; all (but `InputLayer`) where None. Convolutions come up three times as
            often as the rest, because they have the most arguments.
    """
    among = list(kinds) if kinds is not None else [kind for kind in _KINDS for _ in range(_shares(kind))]
    return _KINDS[_one_of(rng, *among)](rng)


def _shares(kind: type[layers.Description]) -> int:
    return 3 if kind in (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D) else 1


def draw_inputs(rng: np.random.Generator, input_shapes: Sequence[Shape], batch: int) -> list[npt.NDArray[np.float32]]:
    """Standard normal float32 data: one array (batch, …) for each shape."""
    return [rng.standard_normal((batch, *shape)).astype(np.float32) for shape in input_shapes]


def draw_weights(rng: np.random.Generator, layer: layers.Description, input_shapes: Sequence[Shape]) -> Arrays:
    """Random float32 weights by their short names: kernels scaled by √(1 / fan in), variances above 0."""
    weights: Arrays = {}
    for name, shape in one_layer.weight_shapes(layer, input_shapes).items():
        values = rng.standard_normal(shape)
        if name in ("moving_variance", "variance"):
            values = 0.25 + np.abs(values)
        elif name == "gamma":
            values = 1.0 + 0.25 * values
        elif name.endswith("kernel"):
            fan_in = (
                int(np.prod(shape[:2])) if "depthwise" in type(layer).__name__.lower() else int(np.prod(shape[:-1]))
            )
            values = values / np.sqrt(fan_in)
        weights[name] = values.astype(np.float32)
    return weights


def small_integers(rng: np.random.Generator, shape: Shape, largest: int = 3) -> npt.NDArray[np.float32]:
    """Whole numbers from −largest to largest, as float32."""
    return rng.integers(-largest, largest, shape, endpoint=True).astype(np.float32)


def integer_case(
    rng: np.random.Generator, configuration: Configuration, batch: int, largest: int = 3
) -> tuple[Arrays, list[npt.NDArray[np.float32]]]:
    """Weights and inputs of small whole numbers, for the exact gate: no partial sum, in any order, reaches 2²⁴.

    Raises:
        ValueError: a sum could reach 2²⁴, the layer divides (average pooling, batch normalisation), or its activation
            gives no whole numbers: choose another.
    """
    layer, input_shapes = configuration
    if one_layer.activation_name(layer) not in ("linear", "relu", "relu6"):
        raise ValueError(f"the results of {one_layer.activation_name(layer)} are not whole numbers")
    if isinstance(layer, _FRACTIONS) or getattr(layer, "normalize", False):
        raise ValueError(f"the results of {type(layer).__name__} are not whole numbers")
    means = (layers.AveragePooling2D, layers.GlobalAveragePooling2D)
    if isinstance(planar(layer), (*means, layers.BatchNormalization, layers.LayerNormalization, layers.Rescaling)):
        raise ValueError(f"{type(layer).__name__} divides or scales; its results are not whole numbers")
    if (
        isinstance(layer, (layers.Resizing, layers.CenterCrop, layers.RandomCrop))
        or getattr(layer, "interpolation", "nearest") != "nearest"
    ):
        raise ValueError(f"{type(layer).__name__} interpolates; its results are not whole numbers")
    shapes = one_layer.weight_shapes(layer, input_shapes)
    weights = {name: small_integers(rng, shape, largest) for name, shape in shapes.items()}
    inputs = [small_integers(rng, (batch, *shape), largest) for shape in input_shapes]
    if bounds.magnitude(layer, weights, inputs).max() >= EXACT_BELOW:
        raise ValueError(f"{layer} on {input_shapes} can add up to 2²⁴ and more; use smaller integers")
    return weights, inputs

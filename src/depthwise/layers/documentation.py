"""What `help` says of every layer besides its own docstring: arguments, shapes, the number of parameters, an example."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from depthwise.documentation import completed

__all__ = ["ARGUMENTS", "SHEETS", "Sheet", "layer_documentation"]

ANY = "(batch, …), any shape"
SAME = "that of the input"
MAP = "(batch, height, width, channels)"
NEW_MAP = "(batch, new height, new width, channels)"
STEPS = "(batch, steps, channels)"
NEW_STEPS = "(batch, new steps, channels)"
LIST = "a list of shapes (batch, …) that fit each other; sizes of 1 are repeated"


class Sheet(NamedTuple):
    """Of one layer.

    Attributes:
        arguments: those of the example, as they are typed.
        input_shape, output_shape: in words, with the batch.
        example: the input's shape in the example, and what follows: the output's, and how many numbers the weights hold.
        parameters: the formula of that number; "" for a layer without weights.
    """

    arguments: str
    input_shape: str
    output_shape: str
    example: tuple[Any, Any, int]
    parameters: str = ""


_FILTERED = "(batch, new height, new width, filters)"
_FILTERED_STEPS = "(batch, new steps, filters)"
_MULTIPLIED = "(batch, new height, new width, channels · depth_multiplier)"
_IMAGE = (None, 28, 28, 32)
_SEQUENCE = (None, 100, 16)

SHEETS: Mapping[str, Sheet] = {
    "Activation": Sheet('"relu"', ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "ActivityRegularization": Sheet("l2=1e-4", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "Add": Sheet("", LIST, "that of the sum", ([_IMAGE, (None, 1, 1, 32)], _IMAGE, 0)),
    "AlphaDropout": Sheet("0.1", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "Average": Sheet("", LIST, "that of the sum", ([_IMAGE, _IMAGE], _IMAGE, 0)),
    "AveragePooling1D": Sheet("2", STEPS, NEW_STEPS, (_SEQUENCE, (None, 50, 16), 0)),
    "AveragePooling2D": Sheet("2", MAP, NEW_MAP, (_IMAGE, (None, 14, 14, 32), 0)),
    "BatchNormalization": Sheet("", ANY, SAME, (_IMAGE, _IMAGE, 128), "4 · channels, half of them moving statistics"),
    "CenterCrop": Sheet("24, 24", MAP, "(batch, height, width, channels) of the arguments", (_IMAGE, (None, 24, 24, 32), 0)),
    "Concatenate": Sheet("", "a list of shapes that differ along `axis` only", "their sum along `axis`", ([_IMAGE, (None, 28, 28, 8)], (None, 28, 28, 40), 0)),
    "Conv1D": Sheet("8, 3", STEPS, _FILTERED_STEPS, (_SEQUENCE, (None, 98, 8), 392), "kernel_size · channels / groups · filters + filters"),
    "Conv1DTranspose": Sheet("8, 3, strides=2", STEPS, _FILTERED_STEPS, (_SEQUENCE, (None, 201, 8), 392), "kernel_size · filters · channels + filters"),
    "Conv2D": Sheet('64, 3, padding="same"', MAP, _FILTERED, (_IMAGE, (None, 28, 28, 64), 18496), "kernel height · kernel width · channels / groups · filters + filters"),
    "Conv2DTranspose": Sheet('8, 3, strides=2, padding="same"', MAP, _FILTERED, (_IMAGE, (None, 56, 56, 8), 2312), "kernel height · kernel width · filters · channels + filters"),
    "Cropping1D": Sheet("(2, 3)", STEPS, NEW_STEPS, (_SEQUENCE, (None, 95, 16), 0)),
    "Cropping2D": Sheet("((1, 2), (3, 4))", MAP, NEW_MAP, (_IMAGE, (None, 25, 21, 32), 0)),
    "Dense": Sheet('10, activation="softmax"', "(batch, …, features)", "(batch, …, units)", ((None, 128), (None, 10), 1290), "features · units + units"),
    "DepthwiseConv1D": Sheet("3", STEPS, "(batch, new steps, channels · depth_multiplier)", (_SEQUENCE, (None, 98, 16), 64), "(kernel_size + 1) · channels · depth_multiplier"),
    "DepthwiseConv2D": Sheet('3, padding="same"', MAP, _MULTIPLIED, (_IMAGE, _IMAGE, 320), "(kernel height · kernel width + 1) · channels · depth_multiplier"),
    "Dot": Sheet("axes=1", "a list of two shapes", "the other axes of the first, then those of the second", ([(None, 8), (None, 8)], (None, 1), 0)),
    "Dropout": Sheet("0.5", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "ELU": Sheet("", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "Flatten": Sheet("", ANY, "(batch, the product of the other sizes)", ((None, 7, 7, 128), (None, 6272), 0)),
    "GaussianDropout": Sheet("0.1", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "GaussianNoise": Sheet("0.1", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "GlobalAveragePooling1D": Sheet("", STEPS, "(batch, channels)", (_SEQUENCE, (None, 16), 0)),
    "GlobalAveragePooling2D": Sheet("", MAP, "(batch, channels)", (_IMAGE, (None, 32), 0)),
    "GlobalMaxPooling1D": Sheet("", STEPS, "(batch, channels)", (_SEQUENCE, (None, 16), 0)),
    "GlobalMaxPooling2D": Sheet("", MAP, "(batch, channels)", (_IMAGE, (None, 32), 0)),
    "GroupNormalization": Sheet("8", ANY, SAME, (_IMAGE, _IMAGE, 64), "2 · channels"),
    "Identity": Sheet("", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "LayerNormalization": Sheet("", ANY, SAME, (_IMAGE, _IMAGE, 64), "2 · channels"),
    "LayerScale": Sheet("1e-6, 32", ANY, SAME, (_IMAGE, _IMAGE, 32), "channels"),
    "LeakyReLU": Sheet("0.1", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "MaxPooling1D": Sheet("2", STEPS, NEW_STEPS, (_SEQUENCE, (None, 50, 16), 0)),
    "MaxPooling2D": Sheet("2", MAP, NEW_MAP, (_IMAGE, (None, 14, 14, 32), 0)),
    "Maximum": Sheet("", LIST, "that of the sum", ([_IMAGE, _IMAGE], _IMAGE, 0)),
    "Minimum": Sheet("", LIST, "that of the sum", ([_IMAGE, _IMAGE], _IMAGE, 0)),
    "Multiply": Sheet("", LIST, "that of the product", ([_IMAGE, (None, 1, 1, 32)], _IMAGE, 0)),
    "Normalization": Sheet("mean=0.5, variance=0.25", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "PReLU": Sheet("shared_axes=[1, 2]", ANY, SAME, (_IMAGE, _IMAGE, 32), "the product of the sizes of the axes that are not shared"),
    "Permute": Sheet("(3, 1, 2)", ANY, "the same sizes in the order of `dims`", (_IMAGE, (None, 32, 28, 28), 0)),
    "RandomBrightness": Sheet("0.2", MAP, SAME, (_IMAGE, _IMAGE, 0)),
    "RandomContrast": Sheet("0.2", MAP, SAME, (_IMAGE, _IMAGE, 0)),
    "RandomCrop": Sheet("24, 24", MAP, "(batch, height, width, channels) of the arguments", (_IMAGE, (None, 24, 24, 32), 0)),
    "RandomFlip": Sheet('"horizontal"', MAP, SAME, (_IMAGE, _IMAGE, 0)),
    "RandomRotation": Sheet("0.1", MAP, SAME, (_IMAGE, _IMAGE, 0)),
    "RandomTranslation": Sheet("0.1, 0.1", MAP, SAME, (_IMAGE, _IMAGE, 0)),
    "RandomZoom": Sheet("0.1", MAP, SAME, (_IMAGE, _IMAGE, 0)),
    "ReLU": Sheet("max_value=6.0", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "RepeatVector": Sheet("3", "(batch, features)", "(batch, n, features)", ((None, 8), (None, 3, 8), 0)),
    "Rescaling": Sheet("1 / 255", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "Reshape": Sheet("(7, 112)", ANY, "(batch, sizes of target_shape)", ((None, 28, 28), (None, 7, 112), 0)),
    "Resizing": Sheet("14, 14", MAP, "(batch, height, width, channels) of the arguments", (_IMAGE, (None, 14, 14, 32), 0)),
    "SeparableConv1D": Sheet("8, 3", STEPS, _FILTERED_STEPS, (_SEQUENCE, (None, 98, 8), 184), "kernel_size · channels · depth_multiplier + channels · depth_multiplier · filters + filters"),
    "SeparableConv2D": Sheet('64, 3, padding="same"', MAP, _FILTERED, (_IMAGE, (None, 28, 28, 64), 2400), "kernel height · kernel width · channels · depth_multiplier + channels · depth_multiplier · filters + filters"),
    "Softmax": Sheet("", ANY, SAME, ((None, 10), (None, 10), 0)),
    "SpatialDropout1D": Sheet("0.1", STEPS, SAME, (_SEQUENCE, _SEQUENCE, 0)),
    "SpatialDropout2D": Sheet("0.1", MAP, SAME, (_IMAGE, _IMAGE, 0)),
    "Subtract": Sheet("", "a list of two shapes that fit each other", "that of the difference", ([_IMAGE, _IMAGE], _IMAGE, 0)),
    "ThresholdedReLU": Sheet("1.0", ANY, SAME, (_IMAGE, _IMAGE, 0)),
    "RMSNormalization": Sheet("", ANY, SAME, (_IMAGE, _IMAGE, 32), "channels"),
    "UnitNormalization": Sheet("", ANY, SAME, ((None, 10), (None, 10), 0)),
    "UpSampling1D": Sheet("2", STEPS, "(batch, steps · size, channels)", (_SEQUENCE, (None, 200, 16), 0)),
    "UpSampling2D": Sheet("2", MAP, "(batch, height · size[0], width · size[1], channels)", (_IMAGE, (None, 56, 56, 32), 0)),
    "ZeroPadding1D": Sheet("(2, 3)", STEPS, NEW_STEPS, (_SEQUENCE, (None, 105, 16), 0)),
    "ZeroPadding2D": Sheet("((1, 2), (3, 4))", MAP, NEW_MAP, (_IMAGE, (None, 31, 35, 32), 0)),
}  # fmt: skip
"""By the layer's name; `InputLayer`, which is made by `Input`, has none."""


def _weight(name: str) -> dict[str, str]:
    weight = f"the {name} kernel" if name in ("depthwise", "pointwise") else f"the {name}"
    return {
        f"{name}_initializer": f"how {weight} is first drawn: a name or one of `depthwise.initializers`.",
        f"{name}_regularizer": f"a penalty on {weight} in the loss: a name or one of `depthwise.regularizers`; None for none.",
        f"{name}_constraint": f"what {weight} has to satisfy after each step: one of `depthwise.constraints`; None for nothing.",
    }


_DRAWN = "the random numbers: layers with the same seed draw alike; None follows the model's own."

ARGUMENTS: Mapping[str, Any] = {
    "name": "the layer's name, unique in its model; None gives one, such as `conv2d_1`.",
    "trainable": "whether training changes the weights.",
    "input_shape": "in the first layer of a `Sequential`: the shape of one sample, without the batch.",
    "dtype": "None or float32: all arithmetic is float32.",
    **{key: text for weight in ("alpha", "beta", "bias", "depthwise", "gamma", "kernel", "pointwise") for key, text in _weight(weight).items()},
    "activation": "a name such as `relu`, or a function of `depthwise.activations`; None for none.",
    "activity_regularizer": "a penalty on the layer's output, in the mean over the batch; None for none.",
    "alpha": "what the exponential is multiplied by.",
    "axis": "the axis that is worked along, counted with the batch; -1 is the last.",
    "center": "whether there is a beta to add.",
    "cropping": "how many rows, columns or steps are cut off at each side.",
    "data_format": "`channels_last` (the default) or `channels_first`, where the shapes have the channels before height and width.",
    "depth_multiplier": "how many outputs each input channel gives in the depthwise part.",
    "dilation_rate": "the distance between neighbouring cells of the kernel in the input: a number, or one for each axis.",
    "dims": "the axes of the input, from 1, in the order of the output.",
    "epsilon": "added to the variance, so that nothing is divided by 0.",
    "factor": "the range that is drawn from: one number f for −f to f, or a pair (lowest, highest).",
    "fill_mode": "what lies outside of the image: `reflect`, `wrap`, `constant` or `nearest`.",
    "fill_value": "the value outside of the image where fill_mode is `constant`.",
    "filters": "how many channels the output has.",
    "groups": "how many groups the channels are divided into; each filter reads one.",
    "height": "rows of the output.",
    "height_factor": "the range that is drawn from, as a share of the height: one number f for −f to f, or a pair.",
    "interpolation": "`nearest` or `bilinear`: how values between cells are found.",
    "keepdims": "keep the axes that are summed over, with size 1.",
    "kernel_size": "the window's size: a number, or (height, width).",
    "max_value": "the largest output; None for no limit.",
    "mode": "`horizontal`, `vertical` or `horizontal_and_vertical`.",
    "momentum": "how slowly the moving mean and variance forget, from 0 to 1.",
    "moving_mean_initializer": "what the moving mean is at first.",
    "moving_variance_initializer": "what the moving variance is at first.",
    "n": "how many times.",
    "negative_slope": "what inputs below the threshold are multiplied by.",
    "noise_shape": "the shape of what is drawn, with the batch; along axes of size 1 all values are dropped or kept together.",
    "output_padding": "how many rows and columns are added at the end of the output; None for what strides and padding give.",
    "padding": "`valid` for windows inside of the input only, `same` for zeros around it, so that strides of 1 keep its size.",
    "pool_size": "the window's size: a number, or (height, width).",
    "rate": "the share that is dropped, from 0 to 1.",
    "rms_scaling": "divide by the root of the mean square, without subtracting the mean.",
    "scale": "whether there is a gamma to multiply by.",
    "seed": _DRAWN,
    "shape": "the shape of one sample, without the batch; None for a size that is open.",
    "size": "how many times each row and column, or step, is repeated.",
    "stddev": "the standard deviation of the noise.",
    "strides": "how far the window moves from one output to the next: a number, or (down, right).",
    "synchronized": "accepted for compatibility with Keras: there is one device.",
    "theta": "inputs up to it become 0.",
    "threshold": "inputs below it are multiplied by negative_slope.",
    "units": "how many outputs there are.",
    "use_bias": "whether a bias is added.",
    "value_range": "the values of black and white, (0, 255) by default.",
    "width": "columns of the output.",
    "width_factor": "as height_factor, of the width.",
    "Conv1D": {"padding": "`valid`, `same`, or `causal`: an output sees no later step than its own."},
    "ZeroPadding1D": {"padding": "(steps before, steps after), or one number for both."},
    "ZeroPadding2D": {"padding": "((top, bottom), (left, right)), or one or two numbers."},
    "MaxPooling1D": {"strides": "as pool_size where it is None."},
    "MaxPooling2D": {"strides": "as pool_size where it is None."},
    "AveragePooling1D": {"strides": "as pool_size where it is None."},
    "AveragePooling2D": {"strides": "as pool_size where it is None."},
}  # fmt: skip
"""What arguments mean, by name; or by the layer's name, for what they mean there alone."""


def layer_documentation(name: str, docstring: str, parameters: list[str]) -> str:
    """The docstring of a layer with all that `help` shows."""
    meanings = {**ARGUMENTS, **ARGUMENTS.get(name, {})}
    sheet = SHEETS.get(name)
    return completed(docstring, parameters, meanings, "" if sheet is None else _sections(name, sheet))


def _sections(name: str, sheet: Sheet) -> str:
    given, gives, count = sheet.example
    lines = ["Input shape:", f"    {sheet.input_shape}", "", "Output shape:", f"    {sheet.output_shape}", ""]
    if sheet.parameters:
        lines += ["Number of parameters:", f"    {sheet.parameters}", ""]
    lines += [
        "Example:",
        "    >>> from depthwise import layers",
        f"    >>> layer = layers.{name}({sheet.arguments})",
        f"    >>> layer.compute_output_shape({given})",
        f"    {gives}",
    ]
    if count:
        lines += [f"    >>> layer.build({given})", "    >>> layer.count_params()", f"    {count}"]
    return "\n".join(lines)

"""What a command must decide by itself to train or test a network on labelled images: the images' scale and the loss."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.dataset import Dataset, has_names
from depthwise.errors import InvalidArgumentError, InvalidDataError, ShapeError, UnsupportedError, describe_value
from depthwise.layers.activation import Activation
from depthwise.layers.input import InputLayer
from depthwise.layers.merging import Add, Concatenate
from depthwise.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from depthwise.layers.preprocessing import Rescaling
from depthwise.layers.regularization import Dropout
from depthwise.layers.reshaping import Permute, Reshape
from depthwise.layers.shaping import Flatten, ZeroPadding2D
from depthwise.losses import SparseCategoricalCrossentropy
from depthwise.model.inputs import arrays_for
from depthwise.network.facts import Shape
from depthwise.network.graph import Graph

__all__ = [
    "SCALES",
    "check_classifier",
    "class_loss",
    "classes_of",
    "first_scale",
    "gives_probabilities",
    "has_channels_first",
    "listed",
    "picture_shape",
    "scaled_for",
]

SCALES = ("auto", "0..1", "-1..1", "0..255", "none")
"""What `scaled_for` can bring the values of images to; "auto" asks the network, "none" leaves them."""


def scaled_for(
    graph: Graph, images: NDArray[Any], scale: str = "auto", white: int | None = None
) -> NDArray[np.float32]:
    """Images as the network takes them.

    What their values mean follows from the values: booleans and numbers up to 1 go from 0 to 1, whole numbers up to 255 from 0 to
    255, uint16 beyond that from 0 to 65535. Fractions below 0 or above 1 are taken as prepared already. Images with their channels
    last get them first for a network that takes them so.

    Args:
        graph: the network.
        images: (samples, …) of any type.
        white: the value of white where that is known, as it is for image files; else it follows from the values.
        scale: "auto" is 0 to 255 for a network that starts with a `Rescaling` layer, else 0 to 1; see `SCALES`.

    Raises:
        InvalidArgumentError: another scale.
        InvalidDataError: whole numbers below 0, or above 255 in another type than uint16.

    >>> from depthwise.network.graph import sequential
    >>> from depthwise.layers import Flatten
    >>> graph = sequential([Flatten(input_shape=(1, 2, 1))])
    >>> scaled_for(graph, np.array([[[[0], [255]]]], np.uint8)).ravel().tolist()
    [0.0, 1.0]
    """
    images = _arranged(graph, images)
    if scale not in SCALES:
        raise InvalidArgumentError(f"scale must be one of {', '.join(SCALES)}, got {describe_value(scale)}")
    if scale != "none" and white is None:
        white = white_of(images)
    if scale == "none" or white is None:
        return np.asarray(images, np.float32)
    if scale == "auto":
        scale = first_scale(graph)
    top = 255 if scale == "0..255" else 1
    if white == top and scale != "-1..1":
        return np.asarray(images, np.float32)
    scaled: NDArray[np.float32] = np.true_divide(images, np.float32(white), dtype=np.float32)
    if scale == "0..255":
        return scaled * np.float32(255)
    return scaled * np.float32(2) - np.float32(1) if scale == "-1..1" else scaled


def _arranged(graph: Graph, images: NDArray[Any]) -> NDArray[Any]:
    """Images whose channels are last with their channels first, where the network takes them so."""
    shape = images.shape[1:]
    if images.ndim != 4 or shape == graph.input_shapes[0] or shape != picture_shape(graph):
        return images
    return np.ascontiguousarray(np.moveaxis(images, 3, 1))


def picture_shape(graph: Graph) -> Shape:
    """The pictures that a network takes: (height, width, channels), wherever its input has the channels; another input's shape as it is."""
    shape = graph.input_shapes[0]
    return (*shape[1:], shape[0]) if has_channels_first(graph) else shape


def has_channels_first(graph: Graph) -> bool:
    """Whether the network takes images as (channels, height, width), as those from ONNX files do.

    Its first layer that cares says so: one that moves the channels last, or has a `data_format`. Without such a layer it is so where the
    first size is that of grey or coloured images and the last one is not.

    >>> from depthwise.network.graph import sequential
    >>> from depthwise.layers import Conv2D
    >>> has_channels_first(sequential([Permute((2, 3, 1), input_shape=(3, 8, 8)), Conv2D(2, 3)]))
    True
    >>> has_channels_first(sequential([Conv2D(2, 3, input_shape=(3, 8, 8))]))
    False
    """
    shape = graph.input_shapes[0]
    if len(shape) != 3:
        return False
    pending, seen = [graph.inputs[0]], set[str]()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        layer = graph.by_name[name].layer
        form = None if isinstance(layer, Flatten) else getattr(layer, "data_format", None)
        if form is not None:
            return bool(form == "channels_first")
        if isinstance(layer, (Permute, Reshape)) and graph.by_name[name].facts.output_shape == (*shape[1:], shape[0]):
            return True
        if graph.by_name[name].facts.output_shape == shape:
            pending += graph.consumers[name]
    return shape[0] in (1, 3) and shape[2] not in (1, 3)


def white_of(images: NDArray[Any]) -> int | None:
    """The value that stands for white; None where the values are prepared already."""
    if images.dtype.kind == "b" or not images.size:
        return 1
    low, high = images.min(), images.max()
    if images.dtype.kind == "f":
        if not low >= 0:  # NaN too
            return None
        if high <= 1:
            return 1
        return 255 if high <= 255 and bool((images == np.floor(images)).all()) else None
    if low >= 0 and high <= 255:
        return 1 if high <= 1 else 255
    if images.dtype == np.uint16:
        return 65535
    raise InvalidDataError(
        f"the images hold whole numbers from {low} to {high}, which are no pixels of 8 bits (0 to 255) or of 16 (uint16); scale "
        "them, or take them as they are with --scale none"
    )


def first_scale(graph: Graph) -> str:
    """What black and white are by the network's first layers: "0..255" before a `Rescaling`, else "0..1"."""
    readers = [name for start in graph.inputs for name in graph.consumers[start]]
    while readers and isinstance(graph.by_name[readers[0]].layer, (Permute, ZeroPadding2D)):
        readers = list(graph.consumers[readers[0]])
    rescales = bool(readers) and all(isinstance(graph.by_name[name].layer, Rescaling) for name in readers)
    return "0..255" if rescales else "0..1"


def class_loss(graph: Graph) -> SparseCategoricalCrossentropy:
    """Cross-entropy with class numbers; from logits unless the network's outputs are probabilities.

    >>> from depthwise.network.graph import sequential
    >>> from depthwise.layers import Conv2D
    >>> graph = sequential([Conv2D(10, 6, activation="softmax", input_shape=(6, 6, 1)), Flatten()])
    >>> class_loss(graph).from_logits
    False
    """
    return SparseCategoricalCrossentropy(from_logits=not gives_probabilities(graph))


_KEEPS_PROBABILITIES = (
    Add,
    AveragePooling2D,
    Concatenate,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
    ZeroPadding2D,
)
"""Layers that make no number negative: the loss divides by the sum, so it reads shares out of sums and means too."""


def gives_probabilities(graph: Graph) -> bool:
    """Whether every way to the output comes through a softmax or sigmoid, with nothing behind it that undoes it."""
    pending, seen = [graph.outputs[0]], set()
    while pending:
        node = graph.by_name[pending.pop()]
        if node.name in seen:
            continue
        seen.add(node.name)
        activation = getattr(node.layer, "activation", None)
        if activation in ("softmax", "sigmoid"):
            continue
        passes = isinstance(node.layer, _KEEPS_PROBABILITIES) or (
            isinstance(node.layer, Activation) and activation == "linear"
        )
        if not passes:
            return False
        pending += node.reads
    return True


def check_classifier(graph: Graph, data: Dataset, cure: str | None = None) -> None:
    """Whether the network can be trained and tested on the data.

    Args:
        cure: what helps where the network has another number of outputs than the data has classes; None lets it have more.

    Raises:
        UnsupportedError: several inputs or outputs.
        ShapeError: images of another size, or an output that is not one number a class.
        InvalidDataError: more classes in the data than outputs; with `cure` also fewer, see `_check_classes`.
    """
    name = describe_value(graph.name)
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UnsupportedError(
            f"{name} has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; this command takes networks with one "
            "of each"
        )
    if isinstance(graph.by_name[graph.outputs[0]].layer, InputLayer):
        raise UnsupportedError(f"{name} has no layers; add some")
    arrays_for(graph, _arranged(graph, data.x_train[:1]), f"the images of {describe_value(data.name)} for {name}")
    shape = graph.output_shapes[0]
    if len(shape) != 1 or shape[0] < 2:
        raise ShapeError(
            f"{name} does not classify: its output has the shape {(None, *shape)}, which is not one number for each class; "
            "end it with Dense(classes, activation='softmax')"
        )
    if cure is not None:
        _check_classes(graph, data, cure)
    largest = int(max(data.y_train.max(), data.y_test.max()))
    if largest >= shape[0]:
        raise InvalidDataError(
            f"{name} has {shape[0]} outputs, but {describe_value(data.name)} has the class {largest}; give the last layer at "
            f"least {largest + 1} units"
        )


def _check_classes(graph: Graph, data: Dataset, cure: str) -> None:
    """Whether the network has an output for each class of the data, and no others where the classes have names.

    Data without names, as in an `.npz` file, may lack the images of the last classes.

    Args:
        cure: what the message says that helps.

    Raises:
        InvalidDataError: as many outputs as the data has classes are needed.
    """
    units, classes = graph.output_shapes[0][0], len(data.class_names)
    if classes > units or (classes < units and has_names(data.class_names)):
        raise InvalidDataError(
            f"{describe_value(graph.name)} has {units:,} outputs, but {describe_value(data.name)} has {classes:,} classes "
            f"({listed(data.class_names)}); {cure}"
        )


def classes_of(class_names: Sequence[str], data: Dataset) -> Dataset:
    """The data with the network's numbers of its classes, where it knows them all by name; else the data as it is.

    Args:
        class_names: of the network's outputs.

    >>> from depthwise.data import Dataset
    >>> x, y = np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1])
    >>> classes_of(("cat", "dog", "ant"), Dataset("pets", x, y, x, y, ("ant", "cat"))).y_train.tolist()
    [2, 0]
    """
    if not class_names or len(set(class_names)) < len(class_names) or not set(data.class_names) <= set(class_names):
        return data
    numbers = np.array([class_names.index(name) for name in data.class_names], np.int64)
    return replace(data, y_train=numbers[data.y_train], y_test=numbers[data.y_test], class_names=tuple(class_names))


def listed(names: Sequence[str], most: int = 6) -> str:
    """The first names, fit for a message.

    >>> listed(["cat", "dog", "ant"], 2)
    "'cat', 'dog' and 1 more"
    """
    shown = ", ".join(describe_value(name, 40) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"

"""What goes into networks trained on ImageNet and what comes out of them: scales of images, names of classes."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise import layers
from depthwise.applications.weights import Published, fetched
from depthwise.arguments import choice, integer
from depthwise.data.bounded import open_file, shown_path
from depthwise.data.formats.json_text import LARGEST_JSON, parse_json
from depthwise.errors import InvalidArgumentError, InvalidFileError, ShapeError, UnsupportedError, describe_value
from depthwise.network.symbolic import SymbolicTensor

__all__ = ["decode_predictions", "preprocess_input"]

CLASS_INDEX = Published(
    "imagenet_class_index.json",
    "https://storage.googleapis.com/download.tensorflow.org/data/",
    "c2c37ea517e94d9795004a39431a14cb",
)
CLASSES = 1000
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)


def preprocess_input(x: Any, data_format: str | None = None, mode: str = "caffe") -> Any:
    """Images with values 0 to 255 in the range that a network was trained on.

    Args:
        x: an array (height, width, 3) or (samples, height, width, 3), or a symbolic tensor of such: then the model does it.
        data_format: "channels_first" where the colours are not the last axis.
        mode: "tf": −1 to 1; "torch": 0 to 1, then each colour by the mean and deviation of ImageNet; "caffe": blue, green and
            red in place of red, green and blue, each without the mean of ImageNet.

    Returns:
        float32; a new array: `x` stays as it was.

    Raises:
        InvalidArgumentError: another mode or data format.
        ShapeError: no images of three colours.

    >>> preprocess_input(np.array([[[0, 127.5, 255]]]), mode="tf").tolist()
    [[[-1.0, 0.0, 1.0]]]
    """
    mode = choice("preprocess_input", "mode", mode, ("caffe", "tf", "torch"))
    known = ("channels_last", "channels_first")
    first = data_format is not None and choice("preprocess_input", "data_format", data_format, known) == known[1]
    if isinstance(x, SymbolicTensor):
        return _preprocessed(x, first, mode)
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise InvalidArgumentError(f"preprocess_input takes numbers, got an array of {array.dtype}")
    array = array.astype(array.dtype if array.dtype.kind == "f" else np.float32)  # a copy
    if mode == "tf":
        array /= 127.5
        array -= 1.0
        return array
    axis = -3 if first else -1
    if array.ndim not in (3, 4) or array.shape[axis] != 3:
        raise ShapeError(f"preprocess_input takes images of 3 colours, got the shape {describe_value(array.shape)}")
    shape = (3, 1, 1) if first else (3,)
    if mode == "torch":
        array /= 255.0
        array -= np.reshape(_MEAN, shape).astype(array.dtype)
        array /= np.reshape(_DEVIATION, shape).astype(array.dtype)
        return array
    array = np.ascontiguousarray(np.flip(array, axis))
    array -= np.reshape(_CAFFE_MEAN, shape).astype(array.dtype)
    return array


def _preprocessed(x: SymbolicTensor, first: bool, mode: str) -> SymbolicTensor:
    if mode == "tf":
        return x / 127.5 - 1.0
    if mode == "torch" and not first:
        scale = tuple(1.0 / (255.0 * deviation) for deviation in _DEVIATION)
        offset = tuple(-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION))
        result: SymbolicTensor = layers.Rescaling(scale, offset)(x)
        return result
    raise UnsupportedError(
        f'preprocess_input: mode "{mode}" is for arrays, not inside of a model; call it on the images before predict and fit'
    )


def decode_predictions(preds: npt.ArrayLike, top: int = 5) -> list[list[tuple[str, str, np.floating[Any]]]]:
    """The likeliest of ImageNet's 1000 classes.

    Args:
        preds: shares (samples, 1000).
        top: how many for each sample.

    Returns:
        For each sample a list of (WordNet's number, name, share), the likeliest first.

    Raises:
        ShapeError: another shape.
        DepthwiseError: the list of names is not in Keras' cache folder and cannot be downloaded.
        InvalidFileError: it is not what Keras publishes.
    """
    values = np.asarray(preds)
    if values.ndim != 2 or values.shape[1] != CLASSES:
        raise ShapeError(
            f"decode_predictions takes shares (samples, {CLASSES}) of a network trained on ImageNet, got the shape "
            f"{describe_value(values.shape)}"
        )
    top = integer("decode_predictions", "top", top)
    names = _class_names(
        fetched("decode_predictions", CLASS_INDEX, "use np.argsort(preds) for the numbers of the classes")
    )
    found = []
    for row in values:
        best = np.argsort(row)[-top:][::-1]
        chosen = [(*names[index], row[index]) for index in best.tolist()]
        found.append(sorted(chosen, key=lambda item: item[2], reverse=True))
    return found


@cache
def _class_names(path: str) -> list[tuple[str, str]]:
    """(WordNet's number, name) by the number of the class."""
    what = f"the list of classes {shown_path(Path(path))}"
    try:
        with open_file(path, "the list of ImageNet's classes") as file:
            read = parse_json(file.read(LARGEST_JSON + 1), what)
        names = [(str(read[str(index)][0]), str(read[str(index)][1])) for index in range(CLASSES)]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InvalidFileError(f"{what} is not the one that Keras publishes; delete it and call again") from error
    return names

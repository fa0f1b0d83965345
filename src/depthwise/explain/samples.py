"""Pictures to explain a network with: one the user names, one of MNIST's test set, or a drawn one."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.classification import has_channels_first, picture_shape, scaled_for
from depthwise.data import load_data, mnist
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError
from depthwise.explain.page import Sample
from depthwise.explain.values import drawn_picture
from depthwise.layers.preprocessing import Rescaling
from depthwise.layers.reshaping import Permute
from depthwise.network.graph import Graph
from depthwise.network.tree import with_first
from depthwise.pictures import FILE, OPTION, Reading, load_picture, prepared, reading_of

__all__ = ["Asked", "Picture", "choose_picture", "page_graph", "page_samples"]

MNIST_SHAPE = (28, 28, 1)


@dataclass(frozen=True)
class Asked:
    """What the user wants to run the network on: one of them, or none.

    Attributes:
        image: an image file. sample: the number of an MNIST test image. array: a sample as the network takes it.
        invert: see `depthwise.pictures.load_picture`. scale: see `depthwise.pictures.reading_of`.
    """

    image: str | os.PathLike[str] | None = None
    sample: int | None = None
    array: npt.ArrayLike | None = None
    invert: str = "auto"
    scale: str = "auto"


@dataclass(frozen=True)
class Picture:
    """One input and where it comes from.

    Attributes:
        values: float32, in the shape and range that the network takes.
        key: the message that names its origin; `facts`: what that message names.
        pixels: the same from 0 to 255, where it is a picture.
    """

    values: npt.NDArray[np.float32]
    key: str
    facts: dict[str, object]
    pixels: npt.NDArray[np.uint8] | None = None


def choose_picture(model: Any, asked: Asked) -> Picture:
    """The image file, the sample of MNIST's test set, the given array, or, where none is named, the first that fits.

    Raises:
        InvalidArgumentError: more than one is named, or a sample out of range, or a network that MNIST does not fit.
        InvalidFileError, UnsupportedError: see `depthwise.pictures.load_picture`.
    """
    if asked.image is not None and asked.sample is not None:
        raise InvalidArgumentError("give either an image or a sample, not both")
    graph, reading = model.graph, reading_of(model, scale=asked.scale)
    if asked.array is not None and asked.image is None and asked.sample is None:
        return Picture(np.asarray(asked.array, dtype=np.float32), "terminal.picture_given", {})
    if asked.image is not None:
        pixels, changes = load_picture(asked.image, graph, reading, asked.invert)
        key = f"terminal.picture_{'_'.join(changes) or 'image'}"
        return Picture(prepared(graph, pixels, reading), key, {"name": Path(asked.image).name}, pixels)
    if asked.sample is not None or picture_shape(graph) == MNIST_SHAPE:
        index = asked.sample or 0
        pixels, label = _mnist(graph, index)
        facts: dict[str, object] = {"index": index, "label": label}
        return Picture(prepared(graph, pixels, reading), "terminal.picture_sample", facts, pixels)
    return Picture(_drawn(graph, reading), "terminal.picture_drawn", {})


def _drawn(graph: Graph, reading: Reading) -> npt.NDArray[np.float32]:
    drawn: npt.NDArray[np.float32] = scaled_for(graph, drawn_picture(picture_shape(graph))[None], reading.scale, 1)[0]
    return drawn


def _mnist(graph: Graph, index: int) -> tuple[npt.NDArray[np.uint8], int]:
    """The pixels of a test image, and the digit that it shows."""
    shape = picture_shape(graph)
    if shape != MNIST_SHAPE:
        raise InvalidArgumentError(
            f"samples are MNIST images of shape {MNIST_SHAPE}, but the network takes {shape}; give an image instead"
        )
    data = load_data("mnist")
    if not 0 <= index < len(data.x_test):
        raise InvalidArgumentError(f"sample must be from 0 to {len(data.x_test) - 1} (MNIST's test set), got {index}")
    return data.x_test[index], int(data.y_test[index])


def _brightest(model: Any, asked: Asked) -> float | None:
    """What a pixel of 255 stands for in the page's input; None where neither the user nor the model's file says."""
    reading = reading_of(model, scale=asked.scale)
    if reading.scale_from not in (OPTION, FILE):
        return None
    return 255.0 if reading.scale == "0..255" else 1.0


def page_graph(model: Any, asked: Asked) -> Graph:
    """The network of the page, whose pictures begin at 0 and have their channels last.

    For a network that takes -1 to 1, a layer that brings 0 to 1 there is first; for one that takes the channels first, one that moves them.
    """
    graph: Graph = model.graph
    if len(graph.inputs) != 1:
        return graph
    shape, is_moved = picture_shape(graph), has_channels_first(graph)
    if asked.array is None and reading_of(model, scale=asked.scale).scale == "-1..1":
        graph = with_first(graph, Rescaling(2.0, -1.0))
    return with_first(graph, Permute((3, 1, 2)), shape) if is_moved else graph


def page_samples(
    graph: Graph, model: Any = None, asked: Asked | None = None
) -> tuple[list[Sample], tuple[str, ...], float | None]:
    """What a page starts from: the picture that was asked for, and one MNIST test image of each digit where they fit.

    Args:
        model: of the graph, where there is one: it may know the names of its classes.

    Returns:
        the samples, the names of the classes, and the value of the brightest pixel where it is not the network's usual one.
    """
    asked, names = asked or Asked(), model.class_names if model is not None else ()
    if asked.array is not None and asked.image is None and asked.sample is None:
        values = np.asarray(asked.array, dtype=np.float64)
        values = np.moveaxis(values, 0, 2) if has_channels_first(graph) else values
        largest = float(max(values.max(), 1.0))
        pixels = np.round(np.clip(values, 0, largest) * 255 / largest).astype(np.uint8)
        return [Sample(pixels, "")], names, largest
    brightest = _brightest(model, asked) if model is not None else None
    samples = []
    if asked.image is not None or asked.sample is not None:
        picture = choose_picture(model, asked)
        assert picture.pixels is not None
        samples.append(Sample(picture.pixels, str(picture.facts.get("label", picture.facts.get("name", "")))))
    if picture_shape(graph) != MNIST_SHAPE:
        return samples, names, brightest
    data = load_data("mnist")
    firsts = [int(np.argmax(data.y_test == digit)) for digit in range(10)]
    samples += [Sample(data.x_test[index], str(digit)) for digit, index in enumerate(firsts)]
    if not names and graph.output_shapes[0] == (10,):
        names = mnist.CLASS_NAMES
    return samples, tuple(names), brightest

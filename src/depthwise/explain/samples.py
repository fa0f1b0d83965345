"""Pictures to explain a network with: one the user names, one of MNIST's test set, or a drawn one."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from depthwise.data import load_data, load_image, mnist
from depthwise.errors import InvalidArgumentError, InvalidDataError, describe_value
from depthwise.explain.page import Sample
from depthwise.explain.values import drawn_picture, pixel_range
from depthwise.network.graph import Graph

__all__ = ["Picture", "choose_picture", "page_samples"]

MNIST_SHAPE = (28, 28, 1)


@dataclass(frozen=True)
class Picture:
    """One input and where it comes from.

    Attributes:
        values: float32, in the shape and range that the network takes.
        key: the message that names its origin; `facts`: what that message names.
    """

    values: npt.NDArray[np.float32]
    key: str
    facts: dict[str, object]


def choose_picture(
    graph: Graph, image: str | os.PathLike[str] | None, sample: int | None, given: npt.ArrayLike | None = None
) -> Picture:
    """The image file, the sample of MNIST's test set, the given array, or, where none is named, the first that fits.

    Raises:
        InvalidArgumentError: more than one is named, or a sample out of range, or a network that MNIST does not fit.
        InvalidDataError: an image of another size than the network takes.
        InvalidFileError: not an image.
    """
    if image is not None and sample is not None:
        raise InvalidArgumentError("give either an image or a sample, not both")
    shape = graph.input_shapes[0]
    if given is not None and image is None and sample is None:
        return Picture(np.asarray(given, dtype=np.float32), "terminal.picture_given", {})
    if image is not None:
        return Picture(_image(graph, image), "terminal.picture_image", {"name": Path(image).name})
    if sample is not None or shape == MNIST_SHAPE:
        index = sample or 0
        return Picture(_mnist(graph, index), "terminal.picture_sample", {"index": index})
    return Picture(drawn_picture(shape) * np.float32(pixel_range(graph)), "terminal.picture_drawn", {})


def _image(graph: Graph, path: str | os.PathLike[str]) -> npt.NDArray[np.float32]:
    shape = graph.input_shapes[0]
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise InvalidArgumentError(
            f"an image has 1 or 3 channels, but the network takes samples of shape {shape}; leave the image out"
        )
    pixels = load_image(path, color_mode="grayscale" if shape[2] == 1 else "rgb")
    if pixels.shape != shape:
        raise InvalidDataError(
            f"the image {describe_value(Path(path).name)} is {pixels.shape[1]}×{pixels.shape[0]} pixels (width×height), the "
            f"network takes {shape[1]}×{shape[0]}; resize the image"
        )
    return _scaled(graph, pixels)


def _scaled(graph: Graph, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return pixels.astype(np.float32) * np.float32(pixel_range(graph)) / np.float32(255)


def _mnist(graph: Graph, index: int) -> npt.NDArray[np.float32]:
    shape = graph.input_shapes[0]
    if shape != MNIST_SHAPE:
        raise InvalidArgumentError(
            f"samples are MNIST images of shape {MNIST_SHAPE}, but the network takes {shape}; give an image instead"
        )
    images = load_data("mnist").x_test
    if not 0 <= index < len(images):
        raise InvalidArgumentError(f"sample must be from 0 to {len(images) - 1} (MNIST's test set), got {index}")
    return _scaled(graph, images[index])


def page_samples(
    graph: Graph, given: npt.ArrayLike | None = None
) -> tuple[list[Sample], tuple[str, ...], float | None]:
    """What a page starts from: the given picture, or one MNIST test image of each digit where they fit the network.

    Returns:
        the samples, the names of the classes, and the value of the brightest pixel where it is not the network's usual one.
    """
    if given is not None:
        values = np.asarray(given, dtype=np.float64)
        largest = float(max(values.max(), 1.0))
        return [Sample(np.round(np.clip(values, 0, largest) * 255 / largest).astype(np.uint8), "")], (), largest
    if graph.input_shapes[0] != MNIST_SHAPE:
        return [], (), None
    data = load_data("mnist")
    firsts = [int(np.argmax(data.y_test == digit)) for digit in range(10)]
    samples = [Sample(data.x_test[index], str(digit)) for digit, index in enumerate(firsts)]
    names = mnist.CLASS_NAMES if graph.output_shapes[0] == (10,) else ()
    return samples, tuple(names), None

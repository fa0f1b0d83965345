"""Pictures for a network: how it takes them, who says so, and image files read in that way.

What a network expects comes from the user, from its file, from a file beside it, or from its first layers, in this order.
"""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.classification import first_scale, picture_shape, scaled_for
from depthwise.data.digits import centred, is_dark_on_light, reads_digits
from depthwise.data.formats.beside import usage_beside
from depthwise.data.images import load_image, native_image_form
from depthwise.dataclass import dataclass
from depthwise.errors import UnsupportedError, describe_value
from depthwise.network.graph import Graph
from depthwise.networks import is_network
from depthwise.usage import Usage

__all__ = ["Reading", "load_picture", "path_of", "prepared", "reading_of"]

OPTION, FILE, LAYERS, USUAL = "option", "file", "layers", "usual"
"""Where a fact comes from: the user, the model's file, the model's first layers, or the habit; else the name of a file beside it."""


@dataclass(frozen=True)
class Reading:
    """How a network takes pictures, and who says so.

    Attributes:
        scale: one of `depthwise.classification.SCALES` but "auto".
        fit: one of `depthwise.usage.FITS`.
        class_names: of the outputs; empty where nobody knows them.
        scale_from, names_from: see `OPTION` and its like; "" for no names.
        remarks: what was found and cannot be used, and why.
    """

    scale: str
    fit: str = "stretch"
    class_names: tuple[str, ...] = ()
    scale_from: str = USUAL
    names_from: str = ""
    remarks: tuple[str, ...] = ()

    def usage(self) -> Usage:
        """What is known of it, not supposed: what a model's file keeps."""
        is_known = self.scale != "none" and self.scale_from != USUAL
        return Usage(self.class_names, self.scale if is_known else None, self.fit)


def reading_of(model: Any, path: str | os.PathLike[str] | None = None, scale: str = "auto") -> Reading:
    """How a model takes pictures.

    Args:
        model: a `depthwise.Model`.
        path: its file, None where it has none.
        scale: what the user says: see `depthwise.classification.SCALES`.
    """
    graph, own = model.graph, model.usage
    beside = None if path is None or not os.path.exists(path) else usage_beside(path)
    near = Usage() if beside is None else beside.usage
    remarks = [] if beside is None or not beside.problem else [f"{beside.name} is not used: {beside.problem}"]
    name = "" if beside is None else beside.name
    names, names_from = own.names_for(graph.output_shapes), FILE
    if not names and near.class_names:
        names, names_from = near.names_for(graph.output_shapes), name
        if not names:
            remarks.append(
                f"{name} is not used: it has {len(near.class_names):,} names, the network's output has the shape "
                f"{(None, *graph.output_shapes[0])}"
            )
            near = Usage()
    rescales = first_scale(graph) == "0..255"
    taken = picture_shape(graph)
    takes_photos = len(taken) == 3 and taken[2] == 3
    if scale != "auto":
        chosen, scale_from = scale, OPTION
    elif own.scale is not None:
        chosen, scale_from = own.scale, FILE
    elif near.scale is not None and takes_photos and not rescales:
        chosen, scale_from = near.scale, name
    else:
        chosen, scale_from = ("0..255", LAYERS) if rescales else ("0..1", USUAL)
    fit = own.fit or (near.fit if takes_photos else None) or "stretch"
    return Reading(chosen, fit, names, scale_from, names_from if names else "", tuple(remarks))


def load_picture(
    path: str | os.PathLike[str] | io.BytesIO,
    graph: Graph,
    reading: Reading,
    invert: str = "auto",
    center: str = "auto",
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """An image file in the size and colours that the network takes, its channels last.

    Args:
        path: the file, or its content.
        invert: "yes" swaps light and dark, "no" does not, "auto" does so for dark digits on light paper where the network reads
            digits of MNIST's form.
        center: "auto" brings digits for such a network to the place and size that MNIST's have, where the image has another
            size than theirs; "no" does not.

    Returns:
        pixels (height, width, channels) from 0 to 255, and what "auto" did: "inverted", "centred", both or nothing.

    Raises:
        UnsupportedError: the network takes something else than pictures of 1 or 3 channels.
        InvalidArgumentError, InvalidFileError: see `depthwise.data.load_image`.
    """
    shape = picture_shape(graph)
    if len(shape) != 3 or shape[2] not in (1, 3):
        sizes = ", ".join(map(str, shape))
        raise UnsupportedError(
            f"image files have 1 or 3 channels, the network takes samples of the shape {shape}; give an array of the shape "
            f"(count, {sizes}) in an .npy file instead of {'bytes' if isinstance(path, io.BytesIO) else describe_value(os.fspath(path), 200)}"
        )
    size, changes = (shape[0], shape[1]), []
    digits = reads_digits(shape, graph.output_shapes[0], reading.class_names)
    whole: NDArray[np.uint8] | None = None
    if digits and center == "auto" and native_image_form(path)[0] != size:
        whole = load_image(path, None, "grayscale", keep_ink=True)
    image = load_image(path, size, "grayscale" if shape[2] == 1 else "rgb", keep_ink=True, fit=reading.fit)
    if invert == "auto" and digits and is_dark_on_light(image if whole is None else whole):
        changes.append("inverted")
    pixels: NDArray[np.uint8] = image
    if changes or invert == "yes":
        pixels, whole = 255 - image, None if whole is None else 255 - whole
    middle = None if whole is None else centred(whole)
    if middle is not None:
        changes.append("centred")
    return pixels if middle is None else middle, tuple(changes)


def prepared(graph: Graph, pixels: NDArray[np.uint8], reading: Reading) -> NDArray[np.float32]:
    """Pixels from `load_picture` as one sample, its axes in the network's order."""
    sample: NDArray[np.float32] = scaled_for(graph, pixels[None], reading.scale, 255)[0]
    return sample


def path_of(name: str) -> Path | None:
    """The file that a command line names, None for a network's name."""
    return None if is_network(name) else Path(name)

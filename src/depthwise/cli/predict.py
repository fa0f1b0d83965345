"""`depthwise predict`: what a trained network says about images."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.cli.options import Json, ModelName, Scale, Seed, Threads, Untrained, open_named, use_threads
from depthwise.cli.streams import print_json
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError, describe_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from depthwise.network.graph import Graph

__all__ = ["predict_command", "register"]

_ARRAY_SUFFIXES = (".npy", ".npz")
_PATH_LIMIT = 200


def register(app: typer.Typer) -> None:
    """Adds the command `predict` to the application."""
    app.command("predict")(predict_command)


@dataclass(frozen=True)
class _Answer:
    """The highest outputs for one image. `index`: its number in an array file, None for an image file."""

    file: str
    index: int | None
    classes: tuple[int, ...]
    scores: tuple[float, ...]


def predict_command(
    model: ModelName,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Images (PNG, JPEG, BMP, GIF, WebP, PPM), or .npy and .npz arrays of shape (count, height, width, channels).",
            show_default=False,
        ),
    ],
    top: Annotated[int, typer.Option(help="How many classes to show for each image.", min=1)] = 3,
    untrained: Untrained = False,
    seed: Seed = 1,
    threads: Threads = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out files that cannot be read, and name them.")
    ] = False,
    scale: Scale = "auto",
    invert: Annotated[
        str,
        typer.Option(
            "--invert",
            help="Swap light and dark in image files: yes, no, or auto for dark digits on light paper, where the network reads digits "
            "of MNIST's form.",
            metavar="WHEN",
        ),
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Classify images: the highest outputs for each, as a table or as JSON.

    Image files are resized to what the network takes, and scaled to what it was trained on: see --scale. What the values of an
    array mean follows from them: booleans and numbers up to 1 go from 0 to 1, whole numbers from 0 to 255 (uint16 to 65535), and
    other fractions are used as they are.

    Examples:

      depthwise predict model.keras digit.png

      depthwise predict model.keras *.png --top 1 --json

      depthwise predict model.keras digits.npy
    """

    if invert not in ("auto", "yes", "no"):
        raise InvalidArgumentError(f"--invert must be auto, yes or no, got {describe_value(invert)}")
    use_threads(threads)
    network, _ = open_named(model, untrained, seed)
    graph = network.graph
    if len(graph.inputs) != 1 or len(graph.input_shapes[0]) != 3 or len(graph.outputs) != 1:
        raise UnsupportedError(
            f"predict takes networks with one image as input and one output, but {describe_value(graph.name)} takes "
            f"{list(graph.input_shapes)} and gives {list(graph.output_shapes)}; use depthwise.load_model in Python instead"
        )
    if len(graph.output_shapes[0]) != 1:
        raise UnsupportedError(
            f"predict shows class scores, but the output of {describe_value(graph.name)} has the shape "
            f"{(None, *graph.output_shapes[0])}; use depthwise.load_model in Python instead"
        )
    answers: list[_Answer] = []
    for path in files:
        try:
            images, is_array = _read(path, graph, scale, invert)
            outputs = network.predict(images, verbose=0)
        except DepthwiseError as error:
            if not skip_unreadable:
                raise
            print(f"skipped {describe_value(str(path), _PATH_LIMIT)}: {error}", file=sys.stderr)
            continue
        answers += [_answer(str(path), index if is_array else None, row, top) for index, row in enumerate(outputs)]
    if as_json:
        print_json([_json(answer) for answer in answers])
    else:
        _print(answers)


def _read(path: Path, graph: "Graph", scale: str, invert: str) -> "tuple[NDArray[np.float32], bool]":
    """The images of a file as the network takes them, and whether it is a file of arrays."""
    import numpy as np

    from depthwise.classification import scaled_for
    from depthwise.data.digits import is_dark_on_light, reads_digits
    from depthwise.data.images import load_image

    height, width, channels = graph.input_shapes[0]
    shown = describe_value(str(path), _PATH_LIMIT)
    if path.suffix.lower() in _ARRAY_SUFFIXES:
        array = _read_array(path)
        if array.shape == (height, width) and channels == 1:
            array = array[..., None]
        if array.shape == graph.input_shapes[0]:
            array = array[None]
        if array.dtype.kind not in "biuf":
            raise InvalidFileError(f"{shown} holds {describe_value(str(array.dtype))}, not numbers")
        return scaled_for(graph, array, scale), True
    if channels not in (1, 3):
        raise UnsupportedError(
            f"image files have 1 or 3 channels, the network takes {channels}; give a .npy file of shape "
            f"(count, {height}, {width}, {channels}) instead of {shown}"
        )
    image = load_image(path, (height, width), "grayscale" if channels == 1 else "rgb", keep_ink=True)
    if invert == "auto" and reads_digits(graph.input_shapes[0], graph.output_shapes[0]) and is_dark_on_light(image):
        print(
            f"{shown} is dark on light, and digits are read light on dark: it was inverted (--invert no leaves it as it is)",
            file=sys.stderr,
        )
        invert = "yes"
    pixels = 255 - image if invert == "yes" else image
    return scaled_for(graph, np.asarray(pixels)[None], scale, 255), False


def _read_array(path: Path) -> "NDArray[Any]":
    """The array in an .npy file, or the first of an .npz file; never a pickle."""
    import zipfile

    import numpy as np

    shown = describe_value(str(path), _PATH_LIMIT)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if len(names) != 1:
                raise InvalidArgumentError(
                    f"{shown} holds {len(names)} arrays, {describe_value(names)}; save the one to predict by itself"
                )
            array: NDArray[Any] = loaded[names[0]]
            return array
    except FileNotFoundError:
        raise InvalidFileError(f"there is no file {shown}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        if isinstance(error, DepthwiseError):
            raise
        raise InvalidFileError(f"{shown} is not an array that can be read: damaged, or of Python objects") from None


def _answer(file: str, index: int | None, row: "NDArray[np.float32]", top: int) -> _Answer:
    import numpy as np

    order = np.argsort(-row, kind="stable")[:top]
    return _Answer(file, index, tuple(int(number) for number in order), tuple(float(row[number]) for number in order))


def _json(answer: _Answer) -> dict[str, Any]:
    import math

    scores = [score if math.isfinite(score) else None for score in answer.scores]
    return {
        "file": answer.file,
        "index": answer.index,
        "predictions": [{"class": number, "score": score} for number, score in zip(answer.classes, scores)],
    }


def _print(answers: list[_Answer]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from depthwise.explain.text import printable

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("file", overflow="fold")
    if any(answer.index is not None for answer in answers):
        table.add_column("image", justify="right")
    for number in range(max((len(answer.classes) for answer in answers), default=0)):
        table.add_column("class" if number == 0 else f"{number + 1}.", justify="right")
        table.add_column("score", justify="right")
    for answer in answers:
        cells = [Text(printable(answer.file, _PATH_LIMIT))]
        if any(item.index is not None for item in answers):
            cells.append(Text("" if answer.index is None else str(answer.index)))
        for label, score in zip(answer.classes, answer.scores):
            cells += [Text(str(label), style="bold"), Text(f"{score:.4f}")]
        table.add_row(*cells)
    Console().print(table)

"""`depthwise predict`: what a trained network says about images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.cli.options import (
    Json,
    Language,
    ModelName,
    Scale,
    Seed,
    Shapes,
    Threads,
    Untrained,
    chosen_language,
    open_named,
    refuse_alone,
    say,
    use_threads,
)
from depthwise.cli.streams import print_json
from depthwise.dataclass import dataclass
from depthwise.errors import (
    DepthwiseError,
    InvalidArgumentError,
    InvalidDataError,
    InvalidFileError,
    UnsupportedError,
    describe_value,
)
from depthwise.messages import text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from depthwise.network.graph import Graph
    from depthwise.pictures import Reading

__all__ = ["predict_command", "register"]

_ARRAY_SUFFIXES = (".npy", ".npz")
_PATH_LIMIT = 200


def register(app: typer.Typer) -> None:
    """Adds the command `predict` to the application."""
    app.command("predict")(predict_command)


@dataclass(frozen=True)
class _Answer:
    """The highest outputs for one image. `index`: its number in an array file, None for an image file; `names`: "" where unknown."""

    file: str
    index: int | None
    classes: tuple[int, ...]
    names: tuple[str, ...]
    scores: tuple[float, ...]


def predict_command(
    context: typer.Context,
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
    center: Annotated[
        str,
        typer.Option(
            "--center",
            help="Bring digits in image files to the place and size that MNIST's have: no, or auto where the network reads such digits "
            "and the image has another size.",
            metavar="WHEN",
        ),
    ] = "auto",
    shape: Shapes = None,
    as_json: Json = False,
    language: Language = None,
) -> None:
    """Classify images: the highest outputs for each, as a table or as JSON.

    The names of the classes come from the model's file, or from labels.txt or metadata.json beside it. Image files are resized to what
    the network takes, and scaled to what it was trained on: as the model's file says, or a file of Teachable Machine beside it, or
    --scale; the last line says which. What the values of an array mean follows from them: booleans and numbers up to 1 go from 0 to
    1, whole numbers from 0 to 255 (uint16 to 65535), and other fractions are used as they are.

    Examples:

      depthwise predict model.keras digit.png

      depthwise predict keras_model.h5 *.jpg --top 1 --json

      depthwise predict model.keras digits.npy
    """
    language = chosen_language(language)
    refuse_alone(context, seed="untrained")
    if center not in ("auto", "no"):
        raise InvalidArgumentError(f"--center must be auto or no, got {describe_value(center)}")
    if invert not in ("auto", "yes", "no"):
        raise InvalidArgumentError(f"--invert must be auto, yes or no, got {describe_value(invert)}")
    use_threads(threads)
    network, reading = open_named(model, untrained, seed, language, scale, shapes=shape)
    graph = network.graph
    _check(graph)
    answers: list[_Answer] = []
    for path in files:
        try:
            images, is_array = _read(path, graph, reading, invert, center, language)
            outputs = _shares(graph, network.predict(images, verbose=0), reading, path)
        except DepthwiseError as error:
            if not skip_unreadable:
                raise
            say(text("command.skipped", language, reason=str(error)))
            continue
        answers += [
            _answer(str(path), index if is_array else None, row, top, reading) for index, row in enumerate(outputs)
        ]
    if not answers:
        raise InvalidDataError(f"none of the {len(files):,} files could be read, so there is nothing to show")
    if as_json:
        print_json([_json(answer, reading) for answer in answers])
    else:
        _print(answers, reading, language)


def _check(graph: "Graph") -> None:
    """Whether the command can show what the network gives."""
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


def _read(
    path: Path, graph: "Graph", reading: "Reading", invert: str, center: str, language: str
) -> "tuple[NDArray[np.float32], bool]":
    """The images of a file as the network takes them, and whether it is a file of arrays."""
    from depthwise.classification import picture_shape, scaled_for
    from depthwise.pictures import load_picture, prepared

    height, width, channels = form = picture_shape(graph)
    shown = describe_value(str(path), _PATH_LIMIT)
    if path.is_dir():
        raise InvalidArgumentError(f"{shown} is a folder; name the images in it, such as {path.name or '.'}/*.png")
    if path.suffix.lower() in _ARRAY_SUFFIXES:
        if invert == "yes":
            raise InvalidArgumentError(f"--invert is for image files, and {shown} holds arrays; leave it out")
        array = _read_array(path)
        if array.shape == (height, width) and channels == 1:
            array = array[..., None]
        if array.shape in (graph.input_shapes[0], form):
            array = array[None]
        return scaled_for(graph, array, reading.scale), True
    pixels, changes = load_picture(path, graph, reading, invert, center)
    for change in changes:
        say(text(f"command.{change}", language, file=shown))
    return prepared(graph, pixels, reading)[None], False


def _shares(graph: "Graph", outputs: "NDArray[np.float32]", reading: "Reading", path: Path) -> "NDArray[np.float32]":
    """A score for each class: a single probability has two, once the classes have names."""
    import numpy as np

    from depthwise.classification import gives_probabilities

    if not np.isfinite(outputs).all():
        raise InvalidDataError(
            f"{describe_value(str(path), _PATH_LIMIT)}: the network's output holds NaN or infinity; the file or the network's "
            "weights hold such, or values too large"
        )
    if outputs.shape[1] == 1 and len(reading.class_names) == 2 and gives_probabilities(graph):
        return np.concatenate([1 - outputs, outputs], axis=1)
    return outputs


def _read_array(path: Path) -> "NDArray[Any]":
    """The array in an .npy file, or the only one of an .npz file; never a pickle."""
    from depthwise.data.npz import load_array

    if not path.exists():
        raise InvalidFileError(f"there is no file {describe_value(str(path), _PATH_LIMIT)}")
    return load_array(path)


def _answer(file: str, index: int | None, row: "NDArray[np.float32]", top: int, reading: "Reading") -> _Answer:
    import numpy as np

    order = tuple(int(number) for number in np.argsort(-row, kind="stable")[:top])
    known = reading.class_names if len(reading.class_names) == len(row) else ("",) * len(row)
    return _Answer(file, index, order, tuple(known[n] for n in order), tuple(float(row[n]) for n in order))


def _json(answer: _Answer, reading: "Reading") -> dict[str, Any]:
    found = zip(answer.classes, answer.names, answer.scores)
    return {
        "file": answer.file,
        "index": answer.index,
        "predictions": [{"class": number, "name": name or None, "score": score} for number, name, score in found],
        "scale": reading.scale,
        "scale_from": reading.scale_from,
        "names_from": reading.names_from or None,
    }


def _print(answers: list[_Answer], reading: "Reading", language: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from depthwise.explain.text import printable

    console = Console(highlight=False)
    if not _print_table(console, answers, language):
        _print_lists(console, answers)
    facts = [
        text(
            f"command.scale_from_{_source(reading.scale_from)}", language, scale=reading.scale, file=reading.scale_from
        )
    ]
    if reading.names_from:
        facts.append(text(f"command.names_from_{_source(reading.names_from)}", language, file=reading.names_from))
    for line in facts:
        console.print(Text(printable(line, 400), "dim"))


def _source(name: str) -> str:
    """The end of the message's key for a source of facts: a file beside the model has any name."""
    return name if name in ("option", "file", "layers", "usual") else "beside"


def _label(number: int, name: str) -> str:
    from depthwise.explain.text import printable

    return printable(name) if name else str(number)


def _print_table(console: "Console", answers: list[_Answer], language: str) -> bool:
    """A row for each image; False, and nothing printed, where it does not fit the console's width."""
    from rich import box
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    from depthwise.explain.text import printable

    with_numbers = any(answer.index is not None for answer in answers)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(text("command.file", language), overflow="fold")
    if with_numbers:
        table.add_column(text("command.image", language), justify="right")
    for number in range(max(len(answer.classes) for answer in answers)):
        table.add_column(text("command.class", language) if number == 0 else f"{number + 1}.", justify="right")
        table.add_column(text("command.score", language), justify="right")
    for answer in answers:
        cells = [Text(printable(answer.file, _PATH_LIMIT))]
        if with_numbers:
            cells.append(Text("" if answer.index is None else str(answer.index)))
        for label, name, score in zip(answer.classes, answer.names, answer.scores):
            cells += [Text(_label(label, name), style="bold"), Text(f"{score:.4f}")]
        table.add_row(*cells)
    if Measurement.get(console, console.options.update(max_width=10_000), table).maximum > console.width:
        return False
    console.print(table)
    return True


def _print_lists(console: "Console", answers: list[_Answer]) -> None:
    """Below each image its classes, one a line."""
    from rich.cells import cell_len
    from rich.text import Text

    from depthwise.explain.text import printable

    for answer in answers:
        number = "" if answer.index is None else f" [{answer.index}]"
        console.print(Text(printable(answer.file, _PATH_LIMIT) + number, "bold"))
        labels = [_label(label, name) for label, name in zip(answer.classes, answer.names)]
        width = min(max(map(cell_len, labels)), max(console.width - 12, 8))
        for label, score in zip(labels, answer.scores):
            padding = " " * max(width - cell_len(label), 0)
            console.print(Text(f"  {label}{padding}  {score:.4f}"))

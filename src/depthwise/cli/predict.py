"""`depthwise predict`: what a trained network says about images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.cli.options import (
    Bits,
    Json,
    Language,
    ModelName,
    RayAddress,
    RayCommand,
    Scale,
    Seed,
    Shapes,
    Threads,
    Untrained,
    chosen_language,
    open_named,
    refuse_alone,
    say,
    tell,
    use_threads,
)
from depthwise.cli.streams import print_json
from depthwise.cli.targets import check_target_file
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, InvalidDataError, describe_value
from depthwise.messages import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from depthwise.pictures import Reading
    from depthwise.predictions.rows import Classifier, Rows

__all__ = ["predict_command", "register"]

_PATH_LIMIT = 200


def register(app: typer.Typer) -> None:
    """Adds the command `predict` to the application."""
    app.command("predict", cls=RayCommand)(predict_command)


@dataclass(frozen=True)
class _Answer:
    """The highest outputs for one image. `index`: its number in an array file, None for an image file; `names`: "" where unknown."""

    file: str
    index: int | None
    classes: tuple[int, ...]
    names: tuple[str, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class _Request:
    """What the options say.

    Attributes:
        names: files, folders and patterns. out: the table to write, None to print.
        ray: the address of a cluster, "" for any; None for this process alone.
        bits: see `depthwise.distributed.predict`.
    """

    names: list[str]
    skip_unreadable: bool
    out: Path | None
    overwrite: bool
    ray: str | None
    bits: str
    as_json: bool
    language: str


def predict_command(
    context: typer.Context,
    model: ModelName,
    files: Annotated[
        list[str],
        typer.Argument(
            help="Images (PNG, JPEG, BMP, GIF, WebP, PPM), .npy and .npz arrays of shape (count, height, width, channels), folders of "
            "images, or patterns such as 'photos/**/*.jpg'.",
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
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write all rows to this .json, .csv or .parquet file; an image that cannot be read is a row that says why.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    ray: RayAddress = None,
    bits: Bits = "fast",
    as_json: Json = False,
    language: Language = None,
) -> None:
    """Classify images: the highest outputs for each, as a table, as JSON or as a file.

    The names of the classes come from the model's file, or from labels.txt or metadata.json beside it. Image files are resized to what
    the network takes, and scaled to what it was trained on: as the model's file says, or a file of Teachable Machine beside it, or
    --scale; the last line says which. What the values of an array mean follows from them: booleans and numbers up to 1 go from 0 to
    1, whole numbers from 0 to 255 (uint16 to 65535), and other fractions are used as they are.

    Examples:

      depthwise predict model.keras digit.png

      depthwise predict keras_model.h5 *.jpg --top 1 --json

      depthwise predict model.keras digits.npy

      depthwise predict model.keras photos/ --out rows.parquet --ray
    """
    language = chosen_language(language)
    refuse_alone(context, seed="untrained", overwrite="out", bits="ray")
    _check_options(invert, center, out, overwrite, skip_unreadable, as_json, files)
    use_threads(threads)
    network, reading = open_named(model, untrained, seed, language, scale, shapes=shape)
    from depthwise.predictions.rows import Classifier

    classifier = Classifier(network, reading, top, invert, center)
    request = _Request(files, skip_unreadable, out, overwrite, ray, bits, as_json, language)
    if out is not None:
        _write(classifier, request, out)
        return
    answers: list[_Answer] = []
    facts: list[dict[str, Any]] = []
    changed: dict[str, list[str]] = {}
    for rows in _results(classifier, request):
        answers += _answers(rows, classifier, request, changed)
        if as_json:
            from depthwise.predictions.tables import json_rows

            facts += [row for row in json_rows(rows, reading, classifier.columns) if "error" not in row]
    if not answers:
        raise InvalidDataError(f"none of the {len(files):,} files could be read, so there is nothing to show")
    for change, names in changed.items():
        key = f"command.{change}" if len(names) == 1 else f"command.{change}_all"
        say(text(key, language, file=describe_value(names[0], _PATH_LIMIT), count=len(names)))
    if as_json:
        print_json(facts)
    else:
        _print(answers, reading, language)


def _check_options(
    invert: str, center: str, out: Path | None, overwrite: bool, skip_unreadable: bool, as_json: bool, files: list[str]
) -> None:
    from depthwise.predictions.pieces import is_array
    from depthwise.predictions.tables import TABLE_SUFFIXES, check_table

    if center not in ("auto", "no"):
        raise InvalidArgumentError(f"--center must be auto or no, got {describe_value(center)}")
    if invert not in ("auto", "yes", "no"):
        raise InvalidArgumentError(f"--invert must be auto, yes or no, got {describe_value(invert)}")
    arrays = [name for name in files if is_array(name)]
    if arrays and invert == "yes":
        shown = describe_value(arrays[0], _PATH_LIMIT)
        raise InvalidArgumentError(f"--invert is for image files, and {shown} holds arrays; leave it out")
    if out is None:
        return
    check_target_file(out, overwrite, "--out", tuple(TABLE_SUFFIXES))
    check_table(out)
    for is_on, option, reason in (
        (skip_unreadable, "--skip-unreadable", "keeps what cannot be read as rows that say why"),
        (as_json, "--json", "writes a file"),
    ):
        if is_on:
            raise InvalidArgumentError(f"--out {reason}; leave {option} out, or leave out --out")


def _results(classifier: "Classifier", request: _Request) -> "Iterator[Rows]":
    """The rows of all files, in their order: computed here, or on a cluster."""
    from depthwise.predictions.pieces import Piece, batch_size, files_of, grouped, pieces_of

    if request.ray is not None:
        from depthwise.distributed.prediction import predicted

        if request.out is None and not request.skip_unreadable:
            # What ends the command needs no cluster to be found.
            local = (name for name in request.names if "://" not in name)
            missing = next((path for path in files_of(local) if not path.exists()), None)
            if missing is not None:
                yield classifier.rows([Piece(str(missing))])
                return
        yield from predicted(classifier, request.names, request.ray or None, request.bits, tell=say)
        return
    # A picture of a screen is named as soon as it is read; a table may have a million.
    size = batch_size(classifier.graph) if request.out is not None else 1
    files = files_of(request.names)
    for pieces in grouped(
        pieces_of(files, classifier.graph, classifier.reading.scale, batch_size(classifier.graph)), size
    ):
        yield classifier.rows(pieces)


def _answers(rows: "Rows", classifier: "Classifier", request: _Request, changed: dict[str, list[str]]) -> list[_Answer]:
    """The rows to show; what cannot be read is said on stderr, and `changed` gets the images to which something was done.

    Raises:
        InvalidDataError: a file cannot be read, and --skip-unreadable was not given.
    """
    from depthwise.predictions.rows import names_of

    names = names_of(classifier.reading, classifier.columns)
    answers: list[_Answer] = []
    said = ""
    for number, (file, index, error) in enumerate(zip(rows.files, rows.indices, rows.errors)):
        for change in rows.changes[number]:
            changed.setdefault(change, []).append(file)
        if error:
            if not request.skip_unreadable:
                raise InvalidDataError(error)
            if error != said:  # once for all samples of a file
                say(text("command.skipped", request.language, reason=error))
            said = error
            continue
        classes = tuple(rows.classes[number].tolist())
        scores = tuple(rows.scores[number].tolist())
        answers.append(_Answer(file, index, classes, tuple(names[each] for each in classes), scores))
    return answers


def _write(classifier: "Classifier", request: _Request, out: Path) -> None:
    """The rows as a file, and on stdout how many there are."""
    from depthwise.predictions.tables import write_table
    from depthwise.progress import ProgressBar

    done = failed = 0

    def counted() -> "Iterator[Rows]":
        nonlocal done, failed
        for rows in _results(classifier, request):
            done += len(rows)
            failed += sum(map(bool, rows.errors))
            bar.show(done)
            yield rows

    with ProgressBar(None, text("command.predicting", request.language), "counts") as bar:
        write_table(out, counted(), classifier.reading, classifier.columns, classifier.top)
    if done == failed:
        shown = describe_value(str(out), _PATH_LIMIT)
        raise InvalidDataError(f"none of the {done:,} images could be read; every row of {shown} says why")
    tell(text("command.rows_written", request.language, count=done, failed=failed, path=str(out)))


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

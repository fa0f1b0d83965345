"""`depthwise check`: what a model file holds and whether it opens. `depthwise convert`: the same model in another format."""

import dataclasses
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depthwise.cli.options import Json, Language, Shapes, chosen_language, is_terminal, opened, say, shapes_of, tell
from depthwise.cli.streams import print_json
from depthwise.cli.targets import check_target_file, save_or_rescue
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.messages import text

if TYPE_CHECKING:
    from depthwise.data.formats.check import Findings

__all__ = ["ONNX", "check_command", "check_onnx", "convert_command", "register"]

ONNX = ".onnx"
WRONG_FILE = 2
MOST_SHOWN = 20
LABELS = 12
"""Cells of the column with the names of the facts."""
UNBOUNDED = 10_000
"""Cells of a line that goes to a file or a pipe."""
_PATH_LIMIT = 200

ModelFile = Annotated[
    Path,
    typer.Argument(
        help="A .keras or .h5 file of Keras 1 to 3, an .onnx file, or the model.json of TensorFlow.js or its folder.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands `check` and `convert` to the application."""
    app.command("check")(check_command)
    app.command("convert")(convert_command)


def check_command(file: ModelFile, shape: Shapes = None, as_json: Json = False, language: Language = None) -> None:
    """Say what a model file holds, who wrote it, and whether it opens; if not, every reason. Nothing is compiled or run.

    The exit code is 0 for a file that opens, else 2.

    Examples:

      depthwise check keras_model.h5

      depthwise check model.keras --json
    """
    from depthwise.data.formats.check import check_file

    language = chosen_language(language)
    found = check_file(file, shapes=shapes_of(shape))
    if as_json:
        print_json({"file": str(file), "opens": found.opens, **dataclasses.asdict(found)})
    else:
        _print(file, found, language)
    if not found.opens:
        raise typer.Exit(WRONG_FILE)


def _print(file: Path, found: "Findings", language: str) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    from depthwise.classification import listed
    from depthwise.wrapping import Hanging, print_wrapped

    console = Console(highlight=False, soft_wrap=True)
    if not is_terminal(sys.stdout):
        console.width = UNBOUNDED

    def line(key: str, value: str, style: str = "") -> None:
        label = text(f"command.check_{key}", language)
        made = Hanging.assemble((label + " " * max(LABELS - cell_len(label), 1), "dim"), (value, style))
        assert isinstance(made, Hanging)
        made.hanging = LABELS
        print_wrapped(console, made)

    shown = describe_value(str(file), _PATH_LIMIT)
    keras = "" if found.kind == "ONNX model" else "Keras "
    writer = keras + _shown(found.version) if found.version else ""
    key = "command.check_written_by" if found.version else "command.check_file"
    print_wrapped(console, Text(text(key, language, file=shown, kind=found.kind, writer=writer), "bold"))
    if found.name:
        line("model", _shown(found.name))
    if found.layers:
        counts = sorted(found.layers.items(), key=lambda item: (-item[1], item[0]))
        names = ", ".join(f"{_shown(name)} {count}" for name, count in counts[:MOST_SHOWN])
        more = text("command.check_more", language, count=len(counts) - MOST_SHOWN) if len(counts) > MOST_SHOWN else ""
        line("layers", f"{sum(found.layers.values()):,}: {names}{more}")
    if found.inputs:
        line("shapes", " → ".join(" + ".join(map(str, sizes)) for sizes in (found.inputs, found.outputs)))
        line("parameters", f"{found.parameters:,}")
    for name, value in (found.training or {}).items():
        if value is not None:
            line(name, describe_value(value))
    if found.class_names:
        line("classes", f"{len(found.class_names):,}: {listed(found.class_names)}")
    for note in found.notes:
        line("note", note, "yellow")
    if found.opens:
        line("opens", text("command.check_yes", language), "green")
        return
    line("opens", text("command.check_no", language, count=len(found.problems)), "red")
    for problem in found.problems[:MOST_SHOWN]:
        print_wrapped(console, Text(f"  {_shown(problem.where)}: {problem.reason}"))
    if len(found.problems) > MOST_SHOWN:
        print_wrapped(
            console, Text("  " + text("command.check_others", language, count=len(found.problems) - MOST_SHOWN))
        )


def _shown(name: str) -> str:
    """A name from a file, printable, without quotes."""
    return describe_value(name)[1:-1]


def convert_command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A file as for `depthwise check`, or the name of a network, such as note-separable or mobilenetv2.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Where to write it: .keras, .h5, .hdf5 or .onnx.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there already.")] = False,
    opset: Annotated[
        int | None,
        typer.Option("--opset", help="Version of the operators of an .onnx file; 17 by default.", show_default=False),
    ] = None,
    channels_first: Annotated[
        bool, typer.Option("--channels-first", help="Let an .onnx file take and give images with their channels first.")
    ] = False,
    shape: Shapes = None,
    language: Language = None,
) -> None:
    """Write a model in another format: a .keras or .h5 file that Keras 3 opens, or an .onnx file. Weights keep their bits.

    Examples:

      depthwise convert keras_model.h5 model.keras

      depthwise convert model.json model.h5

      depthwise convert model.keras model.onnx

      depthwise convert note-separable note.onnx
    """
    from depthwise.pictures import reading_of

    language = chosen_language(language)
    check_target_file(out, overwrite, "OUT", (".keras", ".h5", ".hdf5", ONNX))
    if out.name.endswith(ONNX):
        check_onnx(opset)
    elif opset is not None or channels_first:
        option = "--channels-first" if opset is None else "--opset"
        raise InvalidArgumentError(f"{option} is for .onnx files, got {describe_value(str(out), _PATH_LIMIT)}")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        model, _ = opened(file, language=language, shapes=shape)
    for item in said:
        say(f"depthwise: note: {item.message}")
    model.use(reading_of(model, file).usage())  # names of classes in a file beside it

    def write(place: Path) -> None:
        if out.name.endswith(ONNX):
            model.export(place, opset_version=opset, channels_first=channels_first)
        else:
            model.save(place, overwrite=overwrite)

    place, failure = save_or_rescue(out, write)
    tell(text("command.written", language, path=describe_value(str(place), _PATH_LIMIT)[1:-1]))
    if failure is not None:
        raise failure


def check_onnx(opset: int | None) -> None:
    """Whether an ONNX file can be written, before the model is read."""
    from depthwise.data.formats.onnx.package import require_onnx
    from depthwise.data.formats.onnx.writing.file import check_opset

    require_onnx()
    if opset is not None:
        check_opset(opset)

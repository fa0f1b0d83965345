"""`depthwise check`: what a model file holds and whether it opens. `depthwise convert`: the same model in another format."""

import dataclasses
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from depthwise.cli.options import Json, Shapes, shapes_of
from depthwise.cli.streams import print_json
from depthwise.cli.targets import check_target_file
from depthwise.errors import InvalidArgumentError, describe_value

__all__ = ["check_command", "convert_command", "register"]

ONNX = ".onnx"
WRONG_FILE = 2
MOST_SHOWN = 20
_PATH_LIMIT = 200

ModelFile = Annotated[
    Path,
    typer.Argument(
        help="A .keras or .h5 file of Keras 1 to 3, or the model.json of TensorFlow.js or its folder.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the commands `check` and `convert` to the application."""
    app.command("check")(check_command)
    app.command("convert")(convert_command)


def check_command(file: ModelFile, shape: Shapes = None, as_json: Json = False) -> None:
    """Say what a model file holds, who wrote it, and whether it opens; if not, every reason. Nothing is compiled or run.

    The exit code is 0 for a file that opens, else 2.

    Examples:

      depthwise check keras_model.h5

      depthwise check model.keras --json
    """
    from depthwise.data.formats.check import check_file

    found = check_file(file, shapes=shapes_of(shape))
    if as_json:
        print_json({"file": str(file), "opens": found.opens, **dataclasses.asdict(found)})
    else:
        _print(file, found)
    if not found.opens:
        raise typer.Exit(WRONG_FILE)


def _print(file: Path, found: object) -> None:
    from depthwise.data.formats.check import Findings

    assert isinstance(found, Findings)
    keras = "" if found.kind == "ONNX model" else "Keras "
    writer = f", written by {keras}{_shown(found.version)}" if found.version else ""
    print(f"{describe_value(str(file), _PATH_LIMIT)}: {found.kind}{writer}")
    if found.name:
        print(f"model:      {_shown(found.name)}")
    if found.layers:
        counts = sorted(found.layers.items(), key=lambda item: (-item[1], item[0]))
        shown = ", ".join(f"{_shown(name)} {count}" for name, count in counts[:20])
        more = f", and {len(counts) - 20} others" if len(counts) > 20 else ""
        print(f"layers:     {sum(found.layers.values()):,}: {shown}{more}")
    if found.inputs:
        shapes = (" and ".join(map(str, sizes)) for sizes in (found.inputs, found.outputs))
        print(f"shapes:     {' → '.join(shapes)}")
        print(f"parameters: {found.parameters:,}")
    for name, value in (found.training or {}).items():
        if value is not None:
            print(f"{name + ':':11} {describe_value(value)}")
    for note in found.notes:
        print(f"note:       {note}")
    if found.opens:
        print("opens:      yes")
        return
    print(f"opens:      no, for {len(found.problems):,} reason{'s' if len(found.problems) > 1 else ''}:")
    for problem in found.problems[:MOST_SHOWN]:
        print(f"  {_shown(problem.where)}: {problem.reason}")
    if len(found.problems) > MOST_SHOWN:
        print(f"  and {len(found.problems) - MOST_SHOWN:,} others; --json has them all")


def _shown(name: str) -> str:
    """A name from a file, printable, without quotes."""
    return describe_value(name)[1:-1]


def convert_command(
    file: ModelFile,
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
) -> None:
    """Write a model in another format: a .keras or .h5 file that Keras 3 opens, or an .onnx file. Weights keep their bits.

    Examples:

      depthwise convert keras_model.h5 model.keras

      depthwise convert model.json model.h5

      depthwise convert model.keras model.onnx
    """
    from depthwise.models import load_model

    check_target_file(out, overwrite, "OUT", (".keras", ".h5", ".hdf5", ONNX))
    if out.name.endswith(ONNX):
        _check_onnx(opset)
    elif opset is not None or channels_first:
        option = "--channels-first" if opset is None else "--opset"
        raise InvalidArgumentError(f"{option} is for .onnx files, got {describe_value(str(out), _PATH_LIMIT)}")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        model = load_model(file, shapes=shapes_of(shape))
        model.graph  # noqa: B018 - an ONNX file that leaves sizes open says so
    for item in said:
        print(f"depthwise: note: {item.message}", file=sys.stderr)
    if out.name.endswith(ONNX):
        model.export(out, opset_version=opset, channels_first=channels_first)
    else:
        model.save(out)
    print(f"Written to {describe_value(str(out), _PATH_LIMIT)[1:-1]}")


def _check_onnx(opset: int | None) -> None:
    """Whether an ONNX file can be written, before the model is read."""
    from depthwise.data.formats.onnx.package import require_onnx
    from depthwise.data.formats.onnx.writing.file import check_opset

    require_onnx()
    if opset is not None:
        check_opset(opset)

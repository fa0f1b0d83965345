"""`depthwise explain`: the network, a layer, one number, the note, or the page."""

from pathlib import Path
from typing import Annotated, Any

import typer

from depthwise.cli.options import (
    Language,
    Open,
    Scale,
    Shapes,
    chosen_language,
    is_given,
    open_page,
    opened,
    read_as,
    refuse_alone,
)
from depthwise.cli.streams import print_json
from depthwise.cli.targets import check_target_file, save_or_rescue
from depthwise.errors import InvalidArgumentError, InvalidFileError, UnsupportedError, describe_value
from depthwise.messages import text

__all__ = ["explain_command", "register"]


def register(app: typer.Typer) -> None:
    """Adds the command `explain` to the application."""
    app.command("explain")(explain_command)


def explain_command(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="A .keras, .h5 or .onnx file; or note-cnn, note-separable, note-ordinary, mobilenetv2:96x96; or note: the note's worked "
            "examples, slips and open questions."
        ),
    ],
    shape: Shapes = None,
    layer: Annotated[str | None, typer.Option(help="Explain this layer only.", metavar="NAME")] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="One output number of the layer: row,column,channel from 0 on (or one number for a vector); by default the cell "
            "that has most to show.",
            metavar="R,C,N",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            help="Run the network on this image; any that predict takes, resized and scaled as there.", metavar="FILE"
        ),
    ] = None,
    sample: Annotated[int | None, typer.Option(help="Run it on this MNIST test image.", metavar="N")] = None,
    scale: Scale = "auto",
    invert: Annotated[
        str,
        typer.Option(
            "--invert",
            help="Swap light and dark in --image: yes, no, or auto for dark digits on light paper.",
            metavar="WHEN",
        ),
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the interactive page to this file. One that is there already is refused.",
            metavar="PAGE.HTML",
        ),
    ] = None,
    worksheet: Annotated[
        Path | None,
        typer.Option(
            "--worksheet",
            help="Write exercises on the network to print, with their answers, to this file.",
            metavar="SHEET.HTML",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON, for programs.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Show every channel and product, however many.")] = False,
    untrained: Annotated[
        bool,
        typer.Option(
            "--untrained", help="New weights for one of the note's networks, not the trained ones of the package."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="New weights follow from it.", min=0, max=2**32 - 1)] = 1,
    times: Annotated[
        bool, typer.Option("--times/--no-times", help="Measure the network and its twin for the page.")
    ] = True,
    open_it: Open = False,
    language: Language = None,
) -> None:
    """Explain a network: every shape, parameter and MAC as a formula, and how each number comes about.

    Examples:

      depthwise explain note

      depthwise explain model.keras --layer conv2d --at 3,4,7 --sample 0

      depthwise explain model.keras -o page.html

      depthwise explain model.keras --worksheet sheet.html
    """
    from depthwise.explain.explanation import Explanation

    named, language = language, chosen_language(language)
    _refuse_unused(context, model)
    if output is not None:
        check_target_file(output, overwrite, "--output")
    if worksheet is not None:
        check_target_file(worksheet, overwrite, "--worksheet")
    if model == "note" and layer is None and at is None and output is None and worksheet is None:
        _explain_note(as_json, language)
        return
    loaded, is_trained, picture = _load(model, untrained, seed, language, scale, shape, as_json)
    if worksheet is not None:
        _write_worksheet(loaded, worksheet, language)
        if open_it:
            open_page(worksheet)
        return
    place = None if at is None else _place(at)
    # A page speaks what its reader's browser asks for, unless the user named a language.
    words = language if output is None else named
    explanation = Explanation(loaded, layer, place, words, image, sample, picture, invert, scale)
    if output is not None:
        _write_page(explanation, output, is_trained, times, language, with_note=model == "note")
        if open_it:
            open_page(output)
        return
    if as_json:
        print_json(_json_facts(explanation))
        return
    _print(explanation.lines(show_all))


def _refuse_unused(context: typer.Context, model: str) -> None:
    """Options that would change nothing: the page shows all, runs on pictures and is measured; a layer's cell is computed from a picture."""
    # As JSON a layer is facts, without a cell unless one is asked for.
    computed = "at" if is_given(context, "as_json") else "layer"
    refuse_alone(
        context,
        at="layer",
        seed="untrained",
        invert="image",
        image=f"{computed}|output",
        sample=f"{computed}|output",
        scale=f"{computed}|output",
        show_all=computed,
        overwrite="output|worksheet",
        times="output",
        open_it="output|worksheet",
    )
    others = ("output", "layer", "at", "as_json", "image", "sample", "untrained")
    if is_given(context, "worksheet") and any(is_given(context, name) for name in others):
        raise InvalidArgumentError(
            "--worksheet writes exercises on the whole network; give it alone, or with --overwrite"
        )
    if is_given(context, "output") and (is_given(context, "as_json") or is_given(context, "show_all")):
        raise InvalidArgumentError("--output writes the page, which shows everything; leave --json and --all out")
    if model == "note" and is_given(context, "untrained"):
        raise InvalidArgumentError("the note's examples have weights of their own; leave --untrained out")


def _place(at: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in at.split(","))
    except ValueError:
        raise InvalidArgumentError(
            f"--at must be whole numbers with commas between, for example 3,4,7, got {describe_value(at)}"
        ) from None


def _load(
    name: str, untrained: bool, seed: int, language: str, scale: str, shapes: list[str] | None, as_json: bool
) -> tuple[Any, bool, Any]:
    """The model, whether its weights were trained, and the picture that belongs to it; new weights follow from `seed`."""
    from depthwise.models import Model
    from depthwise.networks import NETWORKS, is_network

    if name == "note":
        from depthwise.explain.note import small_network, small_picture, small_weights

        graph = small_network()
        model = Model.from_graph(graph, small_weights(graph))
        return model, False, small_picture()
    if not is_network(name) and not Path(name).exists():
        raise InvalidFileError(
            f"there is no file {describe_value(name)}; give a .keras, .h5 or .onnx file, or one of note, {', '.join(NETWORKS)}, "
            "or a network of depthwise.applications such as mobilenetv2:96x96:alpha=0.35"
        )
    try:
        model, is_trained = opened(name, untrained, seed, language, shapes=shapes)
    except (InvalidFileError, UnsupportedError):
        if not is_network(name):
            from depthwise.cli.refused import print_refused

            print_refused(Path(name), shapes, as_json, language)
        raise
    read_as(model, name, scale)
    return model, is_trained, None


def _explain_note(as_json: bool, language: str) -> None:
    from depthwise.explain.note_terminal import note_facts, note_lines

    if as_json:
        print_json(note_facts(language))
    else:
        _print(list(note_lines(language)))


def _json_facts(explanation: Any) -> dict[str, Any]:
    """The whole network's facts, one layer's, or one cell's: what the other options asked for."""
    if explanation.layer is None:
        return dict(explanation.facts)
    if explanation.at is not None:
        return dict(explanation.cell)
    return dict(next(layer for layer in explanation.facts["layers"] if layer["name"] == explanation.layer))


def _write_page(explanation: Any, output: Path, is_trained: bool, times: bool, language: str, with_note: bool) -> None:
    from rich.text import Text

    from depthwise.explain.text import printable
    from depthwise.files import atomic_write_text

    page = explanation.page(is_trained=is_trained, with_times=times, with_note=with_note)
    place, failure = save_or_rescue(output, lambda place: atomic_write_text(place, page.html))
    size = f"{len(page.html.encode('utf-8')) / 1e6:.2f} MB"
    lines = [Text(text("terminal.page_written", language, path=printable(str(place), 200), size=size))]
    if page.kept_layers < page.layers:
        lines.append(Text(text("terminal.page_thinned", language, kept=page.kept_layers, count=page.layers), "yellow"))
    _print(lines)
    if failure is not None:
        raise failure


def _write_worksheet(model: Any, path: Path, language: str) -> None:
    from rich.text import Text

    from depthwise.explain.text import printable
    from depthwise.explain.worksheet import worksheet
    from depthwise.files import atomic_write_text

    atomic_write_text(path, worksheet(model.graph, language))
    _print([Text(text("terminal.worksheet_written", language, path=printable(str(path), 200)))])


def _print(lines: list[Any]) -> None:
    from rich.console import Console

    from depthwise.explain.terminal import print_lines

    print_lines(Console(), lines)

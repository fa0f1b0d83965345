"""`depthwise bench`: where a network's time goes, block by block, as a share of what the machine can do."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depthwise.cli.options import Json, Language, Shapes, Threads, chosen_language, is_given, opened, use_threads
from depthwise.cli.streams import print_json
from depthwise.cli.targets import check_target_folder
from depthwise.errors import InvalidArgumentError
from depthwise.progress import ProgressBar

if TYPE_CHECKING:
    from depthwise.bench.report import BenchReport

__all__ = ["bench_command", "register"]

_PIPE_WIDTH = 140
_BATCH, _BLOCK_BATCHES = 256, (1, 16)
_WORKS = {"note-separable": "note_separable", "note-cnn": "note_cnn", "note-ordinary": "note_twin"}
"""What `benchmarks/run` calls the networks that it knows."""


def register(app: typer.Typer) -> None:
    """Adds the command `bench` to the application."""
    app.command("bench")(bench_command)


def bench_command(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A .keras file, or a network's name: note-cnn, note-separable, note-ordinary, mobilenetv2:96x96:alpha=0.35.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", help="Images of one call [default: 256; for --blocks 1, then 16].", min=1, max=65536),
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="Measure a training step with Adam, not a prediction.")
    ] = False,
    blocks: Annotated[
        str | None,
        typer.Option(
            "--blocks",
            help="Instead of a model, the blocks of a family, each by itself: mobilenet.",
            metavar="FAMILY",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(help="About how long to measure each model.", min=0.05, max=600.0)] = 3.0,
    shape: Shapes = None,
    rivals: Annotated[
        bool,
        typer.Option(
            "--rivals", help="Run the other frameworks side by side instead; needs the repository and the rivals in it."
        ),
    ] = False,
    dump: Annotated[
        Path | None,
        typer.Option(
            "--dump",
            help="Write each step of every compilation into this folder: program, schedule, IR and assembly.",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    threads: Threads = None,
    as_json: Json = False,
    language: Language = None,
) -> None:
    """Print where a network's time goes, block by block, as a share of what this machine can do.

    The peak of multiply-adds and the speed of the caches are measured in the same run, in turns with the network. Close
    other programs first.

    Examples:

      depthwise bench note-separable

      depthwise bench model.keras --batch 1 --threads 1

      depthwise bench note-cnn --training --batch 128 --json

      depthwise bench --blocks mobilenet

      depthwise bench note-separable --rivals
    """
    language = chosen_language(language)
    if (model is None) == (blocks is None) and not (rivals and blocks is None):
        raise InvalidArgumentError("name a model, or give --blocks mobilenet: one of the two")
    if rivals:
        if as_json or blocks is not None or dump is not None or is_given(context, "seconds"):
            raise InvalidArgumentError(
                "--rivals takes no --json, --blocks, --dump and --seconds; see benchmarks/run --help for more"
            )
        _run_rivals(model, batch or _BATCH, training, threads)
    from depthwise.bench.mobilenet import blocks as models_of

    use_threads(threads)
    models = models_of(blocks) if blocks is not None else [opened(str(model), shapes=shape)[0]]
    if dump is not None:
        check_target_folder(dump, "--dump")
    batches = (batch,) if batch is not None else _BLOCK_BATCHES if blocks is not None else (_BATCH,)
    with _dumped(dump):
        reports = [report for size in batches for report in _measure(models, size, training, seconds)]
    if as_json:
        facts = [report.facts() for report in reports]
        print_json(facts if blocks is not None else facts[0])
        return
    from rich.console import Console

    from depthwise.bench.table import print_blocks, print_report

    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    for report in reports:
        print_report(report, console, language)
    if blocks is not None:
        print_blocks(reports, console, language)


@contextmanager
def _dumped(folder: Path | None) -> Iterator[None]:
    """Has every compilation within write its steps into the folder."""
    from depthwise.compiler.dump import FOLDER_VARIABLE, STEPS_VARIABLE, dump_everything

    before = {name: os.environ.get(name) for name in (FOLDER_VARIABLE, STEPS_VARIABLE)}
    if folder is not None:
        dump_everything(folder)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _run_rivals(model: str | None, batch: int, training: bool, threads: int | None) -> None:
    from depthwise.bench.rivals import run_rivals
    from depthwise.runtime.threads import default_threads

    if model is not None and model not in _WORKS:
        raise InvalidArgumentError(f"--rivals knows {', '.join(_WORKS)}; other models have no counterpart there")
    work = [] if model is None else [f"{_WORKS[model]}:{'training' if training else 'predict'}:{batch}"]
    raise typer.Exit(run_rivals(work, default_threads() if threads is None else threads))


def _measure(models: list[Any], batch: int, training: bool, seconds: float) -> "list[BenchReport]":
    """Each model in turn, with a bar on the error stream where it is a terminal."""
    from depthwise.bench.run import measure

    reports = []
    with ProgressBar(len(models), "measuring") as progress:
        for number, model in enumerate(models):

            def show(share: float, number: int = number) -> None:
                progress.show(number + share)

            reports.append(
                measure(
                    model.graph,
                    model.weights_by_name,
                    batch=batch,
                    training=training,
                    seconds=seconds,
                    observe=show,
                )
            )
    return reports

"""`depthwise compare`: two networks side by side on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depthwise.cli.options import (
    BatchSize,
    Bits,
    DataName,
    Language,
    Open,
    RayAddress,
    RayCommand,
    Shapes,
    SkipUnreadable,
    Threads,
    chosen_language,
    is_given,
    load_dataset,
    open_page,
    opened,
    refuse_alone,
    say,
    shapes_of,
    use_threads,
)
from depthwise.cli.streams import on_one_line
from depthwise.cli.targets import save_or_rescue
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.messages import text

if TYPE_CHECKING:
    from rich.console import Console

    from depthwise.compare.report import Report
    from depthwise.compare.run import Contestant
    from depthwise.distributed.training import RayTrainer
    from depthwise.models import Model

__all__ = ["compare_command", "register"]

DEFAULT_EPOCHS = 1
FULL_EPOCHS = 5
DEFAULT_SEEDS = "1"
DEFAULT_BATCH_SIZE = 128
"""With these and `--full`, both networks of the note pass 99.0 % on MNIST; a test keeps it."""

DEFAULT_FOLDER = Path("compare")

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT."""

_MOST_EPOCHS, _MOST_SEEDS = 10_000, 100


def register(app: typer.Typer) -> None:
    """Adds the command `compare` to the application."""
    app.command("compare", cls=RayCommand)(compare_command)


def compare_command(
    context: typer.Context,
    first: Annotated[
        str,
        typer.Argument(
            help="A network's name (note-cnn, note-separable, note-ordinary, mobilenetv2:96x96) or a .keras, .h5 or .onnx file."
        ),
    ] = "note-separable",
    second: Annotated[
        str | None, typer.Argument(help="The other one; without it, the first one's twin.", show_default=False)
    ] = None,
    twin: Annotated[
        bool,
        typer.Option(
            "--twin",
            help="Compare FIRST with its twin: ordinary convolutions for separable ones, or the other way round.",
        ),
    ] = False,
    direction: Annotated[
        str | None,
        typer.Option(
            help="Which twin: ordinary or separable; by default the one that differs.",
            metavar="KIND",
            show_default=False,
        ),
    ] = None,
    data: DataName = "mnist",
    epochs: Annotated[
        int | None,
        typer.Option(
            help=f"Passes over the training data. By default {DEFAULT_EPOCHS}; 0 where both networks come from files, which "
            "then are compared with the weights that they have.",
            show_default=False,
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help=f"Train to the end: {FULL_EPOCHS} epochs. Takes minutes, not seconds.")
    ] = False,
    seeds: Annotated[
        str, typer.Option(help="One training for each: 1,2,3 gives means and spreads.", metavar="N,N,…")
    ] = DEFAULT_SEEDS,
    batch_size: BatchSize = DEFAULT_BATCH_SIZE,
    prediction_batch_size: Annotated[int, typer.Option(help="Images for one timed prediction.", min=1)] = 256,
    threads: Threads = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for report.html, report.json, both .keras files and pages that explain what they got wrong. One that holds an earlier comparison is refused. By "
            "default compare, or where that is taken compare-2, compare-3, ….",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the earlier comparison in the folder, as a whole.")
    ] = False,
    skip_unreadable: SkipUnreadable = False,
    shape: Shapes = None,
    open_report: Open = False,
    ray: RayAddress = None,
    bits: Bits = "fast",
    language: Language = None,
) -> None:
    """Compare two networks: parameters, arithmetic, speed on this machine, accuracy, and the time of training both alike.

    Without arguments: the note's separable network and its ordinary twin on MNIST. First comes what needs no training: the
    arithmetic, the speed of predictions, and the accuracy of the weights that come with the package. Then both are trained
    from new weights in turns. Ctrl-C stops at any time and reports the results so far.

    Examples:

      depthwise compare

      depthwise compare --full

      depthwise compare note-cnn --twin --epochs 2 --seeds 1,2,3

      depthwise compare --seeds 1,2,3,4,5,6,7,8 --ray auto

      depthwise compare mine.keras other.keras --data photos/ --language zh
    """
    from depthwise.compare.run import check_epochs

    language = chosen_language(language)
    refuse_alone(context, bits="ray")
    seed_numbers = _seeds(seeds)
    contestants = _contestants(first, second, twin, direction, shape)
    are_loaded = all(contestant.loaded is not None for contestant in contestants)
    if full and epochs is not None:
        raise InvalidArgumentError(f"--full is --epochs {FULL_EPOCHS}; give one of the two")
    default = FULL_EPOCHS if full else 0 if are_loaded else DEFAULT_EPOCHS
    wanted = default if epochs is None else epochs
    if not 0 <= wanted <= _MOST_EPOCHS:
        raise InvalidArgumentError(f"--epochs must be from 0 to {_MOST_EPOCHS:,}, got {wanted}")
    check_epochs(contestants, wanted)
    for name in ("seeds", "batch_size", "ray"):
        if not wanted and is_given(context, name):
            option = f"--{name.replace('_', '-')}"
            raise InvalidArgumentError(
                f"{option} is for training, and files are compared with the weights that they have; give --epochs too, or leave "
                f"{option} out"
            )
    use_threads(threads)
    trainer = None
    if ray is not None:
        from depthwise.distributed.training import RayTrainer

        trainer = RayTrainer(ray or None, bits, say)
    _run(
        contestants,
        data,
        wanted,
        seed_numbers,
        batch_size,
        prediction_batch_size,
        out,
        overwrite,
        skip_unreadable,
        open_report,
        language,
        trainer,
    )


def _seeds(given: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in given.split(","))
    except ValueError:
        seeds = ()
    if not seeds or len(seeds) > _MOST_SEEDS or len(set(seeds)) < len(seeds) or not all(0 <= n < 2**32 for n in seeds):
        raise InvalidArgumentError(
            f"--seeds must be up to {_MOST_SEEDS} different whole numbers from 0 to 4294967295 with commas between, for "
            f"example 1,2,3, got {describe_value(given)}"
        )
    return seeds


def _contestants(
    first: str, second: str | None, twin: bool, direction: str | None, shapes: list[str] | None
) -> "tuple[Contestant, Contestant]":
    from depthwise.compare.run import Contestant
    from depthwise.network.twins import Direction, twin_direction
    from depthwise.network.twins import twin as twin_of
    from depthwise.networks import trained

    if second is not None and (twin or direction):
        raise InvalidArgumentError(
            "--twin and --direction go with one network; leave the second one out, or leave out --twin and --direction"
        )
    if direction is not None and direction not in list(Direction):
        raise InvalidArgumentError(f"--direction must be ordinary or separable, got {describe_value(direction)}")
    own = _shapes_by_file([first] if second is None else [first, second], shapes)
    one, model = _named(first, own[0])
    if second is not None:
        return _told_apart(one, _named(second, own[1])[0])
    chosen = Direction(direction) if direction else twin_direction(model.graph)
    # The twin of note-separable has a name of its own in the note's family, and weights that come with the package.
    name = "note-ordinary" if first == "note-separable" and chosen is Direction.ORDINARY else None
    graph = twin_of(model.graph, chosen, name)
    return one, Contestant("twin", graph, shipped=None if name is None else trained(name))


def _shapes_by_file(names: list[str], given: list[str] | None) -> list[list[str] | None]:
    """For each network the shapes of its own inputs.

    Raises:
        InvalidArgumentError: none of them has an input of that name.
    """
    from depthwise.data.formats.opening import is_onnx
    from depthwise.networks import is_network

    if not given:
        return [None] * len(names)
    shapes_of(given)  # refuses what is not a shape
    known: list[list[str]] = []
    for name in names:
        if is_network(name) or not Path(name).is_file() or not is_onnx(name):
            known.append([])
            continue
        from depthwise.data.formats.onnx.reading.opening import input_names

        known.append(input_names(name))
    for item in given:
        wanted = item.rpartition("=")[0]
        if not any(wanted in inputs for inputs in known):
            every = sorted({name for inputs in known for name in inputs})
            raise InvalidArgumentError(
                f"--shape names the input {describe_value(wanted)}, which none of the networks has; "
                + (f"their inputs are {describe_value(every)}" if every else "it is for ONNX files alone, leave it out")
            )
    return [[item for item in given if item.rpartition("=")[0] in inputs] or None for inputs in known]


def _named(name: str, shapes: list[str] | None = None) -> "tuple[Contestant, Model]":
    from depthwise.compare.run import Contestant
    from depthwise.networks import NETWORKS, is_network

    model, is_trained = opened(name, shapes=shapes)
    if name in NETWORKS:
        return Contestant(name, model.graph, shipped=model), model
    if is_network(name):
        return Contestant(name, model.graph, loaded=model if is_trained else None), model
    return Contestant(Path(name).name, model.graph, loaded=model), model


def _told_apart(one: "Contestant", other: "Contestant") -> "tuple[Contestant, Contestant]":
    """Files of one architecture go by their own names."""
    from dataclasses import replace

    if one.graph.name != other.graph.name:
        return one, other
    first, second = (
        replace(item, graph=replace(item.graph, name=Path(item.source).stem if item.loaded else item.source))
        for item in (one, other)
    )
    return first, second


def _folder(out: Path | None, names: list[str], overwrite: bool, language: str) -> Path:
    """The folder for these files, prepared; one beside the default where that is taken."""
    from depthwise.compare.folder import free_folder, prepare_folder

    folder = (DEFAULT_FOLDER if overwrite else free_folder(DEFAULT_FOLDER, names)) if out is None else out
    prepare_folder(folder, names, overwrite)
    if out is None and folder != DEFAULT_FOLDER:
        say(text("comparison.beside", language, taken=f"{DEFAULT_FOLDER}/", folder=f"{folder}/"))
    return folder


def _run(
    contestants: "tuple[Contestant, Contestant]",
    data_name: str,
    epochs: int,
    seeds: tuple[int, ...],
    batch_size: int,
    prediction_batch_size: int,
    out: Path | None,
    overwrite: bool,
    skip_unreadable: bool,
    open_report: bool,
    language: str,
    trainer: "RayTrainer | None",
) -> None:
    from dataclasses import replace

    from rich.console import Console
    from rich.text import Text

    from depthwise.classification import picture_shape
    from depthwise.compare.console import print_first_results, print_report
    from depthwise.compare.folder import PAGE_NAME, explaining_page_name, model_file_names, write_folder
    from depthwise.compare.mistakes import can_explain
    from depthwise.compare.progress import ProgressDisplay
    from depthwise.compare.run import compare
    from depthwise.layers.tensors import is_foreign

    names = [contestant.graph.name for contestant in contestants]
    foreign = [any(is_foreign(call.layer) for call in contestant.graph.calls) for contestant in contestants]
    endings = [".onnx" if item else ".keras" for item in foreign]
    files = model_file_names(names, seeds if epochs else (None,), endings)
    pages = [explaining_page_name(group[0]) for group in files]
    all_files = [*(name for group in files for name in group), *pages]
    folder = _folder(out, all_files, overwrite, language)
    data = load_dataset(data_name, skip_unreadable, picture_shape(contestants[0].graph))
    console = Console()
    with ProgressDisplay(
        Console(stderr=True), names, language, lambda report: print_first_results(report, console, language)
    ) as progress:
        report, models = compare(
            contestants,
            data,
            progress,
            epochs=epochs,
            seeds=seeds,
            batch_size=batch_size,
            prediction_batch_size=prediction_batch_size,
            on_interrupt=lambda: progress.say(text("comparison.stopping", language)),
            train=trainer,
        )
    of_seed = [dict(zip(seeds if epochs else (None,), group)) for group in files]
    first, second = (
        replace(
            network, files=tuple(named[run.seed] for run in network.runs), page=page if can_explain(network) else ""
        )
        for network, named, page in zip(report.networks, of_seed, pages)
    )
    places = () if trainer is None else tuple(sorted(trainer.places.items()))
    report = replace(report, networks=(first, second), places=places)
    # Written first, then printed: whatever becomes of the output, the training is kept.
    place, failure = save_or_rescue(folder, lambda place: write_folder(place, report, models, language, overwrite))
    print_report(report, console, language)
    _say_where(report, place, console, language)
    if failure is not None:
        raise failure
    page = place / PAGE_NAME
    if open_report:
        open_page(page)
    else:
        model = place / first.files[0] if first.files else first.source
        line = text("comparison.next", language, page=str(page), model=str(model))
        console.print(Text(on_one_line(line)), soft_wrap=True)
    if not report.is_complete:
        raise typer.Exit(INTERRUPTED)


def _say_where(report: "Report", place: Path, console: "Console", language: str) -> None:
    from rich.text import Text

    from depthwise.compare.folder import PAGE_NAME, REPORT_NAME

    models = [name for network in report.networks for name in network.files]
    explained = [network.page for network in report.networks if network.page]
    written = [*models, *explained, REPORT_NAME, PAGE_NAME]
    line = text("comparison.written", language, folder=f"{place}/", files=", ".join(written))
    console.print()
    console.print(Text(on_one_line(line)), soft_wrap=True)

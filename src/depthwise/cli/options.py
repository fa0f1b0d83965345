"""Options and helpers that several commands share."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from depthwise.cli.streams import on_one_line
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.messages import text

if TYPE_CHECKING:
    from depthwise.pictures import Reading

__all__ = [
    "BatchSize",
    "Bits",
    "DataName",
    "Json",
    "Language",
    "ModelName",
    "Open",
    "RayAddress",
    "RayCommand",
    "Scale",
    "Seed",
    "Shapes",
    "SkipUnreadable",
    "Threads",
    "Untrained",
    "chosen_language",
    "is_given",
    "is_terminal",
    "load_dataset",
    "open_named",
    "open_page",
    "opened",
    "read_as",
    "refuse_alone",
    "say",
    "shapes_of",
    "tell",
    "use_threads",
]

_PATH_LIMIT = 200
_RAY_ADDRESS = re.compile(r"auto|local|ray://.*|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")

ModelName = Annotated[
    str,
    typer.Argument(
        help="A .keras, .h5 or .onnx file, one of the note's networks (note-cnn, note-separable, note-ordinary), or one of "
        "depthwise.applications, such as mobilenetv2 or mobilenetv2:96x96:alpha=0.35.",
        show_default=False,
    ),
]
Untrained = Annotated[
    bool,
    typer.Option(
        "--untrained", help="New weights for one of the note's networks, not the trained ones of the package."
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="New weights follow from it.", min=0, max=2**32 - 1)]
DataName = Annotated[
    str,
    typer.Option(
        "--data",
        help="mnist (in the package), fashion-mnist, cifar10, an .npz file in Keras' MNIST form, a folder of IDX files, or a "
        "folder of images with a subfolder for each class.",
        metavar="NAME_OR_PATH",
    ),
]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read, and name them.")
]
Scale = Annotated[
    str,
    typer.Option(
        "--scale",
        help="What the network was trained on: 0..1, -1..1, 0..255, none for values as they are, or auto: what the model's file "
        "says, or that of Teachable Machine beside it; else 0..255 where the network starts with Rescaling, and 0..1 otherwise.",
        metavar="RANGE",
    ),
]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        help="Sizes that an ONNX file leaves open, with the batch: input=1,3,320,320; once for each input.",
        metavar="INPUT=SIZES",
        show_default=False,
    ),
]
BatchSize = Annotated[int, typer.Option("--batch-size", help="Images for one training step.", min=1)]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", help="Processor threads; by default all. Results do not depend on it.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Language = Annotated[
    str | None,
    typer.Option(
        "--language", help="en or zh; by default the system's (LANG).", metavar="LANGUAGE", show_default=False
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        help="Work on a Ray cluster: at ADDRESS (auto, local or HOST:PORT); without it the one that RAY_ADDRESS names or that runs here, "
        "else one on this machine for as long as it takes. Needs depthwise[ray].",
        metavar="[ADDRESS]",
        show_default=False,
    ),
]
Bits = Annotated[
    str,
    typer.Option(
        "--bits",
        help="With --ray: fast uses each machine's own vectors, which may differ in the last bits between kinds of machines; same uses "
        "those that all have.",
        metavar="KIND",
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser when it is written.")]


class RayCommand(TyperCommand):
    """A command whose `--ray` takes an address or nothing: what follows it counts as one where it looks like one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        for place, word in enumerate(given):
            if word == "--":
                break
            if word == "--ray":
                follows = given[place + 1] if place + 1 < len(given) else ""
                if _RAY_ADDRESS.fullmatch(follows) and not Path(follows).exists():
                    given[place : place + 2] = [f"--ray={follows}"]
                else:
                    given[place] = "--ray="
                break
        parsed: list[str] = super().parse_args(ctx, given)
        return parsed


def chosen_language(language: str | None) -> str:
    """The language that the user named, else the system's.

    Raises:
        InvalidArgumentError: a language that the catalogue lacks.
    """
    from depthwise.messages import check_language, language_of_environment

    return language_of_environment() if language is None else check_language(language)


def open_page(path: Path) -> None:
    """Opens a page that was written in the browser; says where it is if there is none."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        say(f"no browser could be started; open {describe_value(str(path), _PATH_LIMIT)} yourself")


def use_threads(threads: int | None) -> None:
    """Sets the number of threads where one was given.

    Raises:
        InvalidArgumentError: not from 1 to 64.
    """
    if threads is not None:
        from depthwise.runtime.threads import set_threads

        set_threads(threads)


def is_terminal(stream: Any) -> bool:
    """Whether somebody reads the stream as it is, so that lines must fit."""
    return stream is not None and bool(stream.isatty())


def say(sentence: str) -> None:
    """A sentence on the error stream, beside the results."""
    _tell(sentence, sys.stderr)


def tell(sentence: str) -> None:
    """A sentence among the results."""
    _tell(sentence, sys.stdout)


def _tell(sentence: str, stream: Any) -> None:
    """Prints a sentence; a terminal gets lines that end between words, everything else one line.

    Names from files in it are made harmless here, for all commands.
    """
    sentence = on_one_line(sentence)
    if not is_terminal(stream):
        print(sentence, file=stream)
        return
    import shutil

    from rich.text import Text

    from depthwise.wrapping import wrapped

    for piece in wrapped(Text(sentence), shutil.get_terminal_size().columns):
        print(piece.plain.rstrip(), file=stream)


def refuse_alone(context: typer.Context, **needs: str) -> None:
    """Refuses options that would change nothing without the one that they belong to.

    Args:
        needs: for a parameter that may have been given, the one that it needs, or several with "|" between, one of which will do.

    Raises:
        InvalidArgumentError: it was given alone.
    """
    for name, wanted in needs.items():
        if is_given(context, name) and not any(is_given(context, other) for other in wanted.split("|")):
            options = " or ".join(_option(context, other) for other in wanted.split("|"))
            own = _option(context, name)
            raise InvalidArgumentError(f"{own} changes nothing without {options}; give that too, or leave {own} out")


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the user gave the parameter."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _option(context: typer.Context, name: str) -> str:
    """What the user types for a parameter."""
    found = next(parameter for parameter in context.command.params if parameter.name == name)
    return next((option for option in found.opts if option.startswith("--")), name.upper())


def shapes_of(given: list[str] | None) -> dict[str, tuple[int, ...]] | None:
    """What --shape says: {"input": (1, 3, 320, 320)}.

    Raises:
        InvalidArgumentError: it says something else.
    """
    if not given:
        return None
    found = {}
    for item in given:
        name, _, sizes = item.rpartition("=")
        parts = [part.strip() for part in sizes.split(",")]
        if not name or not all(part.isdecimal() and len(part) < 10 for part in parts):
            raise InvalidArgumentError(
                f"--shape must be a name and whole numbers, for example input=1,3,320,320, got {describe_value(item)}"
            )
        found[name] = tuple(map(int, parts))
    return found


def open_named(
    model: str,
    untrained: bool,
    seed: int,
    language: str = "en",
    scale: str = "auto",
    new_weights: str = "command.untrained",
    shapes: list[str] | None = None,
) -> "tuple[Any, Reading]":
    """The model that a command line names, and how it takes pictures; what files say of that, the model knows then too.

    New weights, and files beside the model that are of no use, are said on stderr.

    Args:
        new_weights: the message about new weights.

    Raises:
        InvalidArgumentError, InvalidFileError, UnsupportedError: see `depthwise.networks.open_model`.
    """
    network, _ = opened(model, untrained, seed, language, new_weights, shapes)
    return network, read_as(network, model, scale)


def opened(
    model: str,
    untrained: bool = False,
    seed: int = 0,
    language: str = "en",
    new_weights: str = "command.untrained",
    shapes: list[str] | None = None,
) -> tuple[Any, bool]:
    """The model that a command line names, and whether its weights are trained.

    New weights follow from `seed`, and stderr says so: where they are asked for, and where published ones are not in the cache.
    """
    from depthwise.networks import NETWORKS, is_network, open_model
    from depthwise.seeds import set_random_seed

    if untrained:
        set_random_seed(seed)
        say(text(new_weights, language, seed=seed))
    is_published = not untrained and model not in NETWORKS and is_network(model)
    if is_published:
        set_random_seed(seed)
    network, is_trained = open_model(model, untrained, shapes_of(shapes))
    if is_published and not is_trained:
        say(text("command.not_cached", language, name=describe_value(model), seed=seed))
    return network, is_trained


def read_as(network: Any, model: str, scale: str) -> "Reading":
    """How the network that a command line names `model` takes pictures; the network knows it then too."""
    from depthwise.pictures import path_of, reading_of

    reading = reading_of(network, path_of(model), scale)
    for remark in reading.remarks:
        say(remark)
    network.use(reading.usage())
    return reading


def load_dataset(
    name: str, skip_unreadable: bool = False, image_shape: tuple[int, ...] | None = None, fit: str = "stretch"
) -> Any:
    """The data set `name`, images brought to `image_shape` where they are files; skipped ones are named on stderr.

    Args:
        fit: how, for images of other proportions; see `depthwise.data.load_image`.
    """
    from depthwise.data.dataset import load_data

    if skip_unreadable and not Path(name).is_dir():
        raise InvalidArgumentError(
            f"--skip-unreadable is for folders of images, and --data {describe_value(name, _PATH_LIMIT)} is none; leave it out"
        )
    size: dict[str, Any] = {}
    if image_shape is not None and len(image_shape) == 3:
        size["image_size"] = image_shape[:2]
        if image_shape[2] in (1, 3):
            size["color_mode"] = "grayscale" if image_shape[2] == 1 else "rgb"
    data = load_data(name, skip_unreadable=skip_unreadable, fit=fit, **size)
    for _, reason in data.skipped:  # which names the file
        say(f"skipped: {reason}")
    return data

"""The command line of `benchmarks/run`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from benchmarks import document
from benchmarks.keras_networks import ALL_NETWORKS, KERAS_NETWORKS
from benchmarks.models import NETWORKS
from benchmarks.results import Work, parse_work
from benchmarks.rivals import RIVALS, Rival, checkout
from benchmarks.runner import Settings, run
from benchmarks.tables import show

QUICK = Settings(rounds=3, turn_seconds=0.4, try_seconds=0.15)
THOROUGH = Settings()
REAL: dict[str, tuple[str, ...]] = {
    "mobilenet": ("predict:1", "predict:16"),
    "mobilenetv2": ("predict:1", "predict:16"),
    "mobilenetv2_96": ("training:32",),
}
"""The works of real networks that are not a prediction of one image."""
REAL_WORKS = tuple(
    parse_work(f"{network}:{work}", list(KERAS_NETWORKS))
    for network in KERAS_NETWORKS
    for work in REAL.get(network, ("predict:1",))
)
KINDS: dict[Literal["predict", "training"], tuple[int, ...]] = {"predict": (1, 256), "training": (32, 128)}
DEFAULT_WORKS = tuple(
    Work(network, kind, batch) for network in NETWORKS for kind, batches in KINDS.items() for batch in batches
)


def main(arguments: Sequence[str] | None = None, rivals: Sequence[Rival] = RIVALS) -> int:
    """Run the command; return 1 if Depthwise failed or any of its outputs deviates, else 0."""
    options = _parser(rivals).parse_args(arguments)
    base = QUICK if options.quick else THOROUGH
    settings = Settings(
        threads=options.threads,
        rounds=options.rounds or base.rounds,
        turn_seconds=base.turn_seconds,
        try_seconds=base.try_seconds,
        starts=not options.no_starts,
        blocks=options.blocks,
    )
    chosen = [rival for rival in rivals if not options.rivals or rival.name in options.rivals]
    chosen += [checkout(source) for source in options.source or ()]
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # in a file or a pipe nothing need wrap
    progress = Console(stderr=True)
    with progress.status("starting") as status:
        observe = status.update if progress.is_terminal else progress.print
        report = run(chosen, options.works or (REAL_WORKS if options.real else DEFAULT_WORKS), settings, observe)
    show(report, console)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(report.to_json(), encoding="utf-8")
    if options.markdown:
        document.write(report, options.markdown, " ".join(["benchmarks/run", *(arguments or sys.argv[1:])]))
    own = [result for work in report.works for result in work.results if result.rival == "depthwise"]
    return int(any(result.failure or result.deviates for result in own))


def _source(text: str) -> Path:
    if not (path := Path(text) / "depthwise").is_dir():
        raise argparse.ArgumentTypeError(f"{str(path)!r} is not a folder: give the folder src of a checkout.")
    return Path(text)


def _parser(rivals: Sequence[Rival]) -> argparse.ArgumentParser:
    names = [rival.name for rival in rivals]
    parser = argparse.ArgumentParser(
        prog="benchmarks/run",
        description="Run Depthwise and its rivals side by side, in turns, on the same weights and images, and compare "
        "their outputs. Rivals that are not installed are named and left out.",
    )

    def work(text: str) -> Work:
        try:
            return parse_work(text, list(ALL_NETWORKS))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    def count(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1.")
        return int(text)

    parser.add_argument("--rivals", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)} (all)")
    parser.add_argument(
        "--works",
        nargs="+",
        type=work,
        metavar="WORK",
        help="NETWORK:predict:BATCH or NETWORK:training:BATCH, networks "
        f"{', '.join(ALL_NETWORKS)} (predict at 1 and 256, training at 32 and 128, of {', '.join(NETWORKS)})",
    )
    parser.add_argument(
        "--source", type=_source, action="append", metavar="FOLDER", help="another checkout's src, beside this one"
    )
    parser.add_argument(
        "--real", action="store_true", help="the works of all real networks, MobileNet to VGG16, instead"
    )
    parser.add_argument("--rounds", type=count, help="rounds in which each rival has one turn (5)")
    parser.add_argument("--threads", type=count, default=2, help="threads of every rival (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything found")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the tables as a document")
    parser.add_argument(
        "--blocks", action="store_true", help="also measure where Depthwise's time goes in each real network"
    )
    parser.add_argument("--quick", action="store_true", help="3 short rounds: smoke numbers only")
    parser.add_argument("--no-starts", action="store_true", help="leave out first predictions and memory")
    return parser

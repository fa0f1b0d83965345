"""What stands in the way of a model file that does not open: which layer or option, since which Keras there is one, what it means."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthwise.cli.options import is_terminal, shapes_of
from depthwise.cli.streams import print_json
from depthwise.errors import describe_value
from depthwise.messages import text

if TYPE_CHECKING:
    from depthwise.data.formats.check import Findings, Problem

__all__ = ["print_refused"]

MOST_SHOWN = 20
UNBOUNDED = 10_000
"""Cells of a line that goes to a file or a pipe."""


def print_refused(file: Path, shapes: list[str] | None, as_json: bool, language: str) -> None:
    """Prints the reasons why a file does not open, one by one; nothing where there is no more to say than the error does."""
    from depthwise.data.formats.check import check_file

    found = check_file(file, shapes=shapes_of(shapes))
    if as_json:
        problems = [asdict(problem) | _origin(problem, language) for problem in found.problems]
        facts = {"kind": found.kind, "version": found.version, "problems": problems}
        print_json({"file": str(file), "opens": found.opens, **facts})
    elif any(_origin(problem, language) for problem in found.problems):
        _print(file, found, language)


def _origin(problem: "Problem", language: str) -> dict[str, Any]:
    """Since which Keras there is what is in the way, and what it is; empty where nothing is known of it."""
    from depthwise.data.formats.origins import ORIGINS

    origin = ORIGINS.get(problem.subject)
    return (
        {}
        if origin is None
        else {"since": origin.since, "meaning": text(f"command.refused.kind.{origin.kind}", language)}
    )


def _print(file: Path, found: "Findings", language: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from depthwise.wrapping import Hanging, print_wrapped

    console = Console(highlight=False, soft_wrap=True)
    if not is_terminal(sys.stdout):
        console.width = UNBOUNDED
    name = describe_value(str(file), 200)[1:-1]
    title = text("command.refused.title", language, file=name, count=len(found.problems))
    print_wrapped(console, Text(title, "bold"))
    key = "command.refused.written" if found.version else "command.refused.file"
    writer = f"Keras {describe_value(found.version)[1:-1]}"
    print_wrapped(console, Text(text(key, language, kind=found.kind, writer=writer)))
    for problem in found.problems[:MOST_SHOWN]:
        line = Hanging(f"  {describe_value(problem.where)[1:-1]}: {problem.reason}")
        line.hanging = 4
        print_wrapped(console, line)
        origin = _origin(problem, language)
        if origin:
            line = Hanging("    " + text("command.refused.origin", language, name=problem.subject, **origin), "dim")
            line.hanging = 4
            print_wrapped(console, line)
    if len(found.problems) > MOST_SHOWN:
        rest = len(found.problems) - MOST_SHOWN
        print_wrapped(console, Text("  " + text("command.check_others", language, count=rest)))
    print_wrapped(console, Text(text("command.refused.next", language)))

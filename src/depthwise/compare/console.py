"""A comparison in the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from depthwise.compare.report import Report
from depthwise.compare.wording import delivered_sentences, layer_groups, name_of, result_rows, subtitles
from depthwise.explain.text import printable, shape_text
from depthwise.messages import text
from depthwise.network.graph import Call
from depthwise.wrapping import LEAST, print_wrapped, wrapped

__all__ = ["print_first_results", "print_report"]

WITH_BARS, BAR = 100, 10
"""Cells of a line from which bars are drawn, and of a bar."""

STYLES = ("cyan", "magenta")
"""The bars of the two networks."""


def print_report(report: Report, console: Console, language: str = "en") -> None:
    """Prints parameters layer by layer, the results side by side, and what became of the arithmetic saved.

    Everything is passed to rich as `Text`, which reads no markup: a layer may be named "[red]".
    """
    first, second = (name_of(network) for network in report.networks)
    console.print(Text(text("comparison.title", language, first=first, second=second), style="bold"))
    for line in subtitles(report, language):
        print_wrapped(console, Text(line))
    if not report.is_complete:
        console.print(Text(text("comparison.incomplete", language), style="bold yellow"))
    console.print()
    console.print(_layers(report, language, console.width))
    console.print()
    console.print(_results(report, language, console.width))
    console.print()
    for line in delivered_sentences(report, language):
        print_wrapped(console, Text(line))
    for seed, place in report.places:
        print_wrapped(console, Text(text("comparison.place", language, seed=seed, place=printable(place))))


def print_first_results(report: Report, console: Console, language: str = "en") -> None:
    """Prints what is known before anything is trained: sizes, speed, and the accuracy of shipped weights."""
    console.print(_results(report, language, console.width, known_only=True))
    for line in delivered_sentences(report, language, with_definition=False):
        print_wrapped(console, Text(line))
    console.print()


def _table(title: str) -> Table:
    return Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _layers(report: Report, language: str, width: int) -> Table:
    table = _table(text("comparison.layers", language))
    table.add_column(Text(text("comparison.output", language)), no_wrap=True)
    for network in report.networks:
        table.add_column(Text(name_of(network)), ratio=1)
    room = (width - 20) // 2
    for group in layer_groups(report):
        weighted = [[node for node in side if node.weights] for side in group]
        if any(weighted):
            last = (weighted[0] or weighted[1])[-1]
            table.add_row(Text(shape_text(last.output_shape)), *(_side(nodes, room) for nodes in weighted))
    totals = [Text(f"{network.graph.parameters:,}", style="bold") for network in report.networks]
    table.add_section()
    table.add_row(Text(text("comparison.total", language), style="bold"), *totals)
    return table


def _side(nodes: list[Call], room: int) -> Text:
    """Each layer's name with its formula below, broken between terms where it is longer than `room`."""
    return Text("\n").join(_layer(node, room) for node in nodes)


def _layer(node: Call, room: int) -> Text:
    pieces = wrapped(Text(node.facts.parameters.text), max(room, LEAST))
    return Text.assemble((printable(node.name), "dim"), "\n", Text("\n").join(pieces))


def _bar(share: float, style: str) -> Text:
    """A bar of up to `BAR` cells, drawn to an eighth of a cell."""
    eighths = max(round(share * BAR * 8), 1)
    return Text(("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]).rstrip().ljust(BAR), style)


def _results(report: Report, language: str, width: int, known_only: bool = False) -> Table:
    """The results; with bars beside the numbers where there is room for them."""
    with_bars = width >= WITH_BARS
    table = _table(text("comparison.results", language))
    table.add_column("")
    for network in report.networks:
        table.add_column(Text(name_of(network)), justify="right")
        if with_bars:
            table.add_column("", width=BAR)
    table.add_column(Text(text("comparison.ratio", language)), justify="right", no_wrap=True)
    missing = text("comparison.missing", language)
    for row in result_rows(report, language):
        if known_only and set(row.values) == {missing}:
            continue
        style = "dim" if row.level else ""
        values = [Text(value) for value in row.values]
        if with_bars:
            bars = [_bar(share, own) for share, own in zip(row.shares, STYLES)] if row.shares else [Text(), Text()]
            values = [values[0], bars[0], values[1], bars[1]]
        table.add_row(Text("  " * row.level + row.label, style=style), *values, Text(row.ratio, style))
    return table

"""A comparison in the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from depthwise.compare.report import Report
from depthwise.compare.wording import delivered_sentences, layer_pairs, name_of, result_rows, subtitles
from depthwise.explain.text import printable, shape_text
from depthwise.messages import text
from depthwise.network.graph import Call

__all__ = ["print_first_results", "print_report"]


def print_report(report: Report, console: Console, language: str = "en") -> None:
    """Prints parameters layer by layer, the results side by side, and what became of the arithmetic saved.

    Everything is passed to rich as `Text`, which reads no markup: a layer may be named "[red]".
    """
    first, second = (name_of(network) for network in report.networks)
    console.print(Text(text("comparison.title", language, first=first, second=second), style="bold"))
    for line in subtitles(report, language):
        console.print(Text(line))
    if not report.is_complete:
        console.print(Text(text("comparison.incomplete", language), style="bold yellow"))
    console.print()
    console.print(_layers(report, language))
    console.print()
    console.print(_results(report, language))
    console.print()
    for line in delivered_sentences(report, language):
        console.print(Text(line))


def print_first_results(report: Report, console: Console, language: str = "en") -> None:
    """Prints what is known before anything is trained: sizes, speed, and the accuracy of shipped weights."""
    console.print(_results(report, language, known_only=True))
    for line in delivered_sentences(report, language, with_definition=False):
        console.print(Text(line))
    console.print()


def _table(title: str) -> Table:
    return Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _layers(report: Report, language: str) -> Table:
    table = _table(text("comparison.layers", language))
    table.add_column(Text(text("comparison.output", language)), no_wrap=True)
    for network in report.networks:
        table.add_column(Text(name_of(network)), ratio=1)
    for pair in layer_pairs(report):
        node = pair[0] or pair[1]
        if node is None or not any(item is not None and item.weights for item in pair):
            continue
        table.add_row(Text(shape_text(node.output_shape)), *(_layer(item) for item in pair))
    totals = [Text(f"{network.graph.parameters:,}", style="bold") for network in report.networks]
    table.add_section()
    table.add_row(Text(text("comparison.total", language), style="bold"), *totals)
    return table


def _layer(node: Call | None) -> Text:
    """A layer's name with its formula below."""
    if node is None:
        return Text("")
    return Text.assemble((printable(node.name), "dim"), "\n", node.facts.parameters.text)


def _results(report: Report, language: str, known_only: bool = False) -> Table:
    table = _table(text("comparison.results", language))
    table.add_column("")
    for network in report.networks:
        table.add_column(Text(name_of(network)), justify="right")
    table.add_column(Text(text("comparison.ratio", language)), justify="right", no_wrap=True)
    missing = text("comparison.missing", language)
    for row in result_rows(report, language):
        if known_only and set(row.values) == {missing}:
            continue
        style = "dim" if row.level else ""
        table.add_row(Text("  " * row.level + row.label, style=style), *map(Text, row.values), Text(row.ratio, style))
    return table

"""The report as a table."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from depthwise.bench.report import BenchReport, BenchRow
from depthwise.errors import describe_value
from depthwise.wrapping import print_wrapped

__all__ = ["print_blocks", "print_report"]

_LONGEST_NAME = 60
_HEADINGS = ("block", "MACs", "µs", "%", "GFLOP/s", "% of\npeak", "memory", "FLOP\n/byte", "bound by", "% of\nbound")
_DISPENSABLE = (6, 7, 4, 8, 1, 9)
"""Columns that a narrow terminal does without, in this order."""

LEAST_NAME = 24
"""Cells for the names of the blocks."""

SHARED_CORE = 0.75
"""A core that does less than this share of its best with the others at work is not its thread's own."""


def print_report(report: BenchReport, console: Console) -> None:
    """Machine, table of the blocks, totals."""
    print_wrapped(console, Text(_machine_line(report)))
    print_wrapped(console, Text(_cache_line(report)))
    print_wrapped(console, Text(_title_line(report)))
    console.print(_table(report, console.width))
    for line in _totals(report):
        print_wrapped(console, Text(line))


def print_blocks(reports: Sequence[BenchReport], console: Console) -> None:
    """Several models in one table, a line each: the real calls."""
    table = Table(
        title=Text("All of them, real calls"), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("model")
    for heading in ("batch", "MACs", "µs a sample", "GFLOP/s", "% of peak"):
        table.add_column(heading, justify="right", no_wrap=True)
    for report in reports:
        table.add_row(
            Text(_name(report.model)),
            str(report.batch),
            f"{report.macs:,.0f}",
            f"{report.seconds * 1e6:,.1f}",
            f"{2 * report.macs / report.seconds / 1e9:.1f}",
            f"{100 * report.share_of_peak:.1f}",
        )
    console.print(table)


def _machine_line(report: BenchReport) -> str:
    busy = ""
    if report.load is not None and report.load > report.threads:
        busy = f"; load {report.load:.1f} when it began: others were at work, numbers are rough"
    shared = ""
    if report.core_flops < SHARED_CORE * report.alone_flops:
        shared = f" ({report.alone_flops / 1e9:.1f} when one works alone: threads share cores, or others are at work)"
    return (
        f"{report.processor}, {report.vectors}, {_count(report.threads, 'thread')}: "
        f"{report.core_flops / 1e9:.1f} GFLOP/s of multiply-adds a core, measured in this run{shared}{busy}"
    )


def _cache_line(report: BenchReport) -> str:
    parts = [
        f"{rate / 1e9:.0f} GB/s " + (f"within {_bytes(size)}" if size is not None else "beyond")
        for size, rate in report.bandwidths
    ]
    return "One core reads " + ", ".join(parts)


def _title_line(report: BenchReport) -> str:
    work = "a training step" if report.work == "training" else "a prediction"
    return (
        f"{_name(report.model)}: {work} of batch {report.batch}, by sample and core, medians of {report.rounds} rounds"
    )


def _table(report: BenchReport, width: int) -> Table:
    """The blocks, with as many columns as leave room for their names: the least telling are left out first."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rows = [_cells(row, report.row_seconds) for row in report.rows]
    shown = set(range(len(_HEADINGS)))
    sizes = [
        max(cell_len(part) for part in [*heading.split("\n"), *(row[index].plain for row in rows)])
        for index, heading in enumerate(_HEADINGS)
    ]
    for index in _DISPENSABLE:
        if sum(sizes[column] + 1 for column in shown if column) + LEAST_NAME + 3 > width:
            shown.discard(index)
    for index, heading in enumerate(_HEADINGS):
        if index in shown:
            justify: Any = "left" if heading in ("block", "bound by") else "right"
            table.add_column(
                heading, justify=justify, no_wrap=index > 0, overflow="fold", min_width=min(sizes[index], 8)
            )
    for row in rows:
        table.add_row(*(cell for index, cell in enumerate(row) if index in shown))
    return table


def _cells(row: BenchRow, whole: float) -> list[Text]:
    has_macs = row.cost.macs > 0
    cells = [
        _title(row),
        f"{row.cost.macs:,.0f}" if has_macs else "",
        f"{row.seconds * 1e6:,.2f}",
        f"{100 * row.seconds / whole:.1f}" if whole else "",
        f"{row.flops_per_second / 1e9:.1f}" if has_macs else "",
        f"{100 * row.share_of_peak:.1f}" if has_macs else "",
        _bytes(row.cost.bytes),
        f"{row.intensity:.1f}" if has_macs else "",
        row.bound,
        f"{100 * row.share_of_bound:.0f}",
    ]
    return [Text(cell) for cell in cells]


def _title(row: BenchRow) -> str:
    kinds = " → ".join(row.kinds)
    strips = f", {row.strips} strips" if row.strips > 1 else ""
    return f"{_name(row.name)}: {kinds}{strips}" if row.name else kinds + strips


def _totals(report: BenchReport) -> list[str]:
    core = report.core_flops * report.threads
    return [
        f"blocks together: {report.row_seconds * 1e6:,.1f} µs a sample of one core, {report.macs:,.0f} MACs, "
        f"{100 * 2 * report.macs / max(report.row_seconds, 1e-12) / report.core_flops:.1f} % of peak",
        f"the real call: {report.seconds * 1e6:,.1f} µs a sample on {_count(report.threads, 'core')} (best "
        f"{report.best_seconds * 1e6:,.1f}), {2 * report.macs / report.seconds / 1e9:.1f} of {core / 1e9:.1f} GFLOP/s, "
        f"{100 * report.share_of_peak:.1f} % of peak; {report.other_seconds * 1e6:,.1f} µs of a core lie outside the blocks",
    ]


def _name(name: str) -> str:
    """A name from a model file: hostile text."""
    shown = describe_value(name, _LONGEST_NAME)
    return shown[1:-1] if shown[:1] == shown[-1:] == "'" else shown


def _bytes(count: float) -> str:
    if count < 1024:
        return f"{count:.0f} B"
    return f"{count / 1024:.1f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

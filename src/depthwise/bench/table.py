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
from depthwise.messages import text
from depthwise.wrapping import print_wrapped

__all__ = ["print_blocks", "print_report"]

_LONGEST_NAME = 60
_HEADINGS = ("block", "macs", "microseconds", "percent", "rate", "peak", "memory", "intensity", "bound_by", "bound")
_DISPENSABLE = (6, 7, 4, 8, 1, 9)
"""Columns that a narrow terminal does without, in this order."""

LEAST_NAME = 24
"""Cells for the names of the blocks."""

SHARED_CORE = 0.75
"""A core that does less than this share of its best with the others at work is not its thread's own."""


def print_report(report: BenchReport, console: Console, language: str = "en") -> None:
    """Machine, table of the blocks, totals."""
    for line in (_machine_line(report, language), _cache_line(report, language), _title_line(report, language)):
        print_wrapped(console, Text(line))
    console.print(_table(report, console.width, language))
    for line in _totals(report, language):
        print_wrapped(console, Text(line))


def print_blocks(reports: Sequence[BenchReport], console: Console, language: str = "en") -> None:
    """Several models in one table, a line each: the real calls."""
    title = Text(text("command.bench_all", language))
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(text("command.bench_model", language))
    for key in ("batch", "macs", "per_sample", "rate", "share"):
        table.add_column(text(f"command.bench_{key}", language), justify="right", no_wrap=True)
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


def _machine_line(report: BenchReport, language: str) -> str:
    line = text(
        "command.bench_machine",
        language,
        processor=report.processor,
        vectors=report.vectors,
        threads=report.threads,
        rate=f"{report.core_flops / 1e9:.1f}",
    )
    if report.core_flops < SHARED_CORE * report.alone_flops:
        line += " " + text("command.bench_shared", language, rate=f"{report.alone_flops / 1e9:.1f}")
    if report.load is not None and report.load > report.threads:
        line += text("command.bench_load", language, load=f"{report.load:.1f}")
    return line


def _cache_line(report: BenchReport, language: str) -> str:
    parts = []
    for size, rate in report.bandwidths:
        key = "command.bench_beyond" if size is None else "command.bench_within"
        parts.append(text(key, language, rate=f"{rate / 1e9:.0f}", size=_bytes(size or 0)))
    return text("command.bench_reads", language, parts=", ".join(parts))


def _title_line(report: BenchReport, language: str) -> str:
    key = "command.bench_training" if report.work == "training" else "command.bench_prediction"
    return text(key, language, model=_name(report.model), batch=report.batch, rounds=report.rounds)


def _table(report: BenchReport, width: int, language: str) -> Table:
    """The blocks, with as many columns as leave room for their names: the least telling are left out first."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    rows = [_cells(row, report.row_seconds, language) for row in report.rows]
    headings = [text(f"command.bench_{key}", language).replace(" / ", "\n") for key in _HEADINGS]
    shown = set(range(len(headings)))
    sizes = [
        max(cell_len(part) for part in [*heading.split("\n"), *(row[index].plain for row in rows)])
        for index, heading in enumerate(headings)
    ]
    for index in _DISPENSABLE:
        if sum(sizes[column] + 1 for column in shown if column) + LEAST_NAME + 3 > width:
            shown.discard(index)
    for index, heading in enumerate(headings):
        if index in shown:
            justify: Any = "left" if _HEADINGS[index] in ("block", "bound_by") else "right"
            table.add_column(
                heading, justify=justify, no_wrap=index > 0, overflow="fold", min_width=min(sizes[index], 8)
            )
    for row in rows:
        table.add_row(*(cell for index, cell in enumerate(row) if index in shown))
    return table


def _cells(row: BenchRow, whole: float, language: str) -> list[Text]:
    has_macs = row.cost.macs > 0
    cells = [
        _title(row, language),
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


def _title(row: BenchRow, language: str) -> str:
    kinds = " → ".join(row.kinds)
    strips = text("command.bench_strips", language, count=row.strips) if row.strips > 1 else ""
    return f"{_name(row.name)}: {kinds}{strips}" if row.name else kinds + strips


def _totals(report: BenchReport, language: str) -> list[str]:
    core = report.core_flops * report.threads
    blocks = {
        "time": f"{report.row_seconds * 1e6:,.1f}",
        "macs": f"{report.macs:,.0f}",
        "share": f"{100 * 2 * report.macs / max(report.row_seconds, 1e-12) / report.core_flops:.1f}",
    }
    call = {
        "time": f"{report.seconds * 1e6:,.1f}",
        "best": f"{report.best_seconds * 1e6:,.1f}",
        "rate": f"{2 * report.macs / report.seconds / 1e9:.1f}",
        "possible": f"{core / 1e9:.1f}",
        "share": f"{100 * report.share_of_peak:.1f}",
        "outside": f"{report.other_seconds * 1e6:,.1f}",
    }
    return [
        text("command.bench_blocks", language, **blocks),
        text("command.bench_call", language, threads=report.threads, **call),
    ]


def _name(name: str) -> str:
    """A name from a model file: hostile text."""
    shown = describe_value(name, _LONGEST_NAME)
    return shown[1:-1] if shown[:1] == shown[-1:] == "'" else shown


def _bytes(count: float) -> str:
    if count < 1024:
        return f"{count:.0f} B"
    return f"{count / 1024:.1f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"

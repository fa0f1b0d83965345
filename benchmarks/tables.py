"""The report as tables on a terminal."""

from rich.console import Console
from rich.table import Table

from benchmarks.results import Report, Result, RivalReport, WorkReport


def show(report: Report, console: Console) -> None:
    """Print the machine, a table a work, the starts, and Depthwise against the fastest rival."""
    facts = report.machine
    peak = facts["fma_peak_gflops"]
    console.print(
        f"{facts['cpu']} (family/model {facts['cpu_family_model']}), "
        f"{facts['usable_cores']} of {facts['cores']} cores, "
        f"{' '.join(facts['vector_extensions'])}; FMA peak "
        f"{f'{peak:.0f} GFLOP/s' if peak else 'not measured'}; load {facts['load_average']}; "
        f"{report.settings['threads']} threads, Python {facts['python']}",
        highlight=False,
    )
    if facts["load_average"] > 0.5:
        console.print("[yellow]The machine was busy when the run began: compare with care.[/]")
    titles = {rival.name: rival.title for rival in report.rivals}
    for work in report.works:
        console.print(_work_table(work, titles))
    console.print(_rival_table(report))
    for rival in report.rivals:
        if rival.missing:
            console.print(f"{rival.title}: {rival.missing}", highlight=False, markup=False)
    if any(result.rival == "depthwise" for work in report.works for result in work.results):
        console.print(_standing_table(report, titles))


def _work_table(report: WorkReport, titles: dict[str, str]) -> Table:
    work, fastest = report.work, report.fastest
    what = "predict" if work.kind == "predict" else "training step"
    table = Table(
        title=f"{work.network}, {what}, batch {work.batch}",
        caption=f"outputs against {report.reference}, allowed {report.tolerance:.1e}",
    )
    table.add_column("rival")
    table.add_column("setting")
    for name in ("µs an image", "middle half", "times the fastest", "of peak", "error"):
        table.add_column(name, justify="right")
    for result in sorted(report.results, key=lambda result: result.microseconds or float("inf")):
        table.add_row(*_result_row(result, fastest, titles))
    return table


def _result_row(result: Result, fastest: Result | None, titles: dict[str, str]) -> list[str]:
    title = titles[result.rival]
    if result.failure or result.microseconds is None or result.quartiles is None:
        return [title, f"[red]{result.failure or 'no time'}[/]", "", "", "", "", ""]
    ratio = ""
    if fastest and fastest.microseconds:
        ratio = f"{result.microseconds / fastest.microseconds:.2f}"
    low, high = result.quartiles
    error = "" if result.error is None else f"{result.error:.1e}"
    return [
        title,
        result.variant,
        _short(result.microseconds),
        f"{_short(low)} – {_short(high)}",
        ratio,
        f"{result.share_of_peak:.0%}" if result.share_of_peak else "",
        f"[red]{error} DEVIATES[/]" if result.deviates else error,
    ]


def _rival_table(report: Report) -> Table:
    table = Table(
        title=f"starting ({report.first_work})",
        caption="first prediction: from the start of the process, model files ready; memory: "
        "the largest resident size of that process",
    )
    table.add_column("rival")
    table.add_column("versions")
    for name in ("import s", "first s, cold", "first s, warm", "memory MB", "installed MB"):
        table.add_column(name, justify="right")
    for rival in report.rivals:
        if not rival.missing:
            table.add_row(*_rival_row(rival))
    return table


def _rival_row(rival: RivalReport) -> list[str]:
    seconds = (
        rival.import_seconds,
        rival.first_prediction_cold_seconds,
        rival.first_prediction_warm_seconds,
    )
    sizes = (rival.peak_memory, rival.installed_size)
    return [
        rival.title,
        ", ".join(f"{name} {version}" for name, version in rival.versions.items()),
        *("" if value is None else f"{value:.2f}" for value in seconds),
        *("" if value is None else f"{value / 1e6:.0f}" for value in sizes),
    ]


def _standing_table(report: Report, titles: dict[str, str]) -> Table:
    table = Table(title="Depthwise and the fastest rival, µs an image")
    table.add_column("work")
    table.add_column("Depthwise", justify="right")
    table.add_column("fastest rival")
    table.add_column("times faster", justify="right")
    for work in report.works:
        own = next((result for result in work.results if result.rival == "depthwise"), None)
        rival = work.fastest_rival
        if own is None or own.microseconds is None or rival is None or rival.microseconds is None:
            continue
        table.add_row(
            work.work.name,
            _short(own.microseconds) + (" [red]DEVIATES[/]" if own.deviates else ""),
            f"{_short(rival.microseconds)} {titles[rival.rival]} ({rival.variant})",
            f"{rival.microseconds / own.microseconds:.2f}",
        )
    return table


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"

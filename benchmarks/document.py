"""The report as a document in Markdown: what was measured on which machine, beside whom, and where Depthwise's own time goes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import Report, Result, WorkReport

Row = Sequence[str]


def write(report: Report, path: Path, command: str) -> None:
    """Write the report to `path`; `command` is the line that made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_lines(report, command)) + "\n", encoding="utf-8")


def _lines(report: Report, command: str) -> Iterable[str]:
    facts, titles = report.machine, {rival.name: rival.title for rival in report.rivals}
    yield f"# Beside the rivals\n\nWritten by `{command}`; [benchmarks/README.md](../benchmarks/README.md) says how it is kept fair.\n"
    peak = facts["fma_peak_gflops"]
    yield (
        f"{facts['time'][:10]}, {facts['cpu']} (family/model {facts['cpu_family_model']}; {' '.join(facts['vector_extensions'])}), "
        f"{report.settings['threads']} threads, peak of float32 multiply-adds {f'{peak:.0f} GFLOP/s' if peak else 'not measured'}, "
        f"load before the run {facts['load_average']}. Microseconds an image, the best round's median of {report.settings['rounds']} "
        "rounds in turns; *of peak* is the share of the multiply-adds that both cores could have done; a rival's other settings were "
        "slower. Ratios above 1 say how many times faster Depthwise was.\n"
    )
    present = [rival for rival in report.rivals if not rival.missing]
    for rival in present:
        yield f"- {rival.title}: " + ", ".join(f"{name} {version}" for name, version in rival.versions.items())
    for rival in report.rivals:
        if rival.missing:
            yield f"- {rival.title}: {rival.missing}"
    yield ""
    names = [rival.name for rival in present if rival.name != "depthwise"]
    head = ["work", "Depthwise", "of peak", *(titles[name] for name in names), "fastest rival", "ratio"]
    yield from _table(head, (_row(work, names, titles) for work in report.works))
    if any(rival.peak_memory for rival in present):
        yield f"\n## Starting: {report.first_work}\n"
        yield "From the start of the process to the first prediction, and the most memory it held.\n"
        yield from _table(
            ["", "import s", "first prediction s, empty cache", "filled cache", "memory MB", "installed MB"],
            (
                [
                    rival.title,
                    *map(_seconds, (rival.import_seconds, rival.first_prediction_cold_seconds, rival.first_prediction_warm_seconds)),
                    *map(_megabytes, (rival.peak_memory, rival.installed_size)),
                ]
                for rival in present
            ),
        )  # fmt: skip
    for name, blocks in report.blocks.items():
        yield from _blocks(name, blocks)


def _row(work: WorkReport, names: Sequence[str], titles: dict[str, str]) -> Row:
    results = {result.rival: result for result in work.results}
    own, fastest = results.get("depthwise"), work.fastest_rival
    ratio = ""
    if own and own.microseconds and not own.deviates and fastest and fastest.microseconds:
        ratio = f"{fastest.microseconds / own.microseconds:.2f}"
    return [
        work.work.name.replace(":", ", "),
        _time(own),
        f"{own.share_of_peak:.0%}" if own and own.share_of_peak else "",
        *(_time(results.get(name)) for name in names),
        f"{titles[fastest.rival]}, {fastest.variant}" if fastest else "",
        ratio,
    ]


def _time(result: Result | None) -> str:
    if result is None:
        return ""
    if result.failure or result.microseconds is None:
        return "failed"
    return f"{result.microseconds:,.{1 if result.microseconds < 100 else 0}f}" + (
        " (deviates)" if result.deviates else ""
    )


def _blocks(name: str, report: dict[str, Any]) -> Iterable[str]:
    yield f"\n## {name.replace(':', ', ')}: block by block\n"
    yield (
        f"A sample's time on one core, the median of {report['rounds']} rounds; one core's peak {report['core_flops'] / 1e9:.0f} GFLOP/s; "
        f"the whole call {report['seconds'] * 1e6:,.0f} µs, {report['share_of_peak']:.0%} of both cores' peak.\n"
    )
    yield from _table(
        ["block", "kernels", "multiply-adds", "µs", "of peak", "KiB", "bound by", "of that bound"],
        (
            [
                f"`{row['name']}`" if row["name"] else "",
                " → ".join(row["kinds"]),
                f"{row['cost']['macs']:,.0f}" if row["cost"]["macs"] else "",
                f"{row['seconds'] * 1e6:,.1f}",
                f"{row['share_of_peak']:.0%}" if row["cost"]["macs"] else "",
                f"{row['cost']['bytes'] / 1024:,.0f}",
                row["bound"],
                f"{row['share_of_bound']:.0%}",
            ]
            for row in report["rows"]
        ),
    )


def _table(head: Row, rows: Iterable[Row]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _megabytes(value: int | None) -> str:
    return "" if value is None else f"{value / 1e6:,.0f}"

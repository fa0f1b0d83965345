"""The rows and sentences of a comparison in the reader's language: what the terminal and the page both show.

Texts here are plain; each face escapes them in its own way, since layers and files may have hostile names.
"""

from depthwise.compare.report import NetworkResult, Ratio, Report, Timing
from depthwise.dataclass import dataclass
from depthwise.explain.text import printable
from depthwise.layers.input import InputLayer
from depthwise.messages import text
from depthwise.network.alignment import Group, corresponding

__all__ = [
    "ResultRow",
    "delivered_sentences",
    "layer_groups",
    "name_of",
    "percent",
    "result_rows",
    "short_number",
    "subtitles",
    "times",
]


@dataclass(frozen=True)
class ResultRow:
    """One line of the result table: what, for the first and the second network, and the ratio of both.

    Attributes:
        level: 1 for a part of the row above.
        shares: each value as a share of the larger one, for a bar; None where there is nothing to draw.
    """

    label: str
    values: tuple[str, str]
    ratio: str = ""
    level: int = 0
    shares: tuple[float, float] | None = None


def short_number(value: float) -> str:
    """Three significant digits without an exponent.

    >>> short_number(1234.5), short_number(65.31), short_number(0.01234)
    ('1,234', '65.3', '0.0123')
    """
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2
    size = abs(value)
    while size >= 10:
        size /= 10
        digits -= 1
    while size < 1 and digits < 12:
        size *= 10
        digits += 1
    return f"{value:.{digits}f}"


def percent(share: float, language: str, digits: int = 2) -> str:
    """A share as a percentage.

    >>> percent(0.99123, "en"), percent(0.99123, "zh", 0)
    ('99.12 %', '99%')
    """
    return text("comparison.percent", language, value=f"{100 * share:.{digits}f}")


def times(ratio: float, language: str) -> str:
    """How many times, for example "7.2×"."""
    return text("comparison.times", language, value=f"{ratio:.1f}" if 0.1 <= ratio < 100 else short_number(ratio))


def name_of(network: NetworkResult) -> str:
    """The network's name, printable whatever its file says."""
    return printable(network.graph.name)


def subtitles(report: Report, language: str) -> list[str]:
    """What was compared on what, one sentence a line."""
    settings = report.settings
    lines = [
        text(
            "comparison.subtitle",
            language,
            data=printable(settings.data),
            train=settings.train_samples,
            test=settings.test_samples,
        )
    ]
    if settings.epochs:
        seeds = ", ".join(map(str, settings.seeds))
        lines.append(
            text(
                "comparison.subtitle_trained",
                language,
                epochs=settings.epochs,
                batch=settings.batch_size,
                optimizer=settings.optimizer,
                seeds=seeds,
                threads=settings.threads,
            )
        )
    else:
        lines.append(text("comparison.subtitle_loaded", language, threads=settings.threads))
    return lines


def layer_groups(report: Report) -> list[Group]:
    """The layers of both networks, those that stand for each other side by side, without the inputs."""
    first, second = (network.graph for network in report.networks)
    groups = [
        tuple(tuple(call for call in side if not isinstance(call.layer, InputLayer)) for side in group)
        for group in corresponding(first, second)
    ]
    return [(ours, theirs) for ours, theirs in groups if ours or theirs]


def result_rows(report: Report, language: str) -> list[ResultRow]:
    """Parameters, MACs, accuracy and times of both networks, and the heavier one's number divided by the lighter one's."""
    first, second = report.networks

    def say(key: str, **facts: object) -> str:
        return text(f"comparison.{key}", language, **facts)

    missing = say("missing")

    def row(
        label: str, values: tuple[float | None, float | None], texts: tuple[str, str] | None = None, level: int = 0
    ) -> ResultRow:
        heavy, light = values if report.heavier is first else (values[1], values[0])
        shown = texts or tuple(missing if value is None else f"{value:,.0f}" for value in values)
        ratio = times(heavy / light, language) if heavy and light else ""
        largest = max(values[0] or 0, values[1] or 0)
        shares = (values[0] / largest, values[1] / largest) if values[0] and values[1] else None
        return ResultRow(label, (shown[0], shown[1]), ratio, level, shares)

    def timing(label: str, timings: tuple[Timing | None, Timing | None]) -> ResultRow:
        values = tuple(None if item is None else item.microseconds_per_image for item in timings)
        shown = tuple(missing if value is None else say("microseconds", value=short_number(value)) for value in values)
        return row(label, (values[0], values[1]), (shown[0], shown[1]))

    rows = [
        row(say("parameters"), (first.graph.parameters, second.graph.parameters)),
        row(say("convolutional"), (first.convolutional_parameters, second.convolutional_parameters), level=1),
        row(say("head"), (first.head_parameters, second.head_parameters), level=1),
        row(say("macs"), (first.graph.macs, second.graph.macs)),
        *_shipped_rows(report, language),
        *(_accuracy_rows(report, language) if report.settings.epochs or not report.has_shipped else []),
    ]
    if report.settings.epochs:
        means = tuple(network.training_seconds and network.training_seconds[0] for network in report.networks)
        rows.append(
            row(say("training"), (means[0], means[1]), (_training(first, language), _training(second, language)))
        )
        seconds = (first.epoch_seconds, second.epoch_seconds)
        shown = tuple(missing if value is None else say("seconds", seconds=short_number(value)) for value in seconds)
        rows.append(row(say("epoch"), seconds, (shown[0], shown[1]), level=1))
    size = report.settings.prediction_batch_size
    rows.append(timing(say("batch", size=size), (first.batch, second.batch)))
    rows.append(timing(say("single"), (first.single, second.single)))
    return rows


def _shipped_rows(report: Report, language: str) -> list[ResultRow]:
    """The accuracy of the weights that come with the package."""
    shipped = [network.shipped for network in report.networks]
    if not report.has_shipped:
        return []
    first, second = ("" if run is None else percent(run.accuracy or 0.0, language) for run in shipped)
    return [ResultRow(text("comparison.accuracy_shipped", language), (first, second))]


def _accuracy_rows(report: Report, language: str) -> list[ResultRow]:
    """The accuracy; below it the 95 % interval of one run, or the spread of several."""
    several = any(len(network.runs) > 1 for network in report.networks)
    missing = text("comparison.missing", language)
    means, below = [], []
    for network in report.networks:
        accuracy = network.accuracy
        means.append(missing if accuracy is None else percent(accuracy[0], language))
        interval = next((run.interval for run in network.runs if run.interval is not None), None)
        if accuracy is None or interval is None or (several and accuracy[1] is None):
            below.append(missing)
        elif accuracy[1] is not None:
            below.append("± " + percent(accuracy[1], language))
        else:
            below.append(f"{100 * interval[0]:.2f}–{percent(interval[1], language)}")
    count = max(len(network.runs) for network in report.networks)
    labels = (
        (text("comparison.accuracy_mean", language, count=count), text("comparison.spread", language))
        if several
        else (text("comparison.accuracy", language), text("comparison.interval", language))
    )
    return [
        ResultRow(labels[0], (means[0], means[1])),
        ResultRow(labels[1], (below[0], below[1]), level=1),
    ]


def _training(network: NetworkResult, language: str) -> str:
    seconds = network.training_seconds
    if seconds is None:
        return text("comparison.missing", language)
    mean, spread = seconds
    if spread is None:
        return text("comparison.seconds", language, seconds=short_number(mean))
    return text("comparison.training_spread", language, seconds=short_number(mean), spread=short_number(spread))


def delivered_sentences(report: Report, language: str, with_definition: bool = True) -> list[str]:
    """How much of the arithmetic saved became time saved, in words; ends with how it was measured, and how quiet it was."""
    if report.lighter.graph.macs == report.heavier.graph.macs:
        lines = [text("comparison.delivered_equal", language)]
    else:
        macs = times(report.macs_times, language)
        names = {"lighter": name_of(report.lighter), "heavier": name_of(report.heavier)}
        lines = [text("comparison.delivered_headline", language, **names, macs=f"{report.macs_times:.1f}")]
        lines += [_delivered(ratio, macs, language) for ratio in report.ratios]
        if with_definition:
            lines.append(text("comparison.delivered_definition", language))
    if report.is_disturbed:
        lines.append(text("comparison.disturbed", language, load=short_number(report.machine.load or 0.0)))
    return lines


def _delivered(ratio: Ratio, macs: str, language: str) -> str:
    what = text(f"comparison.kind_{ratio.kind}", language)
    if ratio.times < 1:
        return text("comparison.delivered_slower", language, what=what, times=times(1 / ratio.times, language))
    return text("comparison.delivered_faster", language, what=what, times=times(ratio.times, language), possible=macs)

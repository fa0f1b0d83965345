"""The comparison as one self-contained page that asks the network for nothing (its Content-Security-Policy forbids it).

`page.html.jinja` is the page, `main.html.jinja` what it shows in one language; the page holds every language, and `page.js` shows
the one that the reader chooses, and the colours. This module gives them what they show. Every text is escaped as it enters the page:
a layer may be named `</svg><script>`. Plots are inline SVG; the style sheet and the script are allowed by their hashes.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from depthwise.compare.charts import Bar, Drawing, Series, bars, curves, layer_bars, ratio_bars
from depthwise.compare.report import Mistake, Mistakes, NetworkResult, Report
from depthwise.compare.wording import (
    delivered_sentences,
    layer_groups,
    name_of,
    percent,
    result_rows,
    short_number,
    subtitles,
    times,
)
from depthwise.explain.page import kept_layers
from depthwise.explain.text import printable, shape_text
from depthwise.messages import LANGUAGES, check_language, text
from depthwise.network.graph import Call
from depthwise.network.twins import Direction, twin_direction

__all__ = ["report_page"]

_STYLES = ("first", "second")
_PARTS = ("page.html.jinja", "main.html.jinja", "page.css", "page.js")
_VISIBLE = 0.01
"""A part of a bar that is a smaller share of the longest one cannot be seen."""
_HTML_LANGUAGE = {"en": "en", "zh": "zh-Hans"}


def report_page(report: Report, language: str = "en") -> str:
    """The whole page as HTML.

    Args:
        language: what the page opens in; it has every language.

    Raises:
        InvalidArgumentError: a language that the catalogue lacks.
    """
    check_language(language)
    folder = files("depthwise.compare")
    read = {name: folder.joinpath(name).read_text(encoding="utf-8") for name in _PARTS}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    main, page = (environment.from_string(read[name]) for name in ("main.html.jinja", "page.html.jinja"))
    contents = [_Content(report, code).values() | {"is_hidden": code != language} for code in LANGUAGES]
    made = next(content for content in contents if not content["is_hidden"])
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(read['page.js'])}'; img-src data:; "
        f"style-src 'sha256-{_digest(read['page.css'])}'; base-uri 'none'; form-action 'none'"
    )
    return page.render(
        html_language=made["html_language"],
        title=made["title"],
        colours=_colours(report),
        policy=policy,
        style=Markup(read["page.css"]),  # files of the package
        script=Markup(read["page.js"]),
        mains=[Markup(main.render(content, styles=_STYLES)) for content in contents],  # escaped where they were made
    )


def _digest(part: str) -> str:
    """What the page's policy knows its style sheet and its script by."""
    return base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()


def _colours(report: Report) -> str:
    """The class that gives a separable network and an ordinary one their colours; "" where both are of one kind."""
    directions = [twin_direction(network.graph) for network in report.networks]
    if directions[0] is directions[1]:
        return ""
    return "separable-first" if directions[0] is Direction.ORDINARY else "ordinary-first"


class _Content:
    """What the page shows of a report, in one language."""

    def __init__(self, report: Report, language: str) -> None:
        self.report = report
        self.language = language
        self.names = [name_of(network) for network in report.networks]

    def say(self, key: str, **facts: object) -> str:
        return text(f"comparison.{key}", self.language, **facts)

    def _theme(self, name: str) -> str:
        """What the button says that changes the colours, in the words of the page of `depthwise explain`."""
        return text("page.theme.label", self.language, theme=text(f"page.theme.{name}", self.language))

    def values(self) -> dict[str, Any]:
        """The variables of the template."""
        report = self.report
        return {
            "report": report,
            "say": self.say,
            "names": self.names,
            "language": self.language,
            "html_language": _HTML_LANGUAGE[self.language],
            "languages": list(LANGUAGES.items()),
            "themes": [(name, self._theme(name)) for name in ("auto", "light", "dark")],
            "title": self.say("title", first=self.names[0], second=self.names[1]),
            "subtitles": subtitles(report, self.language),
            "delivered": delivered_sentences(report, self.language),
            "ratio_chart": self._ratio_chart() if report.ratios and report.macs_times > 1 else None,
            "heavier": name_of(report.heavier),
            "lighter": name_of(report.lighter),
            "results": result_rows(report, self.language),
            "mistakes": self._mistakes(),
            "sizes_and_times": [*self._sizes(), *self._times()],
            "curves": self._curves(),
            "layers": self._layers(),
            "seeds": self._seeds(),
            "footer": self._footer(),
        }

    def _ratio_chart(self) -> Drawing:
        report = self.report
        style = _STYLES[report.networks.index(report.lighter)]
        everything = times(report.macs_times, self.language)
        items = [Bar(self.say("kind_macs"), everything, (report.macs_times,), "macs")]
        for ratio in report.ratios:
            value = self.say("chart_share", times=times(ratio.times, self.language), possible=everything)
            items.append(Bar(self.say(f"kind_{ratio.kind}"), value, (ratio.times,), style))
        marks = [(1.0, self.say("no_gain")), (report.macs_times, self.say("all_gain", times=everything))]
        return ratio_bars(items, marks, self.say("delivered"))

    def _sizes(self) -> list[tuple[str, Drawing, str]]:
        networks = self.report.networks
        parameters = [(item.convolutional_parameters, item.head_parameters) for item in networks]
        macs = [(item.graph.macs - item.head_macs, item.head_macs) for item in networks]
        return [
            (title, self._bars(title, parts, [f"{sum(part):,}" for part in parts]), self._legend(parts))
            for title, parts in ((self.say("parameters"), parameters), (self.say("macs"), macs))
        ]

    def _legend(self, parts: Sequence[tuple[int, int]]) -> str:
        """What the two parts of the bars are, where both are large enough to be seen."""
        longest = max(map(sum, parts)) or 1
        if any(min(part) > _VISIBLE * longest for part in parts):
            return f"{self.say('convolutional')} ■ {self.say('head')} □"
        return ""

    def _times(self) -> list[tuple[str, Drawing, str]]:
        """A card for each time that was measured for at least one network."""
        networks = self.report.networks
        size = self.report.settings.prediction_batch_size
        predicted = [
            (self.say("batch", size=size), [item.batch for item in networks]),
            (self.say("single"), [item.single for item in networks]),
        ]
        measured = [
            (title, "microseconds", "value", [0.0 if item is None else item.microseconds_per_image for item in timings])
            for title, timings in predicted
        ]
        training = f"{self.say('kind_training')}, {self.say('epoch')}"
        measured.append((training, "seconds", "seconds", [item.epoch_seconds or 0.0 for item in networks]))
        cards = []
        for title, unit, name, values in measured:
            if any(values):
                texts = [
                    self.say(unit, **{name: short_number(value)}) if value else self.say("missing") for value in values
                ]
                cards.append((title, self._bars(title, [(value,) for value in values], texts), ""))
        return cards

    def _bars(self, title: str, parts: Sequence[tuple[float, ...]], values: list[str]) -> Drawing:
        kinds = (self.say("convolutional"), self.say("head"))
        items = []
        for name, value, own, style in zip(self.names, values, parts, _STYLES):
            tips = tuple(f"{name}, {kind}: {part:,}" for kind, part in zip(kinds, own)) if len(own) > 1 else ()
            items.append(Bar(name, value, own, style, tips))
        return bars(items, title)

    def _curves(self) -> list[tuple[str, Drawing | None]]:
        if not any(run.epochs for network in self.report.networks for run in network.runs):
            return []
        title, epoch = self.say("curve_accuracy"), self.say("curve_epoch")
        accuracy = curves(
            self._series("test_accuracy"),
            title,
            lambda value, digits: percent(value, self.language, max(0, digits - 2)),
            epoch,
        )
        losses = [*self._series("loss"), *self._series("test_loss", " dashed")]
        loss = curves(losses, self.say("curve_loss"), lambda value, digits: f"{value:.{digits}f}", epoch)
        return [(title, accuracy), (self.say("curve_loss"), loss)]

    def _series(self, field: str, more: str = "") -> list[Series]:
        result = []
        for network, name, style in zip(self.report.networks, self.names, _STYLES):
            for run in network.runs:
                values = tuple(getattr(epoch, field) for epoch in run.epochs)
                is_share = field == "test_accuracy"
                texts = tuple(
                    self.say(
                        "curve_point",
                        network=name,
                        seed=run.seed,
                        epoch=number,
                        value=percent(value, self.language) if is_share else f"{value:.4f}",
                    )
                    for number, value in enumerate(values, 1)
                )
                shorts = tuple(percent(value, self.language) if is_share else f"{value:.4f}" for value in values)
                result.append(Series(values, texts, style + more, shorts))
        return result

    def _layers(self) -> list[dict[str, Any]]:
        groups = layer_groups(self.report)
        sums = [[sum(node.facts.macs.value for node in side) for side in group] for group in groups]
        most = max((value for pair in sums for value in pair), default=0) or 1
        rows = []
        for group, macs in zip(groups, sums):
            formulas = [" + ".join(node.facts.macs.text for node in side if node.facts.macs.value) for side in group]
            last = (group[0] or group[1])[-1]
            rows.append(
                {
                    "shape": shape_text(last.output_shape),
                    "layers": [[_layer(node) for node in side] for side in group],
                    "macs": " / ".join(f"{value:,}" for value in macs) if any(macs) else "",
                    "bars": layer_bars(list(zip(macs, formulas, _STYLES)), most, " / ".join(filter(None, formulas))),
                }
            )
        return rows

    def _mistakes(self) -> list[dict[str, Any]]:
        """For each network that was tested: its table of classes, and the pictures that it got wrong."""
        return [
            {
                "network": name,
                "title": self.say("mistakes_of", network=name, count=network.mistakes.count),
                "classes": network.mistakes.class_names,
                "confusion": self._confusion(network.mistakes),
                "shown": [self._mistake(network, network.mistakes, place) for place in _shown(network.mistakes)],
            }
            for network, name in zip(self.report.networks, self.names)
            if network.mistakes is not None
        ]

    def _confusion(self, mistakes: Mistakes) -> list[dict[str, Any]]:
        """A row for each right class. Cells off the diagonal are the darker the more images they hold, by factors of four."""
        return [
            {
                "name": printable(mistakes.name(right)),
                "cells": [
                    {
                        "count": f"{count:,}" if count else "",
                        "heat": "right" if right == answer else f"wrong-{_heat(count)}",
                        "tip": self.say(
                            "confusion_cell",
                            right=printable(mistakes.name(right)),
                            answer=printable(mistakes.name(answer)),
                            count=count,
                        ),
                    }
                    for answer, count in enumerate(row)
                ],
            }
            for right, row in enumerate(mistakes.confusion)
        ]

    def _mistake(self, network: NetworkResult, mistakes: Mistakes, place: int) -> dict[str, str]:
        mistake = mistakes.shown[place]
        score = percent(mistake.score, self.language, 1) if mistakes.gives_shares else short_number(mistake.score)
        facts = {
            "right": printable(mistakes.name(mistake.label)),
            "answer": printable(mistakes.name(mistake.answer)),
            "score": score,
        }
        return {
            "png": f"data:image/png;base64,{mistake.png}",
            "link": _link(network, mistake, place, self.language) if network.page else "",
            "text": self.say("mistake", **facts),
            "tip": self.say("mistake_link", **facts, index=mistake.index),
        }

    def _seeds(self) -> list[dict[str, Any]]:
        return [
            {
                "network": name,
                "seed": self.say("seed_loaded") if run.seed is None else str(run.seed),
                "cells": (
                    self.say("missing") if run.accuracy is None else percent(run.accuracy, self.language),
                    self.say("missing")
                    if run.interval is None
                    else f"{100 * run.interval[0]:.2f}–{percent(run.interval[1], self.language)}",
                    self.say("seconds", seconds=short_number(run.seconds)) if run.epochs else self.say("missing"),
                ),
            }
            for network, name in zip(self.report.networks, self.names)
            for run in network.runs
        ]

    def _footer(self) -> list[str]:
        machine = self.report.machine
        measured = self.say(
            "machine_text",
            processor=machine.processor,
            processors=machine.processors,
            system=machine.system,
            depthwise=machine.depthwise,
            python=machine.python,
            numpy=machine.numpy,
            llvmlite=machine.llvmlite,
        )
        lines = [f"{self.say('machine')}: {measured}", self.say("convention"), self.say("rank_note")]
        lines += [self.say("place", seed=seed, place=printable(place)) for seed, place in self.report.places]
        if self.report.settings.data == "mnist":
            lines.append(self.say("attribution"))
        return lines


def _shown(mistakes: Mistakes) -> list[int]:
    return [place for place, mistake in enumerate(mistakes.shown) if mistake.png]


def _heat(count: int) -> int:
    """0 for none, then 1 to 4.

    >>> [_heat(count) for count in (0, 1, 3, 4, 16, 64, 9999)]
    [0, 1, 1, 2, 3, 4, 4]
    """
    return min(4, 1 + int(math.log2(count)) // 2) if count else 0


def _link(network: NetworkResult, mistake: Mistake, place: int, language: str) -> str:
    """The place in the network's own page that says how it came to the wrong answer."""
    graph = network.graph
    answers = graph.by_name[graph.outputs[0]]
    whole = kept_layers(graph) == len(graph.calls) and len(answers.output_shape) == 1
    view = f"layer/{quote(answers.name, safe='')}/{mistake.answer}" if whole else "network"
    return f"{quote(network.page)}#/{view}?language={language}&sample={place}"


def _layer(node: Call) -> dict[str, str]:
    """A layer's cell: its name and class, and the formula of its parameters where it has weights."""
    return {
        "name": f"{printable(node.name)} ({type(node.layer).__name__})",
        "formula": node.facts.parameters.text if node.weights else "",
    }

"""The comparison as one self-contained page: no script, no network (its Content-Security-Policy forbids both).

Plots are inline SVG, the style sheet is allowed by its hash. Light and dark follow the reader's system.
"""

import base64
import hashlib
from importlib.resources import files

from depthwise.compare.charts import Bar, Series, bars, curves, ratio_bars
from depthwise.compare.markup import Content, Markup, element, join
from depthwise.compare.report import Report
from depthwise.compare.wording import (
    delivered_sentences,
    layer_pairs,
    name_of,
    percent,
    result_rows,
    short_number,
    subtitles,
    times,
)
from depthwise.explain.text import printable, shape_text
from depthwise.messages import check_language, text
from depthwise.network.graph import Call

__all__ = ["report_page"]

_STYLES = ("first", "second")
_HTML_LANGUAGE = {"en": "en", "zh": "zh-Hans"}


def report_page(report: Report, language: str = "en") -> str:
    """The whole page as HTML.

    Raises:
        InvalidArgumentError: a language that the catalogue lacks.
    """
    check_language(language)
    return _Page(report, language).html()


class _Page:
    def __init__(self, report: Report, language: str) -> None:
        self.report = report
        self.language = language
        self.names = [name_of(network) for network in report.networks]

    def say(self, key: str, **facts: object) -> str:
        return text(f"comparison.{key}", self.language, **facts)

    def html(self) -> str:
        style = files("depthwise.compare").joinpath("page.css").read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
        title = self.say("title", first=self.names[0], second=self.names[1])
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", title),
            element("style", Markup(style)),
        )
        main = element(
            "main",
            element("h1", title),
            *(element("p", line, class_="soft") for line in subtitles(self.report, self.language)),
            *([] if self.report.is_complete else [element("p", self.say("incomplete"), class_="warn")]),
            self._key(),
            *self._delivered(),
            *self._results(),
            *self._sizes_and_times(),
            *self._curves(),
            *self._layers(),
            *self._seeds(),
            self._footer(),
        )
        body = element("body", main)
        return f"<!doctype html>\n{element('html', head, body, lang=_HTML_LANGUAGE[self.language])}\n"

    def _key(self) -> Markup:
        items = (element("li", element("span", name), class_=style) for name, style in zip(self.names, _STYLES))
        return element("ul", *items, class_="key")

    def _delivered(self) -> list[Markup]:
        headline, *rest = delivered_sentences(self.report, self.language)
        content = [
            element("h2", self.say("delivered")),
            element("p", headline, class_="headline"),
        ]
        if self.report.ratios and self.report.macs_times > 1:
            note = element(
                "p", self.say("chart_note", heavier=name_of(self.report.heavier), lighter=name_of(self.report.lighter))
            )
            content.append(element("div", self._ratio_chart(), note, class_="card"))
        return [*content, *(element("p", line, class_="soft") for line in rest)]

    def _ratio_chart(self) -> Markup:
        report = self.report
        style = _STYLES[report.networks.index(report.lighter)]
        everything = times(report.macs_times, self.language)
        items = [Bar(self.say("kind_macs"), everything, (report.macs_times,), "macs")]
        for ratio in report.ratios:
            value = times(ratio.times, self.language)
            if ratio.delivered is not None and ratio.delivered > 0:
                share = percent(ratio.delivered, self.language, 0)
                value = self.say("chart_share", times=value, share=share)
            items.append(Bar(self.say(f"kind_{ratio.kind}"), value, (ratio.times,), style))
        marks = [(1.0, self.say("no_gain")), (report.macs_times, self.say("all_gain", times=everything))]
        return ratio_bars(items, marks, self.say("delivered"))

    def _results(self) -> list[Markup]:
        header = element(
            "tr",
            element("th", ""),
            *(element("th", name, scope="col", class_="number") for name in self.names),
            element("th", self.say("ratio"), scope="col", class_="number"),
        )
        rows = [
            element(
                "tr",
                element("th", row.label, scope="row"),
                *(element("td", value, class_="number") for value in (*row.values, row.ratio)),
                class_="part" if row.level else None,
            )
            for row in result_rows(self.report, self.language)
        ]
        table = element("table", element("thead", header), element("tbody", *rows))
        return [element("h2", self.say("results")), element("div", table, class_="wide")]

    def _sizes_and_times(self) -> list[Markup]:
        networks = self.report.networks
        parts = f"{self.say('convolutional')} ■ {self.say('head')} □"
        cards = [
            self._card(
                self.say("parameters"),
                [(item.convolutional_parameters, item.head_parameters) for item in networks],
                [f"{item.graph.parameters:,}" for item in networks],
                parts,
            ),
            self._card(
                self.say("macs"),
                [(item.graph.macs - item.head_macs, item.head_macs) for item in networks],
                [f"{item.graph.macs:,}" for item in networks],
                parts,
            ),
        ]
        size = self.report.settings.prediction_batch_size
        for title, timings in (
            (self.say("batch", size=size), [item.batch for item in networks]),
            (self.say("single"), [item.single for item in networks]),
        ):
            values = [0.0 if item is None else item.microseconds_per_image for item in timings]
            if any(values):
                texts = [
                    self.say("microseconds", value=short_number(value)) if value else self.say("missing")
                    for value in values
                ]
                cards.append(self._card(title, [(value,) for value in values], texts))
        seconds = [item.epoch_seconds or 0.0 for item in networks]
        if any(seconds):
            texts = [
                self.say("seconds", seconds=short_number(value)) if value else self.say("missing") for value in seconds
            ]
            title = f"{self.say('kind_training')}, {self.say('epoch')}"
            cards.append(self._card(title, [(value,) for value in seconds], texts))
        return [element("h2", self.say("sizes_and_times")), element("div", *cards, class_="grid-of-cards")]

    def _card(self, title: str, parts: list[tuple[float, ...]], values: list[str], note: str = "") -> Markup:
        items = [Bar(*item) for item in zip(self.names, values, parts, _STYLES)]
        content = [element("h3", title), bars(items, title)]
        return element("div", *content, *([element("p", note)] if note else []), class_="card")

    def _curves(self) -> list[Markup]:
        heading = element("h2", self.say("curves"))
        if not any(run.epochs for network in self.report.networks for run in network.runs):
            return [heading, element("p", self.say("curves_none"), class_="soft")]
        accuracy = curves(
            self._series("test_accuracy"),
            self.say("curve_accuracy"),
            lambda value, digits: percent(value, self.language, max(0, digits - 2)),
            self.say("curve_epoch"),
        )
        loss = curves(
            [*self._series("loss"), *self._series("test_loss", " dashed")],
            self.say("curve_loss"),
            lambda value, digits: f"{value:.{digits}f}",
            self.say("curve_epoch"),
        )
        cards = (
            element("div", element("h3", self.say(key)), chart, class_="card")
            for key, chart in (("curve_accuracy", accuracy), ("curve_loss", loss))
        )
        return [heading, element("div", *cards, class_="grid-of-cards")]

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
                result.append(Series(values, texts, style + more))
        return result

    def _layers(self) -> list[Markup]:
        pairs = layer_pairs(self.report)
        most = max((node.facts.macs.value for pair in pairs for node in pair if node), default=0) or 1
        header = element(
            "tr",
            element("th", self.say("output"), scope="col"),
            *(element("th", name, scope="col") for name in self.names),
            element("th", self.say("macs_short"), scope="col"),
        )
        rows = []
        for pair in pairs:
            node = pair[0] or pair[1]
            if node is None:
                continue
            rows.append(
                element(
                    "tr",
                    element("td", shape_text(node.output_shape)),
                    *(element("td", *self._layer(item)) for item in pair),
                    element("td", self._layer_bars(pair, most), class_="macs-cell"),
                )
            )
        totals = [element("td", f"{network.graph.parameters:,}") for network in self.report.networks]
        macs = " / ".join(f"{network.graph.macs:,}" for network in self.report.networks)
        foot = element("tr", element("th", self.say("total"), scope="row"), *totals, element("td", macs))
        table = element("table", element("thead", header), element("tbody", *rows), element("tfoot", foot))
        return [
            element("h2", self.say("layers")),
            element("p", self.say("layers_note"), class_="soft"),
            element("p", self.say("layers_macs_note"), class_="soft"),
            element("div", table, class_="wide layers"),
        ]

    def _layer(self, node: Call | None) -> tuple[Content, ...]:
        if node is None:
            return ("",)
        name = element("span", f"{printable(node.name)} ({type(node.layer).__name__})", class_="layer-name")
        if not node.weights:
            return (name,)
        return name, element("code", node.facts.parameters.text)

    def _layer_bars(self, pair: tuple[Call | None, Call | None], most: int) -> Markup:
        drawn = []
        for index, (node, style) in enumerate(zip(pair, _STYLES)):
            if node is not None and node.facts.macs.value:
                value = node.facts.macs.value
                tip = element("title", node.facts.macs.text)
                width = f"{max(100 * value / most, 0.5):.3f}%"
                drawn.append(element("rect", tip, x=0, y=4 + index * 11, width=width, height=8, rx=1, class_=style))
        if not drawn:
            return Markup("")
        label = " / ".join(node.facts.macs.text for node in pair if node is not None)
        return element("svg", *drawn, width="100%", height="26", role="img", aria_label=label)

    def _seeds(self) -> list[Markup]:
        header = element(
            "tr",
            *(
                element("th", self.say(key), scope="col", class_="number" if number else None)
                for number, key in ((0, "network"), (0, "seed"), (1, "accuracy"), (1, "interval"), (1, "training"))
            ),
        )
        rows = []
        for network, name in zip(self.report.networks, self.names):
            for run in network.runs:
                interval = run.interval
                cells = (
                    self.say("missing") if run.accuracy is None else percent(run.accuracy, self.language),
                    self.say("missing")
                    if interval is None
                    else f"{100 * interval[0]:.2f}–{percent(interval[1], self.language)}",
                    self.say("seconds", seconds=short_number(run.seconds)) if run.epochs else self.say("missing"),
                )
                rows.append(
                    element(
                        "tr",
                        element("td", name),
                        element("td", self.say("seed_loaded") if run.seed is None else str(run.seed)),
                        *(element("td", cell, class_="number") for cell in cells),
                    )
                )
        if not rows:
            return []
        table = element("table", element("thead", header), element("tbody", *rows))
        return [element("h2", self.say("seeds")), element("div", table, class_="wide")]

    def _footer(self) -> Markup:
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
        if self.report.settings.data == "mnist":
            lines.append(self.say("attribution"))
        return element("footer", join(*(element("p", line) for line in lines)))

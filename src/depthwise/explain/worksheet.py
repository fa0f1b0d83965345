"""A sheet for the class: exercises on a network to be filled in by hand, and the answers on a page of their own.

One HTML file without any script, made to be printed. The exercises follow from the network alone, so that the same network
always gives the same sheet.
"""

import html
from typing import Any, Final

import numpy as np

from depthwise.explain.facts import network_facts
from depthwise.explain.questions import questions
from depthwise.explain.text import printable, shape_text
from depthwise.messages import check_language, section, text
from depthwise.network.graph import Graph

__all__ = ["MOST_LAYERS", "worksheet"]

MOST_LAYERS: Final = 14
"""Rows of the table, at most: as many as fit on the first page."""

MOST_COUNTING: Final = 6
MOST_UNDERSTANDING: Final = 5

_STYLE: Final = """
@page { size: A4; margin: 16mm }
body { font: 15px/1.5 ui-sans-serif, system-ui, "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
  color: #000; background: #fff; max-width: 180mm; margin: 0 auto; padding: 12px }
h1 { font-size: 22px; margin: 0 }
h2 { font-size: 17px; margin: 22px 0 6px }
table { border-collapse: collapse; width: 100% }
th, td { border: 1px solid #888; padding: 5px 7px; text-align: left; overflow-wrap: anywhere; height: 30px }
th { font-size: 13px }
td.blank { min-width: 22mm }
.grid { width: auto; display: inline-table; vertical-align: middle; margin: 4px 10px }
.grid td { width: 9mm; height: 9mm; text-align: center; padding: 0 }
code, .grid td { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 13px }
.line { border-bottom: 1px solid #000; display: inline-block; min-width: 55mm }
li { margin-bottom: 10px; break-inside: avoid }
.answers { break-before: page; border-top: 2px solid #000; margin-top: 40px; padding-top: 12px }
.box { display: inline-block; width: 4mm; height: 4mm; border: 1px solid #000; margin-right: 6px; vertical-align: -0.4mm }
.choices { list-style: none; padding-left: 4mm }
.choices li { margin: 2px 0 }
"""


def worksheet(graph: Graph, language: str = "en") -> str:
    """The sheet as one HTML file.

    Args:
        language: "en" or "zh".

    Raises:
        InvalidArgumentError: a language that the catalogue lacks.

    >>> from depthwise.networks import note_cnn
    >>> sheet = worksheet(note_cnn().graph)
    >>> "<script" in sheet, "18,496" in sheet
    (False, True)
    """
    say = _Words(check_language(language))
    facts = network_facts(graph)
    counting = _spread(questions(graph), MOST_COUNTING)
    understanding = _spread(sorted({key.split(".")[1] for key in section("quiz.")}), MOST_UNDERSTANDING)
    name = html.escape(printable(facts["name"]))
    parts = [
        f"<h1>{say('title', name=name)}</h1>",
        f'<p>{say("name")} <span class="line"></span> {say("date")} <span class="line" style="min-width:30mm"></span></p>',
        *_window(say, False),
        *_table(say, facts, False),
        *_counting(say, counting, facts, False),
        *_understanding(say, understanding, False),
        f'<section class="answers"><h1>{say("answers")}</h1>',
        *_window(say, True),
        *_table(say, facts, True),
        *_counting(say, counting, facts, True),
        *_understanding(say, understanding, True),
        "</section>",
    ]
    lang = {"zh": "zh-CN"}.get(language, language)
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="{lang}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


class _Words:
    """Texts of the sheet in one language, escaped; facts are escaped by who gives them."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, /, **facts: object) -> str:
        return text(f"terminal.worksheet.{key}", self.language, **facts)

    def other(self, key: str, /, **facts: object) -> str:
        return html.escape(text(key, self.language, **facts))


def _spread(items: list[Any], most: int) -> list[Any]:
    """At most so many of the items, evenly from the first to the last."""
    if len(items) <= most:
        return items
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _window(say: _Words, answered: bool) -> list[str]:
    """A convolution by hand: a 5×5 map, a 3×3 kernel, nine sums."""
    generator = np.random.default_rng(5)
    values, kernel = generator.integers(0, 4, (5, 5)), np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    places = [(i, j) for i in range(3) for j in range(3)]
    sums = np.array([(values[i : i + 3, j : j + 3] * kernel).sum() for i, j in places]).reshape(3, 3)
    shown = _grid(sums) if answered else _grid(np.full((3, 3), "", dtype=object))
    if answered:
        return [f"<h2>{say('window')}</h2>", f"<p>{shown}</p>"]
    return [
        f"<h2>{say('window')}</h2>",
        f"<p>{say('window_task')}</p>",
        f"<p>{_grid(values)} ∗ {_grid(kernel)} = {shown}</p>",
    ]


def _grid(values: Any) -> str:
    rows = "".join("<tr>" + "".join(f"<td>{_signed(value)}</td>" for value in row) + "</tr>" for row in values)
    return f'<table class="grid">{rows}</table>'


def _signed(value: Any) -> str:
    return str(value).replace("-", "−")


def _table(say: _Words, facts: dict[str, Any], answered: bool) -> list[str]:
    layers = [layer for layer in facts["layers"] if layer["kind"] != "InputLayer"]
    shown = layers[:MOST_LAYERS]
    names = ("layer", "output", "parameters", "macs")
    head = "".join(f"<th>{say.other(f'page.table.{name}')}</th>" for name in names)
    rows = []
    for layer in shown:
        answers = [
            shape_text(layer["output_shape"]),
            *(f"<code>{html.escape(layer[name]['text'])}</code>" for name in ("parameters", "macs")),
        ]
        cells = "".join(f"<td>{cell}</td>" if answered else '<td class="blank"></td>' for cell in answers)
        label = f"<code>{html.escape(_code(layer))}</code>"
        rows.append(f"<tr><td>{label}</td>{cells}</tr>")
    start = " + ".join(shape_text(layer["output_shape"]) for layer in facts["layers"] if layer["kind"] == "InputLayer")
    more = len(layers) - len(shown)
    return [
        f"<h2>{say('table')}</h2>",
        *([] if answered else [f"<p>{say('table_task', shape=start)}</p>"]),
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
        *([f"<p>{say('table_more', count=more)}</p>"] if more else []),
    ]


def _code(layer: dict[str, Any]) -> str:
    """The layer as in Keras, what says nothing new left out."""
    plain = (None, "linear", [1, 1], 1, True, "valid", "channels_last")
    kept = {
        name: value
        for name, value in layer["config"].items()
        if value not in plain or name in ("filters", "units") or (name == "use_bias" and value is False)
    }
    arguments = ", ".join(
        f"{name}={tuple(value) if isinstance(value, list) else value!r}" for name, value in kept.items()
    )
    return printable(f"{layer['kind']}({arguments})", 300)


def _counting(say: _Words, asked: list[dict[str, Any]], facts: dict[str, Any], answered: bool) -> list[str]:
    if not asked:
        return []
    by_name = {layer["name"]: layer for layer in facts["layers"]}
    items = []
    for question in asked:
        layer = by_name[question["layer"]]
        words = say.other(f"page.guess.asks_{question['asks']}", layer=printable(question["layer"]))
        if answered:
            items.append(f"<li><code>{html.escape(question['formula']['text'])}</code></li>")
            continue
        reads = ", ".join(shape_text(shape) for shape in layer["input_shapes"])
        reading = say.other("page.guess.input", shape=reads)
        items.append(
            f'<li><code>{html.escape(_code(layer))}</code>, {reading}<br>{words} <span class="line"></span></li>'
        )
    return [f"<h2>{say('counting')}</h2>", f"<ol>{''.join(items)}</ol>"]


def _understanding(say: _Words, names: list[str], answered: bool) -> list[str]:
    items = []
    for index, name in enumerate(names):
        answers = [say.other(f"quiz.{name}.{part}") for part in ("right", "wrong_one", "wrong_two")]
        if answered:
            items.append(f"<li><b>{answers[0]}.</b> {say.other(f'quiz.{name}.reason')}</li>")
            continue
        turned = answers[index % 3 :] + answers[: index % 3]
        choices = "".join(f'<li><span class="box"></span>{answer}</li>' for answer in turned)
        items.append(f'<li>{say.other(f"quiz.{name}.asks")}<ul class="choices">{choices}</ul></li>')
    return [f"<h2>{say('understanding')}</h2>", f"<ol>{''.join(items)}</ol>"]

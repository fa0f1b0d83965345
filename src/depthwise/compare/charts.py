"""The report's plots: where every shape goes. Positions are percentages of the width, so that text never shrinks.

`main.html.jinja` writes a drawing as inline SVG. Colours and type come from the page's style sheet by class: `first` and
`second` are the two networks.
"""

import math
from collections.abc import Callable, Sequence

from depthwise.dataclass import dataclass

__all__ = ["Bar", "Drawing", "Series", "Shape", "bars", "curves", "layer_bars", "ratio_bars", "ticks"]

_ROW = 44
_LEFT, _RIGHT = 11.0, 98.0
_TOP, _BOTTOM, _HEIGHT = 14.0, 206.0, 240.0


def _percent(value: float) -> str:
    return f"{value:.3f}%"


@dataclass(frozen=True)
class Shape:
    """An element of a drawing: its SVG attributes, its text, and what it says when it is pointed at.

    Attributes:
        tip: the whole sentence, which is read out too.
        short: what is written beside a point of a curve.
    """

    tag: str
    attributes: dict[str, object]
    text: str = ""
    tip: str = ""
    short: str = ""


@dataclass(frozen=True)
class Drawing:
    """A plot as wide as its place and `height` pixels high; `title` is read out to those who do not see it."""

    shapes: tuple[Shape, ...]
    height: float
    title: str


def _shape(tag: str, text: str = "", tip: str = "", short: str = "", **attributes: object) -> Shape:
    """In attribute names `_` is `-`, and one at the end is dropped (`class_`)."""
    return Shape(tag, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}, text, tip, short)


@dataclass(frozen=True)
class Bar:
    """One bar: a label above it, the value as text, and the parts it is made of, from the left.

    Attributes:
        style: the class of the first part; those after it get `style` and "more".
        tips: what each part says when it is pointed at.
    """

    label: str
    value: str
    parts: tuple[float, ...]
    style: str
    tips: tuple[str, ...] = ()


def bars(items: Sequence[Bar], title: str) -> Drawing:
    """Horizontal bars on one scale from 0, each with its label and its value written above."""
    longest = max((sum(item.parts) for item in items), default=0) or 1.0
    content: list[Shape] = []
    for index, item in enumerate(items):
        top = index * _ROW
        content.append(_shape("text", item.label, x="0", y=top + 13, class_="label"))
        content.append(_shape("text", item.value, x="100%", y=top + 13, class_="value", text_anchor="end"))
        content.append(_shape("rect", x="0", y=top + 20, width="100%", height=12, rx=2, class_="track"))
        start = 0.0
        for number, part in enumerate(item.parts):
            style = item.style if number == 0 else f"{item.style} more"
            if part:
                content.append(
                    _shape(
                        "rect",
                        tip=item.tips[number] if item.tips else f"{item.label}: {item.value}",
                        x=_percent(100 * start / longest),
                        y=top + 20,
                        width=_percent(100 * part / longest),
                        height=12,
                        rx=2,
                        class_=style,
                    )
                )
            start += part
    return Drawing(tuple(content), len(items) * _ROW, title)


def ratio_bars(items: Sequence[Bar], marks: Sequence[tuple[float, str]], title: str) -> Drawing:
    """Bars of ratios with vertical marks, for example at 1 (no gain) and at the ratio of the MACs (everything)."""
    longest = max([*(sum(item.parts) for item in items), *(place for place, _ in marks), 1e-9]) * 1.02
    height = len(items) * _ROW
    content: list[Shape] = []
    for place, _ in marks:
        x = _percent(100 * place / longest)
        content.append(_shape("line", x1=x, x2=x, y1=0, y2=height + 4, class_="mark"))
    for index, item in enumerate(items):
        top = index * _ROW
        content.append(_shape("text", item.label, x="0", y=top + 13, class_="label halo"))
        content.append(_shape("text", item.value, x="100%", y=top + 13, class_="value halo", text_anchor="end"))
        width = _percent(100 * sum(item.parts) / longest)
        tip = f"{item.label}: {item.value}"
        content.append(_shape("rect", tip=tip, x="0", y=top + 20, width=width, height=14, rx=2, class_=item.style))
    for place, label in marks:
        share = place / longest
        anchor = "end" if share > 0.7 else "start"
        content.append(_shape("text", label, x=_percent(100 * share), y=height + 20, class_="tick", text_anchor=anchor))
    return Drawing(tuple(content), height + 26, title)


@dataclass(frozen=True)
class Series:
    """A curve over the epochs 1, 2, …: its values, what each point says, the classes that draw it, and each value as text."""

    values: tuple[float, ...]
    texts: tuple[str, ...]
    style: str
    shorts: tuple[str, ...] = ()


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten apart) that cover `low` to `high`.

    >>> [round(value, 3) for value in ticks(0.962, 0.991)]
    [0.96, 0.97, 0.98, 0.99, 1.0]
    """
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def curves(series: Sequence[Series], title: str, write: Callable[[float, int], str], horizontal: str) -> Drawing | None:
    """Line plots over the epochs with round ticks; None where there is no finite value.

    Args:
        write: a tick's text from its value and the number of decimals that tell it from the next.
        horizontal: what the horizontal axis counts.
    """
    values = [value for item in series for value in item.values if math.isfinite(value)]
    longest = max((len(item.values) for item in series), default=0)
    if not values:
        return None
    marks = ticks(min(values), max(values))
    low, high = marks[0], marks[-1]
    if low == high:
        high = low + 1.0

    def x(index: int) -> str:
        return _percent(_LEFT + (_RIGHT - _LEFT) * (index / (longest - 1) if longest > 1 else 0.5))

    def y(value: float) -> str:
        return f"{_BOTTOM - (_BOTTOM - _TOP) * (value - low) / (high - low):.2f}"

    digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9)) if len(marks) > 1 else 2
    content: list[Shape] = []
    for mark in marks:
        label = write(mark, digits)
        content.append(_shape("line", x1=_percent(_LEFT), x2=_percent(_RIGHT), y1=y(mark), y2=y(mark), class_="grid"))
        content.append(
            _shape("text", label, x=_percent(_LEFT - 1.2), y=float(y(mark)) + 4, class_="tick", text_anchor="end")
        )
    step = max(1, math.ceil(longest / 10))
    for index in range(0, longest, step):
        content.append(_shape("text", str(index + 1), x=x(index), y=_BOTTOM + 18, class_="tick", text_anchor="middle"))
    content.append(_shape("text", horizontal, x=_percent(_RIGHT), y=_HEIGHT - 2, class_="tick", text_anchor="end"))
    for item in series:
        content += _curve(item, x, y)
    return Drawing(tuple(content), _HEIGHT, title)


def _curve(item: Series, x: Callable[[int], str], y: Callable[[float], str]) -> list[Shape]:
    content: list[Shape] = []
    for index in range(len(item.values) - 1):
        start, end = item.values[index], item.values[index + 1]
        if math.isfinite(start) and math.isfinite(end):
            content.append(
                _shape("line", x1=x(index), x2=x(index + 1), y1=y(start), y2=y(end), class_=f"curve {item.style}")
            )
    for index, (value, text) in enumerate(zip(item.values, item.texts)):
        if math.isfinite(value):
            short = item.shorts[index] if item.shorts else ""
            content.append(
                _shape("circle", tip=text, short=short, cx=x(index), cy=y(value), r=4, class_=f"point {item.style}")
            )
    return content


def layer_bars(items: Sequence[tuple[float, str, str]], most: float, title: str) -> Drawing:
    """Thin bars below each other on a scale from 0 to `most`: (value, its formula as a tip, class); zeros are left out."""
    shapes = [
        _shape(
            "rect",
            tip=tip,
            x=0,
            y=4 + index * 11,
            width=_percent(max(100 * value / most, 0.5)),
            height=8,
            rx=1,
            class_=style,
        )
        for index, (value, tip, style) in enumerate(items)
        if value
    ]
    return Drawing(tuple(shapes), 26, title)

"""HTML and SVG elements whose texts and attributes are always escaped: a layer may be named `</svg><script>`."""

from dataclasses import dataclass
from html import escape

__all__ = ["Markup", "element", "join"]


@dataclass(frozen=True)
class Markup:
    """Text that is markup already. Everything that is not one is escaped when it becomes part of one."""

    text: str

    def __str__(self) -> str:
        return self.text


Content = Markup | str

_EMPTY = {"meta", "rect", "line", "circle", "col"}


def element(name: str, /, *content: Content, **attributes: object) -> Markup:
    """An element. In attribute names `_` stands for `-`, and one at the end is dropped (`class_`).

    >>> str(element("p", "1 < 2", class_="note"))
    '<p class="note">1 &lt; 2</p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY and not content:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(*content)}</{name}>")


def join(*content: Content) -> Markup:
    """The parts one after the other, plain texts escaped."""
    return Markup("".join(item.text if isinstance(item, Markup) else escape(item) for item in content))

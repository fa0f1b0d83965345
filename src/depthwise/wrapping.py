"""Lines broken where a reader expects it: at spaces, between Chinese characters, after the signs of a formula; never inside a number.

What continues a line starts below its text, not at the edge of the terminal.
"""

import unicodedata
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

__all__ = ["Hanging", "print_wrapped", "wrapped"]

_NEVER_FIRST = "，。；：、！？）》」』”’%…·:;,.!?)]}"
_NEVER_LAST = "（《「『“‘"
_AFTER = "+;,"
"""A formula may continue on the next line behind these."""

LEAST = 12
"""Cells that a line has beside its indentation, at least; else it is not indented."""


class Hanging(Text):
    """A line whose continuation starts at the cell `hanging`; by default where its own text starts."""

    hanging: int | None = None


def wrapped(line: Text, width: int) -> list[Text]:
    """The line in pieces of at most `width` cells, styles kept.

    >>> [piece.plain for piece in wrapped(Text("  parameters 32×(3×3×1)+32×(1×1×32)+32"), 26)]
    ['  parameters 32×(3×3×1)+', '  32×(1×1×32)+32']
    >>> [piece.plain for piece in wrapped(Text("填充的格子计入，偏置和激活不计。"), 15)]
    ['填充的格子计', '入，偏置和激活', '不计。']
    """
    plain = line.plain
    if cell_len(plain) <= width or "\n" in plain:
        return [line]
    indent = len(plain) - len(plain.lstrip(" "))
    hanging = getattr(line, "hanging", None)
    hanging = indent if hanging is None else hanging
    if hanging + LEAST > width:
        hanging = 0
    pieces = []
    start = 0
    for end in _ends(plain, width, hanging, indent):
        piece = line[start:end]
        piece.rstrip()
        if start:
            piece = Text(" " * hanging).append_text(piece)
        pieces.append(piece)
        start = end
        while start < len(plain) and plain[start] == " ":
            start += 1
    return pieces


def _ends(plain: str, width: int, hanging: int, indent: int) -> Iterator[int]:
    """Where the pieces end."""
    start, least = 0, indent
    while start < len(plain):
        room = width - (hanging if start else 0)
        used, place = 0, start
        space = sign = None
        while place < len(plain):
            size = cell_len(plain[place])
            if used + size > room and plain[place] != " ":
                break
            used += size
            place += 1
            if place > least and _may_break(plain, place):
                if _is_sign(plain, place):
                    sign = place
                else:
                    space = place
        if place == len(plain):
            yield place
            return
        # A space is better than a sign, unless that would leave half of the line empty.
        best = space if space is not None and (sign is None or space - start > room // 2) else sign
        end = best if best is not None else max(place, start + 1)
        yield end
        start = end
        while start < len(plain) and plain[start] == " ":
            start += 1
        least = start


def _may_break(plain: str, place: int) -> bool:
    """Whether a line may end before the character at `place`."""
    if place >= len(plain):
        return True
    before, after = plain[place - 1], plain[place]
    if before == " ":
        return after != " "
    if after == " " or after in _NEVER_FIRST or before in _NEVER_LAST:
        return False
    wide = any(unicodedata.east_asian_width(letter) in "WF" for letter in (before, after))
    return wide or (before in _AFTER and not (before == "," and after.isdigit()))


def _is_sign(plain: str, place: int) -> bool:
    """Whether the break at `place` is one within a formula."""
    return plain[place - 1] in _AFTER and unicodedata.east_asian_width(plain[min(place, len(plain) - 1)]) not in "WF"


def print_wrapped(console: Console, line: Text) -> None:
    """Prints a line within the console's width."""
    for piece in wrapped(line, console.width):
        piece.rstrip()
        console.print(piece, highlight=False, no_wrap=True, overflow="ignore", crop=False)

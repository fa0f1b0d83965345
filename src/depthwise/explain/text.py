"""Small helpers for text on a terminal: hostile names made harmless, numbers, columns of Chinese and Latin width."""

from collections.abc import Sequence

__all__ = ["join_places", "number_text", "printable", "shape_text"]


def printable(name: str, limit: int = 60) -> str:
    """`name` on one line without control characters, direction overrides or anything else that does not print.

    >>> printable("conv\\x1b[31m")
    'conv\\\\x1b[31m'
    """
    text = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in name)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number_text(value: float) -> str:
    """Four decimals where they say something, else three digits and a power of ten.

    >>> number_text(0.12345), number_text(-0.00001234), number_text(0.0)
    ('0.1235', '-1.234e-05', '0.0000')
    """
    if value == 0.0 or 0.001 <= abs(value) < 100_000:
        return f"{value + 0.0:.4f}"  # + 0.0 makes −0 a plain 0
    return f"{value:.3e}"


def shape_text(shape: Sequence[int]) -> str:
    """`26×26×32`."""
    return "×".join(map(str, shape))


def join_places(places: Sequence[int]) -> str:
    """`3, 4, 5`."""
    return ", ".join(map(str, places))

"""The one public family of exceptions.

Every message is one clear sentence: what arrived, what is allowed, how to fix it. The command line prints the
message alone; a traceback is a bug in Depthwise.
"""

__all__ = [
    "DepthwiseError",
    "InvalidArgumentError",
    "InvalidDataError",
    "InvalidFileError",
    "ShapeError",
    "UnsupportedError",
    "describe_value",
]


class DepthwiseError(Exception):
    """Base of everything that Depthwise raises on purpose."""


class InvalidArgumentError(DepthwiseError, ValueError):
    """An argument of a call or a command has a value that is not allowed."""


class ShapeError(InvalidArgumentError):
    """Shapes do not fit together: a rank, a channel count, an empty output, an overflow."""


class InvalidDataError(DepthwiseError, ValueError):
    """Training or prediction data is not what the network takes: labels out of range, NaN, wrong shape."""


class InvalidFileError(DepthwiseError, ValueError):
    """A file is truncated, foreign, hostile, or contradicts itself."""


class UnsupportedError(DepthwiseError, NotImplementedError):
    """The input is legal, but names something that Depthwise does not do; the message names it.

    Attributes:
        subject: the layer's class, the option or the activation of a file that is in the way; "" where it is nothing of a file.
    """

    def __init__(self, *message: object, subject: object = "") -> None:
        super().__init__(*message)
        self.subject = subject if isinstance(subject, str) else ""


def describe_value(value: object, limit: int = 80) -> str:
    """`value` as short, printable, single-line text: safe for messages even when it came from a hostile file.

    Args:
        limit: the most characters of it that are shown.

    >>> describe_value("a\\x1b[31m")
    "'a\\\\x1b[31m'"
    """
    try:
        text = ascii(_beginning(value, limit, [limit + 2]))
    except ValueError:  # Python refuses to print integers of thousands of digits
        text = f"<{type(value).__name__} too long to print>"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _beginning(value: object, limit: int, left: list[int]) -> object:
    """What of a text, list or object of JSON is shown: a hostile one may be large. `left` counts down the values within."""
    left[0] -= 1
    if isinstance(value, (str, bytes)):
        return value[: limit + 1]
    shown: object = value
    if type(value) is dict:
        pairs = {}
        for key, item in value.items():
            if left[0] <= 0:
                break
            pairs[_beginning(key, limit, left)] = _beginning(item, limit, left)
        shown = pairs
    elif type(value) in (list, tuple):
        items = []
        for item in value:  # type: ignore[attr-defined]
            if left[0] <= 0:
                break
            items.append(_beginning(item, limit, left))
        shown = type(value)(items)  # type: ignore[call-arg]
    return shown


def __dir__() -> list[str]:
    return sorted(__all__)

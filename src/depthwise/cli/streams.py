"""The standard streams of a command: nothing that they are connected to can end the work with a traceback.

An encoding that lacks a character gets a substitute, a closed stream is replaced by one that takes everything, and what a
closed pipe or a full disk refuses is dropped and reported when the work is done: a training goes on, and is saved.
"""

import codecs
import errno
import io
import json
import os
import sys
import unicodedata
from typing import Any

__all__ = ["Output", "guard_streams", "on_one_line", "print_json", "substitute"]

_HANDLER = "depthwise.substitute"

_SUBSTITUTES: dict[str, str] = {
    **{"×": "x", "∗": "*", "÷": "/", "⁄": "/", "·": ".", "−": "-", "±": "+-", "√": "sqrt", "∞": "inf", "Σ": "sum "},
    **{"≤": "<=", "≥": ">=", "≠": "!=", "⌊": "floor(", "⌋": ")", "⌈": "ceil(", "⌉": ")", "∂": "d", "‖": "||"},
    **{"α": "alpha", "β": "beta", "µ": "u", "μ": "u", "π": "pi", "ε": "eps", "δ": "delta", "φ": "phi", "Φ": "Phi"},
    **{"→": "->", "←": "<-", "⇒": "=>", "↔": "<->", "↑": "^", "↓": "v"},
    **{
        "–": "-",
        "—": "-",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "‹": "<",
        "›": ">",
        "《": "<",
        "》": ">",
        "。": ".",
        "、": ",",
    },
    **dict.fromkeys("「」『』", '"'),
    **{"•": "*", "■": "#", "□": ".", "▒": ":", "█": "#"},
    **dict.fromkeys("▉▊▋▌", "#"),
    **dict.fromkeys("▍▎▏", "|"),
    **{digit: f"^{value}" for value, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}
_HORIZONTAL, _VERTICAL = "─━┄┅┈┉╌╍═╴╶╸╺╼╾", "│┃┆┇┊┋╎╏║╵╷╹╻╽╿"


def substitute(character: str) -> str:
    """ASCII for a character that an encoding lacks: the nearest in meaning, else without its accent, else `?`.

    >>> "".join(map(substitute, "3×3 → −2 µs, café 图"))
    '3x3 -> -2 us, cafe ?'
    """
    if character.isascii():
        return character
    if character in _SUBSTITUTES:
        return _SUBSTITUTES[character]
    if "\u2500" <= character <= "\u257f":  # lines of tables
        return "-" if character in _HORIZONTAL else "|" if character in _VERTICAL else "+"
    if unicodedata.combining(character):
        return ""
    parts = unicodedata.normalize("NFKD", character)
    return "?" if parts == character else "".join(map(substitute, parts))


def _encode_substitutes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(substitute, error.object[error.start : error.end])), error.end


codecs.register_error(_HANDLER, _encode_substitutes)


class Output(io.RawIOBase):
    """The bytes below a text stream: they are handed on until that fails once, and dropped from then on.

    Attributes:
        failure: why bytes were dropped; None while all went out.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__()
        self._stream = stream  # kept alive: it closes its descriptor when it goes
        self._raw: Any = getattr(stream.buffer, "raw", stream.buffer)
        self.name = getattr(self._raw, "name", "")
        self.mode = "wb"
        self.failure: OSError | None = None

    @property
    def is_pipe_closed(self) -> bool:
        """Whether the reader, such as `head` or `less`, had seen enough and left."""
        # Windows says EINVAL where others say EPIPE.
        codes = {errno.EPIPE, errno.ECONNRESET} | ({errno.EINVAL} if os.name == "nt" else set())
        return self.failure is not None and self.failure.errno in codes

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        return bool(self._raw.isatty())

    def write(self, data: Any) -> int | None:
        if self.failure is None:
            try:
                written: int | None = self._raw.write(data)
                return written
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


def guard_streams() -> Output | None:
    """Replaces `sys.stdout` and `sys.stderr` for the rest of the process.

    Returns:
        what lies below `sys.stdout`; None where it is not a stream of bytes, and so is left as it is.
    """
    # In this order, so that where descriptors 0 to 2 are closed no file that is opened later gets one of their numbers.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    output, sys.stdout = _guarded(sys.stdout)
    _, sys.stderr = _guarded(sys.stderr)
    return output


def _guarded(stream: Any) -> tuple[Output | None, Any]:
    if not isinstance(stream, io.TextIOWrapper):
        return None, stream
    output = Output(stream)
    # Without buffers (python -u) at least every line goes out at once.
    by_line = stream.line_buffering or stream.write_through
    guarded = io.TextIOWrapper(io.BufferedWriter(output), stream.encoding, _HANDLER, line_buffering=by_line)
    return output, guarded


def on_one_line(sentence: str) -> str:
    """`sentence` with all that could steer a terminal escaped: line ends, control characters, direction overrides. Spaces of any kind
    stay.

    >>> on_one_line("a.png\\n\\x1b[31m: skipped")
    'a.png\\\\n\\\\x1b[31m: skipped'
    """
    if sentence.isprintable():
        return sentence
    return "".join(
        char
        if char.isprintable() or unicodedata.category(char) == "Zs"
        else char.encode("unicode_escape").decode("ascii")
        for char in sentence
    )


def print_json(facts: Any) -> None:
    """`facts` alone on stdout, as JSON; in ASCII where stdout is not UTF-8, so that no character is lost, and what does not print
    escaped.

    >>> print_json({"shape": [3, 3]})
    {
      "shape": [
        3,
        3
      ]
    }
    """
    is_unicode = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "").replace("_", "") == "utf8"
    text = json.dumps(facts, ensure_ascii=not is_unicode, indent=2, allow_nan=False)
    if not text.replace(
        "\n", ""
    ).isprintable():  # what steers a terminal in a name from a file, or is not UTF-8 in that of a file
        text = "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    sys.stdout.write(text + "\n")

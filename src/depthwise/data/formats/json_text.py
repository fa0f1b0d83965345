"""JSON of a stranger."""

import json
from typing import Any

from depthwise.errors import InvalidFileError, describe_value

__all__ = ["LARGEST_JSON", "parse_json"]

LARGEST_JSON = 4 * 2**20
MOST_BRACKETS = 200_000
"""Lists and objects: each takes far more memory than text. The largest networks of keras.applications have a fifth of it."""


def parse_json(text: str | bytes, what: str) -> Any:
    """The value of a JSON text of a stranger.

    Raises:
        InvalidFileError: not JSON, too large, too deep, or with NaN or infinite numbers.
    """
    if len(text) > LARGEST_JSON:
        raise InvalidFileError(f"{what} is too large: {len(text):,} bytes, at most {LARGEST_JSON:,} are read")

    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    brackets = raw.count(b"[") + raw.count(b"{")
    if brackets > MOST_BRACKETS:
        raise InvalidFileError(f"{what} has {brackets:,} lists and objects, at most {MOST_BRACKETS:,} are read")

    def refuse(constant: str) -> None:
        raise InvalidFileError(f"{what} holds {constant}, which is no number of JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise InvalidFileError(f"{what} is nested too deeply to be a model") from None
    except InvalidFileError:
        raise
    except ValueError as error:  # no JSON, not UTF-8, or an integer with thousands of digits
        raise InvalidFileError(f"{what} is not valid JSON: {describe_value(str(error))[1:-1]}") from None

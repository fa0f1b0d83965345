"""JSON of a stranger."""

import json
from typing import Any

from depthwise.errors import InvalidFileError, describe_value

__all__ = ["parse_json"]

LARGEST_JSON = 16 * 2**20


def parse_json(text: str | bytes, what: str) -> Any:
    """The value of a JSON text of a stranger.

    Raises:
        InvalidFileError: not JSON, too large, too deep, or with NaN or infinite numbers.
    """
    if len(text) > LARGEST_JSON:
        raise InvalidFileError(f"{what} is too large: {len(text):,} bytes, at most {LARGEST_JSON:,} are read")

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

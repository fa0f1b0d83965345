"""What the parser of the command line refuses, in our own words: one sentence, as for every other error."""

import re
from collections.abc import Sequence
from typing import Any

from depthwise.errors import describe_value

__all__ = ["sentence"]

_WORDS = (
    (r"Input should be a valid integer.*", "must be a whole number"),
    (r"Input should be a valid number.*", "must be a number"),
    (r"Input should be greater than or equal to (.*)", r"must be at least \1"),
    (r"Input should be less than or equal to (.*)", r"must be at most \1"),
    (r"Input should be greater than (.*)", r"must be more than \1"),
    (r"Input should be less than (.*)", r"must be less than \1"),
    (r"dir '.*' is a file\.?", "must be a folder, not a file"),
    # What typer before 0.27 or so says.
    (r"'.*' is not a valid integer( range)?", "must be a whole number"),
    (r"'.*' is not a valid float( range)?", "must be a number"),
    (r"Directory '.*' is a file", "must be a folder, not a file"),
)
_RANGE = re.compile(r"(\S+) is not in the range (?:(\S+)(<=?))?x(?:(<=?|>=?)(\S+))?")
_LIMITS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def sentence(error: Any, arguments: Sequence[str]) -> str:
    """What is wrong, what is allowed, and where to read more.

    Args:
        error: what the parser raised.
        arguments: those of the command line: the parser does not say what was given.
    """
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "depthwise"
    return f"{_reason(error, arguments)}; see {command} --help"


def _reason(error: Any, arguments: Sequence[str]) -> str:
    kind, message = type(error).__name__, re.sub(r"\s+", " ", str(error.format_message())).rstrip(".")
    parameter = getattr(error, "param", None)
    if kind == "MissingParameter" and parameter is not None:
        wanted = re.split(r"[.;:](?:\s|$)| \(", parameter.help or "")[0].strip()
        name = _name(parameter)
        return f"{name} is missing: {wanted[:1].lower()}{wanted[1:]}" if wanted else f"{name} is missing"
    if kind == "BadParameter" and parameter is not None:
        found = re.fullmatch(r"Invalid value for .*?: (.*)", message, re.DOTALL)
        message = found[1] if found else message
        for pattern, words in _WORDS:
            if re.fullmatch(pattern, message):
                return f"{_name(parameter)} {re.sub(pattern, words, message)}{_given(parameter, arguments)}"
        limit = _limit(message)
        if limit:
            return f"{_name(parameter)} must be {limit}{_given(parameter, arguments)}"
        return f"{_name(parameter)}: {describe_value(message, 200)[1:-1]}"
    if kind == "NoSuchOption":
        near = getattr(error, "possibilities", None) or []
        hint = f"; did you mean {' or '.join(sorted(near)[:3])}?" if near else ""
        return f"there is no option {describe_value(getattr(error, 'option_name', ''))[1:-1]}{hint}"
    found = re.fullmatch(r"No such command (.*?)\.?( Did you mean (.*)\?)?", message)
    if found:
        hint = f"; did you mean {found[3].strip()}?" if found[3] else ""
        return f"there is no command {found[1]}{hint}"
    found = re.fullmatch(r"Option '(.*)' requires an argument", message)
    if found:
        return f"{found[1]} needs a value"
    found = re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message)
    if found:
        return f"{describe_value(found[1])} is one argument too many"
    return describe_value(message, 200)[1:-1]


def _limit(message: str) -> str:
    """The limit that a number breaks, of a range such as `0.05<=x<=600.0` or `x>=1`; "" where the message is another."""
    found = _RANGE.fullmatch(message)
    if found is None:
        return ""
    given, low, below, sign, other = found.groups()
    limits = [] if low is None else [(below.replace("<", ">"), float(low))]
    limits += [] if sign is None else [(sign, float(other))]
    number = float(given)
    for sign, limit in limits:
        if (number < limit if sign.startswith(">") else number > limit) or (number == limit and "=" not in sign):
            return f"{_LIMITS[sign]} {limit:g}"
    return ""


def _name(parameter: Any) -> str:
    options = [option for option in parameter.opts if option.startswith("--")]
    return str(options[0] if options else parameter.name.upper())


def _given(parameter: Any, arguments: Sequence[str]) -> str:
    """What the command line gives the option."""
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in parameter.opts:
            value = value if equals else arguments[index + 1] if index + 1 < len(arguments) else ""
            return f", got {describe_value(value)}"
    return ""

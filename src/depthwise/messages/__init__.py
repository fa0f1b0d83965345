"""The one catalogue of everything that a person reads in an explanation, in English and Chinese.

Each `.toml` file in this folder holds messages by key, both languages side by side, so that none is written without the
other. A message may name facts: `{layer}`, or `{count:,}` for a number with thousands separators; nothing else, so that the
page, which gets the same messages, fills them in the same way.

>>> text("kind.Conv2D", "en"), text("kind.Conv2D", "zh")
('ordinary convolution', '普通卷积')
"""

import os
import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from depthwise.errors import InvalidArgumentError, describe_value

__all__ = ["LANGUAGES", "catalogue", "check_language", "keys", "language_of_environment", "section", "text"]

LANGUAGES = {"en": "English", "zh": "中文"}
"""Each language's code with its own name for itself."""

PLACEHOLDER = re.compile(r"\{([a-z_]+)(:,)?\}")
"""What a message may contain in braces: the name of a fact, and how a number is written."""


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Every message by key, each with one text a language."""
    messages: dict[str, dict[str, str]] = {}
    for file in sorted(files(__name__).iterdir(), key=lambda item: item.name):
        if file.name.endswith(".toml"):
            _flatten(tomllib.loads(file.read_text(encoding="utf-8")), "", messages)
    return messages


def _flatten(table: dict[str, Any], prefix: str, messages: dict[str, dict[str, str]]) -> None:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if any(isinstance(item, str) for item in value.values()):
            if key in messages:
                raise ValueError(f"the message {key} is in the catalogue twice")
            messages[key] = value
        else:
            _flatten(value, f"{key}.", messages)


def check_language(language: object) -> str:
    """`language` itself, if there are messages in it.

    Raises:
        InvalidArgumentError: a language that the catalogue lacks.
    """
    if not isinstance(language, str) or language not in LANGUAGES:
        known = ", ".join(f"{code} ({name})" for code, name in LANGUAGES.items())
        raise InvalidArgumentError(f"language must be one of {known}, got {describe_value(language)}")
    return language


def language_of_environment() -> str:
    """The language that the system is set to (LC_ALL, LC_MESSAGES, LANG: the first that says something); English otherwise."""
    setting = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    code = re.split(r"[_.@-]", setting.lower())[0]
    return code if code in LANGUAGES else "en"


def keys() -> tuple[str, ...]:
    """The keys of all messages."""
    return tuple(catalogue())


def section(*prefixes: str) -> dict[str, dict[str, str]]:
    """The messages whose key starts with one of `prefixes`: what the page embeds."""
    return {key: dict(value) for key, value in catalogue().items() if key.startswith(prefixes)}


def text(key: str, language: str, /, **facts: object) -> str:
    """The message `key` in `language`, its facts filled in.

    Facts are inserted as they are, never read as a template: a layer named "{count}" stays just that.

    Raises:
        InvalidArgumentError: a language that the catalogue lacks.
        KeyError: no such message, or a fact that the message names is missing; both are bugs in Depthwise.
    """
    template = catalogue()[key][check_language(language)]

    def fill(match: re.Match[str]) -> str:
        value = facts[match[1]]
        return f"{value:,}" if match[2] else str(value)

    return PLACEHOLDER.sub(fill, template)

"""Completes docstrings: what an argument means that many classes share is written once and read in the `help` of each."""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["completed", "document"]

_SECTION = re.compile(
    r"^(Args|Arguments|Attributes|Returns|Raises|Yields|Input shape|Output shape|Number of parameters|Example):"
)
_ENTRY = re.compile(r"^    (\w[\w, ]*):")


def document(namespace: Mapping[str, Any], names: Iterable[str], meanings: Mapping[str, Any]) -> None:
    """Completes the docstrings of the classes and functions that a module has under `names`.

    Args:
        meanings: a sentence by the argument's name.
    """
    for name in names:
        item = namespace.get(name)
        if not callable(item) or not str(item.__module__).startswith("depthwise"):  # `ops` has functions of NumPy
            continue
        written = vars(item).get("__doc__") if isinstance(item, type) else item.__doc__
        if isinstance(written, str):
            item.__doc__ = (
                _Completed(written, meanings)
                if isinstance(item, type)
                else completed(written, parameters_of(item), meanings)
            )


class _Completed:
    """The docstring of a class, completed when somebody reads it: signatures take time, and imports shall take none."""

    def __init__(self, written: str, meanings: Mapping[str, Any]) -> None:
        self._written = written
        self._meanings = meanings

    def __get__(self, instance: object, owner: type) -> str:
        return completed(self._written, parameters_of(owner), self._meanings)


def parameters_of(item: Any) -> list[str]:
    """The names of what a class or function takes; not those of `*args` and `**kwargs`."""
    varying = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        signature = inspect.signature(item)
    except ValueError:  # a class whose constructor is that of a built-in type
        return []
    return [name for name, given in signature.parameters.items() if given.kind not in varying]


def completed(docstring: str, parameters: Iterable[str], meanings: Mapping[str, Any], sections: str = "") -> str:
    """The docstring with a line under "Args:" for each parameter, in their order.

    Args:
        docstring: what it says of a parameter already is kept.
        meanings: a sentence by parameter; one that is in neither is left out.
        sections: paragraphs that come after the arguments.

    >>> print(completed("Adds.\\n\\n    Args:\\n        y: the second.\\n", ["x", "y"], {"x": "the first."}))
    Adds.
    <BLANKLINE>
    Args:
        x: the first.
        y: the second.
    """
    lines = inspect.cleandoc(docstring).split("\n")
    before, block, after = _parts(lines)
    entries: dict[str, list[str]] = {}
    current: list[str] = []
    for line in block:
        match = _ENTRY.match(line)
        if match:
            entries[match[1]] = current = []
        current.append(line)
    written = "\n".join(block)
    ordered: list[str] = []
    for parameter in parameters:
        key = next((key for key in entries if parameter in re.split(r",\s*", key)), None)
        if key is not None:
            ordered += entries.pop(key)
        elif not re.search(rf"\b{parameter}\b[\w, ]*:", written) and isinstance(meanings.get(parameter), str):
            ordered.append(f"    {parameter}: {meanings[parameter]}")
    ordered += [line for entry in entries.values() for line in entry]
    parts = [before, ["Args:", *ordered] if ordered else [], sections.split("\n") if sections else [], after]
    return "\n\n".join("\n".join(part).strip("\n") for part in parts if part)


def _parts(lines: list[str]) -> tuple[list[str], list[str], list[str]]:
    """(What comes before the arguments, their lines, what comes after them)."""
    starts = [index for index, line in enumerate(lines) if line == "Args:"]
    if starts:
        start = starts[0]
        end = next((i for i in range(start + 1, len(lines)) if lines[i].strip() and lines[i][0] != " "), len(lines))
        block = [line for line in lines[start + 1 : end] if line.strip()]
        return lines[:start], block, lines[end:]
    end = next((i for i, line in enumerate(lines) if _SECTION.match(line) or line.startswith(">>>")), len(lines))
    return lines[:end], [], lines[end:]

"""What lies beside a model file and says how to use it: `labels.txt`, and `metadata.json` of Teachable Machine.

Both are files of a stranger: they are read up to a size, and what is wrong with them is said, not raised, because nobody named
them.
"""

import os
import re
from pathlib import Path

from depthwise.data.formats.json_text import parse_json
from depthwise.data.formats.keras_file import open_file
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidFileError, describe_value
from depthwise.usage import LARGEST, Usage, checked_names

__all__ = ["Beside", "usage_beside"]

LABELS, METADATA = "labels.txt", "metadata.json"
TEACHABLE_MACHINE = {"scale": "-1..1", "fit": "crop"}
"""What its networks take: https://github.com/googlecreativelab/teachablemachine-community, the snippet for Keras."""

_NUMBERED = re.compile(r"(\d{1,6})\s(.*)", re.DOTALL)


@dataclass(frozen=True)
class Beside:
    """What a file beside a model says.

    Attributes:
        name: of the file.
        usage: what it says; nothing where it cannot be read.
        is_teachable_machine: whether it has the form that Teachable Machine gives it.
        problem: why it cannot be read; "" where it can.
    """

    name: str
    usage: Usage
    is_teachable_machine: bool = False
    problem: str = ""


def usage_beside(filepath: str | os.PathLike[str]) -> Beside | None:
    """What the first of `labels.txt` and `metadata.json` says that lies beside a model; None where neither does.

    Args:
        filepath: the model's file, or the folder of a model of TensorFlow.js.
    """
    path = Path(filepath)
    folder = path if path.is_dir() else path.parent
    for name, read in ((LABELS, _labels), (METADATA, _metadata)):
        if not os.path.lexists(folder / name):
            continue
        try:
            usage, is_teachable = read(_content(folder / name), name)
        except DepthwiseError as error:
            return Beside(name, Usage(), problem=str(error))
        return Beside(name, usage, is_teachable)
    return None


def _content(path: Path) -> bytes:
    shown = describe_value(str(path), 200)
    try:
        with open_file(path, shown) as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise InvalidFileError(f"{shown} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise InvalidFileError(f"{shown} is larger than {LARGEST:,} bytes")
    return content


def _labels(content: bytes, name: str) -> tuple[Usage, bool]:
    """A name a line; Teachable Machine puts the number before it: "0 cat"."""
    try:
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n").split("\n")
    except UnicodeDecodeError:
        raise InvalidFileError(f"{name} is not UTF-8") from None
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    if all(match and int(match[1]) == index for index, match in enumerate(matches)):
        names = checked_names([match[2].strip() for match in matches if match])
        return Usage(names, **TEACHABLE_MACHINE), True
    return Usage(checked_names([line.strip() for line in lines])), False


def _metadata(content: bytes, name: str) -> tuple[Usage, bool]:
    facts = parse_json(content, name)
    labels = facts.get("labels") if isinstance(facts, dict) else None
    if labels is None:
        return Usage(), False
    is_teachable = "tmVersion" in facts or "teachablemachine" in str(facts.get("packageName"))[:200]
    return Usage(checked_names(labels), **(TEACHABLE_MACHINE if is_teachable else {})), is_teachable

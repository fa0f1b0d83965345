"""The folder that a comparison is written to. Only files that an earlier comparison wrote are ever replaced."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from depthwise.compare.page import report_page
from depthwise.compare.report import FORMAT, Report
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.files import atomic_write_text
from depthwise.models import Model

__all__ = ["PAGE_NAME", "REPORT_NAME", "model_file_names", "prepare_folder", "write_folder"]

REPORT_NAME = "report.json"
PAGE_NAME = "report.html"
_LARGEST_REPORT = 64 << 20
_PATH_LIMIT = 200


def model_file_names(names: Sequence[str], seeds: Sequence[int | None]) -> list[list[str]]:
    """For each network the name of a `.keras` file for each seed: `note-cnn.keras`, `note-cnn-seed-2.keras`, ….

    Names come from model files, so only letters, digits, dots, hyphens and underscores of them are kept.

    >>> model_file_names(["note-cnn", "../a b"], [1, 2])
    [['note-cnn.keras', 'note-cnn-seed-2.keras'], ['a-b.keras', 'a-b-seed-2.keras']]
    >>> model_file_names(["same", "same"], [None])
    [['same.keras'], ['same-2.keras']]
    """
    stems: list[str] = []
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:80] or "network"
        number, unique = 1, stem
        while unique.lower() in (taken.lower() for taken in stems):
            number += 1
            unique = f"{stem}-{number}"
        stems.append(unique)
    return [
        [f"{stem}.keras" if index == 0 else f"{stem}-seed-{seed}.keras" for index, seed in enumerate(seeds)]
        for stem in stems
    ]


def prepare_folder(folder: Path, names: Sequence[str]) -> None:
    """Makes the folder, and makes sure that writing `names` and the report there destroys nothing of somebody else's.

    Raises:
        InvalidArgumentError: a file of that name is there and no earlier comparison wrote it, or the folder cannot be made.
    """
    shown = describe_value(str(folder), _PATH_LIMIT)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InvalidArgumentError(f"--out {shown} is a file, not a folder; name another folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is not a path"
        raise InvalidArgumentError(f"--out {shown} cannot be made: {reason}; name another folder") from None
    ours = _written_before(folder)
    for name in (*names, REPORT_NAME, PAGE_NAME):
        if name not in ours and (folder / name).exists():
            raise InvalidArgumentError(
                f"{shown} holds {describe_value(name)}, which no comparison wrote; move it away or name another folder "
                "with --out"
            )


def write_folder(folder: Path, report: Report, models: Sequence[Sequence[Model]], language: str) -> list[str]:
    """Writes the models, `report.json` and `report.html`, each wholly or not at all. Returns the files' names.

    Args:
        models: for each network the models of its runs, in the order of `NetworkResult.files`.

    Raises:
        DepthwiseError: the disk is full or failed; what was there before is unchanged.
    """
    written = [name for network in report.networks for name in network.files]
    kept = [name for name in _written_before(folder) if (folder / name).exists()]
    facts = report.to_json() | {"files": sorted({*kept, *written, REPORT_NAME, PAGE_NAME})}
    # First, so that a later comparison knows the others as ours even if this one ends between them.
    atomic_write_text(folder / REPORT_NAME, json.dumps(facts, indent=1, allow_nan=False) + "\n")
    for network, trained in zip(report.networks, models):
        for name, model in zip(network.files, trained):
            model.save(folder / name)
    atomic_write_text(folder / PAGE_NAME, report_page(report, language))
    return [*written, REPORT_NAME, PAGE_NAME]


def _written_before(folder: Path) -> set[str]:
    """Names of the files that comparisons wrote, by the report that lists them; empty for a foreign folder."""
    path = folder / REPORT_NAME
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_REPORT:
            return set()
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or not isinstance(facts.get("files"), list):
        return set()
    return {name for name in facts["files"] if isinstance(name, str)}

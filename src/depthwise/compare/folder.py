"""The folder that a comparison is written to.

Nothing there is replaced unless the user asks for it, and then the earlier comparison as a whole, and nothing else.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from depthwise.compare.mistakes import explaining_page
from depthwise.compare.page import report_page
from depthwise.compare.report import FORMAT, Report
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.files import atomic_write_text, check_writable, explain_failure
from depthwise.models import Model

__all__ = [
    "PAGE_NAME",
    "REPORT_NAME",
    "explaining_page_name",
    "free_folder",
    "model_file_names",
    "prepare_folder",
    "write_folder",
]

REPORT_NAME = "report.json"
PAGE_NAME = "report.html"
_OUR_NAME = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._-]*\.(keras|onnx)|explain-[A-Za-z0-9._-]+\.html|report\.json|report\.html"
)
_LARGEST_REPORT = 64 << 20
_PATH_LIMIT = 200


def model_file_names(
    names: Sequence[str], seeds: Sequence[int | None], endings: Sequence[str] | None = None
) -> list[list[str]]:
    """For each network the name of a file for each seed: `note-cnn.keras`, `note-cnn-seed-2.keras`, ….

    Names come from model files, so only letters, digits, dots, hyphens and underscores of them are kept.

    Args:
        endings: of each network's files: ".onnx" for one that no file of Keras can hold; ".keras" by default.

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
        [f"{stem}{ending}" if index == 0 else f"{stem}-seed-{seed}{ending}" for index, seed in enumerate(seeds)]
        for stem, ending in zip(stems, endings or [".keras"] * len(stems), strict=True)
    ]


def explaining_page_name(model_file: str) -> str:
    """The page that explains the mistakes of the network in a file of the folder.

    >>> explaining_page_name("note-cnn.keras")
    'explain-note-cnn.html'
    """
    return f"explain-{model_file.rpartition('.')[0]}.html"


def free_folder(folder: Path, names: Sequence[str]) -> Path:
    """`folder`, or where that is taken the first of `folder-2`, `folder-3`, … that `prepare_folder` would accept.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "compare"
    >>> free_folder(folder, []).name
    'compare'
    >>> folder.write_text("a file of that name")
    19
    >>> free_folder(folder, []).name
    'compare-2'
    """
    number, candidate = 1, folder
    while os.path.lexists(candidate) and (not os.path.isdir(candidate) or _refusal(candidate, names) is not None):
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def prepare_folder(folder: Path, names: Sequence[str], overwrite: bool = False) -> None:
    """Makes the folder, and makes sure that `names` and the report can be written there and that this destroys nothing.

    Args:
        overwrite: an earlier comparison there may be replaced; files that no comparison wrote never are.

    Raises:
        InvalidArgumentError: an earlier comparison is there, or a file of one of these names that no comparison wrote, or the
            folder cannot be made or written to.
        DepthwiseError: the disk is full or failed.
    """
    shown = describe_value(str(folder), _PATH_LIMIT)
    _refuse(folder, names, overwrite)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InvalidArgumentError(f"--out {shown} is a file, not a folder; name another folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is not a path"
        raise InvalidArgumentError(f"--out {shown} cannot be made: {reason}; name another folder") from None
    check_writable(folder / REPORT_NAME)


def write_folder(
    folder: Path, report: Report, models: Sequence[Sequence[Model]], language: str, overwrite: bool = False
) -> list[str]:
    """Writes the models, the pages that explain their mistakes, `report.json` and `report.html`. Returns the files' names.

    All of it is first written to a folder within `folder`. Then the earlier comparison goes, and the files move to their
    places, the report first: at no moment do files of two comparisons lie side by side, or models without their report.

    Args:
        models: for each network the models of its runs, in the order of `NetworkResult.files`.

    Raises:
        InvalidArgumentError: what `prepare_folder` refuses has appeared there since.
        DepthwiseError: the disk is full or failed; what was there before is unchanged.
    """
    trained = [pair for network, runs in zip(report.networks, models) for pair in zip(network.files, runs)]
    explained = [
        (network.page, runs[0], network.mistakes)
        for network, runs in zip(report.networks, models)
        if network.page and network.mistakes is not None
    ]
    names = [REPORT_NAME, PAGE_NAME, *(name for name, _ in trained), *(name for name, _, _ in explained)]
    _refuse(folder, names, overwrite)
    staging = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".depthwise-", dir=folder))
        facts = report.to_json() | {"files": sorted(names)}
        atomic_write_text(staging / REPORT_NAME, json.dumps(facts, indent=1, allow_nan=False) + "\n")
        atomic_write_text(staging / PAGE_NAME, report_page(report, language))
        for name, model in trained:
            if name.endswith(".onnx"):
                model.export(staging / name, verbose=False)
            else:
                model.save(staging / name)
        for name, model, mistakes in explained:
            atomic_write_text(staging / name, explaining_page(model, mistakes))
        for name in sorted(_written_before(folder) - {REPORT_NAME}):
            (folder / name).unlink(missing_ok=True)
        for name in names:
            os.replace(staging / name, folder / name)
    except OSError as error:
        raise explain_failure(error, folder) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return [*names[2:], REPORT_NAME, PAGE_NAME]


def _refuse(folder: Path, names: Sequence[str], overwrite: bool) -> None:
    refusal = _refusal(folder, names, overwrite)
    if refusal is not None:
        raise InvalidArgumentError(f"--out {describe_value(str(folder), _PATH_LIMIT)} {refusal}")


def _refusal(folder: Path, names: Sequence[str], overwrite: bool = False) -> str | None:
    """Why a comparison with these files may not be written to the folder; None if it may."""
    ours = _written_before(folder)
    for name in (*names, REPORT_NAME, PAGE_NAME):
        if name not in ours and os.path.lexists(folder / name):
            shown = describe_value(name)
            return f"holds {shown}, which no comparison wrote; move it away or name another folder with --out"
    if ours and not overwrite:
        return "holds an earlier comparison; name another folder, or give --overwrite to replace it"
    return None


def _written_before(folder: Path) -> set[str]:
    """Names of the files that a comparison wrote, by the report that lists them; empty for a foreign folder.

    The report may come from anywhere: names that lead out of the folder, or that no comparison gives, do not count.
    """
    path = folder / REPORT_NAME
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_REPORT:
            return set()
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return set()
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or not isinstance(facts.get("files"), list):
        return set()
    return {name for name in facts["files"] if isinstance(name, str) and _OUR_NAME.fullmatch(name)}

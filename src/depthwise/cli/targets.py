"""What a command writes: checked before the work, and saved somewhere else when it cannot be written after it.

The rule of all commands: what exists is replaced with `--overwrite` only, and a target that cannot be written is refused before
the work begins.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from depthwise.errors import DepthwiseError, InvalidArgumentError, describe_value
from depthwise.files import check_writable, explain_failure

__all__ = ["check_target_file", "check_target_folder", "save_or_rescue"]

_PATH_LIMIT = 200


def check_target_file(path: Path, overwrite: bool, option: str, ending: str | tuple[str, ...] = "") -> None:
    """Whether a file can be written there: before the work, not after it.

    Args:
        option: what the user gives the file's name with, for messages.
        ending: what its name must end in, or one of several.

    Raises:
        InvalidArgumentError: another ending, a folder, no such folder, a file that is there already, no permission.
        DepthwiseError: the disk is full or failed.
    """
    shown = f"{option} {describe_value(str(path), _PATH_LIMIT)}"
    if not path.name.endswith(ending):
        allowed = ending if isinstance(ending, str) else " or ".join(ending)
        raise InvalidArgumentError(f"{option} must end in {allowed}, got {describe_value(str(path), _PATH_LIMIT)}")
    if os.path.isdir(path):
        raise InvalidArgumentError(f"{shown} is a folder; name a file in it")
    if os.path.isfile(path.parent):
        raise InvalidArgumentError(f"{shown}: its folder is a file; name another folder")
    if os.path.isfile(path) and not overwrite:
        raise InvalidArgumentError(f"{shown} is there already; name another file, or give --overwrite")
    check_writable(path)


def check_target_folder(folder: Path, option: str) -> None:
    """Whether a folder can be made there, or is there and empty, and takes files: before the work, not after it.

    Raises:
        InvalidArgumentError: it holds something already, its place takes no folder, or no permission.
        DepthwiseError: the disk is full or failed.
    """
    shown = f"{option} {describe_value(str(folder), _PATH_LIMIT)}"
    if not os.path.isdir(folder):
        if os.path.lexists(folder):
            raise InvalidArgumentError(f"{shown} is a file; name a folder")
        check_writable(folder)
        return
    try:
        is_taken = any(folder.iterdir())
    except OSError as error:
        raise explain_failure(error, folder) from error
    if is_taken:
        raise InvalidArgumentError(f"{shown} holds something already; name a new or an empty folder")
    check_writable(folder / "file")


def save_or_rescue(path: Path, save: Callable[[Path], object]) -> tuple[Path, DepthwiseError | None]:
    """Calls `save(path)`; where that fails, `save` with the same name in a new folder among the system's temporary ones.

    For work that took long: a disk that filled up or a folder that went away in the meantime does not lose it.

    Returns:
        where it was saved, and the error to raise in the end if that is not `path`. The error names both places.

    Raises:
        DepthwiseError: it could not be saved there either; the error is that of `path`.
    """
    try:
        save(path)
        return path, None
    except OSError as error:
        failure = explain_failure(error, path)
    except DepthwiseError as error:
        failure = error
    folder = None
    try:
        folder = tempfile.mkdtemp(prefix="depthwise-")
        place = Path(folder) / (Path(os.path.abspath(path)).name or "result")
        save(place)
    except (OSError, DepthwiseError):
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise failure from None
    shown = describe_value(str(place), _PATH_LIMIT)
    return place, DepthwiseError(f"{str(failure).rstrip('.')}; the result was saved in {shown} instead")

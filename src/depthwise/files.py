"""Atomic writes: models, checkpoints, reports, tables, cache.

A temporary file in the same folder is written, flushed to the disk and then put in place of the old one, so a full
disk, Ctrl-C or a power cut leaves the old file as it was. Where the system can (Linux), the temporary file has no name while it
is written: a process that is killed leaves nothing behind.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from depthwise.errors import DepthwiseError, InvalidArgumentError, describe_value

__all__ = ["atomic_write", "atomic_write_bytes", "atomic_write_text", "check_writable", "explain_failure"]

_PATH_LIMIT = 200  # characters of a path in a message: longer than other values, a path cut short helps nobody
_PROBE_BYTES = 4096  # a block: a full disk may still have room for a name, but not for this
_UNNAMED = getattr(os, "O_TMPFILE", None) if os.path.isdir("/proc/self/fd") else None
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}


def atomic_write(path: str | os.PathLike[str], write: Callable[[BinaryIO], None]) -> None:
    """Call `write` with a binary file, and make what it wrote the content of `path` once all of it is on the disk.

    The file is open for reading too and can seek, as HDF5 and zip writers need. Whatever goes wrong, in `write` or
    later, the temporary file is removed and an old file at `path` keeps its content. A symbolic link is
    followed; an existing file keeps its permissions. Other exceptions of `write` than `OSError` pass unchanged.

    Raises:
        InvalidArgumentError: the folder is missing or cannot be written to, or `path` is not a regular file.
        DepthwiseError: the disk is full or failed.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "greeting.bin"
    >>> atomic_write(path, lambda file: None if file.write(b"hello") else None)
    >>> path.read_bytes()
    b'hello'
    """
    try:
        target = Path(os.path.realpath(os.fspath(path)))
        permissions = _permissions_to_keep(target, path)
        descriptor, temporary, named = _create_temporary(target)
    except DepthwiseError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise explain_failure(error, path) from error
    try:
        with os.fdopen(descriptor, "w+b") as file:
            if permissions is not None:  # before there is anything to read
                _set_permissions(descriptor, temporary, permissions)
            write(file)
            file.flush()
            os.fsync(descriptor)
            if not named:
                _give_name(descriptor, temporary)
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise explain_failure(error, path) from error
        raise
    _sync_folder(target.parent)


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Make `data` the content of `path`, atomically; see `atomic_write`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.bin"
    >>> atomic_write_bytes(path, bytes([1, 2, 3]))
    >>> list(path.read_bytes())
    [1, 2, 3]
    """

    def write(file: BinaryIO) -> None:
        file.write(data)

    atomic_write(path, write)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Make `text`, in UTF-8 and with its line ends as they are, the content of `path`; see `atomic_write`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> atomic_write_text(path, "深度可分离\\n")
    >>> path.read_text(encoding="utf-8")
    '深度可分离\\n'
    """
    atomic_write_bytes(path, text.encode("utf-8"))


def check_writable(path: str | os.PathLike[str]) -> None:
    """Whether `atomic_write` could write `path` now, found out by making its temporary file and removing it again.

    Raises:
        InvalidArgumentError, DepthwiseError: what `atomic_write` would raise.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> check_writable(folder / "model.keras"), list(folder.iterdir())
    (None, [])
    """
    try:
        target = Path(os.path.realpath(os.fspath(path)))
        _permissions_to_keep(target, path)
        descriptor, temporary, named = _create_temporary(target)
    except DepthwiseError:
        raise
    except (OSError, ValueError) as error:
        raise explain_failure(error, path) from error
    try:
        os.write(descriptor, bytes(_PROBE_BYTES))
        if not named:
            _give_name(descriptor, temporary)
    except OSError as error:
        raise explain_failure(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
            os.unlink(temporary)


def _permissions_to_keep(target: Path, path: str | os.PathLike[str]) -> int | None:
    """The permission bits of the file that is there already, None when there is none."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    shown = describe_value(os.fspath(path), _PATH_LIMIT)
    if stat.S_ISDIR(status.st_mode):
        raise InvalidArgumentError(f"Cannot write to {shown}: it is a folder; name a file inside it.")
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError(f"Cannot write to {shown}: it is a device, pipe or socket; name an ordinary file.")
    if not os.access(target, os.W_OK):
        raise InvalidArgumentError(
            f"Cannot write to {shown}: the file is read-only; allow writing to it or choose another name."
        )
    return stat.S_IMODE(status.st_mode)


def _create_temporary(target: Path) -> tuple[int, str, bool]:
    """A new file beside `target`, with the permissions any new file of this user gets (mkstemp's are narrower).

    Returns:
        Its descriptor, its name, and whether it has that name already; else `_give_name` gives it.
    """
    while True:
        # Not the target's name: with a suffix it could pass the file system's limit.
        temporary = os.fspath(target.parent / f".depthwise-{os.urandom(8).hex()}.tmp")
        if _UNNAMED is not None:
            # Some file systems cannot; whatever else is wrong, the attempt below says so.
            with contextlib.suppress(OSError):
                return os.open(target.parent, os.O_RDWR | _UNNAMED, 0o666), temporary, False
        try:
            return os.open(temporary, _NEW, 0o666), temporary, True
        except FileExistsError:
            continue


def _give_name(descriptor: int, temporary: str) -> None:
    """Gives an unnamed file its name: only a file that has one can replace another."""
    try:
        # With a `src_dir_fd`, Python follows the link to the file; the path is absolute, so it is not used otherwise.
        os.link(f"/proc/self/fd/{descriptor}", temporary, src_dir_fd=descriptor, follow_symlinks=True)
    except OSError:  # A system that cannot: the content goes into a file that has a name.
        with open(os.open(temporary, _NEW, stat.S_IMODE(os.fstat(descriptor).st_mode)), "wb") as file:
            os.lseek(descriptor, 0, os.SEEK_SET)
            with open(descriptor, "rb", closefd=False) as source:
                shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())


def _set_permissions(descriptor: int, temporary: str, permissions: int) -> None:
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, permissions)
    else:
        os.chmod(temporary, permissions)


def _sync_folder(folder: Path) -> None:
    """Flush the folder's new entry to the disk. The content is there already: where a system cannot do it, the write has not failed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def explain_failure(error: OSError | ValueError, path: str | os.PathLike[str]) -> DepthwiseError:
    """What went wrong when `path` was written, as a sentence; ValueError is what Python says of a null character."""
    shown = describe_value(os.fspath(path), _PATH_LIMIT)
    if isinstance(error, ValueError):
        return InvalidArgumentError(f"Cannot write to {shown}: this is not a path; name a file.")
    if error.errno in _NO_SPACE:
        return DepthwiseError(
            f"Cannot write {shown}: the disk is full or a size limit is reached ({error.strerror}); what was there "
            f"before is unchanged; free some space or choose another folder."
        )
    if error.errno in {errno.ENOENT, errno.ENOTDIR} and os.path.isdir(os.path.dirname(os.path.realpath(path))):
        return InvalidArgumentError(
            f"Cannot write {shown}: its folder takes no new files, as folders of the system do; choose another."
        )
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return InvalidArgumentError(
            f"Cannot write {shown}: its folder does not exist; create the folder or choose another."
        )
    if error.errno in _NO_PERMISSION:
        return InvalidArgumentError(
            f"Cannot write {shown}: no permission to write in its folder; choose a folder you may write to."
        )
    if error.errno == errno.ENAMETOOLONG:
        return InvalidArgumentError(f"Cannot write {shown}: the name is too long; choose a shorter one.")
    return DepthwiseError(
        f"Cannot write {shown}: {error.strerror or describe_value(str(error))}; what was there before is unchanged; "
        f"check the disk or choose another folder."
    )

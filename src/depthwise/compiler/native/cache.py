"""Machine code on disk, so that the second start of a program compiles nothing.

An entry is a plain file: a header, the key, a hash of the payload, the payload. There is no pickle. Since the payload
is *executed*, an entry counts only when the folder and the file belong to the user and nobody else can write them;
otherwise the code is compiled again and the log says so once. Nothing that goes wrong here stops a program.
"""

import contextlib
import hashlib
import json
import logging
import os
import stat
import struct
import sys
import time
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Final

from depthwise.compiler.native.targets import Target
from depthwise.errors import describe_value

__all__ = ["FOLDER_VARIABLE", "MAXIMUM_BYTES", "MAXIMUM_ENTRIES", "CompileCache", "cache_key", "default_folder"]

FOLDER_VARIABLE: Final = "DEPTHWISE_CACHE_DIR"
MAXIMUM_BYTES: Final = 256 * 2**20
MAXIMUM_ENTRIES: Final = 10_000
"""Modules of a few kilobytes each: more files than this take longer to list than a network to compile."""

_MAGIC: Final = b"DEPTHWIS"
_FORMAT_VERSION: Final = 1
# Magic, format version, key (hexadecimal), SHA-256 of the payload, length of the payload.
_HEADER: Final = struct.Struct("<8sI64s32sQ")
_SUFFIX: Final = ".native"
_ABANDONED_AFTER_NS: Final = 3600 * 10**9
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # A FIFO planted in the folder must not stop us.
)

_CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

_log = logging.getLogger("depthwise.compiler.native")
_already_said: set[str] = set()


def cache_key(text: str, kind: object, code_generation: Sequence[object], target: Target) -> str:
    """The name of an entry: SHA-256 (64 hexadecimal digits) of all that the machine code depends on.

    Parameters
    ----------
    text
        The module's IR, or a complete, deterministic description of the program.
    kind
        What `text` is, or how it is compiled.
    code_generation
        What the code depends on besides, see `depthwise.compiler.native.compile.code_generation`.
    target
        Machine the code is for.

    Example
    -------
    >>> target = Target("x86_64-unknown-linux-gnu", "x86-64", ())
    >>> len(cache_key("two layers", "program", ("level 2",), target))
    64
    """
    parts = [text, kind, code_generation, target.triple, target.processor, target.features]
    # JSON keeps the parts apart: no two lists of parts give the same text.
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def default_folder() -> Path:
    """Where entries lie: `$DEPTHWISE_CACHE_DIR`, or `native` in the user's cache folder of this platform."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("depthwise") / "native"


class CompileCache:
    """Object code by key, in one folder, bounded in size.

    Parameters
    ----------
    folder
        Where to keep entries, `default_folder()` when None. It is created, for the user alone, by the first `put`.
    maximum_bytes
        When a `put` takes the folder beyond this, the entries not used for longest are deleted.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = CompileCache(folder)
    ...     cache.put("0" * 64, b"code")
    ...     cache.get("0" * 64)
    b'code'
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, maximum_bytes: int = MAXIMUM_BYTES) -> None:
        self.folder = default_folder() if folder is None else Path(folder)
        self.maximum_bytes = maximum_bytes

    def path(self, key: str) -> Path:
        """The file that holds the entry of `key`."""
        return self.folder / (key + _SUFFIX)

    def get(self, key: str) -> bytes | None:
        """The payload stored under `key`; None when there is none, or none that can be trusted."""
        if not self._folder_is_ours():
            return None
        try:
            descriptor = os.open(self.path(key), _OPEN_FLAGS)
        except (OSError, ValueError):
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or not _is_ours(status):
                return None
            if not _HEADER.size <= status.st_size <= _HEADER.size + self.maximum_bytes:
                return None
            with open(descriptor, "rb", closefd=False) as file:
                payload = _unpack(key, file.read(status.st_size + 1))
            if payload is not None:
                # The time of last use, for pruning. Not the entry's content, so not worth failing over.
                with contextlib.suppress(OSError):
                    os.utime(descriptor if os.utime in os.supports_fd else self.path(key))
            return payload
        except OSError:
            return None
        finally:
            with contextlib.suppress(OSError):  # a file system of the network may say only now that it has failed
                os.close(descriptor)

    def put(self, key: str, payload: bytes) -> None:
        """Store `payload` under `key`, atomically; a folder that cannot be written or trusted is left alone."""
        self.put_all({key: payload})

    def put_all(self, payloads: Mapping[str, bytes]) -> None:
        """`put` of several entries; what was used longest ago is deleted once, afterwards."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            _say_once(
                f"The compile cache folder {describe_value(str(self.folder))} cannot be made; "
                f"code is compiled anew at each start. ({error.strerror})"
            )
            return
        if not self._folder_is_ours():
            return
        try:
            for key, payload in payloads.items():
                self._write(key, _pack(key, payload))
            self._prune(keep={os.fspath(self.path(key)) for key in payloads})
        except OSError as error:
            _say_once(f"The compile cache cannot be written; code is compiled anew at each start. ({error})")

    def _write(self, key: str, content: bytes) -> None:
        # For the user alone, whatever the umask: a file that others may write would never be read again. Nothing waits for
        # the disk: an entry that a crash cuts short fails its hash and is compiled again.
        temporary = self.folder / f".{key[:16]}-{os.urandom(8).hex()}.tmp"
        descriptor = os.open(temporary, _CREATE_FLAGS, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, self.path(key))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _folder_is_ours(self) -> bool:
        try:
            status = os.stat(self.folder)
        except (OSError, ValueError):
            return False
        if stat.S_ISDIR(status.st_mode) and _is_ours(status):
            return True
        _say_once(
            f"The compile cache folder {describe_value(str(self.folder))} is not used, because it does not belong to "
            f"you alone; code is compiled anew at each start. Fix it with chown and chmod 700, or name another "
            f"folder in {FOLDER_VARIABLE}."
        )
        return False

    def _prune(self, keep: Container[str]) -> None:
        entries = []
        abandoned = time.time_ns() - _ABANDONED_AFTER_NS
        with os.scandir(self.folder) as files:
            for file in files:
                with contextlib.suppress(OSError):  # Another process may prune at the same time.
                    if file.is_file(follow_symlinks=False):
                        status = file.stat(follow_symlinks=False)
                        # A temporary file belongs to its writer for a while.
                        if not file.name.endswith(_SUFFIX) and status.st_mtime_ns > abandoned:
                            continue
                        entries.append((status.st_mtime_ns, status.st_size, file.path))
        total, count = sum(size for _, size, _ in entries), len(entries)
        for _, size, path in sorted(entries):
            if total <= self.maximum_bytes and count <= MAXIMUM_ENTRIES:
                return
            if path in keep:
                continue
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total, count = total - size, count - 1


def _is_ours(status: os.stat_result) -> bool:
    # Windows has neither owners nor modes of this kind; a user's cache folder there is private by inheritance.
    if sys.platform == "win32":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE


def _pack(key: str, payload: bytes) -> bytes:
    digest = hashlib.sha256(payload).digest()
    return _HEADER.pack(_MAGIC, _FORMAT_VERSION, key.encode(), digest, len(payload)) + payload


def _unpack(key: str, content: bytes) -> bytes | None:
    if len(content) < _HEADER.size:
        return None
    magic, version, stored_key, digest, length = _HEADER.unpack_from(content)
    payload = content[_HEADER.size :]
    if (magic, version, stored_key, length) != (
        _MAGIC,
        _FORMAT_VERSION,
        key.encode(),
        len(payload),
    ):
        return None
    return payload if hashlib.sha256(payload).digest() == digest else None


def _say_once(message: str) -> None:
    if message not in _already_said:
        _already_said.add(message)
        _log.warning("%s", message)

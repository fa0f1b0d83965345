"""Reading from files that may lie about their size: nothing is allocated on the word of a header alone."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidArgumentError, InvalidFileError, describe_value

__all__ = [
    "DEFAULT_MAX_BYTES",
    "MAX_DEFLATE_RATIO",
    "ByteReader",
    "open_file",
    "read_at_most",
    "read_exactly",
    "shown_path",
]

DEFAULT_MAX_BYTES = 4 << 30  # of decoded arrays in one file
# The most that deflate can shrink anything: one length-distance pair of 258 bytes in two bits, and a little.
MAX_DEFLATE_RATIO = 1032
_CHUNK = 1 << 20
_MOST_AXES = 32  # of NumPy 1; NumPy 2 has 64


class ByteReader(Protocol):
    """What both an open file and a decompressor are to us."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end."""
        ...


def shown_path(path: str | os.PathLike[str]) -> str:
    """The path for a message, printable whatever its characters."""
    return describe_value(os.fspath(path), 200)


def open_file(path: str | os.PathLike[str], kind: str) -> BinaryIO:
    """Open a regular file for reading; `kind` says in the message what was wanted.

    Raises `InvalidArgumentError` when it is missing, a folder, a device or not readable.
    """
    shown = shown_path(path)
    try:
        if not Path(path).exists():
            raise InvalidArgumentError(f"There is no file {shown}; give the path of {kind}.")
        if not Path(path).is_file():
            raise InvalidArgumentError(f"{shown} is not a file; give the path of {kind}.")
        return open(path, "rb")
    except InvalidArgumentError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise InvalidArgumentError(f"Cannot read {shown} ({reason}); give the path of {kind}.") from error


def can_be_array(shape: Sequence[int], itemsize: int) -> bool:
    """Whether NumPy can have an array of this shape: without numbers it takes no memory, but its extents still have to be countable.

    >>> can_be_array((0, 2**40), 4), can_be_array((0, 2**40, 2**40), 4), can_be_array((2, -1), 4)
    (True, False, False)
    """
    return len(shape) <= _MOST_AXES and min(shape, default=0) >= 0 and math.prod(filter(None, shape)) * itemsize < 2**63


def read_at_most(reader: ByteReader, size: int) -> bytes:
    """The next `size` bytes, fewer where it ends; unlike `reader.read(size)`, it asks for no memory before there are bytes for it."""
    chunks = []
    while size and (chunk := reader.read(min(_CHUNK, size))):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def read_exactly(reader: ByteReader, size: int, prefix: bytes, shown: str, what: str) -> NDArray[Any]:
    """`size` bytes as uint8: `prefix`, which was read already, and the rest from `reader`, which must end there.

    Memory grows only as data really arrives. Raises `InvalidFileError` when there is less or more.
    """
    if len(prefix) > size:
        raise InvalidFileError(f"{shown} goes on after the end of {what}; it is damaged or of another kind.")
    chunks, missing = [prefix], size - len(prefix)
    while missing:
        chunk = reader.read(min(_CHUNK, missing))
        if not chunk:
            raise InvalidFileError(
                f"{shown} is truncated: {what} needs {size} bytes, but it ends after {size - missing}; "
                f"get the file again."
            )
        chunks.append(chunk)
        missing -= len(chunk)
    if reader.read(1):
        raise InvalidFileError(f"{shown} goes on after the end of {what}; it is damaged or of another kind.")
    return np.frombuffer(bytearray(b"").join(chunks), np.uint8)

"""IDX, the format of the original MNIST files, plain or gzipped.

Layout (http://yann.lecun.com/exdb/mnist/): two zero bytes, a byte for the type, a byte for the number of
dimensions, then each extent as a big-endian uint32, then the values, big-endian, the last dimension fastest.
"""

import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.bounded import (
    DEFAULT_MAX_BYTES,
    MAX_DEFLATE_RATIO,
    ByteReader,
    can_be_array,
    open_file,
    read_exactly,
    shown_path,
)
from depthwise.data.npz import ArrayPairs
from depthwise.data.validate import validate_pair
from depthwise.errors import InvalidArgumentError, InvalidFileError, describe_value

__all__ = ["IDX_NAMES", "find_idx_files", "load_idx", "load_idx_dataset"]

# In the order x_train, y_train, x_test, y_test. Each may end in .gz and have a dot for the hyphen before "idx".
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 8
_GZIP_MAGIC = b"\x1f\x8b"


def load_idx(path: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> NDArray[Any]:
    """Read one IDX file, plain or gzipped (told by its first bytes, not by its name).

    Args:
        path: the file.
        max_bytes: the most that the array may take, in bytes.

    Returns:
        The array in the shape of the header, in native byte order: uint8, int8, int16, int32, float32 or float64.

    Raises:
        InvalidArgumentError: no such file.
        InvalidFileError: not an IDX file, truncated, longer than its header says, or larger than allowed. Never is
            more decompressed than the header implies, and no memory is taken for data that is not there.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    >>> load_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    import gzip

    shown = shown_path(path)
    with open_file(path, "an IDX file") as file:
        try:
            stored = os.fstat(file.fileno()).st_size
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if not is_gzip:
                return _read(file, shown, stored, max_bytes)
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(stream, shown, MAX_DEFLATE_RATIO * stored, max_bytes)
        except (EOFError, zlib.error, OSError) as error:  # gzip.BadGzipFile is an OSError
            raise InvalidFileError(
                f"{shown} is truncated or damaged ({describe_value(str(error))}); get the file again."
            ) from error


def _read(reader: ByteReader, shown: str, most: int, max_bytes: int) -> NDArray[Any]:
    """Read header and values; `most` is all the bytes that can come out of a file of this size."""
    magic = reader.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not 1 <= magic[3] <= _MAX_DIMENSIONS:
        raise InvalidFileError(
            f"{shown} is not an IDX file: it begins with the bytes {describe_value(magic.hex(' '))}, but IDX begins with "
            f"00 00, a type (08, 09, 0b, 0c, 0d, 0e) and 1 to {_MAX_DIMENSIONS} dimensions."
        )
    dimensions = magic[3]
    header = reader.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise InvalidFileError(f"{shown} is truncated inside its IDX header; get the file again.")
    shape = struct.unpack(f">{dimensions}I", header)
    dtype = np.dtype(_DTYPES[magic[2]])
    size = math.prod(shape) * dtype.itemsize
    if size > max_bytes:
        raise InvalidFileError(
            f"{shown} claims the shape {shape} of {dtype.name}, {size} bytes, more than the {max_bytes} allowed; "
            f"raise max_bytes if you trust the file."
        )
    if size > most:
        raise InvalidFileError(
            f"{shown} is truncated: its header claims the shape {shape} of {dtype.name}, {size} bytes, more than a file "
            f"of this size can hold; get the file again."
        )
    if not can_be_array(shape, dtype.itemsize):
        raise InvalidFileError(f"{shown} claims the impossible shape {shape} of {dtype.name}; get the file again.")
    values = read_exactly(reader, size, b"", shown, "the array")
    return values.view(dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def find_idx_files(folder: str | os.PathLike[str]) -> tuple[Path, ...] | None:
    """The four MNIST files in `folder` in the order of `IDX_NAMES`; None when not one of them is there.

    Raises `InvalidArgumentError` when some are there and others missing.
    """
    found: list[Path | None] = []
    for name in IDX_NAMES:
        dotted = name.replace("-idx", ".idx")
        candidates = [Path(folder) / f"{stem}{suffix}" for stem in (name, dotted) for suffix in ("", ".gz")]
        found.append(next((candidate for candidate in candidates if candidate.is_file()), None))
    if all(path is None for path in found):
        return None
    missing = [name for name, path in zip(IDX_NAMES, found, strict=True) if path is None]
    if missing:
        raise InvalidArgumentError(
            f"The folder {shown_path(folder)} has some of the MNIST files but not {', '.join(missing)} (or with .gz); "
            f"put all four there."
        )
    return tuple(path for path in found if path is not None)


def load_idx_dataset(folder: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> ArrayPairs:
    """Read a folder with the four IDX files under MNIST's standard names, each plain or with `.gz`.

    Args:
        folder: where they are.
        max_bytes: the most that a file may hold, unpacked.

    Returns:
        `((x_train, y_train), (x_test, y_test))`: images (N, H, W), labels (N,).

    Raises:
        InvalidArgumentError: a file is missing.
        InvalidFileError: a file is damaged, see `load_idx`.
        InvalidDataError: images and labels do not fit together.
    """
    paths = find_idx_files(folder)
    if paths is None:
        raise InvalidArgumentError(
            f"The folder {shown_path(folder)} has no IDX files; it needs {', '.join(IDX_NAMES)}, plain or with .gz."
        )
    x_train, y_train, x_test, y_test = (load_idx(path, max_bytes) for path in paths)
    validate_pair(x_train, y_train, (paths[0].name, paths[1].name))
    validate_pair(x_test, y_test, (paths[2].name, paths[3].name))
    return (x_train, y_train), (x_test, y_test)

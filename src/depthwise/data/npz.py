"""`.npy` and `.npz` files, read without pickle and without trusting their headers."""

import contextlib
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from depthwise.data.bounded import DEFAULT_MAX_BYTES, can_be_array, open_file, read_exactly, shown_path
from depthwise.data.npy import HEADER_LIMIT, read_npy_header
from depthwise.data.validate import validate_pair
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, describe_value

if TYPE_CHECKING:
    import zipfile

__all__ = ["ArrayPairs", "load_array", "load_npz"]

ArrayPairs: TypeAlias = tuple[tuple[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_SUSPICIOUS_RATIO, _SUSPICIOUS_BYTES = 200, 64 << 20  # MNIST shrinks 5 times; constant data up to 1032 times
_ENCRYPTED = 0x1


def load_npz(path: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> ArrayPairs:
    """Read `x_train`, `y_train`, `x_test` and `y_test` from an `.npz` file, as Keras' `mnist.npz` has them.

    The arrays keep their shape and dtype (native byte order): images (N, H, W) or (N, H, W, C), labels (N,) or
    (N, 1). Other arrays in the file are not read.

    Args:
        path: the file.
        max_bytes: the most that the four arrays may take together, in bytes, before anything is allocated.

    Raises:
        InvalidArgumentError: no such file.
        InvalidFileError: no `.npz`, an array is missing, damaged, larger than allowed, or holds Python objects.
        InvalidDataError: images and labels do not fit together.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "two.npz")
    >>> x, y = np.zeros((2, 4, 4), np.uint8), np.array([0, 1])
    >>> np.savez_compressed(path, x_train=x, y_train=y, x_test=x, y_test=y)
    >>> (x_train, y_train), (x_test, y_test) = load_npz(path)
    >>> x_train.shape, y_test.tolist()
    ((2, 4, 4), [0, 1])
    """
    shown = shown_path(path)
    arrays: dict[str, NDArray[Any]] = {}
    with (
        open_file(path, "an .npz file with x_train, y_train, x_test and y_test") as file,
        _opened(file, shown) as archive,
    ):
        members = _find_members(archive, shown, max_bytes)
        for name, member in members.items():
            with archive.open(member) as stream:
                arrays[name] = _read_array(stream, member.file_size, f"the array {name} in {shown}")
    x_train, y_train, x_test, y_test = (arrays[name] for name in _NAMES)
    validate_pair(x_train, y_train, ("x_train", "y_train"))
    validate_pair(x_test, y_test, ("x_test", "y_test"))
    return (x_train, y_train), (x_test, y_test)


def load_array(path: str | os.PathLike[str], max_bytes: int = DEFAULT_MAX_BYTES) -> NDArray[Any]:
    """The array in an `.npy` file, or the only one in an `.npz` file, which is told by its first bytes, not by its name.

    Args:
        path: the file.
        max_bytes: the most that the array may take, in bytes, before anything is allocated.

    Raises:
        InvalidArgumentError: no such file, or several arrays in it.
        InvalidFileError: damaged, larger than allowed, or something else than numbers.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "three.npy")
    >>> np.save(path, np.arange(3))
    >>> load_array(path).tolist()
    [0, 1, 2]
    """
    shown = shown_path(path)
    with open_file(path, "an .npy or .npz file") as file:
        is_zip = file.read(2) == b"PK"
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if not is_zip:
            if size > max_bytes:
                raise InvalidFileError(f"{shown} has {size} bytes, more than the {max_bytes} allowed.")
            return _read_array(file, size, f"the array in {shown}")
        with _opened(file, shown) as archive:
            members = archive.infolist()
            if len(members) != 1:
                names = [member.filename.removesuffix(".npy") for member in members[:20]]
                raise InvalidArgumentError(
                    f"{shown} holds {len(members)} arrays, {describe_value(names)}; save the one to predict by itself"
                )
            member = members[0]
            what = f"the array {describe_value(member.filename.removesuffix('.npy'))} in {shown}"
            _check_member(member, what)
            if member.file_size > max_bytes:
                raise InvalidFileError(
                    f"{what} unpacks into {member.file_size} bytes, more than the {max_bytes} allowed."
                )
            with archive.open(member) as stream:
                return _read_array(stream, member.file_size, what)


@contextlib.contextmanager
def _opened(file: BinaryIO, shown: str) -> "Iterator[zipfile.ZipFile]":
    """The archive; whatever is found to be wrong with it while it is open becomes one sentence."""
    import zipfile  # brings every codec with it

    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except DepthwiseError:
        raise
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError) as e:
        raise InvalidFileError(
            f"{shown} is not a readable .npz file ({describe_value(str(e))}); save it again with numpy.savez_compressed."
        ) from e


def _find_members(archive: "zipfile.ZipFile", shown: str, max_bytes: int) -> dict[str, "zipfile.ZipInfo"]:
    members: dict[str, zipfile.ZipInfo] = {}
    for name in _NAMES:
        found = [member for member in archive.infolist() if member.filename == f"{name}.npy"]
        if len(found) != 1:
            held = [member.filename.removesuffix(".npy") for member in archive.infolist()[:20]]
            raise InvalidFileError(
                f"{shown} holds the array {name} {len(found)} times, but needs x_train, y_train, x_test and y_test once "
                f"each; it has {describe_value(held)}."
            )
        members[name] = member = found[0]
        _check_member(member, f"The array {name} in {shown}")
    total = sum(member.file_size for member in members.values())
    if total > max_bytes:
        raise InvalidFileError(
            f"{shown} unpacks into {total} bytes, more than the {max_bytes} allowed; raise max_bytes if you trust it."
        )
    return members


def _check_member(member: "zipfile.ZipInfo", what: str) -> None:
    import zipfile

    if member.flag_bits & _ENCRYPTED or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidFileError(
            f"{what} is encrypted or compressed in a way NumPy does not write; save the file again with numpy.savez_compressed."
        )
    suspicious = member.file_size > _SUSPICIOUS_BYTES and member.file_size > _SUSPICIOUS_RATIO * max(
        1, member.compress_size
    )
    if suspicious or (member.compress_type == zipfile.ZIP_STORED and member.file_size != member.compress_size):
        raise InvalidFileError(
            f"{what} claims to unpack {member.compress_size} bytes into {member.file_size}, like a zip bomb; if it is good, save "
            f"it with numpy.savez, uncompressed."
        )


def _read_array(stream: Any, length: int, what: str) -> NDArray[Any]:
    start = stream.read(HEADER_LIMIT + 12)
    shape, fortran_order, dtype, offset = _parse_header(start, what)
    if dtype.hasobject or dtype.kind not in "buif":
        raise InvalidFileError(
            f"{what} has dtype {describe_value(str(dtype))}; only numbers are read, Python objects never, as unpickling "
            f"them could run code: save a plain array of numbers."
        )
    size = math.prod(shape) * dtype.itemsize
    if size != length - offset:
        raise InvalidFileError(
            f"{what} claims the shape {describe_value(shape)} of {dtype}, {size} bytes, but holds "
            f"{length - offset}; the file is damaged: save it again."
        )
    data = read_exactly(stream, size, start[offset:], what, "the array")
    array = data.view(dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), order="C", copy=False)


def _parse_header(start: bytes, what: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    head = io.BytesIO(start)
    try:
        shape, fortran_order, dtype = read_npy_header(head)
    except ValueError as error:
        raise InvalidFileError(f"{what} has no valid .npy header; save the file again with NumPy.") from error
    if not can_be_array(shape, dtype.itemsize):
        raise InvalidFileError(f"{what} claims the impossible shape {describe_value(shape)}; save the file again.")
    return shape, fortran_order, dtype, head.tell()

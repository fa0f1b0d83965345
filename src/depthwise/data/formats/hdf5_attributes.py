"""Texts in the attributes of an HDF5 file: where older Keras keeps a model's config and the names of its weights.

pyfive is not asked: it sizes attributes as they claim. A message is taken apart here, its sizes checked against the bytes that are
there; texts of variable length are slices of the file's global heap, whose collections are walked within the file's budget.
"""

import math
import struct
from collections.abc import Iterator

from depthwise.data.formats.hdf5 import DamageError, File
from depthwise.errors import UnsupportedError, describe_value

__all__ = ["text", "texts"]

ATTRIBUTE, DENSE = 0x0C, 0x15
LONGEST_TEXT = 4 * 2**20
"""Bytes of one text: the config of the largest network of keras.applications has 0.4 MB."""
MOST_TEXTS = 100_000

_STRING, _VARIABLE = 3, 9


def texts(file: File, path: str, name: str) -> list[str] | None:
    """The texts of an attribute, or of its parts `name0`, `name1`, … one after the other; None where there is none.

    Args:
        file: the file.
        path: the group that has the attribute, "" for the root.
        name: of the attribute.

    Raises:
        InvalidFileError, UnsupportedError: it is damaged, too large, or holds no texts.
    """
    if file.group(path) is None:
        return None
    with file.reading(f"the attributes of {describe_value(path)}"):
        found = dict(_attributes(file, path))
        if name in found:
            return _decoded(file, found[name], name)
        parts: list[str] = []
        count = 0
        while f"{name}{count}" in found:
            parts += _decoded(file, found[f"{name}{count}"], name)
            count += 1
        return parts if count else None


def text(file: File, path: str, name: str) -> str | None:
    """One text: that of the attribute, or of its parts put together."""
    found = texts(file, path, name)
    return None if found is None else "".join(found)


def _attributes(file: File, path: str) -> Iterator[tuple[str, memoryview]]:
    for kind, body in file.messages(path):
        if kind == DENSE:
            raise UnsupportedError(f"{file.what}: the attributes of {describe_value(path)} are stored densely")
        if kind == ATTRIBUTE:
            version = body[0]
            start = {1: 8, 2: 8, 3: 9}.get(version)
            if start is None:
                raise DamageError(f"an attribute of {describe_value(path)} has the version {version}")
            (size,) = struct.unpack_from("<H", body, 2)
            yield bytes(body[start : start + size]).partition(b"\0")[0].decode("utf-8"), body


def _decoded(file: File, body: memoryview, name: str) -> list[str]:
    version, flags = body[0], body[1]
    if version > 1 and flags:
        raise UnsupportedError(f"{file.what}: the attribute {describe_value(name)} shares its type with another object")
    sizes = struct.unpack_from("<HHH", body, 2)
    places = [9 if version == 3 else 8]
    for size in sizes:
        places.append(places[-1] + (-(-size // 8) * 8 if version == 1 else size))
    datatype, dataspace, data = (body[place:] for place in places[1:])
    count = _count(dataspace, name)
    if count == 0:
        return []
    kind, size = datatype[0] & 15, int.from_bytes(datatype[4:8], "little")
    variable = kind == _VARIABLE and datatype[1] & 15 == 1
    if not (kind == _STRING and size > 0) and not (variable and size == 16):
        raise UnsupportedError(f"{file.what}: the attribute {describe_value(name)} holds no texts")
    if count * size > len(data):
        raise DamageError(
            f"the attribute {describe_value(name)} claims {count} texts of {size} bytes, {len(data)} are there"
        )
    file.spend(count * size)
    pieces = (data[index * size : (index + 1) * size] for index in range(count))
    raw = [_in_heap(file, piece, name) if variable else bytes(piece) for piece in pieces]
    try:
        return [piece.rstrip(b"\0").decode("utf-8") for piece in raw]
    except UnicodeDecodeError:
        raise DamageError(f"the attribute {describe_value(name)} is not UTF-8") from None


def _count(dataspace: memoryview, name: str) -> int:
    version, rank = dataspace[0], dataspace[1]
    if version == 2 and dataspace[3] == 2:
        return 0
    start = {1: 8, 2: 4}.get(version)
    if start is None or rank > 1:
        raise DamageError(f"the attribute {describe_value(name)} has no shape that can be read")
    count: int = math.prod(struct.unpack_from(f"<{rank}Q", dataspace, start))
    if count > MOST_TEXTS:
        raise DamageError(
            f"the attribute {describe_value(name)} claims {count:,} texts, at most {MOST_TEXTS:,} are read"
        )
    return count


def _in_heap(file: File, piece: memoryview, name: str) -> bytes:
    length, place, index = struct.unpack("<IQI", piece)
    if length > LONGEST_TEXT:
        raise DamageError(
            f"the attribute {describe_value(name)} has {length:,} bytes, at most {LONGEST_TEXT:,} are read"
        )
    if length == 0:
        return b""
    start, size = file.heap(place).get(index, (0, 0))
    if length > size:
        raise DamageError(f"the text of the attribute {describe_value(name)} is not in the file")
    return file.bytes_at(start, length)

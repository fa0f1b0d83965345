"""Reads the one kind of HDF5 file that Keras writes: plain groups of plain arrays. Everything else is refused by name.

The subset: superblock 0; groups as symbol tables (version 1 B-trees, local heaps); object headers of version 1; contiguous
arrays of little-endian numbers. No links, no chunks, no filters, no external or virtual storage: what could read another file or
unpack into more than the file holds is not understood here at all. Every read is checked against the end of the file, every
structure may be visited once, and an array is never larger than the bytes that the file has for it, so that a hostile file costs
no more time and memory than its own size. Why our own: docs/decisions/0004-hdf5.md. Source: "HDF5 File Format Specification
Version 3.0", The HDF Group.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidFileError, UnsupportedError, describe_value

__all__ = ["SIGNATURE", "Dataset", "File"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 2**64 - 1

LARGEST_RANK = 32
LONGEST_NAME = 1024
DEEPEST_TREE = 32

_CONTINUATION, _SYMBOL_TABLE = 0x10, 0x11
_DATASPACE, _DATATYPE, _LAYOUT = 0x01, 0x03, 0x08
_REFUSED = {
    0x02: "links of the newer group layout (soft or external links, or libver='latest')",
    0x06: "links of the newer group layout (soft or external links, or libver='latest')",
    0x07: "data in external files",
    0x0B: "compressed or otherwise filtered data",
}
_SYMBOLIC_LINK = 2

_FLOATS = {
    # size: bits 0-15 of the properties (offset, precision), exponent location and size, mantissa location and size, bias
    2: (0, 16, 10, 5, 0, 10, 15),
    4: (0, 32, 23, 8, 0, 23, 127),
    8: (0, 64, 52, 11, 0, 52, 1023),
}


@dataclass(frozen=True)
class Dataset:
    """An array in the file: what it claims to be, and the bytes that are there for it (already checked to be as many)."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    data: memoryview

    def read(self) -> NDArray[np.generic]:
        """A copy of the values."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape).copy()


class File:
    """The groups and arrays of an HDF5 file in memory.

    Args:
        data: the whole file.
        what: what the messages call it.

    Raises:
        InvalidFileError: truncated, damaged, or not HDF5 at all.
        UnsupportedError: legal HDF5 that Keras does not write; the message names what it is.
    """

    def __init__(self, data: bytes | memoryview, what: str = "the weights file") -> None:
        self.data = memoryview(data)
        self.what = what
        if bytes(self.data[:8]) != SIGNATURE:
            raise InvalidFileError(f"{what} is not an HDF5 file: it does not start with HDF5's signature")
        version, offsets, lengths = self._unpack("<B4xBB", 8)
        if version != 0 or offsets != 8 or lengths != 8:
            raise UnsupportedError(
                f"{what} is HDF5 of a layout that Keras does not write (superblock {version}); save the model again with Keras"
            )
        base, end, root = self._unpack("<Q8xQ16xQ", 24)
        if base != 0 or end > len(self.data):
            raise InvalidFileError(f"{what} is truncated: it says it has {end} bytes, {len(self.data)} are there")
        self._visited: set[int] = set()
        self._groups: dict[str, dict[str, int]] = {}
        self._root = root

    def group(self, path: str) -> dict[str, int] | None:
        """Names in the group at `path` ("" is the root), each with the place of its header; None if there is no such group."""
        if path not in self._groups:
            if not path:
                header: int | None = self._root
            else:
                parent, _, name = path.rpartition("/")
                entries = self.group(parent)
                header = None if entries is None else entries.get(name)
            if header is None:
                return None
            self._groups[path] = self._read_group(header, path)
        return self._groups[path]

    def dataset(self, path: str) -> Dataset | None:
        """The array at `path`, its shape and type checked against the bytes in the file; None if there is no such array."""
        parent, _, name = path.rpartition("/")
        entries = self.group(parent)
        if entries is None or name not in entries:
            return None
        return self._read_dataset(entries[name], path)

    # Below: the format, from the outside in.

    def _damaged(self, why: str) -> InvalidFileError:
        return InvalidFileError(f"{self.what} is damaged: {why}")

    def _unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        if offset + struct.calcsize(layout) > len(self.data):
            raise self._damaged("a structure lies beyond the end of the file")
        return struct.unpack_from(layout, self.data, offset)

    def _signature(self, offset: int, expected: bytes) -> None:
        if bytes(self.data[offset : offset + 4]) != expected:
            raise self._damaged(f"a {expected.decode()} block is not where it should be")

    def _visit(self, offset: int) -> None:
        if offset in self._visited:
            raise self._damaged("a structure is used twice, or contains itself")
        self._visited.add(offset)

    def _messages(self, header: int, path: str) -> dict[int, memoryview]:
        """The header's messages by type; the first of each type."""
        version, count, size = self._unpack("<BxH4xI", header)
        if version != 1:
            raise UnsupportedError(
                f"{self.what}: {describe_value(path)} has an object header of the newer layout, which Keras does not write"
            )
        found: dict[int, memoryview] = {}
        blocks = [(header + 16, size)]
        while blocks:
            position, size = blocks.pop(0)
            end = position + size
            if end > len(self.data):
                raise self._damaged(f"the header of {describe_value(path)} lies beyond the end of the file")
            while position + 8 <= end and count > 0:
                kind, length, flags = self._unpack("<HHB", position)
                body = self.data[position + 8 : position + 8 + length]
                position += 8 + length
                count -= 1
                if position > end:
                    raise self._damaged(f"a message of {describe_value(path)} lies beyond its header")
                if kind in _REFUSED:
                    raise UnsupportedError(
                        f"{self.what}: {describe_value(path)} holds {_REFUSED[kind]}, which is refused for safety; save the "
                        "model again with Keras"
                    )
                if kind == _CONTINUATION:
                    if length < 16:
                        raise self._damaged(f"the header of {describe_value(path)} is cut short")
                    blocks.append((int.from_bytes(body[:8], "little"), int.from_bytes(body[8:16], "little")))
                elif kind in (_SYMBOL_TABLE, _DATASPACE, _DATATYPE, _LAYOUT):
                    if flags & 2:
                        raise UnsupportedError(
                            f"{self.what}: {describe_value(path)} shares its header with another object, which Keras does "
                            "not write"
                        )
                    found.setdefault(kind, body)
        return found

    def _read_group(self, header: int, path: str) -> dict[str, int]:
        self._visit(header)
        table = self._messages(header, path).get(_SYMBOL_TABLE)
        if table is None or len(table) < 16:
            raise self._damaged(f"{describe_value(path)} should be a group and is none")
        tree, heap = struct.unpack_from("<QQ", table)
        self._signature(heap, b"HEAP")
        size, names = self._unpack("<8xQ8xQ", heap)
        if names + size > len(self.data):
            raise self._damaged(f"the names of {describe_value(path)} lie beyond the end of the file")
        entries: dict[str, int] = {}
        for name_offset, child in self._entries(tree, DEEPEST_TREE):
            name = self._name(self.data[names : names + size], name_offset)
            if name in entries:
                raise self._damaged(f"{describe_value(path)} has two members named {describe_value(name)}")
            entries[name] = child
        return entries

    def _name(self, heap: memoryview, offset: int) -> str:
        text, end, _ = bytes(heap[offset : offset + LONGEST_NAME]).partition(b"\0")
        if not end or not text or b"/" in text:
            raise self._damaged("a name is empty, too long, or holds a slash")
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            raise self._damaged("a name is not UTF-8") from None

    def _entries(self, tree: int, deepest: int) -> Iterator[tuple[int, int]]:
        """(offset of the name, place of the header) of every member below a B-tree node."""
        self._visit(tree)
        self._signature(tree, b"TREE")
        kind, level, used = self._unpack("<4xBBH", tree)
        if kind != 0 or deepest == 0:
            raise self._damaged("a group's tree is not one of groups, or too deep")
        for index in range(used):
            (child,) = self._unpack("<Q", tree + 32 + 16 * index)
            if level > 0:
                yield from self._entries(child, deepest - 1)
                continue
            self._visit(child)
            self._signature(child, b"SNOD")
            (count,) = self._unpack("<6xH", child)
            for entry in range(count):
                name, header, cache = self._unpack("<QQI", child + 8 + 40 * entry)
                if cache == _SYMBOLIC_LINK:
                    raise UnsupportedError(f"{self.what} holds a soft link, which is refused for safety")
                yield name, header

    def _read_dataset(self, header: int, path: str) -> Dataset:
        messages = self._messages(header, path)
        if not {_DATASPACE, _DATATYPE, _LAYOUT} <= set(messages):
            raise self._damaged(f"{describe_value(path)} should be an array and is none")
        shape = self._shape(messages[_DATASPACE], path)
        dtype = self._dtype(messages[_DATATYPE], path)
        # All shapes are exact Python integers: nothing can overflow.
        size = math.prod(shape) * dtype.itemsize
        data = self._contiguous(messages[_LAYOUT], path)
        if len(data) != size:
            raise self._damaged(
                f"{describe_value(path)} claims the shape {describe_value(shape)}, {size} bytes, and has {len(data)}"
            )
        return Dataset(path, shape, dtype, data)

    def _shape(self, body: memoryview, path: str) -> tuple[int, ...]:
        version, rank = (body[0], body[1]) if len(body) >= 4 else (0, 0)
        start = {1: 8, 2: 4}.get(version)
        if start is None or rank > LARGEST_RANK or len(body) < start + 8 * rank or (version == 2 and body[3] == 2):
            raise self._damaged(f"the shape of {describe_value(path)} cannot be read")
        return struct.unpack_from(f"<{rank}Q", body, start)

    def _dtype(self, body: memoryview, path: str) -> np.dtype[np.generic]:
        if len(body) < 8:
            raise self._damaged(f"the type of {describe_value(path)} cannot be read")
        kind, bits, size = body[0] & 15, body[1], int.from_bytes(body[4:8], "little")
        little_endian = not bits & 1
        if (
            kind == 1
            and little_endian
            and size in _FLOATS
            and bytes(body[8:20]) == struct.pack("<HHBBBBI", *_FLOATS[size])
        ):
            return np.dtype(f"<f{size}")
        if (
            kind == 0
            and little_endian
            and size in (1, 2, 4, 8)
            and bytes(body[8:12]) == struct.pack("<HH", 0, 8 * size)
        ):
            return np.dtype(f"<{'i' if bits & 8 else 'u'}{size}")
        names = (
            "integers",
            "floats",
            "times",
            "texts",
            "bit fields",
            "opaque",
            "compound",
            "references",
            "enumerations",
        )
        described = {9: "variable-length values", 10: "arrays"}.get(
            kind, names[kind] if kind < len(names) else "unknown values"
        )
        raise UnsupportedError(
            f"{self.what}: {describe_value(path)} holds {described} of {size} bytes; only plain little-endian numbers are read"
        )

    def _contiguous(self, body: memoryview, path: str) -> memoryview:
        version, kind = (body[0], body[1]) if len(body) >= 2 else (0, 0)
        if version not in (3, 4) or kind != 1:
            named = {0: "a compact", 2: "a chunked", 3: "a virtual"}.get(kind, "an unknown")
            raise UnsupportedError(
                f"{self.what}: {describe_value(path)} has {named} storage (version {version}), Keras writes contiguous; save the "
                "model again with Keras"
            )
        if len(body) < 18:
            raise self._damaged(f"the place of {describe_value(path)} cannot be read")
        offset, size = struct.unpack_from("<QQ", body, 2)
        if offset == UNDEFINED or offset + size > len(self.data):
            raise self._damaged(f"the values of {describe_value(path)} are not in the file")
        return self.data[offset : offset + size]

"""Reads the one kind of HDF5 file that Keras writes: plain groups of plain arrays. Everything else is refused by name.

`hdf5_structures.py` walks the structures; what a file may make it do is decided here. It reads through `_Bounded`, which knows the
file's end and a budget, so that circles and structures without end are cut off; headers and names are looked at before anything is
built from them; links, filters, external and virtual storage are refused by the type of their message, before anything would follow
them; of attributes only texts are read, by hdf5_attributes.py. Arrays have as many bytes as lie in the file for them, so that
no allocation follows what a file merely declares, and are read one at a time: a file is never in memory as a whole. Why so:
docs/decisions/0004-hdf5.md.
"""

import io
import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats import hdf5_structures as structures_of
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidFileError, UnsupportedError, describe_value

__all__ = ["SIGNATURE", "DamageError", "Dataset", "File"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

LARGEST_RANK = 32
LONGEST_NAME = 256
MOST_MESSAGES = 64
"""In one header; Keras' have up to eight. Each that continues the header elsewhere copies it once."""
LARGEST_STRUCTURE = 2**20
"""Bytes of one header, or of all names in a group: those of 10,000 layers fit."""
LEAST_CHARGE = 64
"""Bytes that any read costs of the budget, so that a structure of small reads cannot cost much more time than its bytes."""

_DATASPACE, _DATATYPE, _LAYOUT, _SYMBOL_TABLE = 0x01, 0x03, 0x08, 0x11
_SHARED = 2
_REFUSED = {
    0x02: "links of the newer group layout (soft or external links, or libver='latest')",
    0x06: "links of the newer group layout (soft or external links, or libver='latest')",
    0x07: "data in external files",
    0x0B: "compressed or otherwise filtered data",
}

_TOO_MUCH = "its structures contain themselves, or are larger than those of this network can be"

_KINDS = (
    "integers",
    "floats",
    "times",
    "texts",
    "bit fields",
    "opaque",
    "compound",
    "references",
    "enumerations",
    "variable-length values",
    "arrays",
)
_COPY = "copy the file with HDF5's h5repack -f NONE -l CONTI"

_INTEGER, _FLOAT = 0, 1
_IEEE = {
    2: bytes.fromhex("20 0f 00 02000000 0000 1000 0a 05 00 0a 0f000000"),
    4: bytes.fromhex("20 1f 00 04000000 0000 2000 17 08 00 17 7f000000"),
    8: bytes.fromhex("20 3f 00 08000000 0000 4000 34 0b 00 34 ff030000"),
}
"""How HDF5 describes IEEE floats by their bytes, after the byte of kind and version."""


class DamageError(Exception):
    """What is wrong with the file, in words for the end of a sentence."""


class _Bounded:
    """The file as its structures are read: no read beyond its end, and all reads together within the budget."""

    def __init__(self, file: BinaryIO, start: int, length: int, budget: int) -> None:
        self.length = length
        self._file, self._start, self._left = file, start, budget
        self._place = 0

    def seek(self, place: int) -> None:
        self._place = place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.length - self._place:
            raise DamageError("a structure lies beyond the end of the file")
        self.spend(size)
        if size > LARGEST_STRUCTURE:
            raise DamageError(_TOO_MUCH)
        found = self.at(self._place, size)
        self._place += size
        return found

    def spend(self, size: int) -> None:
        """Takes what a read costs from the budget."""
        self._left -= max(size, LEAST_CHARGE)
        if self._left < 0:
            raise DamageError(_TOO_MUCH)

    def allow(self, size: int) -> None:
        """Adds to the budget."""
        self._left += size

    def at(self, place: int, size: int) -> bytes:
        """Bytes from `place` on, fewer at the end of the file."""
        self._file.seek(self._start + place)
        return self._file.read(min(size, max(0, self.length - place)))

    def into(self, place: int, target: memoryview) -> bool:
        """Fills `target`; False where the file has become shorter meanwhile."""
        self._file.seek(self._start + place)
        done = 0
        while done < len(target):
            count: int = self._file.readinto(target[done:])  # type: ignore[attr-defined]
            if not count:
                return False
            done += count
        return True


@dataclass(frozen=True)
class Dataset:
    """An array in the file: what it claims to be (already checked to have as many bytes there)."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    file: _Bounded
    place: int

    def read(self) -> NDArray[np.generic]:
        """The values, in a new array."""
        array = np.empty(self.shape, self.dtype)
        if array.size and not self.file.into(self.place, array.reshape(-1).view(np.uint8).data):
            raise InvalidFileError(f"the values of {describe_value(self.path)} are no longer in the file")
        return array


class File:
    """The groups and arrays of an HDF5 file.

    Args:
        data: the whole file, or where it can be read as long as this object is used; it may lie within another file.
        what: what the messages call it.
        structures: bytes that its structures (everything but the arrays' values) may have.
        start, length: which bytes of `data` it is; up to the end where `length` is None.

    Raises:
        InvalidFileError: truncated, damaged, or not HDF5 at all.
        UnsupportedError: legal HDF5 that Keras does not write; the message names what it is.
    """

    def __init__(
        self,
        data: bytes | BinaryIO,
        what: str = "the weights file",
        structures: int = 2**24,
        start: int = 0,
        length: int | None = None,
    ) -> None:
        file = io.BytesIO(data) if isinstance(data, bytes) else data
        if length is None:
            length = file.seek(0, os.SEEK_END) - start
        self.what = what
        self._file = _Bounded(file, start, length, structures)
        self._groups: dict[str, dict[str, int]] = {}
        self._places: set[int] = set()
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        head = self._file.at(0, 96)
        if not head.startswith(SIGNATURE):
            raise InvalidFileError(f"{what} is not an HDF5 file: it does not start with HDF5's signature")
        with self.reading("its start"):
            if head[8] != 0:
                raise UnsupportedError(
                    f"{what} is HDF5 of a layout that Keras does not write (superblock {head[8]}); copy it with HDF5's "
                    "h5repack --low=0 --high=0"
                )
            base, end = struct.unpack_from("<Q8xQ", head, 24)
            if base != 0 or end > length:
                raise InvalidFileError(f"{what} is truncated: it says it has {end} bytes, {length} are there")
            self._root = structures_of.root(self._file)

    def group(self, path: str) -> dict[str, int] | None:
        """Names in the group at `path` ("" is the root), each with the place of its header; None if there is no such group."""
        if path not in self._groups:
            place = self._root if not path else self._place(path)
            if place is None:
                return None
            if place in self._places:
                raise self._damaged("a structure is used twice, or contains itself")
            self._places.add(place)
            with self.reading(describe_value(path)):
                self._groups[path] = self._members(place, path)
        return self._groups[path]

    def dataset(self, path: str) -> Dataset | None:
        """The array at `path`, its shape and type checked against the bytes in the file; None if there is no such array."""
        place = self._place(path)
        if place is None:
            return None
        with self.reading(describe_value(path)):
            return self._dataset(place, path)

    def messages(self, path: str) -> list[tuple[int, memoryview]]:
        """Type and body of each message in the header of the group at `path`; no group, no messages."""
        place = self._root if not path else self._place(path)
        if place is None:
            return []
        with self.reading(describe_value(path)):
            header = self._header(place, path)
            data = memoryview(header.data)
            return [(item.type, data[item.start : item.start + item.size]) for item in header.messages]

    def heap(self, place: int) -> dict[int, tuple[int, int]]:
        """Place and size of every object of the global heap's collection at `place`, by its index."""
        if place not in self._heaps:
            with self.reading("the heap of its texts"):
                self._heaps[place] = self._collection(place)
        return self._heaps[place]

    def _collection(self, place: int) -> dict[int, tuple[int, int]]:
        signature, version, size = struct.unpack("<4sB3xQ", self._file.at(place, 16))
        end = place + size
        if signature != b"GCOL" or version != 1 or end > self._file.length:
            raise DamageError("the heap of its texts is none, or lies beyond the end of the file")
        objects: dict[int, tuple[int, int]] = {}
        position = place + 16
        while position + 16 <= end:
            self.spend(LEAST_CHARGE)
            index, length = struct.unpack("<H6xQ", self._file.at(position, 16))
            if index == 0:  # what is left is free
                break
            if position + 16 + length > end:
                raise DamageError("a text lies beyond the end of its heap")
            objects[index] = (position + 16, length)
            position += 16 + -(-length // 8) * 8
        return objects

    def bytes_at(self, place: int, size: int) -> bytes:
        """Bytes of a text, out of the budget of structures."""
        self.spend(size)
        return self._file.at(place, size)

    def spend(self, size: int) -> None:
        """Takes `size` bytes from the budget of structures.

        Raises:
            DamageError: there is none left.
        """
        self._file.spend(size)

    def allow(self, size: int) -> None:
        """Adds bytes to the budget of structures, once the network is known."""
        self._file.allow(size)

    def _place(self, path: str) -> int | None:
        parent, _, name = path.rpartition("/")
        members = self.group(parent)
        return None if members is None else members.get(name)

    def _damaged(self, why: str) -> InvalidFileError:
        return InvalidFileError(f"{self.what} is damaged: {why}")

    @contextmanager
    def reading(self, part: str) -> Iterator[None]:
        """Turns whatever reading raises into one sentence: on damaged files that can be anything, from KeyError to MemoryError."""
        try:
            yield
        except DepthwiseError:
            raise
        except DamageError as error:
            raise self._damaged(str(error)) from None
        except Exception as error:
            raise self._damaged(f"{part} cannot be read, or lies beyond the end of the file") from error

    def _header(self, place: int, path: str) -> structures_of.Header:
        """The header at `place`, if it is a small one of the older layout without anything that is refused."""
        version, messages = struct.unpack("<BxH", self._file.at(place, 4))
        if version != 1:
            raise UnsupportedError(
                f"{self.what}: {describe_value(path)} has an object header of the newer layout, which Keras does not write"
            )
        if messages > MOST_MESSAGES:
            raise DamageError(
                f"the header of {describe_value(path)} has {messages} messages, at most {MOST_MESSAGES} are read"
            )
        header = structures_of.header(self._file, place)
        for message in header.messages:
            if message.type in _REFUSED:
                raise UnsupportedError(
                    f"{self.what}: {describe_value(path)} holds {_REFUSED[message.type]}, which is refused for safety; "
                    f"{_COPY}"
                )
            if message.flags & _SHARED and message.type in (_DATASPACE, _DATATYPE, _LAYOUT, _SYMBOL_TABLE):
                raise UnsupportedError(
                    f"{self.what}: {describe_value(path)} shares its header with another object, which Keras does not write"
                )
        return header

    def _members(self, place: int, path: str) -> dict[str, int]:
        header = self._header(place, path)
        tables = header.find(_SYMBOL_TABLE)
        if len(tables) != 1:
            raise DamageError(f"{describe_value(path)} should be a group and is none")
        # A name is copied for every member: the longest is measured first, or many members of one long name would be too much.
        tree, heap = struct.unpack_from("<QQ", tables[0])
        size, start = struct.unpack("<8xQ8xQ", self._file.at(heap, 32))
        names = self._file.at(start, min(size, LARGEST_STRUCTURE))
        if max(map(len, names.split(b"\0"))) > LONGEST_NAME:
            raise DamageError(f"a name in {describe_value(path)} is longer than {LONGEST_NAME} bytes")
        members: dict[str, int] = {}
        for name, member in structures_of.links(self._file, tree, heap).items():
            if not name or "/" in name:
                raise DamageError(f"a name in {describe_value(path)} is empty or holds a slash")
            if member is None:
                raise UnsupportedError(f"{self.what} holds a soft link, which is refused for safety")
            members[name] = member
        return members

    def _dataset(self, place: int, path: str) -> Dataset:
        header = self._header(place, path)
        found = [header.find(kind) for kind in (_DATASPACE, _DATATYPE, _LAYOUT)]
        if not all(found):
            raise DamageError(f"{describe_value(path)} should be an array and is none")
        dataspace, datatype, layout = (messages[0] for messages in found)
        shape = structures_of.shape(dataspace)
        if shape is None or len(shape) > LARGEST_RANK:
            raise DamageError(f"the shape of {describe_value(path)} cannot be read")
        dtype = self._dtype(datatype, path)
        place, there = self._contiguous(layout, path)
        # Shapes are exact Python integers: nothing can overflow.
        size = math.prod(shape) * dtype.itemsize
        if there != size:
            raise DamageError(
                f"{describe_value(path)} claims the shape {describe_value(shape)}, {size} bytes, and has {there}"
            )
        return Dataset(path, shape, dtype, self._file, place)

    def _dtype(self, body: memoryview, path: str) -> np.dtype[np.generic]:
        """The type of plain numbers; nothing else is read."""
        kind, big_endian, size = body[0] & 15, body[1] & 1, int.from_bytes(body[4:8], "little")
        unusual = kind == _FLOAT and size in _IEEE and body[1:20] != _IEEE[size]
        if kind not in (_INTEGER, _FLOAT) or big_endian or unusual or size not in (1, 2, 4, 8):
            described = _KINDS[kind] if kind < len(_KINDS) else "unknown values"
            raise UnsupportedError(
                f"{self.what}: {describe_value(path)} holds {described} of {size} bytes; only plain little-endian numbers are "
                "read"
            )
        signed = body[1] & 8
        return np.dtype(f"<{'f' if kind == _FLOAT else 'i' if signed else 'u'}{size}")

    def _contiguous(self, body: memoryview, path: str) -> tuple[int, int]:
        """Where the values lie, and how many bytes they have."""
        version, kind = body[0], body[1]
        if version not in (3, 4) or kind != 1:
            named = {0: "a compact", 2: "a chunked", 3: "a virtual"}.get(kind, "an unknown")
            raise UnsupportedError(
                f"{self.what}: {describe_value(path)} has {named} storage (version {version}), Keras writes contiguous; "
                f"{_COPY}"
            )
        start, size = struct.unpack_from("<QQ", body, 2)
        if start + size > self._file.length:
            raise DamageError(f"the values of {describe_value(path)} are not in the file")
        return start, size

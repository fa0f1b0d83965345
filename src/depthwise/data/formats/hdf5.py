"""Reads the one kind of HDF5 file that Keras writes: plain groups of plain arrays. Everything else is refused by name.

pyfive, which is pure Python, walks the structures; what the file may make it do is decided here. It reads from memory through
`_Bounded`, which knows the file's end and a budget, so that circles and structures without end are cut off; headers and names are
looked at before pyfive builds anything from them; links, filters, external and virtual storage are refused by the type of their
message, before pyfive would follow them; pyfive never reads attributes (see hdf5_attributes.py). An array is a slice of the bytes that are there, so that no
allocation follows what a file merely declares. Why so: docs/decisions/0004-hdf5.md.
"""

import io
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import DepthwiseError, InvalidFileError, UnsupportedError, describe_value

if TYPE_CHECKING:
    from pyfive.dataobjects import DataObjects

__all__ = ["DamageError", "Dataset", "File"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

LARGEST_RANK = 32
LONGEST_NAME = 256
MOST_MESSAGES = 64
"""In one header; Keras' have up to eight. pyfive copies the header once for each that continues it elsewhere."""
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
"""How HDF5 describes IEEE floats, after the byte of kind and version: pyfive takes any float of four bytes for one."""


@dataclass(frozen=True)
class Dataset:
    """An array in the file: what it claims to be, and the bytes that are there for it (already checked to be as many)."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    data: memoryview

    def read(self) -> NDArray[np.generic]:
        """A copy of the values."""
        return self.view().copy()

    def view(self) -> NDArray[np.generic]:
        """The values where the file's bytes lie; read-only."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


class DamageError(Exception):
    """What is wrong with the file, in words for the end of a sentence."""


class _Bounded(io.BytesIO):
    """The file as pyfive sees it: no read beyond its end, and all reads together within the budget."""

    def __init__(self, data: bytes, budget: int) -> None:
        super().__init__(data)
        self._length, self._left = len(data), budget

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= self._length - self.tell():
            raise DamageError("a structure lies beyond the end of the file")
        self.spend(size)
        if size > LARGEST_STRUCTURE:
            raise DamageError(_TOO_MUCH)
        return super().read(size)

    def spend(self, size: int) -> None:
        """Takes what a read costs from the budget."""
        self._left -= max(size, LEAST_CHARGE)
        if self._left < 0:
            raise DamageError(_TOO_MUCH)

    def allow(self, size: int) -> None:
        """Adds to the budget."""
        self._left += size


class File:
    """The groups and arrays of an HDF5 file in memory.

    Args:
        data: the whole file.
        what: what the messages call it.
        structures: bytes that its structures (everything but the arrays' values) may have.

    Raises:
        InvalidFileError: truncated, damaged, or not HDF5 at all.
        UnsupportedError: legal HDF5 that Keras does not write; the message names what it is.
    """

    def __init__(self, data: bytes, what: str = "the weights file", structures: int = 2**24) -> None:
        from pyfive.misc_low_level import SuperBlock

        self.data = data
        self.what = what
        self._file = _Bounded(data, structures)
        self._groups: dict[str, dict[str, int]] = {}
        self._places: set[int] = set()
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        if not data.startswith(SIGNATURE):
            raise InvalidFileError(f"{what} is not an HDF5 file: it does not start with HDF5's signature")
        with self.reading("its start"):
            if data[8] != 0:
                raise UnsupportedError(
                    f"{what} is HDF5 of a layout that Keras does not write (superblock {data[8]}); copy it with HDF5's "
                    "h5repack --low=0 --high=0"
                )
            base, end = struct.unpack_from("<Q8xQ", data, 24)
            if base != 0 or end > len(data):
                raise InvalidFileError(f"{what} is truncated: it says it has {end} bytes, {len(data)} are there")
            self._root: int = SuperBlock(self._file, 0).offset_to_dataobjects

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
            data = memoryview(header.msg_data)
            starts = [(message["type"], message["offset_to_message"], message["size"]) for message in header.msgs]
            return [(kind, data[start : start + size]) for kind, start, size in starts]

    def heap(self, place: int) -> dict[int, tuple[int, int]]:
        """Place and size of every object of the global heap's collection at `place`, by its index."""
        if place not in self._heaps:
            with self.reading("the heap of its texts"):
                self._heaps[place] = self._collection(place)
        return self._heaps[place]

    def _collection(self, place: int) -> dict[int, tuple[int, int]]:
        signature, version, size = struct.unpack_from("<4sB3xQ", self.data, place)
        end = place + size
        if signature != b"GCOL" or version != 1 or end > len(self.data):
            raise DamageError("the heap of its texts is none, or lies beyond the end of the file")
        objects: dict[int, tuple[int, int]] = {}
        position = place + 16
        while position + 16 <= end:
            index, length = struct.unpack_from("<H6xQ", self.data, position)
            if index == 0:  # what is left is free
                break
            self.spend(LEAST_CHARGE)
            if position + 16 + length > end:
                raise DamageError("a text lies beyond the end of its heap")
            objects[index] = (position + 16, length)
            position += 16 + -(-length // 8) * 8
        return objects

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
        """Turns whatever pyfive raises into one sentence: on damaged files that can be anything, from KeyError to MemoryError."""
        try:
            yield
        except DepthwiseError:
            raise
        except DamageError as error:
            raise self._damaged(str(error)) from None
        except Exception as error:
            raise self._damaged(f"{part} cannot be read, or lies beyond the end of the file") from error

    def _header(self, place: int, path: str) -> "DataObjects":
        """The header at `place`: pyfive's, if it is a small one of the older layout without anything that is refused."""
        from pyfive.dataobjects import DataObjects

        version, messages = struct.unpack_from("<BxH", self.data, place)
        if version != 1:
            raise UnsupportedError(
                f"{self.what}: {describe_value(path)} has an object header of the newer layout, which Keras does not write"
            )
        if messages > MOST_MESSAGES:
            raise DamageError(
                f"the header of {describe_value(path)} has {messages} messages, at most {MOST_MESSAGES} are read"
            )
        header = DataObjects(self._file, place)
        for message in header.msgs:
            if message["type"] in _REFUSED:
                raise UnsupportedError(
                    f"{self.what}: {describe_value(path)} holds {_REFUSED[message['type']]}, which is refused for safety; "
                    f"{_COPY}"
                )
            if message["flags"] & _SHARED and message["type"] in (_DATASPACE, _DATATYPE, _LAYOUT, _SYMBOL_TABLE):
                raise UnsupportedError(
                    f"{self.what}: {describe_value(path)} shares its header with another object, which Keras does not write"
                )
        return header

    def _members(self, place: int, path: str) -> dict[str, int]:
        header = self._header(place, path)
        tables = header.find_msg_type(_SYMBOL_TABLE)
        if len(tables) != 1:
            raise DamageError(f"{describe_value(path)} should be a group and is none")
        # pyfive copies a name for every member: the longest is measured first, or many members of one long name would be too much.
        (heap,) = struct.unpack_from("<8xQ", header.msg_data, tables[0]["offset_to_message"])
        size, start = struct.unpack_from("<8xQ8xQ", self.data, heap)
        names = self.data[start : start + min(size, LARGEST_STRUCTURE)]
        if max(map(len, names.split(b"\0"))) > LONGEST_NAME:
            raise DamageError(f"a name in {describe_value(path)} is longer than {LONGEST_NAME} bytes")
        members: dict[str, int] = header.get_links()
        if any(not name or "/" in name for name in members):
            raise DamageError(f"a name in {describe_value(path)} is empty or holds a slash")
        if any(isinstance(member, str) for member in members.values()):
            raise UnsupportedError(f"{self.what} holds a soft link, which is refused for safety")
        return members

    def _dataset(self, place: int, path: str) -> Dataset:
        header = self._header(place, path)
        found = {kind: header.find_msg_type(kind) for kind in (_DATASPACE, _DATATYPE, _LAYOUT)}
        if not all(found.values()):
            raise DamageError(f"{describe_value(path)} should be an array and is none")
        datatype, layout = (
            memoryview(header.msg_data)[found[kind][0]["offset_to_message"] :] for kind in (_DATATYPE, _LAYOUT)
        )
        shape = header.shape
        if shape is None or len(shape) > LARGEST_RANK:
            raise DamageError(f"the shape of {describe_value(path)} cannot be read")
        self._check_numbers(datatype, path)
        dtype = np.dtype(header.ptype.dtype)
        data = self._contiguous(layout, path)
        # Shapes are exact Python integers: nothing can overflow.
        size = math.prod(shape) * dtype.itemsize
        if len(data) != size:
            raise DamageError(
                f"{describe_value(path)} claims the shape {describe_value(shape)}, {size} bytes, and has {len(data)}"
            )
        return Dataset(path, shape, dtype, data)

    def _check_numbers(self, body: memoryview, path: str) -> None:
        """Only plain numbers: pyfive would hand texts of the file to NumPy as types, and take any float for IEEE's."""
        kind, big_endian, size = body[0] & 15, body[1] & 1, int.from_bytes(body[4:8], "little")
        unusual = kind == _FLOAT and size in _IEEE and body[1:20] != _IEEE[size]
        if kind not in (_INTEGER, _FLOAT) or big_endian or unusual or size not in (1, 2, 4, 8):
            described = _KINDS[kind] if kind < len(_KINDS) else "unknown values"
            raise UnsupportedError(
                f"{self.what}: {describe_value(path)} holds {described} of {size} bytes; only plain little-endian numbers are "
                "read"
            )

    def _contiguous(self, body: memoryview, path: str) -> memoryview:
        version, kind = body[0], body[1]
        if version not in (3, 4) or kind != 1:
            named = {0: "a compact", 2: "a chunked", 3: "a virtual"}.get(kind, "an unknown")
            raise UnsupportedError(
                f"{self.what}: {describe_value(path)} has {named} storage (version {version}), Keras writes contiguous; "
                f"{_COPY}"
            )
        start, size = struct.unpack_from("<QQ", body, 2)
        if start + size > len(self.data):
            raise DamageError(f"the values of {describe_value(path)} are not in the file")
        return memoryview(self.data)[start : start + size]

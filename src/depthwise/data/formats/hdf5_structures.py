"""The structures of an HDF5 file that Keras writes: object headers of version 1, and groups of symbol tables.

Source: the HDF5 File Format Specification, version 2.0 (superblock 0, sections III.A, III.C, III.D and IV.A.1). What is not as it says
raises ValueError, KeyError, IndexError or struct.error; `hdf5.py` turns them into one sentence, and decides beforehand what is read at
all. Everything is read through an object that bounds it, so that no loop here outlasts the file.
"""

import struct
from typing import Protocol

from depthwise.dataclass import dataclass

__all__ = ["Header", "Message", "Reader", "header", "links", "root", "shape"]

_CONTINUATION = 0x10
_ENTRY = struct.Struct("<QQI4x16s")
"""Of a symbol table: where its name is in the heap, where its header is, what is cached, the cache."""
_LINK = 2
"""What is cached: the target of a soft link, a place in the heap."""
_END_OF_SUPERBLOCK = 56


class Reader(Protocol):
    """A file with a place to read from."""

    def seek(self, place: int) -> object: ...

    def read(self, size: int) -> bytes:
        """So many bytes, or an exception."""


@dataclass(frozen=True)
class Message:
    """A message of a header: its type and flags, where it starts in the header's data, and its bytes."""

    type: int
    flags: int
    start: int
    size: int


@dataclass(frozen=True)
class Header:
    """What an object says of itself.

    Attributes:
        messages: in their order.
        data: the bytes that they lie in.
    """

    messages: tuple[Message, ...]
    data: bytes

    def find(self, kind: int) -> list[memoryview]:
        """The bytes of each message of type `kind`, from its start on."""
        return [memoryview(self.data)[item.start :] for item in self.messages if item.type == kind]


def _unpack(file: Reader, layout: struct.Struct) -> tuple[int, ...]:
    return layout.unpack(file.read(layout.size))


def root(file: Reader) -> int:
    """Where the header of the root group is."""
    file.seek(8)
    versions = file.read(8)
    if versions[5:7] != b"\x08\x08":
        raise ValueError("addresses of other than 64 bits")
    file.seek(_END_OF_SUPERBLOCK)
    return _unpack(file, _ENTRY)[1]


_HEADER = struct.Struct("<BxHII4x")
_MESSAGE = struct.Struct("<HHB3x")


def header(file: Reader, place: int) -> Header:
    """The header of version 1 at `place`, continued wherever it says so."""
    file.seek(place)
    version, count, _, size = _unpack(file, _HEADER)
    if version != 1:
        raise ValueError("another version of headers")
    data, start, messages = file.read(size), 0, []
    for _ in range(count):
        kind, size, flags = _MESSAGE.unpack_from(data, start)
        start += _MESSAGE.size
        if kind == _CONTINUATION:
            place, more = struct.unpack_from("<QQ", data, start)
            file.seek(place)
            data += file.read(more)
        messages.append(Message(kind, flags, start, size))
        start += size
    return Header(tuple(messages), data)


def shape(dataspace: memoryview) -> tuple[int, ...] | None:
    """The shape that a dataspace message gives; None for one without elements."""
    version, rank = dataspace[0], dataspace[1]
    if version not in (1, 2):
        raise ValueError("another version of dataspaces")
    if version == 2 and dataspace[3] == 2:
        return None
    return struct.unpack_from(f"<{rank}Q", dataspace, 8 if version == 1 else 4)


_NODE = struct.Struct("<4sBBH16x")
_TABLE = struct.Struct("<4sBxH")
_HEAP = struct.Struct("<4sB3xQ8xQ")


def links(file: Reader, tree: int, heap: int) -> dict[str, int | None]:
    """Where the members of a group are, by name; None for a soft link.

    Args:
        tree: of the group's symbol tables, a B-tree of version 1.
        heap: of their names.
    """
    tables = _leaves(file, tree)
    file.seek(heap)
    signature, version, size, place = _HEAP.unpack(file.read(_HEAP.size))
    if (signature, version) != (b"HEAP", 0):
        raise ValueError("no heap")
    file.seek(place)
    names = file.read(size)
    found: dict[str, int | None] = {}
    for table in tables:
        file.seek(table)
        signature, _, count = _TABLE.unpack(file.read(_TABLE.size))
        if signature != b"SNOD":
            raise ValueError("no symbol table")
        for _ in range(count):
            start, member, cached, _ = _ENTRY.unpack(file.read(_ENTRY.size))
            name = names[start : names.index(b"\0", start)].decode()
            found[name] = None if cached == _LINK else member
    return found


def _leaves(file: Reader, place: int) -> list[int]:
    """The symbol tables of a B-tree, in the order of their names."""
    nodes, level = [place], None
    while level != 0:
        children: list[int] = []
        expected = None if level is None else level - 1
        for node in nodes:
            file.seek(node)
            signature, kind, level, count = _NODE.unpack(file.read(_NODE.size))
            if (signature, kind) != (b"TREE", 0) or (expected is not None and level != expected):
                raise ValueError("no node of a group")
            keys_and_children = struct.unpack(f"<{2 * count + 1}Q", file.read(16 * count + 8))
            children += keys_and_children[1::2]
        if not nodes:
            break
        nodes = children
    return nodes

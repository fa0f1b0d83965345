"""Writes the kind of HDF5 file that Keras writes and `depthwise.formats.hdf5` reads: plain groups of plain arrays.

The same tree gives the same bytes: no times, no random numbers. Source: "HDF5 File Format Specification Version 3.0", The HDF Group.

A file is laid out children first, so that every address is known when it is written: arrays, their headers, then for each group its
names (HEAP), entries (SNOD), tree (TREE) and header; the superblock at the start points at the root.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidArgumentError
from depthwise.formats.hdf5 import SIGNATURE, UNDEFINED

__all__ = ["Group", "write"]

SUPERBLOCK_BYTES = 96
TREE_ORDER = 16
"""HDF5's default: a tree node has at most 2 · 16 children."""

_DATATYPES = {
    np.dtype("<f4"): bytes.fromhex("11 20 1f 00 04000000 0000 2000 17 08 00 17 7f000000 00000000"),
    np.dtype("<i4"): bytes.fromhex("10 08 00 00 04000000 0000 2000 00000000"),
    np.dtype("<i8"): bytes.fromhex("10 08 00 00 08000000 0000 4000 00000000"),
}
_TEXT = bytes.fromhex("19 01 01 00 10000000 10 00 00 00 01000000 00000800 00000000")
"""A text of any length in UTF-8, as h5py writes attributes."""
_SCALAR = bytes.fromhex("01 00 00 00 00000000")
_FILL_VALUE = bytes.fromhex("02 02 02 01 00000000")

Node = "Group | NDArray[Any]"


@dataclass
class Group:
    """A group: members by name, and perhaps the attribute `name`, which Keras sets on the weights of a layer."""

    members: dict[str, "Group | NDArray[Any]"] = field(default_factory=dict)
    name: str | None = None


def write(members: Mapping[str, "Group | NDArray[Any]"]) -> bytes:
    """The bytes of an HDF5 file whose root has these members: groups, or arrays of float32, int32 or int64.

    Raises:
        InvalidArgumentError: an array of another type.
    """
    return _Writer(Group(dict(members))).finish()


class _Writer:
    def __init__(self, root: Group) -> None:
        self.root = root
        self.parts: list[bytes] = []
        self.size = SUPERBLOCK_BYTES
        self.texts: dict[str, int] = {}
        groups = list(_groups(root))
        self.texts_place = self._put(self._collection([group.name for group in groups if group.name is not None]))
        largest = max(len(group.members) for group in groups)
        # A node of the tree holds 2 · TREE_ORDER leaves and each leaf 2 · leaf_order names: enough for one level.
        self.leaf_order = max(4, -(-largest // (4 * TREE_ORDER)))

    def finish(self) -> bytes:
        header, tree, heap = self._group(self.root)
        superblock = (
            SIGNATURE
            + struct.pack("<8B", 0, 0, 0, 0, 0, 8, 8, 0)
            + struct.pack("<HHI", self.leaf_order, TREE_ORDER, 0)
            + struct.pack("<4Q", 0, UNDEFINED, self.size, UNDEFINED)
            + struct.pack("<QQII", 0, header, 1, 0)
            + struct.pack("<QQ", tree, heap)
        )
        return b"".join([superblock, *self.parts])

    def _put(self, data: bytes) -> int:
        place = self.size
        padded = data + bytes(-len(data) % 8)
        self.parts.append(padded)
        self.size += len(padded)
        return place

    def _collection(self, names: list[str]) -> bytes:
        """The global heap: where attributes keep texts of any length."""
        body = b""
        for index, name in enumerate(dict.fromkeys(names), 1):
            text = name.encode()
            self.texts[name] = index
            body += struct.pack("<HHIQ", index, 0, 0, len(text)) + text + bytes(-len(text) % 8)
        size = max(4096, 16 + len(body) + 16)
        free = size - 16 - len(body)
        return struct.pack("<4sB3xQ", b"GCOL", 1, size) + body + struct.pack("<HHIQ", 0, 0, 0, free) + bytes(free - 16)

    def _header(self, messages: list[tuple[int, bytes]]) -> int:
        body = b""
        for kind, data in messages:
            padded = data + bytes(-len(data) % 8)
            body += struct.pack("<HHB3x", kind, len(padded), 0) + padded
        return self._put(struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body)

    def _group(self, group: Group) -> tuple[int, int, int]:
        """(place of the header, of the tree, of the heap)."""
        # Trees are sorted by the names' bytes, as strcmp compares them.
        members = sorted((name.encode(), member) for name, member in group.members.items()) if group.members else []
        names, entries = bytearray(8), []
        for name, member in members:
            offset = len(names)
            names += name + b"\0" + bytes(-(len(name) + 1) % 8)
            entries.append((offset, self._entry(offset, member)))
        heap_data = self._put(bytes(names))
        heap = self._put(struct.pack("<4sB3xQQQ", b"HEAP", 0, len(names), 1, heap_data))
        tree = self._tree(entries)
        messages = [(0x11, struct.pack("<QQ", tree, heap))]
        if group.name is not None:
            messages.append((0x0C, self._attribute(group.name)))
        return self._header(messages), tree, heap

    def _entry(self, name_offset: int, member: "Group | NDArray[Any]") -> bytes:
        if isinstance(member, Group):
            header, tree, heap = self._group(member)
            return struct.pack("<QQIIQQ", name_offset, header, 1, 0, tree, heap)
        return struct.pack("<QQII16x", name_offset, self._dataset(member), 0, 0)

    def _tree(self, entries: list[tuple[int, bytes]]) -> int:
        per_leaf = 2 * self.leaf_order
        keys, children = [0], []
        for start in range(0, len(entries), per_leaf):
            leaf = entries[start : start + per_leaf]
            body = struct.pack("<4sBxH", b"SNOD", 1, len(leaf)) + b"".join(entry for _, entry in leaf)
            children.append(self._put(body.ljust(8 + 40 * per_leaf, b"\0")))
            keys.append(leaf[-1][0])
        body = struct.pack("<4sBBHQQ", b"TREE", 0, 0, len(children), UNDEFINED, UNDEFINED) + struct.pack("<Q", keys[0])
        for key, child in zip(keys[1:], children):
            body += struct.pack("<QQ", child, key)
        return self._put(body.ljust(24 + 8 * (4 * TREE_ORDER + 1), b"\0"))

    def _dataset(self, array: NDArray[Any]) -> int:
        datatype = _DATATYPES.get(array.dtype.newbyteorder("<"))
        if datatype is None:
            raise InvalidArgumentError(
                f"arrays of {array.dtype} are not written to a .keras file; convert it to float32"
            )
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        place = self._put(data)
        sizes = struct.pack(f"<{array.ndim}Q", *array.shape)
        dataspace = struct.pack("<BBB5x", 1, array.ndim, 1) + sizes + sizes if array.ndim else _SCALAR
        layout = struct.pack("<BBQQ", 3, 1, place, len(data))
        return self._header([(0x01, dataspace), (0x03, datatype), (0x05, _FILL_VALUE), (0x08, layout)])

    def _attribute(self, text: str) -> bytes:
        value = struct.pack("<IQI", len(text.encode()), self.texts_place, self.texts[text])
        return struct.pack("<BxHHH8s", 1, 5, len(_TEXT), len(_SCALAR), b"name") + _TEXT + _SCALAR + value


def _groups(group: Group) -> "list[Group]":
    found = [group]
    for member in group.members.values():
        if isinstance(member, Group):
            found += _groups(member)
    return found

"""Writes the kind of HDF5 file that Keras writes and `depthwise.data.formats.hdf5` reads, with h5py: plain groups of plain arrays.

The same tree gives the same bytes: h5py notes no times unless asked to. Why h5py writes and does not read: docs/decisions/0004-hdf5.md.
"""

import io
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value

if TYPE_CHECKING:
    import h5py

__all__ = ["Group", "write"]

_WRITTEN = (np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64))


@dataclass
class Group:
    """A group: members by name, perhaps the attribute `name`, which Keras sets on the weights of a layer, and others."""

    members: dict[str, "Group | NDArray[Any]"] = field(default_factory=dict)
    name: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def write(members: Mapping[str, "Group | NDArray[Any]"] | Group) -> bytes:
    """The bytes of an HDF5 file whose root is this group, or has these members: groups, or arrays of float32, int32 or int64.

    Raises:
        InvalidArgumentError: an array of another type, or a name that HDF5 cannot hold.
    """
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="earliest") as file:
        _fill(file, members if isinstance(members, Group) else Group(dict(members)))
    return buffer.getvalue()


def _fill(place: "h5py.Group", group: Group) -> None:
    if group.name is not None:
        try:
            place.attrs["name"] = group.name
        except ValueError as error:  # zero characters and half surrogates
            raise InvalidArgumentError(
                f"the name {describe_value(group.name)} cannot be written to a .keras file; choose one of plain characters"
            ) from error
    for name, value in group.attributes.items():
        place.attrs[name] = value
    for name, member in group.members.items():
        if isinstance(member, Group):
            _fill(place.create_group(name), member)
        elif member.dtype in _WRITTEN:
            place.create_dataset(name, data=member, dtype=member.dtype.newbyteorder("<"))
        else:
            raise InvalidArgumentError(
                f"arrays of {member.dtype} are not written to a .keras file; convert it to float32"
            )

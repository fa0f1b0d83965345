"""Models and weights as `.h5` files of the older kind, which `keras.models.load_model` of Keras 3 opens; see legacy_h5.py."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats import compilation
from depthwise.data.formats.config import model_config
from depthwise.data.formats.hdf5_write import Group, write
from depthwise.data.formats.keras_file import KERAS_VERSION, OWN, check_target
from depthwise.data.formats.saved import SavedNetwork
from depthwise.files import atomic_write_bytes
from depthwise.network.graph import Graph
from depthwise.network.tree import Member, ModelTree

__all__ = ["write_h5", "write_h5_weights"]

PathLike = str | os.PathLike[str]
Arrays = list[tuple[str, NDArray[Any]]]

ATTRIBUTES = 64_512
"""Bytes that HDF5 keeps in a header: longer lists of names are split, as Keras does."""


def write_h5(network: SavedNetwork, filepath: PathLike, overwrite: bool = True) -> None:
    """Writes a whole model, wholly or not at all; the optimizer's state is in `.keras` files only.

    Raises:
        InvalidArgumentError: another ending than .h5 or .hdf5, or the file exists and `overwrite` is False.
        DepthwiseError: the folder cannot be written to, or the disk is full; an old file is then as it was.
    """
    check_target(filepath, (".h5", ".hdf5"), overwrite)
    attributes: dict[str, Any] = {**_versions(), "model_config": json.dumps(model_config(network.tree)).encode()}
    said = compilation.config_of(network)
    if said:
        optimizer = said.pop("optimizer")
        said["optimizer_config"] = {"class_name": optimizer["class_name"], "config": optimizer["config"]}
        attributes["training_config"] = json.dumps(said).encode()
    if network.usage.facts():
        attributes[OWN] = json.dumps(network.usage.facts()).encode()
    root = Group({"model_weights": _weights(network)}, attributes=attributes)
    atomic_write_bytes(filepath, write(root))


def write_h5_weights(network: SavedNetwork, filepath: PathLike, overwrite: bool = True) -> None:
    """Writes the weights alone, as `save_weights("name.h5")` of Keras 2 does; raises what `write_h5` does."""
    check_target(filepath, (".h5", ".hdf5"), overwrite)
    atomic_write_bytes(filepath, write(_weights(network)))


def _versions() -> dict[str, Any]:
    return {"backend": b"tensorflow", "keras_version": KERAS_VERSION.encode()}


def _weights(network: SavedNetwork) -> Group:
    graph, tree = network.graph, network.tree
    members = [member for member in tree.members if not (tree.is_sequential and member is tree.members[0])]
    result = Group(attributes=_versions() | _names("layer_names", [str(member.name) for member in members]))
    for member in members:
        items = list(_in_order(graph, network.weights, member, ()))
        arrays = [(name, array) for learnt in (True, False) for name, array, kind in items if kind is learnt]
        group = Group(attributes=_names("weight_names", [name for name, _ in arrays]))
        for name, array in arrays:
            place = group
            *parents, last = name.split("/")
            for parent in parents:
                inner = place.members.setdefault(parent, Group())
                assert isinstance(inner, Group)
                place = inner
            place.members[last] = array
        result.members[str(member.name)] = group
    result.members["top_level_model_weights"] = Group(attributes=_names("weight_names", []))
    return result


def _in_order(
    graph: Graph, weights: Mapping[str, NDArray[Any]], member: Member, path: tuple[str, ...], frozen: bool = False
) -> Iterator[tuple[str, NDArray[Any], bool]]:
    """(name, values, whether training changes it) of every weight within, layer by layer."""
    own = (*path, str(member.name))
    if isinstance(member, ModelTree):
        for part in member.members:
            yield from _in_order(graph, weights, part, own, frozen or not member.trainable)
        return
    call = graph.layers.get(own)
    for weight in call.weights if call is not None else ():
        key = call.key(weight.name)  # type: ignore[union-attr]
        yield f"{key}:0", weights[key], weight.trainable and not frozen


def _names(attribute: str, names: Sequence[str]) -> dict[str, Any]:
    """The attribute with names, or its parts where HDF5 has not the room for one."""
    encoded = [name.encode() for name in names]
    if not encoded:
        return {attribute: np.array([], dtype=np.float64)}  # what Keras writes
    parts = 1
    while any(_size(part) > ATTRIBUTES for part in np.array_split(np.array(encoded), parts)):
        parts += 1
    if parts == 1:
        return {attribute: np.array(encoded)}
    return {f"{attribute}{index}": part for index, part in enumerate(np.array_split(np.array(encoded), parts))}


def _size(part: NDArray[Any]) -> int:
    return part.nbytes

"""Whole models and weights in HDF5 as Keras 1 and 2, tf.keras and Keras 3's legacy writer keep them.

The config and the training configuration are texts in attributes of the root. The weights of each layer are in a group that has its
name; attributes say in which order layers (`layer_names`) and arrays (`weight_names`) follow each other, and order is what counts:
first what training changes, then the rest, through the models inside.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats.config import Parsed, parse_model
from depthwise.data.formats.dialect import Dialect
from depthwise.data.formats.hdf5 import Dataset, File
from depthwise.data.formats.hdf5_attributes import text, texts
from depthwise.data.formats.json_text import parse_json
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidFileError, UnsupportedError, describe_value
from depthwise.network.graph import Call, Graph, LayerPath
from depthwise.network.tree import Member, ModelTree

__all__ = ["CONFIG", "TRAINING", "WEIGHTS", "is_legacy", "read_config", "read_into", "read_tree_weights", "version_of"]

Float32 = NDArray[np.float32]

CONFIG, TRAINING, WEIGHTS = "model_config", "training_config", "model_weights"
STRUCTURES = 2**22
"""Bytes that HDF5's own structures may have before the network is known: names, and the attributes with the config."""
DEEPEST_NAME = 32
"""Parts of the name of a weight."""


def is_legacy(file: File) -> bool:
    """Whether the file has weights as older Keras writes them, with or without the model."""
    return _root(file) is not None


def _root(file: File) -> str | None:
    """The group with the weights: that of a whole model, or the root of a file of weights."""
    if texts(file, WEIGHTS, "layer_names") is not None:
        return WEIGHTS
    return "" if texts(file, "", "layer_names") is not None else None


def version_of(file: File) -> str:
    """The version of the Keras that wrote the file, "1" where it does not say."""
    return text(file, "", "keras_version") or text(file, WEIGHTS, "keras_version") or "1"


def read_config(file: File, custom_objects: Mapping[str, Any] | None = None) -> Parsed:
    """The network that the file describes.

    Raises:
        InvalidFileError: it holds weights only, or contradicts itself.
        UnsupportedError: a layer or an option that Depthwise does not have.
    """
    config = text(file, "", CONFIG)
    if config is None:
        raise InvalidFileError(
            f"{file.what} holds weights only, no model; make the model first and give the file to its load_weights"
        )
    what = f"{CONFIG} in {file.what}"
    parsed = parse_model(parse_json(config, what), what, Dialect(what, version_of(file), custom_objects or {}))
    file.allow(2**14 * len(parsed.graph.calls))
    return parsed


# The weights.


@dataclass(frozen=True)
class _Slot:
    """One weight of the network, in its place in the file's order."""

    key: str
    name: str
    shape: tuple[int, ...]


def read_tree_weights(file: File, graph: Graph, tree: ModelTree) -> dict[str, Float32]:
    """Every weight of the graph by `WeightKey.text`, found by order.

    Raises:
        InvalidFileError: the file has the weights of another network, or is damaged.
    """
    root = _root(file)
    if root is None:
        raise InvalidFileError(f"{file.what} holds no weights of a Keras model: it has no layer_names")
    groups = [
        (name, names) for name in texts(file, root, "layer_names") or [] if (names := _weight_names(file, root, name))
    ]
    members = [member for member in tree.members if _slots(graph, member, ())]
    if len(groups) != len(members):
        raise InvalidFileError(
            f"{file.what} has weights for {len(groups)} layers, the network has {len(members)} layers with weights"
        )
    found: dict[str, Float32] = {}
    for (group, names), member in zip(groups, members):
        found |= _group_weights(file, f"{root}/{group}".strip("/"), names, graph, member)
    return {key: found[key] for key in graph.weight_shapes}


def read_into(
    file: File, graph: Graph, tree: ModelTree, by_name: bool, skip_mismatch: bool
) -> tuple[dict[str, Float32], list[str]]:
    """Weights for some layers: those whose name is in the file, or all in order.

    Returns:
        The weights by `WeightKey.text`, and a sentence for each layer that was left as it is.

    Raises:
        InvalidFileError: a layer does not fit and `skip_mismatch` is False, or the file is damaged.
    """
    root = _root(file)
    if root is None:
        raise InvalidFileError(f"{file.what} holds no weights by name: it has no layer_names")
    members = {str(member.name): member for member in tree.members if _slots(graph, member, ())}
    names = texts(file, root, "layer_names") or []
    if not by_name:
        names = [name for name in names if _weight_names(file, root, name)]
        if len(names) != len(members):
            raise InvalidFileError(
                f"{file.what} has weights for {len(names)} layers, the network has {len(members)} layers with weights"
            )
    pairs = zip(names, [name.replace("/", "_") for name in names] if by_name else members)
    found: dict[str, Float32] = {}
    skipped: list[str] = []
    for group, own in pairs:
        if own not in members:
            continue
        try:
            found |= _group_weights(
                file, f"{root}/{group}".strip("/"), _weight_names(file, root, group), graph, members[own]
            )
        except InvalidFileError as error:
            if not skip_mismatch:
                raise
            skipped.append(str(error))
    return found, skipped


def _weight_names(file: File, root: str, layer: str) -> list[str]:
    path = f"{root}/{layer}".strip("/")
    _check_path(file, path)
    names = texts(file, path, "weight_names")
    if names is None:
        raise InvalidFileError(f"{file.what}: the group {describe_value(path)} is missing or has no weight_names")
    return names


def _check_path(file: File, path: str) -> None:
    if path.count("/") > DEEPEST_NAME:
        raise InvalidFileError(
            f"{file.what} holds the name {describe_value(path)}, which is too deep to be one of Keras'"
        )


def _group_weights(file: File, group: str, names: Sequence[str], graph: Graph, member: Member) -> dict[str, Float32]:
    arrays = [_dataset(file, f"{group}/{name}") for name in names]
    kinds = [re.sub(r"(_\d+)?(:\d+)?$", "", name.rpartition("/")[2]) for name in names]
    own = describe_value(member.name)
    orders = _orders(graph, member)
    if len(orders[0]) != len(arrays):
        raise InvalidFileError(
            f"{file.what}: the layer {own} needs {len(orders[0])} weights, the file has {len(arrays)}"
        )
    fitting = [order for order in orders if all(slot.shape == array.shape for slot, array in zip(order, arrays))]
    if not fitting:
        slot, array = next(pair for pair in zip(orders[0], arrays) if pair[0].shape != pair[1].shape)
        raise InvalidFileError(
            f"{file.what}: {describe_value(slot.key)} must have the shape {slot.shape} by the config, the file has "
            f"{describe_value(array.shape)}"
        )
    # Names break the tie where several orders have the same shapes: gamma and beta of neighbours do.
    best = max(fitting, key=lambda order: sum(slot.name == kind for slot, kind in zip(order, kinds)))
    mirrored = _mirrored(file)
    return {slot.key: _values(file, array, slot, mirrored) for slot, array in zip(best, arrays)}


def _orders(graph: Graph, member: Member) -> list[list[_Slot]]:
    """The orders in which Keras of some version writes the weights of one layer or model."""
    slots = _slots(graph, member, ())
    if not isinstance(member, ModelTree):
        return [[slot for slot, _, _ in slots]]
    by_flags = [slot for slot, learnt, _ in slots if learnt] + [slot for slot, learnt, _ in slots if not learnt]
    by_kind = [slot for slot, _, kind in slots if kind] + [slot for slot, _, kind in slots if not kind]
    return [by_flags, by_kind, [slot for slot, _, _ in slots]]


def _slots(graph: Graph, member: Member, path: LayerPath) -> list[tuple[_Slot, bool, bool]]:
    """(weight, whether training changes it, whether it would in a layer that is not frozen), layer by layer."""
    own = (*path, str(member.name))
    if isinstance(member, ModelTree):
        inner = [item for part in member.members for item in _slots(graph, part, own)]
        return inner if member.trainable else [(slot, False, kind) for slot, _, kind in inner]
    call = graph.layers.get(own)
    return [] if call is None else list(_slots_of(call))


def _slots_of(call: Call) -> Iterator[tuple[_Slot, bool, bool]]:
    for weight in call.weights:
        slot = _Slot(call.key(weight.name), weight.name, weight.shape)
        yield slot, weight.trainable, not weight.name.startswith(("moving_", "mean", "variance", "count"))


def _dataset(file: File, path: str) -> Dataset:
    _check_path(file, path)
    dataset = file.dataset(path)
    if dataset is None:
        raise InvalidFileError(f"{file.what}: the weight {describe_value(path)} is missing")
    return dataset


def _mirrored(file: File) -> bool:
    """Whether convolutions were written by Theano, which mirrors its kernels."""
    return (text(file, "", "backend") or text(file, WEIGHTS, "backend")) == "theano"


def _values(file: File, dataset: Dataset, slot: _Slot, mirrored: bool) -> Float32:
    if dataset.dtype.kind not in ("fiu" if slot.shape == () else "f"):  # Normalization's count
        raise UnsupportedError(
            f"{file.what}: {describe_value(slot.key)} must hold floats, the file has {dataset.dtype}"
        )
    values = dataset.read().astype(np.float32, copy=False)
    if mirrored and slot.name in ("kernel", "depthwise_kernel") and values.ndim == 4:
        return np.ascontiguousarray(values[::-1, ::-1])
    return values


def warn_of(what: str, policies: Sequence[str], stacklevel: int) -> None:
    """Says once that the arithmetic is float32, where the layers were made for another."""
    if policies:
        warnings.warn(
            f"{what}: the model was made for {', '.join(policies)}; Depthwise computes in float32, so results differ in the "
            "last digits that the other has",
            stacklevel=stacklevel,
        )

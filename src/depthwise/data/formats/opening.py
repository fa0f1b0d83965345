"""Any file with a model → a saved network: which reader it needs is seen from its first bytes, not from its name."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats import compilation, keras_file, legacy_h5, tfjs
from depthwise.data.formats.dialect_training import modern_training
from depthwise.data.formats.hdf5 import SIGNATURE, File
from depthwise.data.formats.hdf5_attributes import text
from depthwise.data.formats.json_text import parse_json
from depthwise.data.formats.saved import SavedNetwork
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, describe_value
from depthwise.network.graph import Graph
from depthwise.network.tree import ModelTree
from depthwise.registration import known_objects
from depthwise.usage import Usage

__all__ = ["is_onnx", "open_h5", "read_any", "read_some_weights", "starts_with"]

PathLike = str | os.PathLike[str]


def read_any(
    filepath: PathLike,
    compile: bool = True,
    custom_objects: Mapping[str, Any] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    external_data: PathLike | None = None,
) -> SavedNetwork:
    """The network in a file, or folder, of any kind that Depthwise reads.

    Args:
        filepath: a `.keras` file, HDF5 (`.h5`, `.hdf5`) of Keras 1 to 3, an `.onnx` file, or the `model.json` of TensorFlow.js or
            its folder.
        compile: also read optimizer, loss and metrics where the file has them.
        custom_objects: what the user says of names in it; see `depthwise.models.load_model`.
        shapes, external_data: of an ONNX file; see `depthwise.models.load_model`.

    Raises:
        InvalidFileError: no such file, none of these kinds, truncated, damaged, or it contradicts itself.
        UnsupportedError: it holds something that Depthwise does not have; the message names it.
    """
    custom_objects = known_objects(custom_objects)
    if starts_with(filepath, SIGNATURE):
        return _legacy(filepath, compile, custom_objects)
    if is_onnx(filepath):
        from depthwise.data.formats.onnx.reading.opening import load  # a dozen files that other formats do not need

        return load(filepath, shapes, external_data).saved
    if shapes is not None or external_data is not None:
        raise InvalidArgumentError(
            f"shapes and external_data are for ONNX files, and {describe_value(os.fspath(filepath), 200)} is none; leave them out"
        )
    described = tfjs.find_json(filepath)
    if described is not None:
        return _tfjs(described, custom_objects)
    return keras_file.read_model(filepath, compile, custom_objects)


def is_onnx(filepath: PathLike) -> bool:
    """Whether it is an ONNX file: by its name, or as a message whose first field is the version of its format."""
    if os.path.isdir(filepath):
        return False
    if os.fspath(filepath).endswith((".onnx", ".ort")):
        return True
    return any(starts_with(filepath, bytes([8, version])) for version in range(3, 32))


def starts_with(filepath: PathLike, signature: bytes) -> bool:
    """Whether the file begins so; False where it cannot be read."""
    if not os.path.isfile(filepath):
        return False
    try:
        with open(filepath, "rb") as file:
            return file.read(len(signature)) == signature
    except OSError:
        return False


@contextmanager
def open_h5(filepath: PathLike) -> Iterator[File]:
    """The groups and arrays of an HDF5 file, to be read as long as it is open.

    Raises:
        InvalidFileError: it cannot be read, or is damaged.
    """
    what = describe_value(os.fspath(filepath), 200)
    try:
        with keras_file.open_file(filepath, what) as file:
            yield File(file, what, legacy_h5.STRUCTURES)
    except DepthwiseError:
        raise
    except OSError as error:
        raise InvalidFileError(f"{what} cannot be read: {describe_value(str(error))[1:-1]}") from error


def _legacy(filepath: PathLike, compile: bool, custom_objects: Mapping[str, Any] | None) -> SavedNetwork:
    with open_h5(filepath) as file:
        parsed = legacy_h5.read_config(file, custom_objects)
        weights = legacy_h5.read_tree_weights(file, parsed.graph, parsed.written)
        legacy_h5.warn_of(file.what, parsed.policies, stacklevel=5)
        training = None
        config = text(file, "", legacy_h5.TRAINING) if compile else None
        if config is not None:
            said = modern_training(parse_json(config, f"{legacy_h5.TRAINING} in {file.what}"))
            training = compilation.read(said, file, parsed.graph, stacklevel=5, legacy=True)
        own = text(file, "", keras_file.OWN)
        usage = Usage() if own is None else Usage.from_facts(parse_json(own, keras_file.OWN), file.what)
    return SavedNetwork(parsed.tree, weights, training, usage)


def _tfjs(path: Path, custom_objects: Mapping[str, Any] | None) -> SavedNetwork:
    manifest = tfjs.read_parts(path, custom_objects)
    weights = tfjs.read_shards(manifest, path.parent)
    legacy_h5.warn_of(manifest.what, manifest.parsed.policies, stacklevel=5)
    return SavedNetwork(manifest.parsed.tree, weights)


def read_some_weights(
    graph: Graph, tree: ModelTree, filepath: PathLike, by_name: bool, skip_mismatch: bool
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """Weights for a network that is there already, from a file of any kind that has some.

    Args:
        graph: the network.
        tree: the same as its author nested it.
        filepath: `.keras`, `.weights.h5` or `.h5`.
        by_name: find layers by their name; those that the file does not have stay as they are.
        skip_mismatch: leave out layers whose weights have other shapes.

    Returns:
        The weights by `WeightKey.text`, and a sentence for each layer that was left out.

    Raises:
        InvalidFileError: the file is damaged, or holds the weights of another network.
    """
    if starts_with(filepath, SIGNATURE):
        with open_h5(filepath) as file:
            if legacy_h5.is_legacy(file):
                file.allow(2**14 * len(graph.calls))
                return legacy_h5.read_into(file, graph, tree, by_name, skip_mismatch)
    if by_name:
        raise InvalidFileError(
            f"{describe_value(os.fspath(filepath), 200)} keeps its weights without the names of layers, so by_name=True finds "
            "nothing; leave by_name out"
        )
    return keras_file.read_weights(graph, filepath), []

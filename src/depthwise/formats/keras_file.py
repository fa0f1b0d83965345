"""`.keras` and `.weights.h5` files, as Keras 3 writes and reads them.

A `.keras` file is a zip of `metadata.json`, `config.json` and `model.weights.h5`. The weights of a layer lie at
`layers/<class>[_<number>]/vars/<index>`: the snake-case name of its class, numbered in the order of the config, not its own name.
Nothing in a file is run, extracted, or used as a path; every size is checked before it is allocated.
"""

import datetime
import io
import json
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from depthwise.arithmetic import BYTES_PER_NUMBER
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError, describe_value
from depthwise.files import atomic_write_bytes
from depthwise.formats import compilation
from depthwise.formats.config import Parsed, model_config, parse_model
from depthwise.formats.hdf5 import File
from depthwise.formats.hdf5_write import Group, write
from depthwise.formats.json_text import parse_json
from depthwise.graph import Graph, snake_case
from depthwise.layers.description import Description
from depthwise.layers.input import InputLayer

if TYPE_CHECKING:
    from depthwise.models import Model

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

Float32 = NDArray[np.float32]
PathLike = str | os.PathLike[str]

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
KERAS_VERSION = "3.8.0"
"""The oldest Keras whose files ours are like; written into the metadata, which Keras shows and does not check."""

LARGEST_METADATA = 64 * 2**10
LARGEST_CONFIG = 16 * 2**20
LARGEST_DIRECTORY = 2**20

_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    ValueError,
    OSError,
)


def load_model(
    filepath: PathLike, custom_objects: None = None, compile: bool = True, safe_mode: bool = True
) -> "Model":
    """The model in a `.keras` file of Keras 3 or of Depthwise.

    Args:
        filepath: the file.
        custom_objects: must be None: custom layers are not supported.
        compile: also restore optimizer, loss and metrics where the file has them. What is not supported among them is left
            out with a warning; the model predicts all the same.
        safe_mode: taken for Keras' sake; code in a file is never run, whatever it says.

    Raises:
        InvalidFileError: no such file, not a `.keras` file, truncated, damaged, or it contradicts itself.
        UnsupportedError: it holds something that Depthwise does not have; the message names it.
    """
    from depthwise.models import Model

    if custom_objects:
        raise UnsupportedError("custom_objects is not supported; only Keras' own layers are read")
    what = describe_value(os.fspath(filepath), 200)
    try:
        with _open(filepath, what) as file, _archive(file, what) as archive:
            members = _members(archive, what)
            _check_version(_read(archive, members[METADATA], LARGEST_METADATA, what), what)
            config = parse_json(_read(archive, members[CONFIG], LARGEST_CONFIG, what), f"{CONFIG} in {what}")
            parsed = parse_model(config, f"{CONFIG} in {what}")
            data = _read(archive, members[WEIGHTS], _largest_weights(parsed.graph), what)
    except DepthwiseError:
        raise
    except _DAMAGE as error:
        raise InvalidFileError(f"{what} is damaged or truncated: {describe_value(str(error))[1:-1]}") from error
    file_of_weights = File(data, f"{WEIGHTS} in {what}", _largest_structures(parsed.graph))
    weights = _read_weights(file_of_weights, parsed.graph, _order_of(parsed))
    model = Model.from_graph(parsed.graph, weights, parsed.output_keys)
    if compile:
        compilation.restore(model, config.get("compile_config"), file_of_weights)
    return model


def save_model(model: "Model", filepath: PathLike, overwrite: bool = True) -> None:
    """Writes a `.keras` file that `keras.models.load_model` of Keras 3 reads, wholly or not at all.

    Raises:
        InvalidArgumentError: the name does not end in .keras, or the file exists and `overwrite` is False.
        DepthwiseError: the folder cannot be written to, or the disk is full; an old file is then as it was.
    """
    _check_target(filepath, ".keras", overwrite)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata = {"keras_version": KERAS_VERSION, "date_saved": now}
    config = model_config(model) | {"compile_config": compilation.config_of(model)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(METADATA), json.dumps(metadata))
        archive.writestr(zipfile.ZipInfo(CONFIG), json.dumps(config))
        archive.writestr(zipfile.ZipInfo(WEIGHTS), _weights_file(model))
    atomic_write_bytes(filepath, buffer.getvalue())


def save_weights(model: "Model", filepath: PathLike, overwrite: bool = True) -> None:
    """Writes a `.weights.h5` file that `load_weights` of Keras 3 reads; raises what `save_model` does."""
    _check_target(filepath, ".weights.h5", overwrite)
    atomic_write_bytes(filepath, _weights_file(model))


def load_weights(model: "Model", filepath: PathLike) -> None:
    """Reads the weights of a `.weights.h5` or `.keras` file into a model with the same layers.

    Raises:
        InvalidFileError: the file is damaged, or holds the weights of another network; the model is as before.
    """
    what = describe_value(os.fspath(filepath), 200)
    largest = _largest_weights(model.graph)
    try:
        with _open(filepath, what) as file:
            if os.fspath(filepath).endswith(".keras"):
                with _archive(file, what) as archive:
                    data = _read(archive, _members(archive, what)[WEIGHTS], largest, what)
            else:
                data = file.read(largest + 1)
                if len(data) > largest:
                    raise InvalidFileError(
                        f"{what} is larger than the weights of this model can be ({largest:,} bytes)"
                    )
    except DepthwiseError:
        raise
    except _DAMAGE as error:
        raise InvalidFileError(f"{what} is damaged or truncated: {describe_value(str(error))[1:-1]}") from error
    file_of_weights = File(data, what, _largest_structures(model.graph))
    model.set_weights_by_name(_read_weights(file_of_weights, model.graph, _layers_of(model.graph)))


# The zip.


def _open(filepath: PathLike, what: str) -> BinaryIO:
    try:
        regular = stat.S_ISREG(os.stat(filepath).st_mode)  # opening a pipe would wait for ever
        if regular:
            return open(filepath, "rb")
    except FileNotFoundError:
        raise InvalidFileError(f"{what} does not exist") from None
    except (OSError, ValueError) as error:
        raise InvalidFileError(f"{what} cannot be read: {describe_value(str(error))[1:-1]}") from error
    raise InvalidFileError(f"{what} is not a file")


def _archive(file: BinaryIO, what: str) -> zipfile.ZipFile:
    """The opened zip, after a look at the size of its directory, which `zipfile` reads whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16 - 42))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 22:
        file.seek(0)
        kind = (
            "an HDF5 file of the older Keras format; save it as .keras"
            if file.read(4) == b"\x89HDF"
            else "not a .keras file"
        )
        raise InvalidFileError(f"{what} is truncated or {kind}: the directory of the zip is missing")
    if tail[max(0, place - 20) : place].startswith(b"PK\x06\x07"):
        raise UnsupportedError(f"{what} is a zip of more than 2 GiB (zip64), which is not supported")
    (directory,) = struct.unpack_from("<I", tail, place + 12)
    if directory > LARGEST_DIRECTORY:
        raise InvalidFileError(f"{what} is not a .keras file: its zip directory has {directory:,} bytes")
    return zipfile.ZipFile(file)


def _members(archive: zipfile.ZipFile, what: str) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename in members:
            raise InvalidFileError(f"{what} holds {describe_value(info.filename)} twice")
        if info.filename in (METADATA, CONFIG, WEIGHTS):
            members[info.filename] = info
        elif info.filename.startswith("model.weights"):
            raise UnsupportedError(
                f"{what} holds its weights as {describe_value(info.filename)}; {WEIGHTS} is supported"
            )
        elif not info.filename.startswith("assets/"):
            raise InvalidFileError(f"{what} is not a .keras file: it holds {describe_value(info.filename)}")
    for name in (METADATA, CONFIG, WEIGHTS):
        if name not in members:
            raise InvalidFileError(f"{what} is not a .keras file: it has no {name}")
    return members


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, largest: int, what: str) -> bytes:
    if info.file_size > largest:
        raise InvalidFileError(
            f"{info.filename} in {what} would unpack to {info.file_size:,} bytes, where {largest:,} are plausible; it is refused"
        )
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedError(f"{info.filename} in {what} is encrypted or packed in a way that Keras does not use")
    with archive.open(info) as member:
        data = member.read(largest + 1)
    if len(data) != info.file_size:
        raise InvalidFileError(f"{info.filename} in {what} is truncated")
    return data


def _check_version(text: bytes, what: str) -> None:
    metadata = parse_json(text, f"{METADATA} in {what}")
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version.startswith("3."):
        raise UnsupportedError(
            f"{what} was written by Keras {describe_value(version)}; files of Keras 3 are read, load and save it with that first"
        )


# The weights.


def _layers_of(graph: Graph) -> list[Description]:
    """The layers as Keras numbers them: without the input where the model is sequential."""
    return [node.layer for node in graph.calls if not (graph.is_sequential and isinstance(node.layer, InputLayer))]


def _order_of(parsed: Parsed) -> list[Description]:
    graph = parsed.graph
    if graph.is_sequential:
        return _layers_of(graph)
    return [graph.by_name[name].layer for name in parsed.layer_names]


def _places(layers: Sequence[Description]) -> list[tuple[str, Description]]:
    """(name of the group, layer): the classes numbered in order."""
    counts: Counter[str] = Counter()
    places = []
    for layer in layers:
        base = snake_case(type(layer).__name__)
        places.append((f"{base}_{counts[base]}" if counts[base] else base, layer))
        counts[base] += 1
    return places


def _largest_weights(graph: Graph) -> int:
    """Bytes that a weights file of the graph may have: the weights, an optimizer's state, and HDF5's own structures."""
    return 5 * BYTES_PER_NUMBER * graph.parameters + 2**16 * len(graph.calls) + 2**20


def _largest_structures(graph: Graph) -> int:
    """Bytes that HDF5's own structures may have: a layer's groups, its weights' headers and an optimizer's take up to 7,000."""
    return 2**14 * len(graph.calls) + 2**20


def _read_weights(file: File, graph: Graph, layers: Sequence[Description]) -> dict[str, Float32]:
    found: dict[str, Float32] = {}
    for place, layer in _places(layers):
        assert layer.name is not None
        expected = graph.by_name[layer.name].weights
        members = file.group(f"layers/{place}/vars") if expected else {}
        if members is None or sorted(members) != sorted(str(index) for index in range(len(expected))):
            raise InvalidFileError(
                f"{file.what}: the layer {describe_value(layer.name)} needs {len(expected)} weights at layers/{place}/vars, the "
                f"file has {len(members) if members is not None else 'none'}"
            )
        for index, weight in enumerate(expected):
            dataset = file.dataset(f"layers/{place}/vars/{index}")
            assert dataset is not None
            key = f"{layer.name}/{weight.name}"
            if dataset.shape != weight.shape:
                raise InvalidFileError(
                    f"{file.what}: {describe_value(key)} must have the shape {weight.shape} by the config, the file has "
                    f"{describe_value(dataset.shape)}"
                )
            if dataset.dtype != np.float32:
                raise UnsupportedError(
                    f"{file.what}: {describe_value(key)} must be float32, the file has {dataset.dtype}"
                )
            found[key] = dataset.read().astype(np.float32, copy=False)
    return {
        f"{node.name}/{weight.name}": found[f"{node.name}/{weight.name}"]
        for node in graph.calls
        for weight in node.weights
    }


def _weights_file(model: "Model") -> bytes:
    graph, weights = model.graph, model.weights_by_name
    layers: dict[str, Any] = {}
    for place, layer in _places(_layers_of(graph)):
        assert layer.name is not None
        arrays = [weights[f"{layer.name}/{weight.name}"] for weight in graph.by_name[layer.name].weights]
        members: dict[str, Any] = {str(index): array for index, array in enumerate(arrays)}
        layers[place] = Group({"vars": Group(members, name=layer.name)})
    root: dict[str, Any] = {"layers": Group(layers), "vars": Group(name=model.name)}
    return write(root | compilation.state_of(model))


def _check_target(filepath: PathLike, suffix: str, overwrite: bool) -> None:
    if not os.fspath(filepath).endswith(suffix):
        raise InvalidArgumentError(
            f"the file's name must end in {suffix}, got {describe_value(os.fspath(filepath), 200)}"
        )
    if not overwrite and os.path.exists(filepath):
        raise InvalidArgumentError(
            f"{describe_value(os.fspath(filepath), 200)} exists and overwrite is False; choose another name"
        )

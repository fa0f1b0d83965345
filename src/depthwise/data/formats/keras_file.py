"""`.keras` and `.weights.h5` files, as Keras 3 writes and reads them.

A `.keras` file is a zip of `metadata.json`, `config.json` and `model.weights.h5`. The weights of a layer lie at
`layers/<class>[_<number>]/vars/<index>`: the snake-case name of its class, numbered in the order of the config, not its own name.
Nothing in a file is run, extracted, or used as a path; every size is checked before it is allocated.
"""

import datetime
import io
import json
import os
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats import compilation
from depthwise.data.formats.config import model_config, parse_model
from depthwise.data.formats.dialect import Dialect
from depthwise.data.formats.dialect_training import modern_training
from depthwise.data.formats.hdf5 import File
from depthwise.data.formats.hdf5_write import Group, write
from depthwise.data.formats.json_text import LARGEST_JSON, parse_json
from depthwise.data.formats.legacy_h5 import warn_of
from depthwise.data.formats.saved import SavedNetwork
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError, describe_value
from depthwise.files import atomic_write_bytes
from depthwise.layers.input import InputLayer
from depthwise.network.facts import BYTES_PER_NUMBER
from depthwise.network.graph import Graph, LayerPath, snake_case
from depthwise.network.tree import Member, ModelTree, first_path, tree_of
from depthwise.usage import Usage

__all__ = [
    "check_target",
    "open_file",
    "read_description",
    "read_model",
    "read_weights",
    "write_model",
    "write_weights",
]

Float32 = NDArray[np.float32]
PathLike = str | os.PathLike[str]

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
OWN = "depthwise"
"""The key of the metadata, and the attribute of an `.h5` file, that says how the model is used."""
KERAS_VERSION = "3.8.0"
"""The oldest Keras whose files ours are like; written into the metadata, which Keras shows and does not check."""

LARGEST_METADATA = 8 * 2**20
"""Names of classes in JSON, which writes a character in up to six: see `depthwise.usage`."""
LARGEST_CONFIG = LARGEST_JSON
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


def read_model(
    filepath: PathLike, compile: bool = True, custom_objects: Mapping[str, Any] | None = None
) -> SavedNetwork:
    """What a `.keras` file of Keras 2.12 to 3 or of Depthwise holds.

    Args:
        filepath: the file.
        compile: also read optimizer, loss and metrics where the file has them.
        custom_objects: what the user says of names in it.

    Raises:
        InvalidFileError: no such file, not a `.keras` file, truncated, damaged, or it contradicts itself.
        UnsupportedError: it holds something that Depthwise does not have; the message names it.
    """
    what = describe_value(os.fspath(filepath), 200)
    try:
        with open_file(filepath, what) as file, _archive(file, what) as archive:
            members = _members(archive, what)
            version, usage = _metadata(_read(archive, members[METADATA], LARGEST_METADATA, what), what)
            where = f"{CONFIG} in {what}"
            config = parse_json(_read(archive, members[CONFIG], LARGEST_CONFIG, what), where)
            dialect = Dialect(where, version, custom_objects or {})
            parsed = parse_model(config, where, dialect)
            hdf5 = _weights_within(archive, file, members[WEIGHTS], parsed.graph, what)
            weights = _read_weights(hdf5, parsed.graph, parsed.written)
            training = None
            if compile and config.get("compile_config"):
                said = modern_training(config["compile_config"]) if dialect.is_older else config["compile_config"]
                training = compilation.read(said, hdf5, parsed.graph, stacklevel=5)
    except DepthwiseError:
        raise
    except _DAMAGE as error:
        raise InvalidFileError(f"{what} is damaged or truncated: {describe_value(str(error))[1:-1]}") from error
    warn_of(what, parsed.policies, stacklevel=5)
    return SavedNetwork(parsed.tree, weights, training, usage)


def read_description(filepath: PathLike) -> tuple[str, Any]:
    """The version of the Keras that wrote a `.keras` file, and its config; raises what `read_model` does."""
    what = describe_value(os.fspath(filepath), 200)
    try:
        with open_file(filepath, what) as file, _archive(file, what) as archive:
            members = _members(archive, what)
            version, _ = _metadata(_read(archive, members[METADATA], LARGEST_METADATA, what), what)
            return version, parse_json(_read(archive, members[CONFIG], LARGEST_CONFIG, what), f"{CONFIG} in {what}")
    except DepthwiseError:
        raise
    except _DAMAGE as error:
        raise InvalidFileError(f"{what} is damaged or truncated: {describe_value(str(error))[1:-1]}") from error


def write_model(network: SavedNetwork, filepath: PathLike, overwrite: bool = True) -> None:
    """Writes a `.keras` file that `keras.models.load_model` of Keras 3 reads, wholly or not at all.

    Raises:
        InvalidArgumentError: the name does not end in .keras, or the file exists and `overwrite` is False.
        DepthwiseError: the folder cannot be written to, or the disk is full; an old file is then as it was.
    """
    check_target(filepath, ".keras", overwrite)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata: dict[str, Any] = {"keras_version": KERAS_VERSION, "date_saved": now}
    if network.usage.facts():
        metadata[OWN] = network.usage.facts()  # Keras reads the version alone
    config = model_config(network.tree) | {"compile_config": compilation.config_of(network)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo(METADATA), json.dumps(metadata))
        archive.writestr(zipfile.ZipInfo(CONFIG), json.dumps(config))
        archive.writestr(zipfile.ZipInfo(WEIGHTS), _weights_file(network))
    atomic_write_bytes(filepath, buffer.getvalue())


def write_weights(network: SavedNetwork, filepath: PathLike, overwrite: bool = True) -> None:
    """Writes a `.weights.h5` file that `load_weights` of Keras 3 reads; raises what `write_model` does."""
    check_target(filepath, ".weights.h5", overwrite)
    atomic_write_bytes(filepath, _weights_file(network))


def read_weights(graph: Graph, filepath: PathLike) -> dict[str, Float32]:
    """The weights in a `.weights.h5` or `.keras` file of a network with the same layers.

    Raises:
        InvalidFileError: the file is damaged, or holds the weights of another network.
    """
    what = describe_value(os.fspath(filepath), 200)
    largest = _largest_weights(graph)
    try:
        with open_file(filepath, what) as file:
            if os.fspath(filepath).endswith(".keras"):
                with _archive(file, what) as archive:
                    hdf5 = _weights_within(archive, file, _members(archive, what)[WEIGHTS], graph, what)
                    return _read_weights(hdf5, graph, tree_of(graph))
            if file.seek(0, os.SEEK_END) > largest:
                raise InvalidFileError(f"{what} is larger than the weights of this model can be ({largest:,} bytes)")
            return _read_weights(File(file, what, _largest_structures(graph)), graph, tree_of(graph))
    except DepthwiseError:
        raise
    except _DAMAGE as error:
        raise InvalidFileError(f"{what} is damaged or truncated: {describe_value(str(error))[1:-1]}") from error


# The zip.


def open_file(filepath: PathLike, what: str) -> BinaryIO:
    """The open file, if it is an ordinary one; InvalidFileError names `what` otherwise."""
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
        raise InvalidFileError(f"{what} is truncated or not a .keras file: the directory of the zip is missing")
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
    _check_member(info, largest, what)
    with archive.open(info) as member:
        data = member.read(largest + 1)
    if len(data) != info.file_size:
        raise InvalidFileError(f"{info.filename} in {what} is truncated")
    return data


def _check_member(info: zipfile.ZipInfo, largest: int, what: str) -> None:
    if info.file_size > largest:
        raise InvalidFileError(
            f"{info.filename} in {what} would unpack to {info.file_size:,} bytes, where {largest:,} are plausible; it is refused"
        )
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedError(f"{info.filename} in {what} is encrypted or packed in a way that Keras does not use")


def _weights_within(archive: zipfile.ZipFile, file: BinaryIO, info: zipfile.ZipInfo, graph: Graph, what: str) -> File:
    """The weights as an HDF5 file, read where they lie in the zip: Keras does not compress them, and they may be most of the
    memory."""
    label, largest, structures = f"{info.filename} in {what}", _largest_weights(graph), _largest_structures(graph)
    _check_member(info, largest, what)
    if info.compress_type != zipfile.ZIP_STORED:
        return File(_read(archive, info, largest, what), label, structures)
    size = 0
    with archive.open(info) as member:  # which compares the checksum in the end
        while part := member.read(2**20):
            size += len(part)
    if size != info.file_size:
        raise InvalidFileError(f"{label} is truncated")
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<2H", file.read(4))
    return File(file, label, structures, info.header_offset + 30 + name + extra, size)


def _metadata(text: bytes, what: str) -> tuple[str, Usage]:
    """The version of the Keras that wrote the file, and how the model is used."""
    metadata = parse_json(text, f"{METADATA} in {what}")
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version.startswith(("2.", "3.")):
        raise UnsupportedError(
            f"{what} was written by Keras {describe_value(version)}; files of Keras 2 and 3 are read"
        )
    return version, Usage.from_facts(metadata[OWN], f"{METADATA} in {what}") if OWN in metadata else Usage()


# The weights.


def _places(tree: ModelTree, group: str = "layers", path: LayerPath = ()) -> Iterator[tuple[str, LayerPath]]:
    """(group, path of the layer): at each level the classes numbered in order, without the input of a `Sequential`."""
    counts: Counter[str] = Counter()
    for member in tree.members:
        if tree.is_sequential and isinstance(member, InputLayer):
            continue
        base = snake_case(_class_name(member))
        place = f"{group}/{base}_{counts[base]}" if counts[base] else f"{group}/{base}"
        counts[base] += 1
        own = (*path, str(member.name))
        if isinstance(member, ModelTree):
            yield from _places(member, f"{place}/layers", own)
        else:
            yield place, own


OF_KERAS_2 = "_layer_checkpoint_dependencies"
"""The group in which Keras 2.12 to 2.15 keeps the layers of a functional model, where Keras 3 has `layers`."""


def _places_of_keras_2(
    file: File, graph: Graph, tree: ModelTree, around: str = "", path: LayerPath = ()
) -> Iterator[tuple[str, LayerPath]]:
    """The same in a file of Keras 2, which counts a layer with weights twice, so that numbers are left out.

    In each class the groups that hold something follow each other as the layers with weights do.
    """
    inside = next((name for name in (OF_KERAS_2, "layers") if file.group(f"{around}{name}") is not None), OF_KERAS_2)
    held: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in file.group(f"{around}{inside}") or {}:
        match = re.fullmatch(r"(.+?)(?:_(\d{1,6}))?", name)
        place = f"{around}{inside}/{name}"
        if match and any(file.group(f"{place}/{part}") for part in ("vars", OF_KERAS_2, "layers")):
            held[match[1]].append((int(match[2] or 0), place))
    left = {base: iter([place for _, place in sorted(places)]) for base, places in held.items()}
    for member in tree.members:
        own = (*path, str(member.name))
        call = graph.layers.get(own)
        if not isinstance(member, ModelTree) and (call is None or not call.weights):
            continue
        place = next(left.get(snake_case(_class_name(member)), iter(())), f"{around}{inside}/{member.name}")
        if isinstance(member, ModelTree):
            yield from _places_of_keras_2(file, graph, member, f"{place}/", own)
        else:
            yield place, own


def _class_name(member: Member) -> str:
    if isinstance(member, ModelTree):
        return "Sequential" if member.is_sequential else "Functional"
    return type(member).__name__


def _largest_weights(graph: Graph) -> int:
    """Bytes that a weights file of the graph may have: the weights, an optimizer's state, and HDF5's own structures."""
    return 5 * BYTES_PER_NUMBER * graph.parameters + 2**16 * len(graph.calls) + 2**20


def _largest_structures(graph: Graph) -> int:
    """Bytes that HDF5's own structures may have: a layer's groups, its weights' headers and an optimizer's take up to 7,000."""
    return 2**14 * len(graph.calls) + 2**20


def _read_weights(file: File, graph: Graph, tree: ModelTree) -> dict[str, Float32]:
    found: dict[str, Float32] = {}
    shared, once = dict(tree_of(graph).shared), dict(tree.shared)
    of_keras_2 = file.group(OF_KERAS_2) is not None
    for place, path in _places_of_keras_2(file, graph, tree) if of_keras_2 else _places(tree):
        if first_path(once, path) != path:
            continue  # the layer has been read where it stands first
        call = graph.layers.get(first_path(shared, path))
        if call is None:
            continue  # the input of a model inside
        expected = call.weights
        members = file.group(f"{place}/vars") if expected else {}
        if members is None or sorted(members) != sorted(str(index) for index in range(len(expected))):
            raise InvalidFileError(
                f"{file.what}: the layer {describe_value('/'.join(path))} needs {len(expected)} weights at {place}/vars, "
                f"the file has {len(members) if members is not None else 'none'}"
            )
        for index, weight in enumerate(expected):
            dataset = file.dataset(f"{place}/vars/{index}")
            assert dataset is not None
            key = call.key(weight.name)
            if dataset.shape != weight.shape:
                raise InvalidFileError(
                    f"{file.what}: {describe_value(key)} must have the shape {weight.shape} by the config, the file has "
                    f"{describe_value(dataset.shape)}"
                )
            if dataset.dtype.kind not in ("fiu" if weight.shape == () else "f"):  # Normalization's count
                raise UnsupportedError(
                    f"{file.what}: {describe_value(key)} must hold floats, the file has {dataset.dtype}"
                )
            found[key] = dataset.read().astype(np.float32, copy=False)
    return {key: found[key] for key in graph.weight_shapes}


def _weights_file(network: SavedNetwork) -> bytes:
    graph, weights = network.graph, network.weights
    layers: dict[str, Any] = {}
    shared = dict(network.tree.shared)
    for place, path in _places(network.tree):
        # A layer that stands in several models is written for each of them: Keras makes as many layers of it.
        call = graph.layers.get(first_path(shared, path))
        arrays = [] if call is None else [weights[call.key(weight.name)] for weight in call.weights]
        members: dict[str, Any] = {str(index): array for index, array in enumerate(arrays)}
        _put(layers, place.split("/")[1:], Group({"vars": Group(members, name=path[-1])}))
    root: dict[str, Any] = {"layers": Group(layers), "vars": Group(name=network.tree.name)}
    return write(root | compilation.state_of(network))


def _put(members: dict[str, Any], place: Sequence[str], group: Group) -> None:
    """Puts a group where `place` says, through the groups of the models around it."""
    first, *rest = place
    if not rest:
        members[first] = group
        return
    within = members.setdefault(first, Group({"layers": Group({}), "vars": Group({})}))
    _put(within.members["layers"].members, rest[1:], group)


def check_target(filepath: PathLike, endings: str | tuple[str, ...], overwrite: bool) -> None:
    """Whether a file of that name may be written.

    Raises:
        InvalidArgumentError: another ending, or the file exists and `overwrite` is False.
    """
    if not os.fspath(filepath).endswith(endings):
        allowed = endings if isinstance(endings, str) else " or ".join(endings)
        raise InvalidArgumentError(
            f"the file's name must end in {allowed}, got {describe_value(os.fspath(filepath), 200)}"
        )
    if not overwrite and os.path.exists(filepath):
        raise InvalidArgumentError(
            f"{describe_value(os.fspath(filepath), 200)} exists and overwrite is False; choose another name"
        )

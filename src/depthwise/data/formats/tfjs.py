"""TensorFlow.js layers models: a `model.json` with the config and a list of weights, which lie one after the other in shards.

The converter of TensorFlow.js and its `model.save` write it; Teachable Machine exports it for the web. Weights may be quantised: whole
numbers of 8 or 16 bits with a scale and an offset, or halves. The shards are files beside `model.json`: names that lead elsewhere are
refused, nothing is fetched, and every size is compared with what the config implies before a byte is read.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.formats.config import Parsed, parse_model
from depthwise.data.formats.dialect import Dialect
from depthwise.data.formats.json_text import LARGEST_JSON, parse_json
from depthwise.data.formats.keras_file import open_file
from depthwise.data.formats.layer_config import as_dict, as_list
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidFileError, UnsupportedError, describe_value
from depthwise.network.graph import Graph

__all__ = ["Manifest", "find_json", "read_parts", "read_shards"]

Float32 = NDArray[np.float32]
PathLike = str | os.PathLike[str]

JSON = "model.json"
MOST_SHARDS, MOST_WEIGHTS = 10_000, 100_000
_STORED = {"float32": "<f4", "float16": "<f2", "uint8": "u1", "uint16": "<u2", "int32": "<i4", "bool": "u1"}
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class _Weight:
    """What the list says of one array: its name, shape, type in the shard, and how numbers follow from whole ones."""

    name: str
    shape: tuple[int, ...]
    stored: str
    scale: float | None
    offset: float
    start: int
    group: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(_STORED[self.stored]).itemsize


@dataclass(frozen=True)
class Manifest:
    """What `model.json` says.

    Attributes:
        what: what messages call the file.
        parsed: the network.
        version: who wrote it.
        training: the training configuration, where there is one.
    """

    what: str
    parsed: Parsed
    version: str
    training: Any
    weights: tuple[_Weight, ...]
    shards: tuple[tuple[str, ...], ...]


def find_json(filepath: PathLike) -> Path | None:
    """The `model.json` that is meant: the file itself where it begins as JSON, or the one in a folder."""
    path = Path(filepath)
    try:
        path = path / JSON if path.is_dir() else path
        if not path.is_file():
            return None
        with open(path, "rb") as file:
            return path if file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else None
    except OSError:
        return None


def read_parts(path: Path, custom_objects: Mapping[str, Any] | None = None) -> Manifest:
    """What `model.json` says, without its weights.

    Raises:
        InvalidFileError: it is damaged, or contradicts itself.
        UnsupportedError: it is not a layers model, or has a layer that Depthwise does not have.
    """
    what = describe_value(os.fspath(path), 200)
    with open_file(path, what) as file:
        content = as_dict(parse_json(file.read(LARGEST_JSON + 1), what), what)
    if "modelTopology" not in content:
        if "class_name" in content:
            raise InvalidFileError(
                f"{what} describes a model without its weights; open it with depthwise.models.model_from_json, then load_weights"
            )
        raise InvalidFileError(f"{what} is no model of TensorFlow.js: it has no modelTopology")
    if content.get("format", "layers-model") != "layers-model" or "node" in as_dict(content["modelTopology"], what):
        raise UnsupportedError(f"{what} holds a graph of TensorFlow operations; models of layers are read")
    topology = as_dict(content["modelTopology"], f"modelTopology in {what}")
    config = topology.get("model_config", topology)
    if isinstance(config, str):
        config = parse_json(config, f"model_config in {what}")
    version = str(topology.get("keras_version") or "2")
    dialect = Dialect(what, "2" if version.startswith("tfjs") else version, custom_objects or {})
    parsed = parse_model(config, f"modelTopology in {what}", dialect)
    weights, shards = _listed(content.get("weightsManifest"), what)
    return Manifest(what, parsed, version, topology.get("training_config"), weights, shards)


def _listed(value: Any, what: str) -> tuple[tuple[_Weight, ...], tuple[tuple[str, ...], ...]]:
    weights: list[_Weight] = []
    shards: list[tuple[str, ...]] = []
    for group, entry in enumerate(as_list(value, f"weightsManifest in {what}")):
        entry = as_dict(entry, f"a group of weights in {what}")
        paths = as_list(entry.get("paths"), f"the paths of weights in {what}")
        shards.append(tuple(_shard(path, what) for path in paths))
        start = 0
        for item in as_list(entry.get("weights"), f"the weights in {what}"):
            weight = _weight(as_dict(item, f"a weight in {what}"), what, start, group)
            start += weight.bytes
            weights.append(weight)
        if len(weights) > MOST_WEIGHTS or sum(map(len, shards)) > MOST_SHARDS:
            raise InvalidFileError(f"{what} lists more than {MOST_WEIGHTS:,} weights or {MOST_SHARDS:,} shards")
    return tuple(weights), tuple(shards)


def _shard(path: Any, what: str) -> str:
    """A shard's name, if it is that of a file beside `model.json` or below."""
    parts = path.split("/") if isinstance(path, str) else []
    if (
        not parts
        or not all(part and part not in (".", "..") and part.isprintable() for part in parts)
        or "\\" in path
        or ":" in path
    ):
        raise InvalidFileError(
            f"{what} names the shard {describe_value(path)}, which is no file beside it; shards elsewhere are not read"
        )
    return "/".join(parts)


def _weight(item: Mapping[str, Any], what: str, start: int, group: int) -> _Weight:
    name, shape = item.get("name"), item.get("shape")
    if not isinstance(name, str) or not 0 < len(name) <= 1_000:
        raise InvalidFileError(f"{what} has a weight named {describe_value(name)}")
    owner = f"{what}: the weight {describe_value(name)}"
    if (
        not isinstance(shape, list)
        or len(shape) > 32
        or not all(type(size) is int and 0 <= size < 2**31 for size in shape)
    ):
        raise InvalidFileError(f"{owner} has the shape {describe_value(shape)}")
    stored, scale, offset = item.get("dtype"), None, 0.0
    quantised = item.get("quantization")
    if quantised is not None:
        quantised = as_dict(quantised, f"{owner}: its quantisation")
        stored = quantised.get("dtype")
        if stored in ("uint8", "uint16"):
            scale, offset = (
                _finite(quantised.get(key), f"{owner}: {key} of its quantisation") for key in ("scale", "min")
            )
        elif stored != "float16":
            raise UnsupportedError(
                f"{owner} is quantised as {describe_value(stored)}; uint8, uint16 and float16 are read"
            )
    if not isinstance(stored, str) or stored not in _STORED or (scale is None and stored in ("uint8", "uint16")):
        raise UnsupportedError(f"{owner} is of the type {describe_value(stored)}; {', '.join(_STORED)} are read")
    return _Weight(name, tuple(shape), stored, scale, offset, start, group)


def _finite(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST:
        raise InvalidFileError(f"{what} must be a number that float32 can hold, got {describe_value(value)}")
    return float(value)


# The weights.


def read_shards(manifest: Manifest, folder: Path) -> dict[str, Float32]:
    """Every weight of the network by `WeightKey.text`.

    Raises:
        InvalidFileError: the shards have other sizes than the list says, or are the weights of another network.
    """
    matched = _matched(manifest, manifest.parsed.graph)
    contents = [_content(manifest, index, folder) for index in range(len(manifest.shards))]
    return {key: _numbers(manifest.what, weight, contents[weight.group]) for key, weight in matched.items()}


def _matched(manifest: Manifest, graph: Graph) -> dict[str, _Weight]:
    """The weights of the network in the list: by the names of layer and array, else in order."""
    by_name: dict[tuple[str, str], list[_Weight]] = {}
    for weight in manifest.weights:
        layer, _, own = weight.name.partition(":")[0].rpartition("/")
        by_name.setdefault((layer.replace("/", "_"), own), []).append(weight)
    found: dict[str, _Weight] = {}
    for path, call in graph.layers.items():
        for need in call.weights:
            names = ("_".join(path[index:]) for index in range(len(path)))
            alike = next((by_name[name, need.name] for name in names if (name, need.name) in by_name), [])
            if len(alike) == 1:
                found[call.key(need.name)] = alike[0]
    shapes = graph.weight_shapes
    if len(found) == len(shapes) == len({id(weight) for weight in found.values()}):
        _check_shapes(manifest.what, found, shapes)
        return {key: found[key] for key in shapes}
    return _by_order(manifest, graph)


def _by_order(manifest: Manifest, graph: Graph) -> dict[str, _Weight]:
    shapes = graph.weight_shapes
    if len(manifest.weights) != len(shapes):
        raise InvalidFileError(f"{manifest.what} lists {len(manifest.weights)} weights, the network has {len(shapes)}")
    learnt = {call.key(need.name): need.trainable for call in graph.layers.values() for need in call.weights}
    orders = [sorted(shapes, key=lambda key: not learnt[key]), list(shapes)]
    fitting = [
        order for order in orders if all(shapes[key] == item.shape for key, item in zip(order, manifest.weights))
    ]
    order = fitting[0] if fitting else orders[1]
    matched = dict(zip(order, manifest.weights))
    _check_shapes(manifest.what, matched, shapes)
    return {key: matched[key] for key in shapes}


def _check_shapes(what: str, matched: Mapping[str, _Weight], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for key, weight in matched.items():
        if weight.shape != shapes[key]:
            raise InvalidFileError(
                f"{what}: {describe_value(key)} must have the shape {shapes[key]} by the config, the list has "
                f"{describe_value(weight.shape)}"
            )


def _content(manifest: Manifest, group: int, folder: Path) -> bytes:
    """The bytes of one group's shards, if they are as many as the list says."""
    needed = sum(weight.bytes for weight in manifest.weights if weight.group == group)
    root = folder.resolve()
    pieces: list[bytes] = []
    there = 0
    for name in manifest.shards[group]:
        path = folder / name
        shown = describe_value(os.fspath(path), 200)
        if not path.resolve().is_relative_to(root):
            raise InvalidFileError(
                f"{shown} is a link that leads out of the folder of {manifest.what}; it is not followed"
            )
        with open_file(path, shown) as file:
            size = os.fstat(file.fileno()).st_size
            there += size
            if there <= needed:
                pieces.append(file.read(size))
    if there != needed or sum(map(len, pieces)) != needed:
        raise InvalidFileError(
            f"{manifest.what}: the shards {describe_value(list(manifest.shards[group]))} have {there:,} bytes, the listed weights "
            f"{needed:,}"
        )
    return b"".join(pieces)


def _numbers(what: str, weight: _Weight, content: bytes) -> Float32:
    stored = np.frombuffer(content, _STORED[weight.stored], math.prod(weight.shape), weight.start).reshape(weight.shape)
    if weight.scale is None:
        return np.ascontiguousarray(stored, dtype=np.float32)
    # As TensorFlow.js does: in float32, scale first.
    values = stored.astype(np.float32) * np.float32(weight.scale) + np.float32(weight.offset)
    if not np.isfinite(values).all():
        raise InvalidFileError(
            f"{what}: the quantisation of {describe_value(weight.name)} gives numbers beyond float32"
        )
    return np.asarray(values, dtype=np.float32)

"""What a model file holds, who wrote it, and what stands in the way of opening it: all of it, not the first thing."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from depthwise.data.formats import keras_file, legacy_h5, tfjs
from depthwise.data.formats.config import layers_refused
from depthwise.data.formats.dialect import Dialect
from depthwise.data.formats.dialect_layers import bare_name
from depthwise.data.formats.hdf5 import SIGNATURE
from depthwise.data.formats.hdf5_attributes import text, texts
from depthwise.data.formats.json_text import LARGEST_JSON, parse_json
from depthwise.data.formats.opening import is_onnx, open_h5, read_any, starts_with
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidFileError

__all__ = ["Findings", "Problem", "check_file"]

PathLike = str | os.PathLike[str]

DEEPEST = 16


@dataclass(frozen=True)
class Problem:
    """What is in the way of opening a file: where, why, and the layer's class, the option or the activation ("" where it is none)."""

    where: str
    reason: str
    subject: str = ""


@dataclass
class Findings:
    """What is known of a file.

    Attributes:
        kind: of the file, in words.
        version: of the Keras (or TensorFlow.js) that wrote it, "" where it does not say.
        name: the model's.
        layers: how many layers there are of each class, by the name that the file gives it.
        inputs, outputs: shapes without the batch; empty where the file does not open.
        parameters: numbers in all weights.
        training: the names of optimizer, loss and metrics; None where the file says nothing of training.
        problems: what keeps it from being opened; none where it opens.
        class_names: what the outputs stand for, where the file says it.
        notes: what is different after it was opened, such as training that is not supported.
    """

    kind: str
    version: str = ""
    name: str = ""
    layers: dict[str, int] = field(default_factory=dict)
    inputs: list[tuple[int, ...]] = field(default_factory=list)
    outputs: list[tuple[int, ...]] = field(default_factory=list)
    parameters: int = 0
    training: dict[str, Any] | None = None
    problems: list[Problem] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def opens(self) -> bool:
        return not self.problems


def check_file(
    filepath: PathLike,
    custom_objects: Mapping[str, Any] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Findings:
    """What a file holds and whether it opens; nothing is compiled.

    Args:
        filepath: of any kind that Depthwise reads, or none.
        custom_objects, shapes: see `depthwise.models.load_model`.

    Raises:
        InvalidFileError: no such file.
    """
    if not os.path.exists(filepath):
        with keras_file.open_file(filepath, repr(os.fspath(filepath))):  # which says so
            pass
    found, config, training = _described(filepath, shapes)
    if config is None:
        return found
    dialect = Dialect(found.kind, found.version, custom_objects or {})
    body = config.get("config") if isinstance(config, dict) else None
    if isinstance(body, dict):
        found.name = str(body.get("name") or "")
    found.layers = dict(Counter(_classes(config, 0)))
    found.training = _training(training)
    try:
        found.problems = [Problem(*refused) for refused in layers_refused(config, dialect)]
    except DepthwiseError as error:
        found.problems = [Problem("config", str(error))]
    if not found.problems:
        _open(found, filepath, custom_objects)
    return found


def _described(filepath: PathLike, shapes: Mapping[str, Sequence[int]] | None) -> tuple[Findings, Any, Any]:
    """What the file says of itself: findings so far, the model's config, the training configuration."""
    found = Findings("not a model file")
    try:
        if starts_with(filepath, SIGNATURE):
            return _described_h5(filepath)
        described = tfjs.find_json(filepath)
        if described is not None:
            found = Findings("TensorFlow.js layers model")
            with open(described, "rb") as file:
                content = parse_json(file.read(LARGEST_JSON + 1), "the file")
            topology = content.get("modelTopology", content)
            topology = topology if isinstance(topology, dict) else {}
            found.version = str(topology.get("keras_version") or "")
            config = topology.get("model_config", topology)
            if "modelTopology" not in content:
                found.kind = "description of a model without weights (JSON)"
                found.problems = [
                    Problem("weights", "the file has none; open it with model_from_json, then load_weights")
                ]
                return found, None, None
            return found, config, topology.get("training_config")
        if is_onnx(filepath):
            return _described_onnx(filepath, shapes), None, None
        if starts_with(filepath, b"PK"):
            found = Findings("Keras model (.keras)")
        found.version, config = keras_file.read_description(filepath)
        return found, config, config.get("compile_config") if isinstance(config, dict) else None
    except (DepthwiseError, OSError) as error:
        found.problems = [Problem("file", str(error))]
        return found, None, None


def _described_onnx(filepath: PathLike, shapes: Mapping[str, Sequence[int]] | None) -> Findings:
    """What an ONNX file holds; every operator that keeps it from opening is named."""
    from depthwise.data.formats.onnx.reading.opening import ShapesNeededError, load
    from depthwise.data.formats.onnx.reading.proto import read_model_proto

    found = Findings("ONNX model")
    model, _ = read_model_proto(filepath)
    versions = [item.version for item in model.opset_import if item.domain in ("", "ai.onnx")]
    found.version = f"{model.producer_name or 'an unknown program'} {model.producer_version}".strip()
    found.notes = [f"operator set {max(versions)}"] if versions else []
    found.name = model.graph.name
    found.layers = dict(Counter(node.op_type for node in model.graph.node))
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            network = load(filepath, shapes)
    except ShapesNeededError as error:
        found.problems = [Problem("shapes", str(error))]
        return found
    except DepthwiseError as error:
        found.problems = [Problem("file", str(error))]
        return found
    found.notes += [str(item.message) for item in said]
    count = len(network.transposes)
    found.notes.append(f"{count} transpose{'' if count == 1 else 's'}: {', '.join(network.transposes) or 'none'}")
    if not network.is_batched:
        found.notes.append("the first axis of the file is no batch: a sample has all of its axes")
    graph = network.saved.graph
    found.inputs, found.outputs = list(graph.input_shapes), list(graph.output_shapes)
    found.parameters = graph.parameters
    return found


def _described_h5(filepath: PathLike) -> tuple[Findings, Any, Any]:
    with open_h5(filepath) as file:
        config = text(file, "", legacy_h5.CONFIG)
        if config is None:
            found = Findings("weights of Keras (HDF5)", legacy_h5.version_of(file) if legacy_h5.is_legacy(file) else "")
            names = texts(file, "", "layer_names") or list(file.group("layers") or ())
            found.layers = dict(Counter(names))
            found.problems = [Problem("model", "the file holds weights only; make the model, then use load_weights")]
            return found, None, None
        training = text(file, "", legacy_h5.TRAINING)
        found = Findings("Keras model (HDF5)", legacy_h5.version_of(file))
        return (
            found,
            parse_json(config, "model_config"),
            None if training is None else parse_json(training, "training_config"),
        )


def _classes(config: Any, depth: int) -> Iterator[str]:
    body = config.get("config") if isinstance(config, dict) else None
    layers = body if isinstance(body, list) else body.get("layers") if isinstance(body, dict) else None
    if not isinstance(layers, list) or depth > DEEPEST:
        if isinstance(config, dict):
            yield str(bare_name(config.get("class_name")))
        return
    for layer in layers:
        yield from _classes(layer, depth + 1)


def _training(config: Any) -> dict[str, Any] | None:
    if not isinstance(config, dict) or not config:
        return None
    optimizer = config.get("optimizer_config", config.get("optimizer"))
    return {
        "optimizer": _named(optimizer),
        "loss": _named(config.get("loss")),
        "metrics": _named(config.get("metrics")),
    }


def _named(value: Any) -> Any:
    """Names in place of serialised objects."""
    if isinstance(value, list):
        return [_named(item) for item in value]
    if isinstance(value, dict) and "class_name" in value:
        inner = value.get("config")
        return inner if isinstance(inner, str) else bare_name(value["class_name"])
    return {str(key): _named(item) for key, item in value.items()} if isinstance(value, dict) else value


def _open(found: Findings, filepath: PathLike, custom_objects: Mapping[str, Any] | None) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            network = read_any(filepath, custom_objects=custom_objects)
        except (InvalidFileError, DepthwiseError) as error:
            found.problems = [Problem("file", str(error))]
            return
    found.notes = [str(item.message) for item in said]
    graph = network.graph
    found.inputs, found.outputs = list(graph.input_shapes), list(graph.output_shapes)
    found.parameters = graph.parameters
    found.class_names = list(network.usage.class_names)

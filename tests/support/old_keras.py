"""Files as older Keras wrote them, made by hand: its configs, and its HDF5 with names and texts in attributes."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["Weights", "functional", "layer", "networks_of_others", "sequential", "write_h5"]

Weights = Mapping[str, list[tuple[str, NDArray[Any]]]]
"""For each layer its arrays by the name that Keras gives them, in Keras' order."""


def networks_of_others() -> Path | None:
    """The folder with networks that others trained, where a checkout has one beside it."""
    given = os.environ.get("DEPTHWISE_SHARED")
    places = [Path(given)] if given else [folder / "shared" for folder in Path(__file__).resolve().parents]
    return next((place / "wild" for place in places if (place / "wild" / "expected.npz").is_file()), None)


def layer(class_name: str, name: str, inputs: list[Any] | None = None, **config: Any) -> dict[str, Any]:
    """A layer as Keras 2 writes it: no module; `inputs` are its `inbound_nodes`, None in a chain."""
    entry = {"class_name": class_name, "config": {"name": name, **config}}
    return entry if inputs is None else {**entry, "name": name, "inbound_nodes": inputs}


def sequential(*layers: dict[str, Any], name: str = "chain") -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def functional(*layers: dict[str, Any], inputs: list[Any], outputs: list[Any], name: str = "model") -> dict[str, Any]:
    config = {"name": name, "layers": list(layers), "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Model", "config": config}


def write_h5(
    path: Path,
    config: Any,
    weights: Weights,
    version: str = "2.4.0",
    training: Any = None,
    parts: int = 0,
    fixed_size: bool = True,
) -> Path:
    """A whole model, or its weights alone where `config` is None.

    Args:
        path: of the file.
        config: the model's.
        weights: of its layers.
        version: of the Keras that wrote it.
        training: the training configuration.
        parts: the attributes with names are split into so many, as Keras does with large ones.
        fixed_size: names as bytes of one length, else as texts of variable length.
    """
    with h5py.File(path, "w") as file:
        root = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode() if fixed_size else json.dumps(config)
            root = file.create_group("model_weights")
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        for place in {file, root}:
            place.attrs["keras_version"] = version.encode()
            place.attrs["backend"] = b"tensorflow"
        _write_names(root, "layer_names", list(weights), parts, fixed_size)
        for name, arrays in weights.items():
            group = root.require_group(name)
            _write_names(group, "weight_names", [weight for weight, _ in arrays], parts, fixed_size)
            for weight, array in arrays:
                group[weight] = array
    return path


def _write_names(group: h5py.Group, attribute: str, names: list[str], parts: int, fixed_size: bool) -> None:
    values: Any = [name.encode() for name in names] if fixed_size else np.array(names, dtype=h5py.string_dtype())
    if not names:
        values = np.array([], dtype=np.float64)  # what h5py makes of an empty list
    if not parts or not names:
        group.attrs[attribute] = values
        return
    for index, chunk in enumerate(np.array_split(np.array(values), parts)):
        group.attrs[f"{attribute}{index}"] = chunk

"""Layers models of TensorFlow.js: read as the library computes them, hostile ones refused."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from depthwise import models
from depthwise.errors import DepthwiseError, InvalidFileError, UnsupportedError
from support.old_keras import layer, sequential

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
BIAS = np.array([-1.0, 0.0, 0.5, 2.0], np.float32)
CONFIG = sequential(
    layer(
        "Conv2D", "block/conv", batch_input_shape=[None, 6, 6, 2], filters=4, kernel_size=[3, 3], activation="relu",
        kernel_initializer={"class_name": "VarianceScaling", "config": {"scale": 1, "mode": "fan_avg", "distribution": "normal", "seed": None}},
    ),
    layer("Flatten", "flat"),
)  # fmt: skip


def quantised(array: NDArray[Any], dtype: str) -> tuple[dict[str, Any], NDArray[Any], NDArray[Any]]:
    """(what the list says, the stored numbers, what they mean), as the converter computes them."""
    if dtype == "float16":
        return {"dtype": "float16", "original_dtype": "float32"}, array.astype("<f2"), array.astype("f2").astype("f4")
    low, scale = float(array.min()), float(np.ptp(array)) / np.iinfo(dtype).max
    stored = np.round((array - low) / scale).astype(dtype)
    return (
        {"dtype": dtype, "scale": scale, "min": low},
        stored,
        stored.astype("f4") * np.float32(scale) + np.float32(low),
    )


def write(
    folder: Path,
    config: Any = CONFIG,
    arrays: Any = (("block/conv/kernel", KERNEL), ("block/conv/bias", BIAS)),
    dtype: str | None = None,
    shards: int = 2,
) -> tuple[Path, list[NDArray[Any]]]:
    """A `model.json` and its shards; also what its weights mean."""
    listed, content, meant = [], b"", []
    for name, array in arrays:
        entry = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        stored, values = array, array
        if dtype is not None:
            entry["quantization"], stored, values = quantised(array, dtype)
        listed.append(entry)
        content += stored.tobytes()
        meant.append(values)
    cuts = np.linspace(0, len(content), shards + 1).astype(int)
    paths = [f"group1-shard{index + 1}of{shards}.bin" for index in range(shards)]
    for path, start, end in zip(paths, cuts, cuts[1:]):
        (folder / path).write_bytes(content[start:end])
    topology = {**config, "keras_version": "tfjs-layers 1.7.0", "backend": "tensor_flow.js"}
    manifest = [{"paths": paths, "weights": listed}]
    text = {"modelTopology": topology, "format": "layers-model", "generatedBy": "x", "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(text))
    return folder / "model.json", meant


@pytest.mark.parametrize("dtype", [None, "uint8", "uint16", "float16"])
@pytest.mark.parametrize("shards", [1, 3])
def test_weights_mean_what_the_library_makes_of_them(dtype: str | None, shards: int, tmp_path: Path) -> None:
    path, meant = write(tmp_path, dtype=dtype, shards=shards)
    for place in (path, tmp_path):
        model = models.load_model(place)
        for found, wanted in zip(model.get_weights(), meant, strict=True):
            assert np.array_equal(found, wanted)
    assert [item.name for item in model.layers] == ["block_conv", "flat"]


def test_the_converters_topology(tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    content = json.loads(path.read_text())
    content["modelTopology"] = {"keras_version": "2.4.0", "backend": "tensorflow", "model_config": CONFIG}
    path.write_text(json.dumps(content))
    assert np.array_equal(models.load_model(path).get_weights()[0], KERNEL)


def test_names_that_do_not_tell_layers_apart_leave_the_order(tmp_path: Path) -> None:
    """All that is trained first, then the rest: what `model.save` of the library writes."""
    config = sequential(
        layer("Dense", "d", batch_input_shape=[None, 2], units=2),
        layer("BatchNormalization", "n"),
        layer("Dense", "e", units=2),
    )
    arrays = [
        np.full(shape, value, np.float32)
        for value, shape in enumerate([(2, 2), (2,), (2,), (2,), (2, 2), (2,), (2,), (2,)])
    ]
    path, _ = write(tmp_path, config, [(f"variable_{index}", array) for index, array in enumerate(arrays)])
    found = [float(weight.flat[0]) for weight in models.load_model(path).get_weights()]
    assert found == [0, 1, 2, 3, 6, 7, 4, 5]


# Hostile ones.


def first(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = content["weightsManifest"][0]
    return found


def quantisation(**values: Any) -> Any:
    return lambda c: first(c)["weights"][0].update(quantization={"dtype": "uint8", "scale": 1.0, "min": 0.0, **values})


def renamed(path: Any) -> Any:
    return lambda c: first(c).update(paths=[path])


HOSTILE: dict[str, tuple[Any, type[DepthwiseError], str]] = {
    **{
        f"path {path!r}": (renamed(path), InvalidFileError, "names the shard .*, which is no file beside it; shards else")
        for path in ("../secret", "/etc/passwd", "a/../../b", "https://example.org/x", "C:\\x", "", ".", "a\0b", 3, None)
    },
    "missing shard": (renamed("none.bin"), InvalidFileError, "none.bin' does not exist"),
    "one shard twice": (
        lambda c: first(c).update(paths=first(c)["paths"] * 2), InvalidFileError, "have 608 bytes, the listed weights 304",
    ),
    "half of the shards": (
        lambda c: first(c).update(paths=first(c)["paths"][:1]), InvalidFileError, "have 152 bytes, the listed weights 304",
    ),
    "shape that lies": (
        lambda c: first(c)["weights"][0].update(shape=[3, 3, 2, 5]), InvalidFileError, r"must have the shape \(3, 3, 2, 4\) by the",
    ),
    "shape without end": (
        lambda c: first(c)["weights"][0].update(shape=[2**30] * 4), InvalidFileError, "by the config, the list has",
    ),
    "shape of texts": (lambda c: first(c)["weights"][0].update(shape=["x"]), InvalidFileError, r"has the shape \['x'\]"),
    "negative shape": (lambda c: first(c)["weights"][0].update(shape=[-1]), InvalidFileError, r"has the shape \[-1\]"),
    "type": (lambda c: first(c)["weights"][0].update(dtype="complex64"), UnsupportedError, "of the type 'complex64'; float32,"),
    "type of lists": (lambda c: first(c)["weights"][0].update(dtype=["float32"]), UnsupportedError, "of the type .'float32'.; float32"),
    "quantised as": (quantisation(dtype="int4"), UnsupportedError, "is quantised as 'int4'; uint8, uint16 and float16"),
    "scale": (quantisation(scale="1"), InvalidFileError, "scale of its quantisation must be a number that float32 can hold, got '1'"),
    "large scale": (quantisation(scale=1e300), InvalidFileError, "scale of its quantisation must be a number that float32 can"),
    "no minimum": (quantisation(min=None), InvalidFileError, "min of its quantisation must be a number .*, got None"),
    "quantised size": (quantisation(), InvalidFileError, "have 304 bytes, the listed weights 88|have 608 bytes, the listed weights"),
    "one weight less": (lambda c: first(c)["weights"].pop(), InvalidFileError, "lists 1 weights, the network has 2"),
    "no list": (lambda c: c.pop("weightsManifest"), InvalidFileError, "weightsManifest in .* should be a list, got None"),
    "graph": (lambda c: c.update(format="graph-model"), UnsupportedError, "holds a graph of TensorFlow operations"),
    "no topology": (lambda c: c.pop("modelTopology"), InvalidFileError, "is no model of TensorFlow.js: it has no modelTopology"),
    "lambda": (
        lambda c: c["modelTopology"]["config"]["layers"][1].update(class_name="Lambda"), UnsupportedError, "is a Lambda, which holds",
    ),
    "only a model": (
        lambda c: c.update(c.pop("modelTopology")), InvalidFileError, "describes a model without its weights; open it with",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ones_are_refused(name: str, tmp_path: Path) -> None:
    change, error, message = HOSTILE[name]
    path, _ = write(tmp_path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(error, match=message) as caught:
        models.load_model(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    path, _ = write(inside, shards=1)
    shard = inside / "group1-shard1of1.bin"
    os.rename(shard, outside / "x.bin")
    shard.symlink_to(outside / "x.bin")
    with pytest.raises(InvalidFileError, match="is a link that leads out of the folder of "):
        models.load_model(path)
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(InvalidFileError, match="is not a file"):
        models.load_model(path)

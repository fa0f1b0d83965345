"""Files of strangers: each is refused with one clear sentence of the package's own exceptions, and costs little."""

import io
import json
import os
import resource
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from depthwise import layers, models
from depthwise.data.formats.config import parse_model
from depthwise.data.formats.json_text import parse_json
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError

from .conftest import CONFIG, METADATA, WEIGHTS, Change, parts_of, put_together, small

Build = Callable[[Change], Path]


def refused(path: Path, error: type[DepthwiseError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        models.load_model(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 800


def layer(config: dict[str, Any], index: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = config["config"]["layers"][index]
    return found


# What the config says.


def set_option(key: str, value: object, index: int = 1) -> Change:
    return lambda config: layer(config, index)["config"].update({key: value})


def custom_class(config: dict[str, Any]) -> None:
    layer(config).update(module="mypackage.layers", class_name="Evil", registered_name="mypackage>Evil")


CONFIGS: dict[str, tuple[Change, type[DepthwiseError], str]] = {
    "lambda": (
        lambda c: layer(c).update(class_name="Lambda"),
        UnsupportedError,
        "the layer 'conv2d' is a Lambda, which holds code; code in a model file is never run",
    ),
    "custom class": (
        custom_class,
        UnsupportedError,
        "'conv2d' is a custom class, 'Evil' of the module 'mypackage.layers' reg",
    ),
    "registered Conv2D": (
        lambda c: layer(c).update(registered_name="evil>Conv2D"),
        UnsupportedError,
        "'conv2d' is a custom class, 'Conv2D' of the module 'keras.layers' registered as 'evil>Conv2D'",
    ),
    "no module": (
        lambda c: layer(c).update(module=None),
        UnsupportedError,
        "'Conv2D' of the module None; only Keras' own",
    ),
    "module os": (lambda c: layer(c).update(module="os"), UnsupportedError, "'Conv2D' of the module 'os'"),
    "unknown class": (
        lambda c: layer(c).update(class_name="LSTM"),
        UnsupportedError,
        "'conv2d' is a 'LSTM', which is not supported",
    ),
    "class is a list": (
        lambda c: layer(c).update(class_name=[1]),
        UnsupportedError,
        r"'conv2d' is a \[1\], which is not",
    ),
    "nested model": (
        lambda c: layer(c).update(class_name="Functional", config={"layers": []}),
        InvalidFileError,
        "'Functional' of 'keras.layers' is no model",
    ),
    "operation": (
        lambda c: layer(c).update(module="keras.src.ops.numpy", class_name="Add"),
        UnsupportedError,
        "the operation 'conv2d': 'trainable' = True is not supported",
    ),
    "custom model": (lambda c: c.update(class_name="MyModel"), UnsupportedError, "describes 'MyModel'; Sequential and"),
    "regularizer": (
        set_option("kernel_regularizer", {"module": "keras.regularizers", "class_name": "L9"}),
        UnsupportedError,
        "'conv2d': kernel_regularizer is 'L9', which is not one of Keras' regularizers",
    ),
    "regularizer's module": (
        set_option("kernel_regularizer", {"module": "mine", "class_name": "L2"}),
        UnsupportedError,
        "is a custom class, 'L2' of the module 'mine'",
    ),
    "regularizer's number": (
        set_option("kernel_regularizer", {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": -1.0}}),
        InvalidFileError,
        "'conv2d': kernel_regularizer: L2: l2 must be a number of at least 0, got -1.0",
    ),
    "regularizer's text": (
        set_option("kernel_regularizer", {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": [1.5]}}),
        InvalidFileError,
        "'conv2d': kernel_regularizer: l2 of kernel_regularizer must be a list of whole numbers, got ",
    ),
    "constraint": (
        set_option("bias_constraint", "positive"),
        UnsupportedError,
        "bias_constraint is 'positive', which is not one of Keras' constraints",
    ),
    "constraint's axis": (
        set_option(
            "bias_constraint", {"module": "keras.constraints", "class_name": "UnitNorm", "config": {"axis": 10**30}}
        ),
        InvalidFileError,
        "bias_constraint: UnitNorm: axis must be a whole number",
    ),
    "an unknown data format": (
        set_option("data_format", "NCHW"),
        InvalidFileError,
        "data_format must be one of channels_last, channels_first, got 'NCHW'",
    ),
    "integers": (set_option("dtype", "int8"), UnsupportedError, "'conv2d': dtype must be float32 .*, got 'int8'"),
    "lora": (set_option("lora_rank", 4), UnsupportedError, "'lora_rank' = 4 is not supported"),
    "renorm": (
        set_option("renorm", True, 3),
        UnsupportedError,
        "'batch_normalization': 'renorm' = True is not supported",
    ),
    "lambda activation": (
        set_option("activation", {"class_name": "__lambda__", "config": "x"}),
        UnsupportedError,
        "the activation is a lambda, which holds code",
    ),
    "custom activation": (
        set_option("activation", {"module": "builtins", "class_name": "function", "config": "evil"}),
        UnsupportedError,
        "'conv2d': the activation 'evil' is not supported; supported are linear",
    ),
    "custom initializer": (
        set_option("kernel_initializer", {"module": "evil", "class_name": "Zeros", "config": {}}),
        UnsupportedError,
        "'conv2d': kernel_initializer is a custom class, 'Zeros' of the module 'evil'",
    ),
    "unknown initializer": (set_option("kernel_initializer", "evil"), UnsupportedError, "kernel_initializer is 'evil'"),
    "seed generator": (
        set_option(
            "kernel_initializer",
            {"module": "keras.initializers", "class_name": "HeNormal", "config": {"seed": {"a": 1}}},
        ),
        UnsupportedError,
        "the seed of kernel_initializer must be an integer",
    ),
    "open shape": (
        set_option("batch_shape", [None, None, 8, 2], 0),
        UnsupportedError,
        "the input shape .* is open; every size must be fixed",
    ),
    "contradicting shape": (
        set_option("filters", 5),
        InvalidFileError,
        r"'conv2d/kernel' must have the shape \(3, 3, 2, 5\) ",
    ),
    "contradicting kernel": (
        set_option("kernel_size", [1, 1]),
        InvalidFileError,
        "must have the shape .* by the config, the file",
    ),
    "fewer weights": (
        set_option("use_bias", False),
        InvalidFileError,
        "'conv2d' needs 1 weights at layers/conv2d/vars, the",
    ),
    "too few channels": (set_option("groups", 3), InvalidFileError, "filters must be a multiple of groups"),
    "empty output": (
        set_option("kernel_size", [9, 9]),
        InvalidFileError,
        "contradicts itself: .*the output would be empty",
    ),
    "overflowing output": (
        set_option("filters", 2**30),
        InvalidFileError,
        r"contradicts itself: .*\(6, 6, 1073741824\) would hold more numbers than the 2,147,483,647 that are allowed",
    ),
    "overflowing map": (
        set_option("batch_shape", [None, 2**20, 2**20, 2], 0),
        InvalidFileError,
        "contradicts itself: .*would hold more numbers than the 2,147,483,647 that are allowed",
    ),
    "overflowing option": (
        set_option("filters", 2**40),
        InvalidFileError,
        "filters must be at most 2,147,483,647, got 1099511627776",
    ),
    "overflowing input": (
        set_option("batch_shape", [None, 2**31, 2**31, 2], 0),
        InvalidFileError,
        "shape must be at most 2,147,483,647, got 2147483648",
    ),
    "absurd integer": (
        set_option("filters", int("9" * 4000)),
        InvalidFileError,
        "filters must be at most 9223372036854775807",
    ),
    "absurd sizes": (
        set_option("strides", [1, 2**70]),
        InvalidFileError,
        "strides must be at most 9223372036854775807",
    ),
    "absurd input": (
        set_option("batch_shape", [None, 2**70, 8, 2], 0),
        InvalidFileError,
        "must be .null, height, width",
    ),
    "negative": (set_option("filters", -1), InvalidFileError, "filters must be an integer of at least 1, got -1"),
    "float filters": (
        set_option("filters", 4.0),
        InvalidFileError,
        "filters must be an integer of at least 1, got 4.0",
    ),
    "text for a flag": (set_option("use_bias", "yes"), InvalidFileError, "use_bias must be true or false, got 'yes'"),
    "text for a number": (set_option("epsilon", "x", 3), InvalidFileError, "epsilon must be a number, got 'x'"),
    "huge number": (set_option("epsilon", 10**400, 3), InvalidFileError, "epsilon must be at most 9223"),
    "infinite number": (
        set_option("epsilon", 1e999, 3),
        InvalidFileError,
        "holds Infinity, which is no number of JSON",
    ),
    "missing option": (
        lambda c: layer(c)["config"].pop("filters"),
        InvalidFileError,
        "an option is missing or of a wrong",
    ),
    "stride of lists": (
        set_option("strides", [[1], [1]]),
        InvalidFileError,
        "strides must be an integer of at least 1",
    ),
    "long name": (set_option("name", "a" * 10**6), InvalidFileError, "must be a text of 1 to 256 characters"),
    "terminal in a name": (
        set_option("activation", "\x1b[31m\x07"),
        UnsupportedError,
        r"the activation '\\x1b\[31m\\x07'",
    ),
    "same name twice": (set_option("name", "dense"), InvalidFileError, "2 layers are named 'dense'"),
    "two inputs": (lambda c: c["config"]["layers"].append(layer(c, 0)), InvalidFileError, "Sequential takes one Input"),
    "no layers": (lambda c: c["config"].update(layers=[]), InvalidFileError, "Sequential has no layers yet"),
    "layers is a text": (
        lambda c: c["config"].update(layers="abc"),
        InvalidFileError,
        "layers should be a list, got 'abc'",
    ),
    "layer is a number": (
        lambda c: c["config"].update(layers=[3]),
        InvalidFileError,
        "a layer should be an object of JSON, got 3",
    ),
    "layers without end": (
        lambda c: c["config"].update(layers=[0] * 10_001),
        InvalidFileError,
        "has 10,001 layers, at most 10,000 are read",
    ),
    "frozen": (lambda c: c["config"].update(trainable=2), InvalidFileError, "must be true or false, got 2"),
    "config is a number": (lambda c: c.update(config=3), InvalidFileError, "config should be an object of JSON, got 3"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configs(name: str, with_config: Build) -> None:
    change, error, message = CONFIGS[name]
    refused(with_config(change), error, message)


def test_sizes_that_python_does_not_print() -> None:
    with pytest.raises(InvalidArgumentError, match="at most 2,147,483,647, got a number of 19932 bits") as caught:
        layers.Conv2D(10**6000, 3)
    assert len(str(caught.value)) < 100


def functional(layers: list[Any], inputs: Any, outputs: Any) -> dict[str, Any]:
    config = {"name": "f", "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"module": "keras", "class_name": "Functional", "config": config}


def node(class_name: str, name: str, reads: list[Any], **config: object) -> dict[str, Any]:
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": read}} for read in reads]
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": name, **config},
        "name": name,
        "inbound_nodes": [{"args": [tensors], "kwargs": {}}] if reads else [],
    }


START = node("InputLayer", "i", [], batch_shape=[None, 4])
END = node("Dense", "d", [["i", 0, 0]], units=2)
SHARED = {**END, "inbound_nodes": END["inbound_nodes"] * 2}
TRAINING = {**END, "inbound_nodes": [{**END["inbound_nodes"][0], "kwargs": {"training": True}}]}


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (
            functional([START, SHARED], ["i", 0, 0], ["d", 0, 0]),
            InvalidFileError,
            "the layer 'd' is not connected to an output",
        ),
        (
            functional([START, TRAINING], ["i", 0, 0], ["d", 0, 0]),
            UnsupportedError,
            "'d' is called with 'training' = True",
        ),
        (
            functional([START, END], ["i", 0, 0], ["x", 0, 0]),
            InvalidFileError,
            "output_layers names 'x', which does not",
        ),
        (
            functional([START, END], ["i", 0, 0], ["d", 1, 0]),
            InvalidFileError,
            r"output_layers names the call \[1, 0\] of 'd', which does not exist",
        ),
        (
            functional([START, END], [["i", 0, 0]], [["d"]]),
            InvalidFileError,
            r"is not given as \[layer, call, output\]: \['d'\]",
        ),
        (functional([START, END], ["d", 0, 0], ["d", 0, 0]), InvalidFileError, "input_layers must name InputLayers"),
        (functional([START, END], ["i", 0, 0], None), InvalidFileError, "output_layers should be a list, got None"),
        (
            functional([START, node("Dense", "d", [["x", 0, 0]], units=2)], ["i", 0, 0], ["d", 0, 0]),
            InvalidFileError,
            "the layer 'd' reads 'x', which does not exist",
        ),
        (
            functional([START, node("Dense", "d", [], units=2)], ["i", 0, 0], ["d", 0, 0]),
            InvalidFileError,
            "the layer 'd' has 0 inputs, which cannot be",
        ),
        (
            functional(
                [START, node("Add", "a", [["i", 0, 0], ["b", 0, 0]]), node("ReLU", "b", [["a", 0, 0]])],
                ["i", 0, 0],
                ["b", 0, 0],
            ),
            InvalidFileError,
            "the layers form a circle through '[ab]'",
        ),
        (functional([START, END, END], ["i", 0, 0], ["d", 0, 0]), InvalidFileError, "gives the name 'd' twice"),
        (
            functional([START, END, node("ReLU", "r", [["i", 0, 0]])], ["i", 0, 0], ["d", 0, 0]),
            InvalidFileError,
            "the layer 'r' is not connected to an output",
        ),
        (
            functional([START, {**END, "inbound_nodes": [{"args": [3]}]}], ["i", 0, 0], ["d", 0, 0]),
            UnsupportedError,
            "'d' is called on 3, not on another layer",
        ),
        ([], InvalidFileError, r"the config should be an object of JSON, got \[\]"),
    ],
)
def test_functional_configs(config: Any, error: type[DepthwiseError], message: str) -> None:
    with pytest.raises(error, match=message):
        parse_model(config)


def test_a_long_chain_in_any_order_is_read_quickly() -> None:
    names = ["i"] + [f"r{index}" for index in range(9_000)]
    layers = [START] + [node("ReLU", name, [[previous, 0, 0]]) for previous, name in pairwise(names)]
    assert len(parse_model(functional(layers[::-1], ["i", 0, 0], [names[-1], 0, 0])).graph.calls) == 9_001


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[" * 199_000, "the config is nested too deeply to be a model"),
        (b'{"a":' * 100_000, "the config is nested too deeply to be a model"),
        (b'{"a": NaN}', "the config holds NaN, which is no number of JSON"),
        (b'{"a": -Infinity}', "the config holds -Infinity"),
        (b"9" * 10_000, "the config is not valid JSON: .*digits"),
        (b"\xff\xfe", "the config is not valid JSON"),
        (b"{", "the config is not valid JSON: Expecting property name"),
        (b" " * (2**22 + 1), "the config is too large: 4,194,305 bytes, at most 4,194,304 are read"),
        (b"[" * 300_000, "the config has 300,000 lists and objects, at most 200,000 are read"),
    ],
)
def test_json_bombs(text: bytes, message: str) -> None:
    with pytest.raises(InvalidFileError, match=message):
        parse_json(text, "the config")


# The zip around it.


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    refused(tmp_path / "none.keras", InvalidFileError, "none.keras' does not exist")
    refused(tmp_path, InvalidFileError, "is not a file")
    for content, message in (
        (b"", "truncated or not a .keras file"),
        (b"GIF89a" * 99, "truncated or not a .keras file"),
    ):
        (tmp_path / "foreign.keras").write_bytes(content)
        refused(tmp_path / "foreign.keras", InvalidFileError, message)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file["a"] = 1
    refused(
        tmp_path / "old.h5",
        InvalidFileError,
        "old.h5' holds weights only, no model; make the model first and give the file to its load_weights",
    )
    refused(
        put_together(tmp_path / "word.keras", {"word/document.xml": b"x"}),
        InvalidFileError,
        "holds 'word/document.xml'",
    )
    os.mkfifo(tmp_path / "pipe.keras")
    refused(tmp_path / "pipe.keras", InvalidFileError, "is not a file")


def test_every_truncation_is_noticed(saved: Path) -> None:
    whole = saved.read_bytes()
    path = saved.with_name("cut.keras")
    for length in [*range(0, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, InvalidFileError, "truncated|damaged|not a .keras file")


def test_missing_double_and_strange_members(saved: Path) -> None:
    parts, path = parts_of(saved), saved.with_name("changed.keras")
    for name in parts:
        left = {key: value for key, value in parts.items() if key != name}
        refused(put_together(path, left), InvalidFileError, f"it has no {name}")
    refused(put_together(path, {**parts, "../../etc/passwd": b""}), InvalidFileError, "it holds '../../etc/passwd'")
    npz = {"model.weights.npz": b"", **parts}
    refused(put_together(path, npz), UnsupportedError, "weights as 'model.weights.npz'; model.weights.h5 is supported")
    models.load_model(put_together(path, {**parts, "assets/../../x": b"ignored", "assets/": b""}))
    assert not (saved.parent.parent / "x").exists()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(CONFIG, b"{}")
    refused(path, InvalidFileError, "holds 'config.json' twice")


def test_packed_files_are_read_if_keras_could(saved: Path) -> None:
    parts, path = parts_of(saved), saved.with_name("packed.keras")
    models.load_model(put_together(path, parts, zipfile.ZIP_DEFLATED))
    refused(
        put_together(path, parts, zipfile.ZIP_BZIP2), UnsupportedError, "encrypted or packed in a way that Keras does"
    )
    content = bytearray(put_together(path, parts).read_bytes())
    start = content.rfind(b"PK\x01\x02")
    content[start + 8] |= 1
    path.write_bytes(content)
    refused(path, UnsupportedError, "encrypted or packed")


def test_zip_bombs(saved: Path) -> None:
    parts, path = parts_of(saved), saved.with_name("bomb.keras")
    bombs = {
        CONFIG: (
            b" " * (2**22 + 1),
            "config.json in .* would unpack to 4,194,305 bytes, where 4,194,304 are plausible",
        ),
        METADATA: (b" " * (2**23 + 1), "metadata.json in .* would unpack to 8,388,609 bytes"),
        WEIGHTS: (parts[WEIGHTS] + bytes(2**24), "model.weights.h5 in .* would unpack to .* plausible; it is refused"),
    }
    for name, (content, message) in bombs.items():
        refused(put_together(path, {**parts, name: content}, zipfile.ZIP_DEFLATED), InvalidFileError, message)


def test_a_bomb_that_lies_about_its_size(saved: Path) -> None:
    parts, path = parts_of(saved), saved.with_name("bomb.keras")
    put_together(path, {**parts, METADATA: parts[METADATA] + b" " * 5_000_000}, zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    real = struct.pack("<I", len(parts[METADATA]) + 5_000_000)
    path.write_bytes(content.replace(real, struct.pack("<I", len(parts[METADATA]))))
    refused(path, InvalidFileError, "is damaged or truncated: Bad CRC-32")


def test_zip64_and_a_large_directory(saved: Path) -> None:
    path = saved.with_name("directory.keras")
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(12_000):
            archive.writestr(f"assets/{index:06}{'x' * 60}", b"")
    refused(path, InvalidFileError, "its zip directory has 1,[0-9,]+ bytes")
    content = saved.read_bytes()
    place = content.rfind(b"PK\x05\x06")
    saved.write_bytes(content[:place] + b"PK\x06\x07" + bytes(16) + content[place:])
    refused(saved, UnsupportedError, "zip64")


@pytest.mark.parametrize("version", ["1.2.0", None, 3, "4.0"])
def test_other_keras(version: object, saved: Path) -> None:
    parts = parts_of(saved) | {METADATA: json.dumps({"keras_version": version}).encode()}
    refused(put_together(saved, parts), UnsupportedError, "was written by Keras .*; files of Keras 2 and 3 are read")


# The HDF5 inside.


def with_weights(saved: Path, build: Callable[[h5py.File], None]) -> Path:
    parts = parts_of(saved)
    buffer = io.BytesIO(parts[WEIGHTS])
    with h5py.File(buffer, "a") as file:
        build(file)
    return put_together(saved.with_name("hdf5.keras"), {**parts, WEIGHTS: buffer.getvalue()})


KERNEL = "layers/conv2d/vars/0"


def replace(value: Any = None, **options: Any) -> Callable[[h5py.File], None]:
    def build(file: h5py.File) -> None:
        del file[KERNEL]
        if isinstance(value, (h5py.SoftLink, h5py.ExternalLink)):
            file[KERNEL] = value
        else:
            file.create_dataset(KERNEL, data=value, **options)

    return build


def virtual(file: h5py.File) -> None:
    del file[KERNEL]
    layout = h5py.VirtualLayout(shape=(3, 3, 2, 4), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", shape=(3, 3, 2, 4))
    file.create_virtual_dataset(KERNEL, layout)


KERNEL_SHAPE = (3, 3, 2, 4)
HDF5: dict[str, tuple[Callable[[h5py.File], None], type[DepthwiseError], str]] = {
    "external link": (replace(h5py.ExternalLink("/etc/passwd", "/a")), UnsupportedError, "soft or external links"),
    "soft link": (
        replace(h5py.SoftLink("/layers/conv2d/vars/1")),
        UnsupportedError,
        "holds a soft link, which is refused",
    ),
    "external storage": (
        replace(None, shape=KERNEL_SHAPE, dtype="f4", external=[("/etc/passwd", 0, 288)]),
        UnsupportedError,
        "data in external files, which is refused for safety",
    ),
    "virtual": (virtual, UnsupportedError, "virtual storage|newer layout"),
    "bomb": (
        replace(None, shape=KERNEL_SHAPE, dtype="f4", chunks=KERNEL_SHAPE, compression="gzip"),
        UnsupportedError,
        "compressed or otherwise filtered data",
    ),
    "chunked": (replace(np.zeros(KERNEL_SHAPE, "f4"), chunks=KERNEL_SHAPE), UnsupportedError, "has a chunked storage"),
    "huge shape": (
        replace(None, shape=(2**20, 2**20, 2**20), dtype="f4"),
        InvalidFileError,
        "the values of 'layers/conv2d/vars/0' are not in the file",
    ),
    "no values": (replace(None, shape=KERNEL_SHAPE, dtype="f4"), InvalidFileError, "are not in the file"),
    "other shape": (
        replace(np.zeros((3, 3, 2, 5), "f4")),
        InvalidFileError,
        r"\(3, 3, 2, 4\) by the config, the file has",
    ),
    "other rank": (replace(np.zeros((72,), "f4")), InvalidFileError, r"by the config, the file has \(72,\)"),
    "big endian": (replace(np.zeros(KERNEL_SHAPE, ">f4")), UnsupportedError, "holds floats of 4 bytes; only plain"),
    "integers": (replace(np.zeros(KERNEL_SHAPE, "i4")), UnsupportedError, "must hold floats, the file has int32"),
    "texts": (replace(np.zeros(KERNEL_SHAPE, "S4")), UnsupportedError, "holds texts of 4 bytes; only plain"),
    "variable length": (
        replace(np.full((2,), "a", dtype=object), dtype=h5py.string_dtype()),
        UnsupportedError,
        "holds variable-length values",
    ),
    "compound": (replace(np.zeros(KERNEL_SHAPE, "f4,f4")), UnsupportedError, "holds compound of 8 bytes"),
    "group": (
        lambda file: (file.__delitem__(KERNEL), file.create_group(KERNEL))[0],
        InvalidFileError,
        "'layers/conv2d/vars/0' should be an array and is none",
    ),
    "array for a group": (
        lambda file: (file.__delitem__("layers/conv2d/vars"), file.create_dataset("layers/conv2d/vars", data=1))[0],
        InvalidFileError,
        "'layers/conv2d/vars' should be a group and is none",
    ),
    "missing": (lambda file: file.__delitem__("layers/dense"), InvalidFileError, "'dense' needs 2 weights .* has none"),
    "one more": (
        lambda file: file["layers/dense/vars"].create_dataset("2", data=1.0) and None,
        InvalidFileError,
        "'dense' needs 2 weights at layers/dense/vars, the file has 3",
    ),
    "circle": (
        lambda file: file.__setitem__("layers/dense/vars", file["layers"]) if file.pop("layers/dense/vars") else None,
        InvalidFileError,
        "a structure is used twice, or contains itself",
    ),
}


@pytest.mark.parametrize("name", HDF5)
def test_weights_files(name: str, saved: Path) -> None:
    build, error, message = HDF5[name]
    refused(with_weights(saved, build), error, message)


def test_the_newest_layout_is_named(saved: Path) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="latest") as file:
        file["layers"] = 1
    path = put_together(saved, parts_of(saved) | {WEIGHTS: buffer.getvalue()})
    refused(
        path,
        UnsupportedError,
        "HDF5 of a layout that Keras does not write .superblock 3.; copy it with HDF5's h5repack",
    )
    path = put_together(saved, parts_of(saved) | {WEIGHTS: b"GIF89a" * 50})
    refused(path, InvalidFileError, "does not start with HDF5's signature")


def test_keras_own_lambda_and_custom_layers(tmp_path: Path) -> None:
    """Not made up by us: what Keras really writes for them."""

    @keras.saving.register_keras_serializable("mypackage")
    class Twice(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return 2 * x

    for custom, message in (
        (keras.layers.Lambda(lambda x: x, name="f"), "the layer 'f' is a Lambda, which holds code"),
        (Twice(name="t"), "the layer 't' is a custom class, 'Twice' of the module .* registered as 'mypackage>Twice'"),
        (keras.layers.Dense(2, activation=lambda x: x, name="d"), "the layer 'd': the activation is a lambda"),
        (keras.layers.SimpleRNN(2, name="c"), "the layer 'c' is a 'SimpleRNN', which is not supported"),
    ):
        with warnings.catch_warnings(action="ignore"):  # Keras warns of lambdas too
            keras.Sequential([keras.Input((4, 3)), custom]).save(tmp_path / "custom.keras")
        refused(tmp_path / "custom.keras", UnsupportedError, message)


# While writing.


def test_a_full_disk_leaves_the_old_file(saved: Path) -> None:
    """The size of files is limited for a process of its own, as a full disk would limit it."""
    before = saved.read_bytes()
    program = (
        "import resource, signal, sys\n"
        "from depthwise import layers, models\n"
        "from depthwise.errors import DepthwiseError\n"
        "model = models.Sequential([layers.Dense(300, input_shape=(300,))])\n"
        "model.get_weights()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))\n"
        "try:\n    model.save(sys.argv[1])\n"
        "except DepthwiseError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", program, str(saved)], capture_output=True, text=True, check=True)
    assert "good.keras" in result.stdout
    assert result.stdout.count("\n") == 1
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["good.keras"]
    models.load_model(saved)


# Damage of any kind.


def test_random_damage_is_an_error_of_ours_or_harmless(saved: Path) -> None:
    """Flipped bits, cut ends and hostile numbers anywhere in the weights: no other exception, little memory."""
    parts = parts_of(saved)
    path = saved.with_name("damaged.keras")
    weights = parts[WEIGHTS]
    outcomes = {"read": 0, "refused": 0}
    for seed in range(400):
        generator = np.random.default_rng(seed)
        data = bytearray(weights)
        for _ in range(int(generator.integers(1, 5))):
            place = int(generator.integers(0, len(data) // 8)) * 8
            kind = generator.integers(4)
            if kind == 0:
                data[place] ^= 1 << int(generator.integers(8))
            elif kind == 1:
                data[place : place + 8] = b"\xff" * 8
            elif kind == 2:
                data[place : place + 8] = int(generator.integers(len(data))).to_bytes(8, "little")
            else:
                del data[place:]
        try:
            models.load_model(put_together(path, {**parts, WEIGHTS: bytes(data)}))
            outcomes["read"] += 1
        except DepthwiseError as error:
            outcomes["refused"] += str(error).isprintable()
    assert sum(outcomes.values()) == 400
    assert min(outcomes.values()) > 40
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20  # KiB: Keras and JAX have most of it


def test_whatever_is_saved_is_small(saved: Path) -> None:
    """The structures around the numbers are no more than Keras' own."""
    model = small()
    theirs = keras.models.load_model(saved)
    theirs.save(saved.with_name("theirs.keras"))
    assert saved.stat().st_size <= saved.with_name("theirs.keras").stat().st_size * 1.2
    assert saved.stat().st_size >= 4 * model.count_params()


def test_models_inside_models_cannot_grow_without_bound() -> None:
    """Each model calls the one inside it twice: a small file that would become 2^14 layers."""
    inner = functional([START, node("ReLU", "r", [["i", 0, 0]])], ["i", 0, 0], ["r", 0, 0])
    for _ in range(14):
        calls = [
            {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": read}}], "kwargs": {}}
            for read in (["i", 0, 0], ["m", 0, 0])
        ]
        entry = inner | {"name": "m", "inbound_nodes": calls}
        # As Keras writes it: `output_layers` counts a call that each functional model has of its own.
        inner = functional([START, entry], ["i", 0, 0], ["m", 2, 0])
    with pytest.raises(InvalidFileError, match="has more than 10,000 layers"):
        parse_model(inner)
    for _ in range(4):
        inner = functional([START, inner | {"name": "m", "inbound_nodes": calls[:1]}], ["i", 0, 0], ["m", 1, 0])
    with pytest.raises(InvalidFileError, match="models inside models, more than 16 deep"):
        parse_model(inner)

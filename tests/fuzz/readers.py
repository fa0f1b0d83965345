"""Every reader of files that Depthwise has: small files that it reads, how it is called, and changes that suit its format."""

import gzip
import io
import json
import pickle
import random
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from onnx import TensorProto, helper
from PIL import Image

from depthwise import layers, models
from depthwise.applications.imagenet_utils import _class_names
from depthwise.compare.folder import _written_before
from depthwise.compiler.native.cache import CompileCache
from depthwise.data import cifar10
from depthwise.data.formats.beside import usage_beside
from depthwise.data.idx import load_idx
from depthwise.data.images import load_image
from depthwise.data.npz import load_array, load_npz
from depthwise.errors import DepthwiseError, InvalidFileError
from depthwise.optimizers import Adam
from depthwise.training.checkpoint import TrainingProgress, TrainingState, load_state, save_state
from depthwise.utils.downloads import _unpack
from support.old_keras import functional, layer, sequential, write_h5

from .mutations import (
    Mutation,
    change_bytes,
    change_h5,
    change_json,
    change_keras,
    change_npz,
    change_packed,
    change_tar,
    change_zip,
    read_tar,
)
from .onnx_mutations import change_onnx

__all__ = ["READERS", "Reader"]


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: of the reader and its corpus.
        file: the name that its files have.
        seeds: small files that it reads, made in a folder.
        read: reads the file of that name in a folder; raises `DepthwiseError` for what it refuses, and nothing else.
        change: gives another file.
    """

    name: str
    file: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], object]
    change: Mutation

    def run(self, data: bytes, folder: Path) -> DepthwiseError | None:
        """What the reader says of a file with this content in an otherwise empty folder; None where it takes it."""
        path = folder / self.file
        path.write_bytes(data)
        try:
            with warnings.catch_warnings(action="ignore"):
                self.read(path)
        except DepthwiseError as error:
            return error
        return None


def contents(folder: Path, writers: Iterable[Callable[[Path], object]]) -> list[bytes]:
    """What each writer writes to the path that it is given; the endings are those of the functions' names."""
    found = []
    for number, write in enumerate(writers):
        path = folder / f"seed{number}{getattr(write, 'ending', '')}"
        write(path)
        found.append(path.read_bytes())
    return found


def saved(model: models.Model, ending: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        (model.save_weights if ending == ".weights.h5" else model.save)(path)

    write.ending = ending  # type: ignore[attr-defined]
    return write


def chain() -> models.Model:
    return models.Sequential(
        [
            layers.Conv2D(2, 3, activation="relu", input_shape=(6, 6, 1)),
            layers.SeparableConv2D(2, 3, padding="same"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )


def branched() -> models.Model:
    image = layers.Input((6, 6, 2))
    left = layers.DepthwiseConv2D(3, padding="same", name="left")(image)
    right = layers.ZeroPadding2D(1)(layers.MaxPooling2D(3, strides=1)(image))
    joined = layers.Concatenate()([layers.Add()([left, right]), image])
    model = models.Model(image, layers.Dense(1)(layers.Flatten()(layers.ReLU(6.0)(joined))))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    return model


def keras_files(folder: Path) -> list[bytes]:
    found = contents(folder, [saved(chain(), ".keras"), saved(branched(), ".keras")])
    with zipfile.ZipFile(io.BytesIO(found[0])) as archive:  # a file of Keras 2, with the same weights
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["metadata.json"] = b'{"keras_version": "2.15.0", "depthwise": {"class_names": ["a", "b"], "scale": "0..1"}}'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return [*found, buffer.getvalue()]


DENSE = [("d/kernel:0", np.ones((3, 2), np.float32)), ("d/bias:0", np.zeros(2, np.float32))]
CHAIN = sequential(layer("Dense", "d", batch_input_shape=[None, 3], units=2))
KERAS_1 = sequential(
    layer("Dense", "d", batch_input_shape=[None, 3], output_dim=2, init="glorot_uniform", activation="relu")
)
NESTED = functional(
    layer("InputLayer", "i", [], batch_input_shape=[None, 3]),
    layer("Dense", "d", [[["i", 0, 0, {}]]], units=2),
    layer("TFOpLambda", "op", [["d", 0, 0, {"y": 2.0}]], function="math.multiply"),
    inputs=[["i", 0, 0]],
    outputs=[["op", 0, 0]],
)
TRAINING = {"loss": "mse", "metrics": ["mae"], "optimizer_config": {"class_name": "SGD", "config": {"lr": 0.1}}}


ADAM = {"class_name": "Adam", "config": {"learning_rate": 0.1}}
KERAS_2_15 = sequential(
    {**layer("InputLayer", "i", batch_input_shape=[None, 3]), "module": "keras.layers", "registered_name": None},
    {**layer("Dense", "d", units=2, dtype="float32"), "module": "keras.layers", "registered_name": None},
)
STATES = (
    # what wrote it; the network; its optimizer; the names of the arrays that it keeps, with their shapes
    (
        "2.0.5",
        CHAIN,
        {"class_name": "Adam", "config": {"lr": 0.1}},
        ["iterations_1", *(f"Variable_{i}" for i in range(4))],
    ),
    (
        "2.2.4-tf",
        CHAIN,
        ADAM,
        ["training/Adam/iter", *(f"Adam/d/{name}/{kind}" for kind in "mv" for name in ("kernel", "bias"))],
    ),
    ("2.3.1", NESTED, ADAM, ["Adam/iterations", *(f"Variable_{i}" for i in range(6))]),
    (
        "2.15.0",
        KERAS_2_15,
        ADAM,
        ["iteration", *(f"Adam/{kind}/d/{name}" for name in ("kernel", "bias") for kind in "mv")],
    ),
)


def trained_h5(number: int) -> Callable[[Path], object]:
    """A model of one of `STATES`, with what its optimizer had learnt."""
    version, network, optimizer, names = STATES[number]

    def write(path: Path) -> None:
        write_h5(path, network, {"d": DENSE}, version=version, training={"loss": "mse", "optimizer_config": optimizer})
        with h5py.File(path, "a") as file:
            group = file.create_group("optimizer_weights")
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
            for place, name in enumerate(names):
                by_weight = version == "2.15.0"
                is_kernel = place in ((1, 2) if by_weight else (1, 3))
                shape = (3, 2) if is_kernel else (2,) if place < 5 else (1,)
                group[f"{name}:0"] = np.int64(7) if place == 0 else np.ones(shape, np.float32)

    return write


def h5_files(folder: Path) -> list[bytes]:
    return contents(
        folder,
        [
            lambda path: write_h5(path, CHAIN, {"d": DENSE}, fixed_size=False, parts=2),
            lambda path: write_h5(path, NESTED, {"d": DENSE}, training=TRAINING),
            lambda path: write_h5(
                path, {**KERAS_1, "config": KERAS_1["config"]["layers"]}, {"d": DENSE}, version="1.2.2"
            ),
            saved(branched(), ".h5"),
            *(trained_h5(number) for number in range(len(STATES))),
        ],
    )


@cache
def of_weights() -> models.Model:
    return models.Sequential([layers.Conv2D(2, 3, input_shape=(4, 4, 1)), layers.BatchNormalization()])


def weights_files(folder: Path) -> list[bytes]:
    def legacy(path: Path) -> None:
        of_weights().save_weights(path)

    legacy.ending = ".h5"  # type: ignore[attr-defined]
    return contents(folder, [saved(of_weights(), ".weights.h5"), legacy])


SHARDS = {"shard": np.arange(8, dtype="<f4").tobytes(), "small": bytes(8)}
QUANTISED = {"dtype": "uint8", "scale": 0.5, "min": -1.0}


def tensorflow_js_files(_folder: Path) -> list[bytes]:
    found = []
    for shard, weights in (
        (
            "shard",
            [
                {"name": "d/kernel", "shape": [3, 2], "dtype": "float32"},
                {"name": "d/bias", "shape": [2], "dtype": "float32"},
            ],
        ),
        (
            "small",
            [
                {"name": name, "shape": shape, "dtype": "float32", "quantization": QUANTISED}
                for name, shape in (("d/kernel", [3, 2]), ("d/bias", [2]))
            ],
        ),
    ):
        topology = {**CHAIN, "keras_version": "tfjs-layers 1.7.0"}
        manifest = [{"paths": [shard], "weights": weights}]
        found.append(
            json.dumps({"modelTopology": topology, "format": "layers-model", "weightsManifest": manifest}).encode()
        )
    return found


def read_tensorflow_js(path: Path) -> object:
    for name, content in SHARDS.items():
        (path.parent / name).write_bytes(content)
    return models.load_model(path)


def onnx_model(nodes: list[Any], weights: list[Any]) -> bytes:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 2, 6, 6]), ("y", None))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return content


def tensor(name: str, values: Any, element: int = TensorProto.FLOAT) -> Any:
    array = np.asarray(values)
    return helper.make_tensor(name, element, array.shape, array.ravel().tolist())


def onnx_files(_folder: Path) -> list[bytes]:
    node = helper.make_node
    convolution = [
        node("Pad", ["x", "p"], ["a"], mode="reflect"),
        node("Conv", ["a", "w"], ["b"], kernel_shape=[3, 3], strides=[2, 2], name="first"),
        node("Transpose", ["b"], ["c"], perm=[0, 2, 3, 1]),
        node("Softmax", ["c"], ["y"], axis=-1),
    ]
    shapes = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"], axis=0), node("Concat", ["n", "minus"], ["t"], axis=0),
        node("MaxPool", ["x"], ["m"], kernel_shape=[2, 2]), node("Slice", ["m", "one", "four", "two"], ["q"]),
        node("Reshape", ["q", "t"], ["r"]), node("Gemm", ["r", "k"], ["y"], transB=1),
    ]  # fmt: skip
    spelled = [
        node("ReduceMean", ["x"], ["m"], axes=[1]), node("Sub", ["x", "m"], ["d"]), node("Pow", ["d", "square"], ["s"]),
        node("ReduceMean", ["s"], ["v"], axes=[1]), node("Add", ["v", "small"], ["e"]), node("Sqrt", ["e"], ["r"]),
        node("Div", ["d", "r"], ["n"]), node("Mul", ["n", "scale"], ["a"]), node("Sigmoid", ["a"], ["g"]), node("Mul", ["a", "g"], ["y"]),
    ]  # fmt: skip
    sizes = [
        node("ConvTranspose", ["x", "t"], ["a"], group=2, strides=[2, 2], pads=[1, 1, 0, 0], output_padding=[1, 0]),
        node("Resize", ["a", "", "twice"], ["b"], mode="linear", coordinate_transformation_mode="align_corners", antialias=0),
        node("AveragePool", ["b"], ["c"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=1, count_include_pad=1),
        node("Split", ["c"], ["d", "e"], axis=1), node("Concat", ["d", "e"], ["y"], axis=3),
    ]  # fmt: skip
    integer = TensorProto.INT64
    return [
        onnx_model(spelled, [tensor("square", 2.0), tensor("small", 1e-5), tensor("scale", np.ones((2, 1, 1)))]),
        onnx_model(sizes, [tensor("t", np.ones((2, 1, 3, 2))), tensor("twice", [1.0, 1.0, 2.0, 1.5])]),
        onnx_model(convolution, [tensor("w", np.ones((2, 2, 3, 3))), tensor("p", [0, 0, 2, 1, 0, 0, 1, 3], integer)]),
        onnx_model(
            shapes,
            [
                *(
                    tensor(name, [value], integer)
                    for name, value in (("zero", 0), ("minus", -1), ("one", 1), ("four", 4), ("two", 2))
                ),
                tensor("k", np.ones((3, 30))),
            ],
        ),
    ]


def pairs() -> dict[str, np.ndarray]:
    x = np.arange(40, dtype=np.uint8).reshape(2, 5, 4)
    return {"x_train": x, "y_train": np.array([0, 1]), "x_test": x[:1], "y_test": np.array([1])}


def npz_files(folder: Path) -> list[bytes]:
    def plain(path: Path) -> None:
        np.savez(path, allow_pickle=False, **pairs())

    def packed(path: Path) -> None:
        np.savez_compressed(path, allow_pickle=False, **pairs())

    plain.ending = packed.ending = ".npz"  # type: ignore[attr-defined]
    return contents(folder, [plain, packed])


def array_files(_folder: Path) -> list[bytes]:
    found = []
    for array in (np.arange(6, dtype=np.float32).reshape(1, 3, 2), np.asfortranarray(np.ones((2, 3), ">i2"))):
        plain, packed = io.BytesIO(), io.BytesIO()
        np.save(plain, array)
        np.savez(packed, x=array)
        found += [plain.getvalue(), packed.getvalue()]
    return found


def idx_files(_folder: Path) -> list[bytes]:
    plain = struct.pack(">BBBB2I", 0, 0, 8, 2, 3, 4) + bytes(range(12))
    floats = struct.pack(">BBBBI", 0, 0, 13, 1, 2) + struct.pack(">2f", 1.5, -2.0)
    return [plain, floats, gzip.compress(plain, mtime=0)]


RECORD = bytes([3]) + bytes(3072)
CIFAR = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


def cifar_archives(_folder: Path) -> list[bytes]:
    archive = read_tar([(f"cifar-10-batches-bin/{name}", RECORD) for name in CIFAR])
    return [gzip.compress(archive, 9, mtime=0)]


def cifar_pickles(_folder: Path) -> list[bytes]:
    entries = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [3], b"batch_label": b"x", b"filenames": [b"a.png"]}
    return [pickle.dumps(entries, protocol) for protocol in (3, 4)]


def read_cifar_pickle(path: Path) -> object:
    return cifar10._parse_pickle(path.read_bytes(), "the file")


def image_files(_folder: Path) -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    image, found = Image.fromarray(pixels), []
    for name, options in (
        ("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("BMP", {}), ("WEBP", {"lossless": True}), ("PPM", {}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        image.save(buffer, name, **options)
        found.append(buffer.getvalue())
    for mode, name in (("P", "GIF"), ("LA", "PNG"), ("I;16", "PNG"), ("1", "PNG"), ("P", "PNG")):
        buffer = io.BytesIO()
        converted = (
            Image.fromarray(np.arange(30, dtype=np.uint16).reshape(6, 5)) if mode == "I;16" else image.convert(mode)
        )
        converted.save(
            buffer, name, **({"save_all": True, "append_images": [image.convert("P")]} if name == "GIF" else {})
        )
        found.append(buffer.getvalue())
    return found


def read_image_file(path: Path) -> object:
    return load_image(path, (8, 8), max_pixels=1_000_000, keep_ink=True, fit="crop")


def read_beside(path: Path) -> object:
    beside = usage_beside(path.parent)
    if beside is not None and beside.problem:
        raise InvalidFileError(beside.problem)
    return beside


@cache
def trained() -> tuple[Any, Any]:
    model = models.Sequential([layers.Dense(2, input_shape=(3,))])
    return model.graph, Adam(0.01).description


def backup_files(folder: Path) -> list[bytes]:
    graph, optimizer = trained()
    weights = {name: np.ones(shape, np.float32) for name, shape in graph.weight_shapes.items()}
    slots = {f"{name}/{slot}": array for name, array in weights.items() for slot in optimizer.slots}
    progress = TrainingProgress(1, 2, 3, 4, 5, 6, 0.5, 7, [[1.0, 2.0]], optimizer.settings)
    return contents(folder, [lambda path: save_state(path, TrainingState(progress, weights, slots))])


def read_backup(path: Path) -> object:
    return load_state(path, *trained())


KEY = "0" * 64


def cache_files(folder: Path) -> list[bytes]:
    kept = CompileCache(folder / "kept")
    kept.put(KEY, b"machine code")
    return [kept.path(KEY).read_bytes()]


def read_cache_entry(path: Path) -> object:
    path.chmod(0o600)
    path.parent.chmod(0o700)
    found = CompileCache(path.parent).get(KEY)
    if found is None:
        raise InvalidFileError("the entry is not used")
    if found != b"machine code":  # a changed payload would have to have its own hash beside it
        raise AssertionError("another payload was accepted")
    return found


def report_files(_folder: Path) -> list[bytes]:
    return [json.dumps({"format": "depthwise.compare", "files": ["a.keras", "report.json", "report.html"]}).encode()]


def archive_files(_folder: Path) -> list[bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("a/b.txt"), b"content")
        archive.writestr(zipfile.ZipInfo("c.txt"), b"")
    plain = read_tar([("a/b.txt", b"content"), ("c.txt", b"")])
    return [packed.getvalue(), plain, gzip.compress(plain, mtime=0)]


def change_archive(data: bytes, rng: random.Random) -> bytes:
    if data.startswith(b"PK"):
        return change_zip(data, rng, lambda _name, content: change_bytes(content, rng))
    return change_packed(change_tar)(data, rng)


def read_archive(path: Path) -> object:
    """Unpacks it, and makes sure that nothing but its folder is new beside it."""
    place, kept = path.parent / "unpacked", path.parent.parent / "outside"
    before = sorted(path.parent.parent.iterdir())
    try:
        _unpack(path, place, "auto")
    finally:
        found = {item.name for item in path.parent.iterdir()} - {path.name, "unpacked"}
        assert not found, f"files beside the folder: {found}"
        assert sorted(path.parent.parent.iterdir()) == before
        assert not kept.exists()
    return place


def class_lists(_folder: Path) -> list[bytes]:
    return [json.dumps({str(index): [f"n{index}", "a name"] for index in range(1000)}).encode()]


def read_class_list(path: Path) -> object:
    return _class_names.__wrapped__(str(path))


def model_texts(_folder: Path) -> list[bytes]:
    return [chain().to_json().encode(), branched().to_json().encode(), json.dumps(NESTED).encode()]


def read_model_text(path: Path) -> object:
    return models.model_from_json(path.read_text(encoding="utf-8", errors="replace"))


LABELS = [b"0 cat\n1 dog\n", "katze\nhund\n犬".encode(), b"\xef\xbb\xbfa\r\nb\r\n"]
METADATA = [
    b'{"tfjsVersion": "1.3.1", "tmVersion": "2.4", "packageName": "@teachablemachine/image", "labels": ["a", "b"]}',
    b'{"labels": ["x"]}',
]

READERS = {
    reader.name: reader
    for reader in (
        Reader("keras", "model.keras", keras_files, models.load_model, change_keras),
        Reader("h5", "model.h5", h5_files, models.load_model, change_h5),
        Reader("weights", "model.weights.h5", weights_files, lambda path: of_weights().load_weights(path), change_h5),
        Reader("tensorflow_js", "model.json", tensorflow_js_files, read_tensorflow_js, change_json),
        Reader("model_json", "config.json", model_texts, read_model_text, change_json),
        Reader("onnx", "model.onnx", onnx_files, models.load_model, change_onnx),
        Reader("npz", "data.npz", npz_files, load_npz, change_npz),
        Reader("arrays", "data.npy", array_files, load_array, change_npz),
        Reader("idx", "train-images-idx3-ubyte", idx_files, load_idx, change_packed(change_bytes)),
        Reader("cifar_archive", "cifar-10-binary.tar.gz", cifar_archives, cifar10.load_data, change_packed(change_tar)),
        Reader("cifar_pickle", "data_batch_1", cifar_pickles, read_cifar_pickle, change_bytes),
        Reader("image", "picture.png", image_files, read_image_file, change_bytes),
        Reader("labels", "labels.txt", lambda _: LABELS, read_beside, change_bytes),
        Reader("metadata", "metadata.json", lambda _: METADATA, read_beside, change_json),
        Reader("backup", "training.npz", backup_files, read_backup, change_npz),
        Reader("cache_entry", f"{KEY}.native", cache_files, read_cache_entry, change_bytes),
        Reader("report", "report.json", report_files, lambda path: _written_before(path.parent), change_json),
        Reader("archive", "archive", archive_files, read_archive, change_archive),
        Reader("class_list", "classes.json", class_lists, read_class_list, change_json),
    )
}
"""By name. A reader that is added to the package is added here, and gets the tests of `test_fuzz.py`."""

"""Older and foreign files of strangers: attributes, texts and heaps of HDF5 that lie, names, numbers, damage anywhere."""

import json
import resource
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from depthwise import layers, models, optimizers
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError, UnsupportedError, describe_value
from depthwise.network import symbolic
from support.old_keras import functional, layer, sequential, write_h5

from .conftest import Change

Build = Callable[[Change], Path]

DENSE = {"d": [("d/kernel:0", np.ones((3, 2), np.float32)), ("d/bias:0", np.zeros(2, np.float32))]}
CHAIN = sequential(layer("Dense", "d", batch_input_shape=[None, 3], units=2))


def refused(path: Path, error: type[DepthwiseError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        models.load_model(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    assert len(text) < 800


# Attributes.


def attribute(group: str, name: str, value: Any, dtype: Any = None) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        place = file[group] if group else file
        place.attrs.create(name, value, dtype=dtype)

    return change


def lists_of_numbers() -> Any:
    value = np.empty(1, dtype=object)
    value[0] = np.arange(3, dtype=np.int32)
    return value


def without(group: str, name: str) -> Callable[[h5py.File], None]:
    return lambda file: (file[group] if group else file).attrs.__delitem__(name)


W, D = "model_weights", "model_weights/d"
ATTRIBUTES: dict[str, tuple[Callable[[h5py.File], None], type[DepthwiseError], str]] = {
    "no config": (without("", "model_config"), InvalidFileError, "holds weights only, no model; make the model first and"),
    "no layer names": (without(W, "layer_names"), InvalidFileError, "holds no weights of a Keras model: it has no layer_names"),
    "no weight names": (without(D, "weight_names"), InvalidFileError, "'model_weights/d' is missing or has no weight_names"),
    "numbers for names": (attribute(W, "layer_names", [1, 2]), UnsupportedError, "the attribute 'layer_names' holds no texts"),
    "table of names": (attribute(W, "layer_names", np.array([[b"d"]])), InvalidFileError, "'layer_names' has no shape that can"),
    "compound": (attribute(W, "layer_names", np.zeros(1, "f4,S3")), UnsupportedError, "'layer_names' holds no texts"),
    "lists of numbers": (
        lambda file: file[W].attrs.create("layer_names", lists_of_numbers(), dtype=h5py.vlen_dtype(np.int32)),
        UnsupportedError,
        "'layer_names' holds no texts",
    ),
    "parts in odd order": (
        lambda file: (without(W, "layer_names")(file), attribute(W, "layer_names1", [b"d"])(file))[0],
        InvalidFileError,
        "it has no layer_names",
    ),
    "name of another group": (attribute(W, "layer_names", [b"../d"]), InvalidFileError, "'model_weights/../d' is missing or has"),
    "deep name": (attribute(W, "layer_names", [b"a/" * 99]), InvalidFileError, "which is too deep to be one of Keras'"),
    "absolute weight": (attribute(D, "weight_names", [b"/etc/passwd", b"x"]), InvalidFileError, "'model_weights/d//etc/passwd' is mis"),
    "one weight twice": (attribute(D, "weight_names", [b"d/bias:0"] * 2), InvalidFileError, r"must have the shape \(3, 2\) by the"),
    "one weight": (attribute(D, "weight_names", [b"d/bias:0"]), InvalidFileError, "the layer 'd' needs 2 weights, the file has 1"),
    "no weights": (attribute(D, "weight_names", np.zeros(0)), InvalidFileError, "has weights for 0 layers, the network has 1 layers"),
    "layers without end": (attribute(W, "layer_names", np.array([b"d"] * 9_000)), InvalidFileError, "has weights for 9000 layers, the network"),
    "not UTF-8": (attribute(W, "layer_names", [b"\xff\xfe"]), InvalidFileError, "the attribute 'layer_names' is not UTF-8"),
    "no JSON": (attribute("", "model_config", b"{"), InvalidFileError, "model_config in .* is not valid JSON"),
    "other JSON": (attribute("", "model_config", b"3"), InvalidFileError, "should be an object of JSON, got 3"),
    "large JSON": (attribute("", "model_config", " " * (5 * 2**20)), InvalidFileError, "has 5,242,880 bytes, at most 4,194,304"),
    "bomb of lists": (attribute("", "model_config", "[" * 300_000), InvalidFileError, "has 300,000 lists and objects, at most 200,000"),
    "integers": (
        lambda file: (file.__delitem__(f"{D}/d/kernel:0"), file.__setitem__(f"{D}/d/kernel:0", np.ones((3, 2), "i4")))[0],
        UnsupportedError,
        "'d/kernel' must hold floats, the file has int32",
    ),
    "soft link": (
        lambda file: (file.__delitem__(f"{D}/d/kernel:0"), file.__setitem__(f"{D}/d/kernel:0", h5py.SoftLink("/x")))[0],
        UnsupportedError,
        "holds a soft link, which is refused",
    ),
    "external link": (
        lambda file: (file.__delitem__(D), file.__setitem__(D, h5py.ExternalLink("/etc/passwd", "/")))[0],
        UnsupportedError,
        "soft or external links",
    ),
    "compressed": (
        lambda file: (
            file.__delitem__(f"{D}/d/kernel:0"),
            file.create_dataset(f"{D}/d/kernel:0", (3, 2), "f4", np.ones((3, 2)), chunks=(3, 2), compression="gzip"),
        )[0],
        UnsupportedError,
        "compressed or otherwise filtered data.*; copy the file with HDF5's h5repack",
    ),
    "shape bomb": (
        lambda file: (file.__delitem__(f"{D}/d/kernel:0"), file.create_dataset(f"{D}/d/kernel:0", (2**20,) * 3, "f4"))[0],
        InvalidFileError,
        "the values of .* are not in the file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_and_weights(name: str, tmp_path: Path) -> None:
    change, error, message = ATTRIBUTES[name]
    path = write_h5(tmp_path / "a.h5", CHAIN, DENSE)
    with h5py.File(path, "a") as file:
        change(file)
    refused(path, error, message)


def test_no_refusal_sends_anybody_to_another_framework() -> None:
    source = Path(models.__file__).parent / "data" / "formats"
    for path in source.glob("*.py"):
        text = path.read_text(encoding="utf-8").lower()
        for advice in ("save it as .keras", "with keras first", "save the model again with", "load and save it"):
            assert advice not in text, path


def patched(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert content.count(old) >= 1
    path.write_bytes(content.replace(old, new))


def test_heaps_of_texts_that_lie(tmp_path: Path) -> None:
    path = write_h5(tmp_path / "a.h5", CHAIN, DENSE, fixed_size=False)
    good = path.read_bytes()
    place = good.index(b"GCOL")
    for start, value, message in (
        (place, b"GCOX", "the heap of its texts is none, or lies beyond the end"),
        (place + 8, b"\xff" * 8, "the heap of its texts is none, or lies beyond the end|cannot be read"),
        (place + 24, b"\xff" * 7, "a text lies beyond the end of its heap"),
        (place + 16, b"\0\0", "is not in the file"),
    ):
        path.write_bytes(good[:start] + value + good[start + len(value) :])
        refused(path, InvalidFileError, message)


# Names and numbers of configs.


@pytest.mark.parametrize("name", ["a\0b", "a\x1b[31m", "\ud800", "a\x9bb", "a\u2028b", "x" * 300, ""])
def test_names_that_could_not_be_written_again(name: str, with_config: Build) -> None:
    def change(config: dict[str, Any]) -> None:
        config["config"]["layers"][1]["config"]["name"] = name

    refused(with_config(change), InvalidFileError, "must be a text of 1 to 256 characters without '/' and control char")


@pytest.mark.parametrize("name", ["a\x1b]0;x\x07", "\ud800", 3, "x" * 300])
def test_names_of_metrics_and_optimizers(name: object, with_config: Build) -> None:
    for part in ("optimizer", "metrics"):

        def change(config: dict[str, Any], part: str = part) -> None:
            kind = {"optimizer": ("keras.optimizers", "SGD"), "metrics": ("keras.metrics", "MeanSquaredError")}[part]
            item = {"module": kind[0], "class_name": kind[1], "config": {"name": name}, "registered_name": None}
            config["compile_config"] = {"optimizer": "sgd", "loss": "mse", part: [item] if part == "metrics" else item}

        with pytest.warns(
            UserWarning, match="must be a text of at most 256 characters without control characters, got"
        ):
            assert models.load_model(with_config(change)).compiled is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Rescaling(1e300),
        lambda: layers.Rescaling(1.0, offset=-1e39),
        lambda: layers.ReLU(negative_slope=1e299),
        lambda: layers.BatchNormalization(epsilon=1e293),
    ],
)
def test_numbers_beyond_float32_are_refused_at_once(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="must be of numbers that float32 can hold, got"):
        make()


@pytest.mark.parametrize("options", [{"clipnorm": 1e300}, {"learning_rate": 10**400}, {"epsilon": 1e39}])
def test_numbers_of_optimizers_beyond_float32(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a number"):
        optimizers.Adam(**options)


def test_a_long_chain_is_made_once_not_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = symbolic.structure

    def counted(*arguments: Any, **options: Any) -> Any:
        made.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(models, "structure", counted)
    chain = sequential(*(layer("ReLU", f"r{index}", batch_input_shape=[None, 2]) for index in range(300)))
    model = models.model_from_json(json.dumps(chain))
    assert (len(model.layers), len(made)) == (300, 1)


def test_values_in_messages_are_cut_before_they_are_printed() -> None:
    class Counted(list[Any]):
        pass

    nested: Any = [[1, 2, 3]] * 10**6
    assert describe_value(nested) == "[[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], […"
    assert describe_value({"a" * 10**7: 1}) == "{'" + "a" * 77 + "…"
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert describe_value(deep) == "[" * 79 + "…"
    for value in ([1, "x"], {"a": [None, True]}, (1,), "é'", b"x", {}, [], 3.5, Counted([1])):
        assert describe_value(value) == ascii(value)


# Damage of any kind.


def corpus(folder: Path) -> dict[str, bytes]:
    """A small file of each kind."""
    inner = functional(
        layer("InputLayer", "i", [], batch_input_shape=[None, 3]),
        layer("Dense", "a/b", [[["i", 0, 0, {}]]], units=2),
        layer("TFOpLambda", "op", [["a/b", 0, 0, {"y": 2.0}]], function="math.multiply"),
        inputs=[["i", 0, 0]],
        outputs=[["op", 0, 0]],
    )
    training = {"loss": "mse", "metrics": ["mae"], "optimizer_config": {"class_name": "SGD", "config": {"lr": 0.1}}}
    weights = {"a/b": [("a/b/kernel:0", DENSE["d"][0][1]), ("a/b/bias:0", DENSE["d"][1][1])]}
    write_h5(folder / "bytes.h5", inner, weights, training=training)
    write_h5(folder / "texts.h5", CHAIN, DENSE, fixed_size=False, parts=2)
    models.Sequential([layers.Dense(2, input_shape=(3,)), layers.BatchNormalization()]).save(folder / "ours.h5")
    return {path.name: path.read_bytes() for path in folder.glob("*.h5")}


def damaged(data: bytes, generator: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(generator.integers(1, 5))):
        place = int(generator.integers(0, max(1, len(changed) // 8))) * 8
        kind = generator.integers(5)
        if kind == 0:
            changed[place] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            changed[place : place + 8] = b"\xff" * 8
        elif kind == 2:
            changed[place : place + 8] = int(generator.integers(len(data))).to_bytes(8, "little")
        elif kind == 3:
            changed[place + int(generator.integers(8))] = int(generator.choice([0, 1, 9, 34, 44, 91, 123, 127, 255]))
        else:
            del changed[place:]
        if len(changed) < 16:
            break
    return bytes(changed)


def outcome(path: Path) -> str:
    try:
        with warnings.catch_warnings(action="ignore"):
            models.load_model(path)
    except DepthwiseError as error:
        return "refused" if str(error).isprintable() else "not printable"
    return "read"


def test_random_damage_of_older_files(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    files = corpus(tmp_path)
    path = tmp_path / "damaged.h5"
    outcomes = {"read": 0, "refused": 0}
    for name, content in files.items():
        assert outcome(tmp_path / name) == "read"
        for seed in range(150):
            path.write_bytes(damaged(content, np.random.default_rng(seed)))
            outcomes[outcome(path)] += 1
    assert min(outcomes.values()) > 40
    record_property("tried", sum(outcomes.values()))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20  # KiB: Keras and JAX have most of it


def test_random_damage_of_configs(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The JSON of an older config with values exchanged, deleted and replaced by others of any type."""
    path = tmp_path / "config.h5"
    base = functional(
        layer("InputLayer", "i", [], batch_input_shape=[None, 4, 4, 2]),
        layer("Conv2D", "c", [[["i", 0, 0, {}]]], filters=2, kernel_size=[3, 3], activation="relu6", groups=1),
        layer("TFOpLambda", "op", [["c", 0, 0, {"y": 2.0, "name": None}]], function="math.multiply"),
        {**sequential(layer("Flatten", "f", batch_input_shape=[None, 2, 2, 2])), "name": "chain", "inbound_nodes": [[["op", 0, 0, {}]]]},
        inputs=[["i", 0, 0]],
        outputs=[["chain", 1, 0]],
    )  # fmt: skip
    base["config"]["layers"][3]["config"]["name"] = "chain"
    weights = {"c": [("c/kernel:0", np.ones((3, 3, 2, 2), np.float32)), ("c/bias:0", np.zeros(2, np.float32))]}
    outcomes = {"read": 0, "refused": 0}
    others: list[Any] = [
        None,
        True,
        0,
        -1,
        3,
        2**70,
        1e300,
        "",
        "c",
        "Lambda",
        [],
        [None],
        {},
        [["c", 0, 0]],
        {"class_name": "Model"},
    ]
    for seed in range(300):
        generator = np.random.default_rng(seed)
        config = json.loads(json.dumps(base))
        for _ in range(int(generator.integers(0, 3))):
            places = [
                (owner, key)
                for owner in _owners(config)
                for key in (range(len(owner)) if isinstance(owner, list) else owner)
            ]
            owner, key = places[int(generator.integers(len(places)))]
            if generator.integers(3) == 0 and isinstance(owner, dict):
                del owner[key]
            else:
                owner[key] = json.loads(json.dumps(others[int(generator.integers(len(others)))]))
        write_h5(path, config, weights)
        outcomes[outcome(path)] += 1
    assert min(outcomes.values()) > 40
    record_property("tried", sum(outcomes.values()))


def _owners(value: Any) -> list[Any]:
    found = [value] if isinstance(value, (list, dict)) and value else []
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        found += _owners(item)
    return found

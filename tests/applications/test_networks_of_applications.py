"""`depthwise.applications` beside `keras.applications`: the same layers under the same names, the same answers to wrong arguments."""

import hashlib
import http.server
import json
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import applications, layers, models
from depthwise.applications import building, imagenet_utils, mobilenet, mobilenet_v2, weights
from depthwise.data.formats.config import parse_model
from depthwise.data.formats.json_text import parse_json
from depthwise.errors import (
    DepthwiseError,
    InvalidArgumentError,
    InvalidFileError,
    ShapeError,
    UnsupportedError,
)
from depthwise.utils.downloads import get_file
from support.keras_applications import drawn_quickly, swept

NAMES = [name for name in applications.__all__ if name[0].isupper()]

QUICK: list[tuple[str, dict[str, Any]]] = [
    ("MobileNet", {"input_shape": (33, 47, 3), "alpha": 0.25, "depth_multiplier": 2, "classes": 3}),
    ("MobileNetV2", {"input_shape": (96, 96, 3), "alpha": 1.4}),
    ("MobileNetV2", {"input_shape": (57, 64, 1), "alpha": 0.35, "include_top": False, "pooling": "max"}),
    ("MobileNetV3Small", {"input_shape": (65, 43, 3), "alpha": 0.3, "classifier_activation": None}),
    ("EfficientNetB0", {"input_shape": (33, 47, 3), "include_top": False, "pooling": "avg"}),
]
EVERY: list[tuple[str, dict[str, Any]]] = [
    *((name, {"input_shape": (71, 75, 3), "classes": 7, "classifier_activation": None}) for name in NAMES),
    *((name, {"input_shape": (96, 71, 3), "include_top": False}) for name in NAMES),
    *(
        (name, {"input_shape": (71, 71, 1), "include_top": False, "pooling": pooling})
        for name in NAMES
        if not name.startswith("EfficientNetB")
        for pooling in ("avg", "max")
    ),
    *((name, {}) for name in NAMES if not name.startswith("MobileNetV3")),
    *((name, {"alpha": alpha}) for name in ("MobileNet", "MobileNetV2") for alpha in (0.25, 0.5, 0.75, 1.3)),
    *(
        (f"MobileNetV3{size}", {"input_shape": (224, 224, 3), "alpha": alpha, "minimalistic": minimalistic})
        for size in ("Small", "Large")
        for alpha in (0.75, 1.0, 1.25)
        for minimalistic in (False, True)
    ),
    ("MobileNetV3Small", {"input_shape": (32, 32, 3), "dropout_rate": 0.0, "include_preprocessing": False}),
    ("EfficientNetV2B1", {"input_shape": (32, 32, 3), "include_preprocessing": False}),
    ("EfficientNetV2S", {"input_shape": (32, 32, 3), "include_preprocessing": False}),
    (
        "MobileNet",
        {"input_shape": (32, 32, 3), "name": "own"},
    ),  # Keras' EfficientNetV2 fails with a name of your choice
]


def _check_equal(name: str, arguments: dict[str, Any]) -> None:
    """Names, arguments and connections of all layers, the model's name, the shapes of all weights in their order."""
    keras.backend.clear_session()
    with drawn_quickly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, about channels
        theirs = getattr(keras.applications, name)(weights=None, **arguments)
    ours = getattr(applications, name)(weights=None, **arguments)
    read = parse_model(parse_json(theirs.to_json(), name), name)
    assert ours.description == read.tree
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    shapes = [weight.shape for call in ours.graph.layers.values() for weight in call.weights]
    assert shapes == [tuple(weight.shape) for weight in theirs.weights]


@pytest.mark.parametrize(("name", "arguments"), QUICK)
def test_layers_are_those_of_keras(name: str, arguments: dict[str, Any]) -> None:
    _check_equal(name, arguments)


@pytest.mark.parametrize(("name", "arguments"), swept(EVERY, lambda case: EVERY.index(case) % 8 == 0))
def test_layers_of_every_network_are_those_of_keras(name: str, arguments: dict[str, Any]) -> None:
    _check_equal(name, arguments)


def test_signatures_are_those_of_keras() -> None:
    import inspect

    for name in NAMES:
        own, other = (inspect.signature(getattr(kit.applications, name)) for kit in (depthwise, keras))
        assert [(item.name, item.default) for item in own.parameters.values()] == [
            (item.name, item.default) for item in other.parameters.values()
        ], name
        assert own.return_annotation is models.Model
        assert getattr(applications, name).__name__ == name
        assert getattr(applications, name).__doc__


def test_names_that_scripts_import() -> None:
    for name in applications.__all__:
        assert hasattr(applications, name)
        if not name[0].isupper():
            module = getattr(applications, name)
            for own in dir(getattr(keras.applications, name)):
                assert own.startswith("_") or hasattr(module, own), f"{name}.{own}"
    assert depthwise.applications.mobilenet_v2.MobileNetV2 is applications.MobileNetV2
    assert set(applications.__all__) == set(dir(applications))
    with pytest.raises(AttributeError, match=r"ResNet50.* is not supported: make it with Keras and give it to"):
        applications.ResNet50  # noqa: B018
    with pytest.raises(AttributeError, match="has no attribute 'MobilNet'; there are MobileNet"):
        applications.MobilNet  # noqa: B018
    assert not hasattr(applications, "vgg16")


def test_a_network_on_a_tensor() -> None:
    image = depthwise.Input((40, 48, 3))
    x = layers.RandomFlip("horizontal")(image)
    model = applications.MobileNetV2(
        weights=None, input_tensor=mobilenet_v2.preprocess_input(x), alpha=0.35, include_top=False, pooling="avg"
    )
    assert model.inputs[0] is image
    assert model.output_shape == (None, 1280)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3)).astype(np.float32)
    plain = applications.MobileNetV2(
        weights=None, input_shape=(40, 48, 3), alpha=0.35, include_top=False, pooling="avg"
    )
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(
        model.predict(pixels), plain.predict(mobilenet_v2.preprocess_input(pixels)), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"include_top": 1}, InvalidArgumentError, "MobileNetV2: include_top must be True or False, got 1"),
        ({"weights": 3}, InvalidArgumentError, r'weights must be None \(new ones\), "imagenet" or the path of a file'),
        ({"pooling": "mean"}, InvalidArgumentError, 'pooling must be None, "avg" or "max", got \'mean\''),
        ({"classes": 0}, InvalidArgumentError, "MobileNetV2: classes must be an integer of at least 1, got 0"),
        ({"input_shape": (31, 64, 3)}, ShapeError, "the image must be at least 32×32, got 31×64"),
        ({"input_shape": (64, 64)}, ShapeError, r"input_shape must be \(height, width, channels\), got \(64, 64\)"),
        ({"input_shape": (None, 64, 3)}, UnsupportedError, "every size of input_shape must be fixed"),
        ({"input_tensor": 1}, InvalidArgumentError, "input_tensor must be what depthwise.Input or a layer gave, got 'int'"),
        ({"weights": "imagenet", "classes": 5}, InvalidArgumentError, "with include_top=True have 1000 classes, got 5"),
        ({"weights": "imagenet", "classifier_activation": "relu"}, InvalidArgumentError, "must be \"softmax\" or None"),
        ({"weights": "imagenet", "input_shape": (64, 64, 3)}, InvalidArgumentError, "images of 96×96 or 128×128 or .*, got 64×64"),
        ({"weights": "imagenet", "input_shape": (96, 96, 1)}, InvalidArgumentError, "images of 3 channels, got 1"),
        ({"weights": "imagenet", "alpha": 0.4}, InvalidArgumentError, "published for alpha 0.35, 0.5, .*, got 0.4"),
    ],
)  # fmt: skip
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        applications.MobileNetV2(**{"weights": None, **arguments})


def test_other_wrong_arguments() -> None:
    with pytest.raises(ShapeError, match="Xception: the image must be at least 71×71, got 64×64"):
        applications.Xception(weights=None, input_shape=(64, 64, 3))
    with pytest.raises(InvalidArgumentError, match='MobileNet: weights="imagenet" need depth_multiplier=1, got 2'):
        applications.MobileNet(depth_multiplier=2)
    with pytest.raises(InvalidArgumentError, match=r"published for alpha 1\.0, got 0\.75"):
        applications.MobileNetV3Small(minimalistic=True, alpha=0.75)
    with pytest.raises(ShapeError, match=r"input_tensor must have the shape \(64, 64, 3\), got \(40, 40, 3\)"):
        applications.MobileNetV2(weights=None, input_tensor=depthwise.Input((40, 40, 3)), input_shape=(64, 64, 3))
    with pytest.raises(InvalidFileError, match="nowhere"):
        applications.MobileNetV2(weights="/nowhere.h5", input_shape=(32, 32, 3))


# Weights, without a network.


class _Server(http.server.ThreadingHTTPServer):
    files: dict[str, bytes]
    asked: list[str]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(self.path)
        content = server.files.get(self.path.lstrip("/"))
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A server of this machine in place of Keras' own, and a cache folder of the test."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    with _Server(("127.0.0.1", 0), _Handler) as made:
        made.files, made.asked = {}, []
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{made.server_address[1]}/"
        monkeypatch.setattr(
            weights, "get_file", lambda name, origin, **options: get_file(name, address + Path(origin).name, **options)
        )
        yield made
        made.shutdown()
        thread.join()


def test_weights_are_downloaded_once_and_read_from_the_cache(server: Any, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"alpha": 0.35, "input_shape": (96, 96, 3), "include_top": False}
    trained = applications.MobileNetV2(weights=None, **arguments)
    trained.save_weights(tmp_path / "own.weights.h5")
    model = models.Model(trained.inputs, trained.outputs)
    model.save(tmp_path / "own.h5")
    file = f"{mobilenet_v2.FILES}_0.35_96_no_top.h5"
    server.files[file] = (tmp_path / "own.h5").read_bytes()
    for _ in range(2):
        opened = applications.MobileNetV2(**arguments)
        for one, other in zip(opened.get_weights(), trained.get_weights(), strict=True):
            assert np.array_equal(one, other)
    assert server.asked == [f"/{file}"]
    assert (tmp_path / "home" / "models" / file).is_file()
    by_path = applications.MobileNetV2(**arguments, weights=tmp_path / "own.weights.h5")
    assert np.array_equal(by_path.get_weights()[0], trained.get_weights()[0])
    with pytest.warns(UserWarning, match="no weights are published for images of 40×48; those for 224×224 are loaded"):
        assert mobilenet.published_size("MobileNet", _request(), 1.0, (1.0,), (224,)) == 224


def _request() -> building.Request:
    return building.requested(
        "MobileNet", 224, include_top=False, weights="imagenet", input_tensor=None, input_shape=(40, 48, 3), pooling=None,
        classes=1000, classifier_activation="softmax",
    )  # fmt: skip


def test_what_comes_must_have_the_published_hash(server: Any, tmp_path: Path) -> None:
    server.files["efficientnetb0_notop.h5"] = b"something else"
    with pytest.raises(
        InvalidFileError, match="has not the md5 hash '50bc09e76180e00e4465e1a485ddc09d'; it was deleted"
    ):
        applications.EfficientNetB0(include_top=False, input_shape=(32, 32, 3))
    assert list((tmp_path / "home" / "models").iterdir()) == []


def test_a_failed_download_says_what_to_do(server: Any, tmp_path: Path) -> None:
    with pytest.raises(
        DepthwiseError, match=r"Xception: .*; give weights=None for new weights, or put xception_weights.*"
    ):
        applications.Xception(include_top=False, input_shape=(71, 71, 3))
    published = weights.Published("xception.h5", "http://x/")
    assert weights.cached(published) is None
    (tmp_path / "home" / "models").mkdir(parents=True, exist_ok=True)
    (tmp_path / "home" / "models" / "xception.h5").write_bytes(b"")
    assert weights.cached(published) == tmp_path / "home" / "models" / "xception.h5"


@pytest.mark.sweep
def test_published_files_are_those_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address and the hash of every file that Keras would fetch, asked of both."""
    from keras.src.utils import file_utils

    asked: list[tuple[Any, ...]] = []

    class AskedError(Exception):
        pass

    def note(name: str, origin: str, cache_subdir: str = "", file_hash: str | None = None, **_: Any) -> Any:
        asked.append((name, origin, cache_subdir, file_hash))
        raise AskedError

    monkeypatch.setattr(file_utils, "get_file", note)
    monkeypatch.setattr(weights, "get_file", note)
    variants: dict[str, list[dict[str, Any]]] = {name: [{}] for name in NAMES}
    variants["MobileNet"] = [{"alpha": a, "input_shape": (s, s, 3)} for a in (0.25, 0.5, 0.75, 1.0) for s in (128, 192)]
    variants["MobileNetV2"] = [{"alpha": a, "input_shape": (s, s, 3)} for a in (0.35, 1.0, 1.4) for s in (96, 224)]
    for name in ("MobileNetV3Small", "MobileNetV3Large"):
        variants[name] = [
            {"input_shape": (224, 224, 3), "minimalistic": True},
            {"input_shape": (224, 224, 3), "alpha": 0.75},
        ]
    for name, every in variants.items():
        for arguments in every:
            for top in (True, False):
                size = {} if top or "input_shape" in arguments else {"input_shape": (96, 96, 3)}
                with drawn_quickly(), pytest.raises(AskedError):
                    getattr(keras.applications, name)(include_top=top, **arguments, **size)
                with pytest.raises(AskedError):
                    getattr(applications, name)(include_top=top, **arguments, **size)
                assert asked[-1] == asked[-2], (name, arguments, top)


# What goes in, what comes out.


def test_preprocessing_is_that_of_keras() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 3))
    for mode in ("tf", "torch", "caffe"):
        for first, x in ((False, pixels), (True, pixels.transpose(0, 3, 1, 2)), (False, pixels[0])):
            form = "channels_first" if first else "channels_last"
            for given in (x, x.astype(np.float32), x.astype(np.uint8)):
                before = given.copy()
                own = imagenet_utils.preprocess_input(given, form, mode)
                theirs = keras.applications.imagenet_utils.preprocess_input(given.copy(), form, mode)
                assert own.dtype == theirs.dtype == np.float32
                np.testing.assert_allclose(own, theirs, rtol=1e-6, atol=1e-6)
                assert np.array_equal(given, before)
    assert mobilenet.preprocess_input(np.full((1, 1, 3), 255)).tolist() == [[[1.0, 1.0, 1.0]]]
    assert applications.efficientnet.preprocess_input(pixels) is pixels
    image = depthwise.Input((4, 3, 3))
    inside = models.Model(image, imagenet_utils.preprocess_input(image, mode="torch"))
    expected = imagenet_utils.preprocess_input(pixels, mode="torch")
    np.testing.assert_allclose(inside.predict(pixels.astype(np.float32)), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UnsupportedError, match='mode "caffe" is for arrays, not inside of a model'):
        imagenet_utils.preprocess_input(image)
    with pytest.raises(InvalidArgumentError, match="preprocess_input: mode must be one of caffe, tf, torch, got 'x'"):
        imagenet_utils.preprocess_input(pixels, mode="x")
    with pytest.raises(ShapeError, match=r"images of 3 colours, got the shape \(2, 2\)"):
        imagenet_utils.preprocess_input(np.zeros((2, 2)), mode="torch")


def test_predictions_get_their_names(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps({str(index): [f"n{index:08}", f"class_{index}"] for index in range(1000)}).encode()
    server.files["imagenet_class_index.json"] = content
    own = weights.Published("imagenet_class_index.json", "http://x/", hashlib.md5(content).hexdigest())
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", own)
    shares = np.random.default_rng(0).random((2, 1000)).astype(np.float32)
    found = mobilenet_v2.decode_predictions(shares, top=3)
    for row, best in zip(shares, found, strict=True):
        numbers = np.argsort(row)[::-1][:3].tolist()
        assert best == [(f"n{index:08}", f"class_{index}", row[index]) for index in numbers]
    assert len(imagenet_utils.decode_predictions(shares)[0]) == 5
    assert server.asked == ["/imagenet_class_index.json"]
    with pytest.raises(ShapeError, match=r"takes shares \(samples, 1000\) .*, got the shape \(1000,\)"):
        imagenet_utils.decode_predictions(shares[0])


def test_a_list_of_classes_that_is_another(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["imagenet_class_index.json"] = b'{"0": 3}'
    own = weights.Published("imagenet_class_index.json", "http://x/")
    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", own)
    with pytest.raises(InvalidFileError, match="is not the one that Keras publishes; delete it and call again"):
        imagenet_utils.decode_predictions(np.zeros((1, 1000)))

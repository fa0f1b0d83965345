"""Names of classes, scale and fit of pictures: kept in files that Keras opens, taken from data, refused where they do not fit."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import depthwise
from depthwise import layers, utils
from depthwise.errors import InvalidArgumentError, InvalidFileError
from depthwise.preprocessing.image import ImageDataGenerator
from depthwise.usage import MOST_NAMES, Usage

HOSTILE = ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "\x1b[31mred", "a\nb", "猫", "\udcff"]


def classifier(units: int, activation: str = "softmax") -> Any:
    return depthwise.Sequential(
        [depthwise.Input(shape=(4, 4, 3)), layers.Flatten(), layers.Dense(units, activation=activation)]
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("dog", "cat", "ant"):
        (folder / name).mkdir()
        for index in range(2):
            Image.new("RGB", (6, 5), (40 * index, 90, 10)).save(folder / name / f"{index}.png")
    return folder


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_files_keep_it_and_keras_opens_them(ending: str, tmp_path: Path) -> None:
    model = classifier(len(HOSTILE))
    model.class_names, model.input_scale, model.input_fit = HOSTILE, "-1..1", "crop"
    path = tmp_path / f"a.{ending}"
    model.save(path)
    again = depthwise.load_model(path)
    assert (again.class_names, again.input_scale, again.input_fit) == (tuple(HOSTILE), "-1..1", "crop")
    x = np.random.default_rng(0).random((2, 4, 4, 3), np.float32)
    theirs = keras.models.load_model(path, compile=False)
    np.testing.assert_allclose(theirs.predict(x, verbose=0), model.predict(x), rtol=1e-5)
    assert depthwise.models.clone_model(again).class_names == tuple(HOSTILE)


def test_a_file_without_it_and_one_of_a_later_version(tmp_path: Path) -> None:
    path = tmp_path / "a.keras"
    classifier(2).save(path)
    assert "depthwise" not in json.loads(zipfile.ZipFile(path).read("metadata.json"))
    again = depthwise.load_model(path)
    assert (again.class_names, again.input_scale, again.input_fit) == ((), None, None)
    assert Usage.from_facts({"scale": "0..1023", "fit": "spiral", "colour": 3}, "a file") == Usage()


@pytest.mark.parametrize("facts", [[], {"class_names": "cat"}, {"class_names": [1]}, {"class_names": {"a": 1}}])
def test_a_damaged_file_is_refused(facts: Any, tmp_path: Path) -> None:
    path, bad = tmp_path / "a.keras", tmp_path / "bad.keras"
    classifier(2).save(path)
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(bad, "w") as made:
        for name in given.namelist():
            content = given.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"depthwise": facts}).encode()
            made.writestr(name, content)
    with pytest.raises(InvalidFileError, match=r"metadata\.json in '.*bad\.keras' (must|is damaged)"):
        depthwise.load_model(bad)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("cat", "class_names must be a list of texts, got 'cat'"),
        ([1, 2], "class_names must be a list of texts"),
        (["a", "b", "c"], r"class_names holds 3 names, but the model's output has the shape \(None, 2\)"),
        (["a"] * (MOST_NAMES + 1), "up to 100,000 names"),
    ],
)
def test_names_that_do_not_fit(names: Any, message: str) -> None:
    model = classifier(2)
    with pytest.raises(InvalidArgumentError, match=message):
        model.class_names = names
    with pytest.raises(InvalidArgumentError, match=r"input_scale must be one of 0\.\.1, -1\.\.1, 0\.\.255 or None"):
        model.input_scale = "0-1"


def test_names_go_with_the_head_that_they_were_for() -> None:
    model = classifier(2)
    model.class_names = np.array(["cat", "dog"])
    assert model.class_names == ("cat", "dog")
    model.pop()
    model.add(layers.Dense(5))
    assert model.class_names == ()
    single = classifier(1, "sigmoid")
    single.class_names = ["no", "yes"]
    assert single.class_names == ("no", "yes")


def test_fit_takes_them_from_a_folder(photos: Path) -> None:
    model = classifier(3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    data = utils.image_dataset_from_directory(
        photos, image_size=(4, 4), crop_to_aspect_ratio=True, seed=1, verbose=False
    )
    model.fit(data, verbose=0)
    assert (model.class_names, model.input_scale, model.input_fit) == (("ant", "cat", "dog"), "0..255", "crop")
    changed = data.map(lambda x, y: (x / 255, y))
    assert (changed.class_names, changed.pixel_scale) == (["ant", "cat", "dog"], None)
    other = classifier(4)
    other.compile("sgd", "sparse_categorical_crossentropy")
    other.fit(data, verbose=0)
    assert other.class_names == ()


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({}, "0..255"),
        ({"rescale": 1 / 255}, "0..1"),
        ({"rescale": 0.1}, None),
        ({"preprocessing_function": lambda image: image}, None),
    ],
)
def test_fit_takes_them_from_a_generator(options: Any, scale: str | None, photos: Path) -> None:
    model = classifier(3)
    model.compile("sgd", "categorical_crossentropy")
    data = ImageDataGenerator(**options).flow_from_directory(str(photos), target_size=(4, 4), seed=1)
    model.fit(data, verbose=0)
    assert (model.class_names, model.input_scale) == (("ant", "cat", "dog"), scale)


def test_summary_says_them(capsys: pytest.CaptureFixture[str]) -> None:
    model = classifier(len(HOSTILE))
    model.class_names, model.input_scale = HOSTILE, "-1..1"
    model.summary()
    shown = capsys.readouterr().out
    assert "Classes: 6: <script>" in shown
    assert "\x1b[31mred" not in shown
    assert r"\x1b[31mred, a\nb, 猫, \udcff" in shown
    assert "Input, black to white: -1..1" in shown


@pytest.mark.parametrize(("name", "scale"), [("MobileNetV2", "-1..1"), ("MobileNetV3Small", None)])
def test_published_weights_know_their_scale(name: str, scale: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from depthwise import applications
    from depthwise.applications import building

    monkeypatch.setattr(building, "load_published", lambda *arguments: None)
    make = getattr(applications, name)
    assert make(weights="imagenet", input_shape=(224, 224, 3), include_top=False).input_scale == scale
    assert make(weights=None, input_shape=(224, 224, 3), include_top=False).input_scale is None

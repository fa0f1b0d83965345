"""Your own photos: names and scale from the files beside a model, and a new head for your own classes."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import depthwise
from depthwise import layers, models
from depthwise.cli import app
from depthwise.data.formats.beside import usage_beside

runner = CliRunner()
SIZE = 16


def photo(digit: np.ndarray, rng: np.random.Generator, height: int = 20, width: int = 28) -> Image.Image:
    """A digit in dark ink on coloured paper, somewhere in the middle, with noise."""
    ink = np.asarray(Image.fromarray(digit).resize((SIZE, SIZE)), np.float32)[..., None] / 255
    paper = np.broadcast_to(rng.integers(140, 255, 3), (height, width, 3)).astype(np.float64)
    top, left = int(rng.integers(0, height - SIZE + 1)), (width - SIZE) // 2
    paper = paper + rng.normal(0, 4, paper.shape)
    part = paper[top : top + SIZE, left : left + SIZE]
    part[:] = part * (1 - ink) + rng.integers(0, 50, 3) * ink
    return Image.fromarray(paper.clip(0, 255).astype(np.uint8))


def teachable(units: int) -> Any:
    """A network as Teachable Machine nests it: a small MobileNet, pooled, and a head of its own."""
    start = depthwise.Input(shape=(SIZE, SIZE, 3))
    tensor = layers.ReLU(max_value=6.0)(
        layers.BatchNormalization(momentum=0.9)(layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(start))
    )
    for filters, step in ((16, 1), (48, 2)):
        tensor = layers.DepthwiseConv2D(3, strides=step, padding="same", use_bias=False)(tensor)
        tensor = layers.ReLU(max_value=6.0)(layers.BatchNormalization(momentum=0.9)(tensor))
        tensor = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(filters, 1, use_bias=False)(tensor))
    body = models.Sequential([models.Model(start, tensor), layers.GlobalAveragePooling2D()])
    head = models.Sequential(
        [
            layers.Dense(10, activation="relu", input_shape=(48,)),
            layers.Dense(units, activation="softmax", use_bias=False),
        ]
    )
    return models.Sequential([body, head])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network that knows the digits 0 to 3 from photos, as Teachable Machine exports it, and photos of 5, 6 and 7."""
    folder = tmp_path_factory.mktemp("teachable")
    (x, y), _ = depthwise.datasets.mnist.load_data()
    rng = np.random.default_rng(5)
    chosen = np.flatnonzero(y < 4)[:1600]
    known = np.stack([np.asarray(photo(digit, rng).crop((4, 0, 24, 20)).resize((SIZE, SIZE))) for digit in x[chosen]])
    depthwise.utils.set_random_seed(2)
    model = teachable(4)
    model.compile(depthwise.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(known / np.float32(127.5) - 1, y[chosen], 32, epochs=5, verbose=0)
    model.save(folder / "keras_model.h5")
    (folder / "labels.txt").write_text("0 nought\n1 Class 1\n2 \x1b[31mtwo\n3 =3+0\n", encoding="utf-8")
    for digit, name in ((7, "seven"), (5, "five"), (6, "six & more")):
        (folder / "photos" / name).mkdir(parents=True)
        for number, index in enumerate(np.flatnonzero(y == digit)[:60]):
            photo(x[index], rng).save(folder / "photos" / name / f"{number:02}.png")
    for digit in range(4):
        photo(x[np.flatnonzero(y == digit)[900]], rng).save(folder / f"digit-{digit}.png")
    return folder


def result(*arguments: object, code: int = 0) -> Any:
    made = runner.invoke(app, [str(argument) for argument in arguments])
    assert made.exit_code == code, made.output
    return made


def test_names_and_scale_come_from_beside_the_model(trained: Path) -> None:
    model, digit = trained / "keras_model.h5", trained / "digit-1.png"
    (facts,) = json.loads(result("predict", model, digit, "--json").stdout)
    assert (facts["scale"], facts["scale_from"], facts["names_from"]) == ("-1..1", "labels.txt", "labels.txt")
    pixels = np.asarray(Image.open(digit).resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=(4, 0, 24, 20)))
    expected = depthwise.load_model(model).predict(pixels[None] / np.float32(127.5) - 1)[0]
    assert [item["class"] for item in facts["predictions"]] == list(np.argsort(-expected)[:3])
    assert [item["score"] for item in facts["predictions"]] == pytest.approx(
        sorted(expected, reverse=True)[:3], abs=1e-5
    )
    names = ["nought", "Class 1", "\x1b[31mtwo", "=3+0"]
    assert [item["name"] for item in facts["predictions"]] == [names[item["class"]] for item in facts["predictions"]]
    shown = result("predict", model, digit, "--top", 4).stdout
    assert "Class 1" in shown
    assert "\x1b" not in shown
    assert r"\x1b[31mtwo" in shown
    assert "Black to white: -1..1, as labels.txt of Teachable Machine says." in shown
    (own,) = json.loads(result("predict", model, digit, "--json", "--scale", "0..255").stdout)
    assert (own["scale"], own["scale_from"]) == ("0..255", "option")


def test_the_page_and_the_cell_say_the_names(trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result("explain", trained / "keras_model.h5", "-o", page, "--no-times", "--image", trained / "digit-1.png")
    shown = page.read_text(encoding="utf-8")
    assert '"range":1.0' in shown
    assert '"kind":"Rescaling"' in shown  # the page's pictures go from 0 to 1, the network takes -1 to 1
    assert r'"class_names":["nought","Class 1","\u001b[31mtwo","=3+0"]' in page.read_text(encoding="utf-8")
    cell = ["--layer", "sequential_1/dense_1", "--at", 0, "--image", trained / "digit-1.png"]
    shown = result("explain", trained / "keras_model.h5", *cell).stdout
    (facts,) = json.loads(result("predict", trained / "keras_model.h5", trained / "digit-1.png", "--json").stdout)
    best = facts["predictions"][0]["name"].replace("\x1b", r"\x1b")
    assert f"the network's answer: {best}, with" in shown


def test_a_new_head_for_ones_own_classes(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accurate, the body untouched and run once for each image, the names kept."""
    from depthwise import transfer

    seen: list[int] = []
    monkeypatch.setattr(transfer, "CHUNK", 50)
    original = models.Model.predict

    def counted(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(len(x))
        return original(self, x, *args, **kwargs)

    monkeypatch.setattr(models.Model, "predict", counted)
    out = tmp_path / "own.keras"
    options = ["--data", trained / "photos", "--head-only", "--epochs", 60, "--learning-rate", 0.01, "--out", out]
    said = result("train", trained / "keras_model.h5", *options)
    assert sum(seen) == 180
    assert "144 training and 36 test images of 16×16×3, black to white -1..1; 3 classes: 'five', 'seven'" in said.stdout
    model, start = depthwise.load_model(out), depthwise.load_model(trained / "keras_model.h5")
    assert (model.class_names, model.input_scale, model.input_fit) == (("five", "seven", "six & more"), "-1..1", "crop")
    body = {
        name.rpartition("/")[0].rpartition("/")[2] + name.rpartition("/")[2]: w
        for name, w in start.weights_by_name.items()
    }
    kept = {name.replace("/", ""): w for name, w in model.weights_by_name.items() if not name.startswith("dense")}
    assert len(kept) == 5 + 5 * 4
    assert all(np.array_equal(array, body[name]) for name, array in kept.items())
    facts = json.loads(result("evaluate", out, "--data", trained / "photos", "--json").stdout)
    assert facts["interval"][0] > 0.6  # one in three is chance
    assert facts["class_names"] == ["five", "seven", "six & more"]
    shown = result("predict", out, *sorted((trained / "photos" / "six & more").iterdir())[:3]).stdout
    assert "Names of the classes: from the model's file." in shown


def test_fine_tuning_changes_the_body_but_no_statistics(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.keras"
    options = ["--data", trained / "photos", "--head-only", "--epochs", 1, "--fine-tune", 1, "--out", out]
    result("train", trained / "keras_model.h5", *options)
    model, start = depthwise.load_model(out), depthwise.load_model(trained / "keras_model.h5")
    moved = {name.rpartition("/")[2]: True for name in start.weights_by_name}
    for name, array in model.weights_by_name.items():
        if not name.startswith("dense"):
            old = next(w for key, w in start.weights_by_name.items() if key.endswith(f"/{name}"))
            moved[name.rpartition("/")[2]] &= not np.array_equal(array, old)
    assert {name for name, changed in moved.items() if not changed} == {
        "gamma",
        "beta",
        "moving_mean",
        "moving_variance",
    }
    assert all(layer.trainable for layer in model.flat_layers())


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_classes_that_do_not_fit_are_refused(command: str, trained: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "a.keras"] if command == "train" else []
    said = result(command, trained / "keras_model.h5", "--data", trained / "photos", *out, code=2).stderr
    assert "has 4 outputs, but 'photos' has 3 classes ('five', 'seven', 'six & more')" in said
    assert ("--head-only" in said and "--new-head" in said) == (command == "train")
    # Ten outputs took three classes without a word.
    assert "has 10 outputs" in result(command, "note-cnn", "--data", trained / "photos", *out, code=2).stderr


def test_classes_go_by_name(trained: Path, tmp_path: Path) -> None:
    """Folders are sorted; the network keeps its own order."""
    model = teachable(3)
    model.class_names, model.input_scale, model.input_fit = ["seven", "six & more", "five"], "-1..1", "crop"
    model.save(tmp_path / "a.keras")
    facts = json.loads(result("evaluate", tmp_path / "a.keras", "--data", trained / "photos", "--json").stdout)
    answers = []
    for name in ("five", "seven", "six & more"):
        files = sorted((trained / "photos" / name).iterdir())
        rows = json.loads(result("predict", tmp_path / "a.keras", *files, "--json", "--top", 1).stdout)
        answers += [row["predictions"][0]["name"] == name for row in rows]
    data = depthwise.data.load_data(trained / "photos", (SIZE, SIZE), "rgb", fit="crop")
    outputs = model.predict(data.x_test / np.float32(127.5) - 1).argmax(-1)
    own = np.array([2, 0, 1])[data.y_test]
    assert facts["correct"] == np.count_nonzero(outputs == own)
    assert 0 < sum(answers) < len(answers) or facts["correct"] in (0, facts["tested"], 12, 24)


def test_options_that_would_be_ignored(trained: Path) -> None:
    model, digit = trained / "keras_model.h5", trained / "digit-1.png"
    for arguments in (
        ["predict", model, digit, "--seed", 3],
        ["evaluate", "note-cnn", "--skip-unreadable"],
        ["train", "note-cnn", "--fine-tune", 2],
        ["train", "note-cnn", "--head-only", "--new-head"],
        ["train", "note-cnn", "--head-only", "--recipe", "fast"],
        ["explain", "note-cnn", "--sample", 0],
        ["explain", "note-cnn", "--image", "nofile.png"],
        ["explain", "note-cnn", "--json", "-o", "x.html"],
        ["explain", "note-cnn", "--all"],
        ["explain", "note-cnn", "--overwrite"],
        ["explain", "note", "--untrained"],
        ["summary", "note-cnn", "--json", "--style", "keras"],
        ["compare", model, model, "--seeds", "2"],
        ["compare", model, model, "--batch-size", 8],
        ["bench", "--rivals", "--seconds", 1],
    ):
        assert re.search(
            "changes nothing without|leave|give one of the two|takes no", result(*arguments, code=2).stderr
        ), arguments


@pytest.mark.parametrize(
    ("name", "content", "names", "scale", "problem"),
    [
        ("labels.txt", b"0 cat\r\n1 a dog\r\n", ("cat", "a dog"), "-1..1", ""),
        ("labels.txt", "\ufeffcat\n狗\n".encode(), ("cat", "狗"), None, ""),
        ("labels.txt", b"1 cat\n0 dog\n", ("1 cat", "0 dog"), None, ""),
        ("labels.txt", b"0 \xff\n", (), None, "is not UTF-8"),
        ("labels.txt", b"x" * 2**21, (), None, "is larger than"),
        ("metadata.json", b'{"tmVersion": "2.4.5", "labels": ["cat", "dog"]}', ("cat", "dog"), "-1..1", ""),
        ("metadata.json", b'{"labels": ["cat", "dog"]}', ("cat", "dog"), None, ""),
        ("metadata.json", b'{"labels": 3}', (), None, "must be a list of texts"),
        ("metadata.json", b'{"labels": [', (), None, "is not valid JSON"),
        ("metadata.json", b"[" * 10**5, (), None, "metadata.json"),
        ("metadata.json", b"[]", (), None, ""),
    ],
)
def test_files_beside_a_model(
    name: str, content: bytes, names: tuple[str, ...], scale: str | None, problem: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    found = usage_beside(tmp_path / "keras_model.h5")
    assert found is not None
    assert (found.name, found.usage.class_names, found.usage.scale) == (name, names, scale)
    assert problem in found.problem
    assert bool(found.problem) == bool(problem)


def test_labels_of_another_network_are_not_used(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "keras_model.keras"
    path.write_bytes(model_file.read_bytes())
    (tmp_path / "labels.txt").write_text("0 cat\n1 dog\n")
    Image.new("L", (28, 28), 9).save(tmp_path / "a.png")
    made = result("predict", path, tmp_path / "a.png", "--json")
    assert "labels.txt is not used: it has 2 names, the network's output has the shape (None, 10)" in made.stderr
    assert json.loads(made.stdout)[0]["names_from"] is None


def test_what_is_no_number_is_no_answer(tmp_path: Path) -> None:
    np.save(tmp_path / "nan.npy", np.full((1, 28, 28, 1), np.nan))
    said = result("predict", "note-cnn", tmp_path / "nan.npy", code=2).stderr
    assert "the network's output holds NaN or infinity" in said
    said = result("predict", "note-cnn", tmp_path / "nan.npy", "--skip-unreadable", code=2).stderr
    assert "none of the 1 files could be read" in said


def test_the_pages_network_computes_the_same_from_0_to_1(trained: Path) -> None:
    from depthwise.explain.samples import Asked, page_graph

    model = depthwise.load_model(trained / "keras_model.h5")
    assert page_graph(model, Asked()) is model.graph
    model.input_scale = "-1..1"
    made = models.Model.from_graph(page_graph(model, Asked()), model.weights_by_name)
    assert list(made.weights_by_name) == list(model.weights_by_name)
    x = np.random.default_rng(1).random((3, SIZE, SIZE, 3), np.float32)
    np.testing.assert_allclose(made.predict(x), model.predict(2 * x - 1), rtol=1e-5, atol=1e-7)

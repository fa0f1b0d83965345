"""Promise: names in a model file stay text wherever they are shown: terminal, JSON, CSV, drawings, names of files, pages in a browser.

One model has a hostile name in every place that takes one, and goes through every command and every output.
"""

import csv
import io
import json
import zipfile
from contextlib import redirect_stdout
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from depthwise import callbacks, layers, models, utils
from depthwise.cli import app
from depthwise.explain.explanation import Explanation

MARKUP = "<img src=x onerror=window.owned=1><svg onload=window.owned=1>"
NAME = f"=1+1{MARKUP}'\"&[red]{{layer}}%s$(id)`id`..\\"
"""What a file may call a model, a layer or a metric: all of it prints."""
CLASS = f"@1</script><script>window.owned=1</script>\x1b]0;owned\x07\x9b31m‮\u2028\n\0{NAME}"
"""What a file may call a class."""
FILE = f"=1+1{MARKUP}'\"[red]\x1b[31m\x9b31m\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model, a picture and data for it, each with a hostile name."""
    place = tmp_path_factory.mktemp("hostile")
    chain = [
        layers.Conv2D(2, 3, activation="relu", input_shape=(8, 8, 1)),
        layers.SeparableConv2D(2, 3),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation="softmax"),
    ]
    model = models.Sequential(chain)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.class_names = [f"{index}{CLASS}" for index in range(3)]
    model.save(place / "good.keras")
    with zipfile.ZipFile(place / "good.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["name"] = NAME
    for number, layer in enumerate(config["config"]["layers"]):
        layer["config"]["name"] = f"{number}{NAME}" if number else NAME
    metric = {
        "module": "keras.metrics",
        "class_name": "SparseCategoricalAccuracy",
        "config": {"name": NAME},
        "registered_name": None,
    }
    config["compile_config"] |= {"metrics": [metric], "weighted_metrics": None}
    config["compile_config"]["optimizer"]["config"]["name"] = NAME
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(place / f"{FILE}.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (24, 8, 8, 1), np.uint8), np.arange(24) % 3
    np.savez(place / f"{FILE}.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    Image.fromarray(x[0, ..., 0]).save(place / f"{FILE}.png")
    return place


@pytest.fixture
def model(folder: Path) -> models.Model:
    found: models.Model = models.load_model(folder / f"{FILE}.keras")
    assert found.name == NAME
    assert found.compiled is not None
    return found


def invoked(*arguments: object, code: int = 0) -> str:
    """What a command writes to both streams: all of it prints."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.output.replace("\n", "").isprintable()
    return result.output


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def is_harmless(page: str) -> bool:
    """Whether no element or attribute of a page comes from a name."""
    tags = _Tags(page).found
    return bool(tags) and not any(
        set(attributes) & {"onerror", "onload"} or attributes.get("src") == "x" for _, attributes in tags
    )


def test_what_a_model_says_of_itself(model: models.Model, tmp_path: Path) -> None:
    out = io.StringIO()
    x, y = np.zeros((4, 8, 8, 1), np.float32), np.zeros(4, np.int64)
    with redirect_stdout(out):
        model.summary()
        saved = callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor=f"val_{NAME}", mode="max", verbose=1)
        log = callbacks.CSVLogger(tmp_path / "log.csv")
        model.fit(x, y, validation_data=(x, y), epochs=1, verbose=2, callbacks=[saved, log])
    text = out.getvalue() + repr(model) + str(model.layers) + repr(model.inputs)
    assert text.replace("\n", "").isprintable()
    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert f"'{NAME}" in cells
    assert not any(cell.startswith(("=", "+", "@", "\t", "\r")) for cell in cells)
    assert is_harmless(utils.plot_model(model, None, show_layer_names=True))
    dot = utils.model_to_dot(model, show_layer_names=True)
    assert NAME.replace("\\", "\\\\").replace('"', '\\"') in dot
    assert is_harmless(Explanation(model)._repr_html_())
    assert json.loads(model.to_json())["config"]["name"] == NAME


def test_commands_that_only_show(folder: Path, tmp_path: Path) -> None:
    file, picture = folder / f"{FILE}.keras", folder / f"{FILE}.png"
    for command in ("summary", "check", "explain"):
        invoked(command, file)
        assert json.loads(invoked(command, file, "--json"))
    invoked("explain", file, "--layer", f"1{NAME}", "--at", "1,1,0", "--image", picture)
    assert "owned" in invoked("predict", file, picture)
    found = json.loads(invoked("predict", file, picture, "--json"))
    assert {item["name"][1:] for item in found[0]["predictions"]} == {CLASS}
    invoked("convert", file, tmp_path / "a.h5")
    invoked("convert", file, tmp_path / f"{FILE}.onnx")
    for arguments in (
        ["summary", folder / f"{FILE}.npz"],
        ["predict", file, folder / f"{FILE}.npz"],
        ["summary", f"{FILE}{NAME}"],
    ):
        invoked(*arguments, code=2)
    pages_of(folder, tmp_path)


def pages_of(folder: Path, place: Path) -> list[Path]:
    page, sheet = place / f"{FILE}.html", place / "sheet.html"
    invoked("explain", folder / f"{FILE}.keras", "--output", page, "--no-times")
    invoked("explain", folder / f"{FILE}.keras", "--worksheet", sheet)
    assert all(is_harmless(path.read_text(encoding="utf-8")) for path in (page, sheet))
    return [page, sheet]


@pytest.mark.sweep
def test_commands_that_train(browser: Any, folder: Path, tmp_path: Path) -> None:
    """And the pages in a browser: nothing runs, nothing is asked for, and the names are there as text."""
    file, data = folder / f"{FILE}.keras", folder / f"{FILE}.npz"
    invoked("evaluate", file, "--data", data)
    assert json.loads(invoked("evaluate", file, "--data", data, "--json"))
    invoked("train", file, "--data", data, "--epochs", 1, "--out", tmp_path / f"{FILE}.keras")
    invoked("compare", file, file, "--data", data, "--out", tmp_path / "both", "--prediction-batch-size", 4)
    written = [path.name for path in (tmp_path / "both").iterdir()]
    assert all(name.replace(".", "").replace("-", "").isalnum() for name in written), written
    report = tmp_path / "both" / "report.html"
    assert is_harmless(report.read_text(encoding="utf-8"))
    context = browser.new_context()
    for path in (*pages_of(folder, tmp_path), report):
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_function("name => document.body.innerText.includes(name)", arg="onerror=window.owned")
        assert page.evaluate("() => window.owned") is None
        assert page.evaluate("() => document.querySelectorAll('img[src=x], [onload], [onerror]').length") == 0
        assert len([url for url in asked if not url.startswith(("data:", "blob:"))]) == 1, asked
    context.close()

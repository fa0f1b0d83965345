"""`depthwise explain`: what it prints, what it writes, and one clear sentence for what it cannot do."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from depthwise.cli import app
from depthwise.cli.explain import register
from depthwise.data import load_data
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidFileError
from depthwise.explain.values import layer_values, liveliest_cell
from depthwise.layers import Add
from depthwise.models import Input, Model
from depthwise.networks import trained

CELL = ["note-separable", "--layer", "conv2d", "--at", "3,4,7"]


def _application() -> typer.Typer:
    application = typer.Typer()
    application.callback()(lambda: None)
    register(application)
    return application


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(_application(), ["explain", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def _refused(*arguments: str) -> DepthwiseError:
    result = CliRunner().invoke(_application(), ["explain", *arguments])
    assert isinstance(result.exception, DepthwiseError), result.exception
    message = str(result.exception)
    assert "\n" not in message
    assert message.isprintable()
    return result.exception


def test_a_network_a_layer_and_a_cell() -> None:
    assert "184,234 parameters" in _run("note-separable")
    layer = _run("note-separable", "--layer", "separable_conv2d")
    assert "32×(1×1×32)+32 = 1,056" in layer
    assert "dense" not in layer
    assert "they agree" in layer
    cell = _run(*CELL, "--sample", "3")
    assert "MNIST test image 3" in cell
    assert "= what the compiled network computed" in cell
    assert "they agree" in cell


def test_in_chinese() -> None:
    assert "个参数" in _run("note-separable", "--language", "zh")
    assert "与" in _run("note", "--language", "zh")


def test_json_is_the_same_facts_for_programs() -> None:
    network = json.loads(_run("note-cnn", "--json"))
    assert network["totals"]["parameters"] == 93_322
    layer = json.loads(_run("note-cnn", "--json", "--layer", "conv2d_1"))
    assert layer["parameters"]["value"] == 18_496
    cell = json.loads(_run(*CELL, "--json"))
    assert cell["check"]["agrees"] is True
    assert len(cell["channels"][0]["window"]) == 3
    assert len(json.loads(_run("note", "--json"))["answers"]) == 15


def test_the_note_and_its_page(tmp_path: Path) -> None:
    assert "3×(3×3×2)+3 = 57" in _run("note")
    assert "wrote" in _run("note", "-o", str(tmp_path / "note.html"), "--no-times")
    assert "small_separable_conv2d" in (tmp_path / "note.html").read_text(encoding="utf-8")


def test_an_image_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "seven.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (28, 28), np.uint8)).save(path)
    assert "input: seven.png" in _run(*CELL, "--image", str(path))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["note-cnn", "--layer", "conv9"], InvalidArgumentError, "the network has no layer 'conv9'; its layers are"),
        (
            ["note-cnn", "--layer", "conv2d", "--at", "26,0,0"],
            InvalidArgumentError,
            "layer 'conv2d' has no cell 26,0,0",
        ),
        (
            ["note-cnn", "--layer", "conv2d", "--at", "a,b"],
            InvalidArgumentError,
            "--at must be whole numbers with commas",
        ),
        (["note-cnn", "--at", "1,2,3"], InvalidArgumentError, "--at changes nothing without --layer"),
        (
            ["note-cnn", "--language", "fr"],
            InvalidArgumentError,
            "language must be one of en (English), zh (中文), got 'fr'",
        ),
        ([*CELL, "--sample", "10000"], InvalidArgumentError, "sample must be from 0 to 9999"),
        ([*CELL, "--sample", "1", "--image", "x.png"], InvalidArgumentError, "give either an image or a sample"),
        (
            ["nothing.keras"],
            InvalidFileError,
            "there is no file 'nothing.keras'; give a .keras, .h5 or .onnx file, or one of note, note-cnn",
        ),
        (
            ["note", "--layer", "small_conv2d", "--at", "0,0,0", "--sample", "1"],
            InvalidArgumentError,
            "samples are MNIST images",
        ),
    ],
)
def test_bad_input_gets_one_clear_sentence(arguments: list[str], kind: type[DepthwiseError], message: str) -> None:
    error = _refused(*arguments)
    assert isinstance(error, kind)
    assert str(error).startswith(message)


def test_an_image_of_any_size_and_no_image(tmp_path: Path) -> None:
    """What `predict` takes, in the same form."""
    image = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.png")
    path = str(tmp_path / "photo.png")
    shown = _run(*CELL, "--image", path)
    facts = json.loads(CliRunner().invoke(app, ["predict", "note-separable", path, "--json"]).stdout)
    best = facts[0]["predictions"][0]
    assert "input: photo.png" in shown
    assert f"the network's answer: {best['class']}, with {best['score']:.1%}" in shown
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    assert isinstance(_refused(*CELL, "--image", str(broken)), InvalidFileError)
    assert isinstance(_refused(*CELL, "--image", str(tmp_path / "none.png")), DepthwiseError)


def test_a_hostile_file_name_is_harmless() -> None:
    _refused("\x1b[31mred\n.keras")


def test_a_layer_without_a_place_shows_the_cell_that_has_most_to_show() -> None:
    """Not a black corner, whose products are all zero."""
    model, digit = trained("note-cnn"), load_data("mnist").x_test[:1]
    values = layer_values(model.graph, model.weights_by_name, (digit[0].astype(np.float32) / 255,)).by_layer["conv2d"]
    row, column, channel = place = liveliest_cell(values)
    own = values[:, :, channel].astype(np.float64)
    assert np.abs(own - own.mean()).argmax() == row * own.shape[1] + column
    assert values.astype(np.float64).var(axis=(0, 1)).argmax() == channel
    assert digit[0, row : row + 3, column : column + 3].any()
    shown = _run("note-cnn", "--layer", "conv2d", "--sample", "0")
    assert (
        re.split(r"shows\s+another\.", shown)[1].strip()
        == _run("note-cnn", "--layer", "conv2d", "--sample", "0", "--at", ",".join(map(str, place))).strip()
    )
    assert "changes nothing without --at" in str(_refused("note-cnn", "--layer", "conv2d", "--json", "--sample", "0"))


def test_one_number_of_a_network_with_several_inputs(tmp_path: Path) -> None:
    a, b = Input((6, 6, 1), name="a"), Input((6, 6, 1), name="b")
    Model([a, b], Add(name="sum")([a, b]), name="two").save(tmp_path / "two.keras")
    shown = _run(str(tmp_path / "two.keras"), "--layer", "sum", "--at", "2,3,0")
    assert "they agree" in shown

"""A command's message names an argument as the user types it; `explain` takes the scale of pictures as `predict` does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import depthwise
from depthwise import layers
from depthwise.cli import app
from depthwise.cli.main import _as_typed
from depthwise.explain.explanation import Explanation


def fails(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 2, result.output
    return result.stderr


def test_messages_name_the_option(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    training = ("--data", data_file, "--epochs", 1)
    out = tmp_path / "out"
    for arguments, begins in (
        (("compare", model_file, model_file, *training, "--batch-size", 301, "--out", out), "--batch-size must be at most 300"),
        (("evaluate", model_file, "--scale", "7"), "--scale must be one of auto"),
        (("predict", model_file, data_file, "--invert", "x"), "--invert must be auto"),
        (("explain", model_file, "--layer", "conv2d", "--at", "0,0,0", "--sample", 10**6), "--sample must be from 0 to 9999"),
        (("explain", model_file, "--layer", "conv2d", "--at", "0,0,0", "--scale", "7"), "--scale must be one of auto"),
        (("explain", model_file, "--scale", "0..1"), "--scale changes nothing without --layer or --output"),
    ):  # fmt: skip
        assert fails(*arguments).startswith(f"depthwise: {begins}"), begins


def test_only_arguments_become_options() -> None:
    from typer.main import get_command

    command: Any = get_command(app)
    compare = command.commands["compare"]
    assert _as_typed("batch_size must be 3", compare) == "--batch-size must be 3"
    assert _as_typed("batch_size=0 is too few", compare) == "--batch-size=0 is too few"
    for message in ("--seeds must be whole", "the batch_size must be 3", "first must be a file", "rate must be 1", ""):
        assert _as_typed(message, compare) == message
        assert _as_typed(message, None) == message


@pytest.mark.parametrize(("scale", "top", "bottom"), [("0..1", 1.0, 0.0), ("-1..1", 1.0, -1.0), ("0..255", 255.0, 0.0)])
def test_explain_takes_the_scale(scale: str, top: float, bottom: float, tmp_path: Path) -> None:
    """The cell of a copy is the pixel as the network got it."""
    model = depthwise.Sequential([depthwise.Input((4, 4, 1)), layers.Activation("linear", name="copy")])
    model.save(tmp_path / "copy.keras")
    pixels = np.zeros((4, 4), np.uint8)
    pixels[0, 1] = 255
    Image.fromarray(pixels).save(tmp_path / "dots.png")
    for place, wanted in (("0,1,0", top), ("0,0,0", bottom)):
        given = ["explain", tmp_path / "copy.keras", "--layer", "copy", "--at", place, "--image", tmp_path / "dots.png"]
        result = CliRunner().invoke(app, [*map(str, given), "--scale", scale, "--invert", "no", "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["output"] == wanted


def test_the_page_takes_the_scale() -> None:
    model = depthwise.Sequential([depthwise.Input((28, 28, 1)), layers.Conv2D(1, 3, name="only")])
    for scale, largest in (("0..255", 255), ("0..1", 1), ("auto", 1), ("-1..1", 1)):
        page = Explanation(model, scale=scale).page(with_times=False)
        assert ('"kind":"Rescaling"' in page.html) == (scale == "-1..1")  # its pictures go from 0 on
        assert f'"range": {largest}' in page.html.replace('"range":', '"range": ').replace("  ", " ").replace(".0", "")

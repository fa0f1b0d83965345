"""A digit on paper, opened in the page: it is brought to MNIST's form as `predict` does it, and the page says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from depthwise.networks import trained
from depthwise.pictures import load_picture, reading_of

LEVELS = 3
"""Of 255: Pillow cuts off fractions once and rounds twice on the way, the page rounds once; less than 1 + 3/2 together."""


def drawn(path: Path, size: tuple[int, int], dark: int, light: int) -> Path:
    """A 7, small and out of the middle."""
    image = Image.new("L", size, light)
    width = size[0]
    ImageDraw.Draw(image).line(
        [(0.5 * width, 0.2 * width), (0.75 * width, 0.2 * width), (0.6 * width, 0.6 * width)], dark, width // 14
    )
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("size", "dark", "light", "said"),
    [
        ((140, 112), 30, 235, "Inverted: it was dark on light, the digits of MNIST are light on dark. Centred,"),
        ((140, 112), 235, 0, "Centred, and as large"),
        ((28, 28), 10, 255, "Inverted"),
    ],
)
def test_the_page_reads_a_digit_as_predict_does(
    opened: Callable[..., Any], tmp_path: Path, size: tuple[int, int], dark: int, light: int, said: str
) -> None:
    path = drawn(tmp_path / "seven.png", size, dark, light)
    model = trained("note-cnn")
    expected, done = load_picture(path, model.graph, reading_of(model))
    assert done
    page = opened("note-cnn")
    page.page.locator("input[type=file]").set_input_files(path)
    page.page.get_by_text(said).wait_for()
    picture = np.array(page.run("() => Array.from(depthwise.state.picture)")).reshape(28, 28, 1) * 255
    assert picture.max() > 200
    assert np.abs(picture - expected).max() <= LEVELS


def test_a_dark_drawing_without_a_ground_is_seen(opened: Callable[..., Any], tmp_path: Path) -> None:
    """Its transparent pixels are black to a canvas, and so is the ink."""
    grey = Image.open(drawn(tmp_path / "grey.png", (140, 112), 0, 255))
    image = Image.new("RGBA", grey.size, (0, 0, 0, 0))
    image.putalpha(grey.point(lambda value: 255 - value))
    image.save(tmp_path / "ink.png")
    page = opened("note-cnn")
    page.page.locator("input[type=file]").set_input_files(tmp_path / "ink.png")
    page.page.get_by_text("Inverted").wait_for()
    assert page.run("() => Math.max(...depthwise.state.picture)") > 0.8


def test_pictures_of_other_classes_are_left_as_they_are(opened: Callable[..., Any], tmp_path: Path) -> None:
    path = drawn(tmp_path / "seven.png", (140, 112), 30, 235)
    page = opened("every-layer")
    page.page.locator("input[type=file]").set_input_files(path)
    page.page.get_by_text("resized from 140×112").wait_for()
    assert page.page.get_by_text("Inverted").count() == 0

"""The scale of images follows from what the network expects and from the values, not from the type; dark digits on light paper."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import depthwise
from depthwise import layers
from depthwise.classification import SCALES, scaled_for
from depthwise.cli import app
from depthwise.data import load_data
from depthwise.data.digits import centred, is_dark_on_light, reads_digits
from depthwise.errors import InvalidArgumentError, InvalidDataError

PIXELS = np.array([0, 51, 255], np.uint8).reshape(1, 1, 3, 1)
BINARY = np.array([0, 1, 1]).reshape(1, 1, 3, 1)


def graph(rescales: bool = False) -> Any:
    body = [layers.Rescaling(1 / 255)] if rescales else []
    return depthwise.Sequential([depthwise.Input(shape=(1, 3, 1)), *body, layers.Flatten()]).graph


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (PIXELS, [0, 0.2, 1]),
        (PIXELS.astype(np.int64), [0, 0.2, 1]),
        (PIXELS.astype(np.float64), [0, 0.2, 1]),
        (PIXELS.astype(np.uint16) * 257, [0, 0.2, 1]),
        (PIXELS / np.float32(255), [0, 0.2, 1]),
        (BINARY.astype(bool), [0, 1, 1]),
        (BINARY.astype(np.uint8), [0, 1, 1]),
        (BINARY.astype(np.float32), [0, 1, 1]),
    ],
    ids=["uint8", "int64", "whole floats", "uint16", "shares", "bool", "0 and 1", "0.0 and 1.0"],
)
def test_what_the_values_mean(images: Any, expected: Any) -> None:
    shares = np.array(expected, np.float32)
    for rescales, top in ((False, 1), (True, 255)):
        np.testing.assert_allclose(scaled_for(graph(rescales), images).ravel(), shares * top, rtol=2**-22)
    np.testing.assert_allclose(scaled_for(graph(), images, "0..255").ravel(), shares * 255, rtol=2**-22)
    np.testing.assert_allclose(scaled_for(graph(True), images, "0..1").ravel(), shares, rtol=2**-22)
    np.testing.assert_allclose(scaled_for(graph(), images, "-1..1").ravel(), shares * 2 - 1, rtol=2**-21)
    np.testing.assert_array_equal(scaled_for(graph(), images, "none"), images.astype(np.float32))


@pytest.mark.parametrize(
    "images", [PIXELS / 100 - 1, PIXELS / 100, PIXELS * np.nan], ids=["negative", "above 1", "NaN"]
)
def test_fractions_beyond_a_scale_are_prepared_already(images: Any) -> None:
    np.testing.assert_array_equal(scaled_for(graph(), images), images.astype(np.float32))


def test_what_is_no_image() -> None:
    for images in (np.array([[[[-1], [0], [9]]]]), np.array([[[[0], [0], [256]]]])):
        with pytest.raises(InvalidDataError, match="--scale none"):
            scaled_for(graph(), images)
    with pytest.raises(InvalidArgumentError, match=", ".join(SCALES).replace(".", r"\.")):
        scaled_for(graph(), PIXELS, "0-1")


@pytest.mark.parametrize("form", [np.uint8, np.float32, np.float64, bool])
def test_data_sets_of_any_form(form: Any, tmp_path: Path) -> None:
    x: Any = np.random.default_rng(0).integers(0, 256, (6, 4, 4))
    x = x > 127 if form is bool else x / 255 if form is np.float32 else x
    np.savez(
        tmp_path / "a.npz",
        x_train=x.astype(form),
        y_train=np.arange(6) % 2,
        x_test=x.astype(form),
        y_test=np.arange(6) % 2,
    )
    data = load_data(tmp_path / "a.npz")
    expected = x.astype(np.float32) if form in (bool, np.float32) else x / np.float32(255)
    images = scaled_for(depthwise.Sequential([layers.Flatten(input_shape=(4, 4, 1))]).graph, data.x_train)
    np.testing.assert_allclose(images[..., 0], expected, rtol=2**-22)


def test_data_sets_of_other_fractions_are_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(6, 4, 4))
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.arange(6) % 2, x_test=x, y_test=np.arange(6) % 2)
    with pytest.raises(InvalidDataError, match="whole numbers from 0 to 255, or fractions from 0 to 1"):
        load_data(tmp_path / "a.npz")


@pytest.fixture(scope="module")
def brightness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of MNIST's form whose first output is the mean of the pixels, and whose others are lower."""
    model = depthwise.Sequential([depthwise.Input(shape=(28, 28, 1)), layers.Flatten(), layers.Dense(10)])
    kernel = np.zeros((784, 10), np.float32)
    kernel[:, 0] = 1 / 784
    model.set_weights([kernel, np.array([0] + [-9] * 9, np.float32)])
    path = tmp_path_factory.mktemp("brightness") / "mean.keras"
    model.save(path)
    return path


def mean_seen(model: Path, file: Path, *options: str) -> tuple[float, str]:
    """What the network saw, and what was said on the error stream."""
    result = CliRunner().invoke(app, ["predict", str(model), str(file), "--json", *options])
    assert result.exit_code == 0, result.output
    return float(json.loads(result.stdout)[0]["predictions"][0]["score"]), result.stderr


def test_binary_digits_are_seen_as_they_are(brightness: Path, tmp_path: Path) -> None:
    (_, _), (images, _) = depthwise.datasets.mnist.load_data()
    digit = images[:1]
    for name, array in (
        ("bool", digit > 127),
        ("int", (digit > 127).astype(np.int64)),
        ("pixels", (digit > 127) * np.uint8(255)),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        seen, _ = mean_seen(brightness, tmp_path / f"{name}.npy")
        assert seen == pytest.approx((digit > 127).mean(), rel=1e-5)
    np.save(tmp_path / "raw.npy", digit)
    assert mean_seen(brightness, tmp_path / "raw.npy", "--scale", "0..255")[0] == pytest.approx(digit.mean(), rel=1e-5)
    assert mean_seen(brightness, tmp_path / "raw.npy", "--scale", "-1..1")[0] == pytest.approx(
        digit.mean() / 127.5 - 1, rel=1e-5
    )


def test_dark_digits_on_paper_are_inverted_and_that_is_said(brightness: Path, tmp_path: Path) -> None:
    (_, _), (images, _) = depthwise.datasets.mnist.load_data()
    digit = images[0]
    light, said = tmp_path / "light.png", f"{digit.mean() / 255:.5f}"
    Image.fromarray(digit).save(light)
    Image.fromarray(255 - digit).save(tmp_path / "paper.png")
    Image.fromarray(np.dstack([np.zeros((28, 28, 3), np.uint8), digit])).save(tmp_path / "ink.png")
    seen, message = mean_seen(brightness, light)
    assert seen == pytest.approx(float(said), rel=1e-3)
    assert message == ""
    for name in ("paper.png", "ink.png"):
        seen, message = mean_seen(brightness, tmp_path / name)
        assert seen == pytest.approx(float(said), abs=0.01)
        assert f"{name}' is dark on light" in message
        assert "--invert no" in message
    several = CliRunner().invoke(app, ["predict", str(brightness), *[str(tmp_path / "paper.png")] * 3])
    lines = [line for line in several.stderr.splitlines() if "dark on light" in line]
    assert len(lines) == 1, "once for all of them"
    assert lines[0].startswith("3 images, ")
    seen, message = mean_seen(brightness, tmp_path / "paper.png", "--invert", "no")
    assert seen == pytest.approx(1 - float(said), rel=1e-3)
    assert message == ""
    assert mean_seen(brightness, light, "--invert", "yes")[0] == pytest.approx(1 - float(said), rel=1e-3)


def test_an_unknown_wish(brightness: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "a.png")
    for options in (["--invert", "perhaps"], ["--scale", "x"]):
        result = CliRunner().invoke(app, ["predict", str(brightness), str(tmp_path / "a.png"), *options])
        assert result.exit_code == 2
        assert "must be" in result.stderr


def test_every_digit_of_mnist_is_light_on_dark() -> None:
    (_, _), (images, _) = depthwise.datasets.mnist.load_data()
    assert not any(is_dark_on_light(image[..., None]) for image in images[:1000])
    assert all(is_dark_on_light(255 - image[..., None]) for image in images[:1000])


def drawn(digit: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """A digit in dark ink, somewhere on a large sheet of light paper, in another size."""
    size = int(rng.integers(40, 90))
    ink = np.asarray(Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC), np.float64)
    sheet = np.full((170, 220), 235.0)
    top, left = int(rng.integers(2, 168 - size)), int(rng.integers(2, 218 - size))
    sheet[top : top + size, left : left + size] -= ink * (200 / 255)
    return Image.fromarray(sheet.astype(np.uint8))


def test_digits_somewhere_on_a_sheet_are_read(tmp_path: Path) -> None:
    """Off the middle and in another size a network for MNIST is lost."""
    rng = np.random.default_rng(8)
    (_, _), (images, labels) = depthwise.datasets.mnist.load_data()
    for number in range(40):
        drawn(images[number], rng).save(tmp_path / f"{number:02}.png")
    files = sorted(map(str, tmp_path.iterdir()))

    def right(*options: str) -> int:
        result = CliRunner().invoke(app, ["predict", "note-cnn", *files, "--json", "--top", "1", *options])
        assert ("brought to the place" in result.stderr) == (not options)
        found = [row["predictions"][0]["class"] for row in json.loads(result.stdout)]
        return int(np.count_nonzero(np.array(found) == labels[:40]))

    assert right() >= 38
    assert right("--center", "no") < 30


def test_what_is_no_digit_is_not_moved() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (50, 60, 1), dtype=np.uint8)
    assert centred(photo) is None
    assert centred(np.full((50, 60, 1), 9, np.uint8)) is None
    shape, output = (28, 28, 1), (10,)
    assert reads_digits(shape, output)
    assert reads_digits(shape, output, [str(digit) for digit in range(10)])
    assert not reads_digits(shape, output, ["T-shirt", *"abcdefghi"])
    spot = np.zeros((60, 80, 1), np.uint8)
    spot[3:13, 60:65] = 200
    made = centred(spot)
    assert made is not None
    assert np.flatnonzero(made.any(axis=(1, 2))).tolist() == list(range(4, 24))
    assert np.flatnonzero(made.any(axis=(0, 2))).tolist() == list(range(9, 19))

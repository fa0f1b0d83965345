"""`depthwise.utils` for labels and single images against real Keras."""

import io
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from depthwise import utils
from depthwise.errors import InvalidArgumentError, InvalidDataError, InvalidFileError


@pytest.mark.parametrize("labels", [[0, 2, 1], [[1], [0]], np.array([[0, 1], [2, 0]]), np.array([1.0, 0.0])])
@pytest.mark.parametrize("classes", [None, 5])
def test_to_categorical(labels: Any, classes: int | None) -> None:
    ours, theirs = utils.to_categorical(labels, classes), keras.utils.to_categorical(labels, classes)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("labels", [[0, 5], [-1, 0], [0.5]])
def test_to_categorical_refuses_what_is_no_class(labels: Any) -> None:
    """Keras counts −1 from the end, and cuts fractions off."""
    with pytest.raises(InvalidDataError, match=r"class numbers from 0 to 4|whole numbers"):
        utils.to_categorical(labels, 5)
    with pytest.raises(InvalidDataError, match="give num_classes"):
        utils.to_categorical([])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_normalize(order: int, axis: int) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    x[0, 0] = x[:, 1, 2] = 0
    np.testing.assert_array_equal(utils.normalize(x, axis, order), keras.utils.normalize(x, axis, order))
    with pytest.raises(InvalidArgumentError, match="3 axes"):
        utils.normalize(x, 3)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (13, 17, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("mode", ["rgb", "rgba", "grayscale"])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("size", [None, (13, 17), (8, 8), (20, 7)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "lanczos"])
def test_load_img(picture: Path, mode: str, keep: bool, size: Any, interpolation: str) -> None:
    ours = utils.load_img(picture, mode, size, interpolation, keep)
    theirs = keras.utils.load_img(picture, mode, size, interpolation, keep)
    assert ours.mode == theirs.mode
    np.testing.assert_array_equal(utils.img_to_array(ours), keras.utils.img_to_array(theirs))


def test_load_img_from_memory_and_what_it_refuses(picture: Path, tmp_path: Path) -> None:
    data = io.BytesIO(picture.read_bytes())
    np.testing.assert_array_equal(utils.img_to_array(utils.load_img(data)), utils.img_to_array(utils.load_img(picture)))
    for arguments, message in (({"color_mode": "cmyk"}, "grayscale, rgb, rgba"), ({"interpolation": "x"}, "bicubic")):
        with pytest.raises(InvalidArgumentError, match=message):
            utils.load_img(picture, **arguments)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(InvalidFileError, match=r"b\.png' is not an image of a known format"):
        utils.load_img(tmp_path / "b.png")
    with pytest.raises(InvalidArgumentError, match="no file"):
        utils.load_img(tmp_path / "c.png")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("order", [None, "channels_first"])
def test_array_to_img_and_back(channels: int, scale: bool, order: Any) -> None:
    shape = (channels, 5, 6) if order else (5, 6, channels)
    x = np.random.default_rng(2).uniform(0, 255, shape).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras gives Pillow a mode, which Pillow tells off
        theirs = keras.utils.array_to_img(x, order, scale)
    ours = utils.array_to_img(x, order, scale)
    assert ours.mode == theirs.mode
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    back = utils.img_to_array(ours, order)
    assert back.shape == shape
    np.testing.assert_array_equal(back, keras.utils.img_to_array(theirs, order))


def test_a_constant_image_and_wrong_shapes() -> None:
    assert np.asarray(utils.array_to_img(np.full((2, 2, 1), 7.0))).max() == 0
    with pytest.raises(InvalidDataError, match=r"x\[0\]"):
        utils.array_to_img(np.zeros((1, 2, 2, 3)))
    with pytest.raises(InvalidDataError, match="1, 3 or 4 channels"):
        utils.array_to_img(np.zeros((2, 2, 5)))
    with pytest.raises(InvalidArgumentError, match="channels_last, channels_first"):
        utils.img_to_array(np.zeros((2, 2)), "x")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_save_img(name: str, tmp_path: Path) -> None:
    x = np.random.default_rng(3).uniform(0, 1, (6, 6, 3))
    (tmp_path / "k").mkdir()
    utils.save_img(tmp_path / name, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.utils.save_img(tmp_path / "k" / name, x)
    assert (tmp_path / name).read_bytes() == (tmp_path / "k" / name).read_bytes()


def test_save_img_warns_of_transparency_and_refuses(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="saved as RGB"):
        utils.save_img(tmp_path / "a.jpg", np.zeros((2, 2, 4)))
    with pytest.raises(InvalidArgumentError, match="is no format of images"):
        utils.save_img(tmp_path / "a.xyz", np.zeros((2, 2, 3)))
    with pytest.raises(InvalidArgumentError, match="folder"):
        utils.save_img(tmp_path / "no" / "a.png", np.zeros((2, 2, 3)))

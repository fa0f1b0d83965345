"""Image files and folders of them: formats, orientation, sizes, and files that are not what they say."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from depthwise.data import load_image, load_image_folder
from depthwise.data.images import MOST_PIXELS, native_image_form
from depthwise.errors import InvalidArgumentError, InvalidDataError, InvalidFileError

from .conftest import save_image

GRADIENT = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def png_of_size(path: Path, width: int, height: int) -> Path:
    """A PNG whose header claims a size, with a few bytes of data: a decompression bomb."""

    def chunk(kind: Any, data: Any) -> Any:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm"])
def test_lossless_formats_give_the_pixels(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / f"a.{suffix}")
    loaded = load_image(tmp_path / f"a.{suffix}")
    assert loaded.dtype == np.uint8
    assert np.array_equal(loaded, GRADIENT)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif"])
def test_other_formats_are_read(tmp_path: Path, suffix: str) -> None:
    path = save_image(tmp_path / f"a.{suffix}", 200)
    loaded = load_image(path).astype(int)
    assert loaded.shape == (6, 8, 3)
    assert np.abs(loaded - [200, 100, 55]).max() <= 6


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), (value, value, value)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert set(load_image(tmp_path / "a.gif").ravel()) == {10}


def test_format_outside_the_allowlist(tmp_path: Path) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / "a.tiff")
    (tmp_path / "a.tiff").rename(tmp_path / "a.png")
    with pytest.raises(InvalidFileError, match=r"a\.png' is not an image of a known format; allowed are PNG, JPEG"):
        load_image(tmp_path / "a.png")


def test_grayscale_weights_and_channel_axis(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png", 200)
    loaded = load_image(path, color_mode="grayscale")
    assert loaded.shape == (6, 8, 1)
    assert abs(int(loaded[0, 0, 0]) - (0.299 * 200 + 0.587 * 100 + 0.114 * 55)) <= 1


def test_16_bit_grey_is_scaled_and_not_cut_off(tmp_path: Path) -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", color_mode="grayscale").ravel().tolist() == [0, 1, 128, 255]
    assert native_image_form(tmp_path / "a.png") == ((1, 4), "grayscale")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
@pytest.mark.parametrize("color_mode", ["rgb", "grayscale"])
def test_every_mode_becomes_the_one_asked_for(tmp_path: Path, mode: str, color_mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(GRADIENT).convert(mode).save(path)
    assert load_image(path, color_mode=color_mode).shape == (6, 8, 3 if color_mode == "rgb" else 1)


def test_palette_with_transparency_in_bytes(tmp_path: Path) -> None:
    image = Image.fromarray(GRADIENT).convert("P")
    image.save(tmp_path / "a.png", transparency=bytes(range(256)))
    assert load_image(tmp_path / "a.png").shape == (6, 8, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: Any) -> None:
    """The eight orientations as the EXIF standard defines row 0 and column 0."""
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:8, :8] = 255  # one bright corner, a whole JPEG block: top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    loaded = load_image(tmp_path / "a.png")
    top, left = {1: (1, 1), 2: (1, 0), 3: (0, 0), 4: (0, 1), 5: (1, 1), 6: (1, 0), 7: (0, 0), 8: (0, 1)}[orientation]
    assert loaded.shape[:2] == ((16, 24) if orientation <= 4 else (24, 16))
    assert loaded[0 if top else -1, 0 if left else -1, 0] == 255
    assert (loaded[:, :, 0] == 255).sum() == 64


def test_damaged_exif_does_not_make_the_image_unreadable(tmp_path: Path) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(load_image(tmp_path / "a.png"), GRADIENT)


def test_resize_is_height_then_width(tmp_path: Path) -> None:
    loaded = load_image(save_image(tmp_path / "a.png", 77), image_size=(3, 5))
    assert loaded.shape == (3, 5, 3)
    assert set(loaded[..., 0].ravel()) == {77}


def test_resize_is_bilinear(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 200]], np.uint8)).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png", image_size=(1, 4), color_mode="grayscale")
    assert loaded.ravel().tolist() == [0, 50, 150, 200]


@pytest.mark.parametrize(
    ("width", "height"), [(10_000, 10_000), (2**31 - 1, 2**31 - 1), (2_000_000_000, 1), (8_000, 6_251)]
)
def test_decompression_bomb_is_refused_by_its_header(tmp_path: Path, width: Any, height: Any) -> None:
    path = png_of_size(tmp_path / "bomb.png", width, height)
    with pytest.raises(InvalidFileError, match=r"bomb\.png' has .* pixels, more than the 50000000 allowed"):
        load_image(path)


def test_pixel_cap_is_exact(tmp_path: Path) -> None:
    path = save_image(tmp_path / "a.png", 1)
    assert load_image(path, max_pixels=48).shape == (6, 8, 3)
    with pytest.raises(InvalidFileError, match="8×6 pixels, more than the 47 allowed; make it smaller or raise max_p"):
        load_image(path, max_pixels=47)


def test_text_named_png(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("this is no image")
    with pytest.raises(InvalidFileError, match=r"a\.png' is not an image of a known format"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp", "ppm"])
@pytest.mark.parametrize("keep", [0, 1, 12, 40, 0.5, 0.9])
def test_truncated_images(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(InvalidFileError, match=rf"a\.{suffix}'"):
        load_image(path)


def test_missing_file_folder_and_hostile_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="There is no file"):
        load_image(tmp_path / "none.png")
    with pytest.raises(InvalidArgumentError, match="is not a file"):
        load_image(tmp_path)
    (tmp_path / "a\x1b[31m.png").write_text("x")
    with pytest.raises(InvalidFileError) as caught:
        load_image(tmp_path / "a\x1b[31m.png")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"color_mode": "rgba"}, r"color_mode='rgba' is not allowed; use 'grayscale' or 'rgb'"),
        ({"image_size": (0, 3)}, r"image_size=\(0, 3\) is not allowed; give \(height, width\)"),
        ({"image_size": 28}, "image_size=28 is not allowed"),
        ({"image_size": (28.5, 28)}, "is not allowed"),
        ({"image_size": (28, 100_000)}, "is not allowed"),
        ({"max_pixels": 0}, "max_pixels=0 is not allowed"),
        ({"max_pixels": MOST_PIXELS + 1}, "is not allowed"),
    ],
)
def test_arguments(tmp_path: Path, arguments: Any, message: str) -> None:
    path = save_image(tmp_path / "a" / "a.png", 1)
    with pytest.raises(InvalidArgumentError, match=message):
        load_image(path, **arguments)
    with pytest.raises(InvalidArgumentError, match=message):
        load_image_folder(tmp_path, **arguments)


def test_folder(image_folder: Path) -> None:
    loaded = load_image_folder(image_folder, image_size=(6, 8))
    assert loaded.class_names == ("cat", "dog")
    assert loaded.images.shape == (15, 6, 8, 3)
    assert loaded.images.dtype == np.uint8
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0] * 5 + [1] * 10
    assert loaded.images[:, 0, 0, 0].tolist() == [*range(10, 15), *range(100, 110)]
    assert [path.parent.name for path in loaded.paths] == ["cat"] * 5 + ["dog"] * 10
    assert loaded.skipped == ()


def test_folder_as_float32_keeps_0_to_255(image_folder: Path) -> None:
    loaded = load_image_folder(image_folder, image_size=(6, 8), dtype="float32")
    assert loaded.images.dtype == np.float32
    assert loaded.images.max() == 255 - 10
    with pytest.raises(InvalidArgumentError, match="dtype='float16' is not allowed"):
        load_image_folder(image_folder, dtype="float16")


def test_folder_that_does_not_fit_in_memory(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(shape: Any, dtype: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", refuse)
    with pytest.raises(
        InvalidArgumentError, match=r"The 15 images of .* do not fit in memory at 6×8 in uint8; give a sm"
    ):
        load_image_folder(image_folder, (6, 8))


def test_folder_defaults_are_those_of_keras(image_folder: Path) -> None:
    assert load_image_folder(image_folder).images.shape == (15, 256, 256, 3)


def test_class_names_set_the_order(image_folder: Path) -> None:
    loaded = load_image_folder(image_folder, (6, 8), class_names=["dog", "cat"])
    assert loaded.class_names == ("dog", "cat")
    assert loaded.images[loaded.labels == 1, 0, 0, 0].tolist() == [*range(10, 15)]
    with pytest.raises(InvalidArgumentError, match=r"class_names=\['cow'\] does not match .*\['cat', 'dog'\]"):
        load_image_folder(image_folder, class_names=["cow"])


def test_without_labels(image_folder: Path) -> None:
    save_image(image_folder / "top.png", 1)
    loaded = load_image_folder(image_folder, (6, 8), labels=None)
    assert loaded.labels is None
    assert loaded.class_names == ()
    assert len(loaded.images) == 16
    with pytest.raises(InvalidArgumentError, match="labels='all' is not allowed; use 'inferred' or None"):
        load_image_folder(image_folder, labels="all")


def test_nested_upper_case_hidden_and_other_files(image_folder: Path) -> None:
    save_image(image_folder / "cat" / "deep" / "er" / "Z.PNG", 50)
    save_image(image_folder / "cat" / ".hidden.png", 51)
    save_image(image_folder / ".hidden_class" / "a.png", 52)
    (image_folder / "cat" / "notes.txt").write_text("not an image, and not counted as one")
    loaded = load_image_folder(image_folder, (6, 8))
    assert loaded.class_names == ("cat", "dog")
    assert loaded.images[loaded.labels == 0, 0, 0, 0].tolist() == [*range(10, 15), 50]


def test_unreadable_image_among_good_ones_is_named(image_folder: Path) -> None:
    bad = image_folder / "cat" / "2.png"
    bad.write_text("no image")
    with pytest.raises(InvalidFileError, match=r"cat/2\.png' is not an image.*pass skip_unreadable=True"):
        load_image_folder(image_folder, (6, 8))


def test_unreadable_images_are_skipped_on_request_and_reported(image_folder: Path) -> None:
    text, cut = image_folder / "cat" / "2.png", image_folder / "dog" / "7.png"
    text.write_text("no image")
    cut.write_bytes(cut.read_bytes()[:40])
    loaded = load_image_folder(image_folder, (6, 8), skip_unreadable=True)
    assert loaded.images[:, 0, 0, 0].tolist() == [10, 11, 13, 14, *range(100, 107), 108, 109]
    assert loaded.labels is not None
    assert loaded.labels.tolist() == [0] * 4 + [1] * 9
    assert len(loaded.paths) == 13
    assert [path for path, _ in loaded.skipped] == [text, cut]
    assert "is not an image of a known format" in loaded.skipped[0][1]


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_text("no")
    with pytest.raises(InvalidDataError, match=r"None of the 1 images in .* can be read"):
        load_image_folder(tmp_path, skip_unreadable=True)


def test_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="has no subfolders; put the images of each class in a subfolder"):
        load_image_folder(tmp_path)
    with pytest.raises(InvalidArgumentError, match=r"has no images; it needs files ending in .png"):
        load_image_folder(tmp_path, labels=None)
    (tmp_path / "cat").mkdir()
    with pytest.raises(InvalidArgumentError, match=r"The class folder .*cat' has no images"):
        load_image_folder(tmp_path)
    with pytest.raises(InvalidArgumentError, match=r"There is no folder .*none"):
        load_image_folder(tmp_path / "none")


def test_symbolic_link_loops_end(image_folder: Path) -> None:
    """A folder link upwards, a link to itself, and a file link to itself: none is followed or counted."""
    (image_folder / "cat" / "up").symlink_to(image_folder, target_is_directory=True)
    (image_folder / "loop").symlink_to(image_folder / "loop")
    (image_folder / "again").symlink_to(image_folder, target_is_directory=True)
    loaded = load_image_folder(image_folder, (6, 8))
    assert loaded.class_names == ("cat", "dog")
    assert len(loaded.images) == 15


def test_broken_file_link_is_an_unreadable_image(image_folder: Path) -> None:
    link = image_folder / "cat" / "self.png"
    link.symlink_to(link)
    with pytest.raises(InvalidFileError, match=r"self\.png"):
        load_image_folder(image_folder, (6, 8))
    assert len(load_image_folder(image_folder, (6, 8), skip_unreadable=True).skipped) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_pipe_does_not_block(image_folder: Path) -> None:
    os.mkfifo(image_folder / "cat" / "pipe.png")
    with pytest.raises(InvalidFileError, match=r"pipe\.png' is not a file"):
        load_image_folder(image_folder, (6, 8))

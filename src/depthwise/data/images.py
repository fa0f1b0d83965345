"""Images from files: one, or a folder of them by class; read with Pillow from an allowlist of formats.

An image file is hostile input: only the decoders named here may open it, its size is checked before a pixel is
decoded, and whatever a decoder raises becomes one sentence that names the file.
"""

import contextlib
import io
import operator
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from depthwise.data.bounded import open_file, shown_path
from depthwise.data.digits import on_ground
from depthwise.dataclass import dataclass
from depthwise.errors import DepthwiseError, InvalidArgumentError, InvalidDataError, InvalidFileError, describe_value
from depthwise.usage import FITS

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "IMAGE_FORMATS",
    "IMAGE_SUFFIXES",
    "ImageFolder",
    "class_folders",
    "image_files",
    "load_image",
    "load_image_folder",
    "native_image_form",
    "read_image",
]

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm", ".pnm")
DEFAULT_MAX_PIXELS = 50_000_000  # a 50-megapixel photograph; 150 MB as RGB
MOST_PIXELS = 89_478_485  # where Pillow's own check against decompression bombs begins
_MAX_EXTENT = 16_384  # rows or columns of a resized image
_Result = TypeVar("_Result")
_MODE_OF_COLOR = {"grayscale": "L", "rgb": "RGB"}
_CHANNELS = {"grayscale": 1, "rgb": 3}


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """A folder of images in memory.

    Attributes:
        images: (N, height, width, channels), values 0 to 255, uint8 or float32.
        labels: (N,) int64, each the index of its class in `class_names`; None when loaded with `labels=None`.
        class_names: the names of the subfolders, sorted; empty when loaded with `labels=None`.
        paths: the N files in the order of the images.
        skipped: a file and the reason for each unreadable image that was left out.
    """

    images: NDArray[Any]
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    paths: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...] = ()


def load_image(
    path: str | os.PathLike[str] | io.BytesIO,
    image_size: tuple[int, int] | None = None,
    color_mode: str = "rgb",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    keep_ink: bool = False,
    fit: str = "stretch",
) -> NDArray[np.uint8]:
    """One image file as an array.

    The orientation that a camera noted in the file (EXIF) is applied, the first frame of an animation taken,
    transparency dropped as Keras does, 16-bit grey scaled to 8 bit.

    Args:
        path: a PNG, JPEG, BMP, GIF, WebP or PPM file, or the content of one.
        image_size: (height, width) to resize to, bilinear with antialiasing; None keeps the size.
        color_mode: "rgb" or "grayscale".
        max_pixels: the most pixels that the file may hold; checked before it is decoded.
        keep_ink: draw an image with transparency on white or black, whichever its ink stands out from.
        fit: for an image of other proportions than `image_size`: "stretch" distorts it, "crop" cuts out its middle, "pad" puts
            black around it.

    Returns:
        uint8 of shape (height, width, 3), or (height, width, 1) for "grayscale".

    Raises:
        InvalidArgumentError: no such file, or an argument that is not allowed.
        InvalidFileError: not an image of these formats, damaged, or too large; the message names the file.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.pgm"
    >>> _ = path.write_bytes(b"P5 2 1 255 " + bytes([0, 255]))
    >>> load_image(path, color_mode="grayscale").tolist()
    [[[0], [255]]]
    """
    _check_color_mode(color_mode)
    size = _check_image_size(image_size) if image_size is not None else None
    _check_max_pixels(max_pixels)
    _check_fit(fit)
    return _decode(path, size, color_mode, max_pixels, keep_ink, fit)


def load_image_folder(
    folder: str | os.PathLike[str],
    image_size: tuple[int, int] = (256, 256),
    color_mode: str = "rgb",
    labels: str | None = "inferred",
    class_names: Sequence[str] | None = None,
    skip_unreadable: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    dtype: str = "uint8",
    fit: str = "stretch",
) -> ImageFolder:
    """All images of a folder with one subfolder a class, sorted by class and then by path.

    Images lie at any depth below their class; files with other suffixes and hidden files are ignored; links to
    folders are not followed.

    Args:
        folder: the folder.
        image_size: (height, width) that every image is resized to.
        color_mode: "rgb" or "grayscale".
        labels: "inferred" takes the classes from the subfolders; None reads every image of the folder unlabelled.
        class_names: exactly the classes to read, in the order of their labels; None means all, sorted by name.
        skip_unreadable: leave unreadable images out, named in `ImageFolder.skipped`, instead of raising.
        max_pixels: the most pixels that one file may hold, as in `load_image`.
        dtype: "uint8" or "float32"; the values are 0 to 255 in both.
        fit: as in `load_image`.

    Raises:
        InvalidArgumentError: no such folder, no classes, no images, or an argument that is not allowed.
        InvalidFileError: an image cannot be read (it is named) and `skip_unreadable` is false.
        InvalidDataError: not one image could be read.
    """
    _check_color_mode(color_mode)
    height, width = _check_image_size(image_size)
    _check_max_pixels(max_pixels)
    _check_fit(fit)
    if dtype not in ("uint8", "float32"):
        raise InvalidArgumentError(f"dtype={describe_value(dtype)} is not allowed; use 'uint8' or 'float32'.")
    names, files = _list_files(Path(folder), labels, class_names)

    shape = (len(files), height, width, _CHANNELS[color_mode])
    try:
        images = np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:  # ValueError: more than an array can count
        raise InvalidArgumentError(
            f"The {len(files)} images of {shown_path(folder)} do not fit in memory at {height}×{width} in {dtype}; give a "
            f"smaller image_size."
        ) from error
    read: list[tuple[Path, int]] = []
    skipped: list[tuple[Path, str]] = []
    for path, label in files:
        try:
            images[len(read)] = _decode(path, (height, width), color_mode, max_pixels, fit=fit)
        except DepthwiseError as error:
            if not skip_unreadable:
                raise InvalidFileError(f"{error} To leave such images out, pass skip_unreadable=True.") from error
            skipped.append((path, str(error)))
        else:
            read.append((path, label))
    if not read:
        raise InvalidDataError(f"None of the {len(files)} images in {shown_path(folder)} can be read: {skipped[0][1]}")
    return ImageFolder(
        images=images[: len(read)],
        labels=None if labels is None else np.array([label for _, label in read], np.int64),
        class_names=names,
        paths=tuple(path for path, _ in read),
        skipped=tuple(skipped),
    )


def class_folders(folder: str | os.PathLike[str]) -> list[Path]:
    """The subfolders of `folder` that can be classes, sorted by name: not hidden, no links.

    Raises `InvalidArgumentError` when `folder` is not a folder or cannot be listed.
    """
    shown = shown_path(folder)
    try:
        if not Path(folder).is_dir():
            raise InvalidArgumentError(f"There is no folder {shown}; give a folder with one subfolder a class.")
        with os.scandir(folder) as entries:
            found = [e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")]
    except (OSError, ValueError) as error:
        if isinstance(error, DepthwiseError):
            raise
        raise InvalidArgumentError(f"Cannot list the folder {shown} ({error}); check its permissions.") from error
    return [Path(folder) / name for name in sorted(found)]


def image_files(folder: Path) -> list[Path]:
    """The image files at any depth below `folder`, sorted; hidden files and linked folders are left out."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.extend(
            Path(parent) / name for name in names if not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)
        )
    return sorted(found)


def native_image_form(
    path: str | os.PathLike[str] | io.BytesIO, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[tuple[int, int], str]:
    """The size (height, width) and colour mode ("rgb" or "grayscale") that an image file has by itself.

    Raises as `load_image` does.
    """
    size, mode = read_image(path, max_pixels, lambda image: ((image.height, image.width), image.mode))
    return size, "grayscale" if mode in ("1", "L", "LA", "La") or mode.startswith("I") else "rgb"


def _list_files(
    folder: Path, labels: str | None, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    shown = shown_path(folder)
    suffixes = ", ".join(IMAGE_SUFFIXES)
    classes = class_folders(folder)
    if labels is None:
        if class_names is not None:
            raise InvalidArgumentError("class_names needs labels='inferred'; with labels=None there are no classes.")
        files = [(path, -1) for path in image_files(folder)]
        if not files:
            raise InvalidArgumentError(f"The folder {shown} has no images; it needs files ending in {suffixes}.")
        return (), files
    if labels != "inferred":
        raise InvalidArgumentError(f"labels={describe_value(labels)} is not allowed; use 'inferred' or None.")
    if not classes:
        raise InvalidArgumentError(
            f"The folder {shown} has no subfolders; put the images of each class in a subfolder named after the class."
        )
    names = [path.name for path in classes]
    if class_names is not None:
        if sorted(class_names) != names:
            raise InvalidArgumentError(
                f"class_names={describe_value(list(class_names))} does not match the subfolders of {shown}, "
                f"{describe_value(names)}; name each once."
            )
        names = list(class_names)
    files = []
    for label, name in enumerate(names):
        found = image_files(folder / name)
        if not found:
            raise InvalidArgumentError(
                f"The class folder {shown_path(folder / name)} has no images; it needs files ending in {suffixes}, or "
                f"should be removed."
            )
        files.extend((path, label) for path in found)
    return tuple(names), files


def _decode(
    path: str | os.PathLike[str] | io.BytesIO,
    size: tuple[int, int] | None,
    color_mode: str,
    max_pixels: int,
    keep_ink: bool = False,
    fit: str = "stretch",
) -> NDArray[np.uint8]:
    def convert(image: "Image.Image") -> NDArray[np.uint8]:
        from PIL import Image, ImageOps

        image.load()
        with contextlib.suppress(Exception):  # damaged EXIF data does not make the pixels unreadable
            image = ImageOps.exif_transpose(image)
        if keep_ink:
            image = on_ground(image)
        if image.mode.startswith("I"):  # 16-bit grey, whatever its byte order: Pillow would clip it at 255
            image = Image.fromarray(np.clip(np.rint(np.asarray(image) / 257), 0, 255).astype(np.uint8))
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        image = image.convert(_MODE_OF_COLOR[color_mode])
        if size is not None and (image.height, image.width) != size:
            image = _resized(image, size, fit)
        return np.array(image, np.uint8).reshape(image.height, image.width, _CHANNELS[color_mode])

    return read_image(path, max_pixels, convert)


def _resized(image: "Image.Image", size: tuple[int, int], fit: str) -> "Image.Image":
    """The image in the size (height, width); see `load_image` for `fit`."""
    from PIL import Image

    height, width = size
    if fit == "pad":
        share = min(height / image.height, width / image.width)
        inner = (max(1, round(image.width * share)), max(1, round(image.height * share)))
        ground = Image.new(image.mode, (width, height))
        place = ((width - inner[0]) // 2, (height - inner[1]) // 2)
        ground.paste(image.resize(inner, Image.Resampling.BILINEAR), place)
        return ground
    box = None
    if fit == "crop":
        share = min(image.height / height, image.width / width)
        left, top = (image.width - width * share) / 2, (image.height - height * share) / 2
        box = (left, top, min(left + width * share, image.width), min(top + height * share, image.height))
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def read_image(
    path: str | os.PathLike[str] | io.BytesIO, max_pixels: int, use: Callable[["Image.Image"], _Result]
) -> _Result:
    """`use` of the opened image, its pixels not yet decoded but counted; every failure names the file."""
    from PIL import Image, UnidentifiedImageError

    opened: Any
    if isinstance(path, io.BytesIO):
        opened, shown = contextlib.nullcontext(path), "in memory"
    else:
        opened, shown = open_file(path, "an image file"), shown_path(path)
    with opened as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=IMAGE_FORMATS) as image:
                pixels = image.width * image.height
                if pixels > max_pixels:
                    raise InvalidFileError(_too_large(shown, f"{image.width}×{image.height} pixels", max_pixels))
                return use(image)
        except DepthwiseError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise InvalidFileError(_too_large(shown, "an enormous number of pixels", max_pixels)) from error
        except UnidentifiedImageError as error:
            raise InvalidFileError(
                f"{shown} is not an image of a known format; allowed are {', '.join(IMAGE_FORMATS)}: convert the file."
            ) from error
        except Exception as error:  # what a decoder raises on damaged input is not documented and differs by format
            raise InvalidFileError(
                f"The image {shown} is damaged and cannot be decoded ({describe_value(str(error))}); replace the file."
            ) from error


def _too_large(shown: str, what: str, max_pixels: int) -> str:
    return f"The image {shown} has {what}, more than the {max_pixels} allowed; make it smaller or raise max_pixels."


def _check_color_mode(color_mode: object) -> None:
    if not isinstance(color_mode, str) or color_mode not in _CHANNELS:
        raise InvalidArgumentError(f"color_mode={describe_value(color_mode)} is not allowed; use 'grayscale' or 'rgb'.")


def _check_fit(fit: object) -> None:
    if fit not in FITS:
        raise InvalidArgumentError(f"fit={describe_value(fit)} is not allowed; use {', '.join(map(repr, FITS))}.")


def _check_image_size(image_size: object) -> tuple[int, int]:
    """(height, width) as two plain numbers."""
    try:
        height, width = (operator.index(extent) for extent in image_size)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        height = width = 0
    if not (1 <= height <= _MAX_EXTENT and 1 <= width <= _MAX_EXTENT):
        raise InvalidArgumentError(
            f"image_size={describe_value(image_size)} is not allowed; give (height, width), two whole numbers from 1 to "
            f"{_MAX_EXTENT}."
        )
    return height, width


def _check_max_pixels(max_pixels: object) -> None:
    if not isinstance(max_pixels, int) or not 1 <= max_pixels <= MOST_PIXELS:
        raise InvalidArgumentError(
            f"max_pixels={describe_value(max_pixels)} is not allowed; give a whole number from 1 to {MOST_PIXELS}."
        )

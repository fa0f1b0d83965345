"""Single images, as `keras.utils` and `keras.preprocessing.image` have them: Pillow's images and arrays of numbers.

Unlike `depthwise.data.load_image`, `load_img` does exactly what Keras does: no camera orientation is applied, 16-bit grey is left alone.
"""

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depthwise.arrays import numeric
from depthwise.data.images import DEFAULT_MAX_PIXELS, read_image
from depthwise.errors import InvalidArgumentError, InvalidDataError, describe_value
from depthwise.files import explain_failure

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img"]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
COLOR_MODES = {"grayscale": ("L", ("L", "I;16", "I")), "rgb": ("RGB", ("RGB",)), "rgba": ("RGBA", ("RGBA",))}
FORMATS = ("channels_last", "channels_first")


def load_img(
    path: "str | os.PathLike[str] | io.BytesIO",
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> "Image.Image":
    """An image file as an image of Pillow.

    Args:
        path: a PNG, JPEG, BMP, GIF, WebP or PPM file of at most 50 million pixels, or its bytes as `io.BytesIO`.
        color_mode: "grayscale", "rgb" or "rgba".
        target_size: (height, width) to resize to; None keeps the size.
        interpolation: "nearest", "bilinear", "bicubic", "hamming", "box" or "lanczos".
        keep_aspect_ratio: cut the largest part of the target's proportions out of the middle, instead of distorting.

    Raises:
        InvalidArgumentError: no such file, or an argument that is not allowed.
        InvalidFileError: not an image, damaged, or too large.
    """
    if color_mode not in COLOR_MODES:
        raise InvalidArgumentError(
            f"load_img: color_mode must be one of {', '.join(COLOR_MODES)}, got {describe_value(color_mode)}"
        )
    if interpolation not in INTERPOLATIONS:
        raise InvalidArgumentError(
            f"load_img: interpolation must be one of {', '.join(INTERPOLATIONS)}, got {describe_value(interpolation)}"
        )

    def convert(image: "Image.Image") -> "Image.Image":
        from PIL import Image

        mode, accepted = COLOR_MODES[color_mode]
        image.load()
        made = image.copy() if image.mode in accepted else image.convert(mode)
        if target_size is None or made.size == (target_size[1], target_size[0]):
            return made
        height, width = target_size
        box = None
        if keep_aspect_ratio:
            crop_height = min(made.height, made.width * height // width)
            crop_width = min(made.width, made.height * width // height)
            top, left = (made.height - crop_height) // 2, (made.width - crop_width) // 2
            box = (left, top, left + crop_width, top + crop_height)
        return made.resize((width, height), Image.Resampling[interpolation.upper()], box=box)

    return read_image(path, DEFAULT_MAX_PIXELS, convert)


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> NDArray[Any]:
    """An image of Pillow as numbers from 0 to 255.

    Args:
        img: the image, or an array (height, width) or (height, width, channels).
        data_format: "channels_last" (the default) or "channels_first".
        dtype: float32 by default.

    Returns:
        (height, width, channels), or (channels, height, width).
    """
    first = _is_channels_first("img_to_array", data_format)
    values = np.asarray(img, dtype=np.float32 if dtype is None else dtype)
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3:
        raise InvalidDataError(f"img_to_array takes one image, got an array of the shape {values.shape}")
    return values.transpose(2, 0, 1) if first else values


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> "Image.Image":
    """Numbers as an image of Pillow.

    Args:
        x: one image, (height, width, channels) with 1, 3 or 4 channels.
        data_format: "channels_last" (the default) or "channels_first".
        scale: stretch the values so that the smallest becomes 0 and the largest 255, as Keras does by default.
        dtype: to calculate in, float32 by default.

    Raises:
        InvalidDataError: another shape.
    """
    from PIL import Image

    first = _is_channels_first("array_to_img", data_format)
    values = np.array(numeric(x, "array_to_img: x"), dtype=np.float32 if dtype is None else dtype)
    if values.ndim != 3:
        hint = "; take one of the batch: x[0]" if values.ndim == 4 else ""
        raise InvalidDataError(f"array_to_img takes one image (height, width, channels), got {values.shape}{hint}")
    if first:
        values = values.transpose(1, 2, 0)
    if values.shape[2] not in (1, 3, 4) or not values.size:
        raise InvalidDataError(f"array_to_img takes 1, 3 or 4 channels, got an image of the shape {values.shape}")
    if scale:
        values = values - values.min()
        largest = values.max()
        values = (values / largest if largest != 0 else values) * 255
    if values.shape[2] == 1 and values.max() > 255:
        return Image.fromarray(values[:, :, 0].astype(np.int32))
    pixels = values.astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))


def save_img(
    path: Any, x: Any, data_format: str | None = None, file_format: str | None = None, scale: bool = True, **kwargs: Any
) -> None:
    """Writes numbers as an image file.

    Args:
        path: the file, or a file object.
        x, data_format, scale: see `array_to_img`.
        file_format: "png", "jpeg", …; told from the file's name by default.
        kwargs: passed on to Pillow's `save`.
    """
    if file_format is None and isinstance(path, (str, os.PathLike)):
        file_format = Path(path).suffix[1:].lower()
    if file_format is not None and file_format.lower() == "jpg":
        file_format = "jpeg"
    image = array_to_img(x, data_format, scale)
    if image.mode == "RGBA" and file_format == "jpeg":
        warnings.warn("JPEG files have no transparency: the image is saved as RGB", stacklevel=2)
        image = image.convert("RGB")
    try:
        image.save(path, format=file_format, **kwargs)
    except (KeyError, ValueError) as error:
        raise InvalidArgumentError(
            f"save_img: {describe_value(file_format)} is no format of images; name the file .png or .jpg, or give file_format"
        ) from error
    except OSError as error:
        raise explain_failure(error, path) from error


def _is_channels_first(owner: str, data_format: str | None) -> bool:
    if data_format is not None and data_format not in FORMATS:
        raise InvalidArgumentError(
            f"{owner}: data_format must be one of {', '.join(FORMATS)}, got {describe_value(data_format)}"
        )
    from depthwise.backend import image_data_format

    return (data_format or image_data_format()) == "channels_first"

"""Digits on paper: networks for MNIST read light digits on a dark ground, photos and drawings are mostly the other way round."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["centred", "is_dark_on_light", "on_ground", "reads_digits"]

SIZE, BOX = 28, 20
"""Pixels of MNIST's images, and of the box that a digit fills: http://yann.lecun.com/exdb/mnist."""


def reads_digits(input_shape: tuple[int, ...], output_shape: tuple[int, ...], class_names: Sequence[str] = ()) -> bool:
    """Whether a network has MNIST's form: grey images of 28×28 pixels and ten classes, which are digits where they have names."""
    is_named = bool(class_names) and list(class_names) != [str(digit) for digit in range(10)]
    return input_shape == (SIZE, SIZE, 1) and output_shape == (10,) and not is_named


def is_dark_on_light(image: NDArray[Any]) -> bool:
    """Whether most of an image's edge is light, and something inside of it is dark.

    Args:
        image: (height, width, 1), 0 is black and 255 white.

    >>> paper = np.full((28, 28, 1), 230)
    >>> is_dark_on_light(paper)
    False
    >>> paper[10:20, 14] = 20
    >>> is_dark_on_light(paper), is_dark_on_light(255 - paper)
    (True, False)
    """
    grey = image[..., 0].astype(np.float64)
    edge = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    if np.quantile(edge, 0.25) <= 127:  # at least three quarters of it: a picture of anything else is left alone
        return False
    return float(grey.min()) < float(np.median(edge)) - 64


def centred(image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A light digit on a dark ground as MNIST has it: 20 pixels large, its centre of mass in the middle of 28×28.

    Args:
        image: (height, width, 1) of any size.

    Returns:
        (28, 28, 1); None where no digit stands out from a plain ground.
    """
    from PIL import Image

    grey = image[..., 0].astype(np.float64)
    edge = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    ink = np.clip(grey - np.median(edge), 0, None)
    peak = ink.max()
    if peak < 64:
        return None
    mask = ink > peak / 4
    frame = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    if frame.mean() > 0.05:  # it goes on beyond the edge
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * (255 / peak)
    share = BOX / max(part.shape)
    size = (max(1, round(part.shape[1] * share)), max(1, round(part.shape[0] * share)))
    small = np.asarray(Image.fromarray(part.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR), np.float64)
    weights = small / max(small.sum(), 1.0)
    places = []
    for axis, length in enumerate(small.shape):
        middle = float((weights.sum(axis=1 - axis) * (np.arange(length) + 0.5)).sum())
        places.append(min(max(round(SIZE / 2 - middle), 0), SIZE - length))
    result = np.zeros((SIZE, SIZE, 1), np.uint8)
    result[places[0] : places[0] + size[1], places[1] : places[1] + size[0], 0] = small
    return result


def on_ground(image: "Image.Image") -> "Image.Image":
    """An image with transparency drawn on white where its ink is dark, else on black; dropping the transparency would lose the ink."""
    from PIL import Image

    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa"):
        return image
    pixels = image.convert("RGBA")
    values = np.asarray(pixels, np.float64)
    alpha = values[..., 3]
    if not alpha.any():
        return image
    ink = float((values[..., :3].mean(axis=-1) * alpha).sum() / alpha.sum())
    ground = Image.new("RGBA", pixels.size, (255, 255, 255, 255) if ink < 128 else (0, 0, 0, 255))
    return Image.alpha_composite(ground, pixels).convert("RGB")

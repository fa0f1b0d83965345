"""Digits on paper: networks for MNIST read light digits on a dark ground, photos and drawings are mostly the other way round."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["is_dark_on_light", "on_ground", "reads_digits"]


def reads_digits(input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> bool:
    """Whether a network has MNIST's form: grey images of 28×28 pixels and ten classes."""
    return input_shape == (28, 28, 1) and output_shape == (10,)


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

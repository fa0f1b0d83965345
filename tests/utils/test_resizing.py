"""Images resized as TensorFlow and Keras do it: without antialiasing, half a pixel inside."""

from typing import Any

import keras
import numpy as np
import pytest
from keras.src.utils import image_utils

from depthwise.data.resizing import crop_to, pad_to, resize

SIZES = [(1, 1), (7, 5), (8, 8), (3, 21), (16, 10), (29, 31)]


@pytest.mark.parametrize("method", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("given", [(8, 8), (5, 13), (1, 4)])
def test_resize_is_that_of_keras(method: str, size: Any, given: Any) -> None:
    image = np.random.default_rng(4).uniform(0, 255, (*given, 3)).astype(np.float32)
    theirs = np.asarray(keras.ops.image.resize(image, size, interpolation=method))
    # Keras adds at most 4 × 4 products in float32, of values up to 255 and weights that sum to below 2.
    np.testing.assert_allclose(resize(image, size, method), theirs, atol=32 * 255 * 2**-24 * 8, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_crop_to_is_that_of_keras(size: Any) -> None:
    image = np.random.default_rng(5).uniform(0, 255, (9, 14, 2)).astype(np.float32)
    theirs = np.asarray(image_utils.smart_resize(image, size))
    np.testing.assert_allclose(resize(crop_to(image, size), size), theirs, atol=32 * 255 * 2**-24 * 8, rtol=0)


def test_pad_to_keeps_the_proportions() -> None:
    image = np.ones((4, 8, 1), np.float32)
    made = pad_to(image, (6, 6))
    assert made[:, :, 0].sum(axis=1).tolist() == [0, 6, 6, 6, 0, 0]

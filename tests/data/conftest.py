"""Small files, written by the plainest code that could be right, for the readers to be judged by."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

IDX_TYPES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    """The IDX file of `array`, by the format's own description."""
    header = bytes([0, 0, IDX_TYPES[array.dtype.name], array.ndim])
    extents = b"".join(struct.pack(">I", extent) for extent in array.shape)
    return header + extents + array.astype(array.dtype.newbyteorder(">")).tobytes()


def make_arrays(train: int = 6, test: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "x_train": random.integers(0, 256, (train, 5, 4), np.uint8),
        "y_train": random.integers(0, 3, train).astype(np.uint8),
        "x_test": random.integers(0, 256, (test, 5, 4), np.uint8),
        "y_test": random.integers(0, 3, test).astype(np.uint8),
    }


def save_image(path: Path, value: int, size: tuple[int, int] = (6, 8), mode: str = "RGB") -> Path:
    """An image of one colour; `size` is (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    color = value if mode in ("L", "1") else (value, value // 2, 255 - value)
    Image.new(mode, (size[1], size[0]), color).save(path)
    return path


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes, "cat" with 5 images and "dog" with 10, of distinct values."""
    folder = tmp_path / "animals"
    for index in range(5):
        save_image(folder / "cat" / f"{index}.png", 10 + index)
    for index in range(10):
        save_image(folder / "dog" / f"{index}.png", 100 + index)
    return folder

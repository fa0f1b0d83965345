"""Models for the tests of files, and a way to take a `.keras` file apart and put it together wrongly."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import depthwise
from depthwise import layers, models

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def every_layer() -> models.Model:
    """One of every layer; names and counts differ on purpose, so that no order agrees with another by chance."""
    image = depthwise.Input((12, 10, 3), name="image")
    x = layers.Rescaling(0.5, offset=-1.0)(image)
    x = layers.ZeroPadding2D(((1, 0), (2, 1)), name="zzz")(x)
    x = layers.Conv2D(8, (3, 2), dilation_rate=2, activation="gelu", use_bias=False, name="second")(x)
    left = layers.SeparableConv2D(6, 3, depth_multiplier=2, padding="same", activation="hard_silu", name="aaa")(x)
    left = layers.MaxPooling2D((2, 2), padding="same")(left)
    right = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, activation="elu", name="first")(x)
    right = layers.Conv2D(6, 1, groups=2, name="conv2d")(right)
    right = layers.BatchNormalization(momentum=0.9, epsilon=1e-2, name="norm")(right)
    both = layers.Add()([right, left])
    both = layers.ReLU(max_value=6.0, negative_slope=0.1, threshold=0.5)(both)
    joined = layers.Concatenate()([both, layers.AveragePooling2D(3, strides=1, padding="same")(left), right])
    joined = layers.BatchNormalization(center=False, name="centre")(layers.Conv2D(5, 3, name="conv")(joined))
    joined = layers.BatchNormalization(scale=False)(layers.Activation("softplus")(joined))
    flat = layers.Dropout(0.3)(layers.Flatten()(joined))
    mean = layers.GlobalAveragePooling2D()(joined)
    largest = layers.Flatten()(layers.GlobalMaxPooling2D(keepdims=True)(joined))
    top = layers.Concatenate()([layers.Dense(4, activation="leaky_relu")(flat), mean, largest])
    return models.Model(image, layers.Dense(3, activation="softmax", name="top")(top), name="every")


def small(name: str | None = None) -> models.Sequential:
    return models.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 2)),
            layers.SeparableConv2D(5, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        name=name,
    )


def parts_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def put_together(path: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "good.keras"
    small().save(path)
    return path


@pytest.fixture
def with_config(saved: Path) -> Callable[[Change], Path]:
    """A file like `saved` whose config was changed."""

    def build(change: Change) -> Path:
        parts = parts_of(saved)
        config = json.loads(parts[CONFIG])
        change(config)
        parts[CONFIG] = json.dumps(config).encode()
        return put_together(saved.with_name("changed.keras"), parts)

    return build

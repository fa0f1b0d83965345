"""Networks of keras.applications with numbers that show faults: random weights and statistics, made in seconds."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

__all__ = ["FAMILIES", "NAMES", "application", "drawn_quickly", "picture", "put_random_numbers", "swept"]

NAMES = (
    "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge", "DenseNet121", "DenseNet169",
    "DenseNet201", "EfficientNetB0", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4",
    "EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2",
    "EfficientNetV2B3", "EfficientNetV2L", "EfficientNetV2M", "EfficientNetV2S", "InceptionResNetV2", "InceptionV3",
    "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "NASNetLarge", "NASNetMobile", "ResNet101",
    "ResNet101V2", "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2", "VGG16", "VGG19", "Xception",
)  # fmt: skip
FAMILIES = (
    "ConvNeXtTiny", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "InceptionV3", "MobileNet",
    "MobileNetV2", "MobileNetV3Small", "NASNetMobile", "ResNet50", "ResNet50V2", "VGG16", "Xception",
)  # fmt: skip
"""The smallest of each."""
_SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}
_WITH_PREPROCESSING = ("ConvNeXt", "EfficientNet", "MobileNetV3")


def swept(cases: Iterable[Any], chosen: Callable[[Any], bool]) -> list[Any]:
    """The chosen cases are in the sweeps, the others in the long tests."""
    import pytest  # the benchmarks use this file without it

    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=pytest.mark.sweep if chosen(case) else pytest.mark.long,
        )
        for case in cases
    ]


@contextmanager
def drawn_quickly() -> Iterator[None]:
    """Keras draws its initial weights with NumPy: JAX compiles a function for each shape, a minute for a large network."""
    from keras.src.initializers import random_initializers

    def draw(shape: Any, *_: Any, **__: Any) -> np.ndarray:
        values: np.ndarray = np.random.default_rng(sum(shape)).random(shape, np.float32) - np.float32(0.5)
        return values

    theirs = random_initializers.random
    stand_in = SimpleNamespace(
        uniform=draw,
        normal=draw,
        truncated_normal=draw,
        make_default_seed=lambda: 1,
        SeedGenerator=theirs.SeedGenerator,
    )
    random_initializers.random = stand_in
    try:
        yield
    finally:
        random_initializers.random = theirs


def put_random_numbers(model: Any, seed: int = 7) -> None:
    """Weights of a size that keeps values between 0.01 and 100 through any depth, and statistics that are not those of a start."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values: Any
        kind = weight.path.rpartition("/")[2]
        shape = tuple(weight.shape)
        if kind == "gamma":
            values = rng.uniform(0.5, 1.5, shape)
        elif kind == "count":
            continue
        elif kind.endswith("variance"):
            values = rng.uniform(0.5, 1.5, shape)
        elif len(shape) < 2:
            values = rng.normal(0.0, 0.1, shape)
        else:
            values = rng.random(shape, np.float32) - np.float32(0.5)
            values *= np.float32(np.sqrt(12.0 / max(1, np.prod(shape[:-2]) * shape[-2])))
        weight.assign(np.asarray(values, np.float32))
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # Normalization computes with copies
            layer.finalize_state()


def application(name: str, size: int = 0, **arguments: Any) -> Any:
    """A network of keras.applications for images of `size`, the smallest that it takes by default; its output are logits."""
    import keras

    size = size or _SMALLEST.get(name, 32)
    with drawn_quickly():
        model = getattr(keras.applications, name)(
            weights=None, input_shape=(size, size, 3), classifier_activation=None, **{"classes": 10, **arguments}
        )
    put_random_numbers(model)
    return model


def picture(name: str, shape: tuple[int, ...], count: int = 2) -> np.ndarray:
    """Images in the range that the network of that name expects."""
    x = np.random.default_rng(0).random((count, *shape), np.float32)
    return x * np.float32(255.0) if name.startswith(_WITH_PREPROCESSING) else x * 2 - 1

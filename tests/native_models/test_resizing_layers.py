"""UpSampling, Resizing and CenterCrop against real Keras: predicted, trained, saved both ways, explained."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise import layers, models, optimizers
from depthwise.compiler.lower import lower
from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.layers import descriptions
from depthwise.layers.descriptions import CenterCrop, Resizing, UpSampling1D, UpSampling2D
from depthwise.layers.resizing import INTERPOLATIONS
from depthwise.network.graph import Graph, sequential
from depthwise.runtime.prediction import Prediction
from support.families import check_against_keras, check_explanations, check_files, check_same_bits
from support.keras_steps import compare_steps
from support.sizes import Configuration

UPSAMPLING = [
    *(Configuration(UpSampling2D((2, 3), interpolation=name), ((4, 5, 3),)) for name in INTERPOLATIONS),
    *(Configuration(UpSampling2D(2), ((3, 1, channels),)) for channels in (1, 8, 17)),
    *(Configuration(UpSampling1D(size), ((5, 3),)) for size in (1, 2, 3)),
]
ASPECT: list[dict[str, Any]] = [{}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True, "fill_value": 2.0}]
RESIZING = [
    *(
        Configuration(Resizing(*size, name, antialias=antialias), ((7, 9, 3),))
        for name, size, antialias in itertools.product(INTERPOLATIONS, ((3, 4), (7, 20)), (False, True))
    ),
    *(
        Configuration(Resizing(*size, **aspect), (shape,))
        for size, aspect, shape in itertools.product(((4, 6), (8, 3)), ASPECT, ((7, 9, 3), (9, 5, 2)))
    ),
    Configuration(Resizing(5, 5, pad_to_aspect_ratio=True), ((5, 4, 2),)),
]
CROPS = [Configuration(CenterCrop(*size), ((7, 6, 3),)) for size in ((3, 4), (4, 3), (7, 6), (9, 4), (2, 8), (9, 10))]


@pytest.mark.parametrize("configurations", [UPSAMPLING, RESIZING, CROPS], ids=["upsampling", "resizing", "crops"])
def test_against_keras(configurations: list[Configuration]) -> None:
    check_against_keras(configurations)


def test_bits_do_not_depend_on_threads_or_batches() -> None:
    check_same_bits([*UPSAMPLING[::2], *RESIZING[::5], *CROPS[::3]])


def test_halves_and_quarters_are_exact() -> None:
    """Doubling has the weights ¼ and ¾: with whole numbers no result is rounded."""
    x = np.random.default_rng(0).integers(-50, 50, (2, 3, 4, 5)).astype(np.float32)
    prediction = Prediction(lower(sequential([UpSampling2D(2, interpolation="bilinear", input_shape=(3, 4, 5))])))
    prediction.load({})
    (y,) = prediction((x,))
    for axis in (1, 2):
        x = np.moveaxis(x, axis, 0)
        padded = np.concatenate([x[:1], x, x[-1:]])
        nearer = [0.25 * padded[:-2] + 0.75 * x, 0.75 * x + 0.25 * padded[2:]]
        x = np.moveaxis(np.stack(nearer, 1).reshape(2 * len(x), *x.shape[1:]), 0, axis)
    np.testing.assert_array_equal(y, x)


def _network(*middle: descriptions.Description) -> Graph:
    return sequential(
        [
            descriptions.Conv2D(3, 2, activation="tanh", input_shape=(6, 7, 2)),
            *middle,
            descriptions.GlobalAveragePooling2D(),
            descriptions.Dense(3, activation="softmax"),
        ]
    )


TRAINED = [
    (UpSampling2D((2, 5)), descriptions.Conv2D(3, 2, strides=3)),
    (UpSampling2D((6, 2), interpolation="bilinear"), descriptions.Conv2D(3, 2, strides=2)),
    (Resizing(3, 9, "bicubic", antialias=True), descriptions.Conv2D(3, 2)),
    (Resizing(3, 2, crop_to_aspect_ratio=True), CenterCrop(2, 4), descriptions.Conv2D(3, 2)),
]


@pytest.mark.parametrize("middle", TRAINED, ids=lambda middle: type(middle[0]).__name__)
def test_three_steps(middle: Any) -> None:
    compare_steps(_network(*middle), optimizers.SGD(0.05), 5, steps=3)


def test_keras_files_go_both_ways(tmp_path: Path) -> None:
    stack: list[Any] = [
        layers.Resizing(9, 8, "bicubic", antialias=True, input_shape=(7, 6, 2)),
        layers.Resizing(8, 8, pad_to_aspect_ratio=True, fill_value=0.5),
        layers.Resizing(6, 8, "nearest", crop_to_aspect_ratio=True),
        layers.CenterCrop(5, 6),
        layers.Conv2D(3, 2),
        layers.UpSampling2D((2, 3), interpolation="bilinear"),
        layers.UpSampling2D(2),
    ]
    check_files(models.Sequential(stack), tmp_path)
    check_files(models.Sequential([layers.Conv1D(3, 2, input_shape=(7, 2)), layers.UpSampling1D(3)]), tmp_path)


def test_explanations() -> None:
    check_explanations(_network(*TRAINED[1], *TRAINED[3][:2], UpSampling2D()), 40)
    check_explanations(sequential([UpSampling1D(3, input_shape=(4, 2))]), 6)


def test_receptive_fields() -> None:
    graph = sequential(
        [UpSampling2D(input_shape=(4, 4, 1)), descriptions.Conv2D(2, 3), Resizing(3, 3), descriptions.Conv2D(2, 2)]
    )
    fields = [graph.receptive_fields[call.name] for call in graph.calls[1:]]
    # Three half cells lie on two; two of them interpolated, twice as far apart, on three; and so on.
    assert [field.rows.value for field in fields] == [1, 2, 3, 4]
    assert [float(field.steps[0]) for field in fields] == [0.5, 0.5, 1.0, 1.0]


def test_messages() -> None:
    with pytest.raises(
        InvalidArgumentError, match="UpSampling2D: interpolation must be one of nearest, bilinear, bicubic"
    ):
        layers.UpSampling2D(interpolation="area")
    with pytest.raises(InvalidArgumentError, match="only one of crop_to_aspect_ratio and pad_to_aspect_ratio"):
        layers.Resizing(2, 2, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)
    with pytest.raises(UnsupportedError, match="fill_mode must be 'constant', got 'reflect'"):
        layers.Resizing(2, 2, fill_mode="reflect")
    with pytest.raises(InvalidArgumentError, match="height must be an integer of at least 1, got 0"):
        layers.CenterCrop(0, 2)

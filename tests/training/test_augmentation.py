"""Random transformations of images: what Keras' layers make of the same draws, the distributions, seeds, and files."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import layers, models, optimizers
from depthwise.compiler.ir.types import Drawn
from depthwise.compiler.lower import lower
from depthwise.errors import InvalidArgumentError, UnsupportedError
from depthwise.layers import descriptions as d
from depthwise.losses import MeanSquaredError
from depthwise.network.graph import sequential
from depthwise.random import stream
from depthwise.runtime.drawing import draw
from depthwise.runtime.threads import get_threads, set_threads
from depthwise.runtime.training_step import TrainingStep
from support.families import check_files
from support.gates import UNIT_ROUNDOFF, error_gate, exact_gate
from support.native_runs import train
from support.oracle import keras_layer

BATCH, SHAPE = 6, (9, 8, 3)


def _augmented(layer: d.Description, x: Any, seed: int = 0) -> Any:
    """What the first training step makes of `x`: behind the layer each value is multiplied by 1."""
    graph = sequential([d.InputLayer(shape=SHAPE), layer, d.DepthwiseConv2D(1, use_bias=False, name="one")])
    step = TrainingStep(lower(graph, training=True), MeanSquaredError(), optimizers.SGD())
    step.load({"one/kernel": np.ones((1, 1, 3, 1), np.float32)}, {})
    return step((x,), np.zeros_like(x), None, learning_rate=0.0, seed=seed).predictions


def _images(seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0.0, 255.0, (BATCH, *SHAPE)).astype(np.float32)


def test_crops_are_those_of_keras(tmp_path: Path) -> None:
    layer, x = d.RandomCrop(4, 5, seed=5), _images()
    graph = sequential([d.InputLayer(shape=SHAPE), layer, d.DepthwiseConv2D(1, use_bias=False, name="one")])
    step = TrainingStep(lower(graph, training=True), MeanSquaredError(), optimizers.SGD())
    step.load({"one/kernel": np.ones((1, 1, 3, 1), np.float32)}, {})
    y = step((x,), np.zeros((BATCH, 4, 5, 3), np.float32), None, learning_rate=0.0).predictions
    places = {(top, left) for top in range(6) for left in range(4) if np.array_equal(y[0], x[0, top:, left:][:4, :5])}
    assert len(places) == 1
    theirs = keras.layers.RandomCrop(4, 5)
    exact_gate(y, np.asarray(theirs.transform_images(x, places.pop(), training=True)))
    # Every place is drawn, and no other.
    drawn = {int(draw([Drawn(layer, 0, 0, SHAPE)], 1, 0, step)[0][0, 0]) for step in range(400)}
    assert drawn == {8 * top + left for top in range(6) for left in range(4)}
    # A map that is not larger is resized, in training as in prediction.
    for height, width in ((9, 5), (10, 4), (3, 12)):
        small = layers.RandomCrop(height, width, seed=3)(layers.Input(SHAPE))
        model = models.Model(small.layer.input, small)
        expected = keras.layers.Resizing(height, width, crop_to_aspect_ratio=True)(x)
        error_gate(model.predict(x, verbose=0), np.asarray(expected), 255.0 * 64 * UNIT_ROUNDOFF, f"{height}×{width}")
    model.save(tmp_path / "model.keras")
    theirs = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert layers.RandomCrop.from_config(theirs.get_config()).description == model.layers[-1].description


def _drawn(seed: int, *ends: tuple[float, float]) -> list[Any]:
    generator = stream(seed, "step 0")
    return [generator.uniform(*both, (BATCH, 1)).astype(np.float32) for both in ends]


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flips_are_those_of_keras(mode: str) -> None:
    layer, x = d.RandomFlip(mode, seed=5), _images()
    (u,) = _drawn(5, (0.0, 1.0))
    flips = (u <= 0.5).reshape(BATCH, 1, 1, 1)
    assert 0 < flips.sum() < BATCH
    expected = keras_layer(layer).transform_images(x, {"flips": flips, "input_shape": x.shape}, training=True)
    exact_gate(_augmented(layer, x), np.asarray(expected))


@pytest.mark.parametrize("fill_mode", ["reflect", "wrap", "constant", "nearest"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_moves_turns_and_zooms_are_those_of_keras(fill_mode: str, interpolation: str) -> None:
    x, rest = _images(), {"fill_mode": fill_mode, "interpolation": interpolation, "seed": 3, "fill_value": 7.0}
    moved: Any = d.RandomTranslation(0.4, (-0.1, 0.6), **rest)
    down, right = _drawn(3, (-0.4, 0.4), (-0.1, 0.6))
    translations = np.concatenate([right * SHAPE[1], down * SHAPE[0]], 1)
    turned: Any = d.RandomRotation(0.3, **rest)
    (share,) = _drawn(3, (-0.3, 0.3))
    oracle = keras_layer(turned)
    zeros, ones = np.zeros(BATCH, np.float32), np.ones(BATCH, np.float32)
    matrix = oracle._compute_affine_matrix(0.5, 0.5, share[:, 0] * 360.0, zeros, zeros, ones, zeros, zeros, *SHAPE[:2])
    zoomed: Any = d.RandomZoom((-0.5, 0.7), 0.3, **rest)
    height, width = _drawn(3, (0.5, 1.7), (0.7, 1.3))
    cases = [
        (moved, {"translations": translations, "input_shape": x.shape}),
        (turned, {"rotation_matrix": matrix}),
        (zoomed, {"height_zoom": height, "width_zoom": width, "input_shape": x.shape}),
    ]
    for layer, transformation in cases:
        expected = np.asarray(keras_layer(layer).transform_images(x, transformation, training=True))
        assert np.abs(expected - x).max() > 50.0
        # Keras' places are float32: off by some roundings of the distance, and each moves two shares of up to 255.
        allowed = 0.0 if interpolation == "nearest" else 16.0 * UNIT_ROUNDOFF * sum(SHAPE[:2]) * 4.0 * 255.0
        error_gate(_augmented(layer, x), expected, allowed, f"{layer}")


def test_contrast_and_brightness_are_those_of_keras() -> None:
    x = _images()
    contrast: Any = d.RandomContrast((0.2, 0.9), (10, 200), seed=2)
    (factor,) = _drawn(2, (1.0 - 0.2, 1.0 + 0.9))
    brightness: Any = d.RandomBrightness((-0.3, 0.6), seed=2)
    (share,) = _drawn(2, (-0.3, 0.6))
    cases = [
        (contrast, {"contrast_factor": factor.reshape(BATCH, 1, 1, 1)}),
        (brightness, {"rgb_delta": share.reshape(BATCH, 1, 1, 1) * 255}),
    ]
    for layer, transformation in cases:
        expected = np.asarray(keras_layer(layer).transform_images(x.copy(), transformation, training=True))
        # A mean of 72 values, a difference, a product and a sum, each at most 2 · 255 · 1.9.
        error_gate(_augmented(layer, x), expected, 2 * (72 + 6) * UNIT_ROUNDOFF * 2 * 255.0 * 1.9, f"{layer}")


@pytest.mark.parametrize(
    ("layer", "low", "high"),
    [
        (d.RandomContrast(0.4), 1.0, 1.4),
        (d.RandomBrightness(0.2, (0, 1)), -0.2, 0.2),
        (d.RandomBrightness((0.1, 0.5), (-1, 1)), 0.2, 1.0),
    ],
    ids=str,
)
def test_draws_are_uniform(layer: d.Description, low: float, high: float) -> None:
    (values,) = draw([Drawn(layer, 0, 0, SHAPE)], 20_000, seed=1, step=0)
    assert low <= values.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < values.max() <= high
    deviation = (high - low) / math.sqrt(12.0)
    assert abs(values.mean() - (low + high) / 2) < 5.0 * deviation / math.sqrt(20_000)
    assert abs(values.std() / deviation - 1.0) < 0.03
    oracle = keras_layer(layer).get_random_transformation(np.zeros((20_000, 1, 1, 3)), training=True, seed=4)
    (theirs,) = (np.asarray(value) for value in oracle.values())
    assert low - 1e-6 <= theirs.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < theirs.max() <= high + 1e-6


def test_seeds_and_threads() -> None:
    x = _images()
    first, again, other = (_augmented(d.RandomRotation(0.3), x, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    # A seed of its own does not depend on that of the step.
    np.testing.assert_array_equal(*(_augmented(d.RandomRotation(0.3, seed=9), x, seed) for seed in (1, 2)))
    before = get_threads()
    try:
        set_threads(1)
        np.testing.assert_array_equal(_augmented(d.RandomRotation(0.3), x, 1), first)
    finally:
        set_threads(before)


@pytest.mark.parametrize("layer", [d.RandomRotation(0.3), d.RandomTranslation(0.9, 0.9), d.RandomFlip()], ids=str)
def test_nothing_is_read_that_was_not_written(layer: d.Description) -> None:
    """On memory between forbidden pages and full of NaN the results are the same."""
    x = _images()
    graph = sequential([d.InputLayer(shape=SHAPE), layer, d.DepthwiseConv2D(1, use_bias=False, name="one")])
    step = TrainingStep(lower(graph, training=True), MeanSquaredError(), optimizers.SGD())
    step.load({"one/kernel": np.ones((1, 1, 3, 1), np.float32)}, {})
    np.testing.assert_array_equal(
        train(step, (x,), np.zeros_like(x), None, seed=4).predictions, _augmented(layer, x, 4)
    )


def _stack() -> list[Any]:
    return [
        layers.RandomFlip("horizontal", input_shape=SHAPE),
        layers.RandomTranslation(0.1, 0.2),
        layers.RandomRotation(0.1, fill_mode="constant", fill_value=3.0),
        layers.RandomZoom(0.2, (-0.1, 0.3), interpolation="nearest"),
        layers.RandomContrast(0.3),
        layers.RandomBrightness(0.2, value_range=(0, 200), seed=4),
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, activation="softmax"),
    ]


def test_prediction_leaves_images_alone_and_files_go_both_ways(tmp_path: Path) -> None:
    check_files(models.Sequential(_stack()), tmp_path)
    x = _images()
    model = models.Sequential(_stack()[:6])
    np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def test_a_network_with_all_of_them_trains() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 64)
    x = (rng.uniform(0.0, 80.0, (64, *SHAPE)) + 100.0 * y[:, None, None, None]).astype(np.float32)
    model = models.Sequential([*_stack()])
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=12, batch_size=16, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 2


def test_channels_first() -> None:
    x = _images()
    first: Any = d.RandomFlip("vertical", seed=5, data_format="channels_first")
    graph = sequential(
        [d.InputLayer(shape=(3, 9, 8)), first, d.Conv2D(3, 1, use_bias=False, name="one", data_format="channels_first")]
    )
    step = TrainingStep(lower(graph, training=True), MeanSquaredError(), optimizers.SGD())
    step.load({"one/kernel": np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3)}, {})
    given = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    y = step((given,), np.zeros_like(given), None, learning_rate=0.0).predictions
    exact_gate(y.transpose(0, 2, 3, 1), _augmented(d.RandomFlip("vertical", seed=5), x))


def test_messages() -> None:
    with pytest.raises(
        InvalidArgumentError, match="RandomRotation: factor must be one number, or a lower and an upper one, from -1"
    ):
        layers.RandomRotation(2.0)
    with pytest.raises(InvalidArgumentError, match=r"RandomZoom: height_factor must be above -1, got -1\.0"):
        layers.RandomZoom(-1.0)
    with pytest.raises(InvalidArgumentError, match="mode must be one of horizontal, vertical, horizontal_and_vertical"):
        layers.RandomFlip("both")
    with pytest.raises(InvalidArgumentError, match=r"value_range must be two numbers, got \(255,\)"):
        layers.RandomContrast(0.1, value_range=(255,))  # type: ignore[arg-type]
    graph = sequential([d.Conv2D(3, 1, input_shape=SHAPE), d.RandomRotation(0.1)])
    with pytest.raises(
        UnsupportedError, match="random_rotation: gradients do not pass through a random transformation"
    ):
        TrainingStep(lower(graph, training=True), MeanSquaredError(), optimizers.SGD())

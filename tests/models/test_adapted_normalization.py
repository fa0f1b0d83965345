"""Normalization: `adapt`, given statistics and files, against Keras."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import Sequential, layers
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.models import load_model

DATA = np.random.default_rng(3).normal(3.0, 2.0, (40, 5, 4, 3)).astype(np.float32)


@pytest.mark.parametrize("axis", [-1, 3, (-1,), None])
@pytest.mark.parametrize("invert", [False, True])
def test_adapt_finds_what_keras_finds(axis: Any, invert: bool) -> None:
    theirs, ours = (kind.Normalization(axis, invert=invert) for kind in (keras.layers, layers))
    theirs.adapt(DATA)
    ours.adapt(DATA)
    for mine, his in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert mine.shape == his.shape
        np.testing.assert_allclose(mine, his, rtol=1e-5, atol=1e-6)
    model = Sequential([layers.Input((5, 4, 3)), ours])
    np.testing.assert_allclose(model.predict(DATA, verbose=0), np.asarray(theirs(DATA)), rtol=2e-5, atol=1e-5)


def test_batches_one_after_the_other_give_what_all_give_together() -> None:
    whole, parts, pairs = (layers.Normalization() for _ in range(3))
    whole.adapt(DATA)
    parts.adapt(DATA[i : i + 7] for i in range(0, 40, 7))
    pairs.adapt([(DATA[:30], 0), (DATA[30:], 1)])
    for other in (parts, pairs):
        for one, two in zip(whole.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-6)


def test_a_model_that_is_there_already_sees_what_adapt_finds() -> None:
    layer = layers.Normalization()
    model = Sequential([layers.Input((5, 4, 3)), layer])
    np.testing.assert_array_equal(model.predict(DATA, verbose=0), DATA)
    layer.adapt(DATA)
    result = model.predict(DATA, verbose=0)
    assert np.abs(result.mean(axis=(0, 1, 2))).max() < 1e-5
    assert np.abs(result.std(axis=(0, 1, 2)) - 1.0).max() < 1e-5


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"axis": None},
        {"invert": True},
        {"mean": 3.0, "variance": 2.0},
        {"mean": [1, 2, 3], "variance": [0.5, 0, 2]},
    ],
    ids=str,
)
def test_files_go_both_ways(options: dict[str, Any], tmp_path: Path) -> None:
    given = {key: np.array(value, np.float32) if isinstance(value, list) else value for key, value in options.items()}
    layer = keras.layers.Normalization(**given)
    if "mean" not in options:
        layer.adapt(DATA)
    theirs = keras.Sequential([keras.Input((5, 4, 3)), layer, keras.layers.Conv2D(2, 3)])
    theirs.save(tmp_path / "theirs.keras")
    expected = np.asarray(theirs(DATA))
    ours = load_model(tmp_path / "theirs.keras")
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours.predict(DATA, verbose=0), expected, rtol=2e-5, atol=2e-6 * scale)
    ours.compile("sgd", "mse")
    ours.fit(DATA[:8], np.zeros((8, 3, 2, 2), np.float32), verbose=0)
    for before, after in zip(layer.get_weights(), ours.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    ours.save(tmp_path / "ours.keras")
    back = keras.saving.load_model(tmp_path / "ours.keras")
    expected = ours.predict(DATA, verbose=0)
    np.testing.assert_allclose(np.asarray(back(DATA)), expected, rtol=2e-5, atol=2e-6 * np.abs(expected).max())


def test_what_it_cannot_do_is_refused() -> None:
    for options, error, message in (
        ({"axis": (1, 2)}, UnsupportedError, "axis must be the last one"),
        ({"mean": 1.0}, InvalidArgumentError, "both be given"),
        ({"mean": [1.0, 2.0], "variance": 1.0}, InvalidArgumentError, "the same shape"),
        ({"mean": 1.0, "variance": -1.0}, InvalidArgumentError, "at least 0"),
        ({"mean": "one", "variance": 1.0}, InvalidArgumentError, "mean must be a number"),
    ):
        with pytest.raises(error, match=message):
            layers.Normalization(**options)
    with pytest.raises(ShapeError, match="axis must be the last one"):
        Sequential([layers.Input((5, 4, 3)), layers.Normalization(axis=1)])
    with pytest.raises(InvalidArgumentError, match="nothing to learn"):
        layers.Normalization(mean=1.0, variance=1.0).adapt(DATA)
    with pytest.raises(InvalidArgumentError, match="without one"):
        layers.Normalization().adapt([])
    layer = layers.Normalization()
    layer.build((None, 2))
    with pytest.raises(ShapeError, match="2 channels, the data of the shape"):
        layer.adapt(DATA)

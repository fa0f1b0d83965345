"""LayerNormalization and RMSNormalization over other axes and over several, GroupNormalization along other axes: trained, saved and explained."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, optimizers
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.explain.page import make_page
from support.families import check_explanations, check_files
from support.keras_steps import compare_steps


def _network() -> Any:
    """Every axis, and every kind of axes, one behind the other."""
    x = y = depthwise.Input((5, 6, 2))
    y = layers.Conv2D(4, 3, padding="same", activation="tanh")(y)
    y = layers.LayerNormalization(axis=1, epsilon=1e-2)(y)
    y = layers.GroupNormalization(3, axis=2, epsilon=1e-2)(y)
    y = layers.LayerNormalization(axis=(1, 2), epsilon=1e-2)(y)
    y = layers.GroupNormalization(5, axis=-3, epsilon=1e-2, center=False)(y)
    y = layers.LayerNormalization(axis=(-1, -2), epsilon=1e-2, scale=False)(y)
    y = layers.LayerNormalization(axis=[1, 2, 3], epsilon=1e-2)(y)
    y = layers.LayerNormalization(axis=[-3, -1], epsilon=1e-2)(y)
    y = layers.RMSNormalization(axis=[3, 2])(layers.RMSNormalization(epsilon=1e-2)(y))
    return x, layers.Dense(3, activation="softmax")(layers.Flatten()(y))


@pytest.mark.sweep
def test_steps_beside_keras() -> None:
    compare_steps(depthwise.Model(*_network()).graph, optimizers.SGD(0.01), 6, steps=2)


def test_files_and_explanations(tmp_path: Path) -> None:
    model = depthwise.Model(*_network())
    check_files(model, tmp_path)
    check_explanations(model.graph, 30)
    assert make_page(model.graph, model.weights_by_name, with_times=False).kept_layers == len(model.graph.calls)


def test_shapes_of_weights_are_those_of_keras() -> None:
    for axis in (1, -2, 3, (1, 2), [2, 1], (-1, -3), (1, 2, 3)):
        theirs = keras.layers.LayerNormalization(axis=axis)
        ours = layers.LayerNormalization(axis=axis)
        for layer in (theirs, ours):
            layer.build((None, 5, 6, 4))
        assert [item.shape for item in ours.get_weights()] == [tuple(item.shape) for item in theirs.weights]


def test_root_mean_square_beside_keras(rng: np.random.Generator) -> None:
    """Zeros give 0, and the scale of several axes is that of the file."""
    x = rng.normal(2.0, 3.0, (3, 5, 6, 2)).astype(np.float32)
    x[0] = 0.0
    for axis in (-1, (3, 2), [1, 2, 3]):
        theirs, ours = keras.layers.RMSNormalization(axis=axis), layers.RMSNormalization(axis=axis)
        theirs.build(x.shape)
        ours.build(x.shape)
        scale = rng.normal(1.0, 0.5, theirs.scale.shape).astype(np.float32)
        theirs.set_weights([scale])
        ours.set_weights([scale])
        np.testing.assert_allclose(ours(x), np.asarray(theirs(x)), rtol=1e-5)


def test_messages() -> None:
    x = depthwise.Input((5, 6, 2))
    for axis in ((1, -1), (2, 2)):
        with pytest.raises(UnsupportedError, match="several axes must be different and all counted from the front"):
            layers.LayerNormalization(axis=axis)
    with pytest.raises(ShapeError, match="axis must be between 1 and 3, or -1 and -3 counted from the end, got 4"):
        layers.GroupNormalization(1, axis=4)(x)
    with pytest.raises(UnsupportedError, match="axis must be one integer, got"):
        layers.GroupNormalization(1, axis=(1, 2))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="one, two or all can be normalised together"):
        layers.LayerNormalization(axis=(2, 3, 4))(layers.Reshape((5, 3, 2, 2))(x))
    axes: list[int | tuple[int, int]] = [1, (1, 2), (1, 3)]
    for wrong in axes:
        with pytest.raises(ShapeError, match="axis must name the last axis, the last two or all"):
            layers.RMSNormalization(wrong)(x)
    with pytest.raises(InvalidArgumentError, match="epsilon must be above 0, got 0"):
        layers.RMSNormalization(epsilon=0.0)

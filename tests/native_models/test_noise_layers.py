"""Dropout's arguments and the noise layers: what is drawn, that it follows from the seed, and that training uses it."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import layers as public
from depthwise import losses, models, optimizers
from depthwise.compiler.lower import lower
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.layers import descriptions as layers
from depthwise.network.graph import sequential
from depthwise.runtime.training_step import TrainingStep

SHAPE = (6, 5, 8)
ONES = np.ones((64, *SHAPE), np.float32)


def _drawn(layer: Any, seed: int = 1, steps: int = 1) -> Any:
    """What the layer makes of ones, in training: the prediction of a step behind a scale of 1."""
    first = layers.PReLU(input_shape=SHAPE[-layer.axes - 1 :] if hasattr(layer, "axes") else SHAPE)
    graph = sequential([first, layer, layers.Flatten()])
    step = TrainingStep(lower(graph, training=True), losses.MeanSquaredError(), optimizers.SGD())
    shape = graph.calls[1].output_shape
    step.load({"p_re_lu/alpha": np.ones(shape, np.float32)}, {})
    x = ONES[:, : shape[0], : shape[1]] if len(shape) == 3 else ONES[:, 0]
    y = np.zeros((64, int(np.prod(shape))), np.float32)
    for _ in range(steps):
        result = step((x,), y, None, learning_rate=0.0, seed=seed)
    found: Any = result.predictions
    return np.asarray(found).reshape(64, *shape)


def test_dropout_shares_along_the_axes_of_size_one() -> None:
    y = _drawn(layers.Dropout(0.25, noise_shape=(None, 1, 5, 8)))
    assert set(np.unique(y)) == {0.0, np.float32(1.0 / 0.75)}
    assert (y == y[:, :1]).all()
    assert not (y == y[:, :, :1]).all()
    assert abs((y == 0.0).mean() - 0.25) < 4.0 * (0.25 * 0.75 / (64 * 40)) ** 0.5
    whole = _drawn(layers.Dropout(0.5, noise_shape=(1, None, None, None)))
    assert (whole == whole[:1]).all()


@pytest.mark.parametrize("kind", ["SpatialDropout2D", "SpatialDropout1D"])
def test_spatial_dropout_drops_whole_channels(kind: str) -> None:
    make: Any = layers.LAYERS[kind]
    y = _drawn(make(0.5))
    places = y.reshape(64, -1, 8)
    assert (places == places[:, :1]).all()
    assert set(np.unique(y)) == {0.0, 2.0}


def test_normal_noise_has_its_moments() -> None:
    count = ONES.size
    for layer, deviation in ((layers.GaussianNoise(0.5), 0.5), (layers.GaussianDropout(0.2), 0.5)):
        y = _drawn(layer).astype(np.float64)
        assert abs(y.mean() - 1.0) < 4.0 * deviation / count**0.5
        assert abs(y.std() - deviation) < 4.0 * deviation / (2 * count) ** 0.5


def test_alpha_dropout_takes_two_values_as_keras_says() -> None:
    rate, dropped = 0.3, -1.7580993408473766
    a = ((1 - rate) * (1 + rate * dropped**2)) ** -0.5
    b = -a * dropped * rate
    y = _drawn(layers.AlphaDropout(rate))
    assert np.allclose(np.unique(y), sorted([a + b, a * dropped + b]), rtol=1e-6)
    assert abs((y < 0).mean() - rate) < 4.0 * (rate * (1 - rate) / y.size) ** 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: layers.Dropout(0.5, seed=seed),
        lambda seed: layers.SpatialDropout2D(0.5, seed=seed),
        lambda seed: layers.GaussianNoise(0.5, seed=seed),
        lambda seed: layers.GaussianDropout(0.5, seed=seed),
        lambda seed: layers.AlphaDropout(0.5, seed=seed),
    ],
)
def test_the_seed_of_a_layer_decides(make: Any) -> None:
    np.testing.assert_array_equal(_drawn(make(3), seed=1), _drawn(make(3), seed=2))
    assert (_drawn(make(3)) != _drawn(make(4))).any()
    assert (_drawn(make(3), steps=1) != _drawn(make(3), steps=2)).any()
    assert (_drawn(make(None), seed=1) != _drawn(make(None), seed=2)).any()


def test_messages() -> None:
    with pytest.raises(InvalidArgumentError, match="stddev must be between 0 and 1, got 2"):
        layers.GaussianNoise(2)
    with pytest.raises(InvalidArgumentError, match="rate must be below 1"):
        layers.GaussianDropout(1.0)
    with pytest.raises(UnsupportedError, match="first size of noise_shape must be None"):
        layers.Dropout(0.5, noise_shape=(32, 1, 8))
    with pytest.raises(ShapeError, match="does not fit samples of the shape"):
        sequential([layers.Dropout(0.5, noise_shape=(None, 2, 8), input_shape=(5, 8))])
    with pytest.raises(ShapeError, match="takes images"):
        sequential([layers.SpatialDropout2D(0.5, input_shape=(5, 8))])


def test_keras_files_go_both_ways(tmp_path: Path) -> None:
    stack: list[Any] = [
        public.Input(SHAPE),
        public.Dropout(0.2, noise_shape=(None, 1, 1, 8), seed=3),
        public.SpatialDropout2D(0.3, seed=4),
        public.GaussianNoise(0.4, seed=5),
        public.GaussianDropout(0.5),
        public.AlphaDropout(0.6, noise_shape=(None, 6, 5, 1)),
        public.Reshape((30, 8)),
        public.SpatialDropout1D(0.7),
    ]
    model = models.Sequential(stack)
    model.save(tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    back = models.load_model(tmp_path / "theirs.keras")
    assert [layer.description for layer in back.layers] == [layer.description for layer in model.layers]
    assert np.array_equal(back.predict(ONES[:2], verbose=0), theirs.predict(ONES[:2], verbose=0))

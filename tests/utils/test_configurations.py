"""`get_config`, `from_config` and calls of what a model is described with, against real Keras."""

from typing import Any

import keras
import numpy as np
import pytest

from depthwise import initializers, layers, losses, metrics, models
from depthwise.errors import ShapeError, UnsupportedError
from depthwise.optimizers import schedules

INITIALIZERS = [
    initializers.Zeros(),
    initializers.Constant(2.5),
    initializers.Identity(),
    initializers.RandomNormal(1.0, 0.1, seed=3),
    initializers.RandomUniform(-2.0, 2.0),
    initializers.TruncatedNormal(0.0, 0.2),
    initializers.VarianceScaling(2.0, "fan_out", "uniform"),
    initializers.HeNormal(),
    initializers.Orthogonal(2.0),
]


@pytest.mark.parametrize("made", INITIALIZERS, ids=lambda made: type(made).__name__)
def test_initializers_are_called_and_configured_as_in_keras(made: initializers.Initializer) -> None:
    theirs = getattr(keras.initializers, type(made).__name__)(**made.get_config())
    if not isinstance(made, initializers.Identity):  # Keras forgets its gain
        assert made.get_config().items() <= theirs.get_config().items()
    assert type(made).from_config(theirs.get_config()) == made.clone() == made
    assert initializers.get(keras.initializers.serialize(theirs)) == made
    values, expected = made((40, 30)), np.asarray(theirs((40, 30)))
    assert values.shape == expected.shape
    assert values.dtype == expected.dtype
    # 1200 independent draws: means within 6 deviations of a mean, deviations within 6 of theirs.
    assert abs(values.mean() - expected.mean()) <= 6.0 * (2.0 / values.size) ** 0.5 * (expected.std() + 1e-7)
    assert abs(values.std() - expected.std()) <= 6.0 * values.size**-0.5 * expected.std()


def test_a_seed_gives_the_same_array_each_time() -> None:
    seeded, free = initializers.RandomNormal(seed=5), initializers.RandomNormal()
    assert np.array_equal(seeded((4, 3)), seeded((4, 3)))
    assert not np.array_equal(free((4, 3)), free((4, 3)))
    with pytest.raises(UnsupportedError, match="RandomNormal: dtype must be float32"):
        free((4, 3), dtype="float16")


@pytest.mark.parametrize("name", sorted(cls.__name__ for cls in losses.CLASSES.values()))
def test_losses_from_their_configurations(name: str) -> None:
    ours, theirs = getattr(losses, name)(name="own"), getattr(keras.losses, name)(name="own")
    assert type(ours).from_config(ours.get_config()) == ours
    config = theirs.get_config()
    config.pop("dtype", None)
    assert type(ours).from_config(config) == ours
    assert type(theirs).from_config(ours.get_config()).get_config() == theirs.get_config()


def test_metrics_and_schedules_from_their_configurations() -> None:
    for metric in (metrics.AUC(curve="PR"), metrics.Precision(thresholds=[0.2, 0.5], name="p"), metrics.F1Score()):
        assert type(metric).from_config(metric.get_config()).get_config() == metric.get_config()
    for schedule in (schedules.CosineDecay(0.1, 20), schedules.PiecewiseConstantDecay([3, 5], [1.0, 0.5, 0.1])):
        assert type(schedule).from_config(schedule.get_config()) == schedule


def test_a_layer_without_a_name_goes_through_its_configuration() -> None:
    """It gets a name of its own in each model, as the one that it was made from."""
    layer = layers.Dense(3, activation="relu")
    again = layers.Dense.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    model = models.Sequential([layers.Input((2,)), *(layers.Dense.from_config(layer.get_config()) for _ in range(2))])
    assert [item.name for item in model.layers] == ["dense", "dense_1"]
    named = layers.Dense(3, name="head")
    assert layers.Dense.from_config(named.get_config()).name == "head"


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", None])
def test_one_weight_for_all_samples(rng: np.random.Generator, reduction: Any) -> None:
    y, predicted = rng.random((4, 3, 2)).astype(np.float32), rng.random((4, 3, 2)).astype(np.float32)
    for name in ("MeanSquaredError", "Huber", "Dice"):
        ours, theirs = (getattr(kit, name)(reduction=reduction) for kit in (losses, keras.losses))
        np.testing.assert_allclose(
            ours(y, predicted, sample_weight=2.5), np.asarray(theirs(y, predicted, sample_weight=2.5)), rtol=1e-6
        )


@pytest.mark.parametrize("weights", [2.5, [[1.0, 0.0]], [[1.0], [0.5]], [1.0, 3.0], [[1.0, 2.0], [3.0, 4.0]], [[2.0]]])
def test_weights_of_metrics_are_broadcast(weights: Any) -> None:
    for kit in (metrics, keras.metrics):
        assert float(kit.Mean()([[1.0, 3.0], [5.0, 7.0]], weights)) == pytest.approx(
            float(keras.metrics.Mean()([[1.0, 3.0], [5.0, 7.0]], weights)), rel=1e-6
        )
    with pytest.raises(ShapeError, match=r"sample weights of shape \(3,\) do not fit 2 samples"):
        metrics.Mean()([[1.0, 3.0], [5.0, 7.0]], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_class_numbers_along_another_axis(rng: np.random.Generator, axis: int) -> None:
    predicted = rng.uniform(0.1, 0.9, (2, 3, 3, 3)).astype(np.float32)
    labels = rng.integers(0, 3, (2, 3, 3))
    for shape in (labels, np.expand_dims(labels, axis)):
        ours = losses.SparseCategoricalCrossentropy(axis=axis)(shape, predicted)
        theirs = keras.losses.SparseCategoricalCrossentropy(axis=axis)(shape, predicted)
        assert ours == pytest.approx(float(theirs), rel=1e-6)

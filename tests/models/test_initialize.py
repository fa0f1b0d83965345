"""New weights follow Keras' distributions: bounds exactly, moments within what chance allows."""

import math

import keras
import numpy as np
import pytest
from keras.src.initializers.random_initializers import compute_fans as keras_fans

import depthwise
from depthwise import initializers
from depthwise.errors import InvalidArgumentError
from depthwise.layers import Dense
from depthwise.layers import descriptions as layers
from depthwise.network import initialize
from depthwise.network.graph import sequential

SHAPES = [(), (7,), (12, 5), (3, 3, 4, 8), (5, 3, 16, 2), (1, 1, 32, 64)]
NAMES = sorted(set(initializers.CLASSES) - {"Identity", "Orthogonal"})


@pytest.mark.parametrize("shape", SHAPES)
def test_fans_are_those_of_keras(shape: tuple[int, ...]) -> None:
    assert initialize.compute_fans(shape) == keras_fans(shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 3, 64, 128), (400, 300)])
def test_moments_and_bounds_are_those_of_keras(name: str, shape: tuple[int, ...]) -> None:
    description = initializers.CLASSES[name]()
    ours = initialize.draw(description, shape, np.random.default_rng(1)).astype(np.float64)
    theirs = np.asarray(
        getattr(keras.initializers, name)(**({"seed": 1} if hasattr(description, "seed") else {}))(shape)
    )
    count = math.prod(shape)
    deviation = theirs.std()
    # A mean of n values is within 5 standard deviations of the mean of other n values, a deviation within 5/√(2n) and some.
    assert abs(ours.mean() - theirs.mean()) <= 7 * deviation / math.sqrt(count)
    assert ours.std() == pytest.approx(deviation, rel=0.02, abs=1e-12)
    assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.25 if name == "RandomNormal" else 0.02)


@pytest.mark.parametrize(
    ("description", "limit"),
    [
        (initializers.GlorotUniform(), math.sqrt(6 / (9 * 4 + 9 * 8))),
        (initializers.HeUniform(), math.sqrt(6 / (9 * 4))),
        (initializers.LecunUniform(), math.sqrt(3 / (9 * 4))),
        (initializers.GlorotNormal(), 2 * math.sqrt(2 / (9 * 4 + 9 * 8)) / 0.87962566103423978),
        (initializers.HeNormal(), 2 * math.sqrt(2 / (9 * 4)) / 0.87962566103423978),
        (initializers.LecunNormal(), 2 * math.sqrt(1 / (9 * 4)) / 0.87962566103423978),
        (initializers.TruncatedNormal(0.0, 0.5), 1.0),
        (initializers.RandomUniform(-0.5, 0.5), 0.5),
    ],
)
def test_no_value_is_beyond_keras_bound_and_some_are_near_it(
    description: initializers.Initializer, limit: float
) -> None:
    generator = np.random.default_rng(3)
    values = np.concatenate([initialize.draw(description, (3, 3, 4, 8), generator).ravel() for _ in range(200)])
    assert np.abs(values).max() <= np.float32(limit)
    assert np.abs(values).max() >= 0.98 * limit


def test_variance_scaling_reads_mode_and_distribution() -> None:
    generator = np.random.default_rng(4)
    for mode, fan in (("fan_in", 200), ("fan_out", 800), ("fan_avg", 500)):
        for distribution in ("truncated_normal", "untruncated_normal", "uniform", "normal"):
            description = initializers.VarianceScaling(3.0, mode, distribution)
            values = initialize.draw(description, (200, 800), generator)
            assert values.std() == pytest.approx(math.sqrt(3 / fan), rel=0.02), (mode, distribution)


@pytest.mark.parametrize("shape", [(6, 6), (3, 3, 2, 5), (1, 1, 3, 9), (4, 10)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    matrix = initialize.draw(initializers.Orthogonal(2.0), shape, np.random.default_rng(5)).reshape(-1, shape[-1])
    product = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(product, 4 * np.eye(min(matrix.shape)), atol=1e-5)


def test_identity_and_constants() -> None:
    generator = np.random.default_rng(6)
    assert np.array_equal(initialize.draw(initializers.Identity(2.0), (2, 3), generator), [[2, 0, 0], [0, 2, 0]])
    assert np.array_equal(initialize.draw(initializers.Constant(1.5), (2,), generator), [1.5, 1.5])
    with pytest.raises(InvalidArgumentError, match="Identity draws weights of rank 2 only, got the shape"):
        initialize.draw(initializers.Identity(), (3, 3, 1, 1), generator)
    with pytest.raises(InvalidArgumentError, match="Orthogonal draws weights of rank 2 or more"):
        initialize.draw(initializers.Orthogonal(), (3,), generator)


def test_each_weight_has_its_own_initialiser_and_stream() -> None:
    first = layers.Conv2D(4, 3, bias_initializer="ones", input_shape=(8, 8, 3))
    separable = layers.SeparableConv2D(
        4, 3, depthwise_initializer=initializers.Constant(2.0), pointwise_initializer=initializers.Constant(3.0)
    )
    depthwise_layer = layers.DepthwiseConv2D(3, depthwise_initializer=initializers.Constant(4.0))
    norm = layers.BatchNormalization(beta_initializer=initializers.Constant(5.0))
    graph = sequential([first, separable, depthwise_layer, norm])
    weights = initialize.draw_weights(graph, 1)
    assert list(weights) == [f"{node.name}/{weight.name}" for node in graph.calls for weight in node.weights]
    expected = {
        "conv2d/bias": 1,
        "separable_conv2d/depthwise_kernel": 2,
        "separable_conv2d/pointwise_kernel": 3,
        "separable_conv2d/bias": 0,
        "depthwise_conv2d/kernel": 4,
        "depthwise_conv2d/bias": 0,
        "batch_normalization/gamma": 1,
        "batch_normalization/beta": 5,
        "batch_normalization/moving_mean": 0,
        "batch_normalization/moving_variance": 1,
    }
    for name, value in expected.items():
        assert np.all(weights[name] == value), name
    longer = initialize.draw_weights(sequential([first, separable, depthwise_layer, norm, layers.Flatten()]), 1)
    assert all(np.array_equal(weights[name], longer[name]) for name in weights)
    other = initialize.draw_weights(graph, 2)
    assert not np.array_equal(weights["conv2d/kernel"], other["conv2d/kernel"])


def test_an_initialiser_s_own_seed_decides() -> None:
    kernel = initializers.GlorotUniform(seed=7)
    for shape in ((3, 4), (3, 3, 2, 2)):
        first = initialize.draw(kernel, shape, np.random.default_rng(0))
        assert np.array_equal(first, initialize.draw(kernel, shape, np.random.default_rng(1)))


def test_set_random_seed_makes_models_repeatable() -> None:
    def weights() -> list[np.ndarray]:
        model = depthwise.Sequential([Dense(4, input_shape=(3,)), Dense(5)])
        weights: list[np.ndarray] = model.get_weights()
        return weights

    depthwise.utils.set_random_seed(11)
    first, second = weights(), weights()
    numbers = np.random.rand(3)
    depthwise.utils.set_random_seed(11)
    again = weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first[0], second[0])
    weights()
    assert np.array_equal(numbers, np.random.rand(3))
    depthwise.utils.set_random_seed(12)
    assert not np.array_equal(first[0], weights()[0])


@pytest.mark.parametrize("seed", [-1, 2**32, True, 1.5, "1"])
def test_a_bad_seed_is_refused(seed: object) -> None:
    with pytest.raises(InvalidArgumentError, match="seed must be an integer from 0 to 4294967295"):
        depthwise.utils.set_random_seed(seed)


@pytest.mark.parametrize(
    "description",
    [
        initializers.GlorotUniform(),
        initializers.HeNormal(),
        initializers.RandomNormal(),
        initializers.RandomUniform(),
        initializers.TruncatedNormal(stddev=2.0),
        initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal"),
    ],
)
def test_a_weight_drawn_in_parts_is_the_one_drawn_at_once(
    description: initializers.Initializer, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = initialize.draw(description, (31, 7, 3), np.random.default_rng(1))
    for part in (1, 10, 217, 650, 651):
        monkeypatch.setattr(initialize, "PART", part)
        assert np.array_equal(initialize.draw(description, (31, 7, 3), np.random.default_rng(1)), at_once)


def test_a_layer_may_have_any_name() -> None:
    """Python's own names of files hold half surrogates where bytes are not UTF-8."""
    model = depthwise.models.Sequential([Dense(3, input_shape=(2,), name="\udcff")])
    assert np.abs(model.get_weights()[0]).max() > 0

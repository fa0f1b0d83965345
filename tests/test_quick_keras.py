"""What draws Keras' initial weights in the tests draws them from Keras' distributions."""

import jax
import keras
import numpy as np
import pytest

from support import quick_keras


@pytest.mark.parametrize("name", quick_keras._DRAWS)
def test_distributions_are_those_of_jax(name: str) -> None:
    """Equal quantiles, up to 6 standard deviations of the fraction below each."""
    draw = getattr(keras.random, name)
    limits = {"minval": -3.0, "maxval": 2.0} if name == "uniform" else {"mean": 1.0, "stddev": 2.0}
    shape = (20_000,)
    ours = np.asarray(draw(shape, seed=3, **limits))
    theirs = np.asarray(jax.jit(lambda seed: draw(shape, seed=seed, **limits))(jax.random.PRNGKey(3)))
    assert not np.array_equal(ours, theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    for fraction in (0.02, 0.2, 0.5, 0.8, 0.98):
        below = (ours <= np.quantile(theirs, fraction)).mean()
        assert abs(below - fraction) <= 6.0 * np.sqrt(2 * fraction * (1 - fraction) / ours.size)
    assert ours.min() >= theirs.min() - 1.0
    assert ours.max() <= theirs.max() + 1.0


def test_draws_follow_seeds() -> None:
    one, again, other = (np.asarray(keras.random.uniform((4,), seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    generator = keras.random.SeedGenerator(1)
    first, second = (np.asarray(keras.random.normal((4,), seed=generator)) for _ in range(2))
    assert not np.array_equal(first, second)
    assert keras.random.normal((4,), dtype="bfloat16").dtype == "bfloat16"

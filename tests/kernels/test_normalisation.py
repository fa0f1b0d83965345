"""Batch statistics: collected by chunks, joined without cancellation, and the sums that their gradient needs."""

import numpy as np
import pytest

from depthwise.compiler.kernels.normalisation import CollectMoments, CollectSums, FinishMoments, FinishSums
from depthwise.reference.bounds import UNIT_ROUNDOFF as U
from support.compiled import compile_kernels, empty, fenced
from support.gates import error_gate
from support.maps import LANES, VECTORS, MapMemory, random_view, vector
from support.sizes import sizes_around

MOMENTUM, EPSILON = 0.9, 1e-3
CHUNKS, SAMPLES = 3, 4  # samples of a chunk; the last chunk has one


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("channels", sizes_around(LANES))
def test_moments_of_a_batch(channels: int, offset: float) -> None:
    """Far from zero too: the squares of the deviations are added, never those of the values."""
    rng = np.random.default_rng(channels)
    view = random_view(rng, 3, 4, channels)
    padded = VECTORS.round_up(channels)
    pitch = 3 * padded + 5
    collect = CollectMoments(view)
    finish = FinishMoments(channels, pitch, True, True, MOMENTUM, EPSILON)
    kernels = compile_kernels([collect, finish])
    x = (rng.standard_normal(((CHUNKS - 1) * SAMPLES + 1, 3, 4, channels)) + offset).astype(np.float32)
    state = empty((CHUNKS - 1) * pitch + 3 * padded)
    for chunk in range(CHUNKS):
        start = state[chunk * pitch : chunk * pitch + 3 * padded]
        start[:] = 0.0
        for sample in x[chunk * SAMPLES : (chunk + 1) * SAMPLES]:
            kernels[0](MapMemory(view, sample).memory, start)
    gamma, beta = (vector(rng.standard_normal(channels), channels) for _ in range(2))
    mean, variance = (vector(0.5 + rng.random(channels), channels) for _ in range(2))
    before = mean.copy(), variance.copy()
    out = empty(4 * padded)
    kernels[1](state, CHUNKS, gamma, beta, mean, variance, out)
    wide = x.astype(np.float64).reshape(-1, channels)
    expected_mean, expected_variance = wide.mean(axis=0), wide.var(axis=0)
    found = out.reshape(4, padded)[:, :channels]
    # Rows, columns, then samples and chunks one by one: 3 + 4 + 4 + 3 additions, and what each of them does to the mean.
    depth = 3 + 4 + SAMPLES + CHUNKS + 6
    mean_error = depth * U * np.abs(wide).mean(axis=0)
    error_gate(found[0], expected_mean, mean_error, "mean")
    distance_error = mean_error + U * np.abs(wide - expected_mean).max(axis=0)
    spread = np.sqrt(expected_variance)
    variance_error = 2.0 * spread * distance_error + distance_error**2 + (depth + 4) * U * expected_variance
    inverse = 1.0 / np.sqrt(expected_variance + EPSILON)
    inverse_error = inverse * (variance_error * inverse**2 / 2.0 + 4.0 * U)
    error_gate(found[1], inverse, inverse_error, "1 / deviation")
    error_gate(found[2], inverse * gamma, (inverse_error + 2.0 * U * inverse) * np.abs(gamma), "gamma / deviation")
    error_gate(found[3], beta, 0.0, "beta")
    moved = before[0] * MOMENTUM + expected_mean * (1.0 - MOMENTUM)
    error_gate(
        mean,
        moved,
        mean_error * (1.0 - MOMENTUM) + 4.0 * U * (np.abs(before[0]) + np.abs(expected_mean)),
        "moving mean",
    )
    moved = before[1] * MOMENTUM + expected_variance * (1.0 - MOMENTUM)
    error_gate(variance, moved, variance_error * (1.0 - MOMENTUM) + 4.0 * U * moved, "moving variance")


@pytest.mark.parametrize("has_gamma", [False, True])
@pytest.mark.parametrize("channels", sizes_around(LANES))
def test_sums_for_the_gradient(channels: int, has_gamma: bool) -> None:
    rng = np.random.default_rng(channels)
    source, gradient = (random_view(rng, 2, 5, channels) for _ in range(2))
    padded = VECTORS.round_up(channels)
    pitch = 2 * padded + 3
    batch = (CHUNKS - 1) * SAMPLES + 1
    kernels = compile_kernels([CollectSums(source, gradient), FinishSums(channels, 10, pitch, has_gamma, True)])
    x = rng.standard_normal((batch, 2, 5, channels)).astype(np.float32)
    dy = rng.standard_normal(x.shape).astype(np.float32)
    mean, inverse = rng.standard_normal(channels).astype(np.float32), (0.5 + rng.random(channels)).astype(np.float32)
    statistics = empty(2 * padded)
    statistics[:channels], statistics[padded : padded + channels] = mean, inverse
    state = empty((CHUNKS - 1) * pitch + 2 * padded)
    for chunk in range(CHUNKS):
        start = state[chunk * pitch : chunk * pitch + 2 * padded]
        start[:] = 0.0
        for i in range(chunk * SAMPLES, min(batch, (chunk + 1) * SAMPLES)):
            kernels[0](MapMemory(source, x[i]).memory, MapMemory(gradient, dy[i]).memory, statistics, start)
    beta, gamma = empty(channels), empty(channels)
    out = empty(2 * padded)
    kernels[1](state, CHUNKS, batch, beta, gamma, out)
    wide, slope = x.astype(np.float64).reshape(-1, channels), dy.astype(np.float64).reshape(-1, channels)
    normalised = (wide - mean) * inverse
    sums = [slope.sum(axis=0), (slope * normalised).sum(axis=0)]
    depth = 2 + 5 + SAMPLES + CHUNKS + 6
    sizes = [np.abs(slope).sum(axis=0), (np.abs(slope) * (np.abs(wide) + np.abs(mean)) * inverse).sum(axis=0)]
    for i, (total, size) in enumerate(zip(sums, sizes)):
        written = (beta, gamma)[i]
        if i == 0 or has_gamma:
            error_gate(written, total, depth * U * size)
        else:
            assert np.isnan(written).all()
        share = out[i * padded : i * padded + channels]
        error_gate(share, total / (batch * 10), (depth + 1) * U * size / (batch * 10))


def test_nothing_past_the_weights_is_read_or_written() -> None:
    """Gamma, beta and the moving statistics are weights of exactly so many numbers."""
    channels = LANES + 1
    padded = VECTORS.round_up(channels)
    kernels = compile_kernels([FinishMoments(channels, 3 * padded, False, False, MOMENTUM, EPSILON)])
    state = fenced(np.ones(3 * padded, np.float32))
    unused = empty(0)
    mean, variance = (vector(np.ones(channels), channels) for _ in range(2))
    kernels[0](state, 1, unused, unused, mean, variance, empty(4 * padded))
    assert np.isfinite(mean).all()
    assert np.isfinite(variance).all()

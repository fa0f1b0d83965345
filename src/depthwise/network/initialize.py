"""Draws new weights from the distributions that `depthwise.initializers` describes.

Each weight has a random stream of its own, made of the model's seed and the weight's name: adding a layer leaves the
weights of the others as they were, and no draw depends on threads or on the order of layers.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from depthwise.errors import InvalidArgumentError
from depthwise.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)
from depthwise.network.facts import Weight
from depthwise.random import stream

__all__ = ["compute_fans", "draw", "draw_layer", "draw_weights", "initializer_of"]

if TYPE_CHECKING:
    from depthwise.layers.description import Description
    from depthwise.network.graph import Graph

Float32 = NDArray[np.float32]

PART = 2**20
"""Numbers that are drawn at a time."""

TRUNCATED_STANDARD_DEVIATION = 0.87962566103423978
"""Standard deviation of a standard normal cut at ±2: what is drawn is divided by it, so that the result has the one asked."""

_SCALING: dict[type[Initializer], tuple[float, str, str]] = {
    GlorotUniform: (1.0, "fan_avg", "uniform"),
    GlorotNormal: (1.0, "fan_avg", "truncated_normal"),
    HeUniform: (2.0, "fan_in", "uniform"),
    HeNormal: (2.0, "fan_in", "truncated_normal"),
    LecunUniform: (1.0, "fan_in", "uniform"),
    LecunNormal: (1.0, "fan_in", "truncated_normal"),
}

_KERNEL_INITIALIZERS = {
    "depthwise_kernel": "depthwise_initializer",
    "pointwise_kernel": "pointwise_initializer",
}


def compute_fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan in, fan out) as Keras counts them: the last two axes, each times the cells of the window.

    So a depthwise kernel (3, 3, 32, 1) has a fan in of 288, although each output reads 9 values: that is what Keras does.

    >>> compute_fans((3, 3, 1, 32))
    (9, 288)
    """
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    cells = math.prod(shape[:-2])
    return shape[-2] * cells, shape[-1] * cells


def _filled(shape: Sequence[int], make: Callable[[int], NDArray[np.float64]]) -> Float32:
    """An array of what `make(count)` draws, rounded part by part: all of a large weight in float64 would need twice its memory
    more. The numbers are those of one large draw."""
    array = np.empty(shape, np.float32)
    flat = array.reshape(-1)
    for first in range(0, flat.size, PART):
        flat[first : first + PART] = make(min(PART, flat.size - first))
    return array


def _truncated_normal(shape: Sequence[int], generator: np.random.Generator, mean: float, deviation: float) -> Float32:
    outside: list[NDArray[np.intp]] = []
    place = 0

    def first_draw(count: int) -> NDArray[np.float64]:
        nonlocal place
        values = generator.standard_normal(count)
        outside.append(place + np.flatnonzero(np.abs(values) > 2.0))
        place += count
        return values * deviation + mean

    array = _filled(shape, first_draw)
    flat, places = array.reshape(-1), np.concatenate([np.zeros(0, np.intp), *outside])
    while places.size:
        values = generator.standard_normal(places.size)
        flat[places] = values * deviation + mean
        places = places[np.abs(values) > 2.0]
    return array


def _scaled(
    scale: float, mode: str, distribution: str, shape: Sequence[int], generator: np.random.Generator
) -> Float32:
    fan_in, fan_out = compute_fans(shape)
    divisor = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[mode]
    variance = scale / max(1.0, divisor)
    if distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return _filled(shape, lambda count: generator.uniform(-limit, limit, count))
    if distribution == "untruncated_normal":
        return _filled(shape, lambda count: generator.standard_normal(count) * math.sqrt(variance))
    return _truncated_normal(shape, generator, 0.0, math.sqrt(variance) / TRUNCATED_STANDARD_DEVIATION)


def _orthogonal(gain: float, shape: Sequence[int], generator: np.random.Generator) -> NDArray[np.float64]:
    if len(shape) < 2:
        raise InvalidArgumentError(f"Orthogonal draws weights of rank 2 or more, got the shape {tuple(shape)}")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))
    return np.asarray(gain * (q.T if rows < columns else q), dtype=np.float64)


def draw(initializer: Initializer, shape: Sequence[int], generator: np.random.Generator) -> Float32:
    """A new float32 array of `shape`.

    Args:
        initializer: the description; where it has a seed of its own, that decides and `generator` is not used.
        shape: of the weight, as Keras lays it out.
        generator: see `depthwise.random.stream`.

    Raises:
        InvalidArgumentError: `Identity` or `Orthogonal` for a rank they are not defined for.

    >>> draw(Zeros(), (3,), np.random.default_rng(0))
    array([0., 0., 0.], dtype=float32)
    """
    seed = getattr(initializer, "seed", None)
    if seed is not None:
        generator = np.random.Generator(np.random.Philox(seed=seed))
    match initializer:
        case Zeros():
            return np.zeros(shape, np.float32)
        case Ones():
            return np.ones(shape, np.float32)
        case Constant(value=value):
            return np.full(shape, value, np.float32)
        case Identity(gain=gain):
            if len(shape) != 2:
                raise InvalidArgumentError(f"Identity draws weights of rank 2 only, got the shape {tuple(shape)}")
            return (gain * np.eye(shape[0], shape[1])).astype(np.float32)
        case RandomNormal(mean=mean, stddev=deviation):
            return _filled(shape, lambda count: generator.standard_normal(count) * deviation + mean)
        case RandomUniform(minval=low, maxval=high):
            return _filled(shape, lambda count: generator.uniform(low, high, count))
        case TruncatedNormal(mean=mean, stddev=deviation):
            return _truncated_normal(shape, generator, mean, deviation)
        case Orthogonal(gain=gain):
            return np.ascontiguousarray(_orthogonal(gain, shape, generator).reshape(shape), dtype=np.float32)
        case VarianceScaling(scale=scale, mode=mode, distribution=distribution):
            name = "truncated_normal" if distribution == "normal" else distribution
            return _scaled(scale, mode, name, shape, generator)
        case _:
            return _scaled(*_SCALING[type(initializer)], shape, generator)


def initializer_of(layer: "Description", weight: str) -> Initializer:
    """The description that the layer has for its weight: `kernel` → `kernel_initializer` (depthwise: `depthwise_initializer`);
    that of several alike, `constant_0`, … has no number."""
    weight = weight.rstrip("_0123456789")
    field = _KERNEL_INITIALIZERS.get(weight, f"{weight}_initializer")
    if not hasattr(layer, field):
        field = "depthwise_initializer"
    initializer: Initializer = getattr(layer, field)
    return initializer


def draw_layer(layer: "Description", weights: Sequence[Weight], seed: int, path: str) -> dict[str, Float32]:
    """The weights of one layer by name; each has a stream of its own, which `seed`, `path` and its name tell apart."""
    return {
        weight.name: draw(initializer_of(layer, weight.name), weight.shape, stream(seed, f"{path}/{weight.name}"))
        for weight in weights
    }


def draw_weights(graph: "Graph", seed: int) -> dict[str, Float32]:
    """Every weight of the graph, `{"conv2d/kernel": array, …}`, in the graph's order."""
    weights = {}
    for path, call in graph.layers.items():
        drawn = draw_layer(call.layer, call.weights, seed, "/".join(path))
        weights.update({call.key(name): array for name, array in drawn.items()})
    return weights

"""The depthwise convolution and its weight gradient by themselves, against NumPy."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depthwise.compiler.kernels.depthwise import DepthwiseConvolution, DepthwiseWeightGradient
from depthwise.reference.activations import activation
from support.compiled import compile_kernels, empty
from support.gates import exact_gate, hard_gate
from support.maps import LANES, VECTORS, MapMemory, random_view, vector
from support.sizes import sizes_around

KERNELS_A_MODULE = 40
ACTIVATIONS = ("linear", "linear", "relu", "selu")


def _sweep(quick: int, slow: int) -> list[object]:
    return [*range(quick), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(quick, slow))]


def _draw(rng: np.random.Generator, exact: bool, *shape: int) -> npt.NDArray[np.float32]:
    values = rng.integers(-3, 4, shape) if exact else rng.standard_normal(shape)
    return values.astype(np.float32)


def _window(rng: np.random.Generator) -> dict[str, Any]:
    size = (int(rng.choice([1, 2, 3, 3, 5, 7])), int(rng.choice([1, 2, 3, 3, 5, 7])))
    pick = [(1, 1), (1, 1), (2, 2), (1, 3)]
    return {
        "kernel_size": size,
        "strides": pick[int(rng.integers(4))],
        "dilation": pick[int(rng.integers(3))],
    }


def _sizes(rng: np.random.Generator, tile: tuple[int, int]) -> tuple[int, int, int]:
    rows, columns = (int(rng.choice(sizes_around(size))) for size in tile)
    return rows, columns, int(rng.choice([*sizes_around(LANES), 2 * LANES]))


def _spanned(window: dict[str, Any], rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns that the windows of an output of this size read."""
    spans = [
        (size - 1) * stride + (kernel - 1) * dilation + 1
        for size, stride, kernel, dilation in zip(
            (rows, columns), window["strides"], window["kernel_size"], window["dilation"]
        )
    ]
    return spans[0], spans[1]


def _cells(
    window: dict[str, Any], x: npt.NDArray[np.float32], rows: int, columns: int
) -> list[npt.NDArray[np.float64]]:
    """For each cell of the kernel what every output reads through it."""
    found = []
    for i in range(window["kernel_size"][0]):
        for j in range(window["kernel_size"][1]):
            top, left = i * window["dilation"][0], j * window["dilation"][1]
            down, right = window["strides"]
            found.append(
                x[top : top + (rows - 1) * down + 1 : down, left : left + (columns - 1) * right + 1 : right].astype(
                    np.float64
                )
            )
    return found


@pytest.mark.parametrize("seed", _sweep(4, 20))
def test_random_convolutions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernels = []
    for _ in range(KERNELS_A_MODULE):
        window, tile = _window(rng), (int(rng.integers(1, 5)), int(rng.integers(1, 9)))
        rows, columns, channels = _sizes(rng, tile)
        kernels.append(
            DepthwiseConvolution(
                source=random_view(rng, *_spanned(window, rows, columns), channels),
                target=random_view(rng, rows, columns, channels),
                bias=bool(rng.random() < 0.7),
                activation=str(rng.choice(ACTIVATIONS)),
                tile=tile,
                **window,
            )
        )
    compiled = compile_kernels(kernels)
    for i, kernel in enumerate(kernels):
        for exact in (True, False):
            _check_convolution(kernel, compiled[i], rng, exact)


def _check_convolution(kernel: DepthwiseConvolution, run: Any, rng: np.random.Generator, exact: bool) -> None:
    view = kernel.target
    window = {name: getattr(kernel, name) for name in ("kernel_size", "strides", "dilation")}
    source = MapMemory(kernel.source, _draw(rng, exact, kernel.source.rows, kernel.source.columns, view.channels))
    target = MapMemory(view)
    count = kernel.kernel_size[0] * kernel.kernel_size[1]
    weights = _draw(rng, exact, count, view.channels)
    packed = empty(count * VECTORS.round_up(view.channels)).reshape(count, -1)
    packed[:, : view.channels] = weights
    bias = vector(_draw(rng, exact, view.channels))
    run(source.memory, packed, bias, target.memory)
    start = bias[: view.channels].astype(np.float64) if kernel.bias else np.zeros(view.channels)
    cells = _cells(window, source.map, view.rows, view.columns)
    before = start + sum(cell * weight for cell, weight in zip(cells, weights.astype(np.float64)))
    expected = activation(kernel.activation, before)
    if exact and kernel.activation != "selu":
        exact_gate(target.map, expected, kernel.name)
    else:
        sizes = np.abs(start) + sum(np.abs(cell * weight) for cell, weight in zip(cells, weights.astype(np.float64)))
        hard_gate(target.map, expected, sizes, count, kernel.activation, kernel.name)
    target.assert_untouched_outside()


@pytest.mark.parametrize("seed", _sweep(2, 12))
def test_random_weight_gradients(seed: int) -> None:
    """Adds to what is there already; d is every output position."""
    rng = np.random.default_rng(1_000 + seed)
    kernels = []
    for _ in range(KERNELS_A_MODULE):
        window = _window(rng)
        rows, columns, channels = _sizes(rng, (2, 6))
        source = random_view(rng, *_spanned(window, rows, columns), channels)
        kernels.append(
            DepthwiseWeightGradient(source=source, gradient=random_view(rng, rows, columns, channels), **window)
        )
    compiled = compile_kernels(kernels)
    for i, kernel in enumerate(kernels):
        for exact in (True, False):
            view = kernel.gradient
            window = {name: getattr(kernel, name) for name in ("kernel_size", "strides", "dilation")}
            shape = (kernel.source.rows, kernel.source.columns, view.channels)
            source_map = MapMemory(kernel.source, _draw(rng, exact, *shape))
            gradient = MapMemory(view, _draw(rng, exact, view.rows, view.columns, view.channels))
            count = kernel.kernel_size[0] * kernel.kernel_size[1]
            out = empty(count * VECTORS.round_up(view.channels)).reshape(count, -1)
            start = _draw(rng, exact, count, view.channels)
            out[:, : view.channels] = start
            compiled[i](source_map.memory, gradient.memory, out)
            products = [
                cell * gradient.map.astype(np.float64)
                for cell in _cells(window, source_map.map, view.rows, view.columns)
            ]
            expected = start + np.array([item.sum(axis=(0, 1)) for item in products])
            if exact:
                exact_gate(out[:, : view.channels], expected, kernel.name)
            else:
                sizes = np.abs(start) + np.array([np.abs(item).sum(axis=(0, 1)) for item in products])
                hard_gate(out[:, : view.channels], expected, sizes, view.rows * view.columns + 1, what=kernel.name)

"""Kernels that go over maps value by value, window by window or channel by channel, by themselves, against NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depthwise.compiler.functions import slope_of, vector_jacobian
from depthwise.compiler.ir.expression import Apply, Expression, Operand, apply
from depthwise.compiler.ir.operations import AFFINE
from depthwise.compiler.kernels.elementwise import Copy, Dropout, Elementwise, Fill, StridedCopy
from depthwise.compiler.kernels.gradients import GlobalPoolingGradient, RepeatedSum, SoftmaxGradient
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.kernels.pooling import Pooling, PoolingGradient
from depthwise.compiler.kernels.reductions import (
    BroadcastReduction,
    ChannelReduction,
    DivideByCounts,
    RowNormalisation,
    SoftmaxRows,
)
from depthwise.reference.activations import activation, activation_gradient
from depthwise.reference.bounds import UNIT_ROUNDOFF as U
from depthwise.reference.bounds import softmax_error
from support.compiled import compile_kernels, empty, fenced
from support.gates import error_gate, exact_gate
from support.maps import LANES, VECTORS, MapMemory, random_view, vector
from support.sizes import sizes_around

Floats = npt.NDArray[np.float32]
SIZES = [(rows, columns, channels) for rows, columns in ((1, 1), (1, 5), (3, 4)) for channels in sizes_around(LANES)]


def _draw(rng: np.random.Generator, *shape: int, exact: bool = False) -> Floats:
    values = rng.integers(-3, 4, shape) if exact else rng.standard_normal(shape)
    return values.astype(np.float32)


class Maps:
    """Several kernels in one module, each with its maps: `run(kernel, …)` is told again for the data."""

    def __init__(self, kernels: list[Any]) -> None:
        self.kernels = kernels
        self.compiled = compile_kernels(kernels)

    def __iter__(self) -> Any:
        return ((kernel, self.compiled[i]) for i, kernel in enumerate(self.kernels))


def _views(rng: np.random.Generator, count: int, size: tuple[int, int, int]) -> tuple[MapView, ...]:
    """Dense maps (one run of vectors), maps without gaps in a row, and maps with gaps everywhere."""
    rows, columns, channels = size
    width = VECTORS.round_up(channels)
    match int(rng.integers(3)):
        case 0:
            return (MapView(rows, columns, channels, columns * width, width),) * count
        case 1:
            return tuple(MapView(rows, columns, channels, columns * width + 3 * i, width) for i in range(count))
    return tuple(random_view(rng, *size) for _ in range(count))


X, Y, Z = Operand(0), Operand(1), Operand(2)
Reference = Callable[..., npt.NDArray[np.float64]]

EXPRESSIONS: dict[str, tuple[str, Expression, Reference, float]] = {
    # what its operands are (see `_operand`), the expression, the same in NumPy, roundings times the sum of the sizes
    "copy": ("m", X, lambda x: x, 0.0),
    "sum": ("mmm", X + Y + Z, lambda x, y, z: x + y + z, 2.0),
    "scale": ("m", X * -0.5 + 0.25, lambda x: x * -0.5 + 0.25, 2.0),
    "affine": ("mvv", AFFINE, lambda x, y, z: x * y + z, 2.0),
    "product with a number a pixel": ("mp", X * Y, lambda x, y: x * y, 1.0),
    "product with a number a channel, first": ("vm", X * Y, lambda x, y: x * y, 1.0),
    "row, column, number": ("rcs", X + Y - Z, lambda x, y, z: x + y - z, 2.0),
    "parametric relu": (
        "mv",
        apply("max", 0.0, X) + Y * apply("min", 0.0, X),
        lambda x, y: np.where(x > 0, x, x * y),
        2.0,
    ),
    "normalise": ("mvvv", apply("fma", X - Y, Z, Operand(3)), lambda x, y, z, w: (x - y) * z + w, 4.0),
    "normalise gradient": (
        "mmvvvvv",
        (Y - Operand(4) - (X - Z) * Operand(3) * Operand(5)) * Operand(6),
        lambda x, y, mean, inverse, first, second, scale: (y - first - (x - mean) * inverse * second) * scale,
        8.0,
    ),
}


def _operand(rng: np.random.Generator, kind: str, view: MapView) -> MapView:
    """An operand that is broadcast to the size of `view`: a map, a number a channel (v), a pixel (p), a column and channel (r),
    a row and channel (c), or one number (s)."""
    rows, columns, channels = _shape(view)
    size = {
        "m": (rows, columns, channels), "v": (1, 1, channels), "p": (rows, columns, 1), "r": (1, columns, channels),
        "c": (rows, 1, channels), "s": (1, 1, 1),
    }[kind]  # fmt: skip
    stored = random_view(rng, *size)
    pitches = (stored.row_pitch, stored.pixel_pitch, 1)
    return MapView(
        *_shape(view), *(pitch if part == whole else 0 for pitch, part, whole in zip(pitches, size, _shape(view)))
    )


def _stored(view: MapView) -> MapView:
    """What of a broadcast operand is in memory."""
    pitches = (view.row_pitch, view.pixel_pitch, view.channel_pitch)
    rows, columns, channels = (size if pitch else 1 for size, pitch in zip(_shape(view), pitches))
    return MapView(rows, columns, channels, view.row_pitch, view.pixel_pitch)


@pytest.mark.parametrize("case", EXPRESSIONS)
def test_expressions(case: str) -> None:
    kinds, expression, reference, roundings = EXPRESSIONS[case]
    rng = np.random.default_rng(len(case))
    kernels = []
    for size in SIZES:
        *operands, target = _views(rng, len(kinds) + 1, size)
        operands = [view if kind == "m" else _operand(rng, kind, view) for kind, view in zip(kinds, operands)]
        kernels.append(Elementwise(expression, tuple(operands), target))
    for kernel, run in Maps(kernels):
        for exact in (True, False):
            inputs = []
            for view in map(_stored, kernel.operands):
                inputs.append(MapMemory(view, _draw(rng, *_shape(view), exact=exact)))
            out = MapMemory(kernel.target)
            run(*(item.memory for item in inputs), out.memory)
            wide = [item.map.astype(np.float64) for item in inputs]
            expected = np.broadcast_to(reference(*wide), _shape(kernel.target))
            if exact and case != "scale":
                exact_gate(out.map, expected, kernel.name)
            else:
                largest = max(float(np.abs(item).max()) for item in (*wide, np.ones(1)))
                error_gate(out.map, expected, roundings * U * 8.0 * largest**4, kernel.name)
            out.assert_untouched_outside()


def test_sums_over_what_was_broadcast() -> None:
    rng = np.random.default_rng(3)
    kernels = []
    for size in SIZES:
        (source,) = _views(rng, 1, size)
        kernels += [BroadcastReduction(source, _operand(rng, kind, source)) for kind in "mvprcs"]
    for kernel, run in Maps(kernels):
        stored = _stored(kernel.target)
        for exact in (True, False):
            read = MapMemory(kernel.source, _draw(rng, *_shape(kernel.source), exact=exact))
            before = _draw(rng, *_shape(stored), exact=exact)
            out = MapMemory(stored, before)
            run(read.memory, out.memory)
            axes = tuple(
                i for i, (part, whole) in enumerate(zip(_shape(stored), _shape(kernel.source))) if part < whole
            )
            wide = read.map.astype(np.float64)
            expected = before + wide.sum(axes, keepdims=True)
            if exact:
                exact_gate(out.map, expected, kernel.name)
            else:
                count = wide.size // before.size
                sizes = np.abs(before) + np.abs(wide).sum(axes, keepdims=True)
                error_gate(out.map, expected, (count + 1) * U * sizes, kernel.name)


def test_rows_normalised_and_the_gradient() -> None:
    rng = np.random.default_rng(4)
    views = [_views(rng, 5, size) for size in SIZES]
    epsilon = 1e-3
    forward = Maps([RowNormalisation(x, None, y, epsilon) for x, y, *_ in views])
    backward = Maps([RowNormalisation(x, dy, dx, epsilon) for *_, x, dy, dx in views])
    for (kernel, run), (back, run_back) in zip(forward, backward):
        for source, gradient in ((kernel.source, None), (back.source, back.gradient)):
            x = MapMemory(source, _draw(rng, *_shape(source)))
            wide = x.map.astype(np.float64)
            mean, inverse = wide.mean(-1, keepdims=True), 1.0 / np.sqrt(wide.var(-1, keepdims=True) + epsilon)
            normalised = (wide - mean) * inverse
            # Of a difference: its terms' roundings; of 1 / deviation: those of a sum of n squares, its relative error.
            n = source.channels
            error = (n + 4) * U * (np.abs(wide) + np.abs(wide).mean(-1, keepdims=True)) * inverse
            relative = (2 * n + 8) * U + 2 * error.max(-1, keepdims=True) * np.abs(normalised).max(-1, keepdims=True)
            error = error + relative * np.abs(normalised)
            if gradient is None:
                out = MapMemory(kernel.target)
                run(x.memory, out.memory)
                error_gate(out.map, normalised, error, kernel.name)
            else:
                dy = MapMemory(gradient, _draw(rng, *_shape(gradient)))
                out = MapMemory(back.target)
                run_back(x.memory, dy.memory, out.memory)
                slope = dy.map.astype(np.float64)
                product = (slope * normalised).mean(-1, keepdims=True)
                expected = (slope - slope.mean(-1, keepdims=True) - normalised * product) * inverse
                sizes = np.abs(slope) + np.abs(slope).mean(-1, keepdims=True)
                spread = np.abs(slope * normalised).mean(-1, keepdims=True)
                sizes = sizes + np.abs(normalised) * spread
                parts = error * spread + np.abs(normalised) * (error * np.abs(slope)).mean(-1, keepdims=True)
                error_gate(out.map, expected, ((n + 8) * U + relative) * sizes * inverse + parts * inverse, back.name)
            out.assert_untouched_outside()


@pytest.mark.parametrize("name", ["relu", "selu", "sigmoid"])
def test_activations_and_their_slopes_on_maps(name: str) -> None:
    rng = np.random.default_rng(len(name))
    function = Apply(name, (X,))
    views = [_views(rng, 5, size) for size in SIZES]
    forward = Maps([Elementwise(function, (x,), y) for x, y, *_ in views])
    backward = Maps([Elementwise(slope_of(name), (kept, slope), out) for *_, kept, slope, out in views])
    for (kernel, run), (back, run_back) in zip(forward, backward):
        x = MapMemory(kernel.operands[0], _draw(rng, *_shape(kernel.operands[0])))
        y = MapMemory(kernel.target)
        run(x.memory, y.memory)
        expected = activation(name, x.map)
        error_gate(y.map, expected, 4.0 * U * np.abs(expected), kernel.name)
        kept = MapMemory(back.operands[0], y.map)
        slope = MapMemory(back.operands[1], _draw(rng, *_shape(back.operands[1])))
        out = MapMemory(back.target)
        run_back(kept.memory, slope.memory, out.memory)
        error_gate(out.map, activation_gradient(name, x.map, slope.map), 20.0 * U * np.abs(slope.map), back.name)
        for written in (y, out):
            written.assert_untouched_outside()


def _shape(view: MapView) -> tuple[int, int, int]:
    return view.rows, view.columns, view.channels


LIMITS = [(6.0, 0.0, 0.0), (float("inf"), 0.25, 0.0), (2.0, 0.5, 1.0), (float("inf"), 0.0, 0.5), (1.0, 0.0, 0.0)]


def _keras_relu(x: npt.NDArray[np.float64], limit: float, slope: float, threshold: float) -> npt.NDArray[np.float64]:
    above = x >= threshold if threshold == 0.0 else x > threshold
    return np.where(above, np.minimum(x, limit), slope * (x - threshold))


@pytest.mark.parametrize("limits", LIMITS)
def test_the_relu_layer(limits: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(5)
    view = MapView(2, 3, LANES + 1, 3 * 2 * LANES, 2 * LANES)
    expression = apply("relu_layer", X, *limits)
    forward = Elementwise(expression, (view,), view)
    backward = Elementwise(vector_jacobian(expression, Z, Y)[0], (view, view), view)
    kernels = compile_kernels([forward, backward])
    x = _draw(rng, *_shape(view)) * 3
    x[np.abs(x - limits[0]) < 1e-3] += 0.1
    x[0, 0, 0] = np.nan
    source, target = MapMemory(view, x), MapMemory(view)
    kernels[0](source.memory, target.memory)
    expected = _keras_relu(x.astype(np.float64), *limits)
    assert np.isnan(target.map[0, 0, 0])
    error_gate(target.map[1:], expected[1:], 2.0 * U * np.abs(x[1:]) + 2 * U, "relu layer")
    slopes = MapMemory(view, _draw(rng, *_shape(view)))
    out = MapMemory(view)
    kernels[1](source.memory, slopes.memory, out.memory)
    inside = (x > limits[2]) & (x < limits[0])
    slope = slopes.map * np.where(inside, 1.0, np.where(x > limits[2], 0.0, limits[1]))
    exact_gate(out.map[1:], slope[1:], "slope of the relu layer")


@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pooling_and_its_gradient(kind: str) -> None:
    rng = np.random.default_rng(11)
    kernels, gradients = [], []
    for pool, strides in (((2, 2), (2, 2)), ((3, 3), (1, 2)), ((1, 4), (2, 1)), ((2, 3), (3, 3)), ((1, 1), (1, 1))):
        for rows, columns, channels in ((1, 1, 1), (2, 3, LANES), (1, 4, LANES + 1), (3, 2, 2 * LANES - 1)):
            spans = [(size - 1) * step + cell for size, step, cell in zip((rows, columns), strides, pool)]
            read = random_view(rng, spans[0], spans[1], channels)
            written = random_view(rng, rows, columns, channels)
            kernels.append(Pooling(kind, read, written, pool, strides, str(rng.choice(["linear", "relu"]))))
            overlaps = any(step < cell for step, cell in zip(strides, pool))
            made = random_view(rng, spans[0], spans[1], channels)
            gradients.append(PoolingGradient(kind, read, written, made, pool, strides, adds=overlaps))
    for (kernel, run), (gradient, run_gradient) in zip(Maps(kernels), Maps(gradients)):
        for exact in (True, False):
            x = _draw(rng, *_shape(kernel.source), exact=exact)
            source, target = MapMemory(kernel.source, x), MapMemory(kernel.target)
            run(source.memory, target.memory)
            windows = _pool_windows(kernel, x.astype(np.float64))
            pooled = windows.max(axis=0) if kind == "max" else windows.mean(axis=0)
            expected = activation(kernel.activation, pooled)
            allowed = 0.0 if kind == "max" else (len(windows) + 2) * U * np.abs(windows).mean(axis=0)
            error_gate(target.map, expected, allowed, kernel.name)
            target.assert_untouched_outside()
            slope = MapMemory(gradient.gradient, _draw(rng, *_shape(gradient.gradient), exact=exact))
            out = MapMemory(gradient.target, 0.0)
            run_gradient(source.memory, slope.memory, out.memory)
            found = _pool_gradient(gradient, x.astype(np.float64), slope.map.astype(np.float64))
            sizes = _pool_gradient(gradient, x.astype(np.float64), np.abs(slope.map).astype(np.float64))
            exactly = kind == "max" and exact
            error_gate(out.map, found, 0.0 if exactly else (len(windows) + 2) * U * sizes, gradient.name)
            out.assert_untouched_outside()


def _places(kernel: Any) -> list[tuple[slice, slice]]:
    target = kernel.target if isinstance(kernel, Pooling) else kernel.gradient
    down, right = kernel.strides
    return [
        (slice(i, i + (target.rows - 1) * down + 1, down), slice(j, j + (target.columns - 1) * right + 1, right))
        for i in range(kernel.pool_size[0])
        for j in range(kernel.pool_size[1])
    ]


def _pool_windows(kernel: Any, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack([x[place] for place in _places(kernel)])


def _pool_gradient(kernel: Any, x: npt.NDArray[np.float64], slope: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The first cell that holds the maximum gets all; of a mean each cell its share."""
    windows = _pool_windows(kernel, x)
    found = np.zeros_like(x)
    first = windows.argmax(axis=0)
    for i, place in enumerate(_places(kernel)):
        found[place] += np.where(first == i, slope, 0.0) if kernel.kind == "max" else slope / len(windows)
    return found


@pytest.mark.parametrize("cells", [1, 2, 3, 4, 5, 9])
def test_a_missing_number_makes_a_maximum_missing(cells: int) -> None:
    """NaN in any cell of a window, and in any pixel of a map, is NaN in its maximum; a mean does so by itself."""
    rng = np.random.default_rng(cells)
    source = MapView(3, cells, LANES, cells * LANES, LANES)
    target = MapView(3, 1, LANES, LANES, LANES)
    kernels = compile_kernels(
        [Pooling("max", source, target, (1, cells), (1, cells)), ChannelReduction("maximum", (source,))]
    )
    x = _draw(rng, 3, cells, LANES)
    x[rng.random(x.shape) < 0.25] = np.nan
    x[:, :, 0] = -np.inf
    data, out, whole = MapMemory(source, x), MapMemory(target), empty(LANES)
    kernels[0](data.memory, out.memory)
    kernels[1](data.memory, whole)
    np.testing.assert_array_equal(out.map[:, 0], x.max(axis=1))
    np.testing.assert_array_equal(whole, x.max(axis=(0, 1)))


def test_means_that_leave_padding_out() -> None:
    rng = np.random.default_rng(2)
    kernels = Maps(
        [
            DivideByCounts(random_view(rng, 2, 3, channels), (1, 2), (2, 3, 1), name)
            for channels in sizes_around(LANES)
            for name in ("linear", "relu")
        ]
    )
    counts = np.array([[2, 3, 1], [4, 6, 2]])[:, :, None]
    for kernel, run in kernels:
        sums = _draw(rng, *_shape(kernel.view))
        target = MapMemory(kernel.view, sums)
        run(target.memory)
        expected = activation(kernel.activation, sums.astype(np.float64) / counts)
        error_gate(target.map, expected, U * np.abs(expected), kernel.name)


@pytest.mark.parametrize("kind", ["mean", "maximum", "add"])
def test_what_is_collected_over_a_map(kind: str) -> None:
    rng = np.random.default_rng(3)
    for kernel, run in Maps([ChannelReduction(kind, (random_view(rng, *size),)) for size in SIZES]):
        view = kernel.operands[0]
        for exact in (True, False):
            x = MapMemory(view, _draw(rng, *_shape(view), exact=exact))
            start = _draw(rng, view.channels, exact=exact)
            out = vector(start)
            run(x.memory, out)
            wide = x.map.astype(np.float64)
            expected = {
                "mean": wide.mean(axis=(0, 1)),
                "maximum": wide.max(axis=(0, 1)),
                "add": start + wide.sum(axis=(0, 1)),
            }[kind]
            sizes = np.abs(wide).sum(axis=(0, 1)) + np.abs(start)
            if kind == "mean":
                sizes = np.abs(wide).mean(axis=(0, 1))
            # Rows are added up one by one, then their sums.
            depth = 0 if kind == "maximum" or (exact and kind == "add") else view.rows + view.columns + 1
            error_gate(out[: view.channels], expected, depth * U * sizes, kernel.name)


def _three(rng: np.random.Generator, size: tuple[int, int, int]) -> tuple[MapView, MapView, MapView]:
    return random_view(rng, *size), random_view(rng, *size), random_view(rng, *size)


def test_softmax_and_its_gradient() -> None:
    rng = np.random.default_rng(4)
    sizes = [(1, 1, channels) for channels in (*sizes_around(LANES), 1000)] + [(2, 3, 5)]
    forward = Maps([SoftmaxRows(random_view(rng, *size), random_view(rng, *size)) for size in sizes])
    backward = Maps([SoftmaxGradient(*_three(rng, size)) for size in sizes])
    for (kernel, run), (back, run_back) in zip(forward, backward):
        for scale in (1.0, 30.0):
            x = MapMemory(kernel.source, _draw(rng, *_shape(kernel.source)) * np.float32(scale))
            y = MapMemory(kernel.target)
            run(x.memory, y.memory)
            wide = x.map.astype(np.float64)
            expected = activation("softmax", wide)
            channels = wide.shape[-1]
            # The difference to the maximum, the exponential (2 ulp), the sum by lanes, the quotient.
            spread = (wide.max(axis=-1, keepdims=True) - wide) * U
            allowed = expected * (2.0 * spread + (channels / LANES + LANES + 8.0) * U) + 2.0**-126
            error_gate(y.map, expected, allowed, kernel.name)
            y.assert_untouched_outside()
            output, slope = MapMemory(back.output, y.map), MapMemory(back.gradient, _draw(rng, *_shape(back.gradient)))
            out = MapMemory(back.target)
            run_back(output.memory, slope.memory, out.memory)
            p, dy = y.map.astype(np.float64), slope.map.astype(np.float64)
            size = (p * np.abs(dy)).sum(axis=-1, keepdims=True)
            found = p * (dy - (p * dy).sum(axis=-1, keepdims=True))
            depth = channels / LANES + LANES + 6.0
            error_gate(out.map, found, depth * U * p * (np.abs(dy) + size) + 2.0**-126, back.name)
            out.assert_untouched_outside()


def test_logarithm_of_softmax_and_its_gradient() -> None:
    rng = np.random.default_rng(5)
    sizes = [(1, 1, LANES - 1), (1, 1, 2 * LANES + 3), (2, 3, LANES)]
    forward = Maps([SoftmaxRows(random_view(rng, *size), random_view(rng, *size), logarithm=True) for size in sizes])
    backward = Maps([SoftmaxGradient(*_three(rng, size), logarithm=True) for size in sizes])
    for (kernel, run), (back, run_back) in zip(forward, backward):
        for scale in (1.0, 30.0):
            x = MapMemory(kernel.source, _draw(rng, *_shape(kernel.source)) * np.float32(scale))
            y = MapMemory(kernel.target)
            run(x.memory, y.memory)
            wide = x.map.astype(np.float64)
            expected = activation("log_softmax", wide)
            error_gate(y.map, expected, softmax_error(wide, expected, np.zeros_like(wide), True), kernel.name)
            y.assert_untouched_outside()
            output, slope = MapMemory(back.output, y.map), MapMemory(back.gradient, _draw(rng, *_shape(back.gradient)))
            out = MapMemory(back.target)
            run_back(output.memory, slope.memory, out.memory)
            share, dy = np.exp(y.map.astype(np.float64)), slope.map.astype(np.float64)
            size = np.abs(dy).sum(axis=-1, keepdims=True)
            found = dy - share * dy.sum(axis=-1, keepdims=True)
            depth = dy.shape[-1] / LANES + LANES + 6.0
            error_gate(out.map, found, U * (np.abs(dy) + depth * share * size) + 2.0**-126, back.name)
            out.assert_untouched_outside()


def test_softmax_of_what_is_not_finite() -> None:
    view = MapView(1, 1, 3, LANES, LANES)
    kernels = compile_kernels([SoftmaxRows(view, view, logarithm) for logarithm in (False, True)])
    rows = [([np.nan, 0.0, 1.0], [np.nan] * 3), ([-np.inf, 0.0, 0.0], [0.0, 0.5, 0.5]), ([np.inf, 0, 1], [np.nan] * 3)]
    for values, expected in rows:
        x, y = MapMemory(view, values), MapMemory(view)
        kernels[0](x.memory, y.memory)
        np.testing.assert_array_equal(y.map[0, 0], np.array(expected, np.float32))
        with np.errstate(divide="ignore"):
            logarithms = np.log(np.array(expected, np.float32))
        kernels[1](x.memory, y.memory)
        np.testing.assert_allclose(y.map[0, 0], logarithms, rtol=2e-7)


def test_gradients_of_global_pooling_and_of_repeated_channels() -> None:
    rng = np.random.default_rng(6)
    sizes = [(rows, columns, channels) for rows, columns in ((1, 1), (3, 4)) for channels in sizes_around(LANES)]
    for kind in ("max", "mean"):
        kernels = Maps([GlobalPoolingGradient(kind, random_view(rng, *s), random_view(rng, *s)) for s in sizes])
        for kernel, run in kernels:
            x = MapMemory(kernel.source, _draw(rng, *_shape(kernel.source), exact=True))
            slope = vector(_draw(rng, kernel.source.channels))
            out = MapMemory(kernel.target)
            run(x.memory, slope, out.memory)
            pixels = kernel.source.rows * kernel.source.columns
            used = slope[: kernel.source.channels].astype(np.float64)
            if kind == "mean":
                expected = np.broadcast_to(used / pixels, out.map.shape)
                error_gate(out.map, expected, U * np.abs(expected), kernel.name)
            else:
                flat = x.map.reshape(pixels, -1)
                expected = np.where(np.arange(pixels)[:, None] == flat.argmax(axis=0), used, 0.0)
                exact_gate(out.map.reshape(pixels, -1), expected, kernel.name)
            out.assert_untouched_outside()
    for times in (2, 3):
        repeated = Maps(
            [
                RepeatedSum(random_view(rng, 2, 3, channels * times), random_view(rng, 2, 3, channels), times)
                for channels in sizes_around(LANES)
            ]
        )
        for kernel, run in repeated:
            x = MapMemory(kernel.source, _draw(rng, *_shape(kernel.source)))
            out = MapMemory(kernel.target)
            run(x.memory, out.memory)
            parts = x.map.astype(np.float64).reshape(2, 3, -1, times)
            error_gate(out.map, parts.sum(axis=-1), times * U * np.abs(parts).sum(axis=-1), kernel.name)


def test_fills() -> None:
    """A border is written and the inside left alone; whole maps to their last number."""
    for channels in (1, 3, LANES):
        pitch = channels if channels < LANES else LANES
        outer = MapView(5, 6, channels, 6 * pitch, pitch)
        for inner in (None, (1, 2, 3, 3), (0, 0, 5, 5), (2, 0, 3, 6)):
            memory = empty(5 * 6 * pitch)
            compile_kernels([Fill(outer, inner, 2.5)])[0](memory)
            numbers = memory.reshape(5, 6, pitch)
            inside = np.zeros((5, 6), bool)
            if inner is not None:
                top, left, rows, columns = inner
                inside[top : top + rows, left : left + columns] = True
            assert np.isnan(numbers[inside]).all()
            assert (numbers[~inside] == 2.5).all()


def test_copies_touch_exactly_the_channels() -> None:
    rng = np.random.default_rng(8)
    kernels = []
    for rows, columns in ((1, 1), (2, 3)):
        for channels in sizes_around(LANES):
            views = [random_view(rng, rows, columns, channels, exact=True) for _ in range(2)]
            kernels.append(Copy(*views))
    for kernel, run in Maps(kernels):
        source = MapMemory(kernel.source, _draw(rng, *_shape(kernel.source)), exact=True)
        target = MapMemory(kernel.target, exact=True)
        run(source.memory, target.memory)
        exact_gate(target.map, source.map, kernel.name)
        target.assert_untouched_outside()


def test_strided_copies() -> None:
    """A transposed and mirrored matrix, a run, and a repetition."""
    rng = np.random.default_rng(9)
    a = _draw(rng, 5, 7)
    loops = [((7, 1, 5), (5, 7, 1)), ((5, -7, 7), (7, 1, 1)), ((35, 1, 2), (2, 0, 1))]
    starts = [0, 28, 0]
    expected = [a.T, a[::-1], np.repeat(a.reshape(-1), 2)]
    kernels = compile_kernels([StridedCopy(item) for item in loops])
    for i, values in enumerate(expected):
        out = empty(values.size)
        kernels[i](fenced(a).reshape(-1)[starts[i] :], out)
        exact_gate(out, values.reshape(-1))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_right_share_and_the_same_values_again(rate: float) -> None:
    """Kept values are scaled by 1 / (1 − rate); layers, samples, seeds and places draw apart."""
    view = MapView(8, 16, 64, 16 * 64, 64)
    other = MapView(8, 16, 64, 16 * 80, 80)
    kernels = compile_kernels(
        [Dropout(view, view, rate, 0), Dropout(view, view, rate, 1), Dropout(other, view, rate, 0)]
    )
    ones = np.ones(8 * 16 * 64, np.float32)

    def mask(kernel: int, seed: int, sample: int) -> npt.NDArray[np.bool_]:
        out = empty(ones.size)
        kernels[kernel](fenced(ones), np.array([seed], np.uint32), sample, out)
        assert set(np.unique(out)) == {np.float32(0.0), np.float32(1.0 / (1.0 - rate))}
        kept: npt.NDArray[np.bool_] = out != 0.0
        return kept

    first = mask(0, 17, 0)
    np.testing.assert_array_equal(first, mask(0, 17, 0))
    # Five standard deviations of the mean of so many choices.
    tolerance = 5.0 * np.sqrt(rate * (1.0 - rate) / first.size)
    masks = [first, mask(0, 18, 0), mask(0, 17, 1), mask(1, 17, 0), mask(0, 2**31, 5), mask(1, 0, 127)]
    for i, kept in enumerate(masks):
        assert abs(kept.mean() - (1.0 - rate)) < tolerance
        for column in (kept[0::2], kept[1::64]):
            assert abs(column.mean() - (1.0 - rate)) < 5.0 * np.sqrt(rate * (1.0 - rate) / column.size)
        for before in masks[:i]:  # independent: both kept with the product of the chances
            assert abs((kept & before).mean() - (1.0 - rate) ** 2) < 5.0 / np.sqrt(kept.size) / 2.0
    # Where the map lies in memory does not matter.
    padded = MapMemory(other, 1.0)
    out = empty(ones.size)
    kernels[2](padded.memory, np.array([17], np.uint32), 0, out)
    np.testing.assert_array_equal(out != 0.0, first)


def test_dropout_at_the_ends() -> None:
    view = MapView(1, 1, LANES, LANES, LANES)
    kernels = compile_kernels([Dropout(view, view, 0.0, 0), Dropout(view, view, 1.0, 0)])
    for i, value in enumerate((1.0, 0.0)):
        out = empty(LANES)
        kernels[i](np.ones(LANES, np.float32), np.array([3], np.uint32), 0, out)
        np.testing.assert_array_equal(out, np.full(LANES, value, np.float32))

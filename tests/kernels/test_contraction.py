"""The contraction by itself, in every role it plays: any offsets, loops, tiles, starts and endings, against NumPy."""

from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from depthwise.compiler.kernels.contraction import Contraction, Reduction
from depthwise.compiler.machine import choose_tile, fits
from depthwise.reference.activations import activation
from support.compiled import Kernels, compile_kernels, empty, fenced
from support.gates import exact_gate, hard_gate
from support.maps import LANES, VECTORS
from support.sizes import sizes_around

KERNELS_A_MODULE = 40
Doubles = npt.NDArray[np.float64]
ACTIVATIONS = ("linear", "linear", "relu", "relu6", "selu")


class Case(NamedTuple):
    """A kernel, and the counts that it is told when it runs."""

    kernel: Contraction
    columns: int
    depth: int


def _offsets(kernel: Contraction, depth: int, step: str) -> npt.NDArray[np.int64]:
    """How far `a` (or `b`) has moved at each k, in the order in which the products are added."""
    found = np.zeros(1, np.int64)
    for loop in kernel.reduction:
        count = depth if loop.count is None else loop.count
        found = (found[:, None] + np.arange(count) * getattr(loop, step)).reshape(-1)
    return found


def _positions(case: Case, rows: tuple[int, ...], column: int) -> npt.NDArray[np.int64]:
    return (np.array(rows)[:, None] + np.arange(case.columns) * column).reshape(-1)


def _packed(kernel: Contraction, b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`b` (k, channels) by panels; what fills the last vector is NaN."""
    parts = []
    for first, width in kernel.panels(VECTORS):
        panel = np.full((b.shape[0], width * LANES), np.nan, np.float32)
        columns = b[:, first * LANES : first * LANES + width * LANES]
        panel[:, : columns.shape[1]] = columns
        parts.append(panel.reshape(-1))
    return fenced(np.concatenate(parts))


def check(case: Case, run: object, rng: np.random.Generator, *, exact: bool) -> None:
    """The kernel on random numbers (`exact`: on small whole ones) between forbidden pages."""
    kernel = case.kernel

    def draw(*shape: int) -> npt.NDArray[np.float32]:
        values = rng.integers(-3, 4, shape) if exact else rng.standard_normal(shape)
        return values.astype(np.float32)

    a_offsets = _positions(case, kernel.a_rows, kernel.a_column)[:, None] + _offsets(kernel, case.depth, "a_step")
    a = fenced(draw(int(a_offsets.max()) + 1))
    steps = a_offsets.shape[1]
    b = draw(steps, kernel.channels)
    if kernel.packed:
        b_memory = _packed(kernel, b)
    else:
        b_offsets = _offsets(kernel, case.depth, "b_step")
        b_memory = empty(int(b_offsets.max()) + VECTORS.round_up(kernel.channels))
        place = b_offsets[:, None] + np.arange(kernel.channels)
        b_memory[place] = b
        b = b_memory[place]  # where offsets meet, the last one written counts
    bias = empty(VECTORS.round_up(kernel.channels))
    bias[: kernel.channels] = draw(kernel.channels)

    width = kernel.channels if kernel.exact else VECTORS.round_up(kernel.channels)
    starts = _positions(case, kernel.out_rows, kernel.out_column)
    out = empty(int(starts.max()) + width)
    places = starts[:, None] + np.arange(kernel.channels)
    start: Doubles = np.zeros(places.shape)
    if kernel.initial == "bias":
        start = start + bias[: kernel.channels]
    elif kernel.initial == "out":
        out[places] = draw(*places.shape)
        start = out[places].astype(np.float64)

    counts = [case.columns] if kernel.columns is None else []
    counts += [case.depth] if any(loop.count is None for loop in kernel.reduction) else []
    run(a, b_memory, bias, out, *counts)  # type: ignore[operator]

    numbers = a[a_offsets].astype(np.float64)
    expected = activation(kernel.activation, start + numbers @ b.astype(np.float64))
    if exact and kernel.activation != "selu":
        exact_gate(out[places], expected, kernel.name)
    else:
        sizes = np.abs(start) + np.abs(numbers) @ np.abs(b.astype(np.float64))
        # One addition for each product, in their order: d = k. Without fused multiply-adds a product is rounded too.
        hard_gate(out[places], expected, sizes, steps, kernel.activation, kernel.name)
    untouched = np.ones(out.size, bool)
    untouched[(starts[:, None] + np.arange(width)).reshape(-1)] = False
    assert np.isnan(out[untouched]).all(), f"{kernel.name} wrote outside its output"


def _tile(rng: np.random.Generator, positions: int, channels: int) -> tuple[int, int]:
    if rng.random() < 0.5:
        return choose_tile(VECTORS, positions, channels)
    while True:
        tile = int(rng.integers(1, 15)), int(rng.integers(1, 5))
        if fits(VECTORS, *tile):
            return tile


def random_case(rng: np.random.Generator) -> Case:
    """Rows in line or anywhere, counts known or not, one to three loops, packed or not."""
    rows = int(rng.choice([1, 1, 2, 3, 5]))
    columns = int(rng.choice([*sizes_around(6), *sizes_around(12)]))
    channels = int(rng.choice([*sizes_around(LANES), *sizes_around(2 * LANES), 3 * LANES]))
    exact = bool(rng.random() < 0.4)
    packed = bool(rng.random() < 0.6)
    runtime_columns = rows == 1 and rng.random() < 0.3
    depth = int(rng.choice(sizes_around(8)))
    loops = [Reduction(int(rng.integers(1, 5)), int(rng.integers(1, 40)), int(rng.integers(0, 50))) for _ in range(2)]
    loops = loops[: int(rng.integers(0, 3))]
    if not packed and not loops and rng.random() < 0.5:
        reduction: tuple[Reduction, ...] = (Reduction(None, int(rng.integers(1, 9)), int(rng.integers(0, 70))),)
    else:
        reduction = (*loops, Reduction(depth, int(rng.choice([1, 1, 3])), int(rng.integers(0, 70))))
    a_column = int(rng.integers(1, 12))
    width = channels if exact else VECTORS.round_up(channels)
    out_column = width + int(rng.choice([0, 0, 1, 7]))
    gap = int(rng.choice([0, 0, 5]))
    a_gap = 0 if gap == 0 else int(rng.integers(0, 30))
    a_rows = [row * (columns * a_column + a_gap) for row in range(rows)]
    if rng.random() < 0.3:
        a_rows = sorted(int(value) for value in rng.integers(0, 200, rows))
    kernel = Contraction(
        a_rows=tuple(a_rows),
        out_rows=tuple(row * (columns * out_column + gap) for row in range(rows)),
        columns=None if runtime_columns else columns,
        a_column=a_column,
        out_column=out_column,
        reduction=reduction,
        channels=channels,
        packed=packed,
        initial=str(rng.choice(["zero", "bias", "out"])),
        activation=str(rng.choice(ACTIVATIONS)),
        exact=exact,
        tile=_tile(rng, rows * columns, channels),
        panels_outside=bool(rng.random() < 0.5),
    )
    return Case(kernel, columns, depth)


def _compile(cases: list[Case]) -> Kernels:
    return compile_kernels([case.kernel for case in cases])


def _sweep(quick: int, slow: int) -> list[object]:
    return [*range(quick), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(quick, slow))]


@pytest.mark.parametrize("seed", _sweep(8, 40))
def test_random_contractions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = [random_case(rng) for _ in range(KERNELS_A_MODULE)]
    kernels = _compile(cases)
    for i, case in enumerate(cases):
        check(case, kernels[i], rng, exact=True)
        check(case, kernels[i], rng, exact=False)


def test_zero_samples_leave_nothing_written() -> None:
    """Counts that are known only at run time may be 0."""
    kernel = Contraction(
        (0,), (0,), None, 3, LANES, (Reduction(3, 1),), LANES, True, "zero", "linear", False, (4, 1), True
    )
    kernels = compile_kernels([kernel])
    out = empty(LANES)
    kernels[0](fenced(np.ones(3, np.float32)), fenced(np.ones(3 * LANES, np.float32)), out, out, 0)
    assert np.isnan(out).all()


def test_macs_are_counted() -> None:
    case = random_case(np.random.default_rng(3))
    known = case.kernel.columns is not None and all(loop.count is not None for loop in case.kernel.reduction)
    assert known, "choose another seed"
    steps = prod(loop.count or 0 for loop in case.kernel.reduction)
    assert case.kernel.macs == len(case.kernel.a_rows) * case.columns * case.kernel.channels * steps

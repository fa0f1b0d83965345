"""The model that chooses tiles: they fit the registers of every machine, and together they are the whole work."""

import re
from collections import Counter
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthwise.compiler.kernels.contraction import Contraction, Reduction
from depthwise.compiler.machine import FMA_LATENCY, choose_tile, machine_for, tile_cycles
from depthwise.compiler.native.compile import Target, assembly, target_for
from depthwise.compiler.native.listing import functions_of, vector_stack_accesses
from support.compiled import module_text
from support.planned import MACHINES
from support.simulation import kernel_addresses

FAMILIES = sorted(MACHINES)
POSITIONS = st.integers(1, 900)
CHANNELS = st.integers(1, 1100)


def live_registers(family: str, positions: int, width: int) -> int:
    """Sums, one step's vectors of `b` (one at a time for one position), one broadcast of `a`, unfused one product."""
    return positions * width + (width if positions > 1 else 1) + (1 if MACHINES[family].vectors.fused else 2)


@pytest.mark.parametrize("family", FAMILIES)
@given(positions=POSITIONS, channels=CHANNELS)
def test_the_tile_fits_the_registers(family: str, positions: int, channels: int) -> None:
    vectors = MACHINES[family].vectors
    height, width = choose_tile(vectors, positions, channels)
    assert height >= 1
    assert 1 <= width <= vectors.round_up(channels) // vectors.lanes
    assert live_registers(family, height, width) <= vectors.registers


@pytest.mark.parametrize(("family", "most"), [("avx512", 32), ("neon", 32), ("avx2", 16), ("sse", 16)])
def test_the_machines_have_the_registers_of_their_instruction_sets(family: str, most: int) -> None:
    assert MACHINES[family].vectors.registers == most


@pytest.mark.parametrize("family", FAMILIES)
def test_large_work_gets_tiles_that_hide_the_latency_of_an_addition(family: str) -> None:
    """With room to choose, a tile has so many sums that none waits, and loads bound it less than multiply-adds."""
    vectors = MACHINES[family].vectors
    height, width = choose_tile(vectors, 784, 64 * vectors.lanes)
    assert height * width >= 2 * FMA_LATENCY
    assert (height + width) / 2 < height * width / 2


@pytest.mark.parametrize("family", FAMILIES)
@given(positions=POSITIONS, channels=CHANNELS)
def test_no_other_tile_is_cheaper(family: str, positions: int, channels: int) -> None:
    """By the same model, worked out here tile by tile."""
    vectors = MACHINES[family].vectors

    def cycles(height: int, width: int) -> float:
        tiles = -(-positions // height)
        sizes = [positions // tiles + (i < positions % tiles) for i in range(tiles)]
        total = vectors.round_up(channels) // vectors.lanes
        panels = [min(width, total - first) for first in range(0, total, width)]
        counted = Counter((size, panel) for size in sizes for panel in set(panels))
        return sum(
            count * panels.count(panel) * tile_cycles(vectors, size, panel) for (size, panel), count in counted.items()
        )

    chosen = cycles(*choose_tile(vectors, positions, channels))
    for width in range(1, min(6, vectors.round_up(channels) // vectors.lanes) + 1):
        for height in range(1, min(positions, vectors.registers) + 1):
            if live_registers(family, height, width) <= vectors.registers:
                assert chosen <= cycles(height, width) * (1 + 1e-9)


def contraction(rows: int, columns: int, channels: int, family: str, depth: int = 5) -> Contraction:
    vectors = MACHINES[family].vectors
    pitch = vectors.round_up(channels)
    return Contraction(
        a_rows=tuple(row * (columns + 1) * depth for row in range(rows)),
        out_rows=tuple(row * (columns + 2) * pitch for row in range(rows)),
        columns=columns,
        a_column=depth,
        out_column=pitch,
        reduction=(Reduction(depth, 1),),
        channels=channels,
        packed=True,
        initial="zero",
        activation="linear",
        exact=False,
        tile=choose_tile(vectors, rows * columns, channels),
        panels_outside=False,
    )


@pytest.mark.parametrize("family", FAMILIES)
@given(rows=st.integers(1, 6), columns=st.integers(1, 29), channels=st.integers(1, 100))
def test_tiles_cover_every_position_and_channel(family: str, rows: int, columns: int, channels: int) -> None:
    """Read from the kernel's own addresses: what it writes is exactly every position's vectors."""
    vectors = MACHINES[family].vectors
    kernel = contraction(rows, columns, channels, family)
    addresses = kernel_addresses(kernel, vectors)
    pitch = vectors.round_up(channels)
    every = [row + column * pitch for row in kernel.out_rows for column in range(columns)]
    assert addresses["out"][1].tolist() == sorted(first + i for first in every for i in range(pitch))
    read = [row + column * 5 + k for row in kernel.a_rows for column in range(columns) for k in range(5)]
    assert addresses["a"][0].tolist() == sorted(set(read))
    assert addresses["b"][0].tolist() == list(range(pitch * 5))


@pytest.mark.parametrize("family", FAMILIES)
@given(channels=CHANNELS, positions=POSITIONS)
def test_panels_are_as_wide_as_the_tile_and_cover_the_channels(family: str, channels: int, positions: int) -> None:
    vectors = MACHINES[family].vectors
    kernel = replace(contraction(1, 1, channels, family), tile=choose_tile(vectors, positions, channels))
    panels = kernel.panels(vectors)
    assert [first for first, _ in panels] == np.cumsum([0, *(width for _, width in panels[:-1])]).tolist()
    assert sum(width for _, width in panels) * vectors.lanes == vectors.round_up(channels)
    assert all(width == kernel.tile[1] for _, width in panels[:-1])


@pytest.mark.parametrize("family", ["avx512", "avx2", "neon"])
@pytest.mark.parametrize("channels", [32, 64, 128])
def test_what_the_model_says_fits_does_fit(family: str, channels: int) -> None:
    """In the loops that multiply and add, the compiler moves no vector to the stack or from it.

    For whole tiles of a row; SSE is left out, whose instructions overwrite an operand, so that the compiler copies.
    """
    target = target_for(family)
    for columns in (13, 26, 28):
        kernel = contraction(3, columns, channels, family, depth=32)
        lines = functions_of(assembly(module_text([kernel], machine_for(family).vectors), target))[kernel.name]
        multiply_adds, on_stack = hot_loops(lines, target)
        assert multiply_adds >= 16
        assert on_stack == 0, kernel.name


def hot_loops(lines: list[str], target: Target) -> tuple[int, int]:
    """Multiply-adds and vectors moved to or from the stack in the basic blocks that hold the former."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        if re.match(r"\.L\w+:", line):
            blocks.append([])
        blocks[-1].append(line)
    found = [0, 0]
    for block in blocks:
        count = sum(bool(re.search(r"\b(vfmadd\w+|fmla)\b", line)) for line in block)
        if count:
            text = "kernel:\n" + "\n".join(line for line in block if not line.endswith(":"))
            found[0] += count
            found[1] += vector_stack_accesses(text, target)["kernel"]
    return found[0], found[1]


def test_macs_count_every_product_once() -> None:
    kernel = contraction(3, 7, 20, "avx2")
    assert kernel.macs == 3 * 7 * 20 * 5 == prod((3, 7, 20, 5))

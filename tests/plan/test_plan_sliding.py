"""Maps of which a block keeps some rows: every window finds its rows and its border, and a map takes no more than it has to."""

from itertools import pairwise

import numpy as np
import pytest

from depthwise.compiler.ir.program import Operation
from depthwise.compiler.kernels.contraction import Contraction
from depthwise.compiler.kernels.depthwise import DepthwiseConvolution
from depthwise.compiler.kernels.elementwise import Copy, Fill
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.plan.layout import Layout, lay_out
from depthwise.compiler.plan.prediction import plan_single, with_copies
from depthwise.compiler.plan.schedule import Call, Place, Pointer, every_call
from depthwise.compiler.plan.sliding import sliding_rows
from depthwise.compiler.plan.strips import Block, Strip, find_blocks
from depthwise.layers import Conv2D, DepthwiseConv2D
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional
from support.planned import MACHINES, prediction_program, small_caches

BORDER, UNKNOWN = -1.0, np.nan


def inverted(rows: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> Graph:
    """Expand, depthwise, project."""
    start = Input((rows, 4, 3))
    x = Conv2D(16, 1, activation="relu")(start)
    x = DepthwiseConv2D((kernel, 3), strides=stride, padding=padding, dilation_rate=(dilation, 1))(x)
    return functional(start, Conv2D(5, 1)(x), "inverted")


def block_with_windows(graph: Graph, first_cache: int, second_cache: int) -> tuple[Block, Layout]:
    """The block of the depthwise stage, and how the map that it reads lies."""
    machine = small_caches(MACHINES["avx2"], first_cache, second_cache)
    program = with_copies(prediction_program(graph), machine.vectors)
    layouts = lay_out(program, machine.vectors)

    def follows(first: Operation, second: Operation) -> bool:
        return program.only_reader(first.output) is second

    blocks = find_blocks(program, program.operations, follows, layouts, machine, windows=True)
    (block,) = (item for item in blocks if item.windows_at is not None)
    assert block.windows_at is not None
    return block, layouts[block.operations[block.windows_at - 1].output]


def view_of(memory: np.ndarray, start: int, view: MapView) -> np.ndarray:
    """The map at `start`; an address outside the buffer is an error."""
    last = start + (view.rows - 1) * view.row_pitch + (view.columns - 1) * view.pixel_pitch + view.channels
    assert 0 <= start < last <= memory.size
    steps = [4 * step for step in (view.row_pitch, view.pixel_pitch, 1)]
    return np.lib.stride_tricks.as_strided(memory[start:], (view.rows, view.columns, view.channels), steps)


def run(memory: np.ndarray, call: Call) -> None:
    """A border that is written, or rows that move."""
    offsets = [item.offset for item in call.arguments if isinstance(item, Pointer)]
    if isinstance(call.kernel, Copy):
        source, target = (view_of(memory, offset, call.kernel.source) for offset in offsets)
        assert not np.shares_memory(source, target), "a kernel may take its pointers for places apart"
        target[...] = source
        return
    assert isinstance(call.kernel, Fill)
    outer = view_of(memory, offsets[0], call.kernel.outer)
    border = np.ones(outer.shape, bool)
    if call.kernel.inner is not None:
        top, left, rows, columns = call.kernel.inner
        border[top : top + rows, left : left + columns] = False
    outer[border] = BORDER


def check_rows(block: Block, layout: Layout, strips: tuple[Strip, ...], second_cache: int) -> int:
    """Runs the strips on numbers that say which row they belong to; returns how many strips were preceded by a move."""
    at = block.windows_at
    assert at is not None
    window = block.operations[at].window(0)
    sliding = sliding_rows(block, strips, layout, small_caches(MACHINES["avx2"], 1024, second_cache))
    memory = np.full(sliding.numbers, UNKNOWN, np.float32)
    whole = Place(Pointer("local", layout.origin), layout.view, 0)
    for call in sliding.begin(whole):
        run(memory, call)
    top, _, left, right = layout.border
    for i, strip in enumerate(strips):
        for call in sliding.prepare(whole, i):
            run(memory, call)
        place = sliding.place(whole, i)
        first, count = strip[at - 1].of(layout.view.rows)
        if count:
            pointer, view = place.rows(first, count)
            view_of(memory, pointer.offset, view)[...] = np.arange(first, first + count)[:, None, None]
        reads, rows = strip[at].of(block.rows[at])
        for row in range(reads, reads + rows):
            for source in range(
                row * window.stride - window.before, row * window.stride - window.before + window.reach
            ):
                outer = MapView(
                    1, layout.view.columns + left + right, 16, layout.view.row_pitch, layout.view.pixel_pitch
                )
                found = view_of(memory, place.pixel(source, -left).offset, outer)[0]
                inside = 0 <= source < layout.view.rows
                assert inside or -top <= source
                assert (found[left : left + layout.view.columns] == (source if inside else BORDER)).all(), (i, source)
                assert (found[:left] == BORDER).all()
                assert (found[left + layout.view.columns :] == BORDER).all()
    return sum(item is not None for item in sliding.moved)


CASES = [
    (rows, kernel, stride, padding, dilation)
    for rows in (1, 2, 7, 30)
    for kernel, stride, padding, dilation in (
        (3, 1, "same", 1),
        (3, 2, "same", 1),
        (3, 1, "valid", 1),
        (5, 1, "same", 1),
        (5, 2, "same", 1),
        (7, 3, "same", 1),
        (2, 1, "same", 1),
        (3, 1, "same", 3),
        (7, 1, "valid", 1),
    )
    if padding == "same" or rows >= kernel
]


@pytest.mark.parametrize("second_cache", [256, 1500, 4000])
def test_every_window_finds_its_rows(second_cache: int) -> None:
    """For whole maps, and for each core's share of the rows, whatever moves."""
    moves = 0
    for rows, kernel, stride, padding, dilation in CASES:
        block, layout = block_with_windows(inverted(rows, kernel, stride, padding, dilation), 300, 256)
        total = block.rows[-1]
        for parts in (1, 2, 3):
            edges = [total * i // parts for i in range(parts + 1)]
            for first, last in pairwise(edges):
                if first < last:
                    moves += check_rows(block, layout, block.strips(first, last), second_cache)
    assert moves > 20


def test_strips_of_a_later_share_compute_the_rows_that_their_windows_read() -> None:
    block, _ = block_with_windows(inverted(30, 3, 1, "same"), 300, 256)
    assert block.windows_at == 1
    expand = [strip[0].of(30) for strip in block.strips(10, 20)]
    assert expand[0][0] == 9, "the row above the first window's middle"
    assert sum(count for _, count in expand) == 12
    assert sum(strip[-1].of(30)[1] for strip in block.strips(10, 20)) == 10


def test_a_map_takes_about_as_much_as_the_second_cache_has() -> None:
    second = 4096
    for rows in (40, 400):
        block, layout = block_with_windows(inverted(rows, 3, 1, "same"), 600, second)
        sliding = sliding_rows(block, block.strips(), layout, small_caches(MACHINES["avx2"], 600, second))
        assert 4 * sliding.numbers <= second + 4 * 4 * layout.view.row_pitch
        assert sliding.numbers < layout.numbers


def test_a_single_sample_keeps_no_expanded_map() -> None:
    """Expand → depthwise → project is one stage, and each core has some rows of the expanded map for itself."""
    program = prediction_program(inverted(200, 3, 1, "same"))
    schedule = plan_single(program, small_caches(MACHINES["avx2"], 600, 4096), 2)
    expanded = 200 * 4 * 16
    assert schedule.sizes["sample"] + schedule.sizes["local"] < expanded
    kernels = [{type(call.kernel) for task in stage.tasks for call in every_call(task)} for stage in schedule.stages]
    assert any({Contraction, DepthwiseConvolution} <= found for found in kernels)
    whole = plan_single(program, small_caches(MACHINES["avx2"], 600, 1 << 20), 2)
    assert whole.sizes["sample"] > expanded, "which it keeps where the second cache has room for it"

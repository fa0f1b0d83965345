"""Blocks run by strips: every row once, what lies between stays in half the first cache, and the results do not change."""

from functools import partial

import numpy as np
import pytest

from depthwise.compiler.compile import compile
from depthwise.compiler.ir.operations import Convolve, ConvolveDepthwise
from depthwise.compiler.ir.program import Operation, Program
from depthwise.compiler.kernels.contraction import Contraction
from depthwise.compiler.machine import Machine
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.targets import host_target
from depthwise.compiler.plan.layout import lay_out
from depthwise.compiler.plan.prediction import plan_batches, plan_single, with_copies
from depthwise.compiler.plan.schedule import every_call
from depthwise.compiler.plan.strips import Block, find_blocks
from depthwise.layers import Conv2D, DepthwiseConv2D
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional
from depthwise.runtime.executable import Executable, host_machine
from depthwise.runtime.packed import PackedParameters
from support.networks import seeded_weights
from support.planned import GRAPHS, MACHINES, mobile, prediction_program, small_caches

CACHES = [1024, 4 * 1024, 32 * 1024, 48 * 1024, 1 << 30]


def blocks_of(
    name: str, family: str, cache: int, *, windows: bool = True
) -> tuple[Program, dict[str, int], list[Block]]:
    """The program, the bytes of a row of each tensor, and the blocks."""
    machine = small_caches(MACHINES[family], cache, 4 * cache)
    program = with_copies(prediction_program(GRAPHS[name]()), machine.vectors)
    layouts = lay_out(program, machine.vectors)
    rows = {tensor: 4 * layout.view.row_pitch for tensor, layout in layouts.items()}

    def follows(first: Operation, second: Operation) -> bool:
        return program.only_reader(first.output) is second

    return program, rows, find_blocks(program, program.operations, follows, layouts, machine, windows=windows)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("family", MACHINES)
@pytest.mark.parametrize("cache", CACHES)
def test_strips_cover_every_row_once(name: str, family: str, cache: int) -> None:
    program, _, blocks = blocks_of(name, family, cache)
    assert [operation for block in blocks for operation in block.operations] == list(program.operations)
    for block in blocks:
        for i, operation in enumerate(block.operations):
            total = program.type(operation.output).map[0]
            parts = [strip[i].of(total) for strip in block.strips()]
            rows = [first + row for first, count in parts for row in range(count)]
            # Rows that the last operation never asks for (11 → 5 by pooling) are not computed.
            assert rows == list(range(len(rows)))
            assert len(rows) == total if operation is block.operations[-1] else total - 4 < len(rows) <= total


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("family", MACHINES)
@pytest.mark.parametrize("cache", CACHES)
def test_a_strip_of_several_rows_stays_within_half_the_cache(name: str, family: str, cache: int) -> None:
    """Unless it is higher so that weights from behind the second cache are read less often."""
    program, bytes_of_row, blocks = blocks_of(name, family, cache)
    machine = small_caches(MACHINES[family], cache, 4 * cache)
    for block in blocks:
        strips = block.strips()
        used = sum(bytes_of_row[tensor] * rows for tensor, rows in block.strip_rows(strips).items())
        if used > cache // 2 and block.height > 1:
            heavy = [
                operation
                for operation in block.operations
                if isinstance(operation, Convolve)
                and 4 * program.type(operation.kernel).size > machine.second_cache // 2
            ]
            columns = min(program.type(operation.output).map[1] for operation in heavy)
            assert (block.height - 1) * columns < machine.least_positions


def test_small_caches_give_strips_and_large_ones_do_not() -> None:
    for name, fewest in (("separable", 4), ("mobile", 2)):
        small = [block for block in blocks_of(name, "avx2", 1024)[2] if len(block.strips()) > 1]
        assert len(small) >= fewest
        assert all(len(block.strips()) == 1 for block in blocks_of(name, "avx2", 1 << 30)[2])


def test_a_stage_with_windows_follows_where_the_second_cache_is_too_small() -> None:
    """Expand → depthwise → project: the depthwise stage takes the rows that it needs as soon as they are there."""
    program, _, blocks = blocks_of("mobile", "avx2", 1024)
    chains = [block for block in blocks if any(isinstance(item, ConvolveDepthwise) for item in block.operations[1:])]
    assert chains
    for block in chains:
        at = next(i for i, item in enumerate(block.operations) if isinstance(item, ConvolveDepthwise))
        assert block.operations[at - 1].output not in block.between, "earlier strips are read too"
        ready = 0
        for strip in block.strips():
            ready += strip[at - 1].of(0)[1]
            first, count = strip[at].of(0)
            window = block.operations[at]
            assert isinstance(window, ConvolveDepthwise)
            needed = (first + count - 1) * window.strides[0] + window.kernel_size[0] - window.padding[0]
            assert ready >= min(needed, program.type(block.operations[at - 1].output).map[0])
    unfused = blocks_of("mobile", "avx2", 1024, windows=False)[2]
    assert not any(isinstance(item, ConvolveDepthwise) for block in unfused for item in block.operations[1:])


def test_operations_of_a_block_hand_each_other_their_rows() -> None:
    program, _, blocks = blocks_of("mobile", "avx512", 4096)
    for block in blocks:
        for first, second in zip(block.operations, block.operations[1:]):
            assert program.only_reader(first.output) is second


def run(graph: Graph, machine: Machine, work: str, inputs: np.ndarray) -> np.ndarray:
    """The outputs of a plan made for `machine`, run on this one."""
    program = prediction_program(graph)
    plan = plan_batches if work == "batches" else partial(plan_single, parts=2)
    executable = Executable(compile(program, plan, machine, host_target(), CompileCache()))
    weights = seeded_weights(graph, 5)
    executable.take(PackedParameters(weights))
    for name in ("local", "group", "sample", "extra"):  # what is read before it is written shows
        executable._reserve(name, 1 << 21)
        executable.arenas[name][:] = np.nan
    outputs = np.full((len(inputs), *graph.output_shapes[0]), np.nan, np.float32)
    executable.reserve(len(inputs), 2)
    executable.run((inputs,), (outputs,))
    return outputs


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("work", ["batches", "single"])
def test_results_do_not_depend_on_the_caches(name: str, work: str) -> None:
    """Bit for bit: strips of one row, strips of a few, and none at all."""
    graph = GRAPHS[name]()
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((5 if work == "batches" else 1, *graph.input_shapes[0])).astype(np.float32)
    machines = [small_caches(host_machine(), first, second) for first, second in ((1024, 1024), (6000, 1 << 16))]
    expected = run(graph, small_caches(host_machine(), 1 << 30, 1 << 30), work, inputs)
    assert np.isfinite(expected).all()
    for machine in machines:
        np.testing.assert_array_equal(run(graph, machine, work, inputs), expected)


def test_the_small_mobile_network_has_what_it_stands_for() -> None:
    """A strided depthwise stage, a residual and folded BatchNormalization: else the tests above would test less."""
    kinds = [type(operation).__name__ for operation in prediction_program(mobile()).operations]
    assert {"ConvolveDepthwise", "Elementwise", "ReduceMap"} <= set(kinds)
    assert "Normalise" in kinds or "NormaliseBatch" not in kinds


def test_many_weights_for_few_rows_are_divided_by_channels() -> None:
    """Each core reads its part of them once, instead of all cores all of them for four rows and three."""
    start = Input((7, 7, 16))
    graph = functional(start, Conv2D(64, 1)(DepthwiseConv2D(3, padding="same")(start)), "few_rows")
    program = prediction_program(graph)
    for second_cache, rows, channels in ((1 << 20, [4, 3], 64), (4096, [7, 7], 32)):
        schedule = plan_single(program, small_caches(MACHINES["avx2"], 4096, second_cache), 2)
        kernels = [call.kernel for stage in schedule.stages for task in stage.tasks for call in every_call(task)]
        found = [kernel for kernel in kernels if isinstance(kernel, Contraction)]
        assert [kernel.channels for kernel in found] == [channels] * 2
        assert sorted(len(kernel.a_rows) for kernel in found) == sorted(rows)

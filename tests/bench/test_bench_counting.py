"""Instructions and memory counted in a kernel's text are those that it really has."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthwise.bench.costs import bound_of, cost_of, macs_of
from depthwise.bench.instructions import count_instructions
from depthwise.bench.measured import MeasuredRow
from depthwise.bench.probes import MachineRates
from depthwise.bench.report import Cost
from depthwise.bench.rows import Group, group_calls, kind_of
from depthwise.compiler.ir.expression import Apply, Operand
from depthwise.compiler.kernels.contraction import Contraction, Reduction
from depthwise.compiler.kernels.depthwise import DepthwiseConvolution
from depthwise.compiler.kernels.elementwise import Copy, Elementwise, Fill
from depthwise.compiler.kernels.loss import LossKernel
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.kernels.optimizer import OptimizerUpdate
from depthwise.compiler.kernels.pooling import Pooling
from depthwise.compiler.module import kernels_of
from depthwise.compiler.plan.prediction import plan_batches, plan_single
from depthwise.compiler.plan.schedule import Call, Pointer, Repeat, every_call, written_out
from depthwise.compiler.plan.training import plan_training
from depthwise.layers.descriptions import Conv2D
from depthwise.network.graph import sequential
from support.planned import ADAM, GRAPHS, MACHINES, prediction_program, training_program
from support.simulation import kernel_addresses

AVX2 = MACHINES["avx2"].vectors
AVX512 = MACHINES["avx512"].vectors


def contraction(columns: int | None, depth: int, channels: int, activation: str = "linear") -> Contraction:
    return Contraction(
        a_rows=(0,),
        out_rows=(0,),
        columns=columns,
        a_column=depth,
        out_column=AVX512.round_up(channels),
        reduction=(Reduction(depth, 1),),
        channels=channels,
        packed=True,
        initial="zero",
        activation=activation,
        exact=False,
        tile=(4, 2),
        panels_outside=False,
    )


@given(columns=st.integers(1, 30), depth=st.integers(1, 40), channels=st.integers(1, 70))
@settings(max_examples=40)
def test_a_contraction_has_as_many_multiply_adds_as_products(columns: int, depth: int, channels: int) -> None:
    counted = count_instructions(contraction(columns, depth, channels), AVX2)
    vectors = ceil(channels / 8)
    assert counted.multiply_adds == columns * depth * vectors
    assert counted.stores == columns * vectors
    assert counted.other == 0
    assert counted.read_spans["a"] == (0, columns * depth)


@pytest.mark.parametrize("images", [1, 3, 4, 7, 12])
def test_counts_that_are_known_when_it_runs(images: int) -> None:
    kernel = contraction(None, 10, 16)
    assert count_instructions(kernel, AVX2, (("columns", images),)).multiply_adds == images * 10 * 2
    assert macs_of(kernel, {"images": images, "batch": 1}) == images * 10 * 16


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("columns", [1, 5, 14, 28])
def test_a_depthwise_convolution_counts_nine_products_a_vector(stride: int, columns: int) -> None:
    source = MapView(3, columns * stride + 2, 24, (columns * stride + 2) * 24, 24)
    target = MapView(1, columns, 24, columns * 24, 24)
    kernel = DepthwiseConvolution(source, target, (3, 3), (stride, stride), (1, 1), False, "linear", (1, 4))
    counted = count_instructions(kernel, AVX2)
    assert counted.multiply_adds * 8 == kernel.macs == 9 * columns * 24
    assert counted.read_spans["a"] == (0, source.row_pitch * 2 + ((columns - 1) * stride + 3) * 24)


def test_activations_and_maxima_are_other_arithmetic() -> None:
    view = MapView(2, 2, 8, 16, 8)
    relu = count_instructions(Elementwise(Apply("relu", (Operand(0),)), (view,), view), AVX2)
    assert (relu.other, relu.loads, relu.stores) == (4, 4, 4), "a maximum is one instruction"
    selu = count_instructions(Elementwise(Apply("selu", (Operand(0),)), (view,), view), AVX2)
    assert selu.arithmetic > 6 * relu.arithmetic
    pool = count_instructions(Pooling("max", view, MapView(1, 1, 8, 8, 8), (2, 2), (2, 2)), AVX2)
    assert (pool.loads, pool.stores) == (4, 1)
    assert 3 <= pool.other <= 9, "three maxima, and what carries NaN along"
    mean = count_instructions(Pooling("mean", view, MapView(1, 1, 8, 8, 8), (2, 2), (2, 2)), AVX2)
    assert mean.other > 3, "a division counts for several"


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("family", ["avx512", "sse"])
def test_spans_are_the_hulls_of_the_exact_addresses(name: str, family: str) -> None:
    """Judged by the evaluator of the tests, which works out every address."""
    machine = MACHINES[family]
    schedule = plan_batches(prediction_program(GRAPHS[name]()), machine)
    for kernel in kernels_of(schedule).values():
        values = tuple((argument, 3) for argument in kernel.arguments if argument == "columns")
        exact = kernel_addresses(kernel, machine.vectors, values)
        counted = count_instructions(kernel, machine.vectors, values)
        for argument, (reads, writes) in exact.items():
            for found, spans in ((reads, counted.read_spans), (writes, counted.written_spans)):
                if argument in spans and found.size:
                    first, last = spans[argument]
                    # Two tiles of one loop nest may end at different numbers: the hull may be a little wide.
                    assert first <= found[0]
                    assert found[-1] < last <= found[-1] + 1 + 4 * machine.vectors.lanes * max(1, 3)
                else:
                    assert not found.size or argument in counted.read_spans


@pytest.mark.parametrize("name", GRAPHS)
def test_groups_are_the_whole_list_of_calls(name: str) -> None:
    for family, training in (("avx512", False), ("avx2", True)):
        machine = MACHINES[family]
        schedule = (
            plan_training(training_program(GRAPHS[name]()), machine, ADAM)
            if training
            else plan_batches(prediction_program(GRAPHS[name]()), machine)
        )
        for stage in schedule.stages:
            for segment in stage.segments:
                groups = group_calls(segment.calls)
                edges = [0, *(group.last for group in groups)]
                assert [group.first for group in groups] == edges[:-1]
                assert edges[-1] == len(segment.calls)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_call_knows_its_layer(name: str) -> None:
    """But borders, which several layers may read, and what the step as a whole needs."""
    graph, machine = GRAPHS[name](), MACHINES["avx2"]
    for schedule in (
        plan_batches(prediction_program(graph), machine),
        plan_single(prediction_program(graph), machine, 2),
        plan_training(training_program(graph), machine, ADAM),
    ):
        for stage in schedule.stages:
            for call in (call for items in stage.lists for call in every_call(items)):
                assert call.origin in graph.by_name or (
                    not call.origin and isinstance(call.kernel, (Fill, Copy, LossKernel, OptimizerUpdate))
                ), call


def groups_of(calls: str) -> list[tuple[int, tuple[str, ...], int]]:
    """(calls, layers, strips) of the groups of calls; each letter is a layer, - a border, ! a loss."""
    view = MapView(1, 4, 8, 32, 8)
    somewhere = (Pointer("local"), Pointer("local"))
    kernels = {"-": Fill(view, None, 0.0), "!": LossKernel("value", "squared", (view,), 0.0, False)}
    made = []
    for letter in calls:
        kernel = kernels.get(letter) or Elementwise(Apply("relu", (Operand(0),)), (view,), view)
        made.append(Call(kernel, (*somewhere, *somewhere)[: len(kernel.arguments)], "" if letter in "-!" else letter))
    found: list[Group] = group_calls(made)
    return [(group.last - group.first, group.layers, group.strips) for group in found]


@pytest.mark.parametrize(
    ("calls", "groups"),
    [
        ("", []),
        ("abb", [(1, ("a",), 1), (2, ("b",), 1)]),
        ("-a--b-", [(2, ("a",), 1), (3, ("b",), 1), (1, (), 1)]),
        ("xababac", [(1, ("x",), 1), (5, ("a", "b"), 2), (1, ("c",), 1)]),
        ("-xaba-bc", [(2, ("x",), 1), (5, ("a", "b"), 2), (1, ("c",), 1)]),
        # A layer's backward calls are a row of their own.
        ("ab!!ba", [(1, ("a",), 1), (1, ("b",), 1), (1, (), 1), (1, (), 1), (1, ("b",), 1), (1, ("a",), 1)]),
        ("abab!-ba", [(4, ("a", "b"), 2), (1, (), 1), (2, ("b",), 1), (1, ("a",), 1)]),
    ],
)
def test_calls_are_grouped_by_layers_that_take_turns(
    calls: str, groups: list[tuple[int, tuple[str, ...], int]]
) -> None:
    assert groups_of(calls) == groups


def test_a_separable_layer_is_one_block_with_its_pooling() -> None:
    schedule = plan_batches(prediction_program(GRAPHS["separable"]()), MACHINES["avx2"])
    calls = schedule.stages[0].segments[0].calls
    groups = group_calls(calls)
    assert [layer for group in groups for layer in group.layers if "separable" in layer] == [
        f"separable_conv2d{'_' * (i > 0)}{i or ''}" for i in range(5)
    ]
    block = next(group for group in groups if group.layers == ("separable_conv2d", "max_pooling2d"))
    assert block.kinds == ("depthwise convolution", "contraction", "max pooling")
    assert block.strips > 1
    counted = [kind_of(call.kernel) for call in written_out(calls[block.first : block.last])]
    assert counted.count("depthwise convolution") == counted.count("contraction") == block.strips


@pytest.mark.parametrize("name", GRAPHS)
def test_all_rows_together_have_the_networks_macs(name: str) -> None:
    """No more, and less only by what pooling never reads."""
    graph = GRAPHS[name]()
    schedule = plan_batches(prediction_program(graph), MACHINES["avx512"])
    numbers = {"images": 6, "batch": 6}
    total = sum(
        macs_of(call.kernel, numbers) / (6 if segment.level == "group" else 1)
        for stage in schedule.stages
        for segment in stage.segments
        for call in written_out(segment.calls)
    )
    stated = sum(node.facts.macs.value for node in graph.calls)
    assert 0.85 * stated <= total <= stated
    if name == "mobile":
        assert total == stated


def test_a_grouped_layer_is_one_row_with_all_its_macs() -> None:
    chain = [Conv2D(24, 3, padding="same", groups=8, input_shape=(30, 30, 16)), Conv2D(12, 3, groups=4)]
    graph = sequential(chain, "grouped")
    schedule = plan_batches(prediction_program(graph), MACHINES["avx2"])
    (segment,) = schedule.stages[0].segments
    assert sum(isinstance(item, Repeat) for item in segment.calls) == 2
    groups = [group for group in group_calls(segment.calls) if "conv2d" in "".join(group.layers)]
    assert [group.layers for group in groups] == [("conv2d",), ("conv2d_1",)]
    for group, node in zip(groups, (item for item in graph.calls if item.inputs), strict=True):
        assert group.strips == 1, "each group has weights of its own"
        calls = tuple(written_out(segment.calls[group.first : group.last]))
        row = MeasuredRow(0, "image", group.layers, group.kinds, group.strips, (calls,))
        cost, _, _ = cost_of(row, schedule, AVX2, batch=1, images=1, chunks=1)
        assert cost.macs == node.facts.macs.value


def test_memory_is_counted_once_where_calls_share_it() -> None:
    view = MapView(1, 4, 8, 32, 8)
    kernel = Copy(view, view)
    calls = (
        Call(kernel, (Pointer("local", 0), Pointer("local", 32))),
        Call(kernel, (Pointer("local", 32), Pointer("local", 64))),
    )
    row = MeasuredRow(0, "image", (), ("copy",), 1, (calls,))
    schedule = plan_batches(prediction_program(GRAPHS["mobile"]()), MACHINES["avx2"])
    cost, working_set, _ = cost_of(row, schedule, AVX2, batch=2, images=2, chunks=1)
    assert cost.bytes == 4 * 4 * 32
    assert cost.distinct_bytes == working_set == 4 * 3 * 32
    by_group, _, _ = cost_of(
        MeasuredRow(0, "group", (), ("copy",), 1, (calls,)), schedule, AVX2, batch=2, images=2, chunks=1
    )
    assert by_group.bytes == cost.bytes / 2


RATES = MachineRates(flops=160e9, lanes=8, bandwidths=((32768.0, 200e9), (524288.0, 100e9), (float("inf"), 20e9)))


@pytest.mark.parametrize(
    ("cost", "working_set", "bound", "seconds"),
    [
        (Cost(macs=8e6, multiply_adds=1e6, loads=1e5, bytes=1e3), 1e3, "multiply-adds", 1e6 / 10e9),
        (Cost(macs=8e6, multiply_adds=1e6, other=3e6, bytes=1e3), 1e3, "arithmetic", 4e6 / 10e9),
        (Cost(macs=8e6, multiply_adds=1e6, loads=2e6, stores=1e6), 1e3, "loads", 3e6 / 6.25e9),
        (Cost(macs=8e4, multiply_adds=1e4, bytes=1e6, distinct_bytes=1e6), 1e6, "memory", 1e6 / 20e9),
        (Cost(macs=8e4, multiply_adds=1e4, bytes=1e6, distinct_bytes=4e5), 4e5, "memory", 4e5 / 100e9 + 6e5 / 200e9),
    ],
)
def test_the_narrowest_roof_bounds(cost: Cost, working_set: float, bound: str, seconds: float) -> None:
    found, limit = bound_of(cost, working_set, 1e3, RATES)
    assert found == bound
    assert np.isclose(limit, seconds)

"""Layouts and places: borders have room, pitches whole vectors, and what lives at one time lies apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthwise.compiler.ir.program import Scope
from depthwise.compiler.plan import training
from depthwise.compiler.plan.layout import lay_out, layout_of, pack_lifetimes, shared_places
from depthwise.compiler.plan.prediction import with_copies
from support.planned import ADAM, GRAPHS, MACHINES, mobile, prediction_program, training_program

LIFETIMES = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3),
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 5000)).map(
        lambda item: (min(item[:2]), max(item[:2]), item[2])
    ),
    max_size=14,
)


@given(lifetimes=LIFETIMES, alignment=st.sampled_from([1, 4, 16]))
def test_lifetimes_never_overlap(lifetimes: dict[str, tuple[int, int, int]], alignment: int) -> None:
    offsets, total = pack_lifetimes(lifetimes, alignment)
    assert set(offsets) == set(lifetimes)
    for name, (first, last, numbers) in lifetimes.items():
        assert offsets[name] % alignment == 0
        assert offsets[name] >= 0
        assert offsets[name] + numbers <= total
        for other, (begin, end, size) in lifetimes.items():
            if name < other and first <= end and begin <= last:
                assert offsets[name] + numbers <= offsets[other] or offsets[other] + size <= offsets[name]


@given(lifetimes=LIFETIMES)
def test_memory_is_used_again(lifetimes: dict[str, tuple[int, int, int]]) -> None:
    """Never more than all together; and one after the other, never more than the largest."""
    rounded = [-(-numbers // 16) * 16 for _, _, numbers in lifetimes.values()]
    assert pack_lifetimes(lifetimes, 16)[1] <= sum(rounded)
    apart = {name: (i, i, item[2]) for i, (name, item) in enumerate(lifetimes.items())}
    assert pack_lifetimes(apart, 16)[1] == max(rounded, default=0)


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 40)),
    padding=st.tuples(*[st.integers(0, 4)] * 4),
    slack=st.integers(0, 9),
)
def test_every_pixel_of_map_and_border_has_a_place_of_its_own(
    shape: tuple[int, int, int], padding: tuple[int, int, int, int], slack: int
) -> None:
    layout = layout_of(shape, padding, shape[2] + slack)
    rows, columns, channels = shape
    top, bottom, left, right = padding
    view = layout.view
    places = [
        layout.origin + row * view.row_pitch + column * view.pixel_pitch
        for row in range(-top, rows + bottom)
        for column in range(-left, columns + right)
    ]
    assert len(set(places)) == len(places) == layout.outer.rows * layout.outer.columns
    assert min(places) == 0
    assert max(places) + channels <= layout.numbers
    assert all(abs(a - b) >= channels for a, b in zip(sorted(places), sorted(places)[1:]))


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("family", MACHINES)
def test_a_border_is_as_wide_as_its_greediest_reader_wants(name: str, family: str) -> None:
    program = with_copies(prediction_program(GRAPHS[name]()))
    layouts = lay_out(program, MACHINES[family].vectors)
    inputs = {tensor for tensor, _ in program.inputs}
    assert set(layouts) == set(program.tensors)
    for tensor, layout in layouts.items():
        readers = program.readers[tensor] if tensor not in inputs else ()
        wanted = [reader.window(reader.operands.index(tensor)).border for reader in readers]
        assert layout.border == tuple(max((side[i] for side in wanted), default=0) for i in range(4))
        assert (layout.view.rows, layout.view.columns, layout.view.channels) == program.tensors[tensor].map
        assert layout.view.pixel_pitch >= layout.view.channels


@pytest.mark.parametrize("name", GRAPHS)
def test_what_shares_a_place_has_the_same_numbers_in_the_same_order(name: str) -> None:
    program = with_copies(prediction_program(GRAPHS[name]()))
    layouts = lay_out(program, MACHINES["avx512"].vectors)
    for tensor, base in shared_places(program, layouts, MACHINES["avx512"].vectors).items():
        assert layouts[tensor].numbers == layouts[base].numbers
        if tensor != base:
            assert layouts[tensor].border == layouts[base].border == (0, 0, 0, 0)
            assert layouts[base].view.pixel_pitch == layouts[base].view.channels


def test_maps_kept_for_the_batch_share_memory_where_stages_do_not_overlap() -> None:
    """All samples run through a stage before the next, so what two of its maps need must never be the same memory."""
    plan = training._TrainingPlan(with_copies(training_program(mobile())), ADAM, MACHINES["avx512"])
    places, sizes = plan._places()
    last = plan.steps[-1].stage + 1
    stages: dict[str, list[int]] = {}
    for step in plan.steps:
        for name in (*step.operation.operands, *step.operation.results):
            stages.setdefault(plan.root.get(name, name), []).append(step.stage)
    for operation in plan.program.operations:
        if operation.scope is Scope.BATCH and not operation.results:
            for name in plan.program.tensor_operands(operation):
                stages[plan.root[name]].append(last)
    kept = []
    for name, place in places.items():
        if place.pointer.arena == "sample" and plan.root[name] == name:
            start = place.pointer.offset - plan.layouts[name].origin
            kept.append((min(stages[name]), max(stages[name]), start, start + plan.layouts[name].numbers))
    pairs = [(a, b) for i, a in enumerate(kept) for b in kept[i + 1 :]]
    overlapping = [(a, b) for a, b in pairs if a[2] < b[3] and b[2] < a[3]]
    assert overlapping
    assert all(a[1] < b[0] or b[1] < a[0] for a, b in overlapping)
    assert sizes["sample"] < sum(end - start for *_, start, end in kept)

"""Plans for prediction: one for batches (a core takes whole samples), one for a single sample (the cores share each map)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program, Scope
from depthwise.compiler.ir.types import NO_BORDER
from depthwise.compiler.kernels.builder import Vectors
from depthwise.compiler.kernels.elementwise import Fill
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.machine import Machine
from depthwise.compiler.plan.layout import Layout, border_of, lay_out, pack_lifetimes, reads_exactly, shared_places
from depthwise.compiler.plan.placement import ALIGNMENT, Part, Placement
from depthwise.compiler.plan.repeats import rolled
from depthwise.compiler.plan.rules import calls_of
from depthwise.compiler.plan.runs import in_runs
from depthwise.compiler.plan.schedule import Call, Item, Place, Pointer, Schedule, Segment, Stage
from depthwise.compiler.plan.sliding import sliding_rows
from depthwise.compiler.plan.strips import Block, Strip, find_blocks
from depthwise.dataclass import dataclass

__all__ = ["plan_batches", "plan_single"]

GROUP = 12
"""Samples that a dense layer computes at once: whole tiles on every machine, and one reading of its weights for all."""

MAXIMUM_IMBALANCE = 1.15
"""How much longer the slowest core may take than the mean before a block is shared out operation by operation."""

SMALL_WORK = 4096
"""Operations on fewer numbers are not worth a barrier: one core does them."""


def with_copies(program: Program, vectors: Vectors | None = None) -> Program:
    """Copies at the border to the caller's memory, which has no room for whole vectors and no zeros around.

    Inputs are copied unless all that read them read single numbers inside the map. With `vectors`, pixels of whole vectors
    inside the map are read and written in the caller's memory too, and arithmetic runs over single numbers where it can.
    """
    if vectors is not None:
        program = in_runs(program, vectors)

    def whole_vectors(name: str) -> bool:
        return vectors is not None and program.type(name).map[2] % vectors.lanes == 0

    def direct(name: str, exactly: bool) -> bool:
        fits = whole_vectors(name) or (reads_exactly(program, name) if exactly else not program.readers[name])
        return fits and border_of(program, name)[0] == NO_BORDER

    operations: list[Operation] = []
    renamed: dict[str, str] = {}
    for name, _ in program.inputs:
        if not direct(name, True):
            copy = op.Copy((name,), (f"/copy of {name}",), origin=name)
            operations.append(copy)
            renamed[name] = copy.output
    for operation in program.operations:
        operations.append(operation.with_operands(*(renamed.get(name, name) for name in operation.operands)))
    outputs = []
    handed = next((i for i, item in enumerate(operations) if isinstance(item, op.HandOver)), len(operations))
    before = {name for item in operations[:handed] for name in item.results}
    early: list[Operation] = []
    late: list[Operation] = []
    inputs = [name for name, _ in program.inputs]
    names = [name for name, _ in program.outputs]
    for i, (name, shape) in enumerate(program.outputs):
        if names.count(name) == 1 and name not in inputs and whole_vectors(name) and direct(name, False):
            outputs.append((name, shape))
            continue
        copy = op.Copy(
            (renamed.get(name, name),),
            (f"/output {i}",),
            origin=program.writer[name].origin if name in program.writer else name,
        )
        # What is handed over is there before; everything else is copied last.
        (early if handed < len(operations) and copy.source in before else late).append(copy)
        outputs.append((copy.output, shape))
    ordered = (*operations[:handed], *early, *operations[handed:], *late)
    return replace(program, outputs=tuple(outputs)).rewritten(ordered)


def external_places(program: Program) -> dict[str, Place]:
    """The caller's inputs and outputs: exactly as NumPy has them."""
    places = {}
    for arena, tensors in (("input", program.inputs), ("output", program.outputs)):
        for i, (name, _) in enumerate(tensors):
            rows, columns, channels = program.type(name).map
            view = MapView(rows, columns, channels, columns * channels, channels)
            places[name] = Place(Pointer(f"{arena}{i}"), view, rows * columns * channels)
    return places


def border_calls(layout: Layout, place: Place) -> list[Call]:
    """What its readers want around the map, before anything reads it there."""
    top, _, left, _ = layout.border
    if not any(layout.border):
        return []
    inner = (top, left, layout.view.rows, layout.view.columns)
    return [Call(Fill(layout.outer, inner, layout.fill), (place.pixel(-top, -left),))]


def finish(placement: Placement, stages: tuple[Stage, ...], group: int, sizes: Mapping[str, int]) -> Schedule:
    """The schedule with the forms of parameters that its calls read."""
    program = placement.program
    return Schedule(
        (),
        stages,
        group,
        {**placement.sizes, **sizes, **{pointer.arena: form.numbers for form, pointer in placement.forms.items()}},
        tuple(prod(shape) for _, shape in program.inputs),
        tuple(prod(shape) for _, shape in program.outputs),
        dict(placement.parameter_offsets or {}),
        tuple(placement.forms),
    )


def plan_batches(program: Program, machine: Machine) -> Schedule:
    """Each core takes groups of samples; a sample's maps stay in its caches from the first layer to the last.

    Dense layers run once for a group, so that their weights are read once for all its samples.
    """
    program = with_copies(program, machine.vectors)
    levels = ["group" if operation.scope is Scope.GROUP else "image" for operation in program.operations]
    segment_of, segments = [], 0
    for i, level in enumerate(levels):
        segments += int(i > 0 and level != levels[i - 1])
        segment_of.append(segments)
    layouts = lay_out(program, machine.vectors)
    root = shared_places(program, layouts, machine.vectors)
    external = external_places(program)
    blocks = _blocks(program, layouts, machine)
    strips = [block.strips() for block in blocks]
    between = {
        name: numbers
        for block, mine in zip(blocks, strips)
        for name, numbers in _inner(block, [mine], layouts, machine).items()
    }
    lifetimes = _lifetimes(program, layouts, root, blocks, between)
    touched: dict[str, set[int]] = {name: set() for name in lifetimes}
    for operation, number, level in zip(program.operations, segment_of, levels):
        for name in (*program.tensor_operands(operation), operation.output):
            if name not in external:
                # A group's samples are all alive while a dense layer runs.
                touched[root[name]].update((number, -1) if level == "group" else (number,))
    arenas = {name: "local" if len(where) == 1 else "group" for name, where in touched.items()}
    offsets, sizes = {}, {}
    for arena in ("local", "group"):
        chosen = {name: lifetimes[name] for name in lifetimes if arenas[name] == arena}
        placed, sizes[arena] = pack_lifetimes(chosen, ALIGNMENT)
        offsets.update(placed)
    places = dict(external)
    for name, layout in layouts.items():
        if name not in external:
            base = root[name]
            pointer = Pointer(arenas[base], offsets[base] + layout.origin)
            places[name] = Place(pointer, layout.view, sizes["group"] if arenas[base] == "group" else 0)
    placement = Placement(machine, program, places, None, None)
    calls: list[list[Item]] = [[] for _ in range(segments + 1)]
    segment = {operation.output: number for operation, number in zip(program.operations, segment_of)}
    for block, mine in zip(blocks, strips):
        body = calls[segment[block.operations[-1].output]]
        for operation in block.operations:
            if operation.output not in external and operation.output not in between:
                body += border_calls(layouts[operation.output], places[operation.output])
        body += _strips(block, mine, placement, places, layouts)
    level_of = dict(zip(segment_of, levels))
    segments_of_calls = tuple(Segment(level_of[i], tuple(items)) for i, items in enumerate(calls))
    return finish(placement, (Stage("batch", segments=segments_of_calls),), GROUP, sizes)


def _blocks(program: Program, layouts: Mapping[str, Layout], machine: Machine, parts: int = 1) -> list[Block]:
    """Blocks whose tensors between nothing else reads."""

    def follows(first: Operation, second: Operation) -> bool:
        return program.only_reader(first.output) is second

    return find_blocks(program, program.operations, follows, layouts, machine, windows=True, parts=parts)


def _strips(
    block: Block,
    strips: Sequence[Strip],
    placement: Placement,
    places: Mapping[str, Place],
    layouts: Mapping[str, Layout],
) -> list[Item]:
    """Strips of a block, one after the other; `places` are those of the whole maps."""
    sliding, whole = None, None
    if block.windows_at is not None:
        name = block.operations[block.windows_at - 1].output
        whole, sliding = places[name], sliding_rows(block, strips, layouts[name], placement.machine)
    begin: list[Item] = []
    groups: list[list[list[Item]]] = [[]]
    for i, strip in enumerate(strips):
        placement.places = {**places, **block.places(strip, places)}
        if sliding is not None and whole is not None:
            placement.places[sliding.name] = sliding.place(whole, i)
            origin = placement.program.writer[sliding.name].origin
            begin = begin or [call.of(origin) for call in sliding.begin(whole)]
            if sliding.moved[i] is not None:
                groups.append([])
            groups[-1].append([call.of(origin) for call in sliding.prepare(whole, i)])
        groups[-1].append(
            [call for item, part in zip(block.operations, strip) for call in calls_of(item, placement, part)]
        )
    return [*begin, *rolled(rolled(group) for group in groups)]


def _inner(
    block: Block, shares: Sequence[Sequence[Strip]], layouts: Mapping[str, Layout], machine: Machine
) -> dict[str, int]:
    """The numbers of each tensor that exists only within a block, for each core: those of a strip, and those that windows
    still read."""
    strips = [strip for share in shares for strip in share]
    inner = {name: rows * layouts[name].view.row_pitch for name, rows in block.strip_rows(strips).items()}
    if block.windows_at is not None:
        name = block.operations[block.windows_at - 1].output
        inner[name] = max(sliding_rows(block, share, layouts[name], machine).numbers for share in shares)
    return inner


def _lifetimes(
    program: Program,
    layouts: Mapping[str, Layout],
    root: Mapping[str, str],
    blocks: list[Block],
    between: Mapping[str, int],
) -> dict[str, tuple[int, int, int]]:
    """(first use, last use, numbers) of every place that a plan provides; uses count blocks. `between` are the numbers of
    those tensors that exist only within a block.

    Within a block nothing is reused: its operations run in turn for each strip, or at once on several cores.
    """
    external = {name for name, _ in (*program.inputs, *program.outputs)}
    lifetimes: dict[str, tuple[int, int, int]] = {}
    for i, block in enumerate(blocks):
        for operation in block.operations:
            for name in (*program.tensor_operands(operation), operation.output):
                if name in external:
                    continue
                first, _, numbers = lifetimes.get(root[name], (i, i, 0))
                used = between.get(name, layouts[name].numbers)
                lifetimes[root[name]] = (first, i, max(numbers, used))
    return lifetimes


@dataclass(frozen=True)
class _Shared:
    """A block between two barriers; `shares` are the strips of each core, in their order."""

    block: Block
    shares: tuple[tuple[Strip, ...], ...]


def plan_single(program: Program, machine: Machine, parts: int) -> Schedule:
    """One sample: every block is a stage whose pieces are rows or channels; small ones are done by one core."""
    program = with_copies(program, machine.vectors)
    layouts = lay_out(program, machine.vectors)
    root = shared_places(program, layouts, machine.vectors)
    external = external_places(program)
    work = [
        item
        for block in _blocks(program, layouts, machine, parts)
        for item in _shared_out(program, machine, block, parts)
    ]
    between = {
        name: numbers for item in work for name, numbers in _inner(item.block, item.shares, layouts, machine).items()
    }
    lifetimes = _lifetimes(program, layouts, root, [item.block for item in work], between)
    places = dict(external)
    sizes = {}
    for arena in ("sample", "local"):
        chosen = {name: lifetimes[name] for name in lifetimes if (name in between) == (arena == "local")}
        offsets, sizes[arena] = pack_lifetimes(chosen, ALIGNMENT)
        for name, layout in layouts.items():
            if name not in external and root[name] in offsets:
                pointer = Pointer(arena, offsets[root[name]] + layout.origin)
                places[name] = Place(pointer, layout.view, layout.numbers)
    placement = Placement(machine, program, places, None, 1)
    stages: list[Stage] = []
    alone: list[Item] = []
    for item in work:
        operations = item.block.operations
        output = operations[-1].output
        fills = [] if output in external else border_calls(layouts[output], places[output])
        if sum(_work(program, operation) for operation in operations) < SMALL_WORK:
            alone += fills
            for share in item.shares if item.block.height else (item.block.strips(),):
                alone += _strips(item.block, share, placement, places, layouts)
            continue
        if alone:
            stages.append(Stage("alone", pieces=(tuple(alone),)))
            alone = []
        pieces = [_strips(item.block, share, placement, places, layouts) for share in item.shares]
        pieces[-1] = [*fills, *pieces[-1]]
        stages.append(Stage(output, pieces=tuple(tuple(piece) for piece in pieces if piece)))
    if alone:
        stages.append(Stage("alone", pieces=(tuple(alone),)))
    return finish(placement, tuple(stages), 1, sizes)


def _shared_out(program: Program, machine: Machine, block: Block, parts: int) -> Iterator[_Shared]:
    """A block between two barriers where its rows divide well; otherwise each of its operations by itself.

    Also where an operation reads many weights for few rows: by channels, each core reads a part of them only.
    """
    rows = block.rows[-1]
    edges = [rows * i // parts for i in range(parts + 1)]
    most = max(last - first for first, last in pairwise(edges))
    weights = [program.type(name).size for item in block.operations for name in program.parameter_operands(item)]
    by_channels = rows % parts > 0 and any(4 * size > machine.second_cache // 2 for size in weights)
    if len(block.operations) > 1 and most * parts <= MAXIMUM_IMBALANCE * rows and not by_channels:
        # With 8 threads and 7 rows, one thread has none.
        pairs = [(first, last) for first, last in pairwise(edges) if first < last]
        shares = (block.strips(*both) if block.height else (block.part(*both),) for both in pairs)
        yield _Shared(block, tuple(shares))
        return
    for operation, count in zip(block.operations, block.rows):
        yield _Shared(Block((operation,), (count,), 0), tuple(((Part(i, parts),),) for i in range(parts)))


def _work(program: Program, operation: Operation) -> int:
    """About how many steps an operation takes."""
    return operation.work(program.type(operation.output), program.types(operation.operands))

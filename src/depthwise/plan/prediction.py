"""Plans for prediction: one for batches (a core takes whole samples), one for a single sample (the cores share each map)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from math import prod

from depthwise import operations as op
from depthwise.emit.elementwise import Fill
from depthwise.emit.maps import MapView
from depthwise.plan.forward import EXACT_READERS, FORWARD, border
from depthwise.plan.layout import Layout, lay_out, pack_lifetimes, shared_places
from depthwise.plan.machine import Machine
from depthwise.plan.placement import ALIGNMENT, WHOLE, Part, Placement
from depthwise.plan.schedule import Call, Place, Pointer, Schedule, Segment, Stage
from depthwise.plan.strips import Block, Rows, find_blocks
from depthwise.program import Operation, Parameter, Program

__all__ = ["plan_batches", "plan_single"]

GROUP = 12
"""Samples that a dense layer computes at once: whole tiles on every machine, and one reading of its weights for all."""

MAXIMUM_IMBALANCE = 1.15
"""How much longer the slowest core may take than the mean before a block is shared out operation by operation."""

SMALL_WORK = 4096
"""Operations on fewer numbers are not worth a barrier: one core does them."""


def parameter_offsets(parameters: Mapping[str, Parameter]) -> tuple[dict[str, int], int]:
    """Where each parameter starts, and how many numbers there are: the trainable ones first."""
    offsets, total = {}, 0
    for parameter in sorted(parameters.values(), key=lambda item: not item.trainable):
        offsets[parameter.name] = total
        total += -(-prod(parameter.shape) // ALIGNMENT) * ALIGNMENT
    return offsets, total


def with_copies(program: Program) -> Program:
    """Copies at the border to the caller's memory, which has no room for whole vectors and no zeros around.

    Inputs are copied unless all that read them read single numbers inside the map; outputs always (they are small).
    """
    operations: list[Operation] = []
    tensors = dict(program.tensors)
    renamed: dict[str, str] = {}
    for name, _ in program.inputs:
        readers = program.readers[name]
        direct = all(isinstance(item, EXACT_READERS) and border(item, name) == (0, 0, 0, 0) for item in readers)
        if not direct:
            copy = op.CopyMap((name,), f"/copy of {name}")
            operations.append(copy)
            tensors[copy.output] = tensors[name]
            renamed[name] = copy.output
    for operation in program.operations:
        operations.append(operation.with_inputs(*(renamed.get(name, name) for name in operation.inputs)))
    outputs = []
    for i, (name, shape) in enumerate(program.outputs):
        copy = op.CopyMap((renamed.get(name, name),), f"/output {i}")
        operations.append(copy)
        tensors[copy.output] = tensors[name]
        outputs.append((copy.output, shape))
    return replace(program, outputs=tuple(outputs), tensors=tensors, operations=tuple(operations))


def external_places(program: Program) -> dict[str, Place]:
    """The caller's inputs and outputs: exactly as NumPy has them."""
    places = {}
    for arena, tensors in (("input", program.inputs), ("output", program.outputs)):
        for i, (name, _) in enumerate(tensors):
            rows, columns, channels = program.tensors[name]
            view = MapView(rows, columns, channels, columns * channels, channels)
            places[name] = Place(Pointer(f"{arena}{i}"), view, rows * columns * channels)
    return places


def border_calls(layout: Layout, place: Place) -> list[Call]:
    """Zeros around the map, before anything reads it there."""
    top, _, left, _ = layout.border
    if not any(layout.border):
        return []
    inner = (top, left, layout.view.rows, layout.view.columns)
    return [Call(Fill(layout.outer, inner, 0.0), (place.pixel(-top, -left),))]


def finish(
    placement: Placement, stages: tuple[Stage, ...], group: int, sizes: Mapping[str, int], total_parameters: int
) -> Schedule:
    """The schedule with what packing its parameters takes."""
    program = placement.program
    pieces = tuple(placement.preparation.values())
    return Schedule(
        (Stage("pack", pieces=pieces),) if pieces else (),
        stages,
        group,
        {**placement.sizes, **sizes, "parameters": total_parameters},
        tuple(prod(shape) for _, shape in program.inputs),
        tuple(prod(shape) for _, shape in program.outputs),
        dict(placement.parameter_offsets),
    )


def plan_batches(program: Program, machine: Machine) -> Schedule:
    """Each core takes groups of samples; a sample's maps stay in its caches from the first layer to the last.

    Dense layers run once for a group, so that their weights are read once for all its samples.
    """
    program = with_copies(program)
    levels = ["group" if isinstance(operation, op.Multiply) else "image" for operation in program.operations]
    segment_of, segments = [], 0
    for i, level in enumerate(levels):
        segments += int(i > 0 and level != levels[i - 1])
        segment_of.append(segments)
    layouts = lay_out(program, machine.vectors, border, EXACT_READERS)
    root = shared_places(program, layouts, machine.vectors)
    external = external_places(program)
    blocks = _blocks(program, layouts, machine)
    strips = {name: block.strip_rows(name) for block in blocks for name in block.between}
    lifetimes = _lifetimes(program, layouts, root, blocks, strips)
    touched: dict[str, set[int]] = {name: set() for name in lifetimes}
    for operation, number, level in zip(program.operations, segment_of, levels):
        for name in (*operation.inputs, operation.output):
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
    parameters, total = parameter_offsets(program.parameters)
    placement = Placement(machine, program, places, parameters, None)
    calls: list[list[Call]] = [[] for _ in range(segments + 1)]
    segment = {operation.output: number for operation, number in zip(program.operations, segment_of)}
    for block in blocks:
        output = block.operations[-1].output
        body = calls[segment[output]]
        if output not in external:
            body += border_calls(layouts[output], places[output])
        for strip in block.strips:
            part = WHOLE if len(block.strips) == 1 else None
            placement.places = {**places, **block.places(strip, places)}
            for operation, scale in zip(block.operations, block.scale):
                rows = part or Rows(first=strip[0] * scale, rows=strip[1] * scale)
                body += FORWARD[type(operation)](operation, placement, rows)
    level_of = dict(zip(segment_of, levels))
    segments_of_calls = tuple(Segment(level_of[i], tuple(items)) for i, items in enumerate(calls))
    return finish(placement, (Stage("batch", segments=segments_of_calls),), GROUP, sizes, total)


def _blocks(program: Program, layouts: Mapping[str, Layout], machine: Machine) -> list[Block]:
    """Blocks whose tensors between nothing else reads."""

    def follows(first: Operation, second: Operation) -> bool:
        return program.only_reader(first.output) is second

    return find_blocks(program.operations, follows, layouts, machine.first_cache)


def _lifetimes(
    program: Program,
    layouts: Mapping[str, Layout],
    root: Mapping[str, str],
    blocks: list[Block],
    strips: Mapping[str, int],
) -> dict[str, tuple[int, int, int]]:
    """(first use, last use, numbers) of every place that a plan provides; uses count blocks.

    Within a block nothing is reused: its operations run in turn for each strip, or at once on several cores.
    """
    external = {name for name, _ in (*program.inputs, *program.outputs)}
    lifetimes: dict[str, tuple[int, int, int]] = {}
    for i, block in enumerate(blocks):
        for operation in block.operations:
            for name in (*operation.inputs, operation.output):
                if name in external:
                    continue
                first, _, numbers = lifetimes.get(root[name], (i, i, 0))
                used = strips[name] * layouts[name].view.row_pitch if name in strips else layouts[name].numbers
                lifetimes[root[name]] = (first, i, max(numbers, used))
    return lifetimes


def plan_single(program: Program, machine: Machine, parts: int) -> Schedule:
    """One sample: every operation is a stage whose pieces are rows or channels; small ones are done by one core."""
    program = with_copies(program)
    layouts = lay_out(program, machine.vectors, border, EXACT_READERS)
    root = shared_places(program, layouts, machine.vectors)
    external = external_places(program)
    blocks = _blocks(program, layouts, machine)
    lifetimes = _lifetimes(program, layouts, root, blocks, {})
    offsets, size = pack_lifetimes(lifetimes, ALIGNMENT)
    places = dict(external)
    for name, layout in layouts.items():
        if name not in external:
            places[name] = Place(Pointer("sample", offsets[root[name]] + layout.origin), layout.view, layout.numbers)
    parameters, total = parameter_offsets(program.parameters)
    placement = Placement(machine, program, places, parameters, 1)
    stages: list[Stage] = []
    alone: list[Call] = []
    for operations, shares in _shared_work(program, blocks, parts):
        output = operations[-1].output
        fills = [] if output in external else border_calls(layouts[output], places[output])
        if sum(_work(program, operation) for operation in operations) < SMALL_WORK:
            alone += fills
            for operation in operations:
                alone += FORWARD[type(operation)](operation, placement, WHOLE)
            continue
        if alone:
            stages.append(Stage("alone", pieces=(tuple(alone),)))
            alone = []
        pieces = []
        for share in shares:
            parts_of = zip(operations, share)
            pieces.append([call for item, rows in parts_of for call in FORWARD[type(item)](item, placement, rows)])
        pieces[-1] = fills + pieces[-1]
        stages.append(Stage(output, pieces=tuple(tuple(piece) for piece in pieces if piece)))
    if alone:
        stages.append(Stage("alone", pieces=(tuple(alone),)))
    return finish(placement, tuple(stages), 1, {"sample": size}, total)


def _shared_work(
    program: Program, blocks: list[Block], parts: int
) -> Iterator[tuple[tuple[Operation, ...], list[tuple[Part, ...]]]]:
    """Operations between two barriers, and for each core what part of each of them it does.

    The operations of a block need no barrier where its rows divide well; otherwise each is shared out on its own.
    """
    for block in blocks:
        rows = program.tensors[block.operations[-1].output][0]
        edges = [rows * i // parts for i in range(parts + 1)]
        most = max(last - first for first, last in pairwise(edges))
        if len(block.operations) > 1 and most * parts <= MAXIMUM_IMBALANCE * rows:
            yield (
                block.operations,
                [
                    tuple(Rows(first=first * scale, rows=(last - first) * scale) for scale in block.scale)
                    for first, last in pairwise(edges)
                ],
            )
        else:
            for operation in block.operations:
                yield (operation,), [(Part(i, parts),) for i in range(parts)]


def _work(program: Program, operation: Operation) -> int:
    """About how many steps an operation takes: multiply-adds, or values written."""
    values = prod(program.tensors[operation.output])
    if isinstance(operation, (op.Convolve, op.Multiply)):
        values *= prod(program.parameters[operation.kernel].shape[:-1]) // 4
    return values

"""Plans for prediction: one for batches (a core takes whole samples), one for a single sample (the cores share each map)."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from depthwise import operations as op
from depthwise.emit.elementwise import Fill
from depthwise.emit.maps import MapView
from depthwise.plan.forward import EXACT_READERS, FORWARD, border
from depthwise.plan.layout import Layout, lay_out, pack_lifetimes, shared_places
from depthwise.plan.machine import Machine
from depthwise.plan.placement import ALIGNMENT, WHOLE, Part, Placement
from depthwise.plan.schedule import Call, Place, Pointer, Schedule, Segment, Stage
from depthwise.program import Operation, Parameter, Program

__all__ = ["plan_batches", "plan_single"]

GROUP = 12
"""Samples that a dense layer computes at once: whole tiles on every machine, and one reading of its weights for all."""

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
    lifetimes: dict[str, tuple[int, int, int]] = {}
    touched: dict[str, set[int]] = {}
    for i, operation in enumerate(program.operations):
        for name in (*operation.inputs, operation.output):
            if name in external:
                continue
            first, _, numbers = lifetimes.get(root[name], (i, i, 0))
            lifetimes[root[name]] = (first, i, max(numbers, layouts[name].numbers))
            touched.setdefault(root[name], set()).add(segment_of[i])
            if levels[i] == "group":
                touched[root[name]].add(-1)  # a group's samples are all alive
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
    for operation, segment in zip(program.operations, segment_of):
        if operation.output not in external:
            calls[segment] += border_calls(layouts[operation.output], places[operation.output])
        calls[segment] += FORWARD[type(operation)](operation, placement, WHOLE)
    level_of = dict(zip(segment_of, levels))
    body = tuple(Segment(level_of[i], tuple(items)) for i, items in enumerate(calls))
    return finish(placement, (Stage("batch", segments=body),), GROUP, sizes, total)


def plan_single(program: Program, machine: Machine, parts: int) -> Schedule:
    """One sample: every operation is a stage whose pieces are rows or channels; small ones are done by one core."""
    program = with_copies(program)
    layouts = lay_out(program, machine.vectors, border, EXACT_READERS)
    root = shared_places(program, layouts, machine.vectors)
    external = external_places(program)
    lifetimes: dict[str, tuple[int, int, int]] = {}
    for i, operation in enumerate(program.operations):
        for name in (*operation.inputs, operation.output):
            if name not in external:
                first, _, numbers = lifetimes.get(root[name], (i, i, 0))
                lifetimes[root[name]] = (first, i, max(numbers, layouts[name].numbers))
    offsets, size = pack_lifetimes(lifetimes, ALIGNMENT)
    places = dict(external)
    for name, layout in layouts.items():
        if name not in external:
            places[name] = Place(Pointer("sample", offsets[root[name]] + layout.origin), layout.view, layout.numbers)
    parameters, total = parameter_offsets(program.parameters)
    placement = Placement(machine, program, places, parameters, 1)
    stages: list[Stage] = []
    alone: list[Call] = []
    for operation in program.operations:
        fills = []
        if operation.output not in external:
            fills = border_calls(layouts[operation.output], places[operation.output])
        if _work(program, operation) < SMALL_WORK:
            alone += fills + FORWARD[type(operation)](operation, placement, WHOLE)
            continue
        if alone:
            stages.append(Stage("alone", pieces=(tuple(alone),)))
            alone = []
        pieces = [FORWARD[type(operation)](operation, placement, Part(i, parts)) for i in range(parts)]
        pieces[-1] = fills + pieces[-1]
        stages.append(Stage(operation.output, pieces=tuple(tuple(piece) for piece in pieces if piece)))
    if alone:
        stages.append(Stage("alone", pieces=(tuple(alone),)))
    return finish(placement, tuple(stages), 1, {"sample": size}, total)


def _work(program: Program, operation: Operation) -> int:
    """About how many steps an operation takes: multiply-adds, or values written."""
    values = prod(program.tensors[operation.output])
    if isinstance(operation, (op.Convolve, op.Multiply)):
        values *= prod(program.parameters[operation.kernel].shape[:-1]) // 4
    return values

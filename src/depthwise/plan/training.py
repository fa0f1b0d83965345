"""The plan of a training step: forward, loss and backward sample by sample while the maps are in cache, then the batch's
gradients and the optimiser.

A chunk of samples is a task and collects its own weight gradients; how samples form chunks follows from the batch size
alone, and chunks are added up in their order, so results do not depend on the number of threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from depthwise import gradient_operations as grad
from depthwise import operations as op
from depthwise.emit.contraction import Contraction, Reduction
from depthwise.emit.elementwise import Fill
from depthwise.emit.maps import MapView
from depthwise.emit.optimizer import ClipFactor, OptimizerUpdate, ReduceChunks, SumOfSquares
from depthwise.plan.backward import BACKWARD, EXACT_GRADIENT_READERS, accumulator, border
from depthwise.plan.forward import EXACT_READERS
from depthwise.plan.layout import Layout, lay_out, pack_lifetimes, shared_places
from depthwise.plan.machine import Machine, choose_tile
from depthwise.plan.placement import ALIGNMENT, WHOLE, Placement
from depthwise.plan.prediction import border_calls, external_places, finish, parameter_offsets, with_copies
from depthwise.plan.schedule import Call, Place, Pointer, Schedule, Segment, Stage
from depthwise.plan.strips import Block, find_blocks
from depthwise.program import Operation, Parameter, Program

__all__ = ["Update", "plan_training", "samples_per_chunk"]

GROUP = 4
"""Samples whose maps are kept at once: their dense layers share one reading of the weights."""

MAXIMUM_CHUNKS = 16
ROWS_PER_PIECE = 48
"""Rows of a dense weight gradient that one task computes."""
NUMBERS_PER_PIECE = 1 << 14
"""Numbers of a parameter that one task of the optimiser moves."""

Calls = list[Call]


def samples_per_chunk(batch: int) -> int:
    """Samples of a chunk: from the batch size alone, never from the number of threads."""
    return -(-batch // MAXIMUM_CHUNKS)


@dataclass(frozen=True)
class Update:
    """What the optimiser does, as its kernel needs it; `clip_norm` is for each weight, `global_clip_norm` for all."""

    rule: str
    options: tuple[tuple[str, float], ...]
    slots: int
    decays: bool
    clip_value: float | None
    clip_norm: float | None
    global_clip_norm: float | None


def plan_training(program: Program, update: Update, machine: Machine) -> Schedule:
    """The schedule of one step of the differentiated `program`."""
    return _TrainingPlan(with_copies(program), update, machine).schedule()


def _level(operation: Operation) -> str:
    if isinstance(operation, grad.REDUCE):
        return "reduce"
    return "group" if isinstance(operation, (op.Multiply, grad.MultiplyInputGradient)) else "image"


@dataclass(frozen=True)
class _Step:
    """Where an operation runs: its stage, and its segment within (counted over all stages)."""

    operation: Operation
    level: str
    stage: int
    segment: int


class _TrainingPlan:
    def __init__(self, program: Program, update: Update, machine: Machine) -> None:
        self.program = program
        self.update = update
        self.machine = machine
        self.layouts: dict[str, Layout] = lay_out(
            program, machine.vectors, border, (*EXACT_READERS, *EXACT_GRADIENT_READERS)
        )
        self.root = shared_places(program, self.layouts, machine.vectors)
        self.external = external_places(program)
        self.steps = self._steps()
        self.blocks = self._blocks()
        self.offsets, self.total = parameter_offsets(program.parameters)

    def _steps(self) -> list[_Step]:
        """Operations in order; what runs once all samples are done ends a stage. Dense weight gradients come last."""
        order = [item for item in self.program.operations if not isinstance(item, grad.MultiplyKernelGradient)]
        steps: list[_Step] = []
        stage, segment, previous = 0, 0, ""
        for operation in order:
            level = _level(operation)
            if (level == "reduce" and previous != "reduce") or (previous == "reduce" and level != "reduce"):
                stage += 1
            if level != previous:
                segment += 1
            steps.append(_Step(operation, level, stage, segment))
            previous = level
        return steps

    def _blocks(self) -> dict[str, Block]:
        """The block of every operation that writes a tensor: forward chains run strip by strip here too.

        What lies between is kept for the backward pass, but it is still in L1 when the next operation reads it.
        """
        level = {step.operation.output: (step.level, step.segment) for step in self.steps}

        def follows(first: Operation, second: Operation) -> bool:
            return second.inputs == (first.output,) and level[first.output] == level[second.output]

        operations = [step.operation for step in self.steps if step.operation.output]
        found = find_blocks(self.program, operations, follows, self.layouts, self.machine, windows=False)
        return {operation.output: block for block in found for operation in block.operations}

    # -- memory ------------------------------------------------------------------------------------------------------

    def _places(self) -> tuple[dict[str, Place], dict[str, int]]:
        """Maps of one segment are scratch; those of one stage are kept for a group; the rest for the whole batch."""
        lifetimes: dict[str, tuple[int, int, int]] = {}
        stages: dict[str, set[int]] = {}
        segments: dict[str, set[int]] = {}
        order = {step.operation.output: i for i, step in enumerate(self.steps)}
        for i, step in enumerate(self.steps):
            operation = step.operation
            begin, end = i, i
            if operation.output:  # within a block nothing is reused: its operations take turns
                members = self.blocks[operation.output].operations
                begin, end = order[members[0].output], order[members[-1].output]
            for name in (*operation.inputs, *((operation.output,) if operation.output else ())):
                if name in self.external:
                    continue
                base = self.root[name]
                first, last, numbers = lifetimes.get(base, (begin, end, 0))
                lifetimes[base] = (first, max(last, end), max(numbers, self.layouts[name].numbers))
                stages.setdefault(base, set()).add(step.stage)
                # A group's samples are all alive while a dense layer runs.
                segments.setdefault(base, set()).update((step.segment, *((-1,) if step.level == "group" else ())))
        for operation in self.program.operations:
            if isinstance(operation, grad.MultiplyKernelGradient):
                for name in operation.inputs:
                    stages[self.root[name]].add(-1)
        arenas = {}
        for name in lifetimes:
            alone = len(segments[name]) == 1
            arenas[name] = "sample" if len(stages[name]) > 1 else "local" if alone else "group"
        offsets: dict[str, int] = {}
        sizes: dict[str, int] = {}
        end = len(self.steps)
        for arena in ("local", "group", "sample"):
            chosen = {name: span for name, span in lifetimes.items() if arenas[name] == arena}
            if arena == "sample":  # all samples run through a stage before the next: only whole stages are disjoint
                chosen = {name: (0, end, numbers) for name, (_, _, numbers) in chosen.items()}
            placed, sizes[arena] = pack_lifetimes(chosen, ALIGNMENT)
            offsets.update(placed)
        if sizes["sample"] * 4 % 4096 == 0:
            sizes["sample"] += ALIGNMENT  # samples a multiple of a page apart would share cache sets
        places = dict(self.external)
        for name, layout in self.layouts.items():
            if name not in self.external and self.root[name] in arenas:
                base = self.root[name]
                arena = arenas[base]
                pitch = sizes[arena] if arena != "local" else 0
                places[name] = Place(Pointer(arena, offsets[base] + layout.origin), layout.view, pitch)
        return places, sizes

    # -- calls -------------------------------------------------------------------------------------------------------

    def schedule(self) -> Schedule:
        places, sizes = self._places()
        placement = Placement(self.machine, self.program, places, self.offsets, None)
        self._stages(placement)
        placement.chunk_pitch = placement.sizes.get("chunk", 0)
        stages = self._stages(placement)
        sizes |= {"gradients": self.total, "slots": self.total * self.update.slots}
        return finish(placement, stages, GROUP, sizes, self.total)

    def _stages(self, placement: Placement) -> tuple[Stage, ...]:
        bodies: dict[int, list[_Step]] = {}
        for step in self.steps:
            bodies.setdefault(step.stage, []).append(step)
        stages = []
        cleared = False
        for number, steps in bodies.items():
            if steps[0].level == "reduce":
                pieces = tuple(
                    tuple(BACKWARD[type(step.operation)](step.operation, placement, WHOLE)) for step in steps
                )
                stages.append(Stage(f"reduce {number}", pieces=pieces))
                continue
            segments = self._segments(steps, placement)
            prologue: tuple[Call, ...] = ()
            if not cleared and placement.chunk_pitch:
                whole = MapView(1, 1, placement.chunk_pitch, placement.chunk_pitch, placement.chunk_pitch)
                prologue, cleared = (Call(Fill(whole, None, 0.0), (Pointer("chunk"),)),), True
            stages.append(Stage(f"samples {number}", segments, prologue))
        return (*stages, *self._updates(placement))

    def _segments(self, steps: Sequence[_Step], placement: Placement) -> tuple[Segment, ...]:
        segments: dict[int, tuple[str, Calls]] = {}
        for step in steps:
            calls = segments.setdefault(step.segment, (step.level, []))[1]
            operation = step.operation
            block = self.blocks.get(operation.output)
            if block is None:
                calls += BACKWARD[type(operation)](operation, placement, WHOLE)
            elif operation is block.operations[0]:
                calls += self._block(block, placement)
        return tuple(Segment(level, tuple(calls)) for level, calls in segments.values())

    def _block(self, block: Block, placement: Placement) -> Calls:
        calls: Calls = []
        for operation in block.operations:
            if operation.output not in self.external:
                calls += border_calls(self.layouts[operation.output], placement.places[operation.output])
        for strip in block.strips():
            for operation, part in zip(block.operations, strip):
                calls += BACKWARD[type(operation)](operation, placement, part)
        return calls

    # -- the end of the step -----------------------------------------------------------------------------------------

    def _updates(self, placement: Placement) -> list[Stage]:
        """Gradients of the whole batch, their norms where they are clipped, then the optimiser."""
        gradients: dict[str, list[Calls]] = {}
        for operation in self.program.operations:
            if isinstance(operation, grad.MultiplyKernelGradient):
                further = operation.parameter in gradients
                pieces = self._dense_gradient(operation, placement, "out" if further else "zero")
                before = gradients.get(operation.parameter, [[] for _ in pieces])
                gradients[operation.parameter] = [first + piece for first, piece in zip(before, pieces)]
            elif isinstance(operation, grad.ParameterGradient):
                gradients[operation.parameter] = [self._reduced(operation.parameter, placement)]
            elif isinstance(operation, grad.FinishNormalisationSums):
                for name in (operation.beta, operation.gamma):
                    if name is not None and self.program.parameters[name].trainable:
                        gradients[name] = []
        names = list(gradients)
        stages = [Stage("gradients", pieces=tuple(tuple(piece) for name in names for piece in gradients[name]))]
        factors: dict[str, Pointer] = {}
        if self.update.clip_norm is not None or self.update.global_clip_norm is not None:
            clipping, factors = self._clipping(names, placement)
            stages += clipping
        updates = [
            piece
            for name in names
            for piece in self._update(self.program.parameters[name], factors.get(name), placement)
        ]
        stages.append(Stage("update", pieces=tuple(updates)))
        return [stage for stage in stages if stage.pieces]

    def _reduced(self, name: str, placement: Placement) -> Calls:
        shape = self.program.parameters[name].shape
        rows, columns = self._matrix(name)
        source, pitch = accumulator(placement, name, rows, columns)
        kernel = ReduceChunks(rows, columns, pitch, placement.chunk_pitch)
        assert prod(shape) == rows * columns
        return [Call(kernel, (source, "chunks", placement.gradient(name)))]

    def _matrix(self, name: str) -> tuple[int, int]:
        """Rows and columns of a weight as its gradient collects it: channels across, all else down."""
        shape = self.program.parameters[name].shape
        depthwise = any(
            isinstance(item, grad.DepthwiseKernelGradient) and item.parameter == name
            for item in self.program.operations
        )
        if depthwise:
            return shape[0] * shape[1], shape[2] * shape[3]
        return prod(shape[:-1]), shape[-1]

    def _dense_gradient(
        self, operation: grad.MultiplyKernelGradient, placement: Placement, initial: str
    ) -> list[Calls]:
        """inputsᵀ · gradients over the batch, some rows of the weight a task; a further use of the weight adds to the first."""
        source, gradient = (placement.places[name] for name in operation.inputs)
        inputs, units = source.view.channels, gradient.view.channels
        vectors = self.machine.vectors
        pieces = []
        for first in range(0, inputs, ROWS_PER_PIECE):
            count = min(ROWS_PER_PIECE, inputs - first)
            kernel = Contraction(
                a_rows=(0,),
                out_rows=(0,),
                columns=count,
                a_column=1,
                out_column=units,
                reduction=(Reduction(None, source.sample_pitch, gradient.sample_pitch),),
                channels=units,
                packed=False,
                initial=initial,
                activation="linear",
                exact=units % vectors.lanes > 0,
                tile=choose_tile(vectors, count, units),
                panels_outside=False,
            )
            out = placement.gradient(operation.parameter) + first * units
            pieces.append([Call(kernel, (source.pointer + first, gradient.pointer, gradient.pointer, out, "batch"))])
        return pieces

    def _clipping(self, names: Sequence[str], placement: Placement) -> tuple[list[Stage], dict[str, Pointer]]:
        squares = placement.allocate("vectors", "/squares", ALIGNMENT * len(names))
        factor = placement.allocate("vectors", "/factors", ALIGNMENT * len(names))
        sums, factors = [], {}
        for i, name in enumerate(names):
            count = prod(self.program.parameters[name].shape)
            sums.append((Call(SumOfSquares(count), (placement.gradient(name), squares + i * ALIGNMENT)),))
        stages = [Stage("norms", pieces=tuple(sums))]
        if self.update.global_clip_norm is not None:
            kernel = ClipFactor(len(names), self.update.global_clip_norm)
            stages.append(Stage("clip", pieces=((Call(kernel, (squares, factor)),),)))
            return stages, dict.fromkeys(names, factor)
        assert self.update.clip_norm is not None
        pieces = []
        for i, name in enumerate(names):
            factors[name] = factor + i * ALIGNMENT
            call = Call(ClipFactor(1, self.update.clip_norm), (squares + i * ALIGNMENT, factors[name]))
            pieces.append((call,))
        return [*stages, Stage("clip", pieces=tuple(pieces))], factors

    def _update(self, parameter: Parameter, factor: Pointer | None, placement: Placement) -> list[tuple[Call, ...]]:
        """The optimiser on one parameter, some of its numbers a task: the weights of a dense layer may be most of them all."""
        name, update = parameter.name, self.update
        count = prod(parameter.shape)
        pieces: list[tuple[Call, ...]] = []
        for first in range(0, count, NUMBERS_PER_PIECE):
            kernel = OptimizerUpdate(
                update.rule,
                update.options,
                min(NUMBERS_PER_PIECE, count - first),
                update.slots,
                update.clip_value,
                update.decays,
                factor is not None,
            )
            slots = [Pointer("slots", i * self.total + self.offsets[name] + first) for i in range(update.slots)]
            extra: list[Any] = [] if factor is None else [factor]
            places = (placement.parameter(name) + first, placement.gradient(name) + first)
            pieces.append((Call(kernel, (*places, Pointer("scalars"), *extra, *slots)),))
        return pieces

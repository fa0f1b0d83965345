"""The plan of a training step: forward, loss and backward sample by sample while the maps are in cache, then the batch's
gradients and the optimizer.

A chunk of samples is a task and collects its own weight gradients; how samples form chunks follows from the batch size
alone, and chunks are added up in their order, so results do not depend on the number of threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from math import prod
from typing import Any

from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import Operation, Program, Scope
from depthwise.compiler.ir.types import Value
from depthwise.compiler.ir.update import (
    CLIP_FACTOR,
    FactoredMoments,
    Optimizing,
    Orthogonalisation,
    Phase,
    SpecialPhase,
    sum_of_squares,
)
from depthwise.compiler.kernels.elementwise import Fill
from depthwise.compiler.kernels.maps import MapView
from depthwise.compiler.kernels.moments import FactorMoments
from depthwise.compiler.kernels.optimizer import ClipFactor, LimitNorms, OptimizerUpdate, ReduceChunks, SumOfSquares
from depthwise.compiler.machine import Machine
from depthwise.compiler.plan.layout import Layout, lay_out, pack_lifetimes, shared_places
from depthwise.compiler.plan.orthogonal import Tasks, orthogonalised
from depthwise.compiler.plan.placement import ALIGNMENT, WHOLE, Placement
from depthwise.compiler.plan.prediction import border_calls, external_places, finish, with_copies
from depthwise.compiler.plan.repeats import in_pieces, rolled
from depthwise.compiler.plan.rules import calls_of
from depthwise.compiler.plan.schedule import HAND_OVER, Call, Item, Place, Pointer, Schedule, Segment, Stage
from depthwise.compiler.plan.strips import Block, find_blocks
from depthwise.dataclass import dataclass

__all__ = ["plan_training", "samples_per_chunk", "trainable_weights"]

PIECES_PER_PACKING = 4
"""Tasks among which the panels of one parameter are divided."""

GROUP = 4
"""Samples whose maps are kept at once: their dense layers share one reading of the weights."""

MAXIMUM_CHUNKS = 16
NUMBERS_PER_PIECE = 1 << 14
"""Numbers of a parameter that one task of the optimizer moves."""

Items = list[Item]


def samples_per_chunk(batch: int) -> int:
    """Samples of a chunk: from the batch size alone, never from the number of threads."""
    return -(-batch // MAXIMUM_CHUNKS)


def plan_training(program: Program, machine: Machine, optimizer: Optimizing) -> Schedule:
    """The schedule of one step of the differentiated `program`."""
    return _TrainingPlan(with_copies(program), optimizer, machine).schedule()


def _level(operation: Operation) -> str:
    return {Scope.SAMPLE: "image", Scope.GROUP: "group", Scope.BATCH: "reduce"}[operation.scope]


def _is_last(operation: Operation) -> bool:
    """Whether it runs once all samples are done, and nothing waits for it: the gradient of a dense layer's kernel."""
    return operation.scope is Scope.BATCH and not operation.results


@dataclass(frozen=True)
class _Step:
    """Where an operation runs: its stage, and its segment within (counted over all stages)."""

    operation: Operation
    level: str
    stage: int
    segment: int


def trainable_weights(program: Program) -> dict[str, Value]:
    """The weights that a step changes, by name."""
    return {name: value for name, value in program.live_parameters.items() if value.trainable}


def parameter_offsets(parameters: Mapping[str, Value]) -> tuple[dict[str, int], int]:
    """Where each parameter starts, and how many numbers there are: the trainable ones first."""
    offsets, total = {}, 0
    for parameter in sorted(parameters.values(), key=lambda item: not item.trainable):
        offsets[parameter.name] = total
        total += -(-prod(parameter.shape) // ALIGNMENT) * ALIGNMENT
    return offsets, total


def _packing(placement: Placement) -> tuple[Stage, ...]:
    """The stage that packs the parameters. A large one is packed by several tasks."""
    pieces = []
    for form, target in placement.forms.items():
        source = placement.parameter(form.parameter)
        calls = tuple(Call(copy, (source + first, target + to)) for copy, first, to in form.copies)
        share = -(-len(calls) // PIECES_PER_PACKING)
        pieces += [rolled((call,) for call in calls[first : first + share]) for first in range(0, len(calls), share)]
    return (Stage("pack", pieces=in_pieces(pieces)),) if pieces else ()


class _TrainingPlan:
    def __init__(self, program: Program, optimizer: Optimizing, machine: Machine) -> None:
        self.program = program
        self.update = optimizer.update(trainable_weights(program))
        self.machine = machine
        self.layouts: dict[str, Layout] = lay_out(program, machine.vectors)
        self.root = shared_places(program, self.layouts, machine.vectors)
        self.external = external_places(program)
        self.steps = self._steps()
        self.blocks = self._blocks()
        self.offsets, self.total = parameter_offsets(program.live_parameters)

    def _steps(self) -> list[_Step]:
        """Operations in order; what runs once all samples are done ends a stage. Dense weight gradients come last."""
        order = [item for item in self.program.operations if not _is_last(item)]
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
            reads = self.program.tensor_operands(second)
            return reads == (first.output,) and level[first.output] == level[second.output]

        operations = [
            step.operation for step in self.steps if step.operation.results and step.operation.scope is not Scope.BATCH
        ]
        found = find_blocks(self.program, operations, follows, self.layouts, self.machine, windows=False)
        return {operation.output: block for block in found for operation in block.operations}

    # -- memory ------------------------------------------------------------------------------------------------------

    def _places(self) -> tuple[dict[str, Place], dict[str, int]]:
        """Maps of one segment are scratch; those of one stage are kept for a group; the rest for the whole batch.

        All samples run through a stage before the next one begins, so maps kept for the batch share memory where the stages
        that use them do not overlap.
        """
        lifetimes: dict[str, tuple[int, int, int]] = {}
        stages: dict[str, set[int]] = {}
        segments: dict[str, set[int]] = {}
        order = {step.operation.output: i for i, step in enumerate(self.steps)}
        for i, step in enumerate(self.steps):
            operation = step.operation
            begin, end = i, i
            if operation.output in self.blocks:  # within a block nothing is reused: its operations take turns
                members = self.blocks[operation.output].operations
                begin, end = order[members[0].output], order[members[-1].output]
            for name in (*self.program.tensor_operands(operation), *operation.results):
                if name in self.external or name in self.program.batch_values:
                    continue
                base = self.root[name]
                first, last, numbers = lifetimes.get(base, (begin, end, 0))
                lifetimes[base] = (first, max(last, end), max(numbers, self.layouts[name].numbers))
                stages.setdefault(base, set()).add(step.stage)
                # A group's samples are all alive while a dense layer runs.
                segments.setdefault(base, set()).update((step.segment, *((-1,) if step.level == "group" else ())))
        last_stage = self.steps[-1].stage + 1
        for operation in self.program.operations:
            if _is_last(operation):  # these run once all stages of samples are done
                for name in self.program.tensor_operands(operation):
                    if name not in self.external:
                        stages[self.root[name]].add(last_stage)
        arenas = {}
        for name in lifetimes:
            alone = len(segments[name]) == 1
            arenas[name] = "sample" if len(stages[name]) > 1 else "local" if alone else "group"
        offsets: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for arena in ("local", "group", "sample"):
            chosen = {name: span for name, span in lifetimes.items() if arenas[name] == arena}
            if arena == "sample":
                chosen = {
                    name: (min(stages[name]), max(stages[name]), numbers) for name, (_, _, numbers) in chosen.items()
                }
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

    def _place_batch_values(self, placement: Placement) -> None:
        """Statistics of the batch: those of one operation one after the other."""
        for operation in self.program.operations:
            if operation.scope is not Scope.BATCH or not operation.results:
                continue
            channels = self.program.type(operation.output).map[2]
            padded = self.machine.vectors.round_up(channels)
            first = placement.allocate("vectors", operation.output, len(operation.results) * padded)
            for i, name in enumerate(operation.results):
                view = MapView(1, 1, channels, padded, padded)
                placement.places[name] = Place(first + i * padded, view, 0)

    # -- calls -------------------------------------------------------------------------------------------------------

    def schedule(self) -> Schedule:
        places, sizes = self._places()
        placement = Placement(self.machine, self.program, places, self.offsets, None)
        self._place_batch_values(placement)
        self._stages(placement)
        placement.chunk_pitch = placement.sizes.get("chunk", 0)
        stages = self._stages(placement)
        sizes |= {
            "parameters": self.total,
            "gradients": self.total,
            "slots": self.total * len(self.update.slots),
        }
        return replace(finish(placement, stages, GROUP, sizes), preparation=_packing(placement))

    def _stages(self, placement: Placement) -> tuple[Stage, ...]:
        placement.begun.clear()
        self._reduced: set[tuple[str, str]] = set()
        bodies: dict[int, list[_Step]] = {}
        for step in self.steps:
            bodies.setdefault(step.stage, []).append(step)
        stages = []
        cleared = False
        for number, steps in bodies.items():
            if steps[0].level == "reduce":
                pieces = []
                for step in steps:
                    pieces.append(tuple(calls_of(step.operation, placement, WHOLE)))
                    placement.begun.update(step.operation.accumulates)
                waits = any(isinstance(step.operation, op.HandOver) for step in steps)
                stages.append(Stage(HAND_OVER if waits else f"reduce {number}", pieces=tuple(pieces)))
                continue
            segments = self._segments(steps, placement)
            prologue: tuple[Call, ...] = ()
            if not cleared and placement.chunk_pitch:
                whole = MapView(1, 1, placement.chunk_pitch, placement.chunk_pitch, placement.chunk_pitch)
                prologue, cleared = (Call(Fill(whole, None, 0.0), (Pointer("chunk"),)),), True
            stages.append(Stage(f"samples {number}", segments, prologue))
        return (*stages, *self._updates(placement))

    def _segments(self, steps: Sequence[_Step], placement: Placement) -> tuple[Segment, ...]:
        segments: dict[int, tuple[str, Items]] = {}
        for step in steps:
            calls = segments.setdefault(step.segment, (step.level, []))[1]
            operation = step.operation
            block = self.blocks.get(operation.output)
            if block is None:
                calls += calls_of(operation, placement, WHOLE)
            elif operation is block.operations[0]:
                calls += self._block(block, placement)
        return tuple(Segment(level, tuple(calls)) for level, calls in segments.values())

    def _block(self, block: Block, placement: Placement) -> Items:
        calls: Items = []
        for operation in block.operations:
            if operation.output not in self.external:
                calls += border_calls(self.layouts[operation.output], placement.places[operation.output])
        return calls + rolled(
            [call for operation, part in zip(block.operations, strip) for call in calls_of(operation, placement, part)]
            for strip in block.strips()
        )

    # -- the end of the step -----------------------------------------------------------------------------------------

    def _updates(self, placement: Placement) -> list[Stage]:
        """Gradients of the whole batch, their norms where they are clipped, then the optimizer."""
        gradients: dict[str, list[Items]] = {}
        for operation in self.program.operations:
            for name in operation.accumulates:
                self._add_gradient(name, operation, gradients.setdefault(name, []), placement)
        for name, parameter in self.program.live_parameters.items():
            if parameter.trainable and name not in gradients:  # no loss depends on it, but it decays with the others
                gradients[name] = [[self._no_gradient(parameter, placement)]]
        names = list(gradients)
        stages = [Stage("gradients", pieces=in_pieces(piece for name in names for piece in gradients[name]))]
        stages += self._phases(
            [(name, (self.update.preparation[name],)) for name in names if name in self.update.preparation],
            {},
            placement,
        )
        factors: dict[str, Pointer] = {}
        if self.update.clip is not None:
            clipping, factors = self._clipping(names, placement)
            stages += clipping
        stages += self._phases([(name, self.update.phases[name]) for name in names], factors, placement)
        stages.append(Stage("constraints", pieces=self._limits(names, placement)))
        return [stage for stage in stages if stage.pieces]

    def _limits(self, names: Sequence[str], placement: Placement) -> tuple[tuple[Call, ...], ...]:
        """What brings the norms of weights within their limits."""
        pieces = []
        for name in names:
            limit = self.update.constraints.get(name)
            if limit is not None:
                shape = self.program.parameters[name].shape
                kernel = LimitNorms(shape, limit.axes(len(shape)), limit.limits)
                pieces.append((Call(kernel, (placement.parameter(name),)),))
        return tuple(pieces)

    def _add_gradient(self, name: str, operation: Operation, pieces: list[Items], placement: Placement) -> None:
        """What brings one operation's share of a parameter's gradient to where the optimizer reads it.

        Several shares of one parameter are added one after the other, in one piece.
        """
        if operation.scope is Scope.BATCH and operation.results:  # written by itself, before this stage
            placement.begun.add(name)
            return
        if _is_last(operation):
            calls = calls_of(operation, placement, WHOLE)
            shares: list[Items] = [[call] for call in calls]
        elif (name, "chunks") in self._reduced:
            return
        else:
            self._reduced.add((name, "chunks"))
            shares = [[self._sum_of_chunks(name, operation, placement)]]
        if name in placement.begun and pieces:
            pieces[:] = [rolled([*pieces, *shares])]
        else:
            pieces += shares
        placement.begun.add(name)

    def _no_gradient(self, parameter: Value, placement: Placement) -> Call:
        count = prod(parameter.shape)
        return Call(Fill(MapView(1, 1, count, count, count), None, 0.0), (placement.gradient(parameter.name),))

    def _sum_of_chunks(self, name: str, operation: Any, placement: Placement) -> Call:
        rows, columns = operation.matrix(self.program.type(name).shape)
        source, pitch = placement.accumulator(name, rows, columns)
        kernel = ReduceChunks(rows, columns, pitch, placement.chunk_pitch, name in placement.begun)
        return Call(kernel, (source, "chunks", placement.gradient(name)), operation.origin)

    def _clipping(self, names: Sequence[str], placement: Placement) -> tuple[list[Stage], dict[str, Pointer]]:
        squares, norms = self._squares([(name, "gradient") for name in names], "norms", placement)
        factor = placement.allocate("vectors", "/factors", ALIGNMENT * len(names))
        assert self.update.clip is not None
        limit = Pointer("scalars", self.update.scalars.index(self.update.clip))
        if self.update.clip == "global_clipnorm":
            together = Call(ClipFactor(len(names)), (squares, limit, factor))
            return [norms, Stage("clip", pieces=((together,),))], dict.fromkeys(names, factor)
        factors = {name: factor + i * ALIGNMENT for i, name in enumerate(names)}
        pieces = [
            (Call(ClipFactor(1), (squares + i * ALIGNMENT, limit, factors[name])),) for i, name in enumerate(names)
        ]
        return [norms, Stage("clip", pieces=tuple(pieces))], factors

    def _squares(self, arrays: Sequence[tuple[str, str]], key: str, placement: Placement) -> tuple[Pointer, Stage]:
        """The sums of squares of arrays of weights, one after the other: where they lie, and the stage that computes them."""
        squares = placement.allocate("vectors", f"/{key}", ALIGNMENT * len(arrays))
        pieces = []
        for i, (name, array) in enumerate(arrays):
            count = prod(self.program.parameters[name].shape)
            call = Call(SumOfSquares(count), (self._array(name, array, placement), squares + i * ALIGNMENT))
            pieces.append((call,))
        return squares, Stage(key, pieces=tuple(pieces))

    def _array(self, name: str, array: str, placement: Placement) -> Pointer:
        """Where the weight `name` has an array of `Phase.arrays`."""
        if array == "weight":
            return placement.parameter(name)
        if array == "gradient":
            return placement.gradient(name)
        return Pointer("slots", self.update.slots.index(array) * self.total + self.offsets[name])

    def _phases(
        self,
        programs: Sequence[tuple[str, tuple[Phase | SpecialPhase, ...]]],
        factors: Mapping[str, Pointer],
        placement: Placement,
    ) -> list[Stage]:
        """The first phase of every weight, then the second of those that have one, and so on."""
        stages = []
        for number in range(max((len(phases) for _, phases in programs), default=0)):
            chosen = [(name, phases[number]) for name, phases in programs if number < len(phases)]
            wanted = [(name, array) for name, phase in chosen for array in phase.squares]
            squares = Pointer("vectors")
            if wanted:
                squares, stage = self._squares(wanted, f"squares {number}", placement)
                stages.append(stage)
            pieces: list[tuple[Call, ...]] = []
            orthogonal: list[list[Tasks]] = []
            for name, phase in chosen:
                if isinstance(phase, FactoredMoments):
                    pieces.append((self._moments(name, placement),))
                    continue
                if isinstance(phase, Orthogonalisation):
                    orthogonal.append(
                        self._orthogonalised(
                            name, phase, squares + wanted.index((name, "gradient")) * ALIGNMENT, placement
                        )
                    )
                    continue
                numbers = {
                    sum_of_squares(array).name: squares + wanted.index((name, array)) * ALIGNMENT
                    for array in phase.squares
                }
                if name in factors:
                    numbers[CLIP_FACTOR.name] = factors[name]
                pieces += self._update(name, phase, numbers, placement)
            stages.append(Stage("update" if number == 0 else f"update {number}", pieces=in_pieces(pieces)))
            for turn, tasks in enumerate(zip_longest(*orthogonal, fillvalue=())):
                together = in_pieces(task for of_one in tasks for task in of_one)
                stages.append(Stage(f"orthogonalise {turn}", pieces=together))
        return stages

    def _orthogonalised(
        self, name: str, phase: Orthogonalisation, squares: Pointer, placement: Placement
    ) -> list[Tasks]:
        rows, columns = self.program.parameters[name].shape

        def scalar(key: str) -> Pointer:
            return Pointer("scalars", self.update.scalars.index(key))

        return orthogonalised(name, (rows, columns), phase, placement.gradient(name), squares, scalar, placement)

    def _moments(self, name: str, placement: Placement) -> Call:
        *leading, rows, columns = self.program.parameters[name].shape
        arrays = [self._array(name, array, placement) for array in ("gradient", "r", "c", "velocity")]
        kernel = FactorMoments(prod(leading), rows, columns, self.update.scalars)
        return Call(kernel, (*arrays, Pointer("scalars")))

    def _update(
        self, name: str, phase: Phase, numbers: Mapping[str, Pointer], placement: Placement
    ) -> list[tuple[Call, ...]]:
        """A phase for one weight, some of its numbers a task: the weights of a dense layer may be most of them all."""
        count = prod(self.program.parameters[name].shape)
        arrays = [self._array(name, array, placement) for array in phase.arrays]
        others = (Pointer("scalars"), *(numbers[key] for key in phase.numbers))
        pieces: list[tuple[Call, ...]] = []
        for first in range(0, count, NUMBERS_PER_PIECE):
            kernel = OptimizerUpdate(phase, min(NUMBERS_PER_PIECE, count - first), self.update.scalars)
            pieces.append((Call(kernel, (*(array + first for array in arrays), *others)),))
        return pieces

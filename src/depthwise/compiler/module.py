"""A schedule as IR modules: one with a task function for each stage, and one for each kernel that they call."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Protocol

from depthwise.compiler.frame import frame_of
from depthwise.compiler.kernels.builder import Function, Kernel, Module, Operand, Vectors
from depthwise.compiler.plan.schedule import Call, Item, Pointer, Repeat, Schedule, Segment, Stage, every_call

__all__ = ["CONTEXT_NUMBERS", "Code", "emit_kernel", "emit_stages", "kernels_of", "stage_names"]

CONTEXT_NUMBERS = ("batch", "samples_per_task", "chunks")
"""Integers at the start of the context block; the arenas' addresses follow."""

BY_PARTICIPANT = ("local", "group", "extra")


def stage_names(schedule: Schedule) -> tuple[str, ...]:
    """Symbols of the task functions, in running order: those that pack first."""
    return tuple(f"stage_{i}" for i in range(len(schedule.preparation) + len(schedule.stages)))


def kernels_of(schedule: Schedule) -> dict[str, Kernel]:
    """The kernels of a schedule by name, in the order of their first calls."""
    kernels: dict[str, Kernel] = {}
    for stage in (*schedule.preparation, *schedule.stages):
        for items in stage.lists:
            for call in every_call(items):
                known = kernels.setdefault(call.kernel.name, call.kernel)
                assert known is call.kernel or known == call.kernel, f"two kernels are named {known.name}"
    return kernels


def emit_kernel(kernel: Kernel, vectors: Vectors) -> str:
    """The module of one kernel."""
    module = Module(vectors)
    kernel.emit(module)
    return module.text()


class Code(Protocol):
    """The function that computes a kernel; see `depthwise.compiler.sharing.SharedKernel`."""

    @property
    def symbol(self) -> str: ...

    @property
    def numbers(self) -> tuple[int, ...]: ...

    @property
    def declaration(self) -> str: ...


def emit_stages(schedule: Schedule, vectors: Vectors, code: Mapping[str, Code]) -> str:
    """The module of the task functions; it declares the kernels' functions, `code` by the kernels' names."""
    module = Module(vectors)
    for kernel in kernels_of(schedule):
        module.declare(code[kernel].declaration)
    for name, stage in zip(stage_names(schedule), (*schedule.preparation, *schedule.stages)):
        with module.function(
            name, [("ptr", "context"), ("i64", "task"), ("i64", "participant")], exported=True
        ) as function:
            _StageWriter(schedule, stage, function, code).write()
    return module.text()


class _StageWriter:
    def __init__(self, schedule: Schedule, stage: Stage, function: Function, code: Mapping[str, Code]) -> None:
        self.code = code
        self.schedule = schedule
        self.stage = stage
        self.function = function
        self.names = frame_of(schedule).arenas
        self.steps = self._sample_steps()

    def _sample_steps(self) -> dict[str, int]:
        """How far each arena moves from one sample to the next."""
        sizes, schedule = self.schedule.sizes, self.schedule
        steps = {"sample": sizes.get("sample", 0), "group": sizes.get("group", 0)}
        steps |= {f"input{i}": size for i, size in enumerate(schedule.input_sizes)}
        steps |= {f"output{i}": size for i, size in enumerate(schedule.output_sizes)}
        return steps

    def write(self) -> None:
        if self.stage.pieces:
            self._pieces()
        else:
            self._chunk()

    def number(self, name: str) -> str:
        return self.function.load_integer("%context", CONTEXT_NUMBERS.index(name))

    def _arenas(self) -> dict[str, str]:
        """The address of every arena that the stage uses: where it starts for this participant or chunk."""
        function = self.function
        calls = (call for items in self.stage.lists for call in every_call(items))
        used = {item.arena for call in calls for item in call.arguments if isinstance(item, Pointer)}
        bases = {}
        for name in sorted(used):
            base = function.load_pointer("%context", len(CONTEXT_NUMBERS) + self.names.index(name))
            if name in BY_PARTICIPANT:
                numbers = self.schedule.sizes[name] * (self.schedule.group if name == "group" else 1)
                base = function.offset(base, function.multiply("%participant", numbers))
            elif name == "chunk" and not self.stage.pieces:
                base = function.offset(base, function.multiply("%task", self.schedule.sizes["chunk"]))
            bases[name] = base
        return bases

    def _items(
        self,
        items: Iterable[Item],
        bases: dict[str, str],
        numbers: dict[str, Operand],
        moves: Sequence[Sequence[Operand]] | None = None,
    ) -> None:
        """Writes calls and loops; `moves` says how far the loops around have moved each argument of each call."""
        each = iter(moves) if moves is not None else None
        for item in items:
            if isinstance(item, Call):
                self._call(item, bases, numbers, next(each) if each else None)
                continue
            outer = [next(each) for _ in item.steps] if each else [[0] * len(step) for step in item.steps]
            with self.function.loop(0, item.count) as loop:
                self._items(item.body, bases, numbers, self._moves(item, outer, loop.index))

    def _moves(self, repeat: Repeat, outer: Sequence[Sequence[Operand]], index: Operand) -> list[list[Operand]]:
        """How far each argument has moved in round `index`; equal distances are computed once."""
        known: dict[tuple[Operand, int], Operand] = {}
        moves = []
        for before, steps in zip(outer, repeat.steps):
            for pair in zip(before, steps):
                if pair not in known:
                    product = known.setdefault((0, pair[1]), self.function.multiply(index, pair[1]))
                    known[pair] = self.function.add(pair[0], product)
            moves.append([known[pair] for pair in zip(before, steps)])
        return moves

    def _call(
        self, call: Call, bases: dict[str, str], numbers: dict[str, Operand], moves: Sequence[Operand] | None
    ) -> None:
        function = self.function
        arguments = []
        for item, move in zip(call.arguments, moves or [0] * len(call.arguments)):
            if isinstance(item, Pointer):
                arguments.append(f"ptr {function.offset(bases[item.arena], function.add(move, item.offset))}")
            else:
                arguments.append(f"i64 {numbers[item]}")
        code = self.code[call.kernel.name]
        if code.numbers:
            arguments.append(f"ptr {function.module.table(code.numbers)}")
        function.call(code.symbol, arguments, call.kernel.name)

    def _pieces(self) -> None:
        function, pieces = self.function, self.stage.pieces
        bases = self._arenas()
        numbers: dict[str, Operand] = {"batch": self.number("batch"), "chunks": self.number("chunks"), "sample": 0}
        counts = [piece.count if isinstance(piece, Repeat) else 1 for piece in pieces]
        first = [0, *accumulate(counts)]
        cases = " ".join(
            f"i64 {start + j}, label %piece{i}" for i, start in enumerate(first[:-1]) for j in range(counts[i])
        )
        function.line(f"switch i64 %task, label %over [ {cases} ]")
        for i, piece in enumerate(pieces):
            function.label(f"piece{i}")
            if isinstance(piece, Repeat):
                still = [[0] * len(step) for step in piece.steps]
                moves = self._moves(piece, still, function.subtract("%task", first[i]))
                self._items(piece.body, bases, numbers, moves)
            else:
                self._items(piece, bases, numbers)
            function.line("br label %over")
        function.label("over")

    def _chunk(self) -> None:
        function, stage = self.function, self.stage
        bases = self._arenas()
        batch, share = self.number("batch"), self.number("samples_per_task")
        numbers: dict[str, Operand] = {"batch": batch}
        self._items(stage.prologue, bases, numbers)
        first = function.multiply("%task", share)
        stop = function.minimum(function.add(first, share), batch)
        with function.loop(first, stop, self.schedule.group) as group:
            images = function.minimum(function.subtract(stop, group.index), self.schedule.group)
            numbers["images"] = images
            moved = self._moved(bases, group.index, within_group=False)
            for segment in stage.segments:
                self._segment(segment, moved, group.index, images, numbers)

    def _segment(
        self, segment: Segment, bases: dict[str, str], first: str, images: Operand, numbers: dict[str, Operand]
    ) -> None:
        function = self.function
        if segment.level == "group":
            self._items(segment.calls, bases, numbers)
            return
        with function.loop(0, images) as image:
            sample = function.add(first, image.index)
            self._items(
                segment.calls, self._moved(bases, image.index, within_group=True), {**numbers, "sample": sample}
            )

    def _moved(self, bases: dict[str, str], samples: str, *, within_group: bool) -> dict[str, str]:
        """The arenas' addresses `samples` samples on; a group's memory starts over with each group."""
        function = self.function
        return {
            name: function.offset(base, function.multiply(samples, self.steps[name]))
            if name in self.steps and (within_group or name != "group")
            else base
            for name, base in bases.items()
        }

"""A schedule run on paper: which numbers every task reads and writes, worked out from the IR of its kernels.

Nothing is compiled: the integers of a kernel's text are evaluated with NumPy for all rounds of its loops at once, so the
addresses are exact, for any machine's vectors.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.compiler.kernels.builder import Module, Vectors
from depthwise.compiler.plan.schedule import Call, Pointer, Schedule, Stage, written_out

__all__ = ["Task", "UnknownInstructionError", "kernel_addresses", "simulate"]

Integers = npt.NDArray[np.int64]
Addresses = dict[str, tuple[Integers, Integers]]
"""For each pointer argument: the numbers read and the numbers written, relative to the pointer, each once."""

Mask = npt.NDArray[np.bool_]
PRIVATE = ("local", "group", "extra")
NOTHING: Integers = np.zeros(0, np.int64)

NUMBERS = r"(?:<\d+\ x\ (?:float|i32|i1)>|float|i32|i1)"
ELEMENT = r"(?:<(\d+) x (?:float|i32)>|float|i32)"
WITHOUT_ADDRESSES = re.compile(
    rf"""
    ret\ void
    | br\ (i1\ \S+,\ label\ \S+,\ )?label\ \S+
    | \S+\ =\ phi\ (i64|{NUMBERS})\ .+
    | \S+\ =\ (fadd|fsub|fmul|fdiv|fneg|add|sub|mul|or|xor|shl|lshr|ashr)\ (nsw\ )?{NUMBERS}\ .+
    | \S+\ =\ [fi]cmp\ \w+\ {NUMBERS}\ .+
    | \S+\ =\ select\ {NUMBERS}\ .+,\ {NUMBERS}\ .+,\ {NUMBERS}\ .+
    | \S+\ =\ (insertelement|extractelement|shufflevector)\ {NUMBERS}\ .+
    | \S+\ =\ (bitcast|trunc|sitofp)\ (i64|{NUMBERS})\ .+\ to\ {NUMBERS}
    | \S+\ =\ call\ {NUMBERS}\ @llvm\.(fma|fmuladd|sqrt|rint|copysign|fabs|vector\.reduce\.f(add|max))\.\w+\(.+
    """,
    re.VERBOSE,
)
"""Lines that compute numbers from numbers: with no `ptr` among their operands, they touch no memory and make no address."""


class UnknownInstructionError(AssertionError):
    """The simulation does not know what a line of IR reads, writes or points to."""


class _Evaluator:
    """Reads one function; a value inside loops is an array with an axis for each of them."""

    def __init__(
        self, lines: list[str], tables: Mapping[str, Integers], pointers: Iterable[str], numbers: Mapping[str, int]
    ) -> None:
        self.lines = [line.strip() for line in lines]
        self.tables = tables
        self.values: dict[str, Integers] = {f"%{name}": np.array(value) for name, value in numbers.items()}
        self.pointers: dict[str, tuple[str, Integers]] = {
            **{f"%{name}": (name, np.array(0)) for name in pointers},
            **{name: (name, np.array(0)) for name in tables},
        }
        self.depth = 0
        self.idle = 0  # loops around us that run no round
        self.reads: dict[str, list[Integers]] = {}
        self.writes: dict[str, list[Integers]] = {}

    def value(self, text: str) -> Integers:
        found = np.array(int(text)) if text.lstrip("-").isdigit() else self.values[text]
        return found.reshape(found.shape + (1,) * (self.depth - found.ndim))

    def pointer(self, text: str) -> tuple[str, Integers]:
        base, offset = self.pointers[text]
        return base, offset.reshape(offset.shape + (1,) * (self.depth - offset.ndim))

    def run(self) -> None:
        ends = {
            match[1]: match for line in self.lines if (match := re.match(r"br i1 (\S+), label %(\S+)\.body,", line))
        }
        stops, steps = {}, {}
        definitions = {line.split(" = ")[0]: line.split(" = ")[1] for line in self.lines if " = " in line}
        for condition, match in ends.items():
            comparison = re.match(r"icmp slt i64 (\S+), (\S+)$", definitions[condition])
            assert comparison is not None
            advance = re.match(r"add nuw nsw i64 \S+, (\S+)$", definitions.get(comparison[1], ""))
            if advance is not None:  # else it is the guard before a loop
                stops[match[2]], steps[match[2]] = comparison[2], advance[1]
        for number, line in enumerate(self.lines):
            label = line[:-1] if line.endswith(":") else ""
            loop, _, part = label.rpartition(".")
            if loop in stops:
                if part == "body":
                    self._enter(self.lines[number + 1], stops[loop], steps[loop])
                else:
                    self.depth -= 1
                    self.idle -= self.idle > 0
            elif not label:
                self._line(line)

    def _enter(self, phi: str, stop: str, step: str) -> None:
        match = re.match(r"(\S+) = phi i64 \[ ([^,]+),", phi)
        assert match is not None
        bounds = [np.unique(self.value(text)) for text in (match[2], stop, step)]
        assert all(bound.size == 1 for bound in bounds), "a loop whose bounds change from round to round"
        rounds = np.arange(*(int(bound[0]) for bound in bounds))
        self.idle += bool(self.idle or not rounds.size)
        self.values[match[1]] = rounds.reshape((1,) * self.depth + (-1,))
        self.depth += 1

    def _line(self, line: str) -> None:
        if match := re.match(r"(\S+) = (add|sub|mul|udiv)(?: n[su]w)* i64 (\S+), (\S+)$", line):
            a, b = self.value(match[3]), self.value(match[4])
            operation: Any = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "udiv": np.floor_divide}[match[2]]
            self.values[match[1]] = operation(a, b)
        elif match := re.match(r"(\S+) = icmp slt i64 (\S+), (\S+)$", line):
            self.values[match[1]] = np.asarray(self.value(match[2]) < self.value(match[3]))
        elif match := re.match(r"(\S+) = select i1 (\S+), i64 (\S+), i64 (\S+)$", line):
            self.values[match[1]] = np.where(*(self.value(text) for text in match.groups()[1:]))
        elif match := re.match(r"(\S+) = getelementptr (float|i64), ptr (\S+), i64 (\S+)$", line):
            base, offset = self.pointer(match[3])
            if (match[2] == "i64") != (base in self.tables):
                raise UnknownInstructionError(line)
            self.pointers[match[1]] = (base, offset + self.value(match[4]))
        elif match := re.match(r"(\S+) = load i64, ptr ([^,]+), align 8$", line):
            base, index = self.pointer(match[2])
            if base not in self.tables:
                raise UnknownInstructionError(line)
            self.values[match[1]] = self.tables[base][index]
        elif match := re.match(rf"\S+ = load {ELEMENT}, ptr ([^,]+), align 4$", line):
            self._touch(self.reads, match[2], int(match[1] or 1))
        elif match := re.match(rf"store {ELEMENT} .+, ptr ([^,]+), align 4$", line):
            self._touch(self.writes, match[2], int(match[1] or 1))
        elif match := re.match(
            r"(?:\S+ = )?call .*@llvm\.masked\.(load|store)\.v\d+f32\.p0\(.*?ptr align 4 ([^,]+), "
            r"<\d+ x i1> <(i1 true(?:, i1 true)*)(?:, i1 false)*>(?:, [^<]*<\d+ x float> zeroinitializer)?\)$",
            line,
        ):
            where = self.reads if match[1] == "load" else self.writes
            self._touch(where, match[2], match[3].count("i1 true"))
        elif "ptr" in line or not WITHOUT_ADDRESSES.fullmatch(line):
            raise UnknownInstructionError(line)

    def _touch(self, where: dict[str, list[Integers]], pointer: str, numbers: int) -> None:
        if self.idle:
            return
        base, offset = self.pointer(pointer)
        places = (np.unique(offset)[:, None] + np.arange(numbers)).ravel()
        if (
            where is self.reads and base in self.writes
        ):  # what an earlier line of the same kernel stored, softmax for one
            places = np.setdiff1d(places, np.concatenate(self.writes[base]))
        if places.size:
            where.setdefault(base, []).append(places)


@functools.lru_cache(maxsize=2048)
def kernel_addresses(kernel: Any, vectors: Vectors, numbers: tuple[tuple[str, int], ...] = ()) -> Addresses:
    """What one call of a kernel touches; `numbers` are its arguments that are not pointers."""
    module = Module(vectors)
    name = kernel.emit(module)
    text = module.text()
    tables = {
        match[1]: np.array([int(item.split()[-1]) for item in match[2].split(",")])
        for match in re.finditer(r"^(@table\d+) = internal constant \[\d+ x i64\] \[(.*)\],", text, re.MULTILINE)
    }
    body = text[text.index(f'@"{name}"(') :].split("\n}", 1)[0].splitlines()[1:]
    counted = dict(numbers)
    evaluator = _Evaluator(body, tables, [name for name in kernel.arguments if name not in counted], counted)
    evaluator.run()
    return {
        argument: (_joined(evaluator.reads.get(argument)), _joined(evaluator.writes.get(argument)))
        for argument in kernel.arguments
    }


def _joined(parts: list[Integers] | None) -> Integers:
    return np.unique(np.concatenate(parts)) if parts else NOTHING


@dataclass
class Task:
    """One task of a stage: for each number of each arena whether it reads it before it writes it, and whether it writes it."""

    stage: str
    number: int
    reads: dict[str, Mask]
    writes: dict[str, Mask]


def simulate(schedule: Schedule, vectors: Vectors, batch: int, samples_per_task: int) -> Iterator[list[Task]]:
    """The tasks of each stage of a run, in order: those that pack first. What only one thread sees is named after its task."""
    run = _Run(schedule, vectors, batch, samples_per_task)
    for index, stage in enumerate((*schedule.preparation, *schedule.stages)):
        tasks = stage.task_count or -(-batch // samples_per_task)
        yield [run.task(stage, f"{stage.name} ({index})", number) for number in range(tasks)]


class _Run:
    def __init__(self, schedule: Schedule, vectors: Vectors, batch: int, samples_per_task: int) -> None:
        self.schedule, self.vectors = schedule, vectors
        self.batch, self.share = batch, samples_per_task
        sizes = schedule.sizes
        self.steps = {"sample": sizes.get("sample", 0), "group": sizes.get("group", 0)}
        self.steps |= {f"input{i}": size for i, size in enumerate(schedule.input_sizes)}
        self.steps |= {f"output{i}": size for i, size in enumerate(schedule.output_sizes)}

    def task(self, stage: Stage, name: str, number: int) -> Task:
        task = Task(name, number, {}, {})
        numbers = {"batch": self.batch, "chunks": -(-self.batch // self.share), "sample": 0}
        if stage.pieces:
            for call in written_out(stage.tasks[number]):
                self._call(task, call, numbers, {})
            return task
        chunk = {"chunk": number * self.schedule.sizes.get("chunk", 0)}
        for call in written_out(stage.prologue):
            self._call(task, call, numbers, chunk)
        stop = min((number + 1) * self.share, self.batch)
        for first in range(number * self.share, stop, self.schedule.group):
            images = min(stop - first, self.schedule.group)
            for segment in stage.segments:
                for image in range(1 if segment.level == "group" else images):
                    moved = {
                        name: (image if name == "group" else first + image) * step for name, step in self.steps.items()
                    }
                    values = {**numbers, "images": images, "sample": first + image}
                    for call in written_out(segment.calls):
                        self._call(task, call, values, {**chunk, **moved})
        return task

    def _call(self, task: Task, call: Call, numbers: Mapping[str, int], bases: Mapping[str, int]) -> None:
        # A count does not change what a kernel touches unless it is one of positions or of the sum.
        values = tuple(
            (name, 0 if item == "sample" else numbers[item])
            for name, item in zip(call.kernel.arguments, call.arguments)
            if isinstance(item, str)
        )
        addresses = kernel_addresses(call.kernel, self.vectors, values)
        places = [
            (self._arena(item.arena, task), item.offset + bases.get(item.arena, 0), addresses[name])
            for name, item in zip(call.kernel.arguments, call.arguments)
            if isinstance(item, Pointer)
        ]
        for arena, base, (reads, _) in places:
            if reads.size:
                new = reads + base
                self._mask(task.reads, arena)[new[~self._mask(task.writes, arena)[new]]] = True
        for arena, base, (_, writes) in places:
            if writes.size:
                assert writes[0] + base >= 0, (call.kernel.name, arena)
                self._mask(task.writes, arena)[writes + base] = True

    def _mask(self, masks: dict[str, Mask], arena: str) -> Mask:
        if arena not in masks:
            masks[arena] = np.zeros(self.numbers(arena), np.bool_)
        return masks[arena]

    def numbers(self, arena: str) -> int:
        """How many numbers an arena has: what `Executable` reserves, or the caller gives."""
        name = arena.partition(" ")[0]
        size = self.schedule.sizes.get(name, 0)
        if name.startswith("input"):
            return self.batch * max(1, *(size for size in (*self.schedule.input_sizes, 1)))
        if name.startswith("output"):
            return self.batch * self.schedule.output_sizes[int(name.removeprefix("output"))]
        factors = {"sample": self.batch, "chunk": -(-self.batch // self.share), "group": self.schedule.group}
        return 64 if name == "scalars" else size * factors.get(name, 1)

    def _arena(self, arena: str, task: Task) -> str:
        return f"{arena} of {task.stage} {task.number}" if arena in PRIVATE else arena

"""What the compiler made on the way, as text files: for whoever wants to see it work.

`DEPTHWISE_DUMP=program,schedule,ir,assembly` chooses the steps, `DEPTHWISE_DUMP_DIR` the folder (`depthwise-dump` where it is
not set). Every compilation writes a folder of its own inside, numbered through the process.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from depthwise.compiler.ir.program import Program
from depthwise.compiler.native.compile import Source, assembly
from depthwise.compiler.native.targets import Target
from depthwise.compiler.plan.schedule import Call, Item, Pointer, Repeat, Schedule, Stage
from depthwise.dataclass import dataclass
from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.files import atomic_write_text

__all__ = ["FOLDER_VARIABLE", "STEPS", "STEPS_VARIABLE", "Dump", "dump_everything", "program_text", "schedule_text"]

STEPS_VARIABLE = "DEPTHWISE_DUMP"
FOLDER_VARIABLE = "DEPTHWISE_DUMP_DIR"
STEPS = ("program", "schedule", "ir", "assembly")
LONGEST_NAME = 100

_numbers = itertools.count(1)


def dump_everything(folder: str | os.PathLike[str]) -> None:
    """Has every later compilation of this process write all its steps into `folder`."""
    os.environ[STEPS_VARIABLE] = ",".join(STEPS)
    os.environ[FOLDER_VARIABLE] = os.fspath(folder)


@dataclass(frozen=True)
class Dump:
    """Writes the chosen `steps` of one compilation into `folder`; nothing where there are none."""

    steps: frozenset[str] = frozenset()
    folder: Path = Path()

    @classmethod
    def from_environment(cls, name: str) -> "Dump":
        """What the environment asks for, for the compilation called `name`.

        Raises:
            InvalidArgumentError: an unknown step.
        """
        steps = [step.strip() for step in os.environ.get(STEPS_VARIABLE, "").split(",")]
        chosen = frozenset(step for step in steps if step)
        for step in sorted(chosen - set(STEPS)):
            raise InvalidArgumentError(
                f"{STEPS_VARIABLE} names the step {describe_value(step)}, which is unknown; use some of "
                f"{', '.join(STEPS)}, with commas between them"
            )
        if not chosen:
            return cls()
        folder = Path(os.environ.get(FOLDER_VARIABLE) or "depthwise-dump")
        return cls(chosen, folder / f"{next(_numbers):02d}-{_file_name(name)}")

    def program(self, program: Program) -> None:
        """Writes the optimised program."""
        if "program" in self.steps:
            self._write("program.txt", program_text(program))

    def schedule(self, schedule: Schedule) -> None:
        """Writes the plan."""
        if "schedule" in self.steps:
            self._write("schedule.txt", schedule_text(schedule))

    def modules(self, modules: Callable[[], Mapping[str, Source]], target: Target) -> None:
        """Writes the IR of every module, and its assembly."""
        if not self.steps & {"ir", "assembly"}:
            return
        for name, source in modules().items():
            if "ir" in self.steps:
                self._write(f"ir/{_file_name(name)}.ll", source.text)
            if "assembly" in self.steps:
                text = assembly(source.text, target, source.optimisation)
                self._write(f"assembly/{_file_name(name)}.s", text)

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgumentError(
                f"the folder {describe_value(str(path.parent))} cannot be made ({error.strerror}); name another one in "
                f"{FOLDER_VARIABLE}"
            ) from None
        atomic_write_text(path, text)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)[:LONGEST_NAME]


def program_text(program: Program) -> str:
    """The program: inputs, outputs, parameters, then an operation a line with the shape that it writes."""
    lines = [f"input {name} {shape}" for name, shape in program.inputs]
    lines += [f"output {name} {shape}" for name, shape in program.outputs]
    lines += [f"parameter {parameter}" for parameter in program.parameters.values()]
    lines.append("")
    for operation in program.operations:
        lines.append(f"{operation.output or '-'} {program.tensors.get(operation.output, '')} = {operation}")
    return "\n".join(lines) + "\n"


def schedule_text(schedule: Schedule) -> str:
    """The plan: the arenas, then the calls of every stage with the addresses that they get, in float32 numbers."""
    lines = [f"arena {name}: {numbers}" for name, numbers in schedule.sizes.items()]
    lines += [f"parameter {name}: parameters+{offset}" for name, offset in schedule.parameter_offsets.items()]
    lines += [f"packed{i}: a form of {form.parameter}" for i, form in enumerate(schedule.forms)]
    lines.append(f"samples of a group: {schedule.group}")
    for stage in (*schedule.preparation, *schedule.stages):
        lines += ["", f"stage {stage.name}", *_stage_lines(stage)]
    return "\n".join(lines) + "\n"


def _stage_lines(stage: Stage) -> list[str]:
    lines = _item_lines(stage.prologue, "  ")
    for segment in stage.segments:
        lines.append(f"  for every {segment.level}:")
        lines += _item_lines(segment.calls, "    ")
    number = 0
    for piece in stage.pieces:
        if isinstance(piece, Repeat):
            lines.append(f"  tasks {number} to {number + piece.count - 1}:")
            lines += _item_lines(piece.body, "    ", piece.steps)
            number += piece.count
        else:
            lines.append(f"  task {number}:")
            lines += _item_lines(piece, "    ")
            number += 1
    return lines


def _item_lines(items: Iterable[Item], indent: str, *loops: tuple[tuple[int, ...], ...]) -> list[str]:
    """Calls and loops; `loops` are the steps of the loops around, outermost first."""
    lines, done = [], 0
    for item in items:
        if isinstance(item, Call):
            lines.append(indent + _call_text(item, [steps[done] for steps in loops]))
            done += 1
        else:
            inner = [steps[done : done + len(item.steps)] for steps in loops]
            lines.append(f"{indent}{item.count} times:")
            lines += _item_lines(item.body, indent + "  ", *inner, item.steps)
            done += len(item.steps)
    return lines


def _call_text(call: Call, moves: list[tuple[int, ...]]) -> str:
    """One call; after each address how far it moves in each round of the loops around."""
    arguments = []
    for i, (name, item) in enumerate(zip(call.kernel.arguments, call.arguments)):
        place = f"{item.arena}+{item.offset}" if isinstance(item, Pointer) else item
        steps = ",".join(f"{steps[i]:+}" for steps in moves)
        arguments.append(f"{name}={place}" + (f"[{steps}]" if any(steps[i] for steps in moves) else ""))
    return f"{call.kernel.name}({', '.join(arguments)})"

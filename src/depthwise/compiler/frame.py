"""What a compiled program needs of its caller: memory, the parameters' forms, and how many tasks each stage has.

It is all that is left of a schedule when its code is there, and small enough to be kept beside it.
"""

from collections.abc import Mapping
from typing import Any

from depthwise.compiler.ir.program import Program
from depthwise.compiler.ir.types import Derived
from depthwise.compiler.kernels.elementwise import StridedCopy
from depthwise.compiler.plan.schedule import ARENAS, HAND_OVER, Form, Schedule
from depthwise.dataclass import dataclass

__all__ = ["Frame", "frame_of", "read_frame", "write_frame"]


@dataclass(frozen=True)
class Frame:
    """Memory and tasks; the attributes that a `Schedule` has too mean the same.

    Attributes:
        tasks: of each stage in running order, those that pack first; 0 for a stage that has one for each chunk.
        packs: whether stages pack the parameters, so that the caller does not.
        hand_over: the number of the stage before which the caller computes gradients; None where there is none.
        derived: how parameters follow from the model's weights.
    """

    tasks: tuple[int, ...]
    packs: bool
    hand_over: int | None
    group: int
    sizes: Mapping[str, int]
    input_sizes: tuple[int, ...]
    output_sizes: tuple[int, ...]
    parameter_offsets: Mapping[str, int]
    forms: tuple[Form, ...]
    derived: Mapping[str, Derived]

    @property
    def arenas(self) -> tuple[str, ...]:
        """The arenas in the order of their addresses in the context block."""
        fixed = (*(name for name in ARENAS if name != "input0"), *(f"packed{i}" for i in range(len(self.forms))))
        inputs = tuple(f"input{i}" for i in range(len(self.input_sizes)))
        return (*fixed, *inputs, *(f"output{i}" for i in range(len(self.output_sizes))))


def frame_of(schedule: Schedule, program: Program | None = None) -> Frame:
    """The frame of a schedule of `program`."""
    stages = (*schedule.preparation, *schedule.stages)
    return Frame(
        tuple(stage.task_count for stage in stages),
        bool(schedule.preparation),
        next((i for i, stage in enumerate(stages) if stage.name == HAND_OVER), None),
        schedule.group,
        schedule.sizes,
        schedule.input_sizes,
        schedule.output_sizes,
        schedule.parameter_offsets,
        schedule.forms,
        {} if program is None else program.derived,
    )


def write_frame(frame: Frame) -> dict[str, Any]:
    """The frame as values that JSON can hold."""
    forms = [
        (form.parameter, form.numbers, [(copy.loops, first, to) for copy, first, to in form.copies])
        for form in frame.forms
    ]
    derived = {name: (item.rule, item.sources, item.constants) for name, item in frame.derived.items()}
    return {**vars(frame), "forms": forms, "derived": derived}


def read_frame(values: Mapping[str, Any]) -> Frame:
    """The frame that `write_frame` wrote, from JSON."""
    forms = (
        Form(
            name,
            numbers,
            tuple((StridedCopy(tuple(tuple(loop) for loop in loops)), first, to) for loops, first, to in copies),
        )
        for name, numbers, copies in values["forms"]
    )
    derived = {
        name: Derived(rule, tuple(sources), tuple(constants))
        for name, (rule, sources, constants) in values["derived"].items()
    }
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name not in ("forms", "derived")
    }
    return Frame(**plain, forms=tuple(forms), derived=derived)

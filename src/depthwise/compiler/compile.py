"""The compiler from the optimised program to code that runs: `compile` is the whole of it."""

import functools
import hashlib
import importlib
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from depthwise.compiler import functions, kernels, module, sharing
from depthwise.compiler.dump import Dump
from depthwise.compiler.frame import Frame, frame_of
from depthwise.compiler.ir import expression
from depthwise.compiler.ir.program import Program
from depthwise.compiler.kernels.builder import Vectors
from depthwise.compiler.machine import Machine
from depthwise.compiler.module import emit_stages, kernels_of, stage_names
from depthwise.compiler.native import scheduler
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.compile import LoadedCode, Source
from depthwise.compiler.native.load import load_program, program_key
from depthwise.compiler.native.targets import Target
from depthwise.compiler.plan.schedule import Schedule
from depthwise.compiler.sharing import shared_kernels
from depthwise.dataclass import dataclass

__all__ = ["Compiled", "Plan", "Planned", "compile", "modules", "schedule_identity"]

Plan = Callable[[Program, Machine], Schedule]

STAGES_OPTIMISATION = 0
"""Stages only compute addresses and call kernels. On their long chains of calls, LLVM's better levels take ten times as long
to compile, and save some ten instructions of a call."""


@dataclass(frozen=True)
class Compiled:
    """The code, `native.scheduler.PARTICIPATE` is the function that a thread team runs, and what it needs of its caller."""

    frame: Frame
    code: LoadedCode


@dataclass(frozen=True)
class Planned(Compiled):
    """Compiled code with the schedule that it was made of, and its key in the cache."""

    schedule: Schedule
    key: str


def compile(program: Program, plan: Plan, machine: Machine, target: Target, cache: CompileCache) -> Planned:
    """Compiles an optimised program (see `passes.simplify`), or takes its code from the cache.

    Args:
        program: what to compute.
        plan: decides where everything lies and which kernels run in which order.
        machine: what the plan may know of the machine; target: the machine for LLVM.
        cache: holds whole programs by their schedule, and single kernels by their IR, so that networks share them.
    """
    dump = Dump.from_environment(getattr(plan, "func", plan).__name__)
    dump.program(program)
    schedule = plan(program, machine)
    dump.schedule(schedule)
    identity = schedule_identity(schedule, machine.vectors)
    code = load_program(
        identity,
        lambda: [*modules(schedule, machine.vectors, target).values()],
        target,
        cache,
    )
    dump.modules(lambda: modules(schedule, machine.vectors, target), target)
    return Planned(frame_of(schedule, program), code, schedule, program_key(identity, target))


def modules(schedule: Schedule, vectors: Vectors, target: Target) -> dict[str, Source]:
    """The modules of a schedule by name: its stages, the scheduler around them, and each kernel's function by itself."""
    code = shared_kernels(kernels_of(schedule), vectors)
    stages = stage_names(schedule)
    return {
        "stages": Source(
            emit_stages(schedule, vectors, code) + scheduler.stage_table_ir(stages),
            optimisation=STAGES_OPTIMISATION,
            calls=frozenset(item.symbol for item in code.values()),
        ),
        "scheduler": Source(
            scheduler.participate_ir(target, table_elsewhere=True), calls=scheduler.TABLE_SYMBOLS, shared=True
        ),
        **{item.symbol: Source(item.text, shared=True) for item in code.values()},
    }


def schedule_identity(schedule: Schedule, vectors: Vectors) -> str:
    """Text that is equal for schedules of equal IR: they themselves, and the state of the generators that write it.

    Whatever a plan depends on (the program, the machine's caches, the plan's constants) is in the schedule that it made.
    """
    return repr((schedule, vectors, STAGES_OPTIMISATION, _generator_source(), _generator_constants()))


@functools.cache
def _generator_modules() -> tuple[ModuleType, ...]:
    """Everything that writes IR: a program's code is taken from the cache only while all of it is what it was."""
    names = sorted(item.name for item in pkgutil.iter_modules(kernels.__path__))
    families = (importlib.import_module(f"{kernels.__name__}.{name}") for name in names)
    return (*families, expression, functions, module, sharing, scheduler, sys.modules[__name__])


@functools.cache
def _generator_source() -> str:
    digest = hashlib.sha256()
    for item in _generator_modules():
        digest.update(Path(str(item.__file__)).read_bytes())
    return digest.hexdigest()


def _generator_constants() -> list[tuple[str, str, object]]:
    """As they are now: an experiment may have changed one."""
    return [
        (item.__name__, name, sorted(value) if isinstance(value, frozenset) else value)
        for item in _generator_modules()
        for name, value in sorted(vars(item).items())
        if name.isupper() and isinstance(value, (bool, int, float, str, tuple, frozenset))
    ]

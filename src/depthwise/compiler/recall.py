"""Programs that were compiled before: found by what was lowered, so that neither passes nor a plan run again.

The entry in the cache is the program's frame and the key of its code. It counts while the compiler's source is what it was, and
while every constant of a module in this process has the value that it had then: an experiment may have changed one.
"""

import functools
import hashlib
import json
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from depthwise.compiler.compile import Compiled, Plan, compile
from depthwise.compiler.dump import Dump
from depthwise.compiler.frame import read_frame, write_frame
from depthwise.compiler.ir.program import Program
from depthwise.compiler.machine import Machine
from depthwise.compiler.native.cache import CompileCache, cache_key
from depthwise.compiler.native.compile import code_generation
from depthwise.compiler.native.load import load_known
from depthwise.compiler.native.targets import Target
from depthwise.compiler.passes import Pass, run_passes

__all__ = ["Lowered", "compile_lowered"]

_COMPILER = "depthwise.compiler"
_SOURCES = ("compiler/**/*.py", "network/*.py", "arguments.py", "constraints.py", "regularizers.py")
"""All that decides how a program is computed."""


class Lowered:
    """A program as a front end lowers it, and the passes that it needs before it is planned."""

    def __init__(self, program: Program, passes: tuple[Pass, ...]) -> None:
        self._program = program
        self._passes = passes

    @cached_property
    def optimised(self) -> Program:
        """The program after its passes."""
        return run_passes(self._program, self._passes)

    @cached_property
    def identity(self) -> str:
        """Text that is equal for equal programs and passes."""
        return repr((self._program, [item.__qualname__ for item in self._passes]))


def compile_lowered(lowered: Lowered, plan: Plan, machine: Machine, target: Target, cache: CompileCache) -> Compiled:
    """`compile` of the optimised program, or what it gave for an equal one before; arguments as there."""
    function = getattr(plan, "func", plan)
    identity = repr((lowered.identity, function.__qualname__, getattr(plan, "keywords", {}), machine, _source()))
    key = cache_key(identity, "frame", code_generation(), target)
    # A compilation that is to be written down has to happen.
    found = None if Dump.from_environment(function.__name__).steps else _recalled(key, cache)
    if found is None:
        planned = found = compile(lowered.optimised, plan, machine, target, cache)
        entry = {"code": planned.key, "constants": _constants(), "frame": write_frame(planned.frame)}
        cache.put(key, json.dumps(entry).encode())
    return found


def _recalled(key: str, cache: CompileCache) -> Compiled | None:
    stored = cache.get(key)
    if stored is None:
        return None
    try:
        entry = json.loads(stored)
        now = _constants()
        if any(now.get(name, value) != value for name, value in entry["constants"].items()):
            return None
        frame = read_frame(entry["frame"])
        code = load_known(entry["code"], cache)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # An intact entry that is none of ours: replaced.
    return None if code is None else Compiled(frame, code)


@functools.cache
def _source() -> str:
    folder = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for path in sorted(folder.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _constants() -> Mapping[str, str]:
    """The constants of each module of the compiler that is imported, as they are now."""
    modules = {name: vars(module) for name, module in sys.modules.items() if name.startswith(_COMPILER)}
    return {
        name: repr(
            [
                (key, sorted(value) if isinstance(value, frozenset) else value)
                for key, value in sorted(names.items())
                if key.isupper() and _is_plain(value)
            ]
        )
        for name, names in modules.items()
    }


def _is_plain(value: object) -> bool:
    """Whether its text is the same in every process."""
    if isinstance(value, (tuple, list, frozenset)):
        return all(map(_is_plain, value))
    return isinstance(value, (bool, int, float, str))

"""The linkers that programs are loaded by, each for a limited number of them.

LLVM's linker keeps about 10 KB of every program that it has loaded, also when the program's code is freed. So a linker is used for
`LIBRARIES` programs and then replaced; it goes with the last program that it has loaded.
"""

import itertools
from typing import Any, Final

from depthwise.compiler.native.targets import llvm

__all__ = ["LIBRARIES", "Linker", "give_back", "take_library"]

LIBRARIES: Final = 64


class Linker:
    """One of LLVM's linkers, and the names of the libraries in it that are in use."""

    def __init__(self) -> None:
        # JITLink lays a module out as one piece of memory, so that 32-bit offsets between code and constants always reach;
        # LLVM's older loader places each section on its own.
        self.jit: Any = llvm().create_lljit_compiler(use_jit_link=True)
        self.given = 0
        self.users: set[str] = set()


_current: Linker | None = None
_kept: set[Linker] = set()
"""Those in use. The garbage collector may end a linker before the programs that it finds with it, were nothing to hold it here."""
_numbers = itertools.count()


def take_library() -> tuple[Linker, str]:
    """A linker, and a new name for a library of the caller's in it; the caller holds `making`, and calls `give_back` in the end."""
    global _current
    linker = _current
    if linker is None or linker.given >= LIBRARIES:
        full, linker = linker, Linker()
        _current = linker
        if full is not None:
            _drop_unused(full)
    name = f"depthwise{next(_numbers)}"
    linker.given += 1
    linker.users.add(name)
    _kept.add(linker)  # after the line above: a signal handler may give back its own library in between
    return linker, name


def give_back(linker: Linker, name: str) -> None:
    """The code of that library is freed."""
    linker.users.discard(name)
    _drop_unused(linker)


def _drop_unused(linker: Linker) -> None:
    if not linker.users and linker is not _current:
        _kept.discard(linker)

"""Reading assembly text, for tests: does a kernel keep its vectors in registers, and what does it call?"""

import re
from typing import Final

from depthwise.compiler.native.targets import Target

__all__ = ["called_symbols", "functions_of", "vector_stack_accesses"]

_LABEL: Final = re.compile(r"^([A-Za-z_][\w.$]*):")
_VECTOR_ON_STACK: Final = {
    "x86_64": re.compile(r"%[xyz]mm\d+.*\(%r[sb]p\b|\(%r[sb]p\b.*%[xyz]mm\d+"),
    # Whole vectors only: the calling convention saves d8 to d15 on the stack.
    "aarch64": re.compile(r"\bq\d+\b.*\[(?:sp|x29)\b"),
}
_CALL: Final = {
    "x86_64": re.compile(r"^\s+(?:call|jmp)q?\s+([A-Za-z_][\w$]*(?:\.[\w$]+)*)"),
    "aarch64": re.compile(r"^\s+bl?\s+([A-Za-z_][\w$]*(?:\.[\w$]+)*)"),
}


def functions_of(assembly_text: str) -> dict[str, list[str]]:
    """The lines of every function in an assembly text, by the function's name."""
    functions: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in assembly_text.splitlines():
        label = _LABEL.match(line)
        if label is not None:
            current = functions.setdefault(label.group(1), [])
        elif line.lstrip().startswith(".size"):
            current = None
        elif current is not None:
            current.append(line)
    return functions


def vector_stack_accesses(assembly_text: str, target: Target) -> dict[str, int]:
    """How many instructions of each function move a vector to or from the stack: 0 when nothing is spilled.

    Example
    -------
    >>> text = "kernel:\\n\\tvmovups\\t%ymm1, -32(%rsp)\\n\\tretq\\n"
    >>> vector_stack_accesses(text, Target("x86_64-unknown-linux-gnu", "x86-64-v3", ()))
    {'kernel': 1}
    """
    pattern = _VECTOR_ON_STACK[target.architecture]
    return {
        name: sum(pattern.search(line) is not None for line in lines)
        for name, lines in functions_of(assembly_text).items()
    }


def called_symbols(assembly_text: str, target: Target) -> set[str]:
    """Names that the code calls and does not define itself."""
    pattern = _CALL[target.architecture]
    found = {match.group(1) for match in map(pattern.match, assembly_text.splitlines()) if match}
    return found - set(functions_of(assembly_text))

"""One function for kernels that differ in numbers alone, above all in how often their loops run.

A kernel is written for its shapes, with all numbers in the text. Here the numbers that cost nothing when they come from memory
are taken out of the text; kernels whose remaining text is equal are compiled once, within a network and through the cache across
networks, and each call hands over a table of its numbers.

Taken out are the bounds of all loops, and what is multiplied and added outside the innermost ones. Distances between addresses stay:
docs/decisions/0016-shared-kernels.md says what they would cost.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence

from depthwise.compiler.kernels.builder import Kernel, Vectors
from depthwise.compiler.module import emit_kernel
from depthwise.dataclass import dataclass

__all__ = ["SharedKernel", "share", "shared_kernels"]

_BODY = re.compile(r"(loop\d+)\.body:$")
_END = re.compile(r"(loop\d+)\.end:$")
_BOUND = re.compile(r"(  %v\d+ = icmp slt i64 %v\d+, )(-?\d+)()$")
_START = re.compile(r"(  %loop\d+\.index = phi i64 \[ )(-?[1-9]\d*)(, .*)$")
_ARITHMETIC = re.compile(r"(  %v\d+ = (?:mul|add|sub) nsw i64 \S+, )(-?\d+)()$")
_FAMILY = re.compile(r"[a-z]+(?:_[a-z]+)*")


@dataclass(frozen=True)
class SharedKernel:
    """The function that computes a kernel.

    Attributes:
        symbol: its name; equal for kernels with the same text.
        text: its module. After the kernel's own arguments it takes the address of `numbers`, if there are any.
        numbers: the kernel's own, as i64.
    """

    symbol: str
    text: str
    numbers: tuple[int, ...]

    @property
    def declaration(self) -> str:
        """What a module that calls the function but does not hold it says of it."""
        head = re.search(r"^define void (@\"[^\"]+\"\(.*\)) nounwind", self.text, re.MULTILINE)
        assert head is not None
        return "declare void " + re.sub(r"(?: noalias| readonly)? %\w+", "", head[1]) + " nounwind"


def shared_kernels(kernels: Mapping[str, Kernel], vectors: Vectors) -> dict[str, SharedKernel]:
    """The function of each kernel, by the kernel's name."""
    return {name: share(emit_kernel(kernel, vectors), name) for name, kernel in kernels.items()}


def share(text: str, name: str) -> SharedKernel:
    """The function that the kernel `name`, whose module is `text`, is one case of."""
    lines = text.split("\n")
    numbers = _Numbers()
    inner = _innermost(lines)
    body: list[str] = []
    for line, hot in zip(lines, inner):
        if match := _BOUND.match(line) or _START.match(line):
            line = match[1] + numbers.at_entry(match[2]) + match[3]
        elif not hot and (match := _ARITHMETIC.match(line)):
            line = match[1] + numbers.here(match[2], body)
        body.append(line)
    if numbers.values:
        entry = body.index("entry:")
        body[entry + 1 : entry + 1] = numbers.loads
        head = body[entry - 1]
        assert name in head, head
        body[entry - 1] = head.replace(") nounwind", ", ptr noalias readonly %numbers) nounwind")
    found = "\n".join(body).replace(f'@"{name}"', '@"kernel"')
    family = _FAMILY.match(name)
    symbol = f"{family[0] if family else 'kernel'}_{hashlib.sha256(found.encode()).hexdigest()[:16]}"
    return SharedKernel(symbol, found.replace('@"kernel"', f'@"{symbol}"'), tuple(numbers.values))


class _Numbers:
    """The numbers taken out of a text, and the lines that load them."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.loads: list[str] = []

    def at_entry(self, value: str) -> str:
        """An operand that is loaded once, where the function begins: what a loop compares with in each round."""
        return self.here(value, self.loads)

    def here(self, value: str, lines: list[str]) -> str:
        """An operand that is loaded where it is used, behind `lines`."""
        place = len(self.values)
        self.values.append(int(value))
        address, operand = f"%place{place}", f"%number{place}"
        lines.append(f"  {address} = getelementptr i64, ptr %numbers, i64 {place}")
        lines.append(f"  {operand} = load i64, ptr {address}, align 8")
        return operand


def _innermost(lines: Sequence[str]) -> list[bool]:
    """For each line whether it is in a loop that has no loop in it."""
    inner = [False] * len(lines)
    around: list[tuple[str, int]] = []
    innermost = 0
    for number, line in enumerate(lines):
        if match := _BODY.match(line):
            around.append((match[1], number))
            innermost = number
        elif (match := _END.match(line)) and around and around[-1][0] == match[1]:
            _, first = around.pop()
            if first == innermost:
                inner[first:number] = [True] * (number - first)
    return inner

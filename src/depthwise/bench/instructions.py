"""What a kernel asks of the machine, counted in the IR that it writes: multiply-adds, other arithmetic, loads, stores, and
the span of memory behind each argument.

The generators' loops have bounds that are constants or follow from the arguments, so the text tells how often each line
runs. What is counted is what the generator wrote; LLVM may still join a few instructions or keep a value in a register.
"""

import functools
import re
from dataclasses import field
from typing import Any

from depthwise.compiler.kernels.builder import Module, Vectors
from depthwise.dataclass import dataclass

__all__ = ["Instructions", "count_instructions"]

DIVISION = 8
"""Multiply-adds in whose time a core divides, or takes the root of, one vector: 4 cycles of two each, roughly."""

Span = tuple[int, int]

_LATCH = re.compile(r"br i1 (\S+), label %(\S+)\.body, label %\S+\.end$")
_COMPARISON = re.compile(r"(\S+) = icmp slt i64 (\S+), (\S+)$")
_ADVANCE = re.compile(r"(\S+) = add nuw nsw i64 (\S+), (\S+)$")
_PHI = re.compile(r"(\S+) = phi (i64|ptr) \[ ([^,]+), %\S+ \]")
_INTEGER = re.compile(r"(\S+) = (add|sub|mul|udiv)(?: n[su]w)* i64 (\S+), (\S+)$")
_SMALLER = re.compile(r"(\S+) = select i1 \S+, i64 (\S+), i64 (\S+)$")
_OFFSET = re.compile(r"(\S+) = getelementptr (\w+), ptr (\S+), i64 (\S+)$")
_LOAD = re.compile(r"(\S+) = load ([^,]+), ptr ([^,]+), align")
_STORE = re.compile(r"store (<\d+ x \w+>|\w+) .+, ptr ([^,]+), align \d+$")
_MASKED = re.compile(r"@llvm\.masked\.(load|store)\.\S+\(.*?ptr align 4 ([^,]+),")
_TABLE = re.compile(r"^(@table\d+) = internal constant \[\d+ x i64\] \[(.*)\],")
_VECTOR_WORK = re.compile(r"= (?:f(?:add|sub|mul|neg|rem)|call) <|= (?:add|sub|mul|xor|and|or|shl|lshr|ashr) <|to <")


@dataclass
class Instructions:
    """Vector instructions of one call, and the numbers (first, last + 1) that it touches behind each pointer."""

    multiply_adds: int = 0
    other: int = 0
    loads: int = 0
    stores: int = 0
    accessed: dict[str, int] = field(default_factory=dict)
    read_spans: dict[str, Span] = field(default_factory=dict)
    written_spans: dict[str, Span] = field(default_factory=dict)

    @property
    def arithmetic(self) -> int:
        return self.multiply_adds + self.other

    def touched(self, argument: str) -> Span:
        """Where the call reads or writes behind an argument, in numbers; no more than the numbers that it moved there.

        Samples of a group lie far apart: their span holds much that the call never touches.
        """
        spans = [spans[argument] for spans in (self.read_spans, self.written_spans) if argument in spans]
        first, last = min((span[0] for span in spans), default=0), max((span[1] for span in spans), default=0)
        return first, min(last, first + self.accessed.get(argument, 0))


def count_instructions(kernel: Any, vectors: Vectors, numbers: tuple[tuple[str, int], ...] = ()) -> Instructions:
    """The instructions of one call of `kernel`; `numbers` are the values of its arguments that are not pointers."""
    return _count(kernel, vectors, numbers)


@functools.lru_cache(maxsize=4096)
def _count(kernel: Any, vectors: Vectors, numbers: tuple[tuple[str, int], ...]) -> Instructions:
    module = Module(vectors)
    name = kernel.emit(module)
    text = module.text()
    tables = {}
    for match in map(_TABLE.match, text.splitlines()):
        if match:
            values = [int(item.split()[-1]) for item in match[2].split(",")]
            tables[match[1]] = (min(values), max(values))
    body = text[text.index(f'@"{name}"(') :].split("\n}", 1)[0].splitlines()[1:]
    return _Reader(body, tables, vectors.lanes, dict(numbers)).read()


class _Reader:
    """Reads a function from top to bottom, keeping for each integer the span of its values, for each pointer its place."""

    def __init__(self, lines: list[str], tables: dict[str, Span], lanes: int, numbers: dict[str, int]) -> None:
        self.lines = [line.strip() for line in lines]
        self.lanes = lanes
        self.tables = tables
        self.integers: dict[str, Span] = {f"%{name}": (value, value) for name, value in numbers.items()}
        self.pointers: dict[str, tuple[str, Span]] = {}
        self.times = [1]
        self.result = Instructions()
        self.bounds = self._loops()
        self.masks: dict[str, frozenset[str]] = {}

    def _loops(self) -> dict[str, tuple[str, str]]:
        """For each loop (stop, step), both as text."""
        comparisons, advances, loops = {}, {}, {}
        for line in self.lines:
            if match := _COMPARISON.match(line):
                comparisons[match[1]] = (match[2], match[3])
            elif match := _ADVANCE.match(line):
                advances[match[1]] = match[3]
            elif (match := _LATCH.match(line)) and match[1] in comparisons:
                following, stop = comparisons[match[1]]
                if following in advances:
                    loops[match[2]] = (stop, advances[following])
        return loops

    def read(self) -> Instructions:
        for number, line in enumerate(self.lines):
            if line.endswith(":"):
                self._label(line[:-1], number)
            elif "=" in line or line.startswith(("store", "call")):
                self._line(line)
        return self.result

    def _label(self, label: str, number: int) -> None:
        loop, _, part = label.rpartition(".")
        if loop not in self.bounds:
            return
        if part == "end":
            self.times.pop()
            return
        match = _PHI.match(self.lines[number + 1])
        assert match is not None, self.lines[number + 1]
        stop, step = (self._integer(text)[1] for text in self.bounds[loop])
        first = self._integer(match[3])[0]
        rounds = max(0, -(-(stop - first) // step))
        self.times.append(rounds)
        self.integers[match[1]] = (first, first + max(0, rounds - 1) * step)

    def _integer(self, text: str) -> Span:
        if text.lstrip("-").isdigit():
            return int(text), int(text)
        return self.integers.get(text, (0, 0))

    def _pointer(self, text: str) -> tuple[str, Span]:
        return self.pointers.get(text, (text.removeprefix("%"), (0, 0)))

    @property
    def _rounds(self) -> int:
        product = 1
        for count in self.times:
            product *= count
        return product

    def _line(self, line: str) -> None:
        if match := _PHI.match(line):
            if match[2] == "ptr":
                self.pointers[match[1]] = self._pointer(match[3])
        elif match := _INTEGER.match(line):
            self.integers[match[1]] = self._combine(match[2], self._integer(match[3]), self._integer(match[4]))
        elif match := _SMALLER.match(line):
            a, b = self._integer(match[2]), self._integer(match[3])
            self.integers[match[1]] = (min(a[0], b[0]), min(a[1], b[1]))
        elif match := _OFFSET.match(line):
            base, (first, last) = self._pointer(match[3])
            more = self._integer(match[4])
            self.pointers[match[1]] = (base, (first + more[0], last + more[1]))
        elif match := _LOAD.match(line):
            base, _ = self._pointer(match[3])
            if base in self.tables:
                self.integers[match[1]] = self.tables[base]
            elif match[2] not in ("i64", "ptr"):
                self._touch(match[3], self.lanes if match[2].startswith("<") else 1, is_store=False)
        elif match := _STORE.match(line):
            self._touch(match[2], self.lanes if match[1].startswith("<") else 1, is_store=True)
        elif match := _MASKED.search(line):
            self._touch(match[2], self.lanes, is_store=match[1] == "store")
        else:
            self._arithmetic(line)

    @staticmethod
    def _combine(operation: str, a: Span, b: Span) -> Span:
        if operation == "add":
            return a[0] + b[0], a[1] + b[1]
        if operation == "sub":
            return a[0] - b[1], a[1] - b[0]
        if operation == "udiv":
            return a[0] // max(1, b[1]), a[1] // max(1, b[0])
        products = [x * y for x in a for y in b]
        return min(products), max(products)

    def _touch(self, pointer: str, numbers: int, *, is_store: bool) -> None:
        rounds, result = self._rounds, self.result
        if not rounds:
            return
        if is_store:
            result.stores += rounds
        else:
            result.loads += rounds
        base, (first, last) = self._pointer(pointer)
        spans = result.written_spans if is_store else result.read_spans
        known = spans.get(base, (first, last + numbers))
        spans[base] = (min(known[0], first), max(known[1], last + numbers))
        result.accessed[base] = result.accessed.get(base, 0) + rounds * numbers

    def _arithmetic(self, line: str) -> None:
        rounds, result = self._rounds, self.result
        if "@llvm.fma." in line:
            result.multiply_adds += rounds
        elif "= fdiv <" in line or "@llvm.sqrt." in line:
            result.other += DIVISION * rounds
        elif "= fcmp " in line or "= icmp " in line:
            # A comparison and a choice between what it compared are one instruction: a maximum or a minimum.
            name, _, rest = line.partition(" = ")
            self.masks[name] = frozenset(re.findall(r"%\w[\w.]*|splat \([^)]*\)\)?|zeroinitializer", rest))
            result.other += rounds if "x float>" in line or "x i32>" in line else 0
        elif "= select <" in line:
            operands = re.findall(r"%\w[\w.]*|splat \([^)]*\)\)?|zeroinitializer", line.partition(" = ")[2])
            is_extreme = bool(operands) and self.masks.get(operands[0]) == frozenset(operands[1:])
            result.other += 0 if is_extreme else rounds
        elif _VECTOR_WORK.search(line):
            result.other += 2 * rounds if "@llvm.fmuladd." in line else rounds

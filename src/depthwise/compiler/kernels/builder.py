"""Text LLVM IR from Python: a module, functions in SSA form, loops with carried values.

Values are IR operands as text (`%v7`, `0x3FF0000000000000`); integers may be Python's and are folded. Kernels read like
the loop nest that they are:

    with function.loop(0, columns, carried=[zero]) as loop:
        loop.next = [function.fma(x, w, loop.values[0])]
    total, = loop.results
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from depthwise.dataclass import dataclass

__all__ = ["Function", "Kernel", "Loop", "Module", "Vectors"]

Operand = str | int


@dataclass(frozen=True)
class Vectors:
    """What the generators need to know of the machine's vectors.

    Attributes:
        name: of the instruction set, for kernel names.
        lanes: float32 numbers in one vector.
        registers: vector registers.
        fused: whether a fused multiply-add exists.
    """

    name: str
    lanes: int
    registers: int
    fused: bool

    def round_up(self, count: int) -> int:
        """`count` rounded up to whole vectors."""
        return -(-count // self.lanes) * self.lanes


class Module:
    """One IR module: functions by name (equal kernels are emitted once), constants, declarations."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self._functions: dict[str, str] = {}
        self._declarations: dict[str, None] = {}
        self._constants: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    @contextmanager
    def function(
        self, name: str, arguments: Sequence[tuple[str, str]], *, exported: bool = False
    ) -> Iterator["Function"]:
        """A void function; `arguments` are (type, name) pairs.

        What is not `exported` is a kernel: its pointers are `noalias`, and it is never inlined.
        """
        self._functions[name] = ""
        body = Function(self)
        yield body
        parameters = ", ".join(
            f"{kind} {'noalias ' if kind == 'ptr' and not exported else ''}%{argument}" for kind, argument in arguments
        )
        attributes = "nounwind" if exported else "nounwind noinline"
        self._functions[name] = f'define void @"{name}"({parameters}) {attributes} {{\nentry:\n' + body.text() + "\n}\n"

    def declare(self, declaration: str) -> None:
        self._declarations[declaration] = None

    def table(self, values: Sequence[int]) -> str:
        """A constant array of i64; its address."""
        return self._constant(f"[{len(values)} x i64] [" + ", ".join(f"i64 {value}" for value in values) + "]")

    def numbers(self, values: Sequence[float]) -> str:
        """A constant array of float32; its address."""
        texts = (f"float {Function.number(value)}" for value in values)
        return self._constant(f"[{len(values)} x float] [" + ", ".join(texts) + "]")

    def _constant(self, body: str) -> str:
        if body not in self._constants:
            self._constants[body] = f"@table{len(self._constants)}"
        return self._constants[body]

    def text(self) -> str:
        constants = [f"{name} = internal constant {body}, align 64" for body, name in self._constants.items()]
        return "\n".join([*constants, *self._declarations, *self._functions.values()])


class Kernel(ABC):
    """What every kernel family is: a frozen dataclass of all that the code depends on. Equal kernels are one function."""

    COUNTS: ClassVar[tuple[str, ...]] = ("columns", "depth", "sample", "chunks", "batch")
    """Arguments that are numbers known when it runs; all others are pointers."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Says what the kernel is specialised for."""

    @property
    @abstractmethod
    def arguments(self) -> tuple[str, ...]:
        """Names of the function's arguments, in order."""

    @abstractmethod
    def write(self, function: "Function") -> None:
        """Writes the function's body."""

    def emit(self, module: Module) -> str:
        """Adds the function to the module, once; its name."""
        if self.name not in module:
            with module.function(self.name, [*zip(self._types, self.arguments)]) as function:
                self.write(function)
        return self.name

    @property
    def declaration(self) -> str:
        """What a module that calls the function but does not hold it says of it."""
        return f'declare void @"{self.name}"({", ".join(self._types)}) nounwind'

    @property
    def _types(self) -> list[str]:
        return ["i64" if argument in self.COUNTS else "ptr" for argument in self.arguments]


class Loop:
    """A loop while it is written: `index`, the carried `values`, `next` to be set, `results` afterwards."""

    def __init__(self, index: str, values: list[str]) -> None:
        self.index = index
        self.values = values
        self.next: Sequence[str] = values
        self.results: list[str] = []


class Function:
    """Writes the body of one function. Every method that computes returns the operand of its result."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.vectors = module.vectors
        self.vector = f"<{self.vectors.lanes} x float>"
        self.mask = f"<{self.vectors.lanes} x i1>"
        self.integers = f"<{self.vectors.lanes} x i32>"
        self._lines: list[str] = []
        self._count = 0
        self._block = "entry"

    def text(self) -> str:
        return "\n".join([*self._lines, "  ret void"])

    # -- raw lines ---------------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        self._lines.append("  " + text)

    def define(self, text: str) -> str:
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"  {name} = {text}")
        return name

    def label(self, name: str) -> None:
        self._lines.append(f"{name}:")
        self._block = name

    def fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    # -- integers ----------------------------------------------------------------------------------------------------

    def add(self, a: Operand, b: Operand) -> Operand:
        if isinstance(a, int) and isinstance(b, int):
            return a + b
        if a == 0:
            return b
        return a if b == 0 else self.define(f"add nsw i64 {a}, {b}")

    def subtract(self, a: Operand, b: Operand) -> Operand:
        if isinstance(a, int) and isinstance(b, int):
            return a - b
        return a if b == 0 else self.define(f"sub nsw i64 {a}, {b}")

    def multiply(self, a: Operand, b: Operand) -> Operand:
        if isinstance(a, int) and isinstance(b, int):
            return a * b
        if a == 0 or b == 0:
            return 0
        if a == 1:
            return b
        return a if b == 1 else self.define(f"mul nsw i64 {a}, {b}")

    def divide(self, a: Operand, b: Operand) -> Operand:
        if isinstance(a, int) and isinstance(b, int):
            return a // b
        return a if b == 1 else self.define(f"udiv i64 {a}, {b}")

    def minimum(self, a: Operand, b: Operand) -> Operand:
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        less = self.define(f"icmp slt i64 {a}, {b}")
        return self.define(f"select i1 {less}, i64 {a}, i64 {b}")

    # -- memory ------------------------------------------------------------------------------------------------------

    def offset(self, pointer: str, count: Operand) -> str:
        """The address `count` float32 numbers after `pointer`."""
        return pointer if count == 0 else self.define(f"getelementptr float, ptr {pointer}, i64 {count}")

    def load(self, pointer: str, offset: Operand = 0) -> str:
        """A whole vector."""
        return self.define(f"load {self.vector}, ptr {self.offset(pointer, offset)}, align 4")

    def store(self, value: str, pointer: str, offset: Operand = 0) -> None:
        self.line(f"store {self.vector} {value}, ptr {self.offset(pointer, offset)}, align 4")

    def load_masked(self, address: str, count: int) -> str:
        """The first `count` numbers of a vector, the other lanes 0; nothing past them is read."""
        symbol = f"@llvm.masked.load.v{self.vectors.lanes}f32.p0"
        self.module.declare(f"declare {self.vector} {symbol}(ptr, {self.mask}, {self.vector})")
        operands = f"ptr align 4 {address}, {self.mask} {self._first(count)}, {self.vector} zeroinitializer"
        return self.define(f"call {self.vector} {symbol}({operands})")

    def store_masked(self, value: str, address: str, count: int) -> None:
        """Stores the first `count` numbers of a vector; nothing past them is touched."""
        symbol = f"@llvm.masked.store.v{self.vectors.lanes}f32.p0"
        self.module.declare(f"declare void {symbol}({self.vector}, ptr, {self.mask})")
        self.line(f"call void {symbol}({self.vector} {value}, ptr align 4 {address}, {self.mask} {self._first(count)})")

    def load_first(self, address: str, count: int) -> str:
        """As `load_masked`, for any `count` up to a whole vector."""
        return self.load(address) if count == self.vectors.lanes else self.load_masked(address, count)

    def store_first(self, value: str, address: str, count: int) -> None:
        """As `store_masked`, for any `count` up to a whole vector."""
        if count == self.vectors.lanes:
            self.store(value, address)
        else:
            self.store_masked(value, address, count)

    def _first(self, count: int) -> str:
        return "<" + ", ".join(f"i1 {'true' if i < count else 'false'}" for i in range(self.vectors.lanes)) + ">"

    def load_number(self, pointer: str, offset: Operand = 0) -> str:
        return self.define(f"load float, ptr {self.offset(pointer, offset)}, align 4")

    def store_number(self, value: str, pointer: str, offset: Operand = 0) -> None:
        self.line(f"store float {value}, ptr {self.offset(pointer, offset)}, align 4")

    def load_integer(self, pointer: str, index: Operand = 0) -> str:
        """An i64 out of an array of them."""
        address = pointer if index == 0 else self.define(f"getelementptr i64, ptr {pointer}, i64 {index}")
        return self.define(f"load i64, ptr {address}, align 8")

    def load_pointer(self, pointer: str, index: Operand = 0) -> str:
        """A pointer out of an array of them."""
        address = pointer if index == 0 else self.define(f"getelementptr ptr, ptr {pointer}, i64 {index}")
        return self.define(f"load ptr, ptr {address}, align 8")

    def broadcast(self, pointer: str, offset: Operand = 0) -> str:
        """One number from memory in every lane."""
        return self.splat(self.load_number(pointer, offset))

    # -- numbers -----------------------------------------------------------------------------------------------------

    @staticmethod
    def number(value: float) -> str:
        """A float32 constant. (IR writes it as the float64 of the same value.)"""
        rounded = struct.unpack("f", struct.pack("f", value))[0] if abs(value) <= 3.4028234e38 else value
        return "0x" + struct.pack(">d", rounded).hex().upper()

    def constant(self, value: float) -> str:
        """A vector constant."""
        return f"splat (float {self.number(value)})"

    def integer_constant(self, value: int) -> str:
        return f"splat (i32 {value})"

    def splat(self, number: str) -> str:
        single = self.define(f"insertelement {self.vector} poison, float {number}, i64 0")
        return self.define(
            f"shufflevector {self.vector} {single}, {self.vector} poison, <{self.vectors.lanes} x i32> zeroinitializer"
        )

    def fma(self, a: str, b: str, c: str) -> str:
        """a · b + c, with one rounding where the machine has it."""
        return self.intrinsic("fma" if self.vectors.fused else "fmuladd", a, b, c)

    def fadd(self, a: str, b: str) -> str:
        return self.define(f"fadd {self.vector} {a}, {b}")

    def fsub(self, a: str, b: str) -> str:
        return self.define(f"fsub {self.vector} {a}, {b}")

    def fmul(self, a: str, b: str) -> str:
        return self.define(f"fmul {self.vector} {a}, {b}")

    def fdiv(self, a: str, b: str) -> str:
        return self.define(f"fdiv {self.vector} {a}, {b}")

    def fneg(self, a: str) -> str:
        return self.define(f"fneg {self.vector} {a}")

    def compare(self, predicate: str, a: str, b: str) -> str:
        """A mask; `predicate` is IR's: olt, ogt, oeq, uno, …"""
        return self.define(f"fcmp {predicate} {self.vector} {a}, {b}")

    def negative(self, a: str) -> str:
        """The lanes whose sign is set, −0 and NaN included: what a blend reads without a comparison."""
        bits = self.define(f"bitcast {self.vector} {a} to {self.integers}")
        return self.define(f"icmp slt {self.integers} {bits}, zeroinitializer")

    def select(self, mask: str, a: str, b: str) -> str:
        return self.define(f"select {self.mask} {mask}, {self.vector} {a}, {self.vector} {b}")

    def largest(self, a: str, b: str) -> str:
        """a > b ? a : b, lane by lane, in one instruction; b where either is NaN."""
        return self.select(self.compare("ogt", a, b), a, b)

    def smallest(self, a: str, b: str) -> str:
        """a < b ? a : b, lane by lane, in one instruction; b where either is NaN."""
        return self.select(self.compare("olt", a, b), a, b)

    def intrinsic(self, name: str, *operands: str) -> str:
        """An LLVM intrinsic from vectors to a vector, such as `llvm.sqrt`."""
        symbol = f"@llvm.{name}.v{self.vectors.lanes}f32"
        kinds = ", ".join([self.vector] * len(operands))
        self.module.declare(f"declare {self.vector} {symbol}({kinds})")
        return self.define(f"call {self.vector} {symbol}({', '.join(f'{self.vector} {item}' for item in operands)})")

    def call(self, name: str, arguments: Sequence[str], comment: str = "") -> None:
        """Calls a function of the module; `arguments` carry their types."""
        self.line(f'call void @"{name}"({", ".join(arguments)})' + (f" ; {comment}" if comment else ""))

    # -- control -----------------------------------------------------------------------------------------------------

    @contextmanager
    def loop(
        self, start: Operand, stop: Operand, step: Operand = 1, carried: Sequence[str] = (), kinds: Sequence[str] = ()
    ) -> Iterator[Loop]:
        """`for index in range(start, stop, step)`; `carried` values go from round to round (vectors, or `kinds`)."""
        types = list(kinds) or [self.vector] * len(carried)
        name = self.fresh("loop")
        before, body, after = self._block, f"{name}.body", f"{name}.end"
        certain = isinstance(start, int) and isinstance(stop, int)
        if certain:
            assert start < stop, "an empty loop is the caller's to leave out"  # type: ignore[operator]
            self.line(f"br label %{body}")
        else:
            guard = self.define(f"icmp slt i64 {start}, {stop}")
            self.line(f"br i1 {guard}, label %{body}, label %{after}")
        self.label(body)
        loop = Loop(f"%{name}.index", [f"%{name}.carried{i}" for i in range(len(carried))])
        heads = len(self._lines)
        self._lines.extend([""] * (1 + len(carried)))
        yield loop
        latch = self._block
        following = self.define(f"add nuw nsw i64 {loop.index}, {step}")
        again = self.define(f"icmp slt i64 {following}, {stop}")
        self.line(f"br i1 {again}, label %{body}, label %{after}")
        self._lines[heads] = f"  {loop.index} = phi i64 [ {start}, %{before} ], [ {following}, %{latch} ]"
        for i, (kind, first, value, following) in enumerate(zip(types, carried, loop.values, loop.next)):
            self._lines[heads + 1 + i] = f"  {value} = phi {kind} [ {first}, %{before} ], [ {following}, %{latch} ]"
        self.label(after)
        if certain:
            loop.results = list(loop.next)
        else:
            loop.results = [
                self.define(f"phi {kind} [ {first}, %{before} ], [ {following}, %{latch} ]")
                for kind, first, following in zip(types, carried, loop.next)
            ]

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Runs the body where the i1 `condition` holds; the body must not define what later lines need."""
        name = self.fresh("when")
        self.line(f"br i1 {condition}, label %{name}.yes, label %{name}.end")
        self.label(f"{name}.yes")
        yield
        self.line(f"br label %{name}.end")
        self.label(f"{name}.end")

"""Text LLVM IR to machine code, and machine code into this process.

The generators write SSA form with explicit vectors, unrolling and `llvm.fma`, so there is little for the optimizer to
find; `PASSES` is the whole list of what runs before code generation. `docs/decisions/0002-native.md` has the measurements.

Modules are independent of each other, so `compile_sources` compiles them on all cores.
"""

import _thread
import contextlib
import ctypes
import functools
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from depthwise.compiler.native.linker import Linker, give_back, take_library
from depthwise.compiler.native.object_file import undefined_symbols
from depthwise.compiler.native.once import making
from depthwise.compiler.native.processors import usable_processors
from depthwise.compiler.native.targets import (
    TARGET_NAMES,
    Target,
    can_run,
    host_target,
    llvm,
    llvm_versions,
    target_for,
)
from depthwise.dataclass import dataclass

__all__ = [
    "CODE_MODEL",
    "IMPORTED_SYMBOLS",
    "OPTIMISATION",
    "PASSES",
    "RELOCATION",
    "TARGET_NAMES",
    "LoadedCode",
    "NativeCodeError",
    "Source",
    "Target",
    "assembly",
    "can_run",
    "code_generation",
    "compile_module",
    "compile_sources",
    "host_target",
    "load_object",
    "load_objects",
    "target_for",
]

# Run over every function, in this order, from optimisation level 1 on. No unrolling and no vectoriser: both would undo
# the generators' register plan.
PASSES: Final = ("always_inliner", "sroa", "simplify_cfg")

# LLVM's code generation level, 0 to 3; at 0 `PASSES` are left out.
OPTIMISATION: Final = 2

# Position-independent code of the small model: constants are one instruction away. LLVM's default for a JIT, the large
# model, spends an instruction and a register on every address.
RELOCATION: Final = "pic"
CODE_MODEL: Final = "small"

# The only symbols that generated code may leave open. LLVM itself calls the first three for its memory intrinsics.
IMPORTED_SYMBOLS: Final = ("memcpy", "memmove", "memset", "sched_yield")


class NativeCodeError(RuntimeError):
    """Generated code is not legal, or does not load: a bug of ours, never of the user's, hence with its traceback."""


@dataclass(frozen=True)
class Source:
    """One module of a program.

    Attributes
    ----------
    text
        The whole module as text LLVM IR.
    optimisation
        See `compile_module`.
    calls
        Symbols of the program's other modules that this one may use.
    shared
        Whether other programs have the same module, so that it is worth a cache entry of its own.
    """

    text: str
    optimisation: int = OPTIMISATION
    calls: frozenset[str] = frozenset()
    shared: bool = False


def code_generation() -> tuple[Any, ...]:
    """Everything but the module and its target that machine code depends on: part of every cache key."""
    return (*llvm_versions(), OPTIMISATION, PASSES, RELOCATION, CODE_MODEL, IMPORTED_SYMBOLS)


def compile_module(
    ir_text: str, target: Target, optimisation: int = OPTIMISATION, calls: frozenset[str] = frozenset()
) -> bytes:
    """Object code of the module `ir_text` for `target`.

    Parameters
    ----------
    ir_text
        A whole module of text LLVM IR. Triple and data layout are the target's; the text need not state them.
    target
        Machine to generate code for, see `host_target` and `target_for`.
    optimisation
        0 to 3: LLVM's code generation level; from 1 on `PASSES` run first.
    calls
        Symbols of other modules that this one may use.

    Raises
    ------
    NativeCodeError
        The text does not parse or breaks a rule of LLVM (the message shows the line), or the code would call
        something outside `IMPORTED_SYMBOLS` and `calls`.

    Example
    -------
    >>> code = compile_module("define i64 @seven() { ret i64 7 }", host_target())
    >>> load_object(code).function_address("seven") > 0
    True
    """
    with making:
        return _compile(Source(ir_text, optimisation, calls), target)


def _compile(source: Source, target: Target) -> bytes:
    code = _emit(source.text, target, source.optimisation, as_object=True)
    # The loader would find any other symbol of the process: a call of libm for each element, or worse.
    foreign = sorted(undefined_symbols(code) - set(IMPORTED_SYMBOLS) - source.calls)
    if foreign:
        raise NativeCodeError(
            f"Generated code calls {', '.join(foreign)}; it may call only {', '.join(IMPORTED_SYMBOLS)}. "
            f"If the IR does not name it, {target.vector_family} lacks an instruction that the IR asks for."
        )
    return code


def compile_sources(sources: Sequence[Source], target: Target) -> list[bytes]:
    """Object code of each of `sources`, compiled on all cores that this process may use; see `compile_module`."""
    objects: dict[int, bytes] = {}

    def compile_one(number: int) -> None:
        objects[number] = _compile(sources[number], target)

    # The longest first: nobody waits for one that began late.
    order = sorted(range(len(sources)), key=lambda number: -len(sources[number].text))
    with making:
        _share_out(compile_one, order)
        # A helper is gone without its object where a signal handler has forked and this is the child.
        for number in order:
            if number not in objects:
                compile_one(number)
    return [objects[number] for number in range(len(sources))]


def _share_out(work: Callable[[int], None], numbers: Sequence[int]) -> None:
    """`work` on each of `numbers`, by this thread and a helper for each further core. The first error is raised."""
    waiting = deque(numbers)
    errors: list[BaseException] = []

    def take_turns() -> None:
        try:
            while not errors:
                work(waiting.popleft())
        except IndexError:
            pass  # All is given out.
        except BaseException as error:
            errors.append(error)

    def help_out(finished: Any) -> None:
        try:
            take_turns()
        finally:
            finished.release()

    process = os.getpid()
    helpers = []
    try:
        for _ in range(min(usable_processors(), len(numbers)) - 1):
            finished = _thread.allocate_lock()
            finished.acquire()
            try:
                # Not `threading.Thread`: Ctrl-C inside its `start` can leave one of its locks held.
                _thread.start_new_thread(help_out, (finished,))
            except RuntimeError:
                break  # No thread starts any more when the interpreter ends or its limit is reached: fewer helpers then.
            helpers.append(finished)
        take_turns()
    finally:
        waiting.clear()
        for finished in helpers:
            if (
                os.getpid() == process
            ):  # Otherwise a signal handler has forked, and this is the child: it has no helpers.
                finished.acquire()
    if errors:
        raise errors[0]


def assembly(ir_text: str, target: Target, optimisation: int = OPTIMISATION) -> str:
    """The assembly text of what `compile_module` would emit, for tests that count instructions and stack traffic."""
    return _emit(ir_text, target, optimisation, as_object=False).decode()


class LoadedCode:
    """Object code in executable memory. The memory is released when the last reference to this object goes.

    Whoever keeps a function address must keep this object too.
    """

    def __init__(self, linker: Linker, library: str, tracker: Any) -> None:
        self._linker = linker
        self._library = library
        self._trackers: dict[str, Any] = {"": tracker}

    def __del__(self) -> None:
        if sys.is_finalizing():
            return  # the process's memory goes as a whole
        if "_trackers" not in vars(self):
            return  # Ctrl-C in `__init__`: nobody has an address, and LLVM frees the code that nothing refers to
        for tracker in self._trackers.values():
            tracker.close()
        give_back(self._linker, self._library)

    def function_address(self, name: str) -> int:
        """Address of the exported function `name`.

        Raises
        ------
        NativeCodeError
            The code has no such function.
        """
        with making:
            if name not in self._trackers:
                try:
                    self._trackers[name] = self._linker.jit.lookup(self._library, name)
                except RuntimeError as error:
                    raise NativeCodeError(f"No function {name!r} can be linked: {error}") from None
            return int(self._trackers[name][name])


def load_object(code: bytes) -> LoadedCode:
    """Make object code from `compile_module`, for this machine, callable; see `load_objects`."""
    return load_objects([code])


def load_objects(objects: Sequence[bytes]) -> LoadedCode:
    """Link the object code of a program's modules, for this machine, and make it callable. Takes a few milliseconds at most.

    Every program is a library of its own: the same symbol in two of them is two functions.

    Raises
    ------
    NativeCodeError
        The bytes are not object code of this machine. A missing symbol is found by the first `function_address`.
    """
    builder = llvm().JITLibraryBuilder()
    for code in objects:
        builder.add_object_img(code)
    for symbol, address in _imported_addresses().items():
        builder.import_symbol(symbol, address)
    with making:
        linker, library = take_library()
        try:
            tracker = builder.link(linker.jit, library)
        except RuntimeError as error:
            give_back(linker, library)
            raise NativeCodeError(f"The object code does not load: {error}") from None
    return LoadedCode(linker, library, tracker)


@functools.cache
def _imported_addresses() -> dict[str, int]:
    if sys.platform == "win32":
        runtime = ctypes.CDLL("msvcrt")
        libraries = {symbol: (runtime, symbol) for symbol in IMPORTED_SYMBOLS}
        libraries["sched_yield"] = (ctypes.CDLL("kernel32"), "SwitchToThread")
    else:
        process = ctypes.CDLL(None)
        libraries = {symbol: (process, symbol) for symbol in IMPORTED_SYMBOLS}
    addresses = {}
    for symbol, (library, name) in libraries.items():
        address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        assert address is not None
        addresses[symbol] = address
    return addresses


def _target_machine(target: Target, optimisation: int) -> Any:
    """A machine for the calling thread, which must not share it: it remembers what it has compiled for."""
    machines: dict[tuple[Target, int, str, str], Any] = _own.__dict__.setdefault("machines", {})
    key = (target, optimisation, RELOCATION, CODE_MODEL)
    if key not in machines:
        machines[key] = (
            llvm()
            .Target.from_triple(target.triple)
            .create_target_machine(
                cpu=target.processor,
                features=",".join(target.features),
                opt=optimisation,
                reloc=RELOCATION,
                codemodel=CODE_MODEL,
            )
        )
    return machines[key]


_own = threading.local()


def _emit(ir_text: str, target: Target, optimisation: int, *, as_object: bool) -> bytes:
    binding = llvm()
    machine = _target_machine(target, optimisation)
    # A context of its own: types and metadata of one module do not pile up in the process. The module must be closed
    # before its context is, in the error paths too.
    with binding.create_context() as context, contextlib.ExitStack() as stack:
        try:
            module = stack.enter_context(binding.parse_assembly(ir_text, context=context))
            module.triple = target.triple
            module.data_layout = str(machine.target_data)
            module.verify()
        except RuntimeError as error:
            raise NativeCodeError(_explain(str(error), ir_text)) from None
        if optimisation > 0:
            options = binding.create_pipeline_tuning_options(speed_level=optimisation)
            builder = binding.create_pass_builder(machine, options)
            manager = binding.create_new_module_pass_manager()
            for name in PASSES:
                getattr(manager, f"add_{name}_pass")()
            manager.run(module, builder)
        return _generate(machine, module, as_object=as_object)


def _generate(machine: Any, module: Any, *, as_object: bool) -> bytes:
    """What `machine.emit_object` and `emit_assembly` do, without their lock.

    llvmlite holds one lock around each of its calls, which would keep all cores but one waiting: this call is nine tenths of
    compiling. LLVM itself asks only that no two threads share a context or a target machine, and ours do not.
    """
    from llvmlite.binding import ffi

    library = ffi.lib
    emit = library.LLVMPY_TargetMachineEmitToMemory
    with ffi.OutputString() as message:
        buffer = getattr(emit, "_cfn", emit)(machine, module, int(as_object), message)
        if not buffer:
            raise NativeCodeError(f"LLVM cannot generate code: {message}")
    try:
        return ctypes.string_at(library.LLVMPY_GetBufferStart(buffer), library.LLVMPY_GetBufferSize(buffer))
    finally:
        library.LLVMPY_DisposeMemoryBuffer(buffer)


def _explain(message: str, ir_text: str) -> str:
    """LLVM's complaint with the line of `ir_text` it is about."""
    lines = ir_text.splitlines()
    place = re.search(r"<string>:(\d+):\d+", message)
    if place is not None:
        number = int(place.group(1))
        source = lines[number - 1].strip() if number <= len(lines) else ""
        return f"Generated LLVM IR does not parse at line {number}, {source!r}: {message.strip()}"
    wanted = {_normal_form(line) for line in message.splitlines()[1:]} - {""}
    for number, line in enumerate(lines, start=1):
        if _normal_form(line) in wanted:
            return f"Generated LLVM IR is not legal at line {number}, {line.strip()!r}: {message.strip()}"
    return f"Generated LLVM IR is not legal: {message.strip()}"


def _normal_form(line: str) -> str:
    # The verifier prints operands in LLVM's own spacing and appends attributes and alignments; compare the head.
    return re.sub(r"\s+", "", line.split(";")[0].split(", align")[0])

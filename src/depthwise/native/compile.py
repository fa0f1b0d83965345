"""Text LLVM IR to machine code, and machine code into this process.

The generators write SSA form with explicit vectors, unrolling and `llvm.fma`, so there is little for the optimiser to
find; `PASSES` is the whole list of what runs before code generation. `docs/decisions/0002-native.md` has the measurements.
"""

import contextlib
import ctypes
import functools
import itertools
import re
import sys
from typing import Any, Final

from depthwise.native.object_file import undefined_symbols
from depthwise.native.once import making, once
from depthwise.native.targets import (
    TARGET_NAMES,
    Target,
    can_run,
    host_target,
    llvm,
    target_for,
)

__all__ = [
    "IMPORTED_SYMBOLS",
    "PASSES",
    "TARGET_NAMES",
    "LoadedCode",
    "NativeCodeError",
    "Target",
    "assembly",
    "can_run",
    "compile_module",
    "host_target",
    "load_object",
    "target_for",
]

# Run over every function, in this order, from optimisation level 1 on. No unrolling and no vectoriser: both would undo
# the generators' register plan.
PASSES: Final = ("always_inliner", "sroa", "simplify_cfg")

# The only symbols that generated code may leave open. LLVM itself calls the first three for its memory intrinsics.
IMPORTED_SYMBOLS: Final = ("memcpy", "memmove", "memset", "sched_yield")


class NativeCodeError(RuntimeError):
    """Generated code is not legal, or does not load: a bug of ours, never of the user's, hence with its traceback."""


def compile_module(ir_text: str, target: Target, optimisation: int = 2) -> bytes:
    """Object code of the module `ir_text` for `target`.

    Parameters
    ----------
    ir_text
        A whole module of text LLVM IR. Triple and data layout are the target's; the text need not state them.
    target
        Machine to generate code for, see `host_target` and `target_for`.
    optimisation
        0 to 3: LLVM's code generation level; from 1 on `PASSES` run first.

    Raises
    ------
    NativeCodeError
        The text does not parse or breaks a rule of LLVM (the message shows the line), or the code would call
        something outside `IMPORTED_SYMBOLS`.

    Example
    -------
    >>> code = compile_module("define i64 @seven() { ret i64 7 }", host_target())
    >>> load_object(code).function_address("seven") > 0
    True
    """
    with making:
        code = bytes(_emit(ir_text, target, optimisation, "emit_object"))
    # The loader would find any other symbol of the process: a call of libm for each element, or worse.
    foreign = sorted(undefined_symbols(code) - set(IMPORTED_SYMBOLS))
    if foreign:
        raise NativeCodeError(
            f"Generated code calls {', '.join(foreign)}; it may call only {', '.join(IMPORTED_SYMBOLS)}. "
            f"If the IR does not name it, {target.vector_family} lacks an instruction that the IR asks for."
        )
    return code


def assembly(ir_text: str, target: Target, optimisation: int = 2) -> str:
    """The assembly text of what `compile_module` would emit, for tests that count instructions and stack traffic."""
    return str(_emit(ir_text, target, optimisation, "emit_assembly"))


class LoadedCode:
    """Object code in executable memory. The memory is released when the last reference to this object goes.

    Whoever keeps a function address must keep this object too.
    """

    def __init__(self, library: str, tracker: Any) -> None:
        self._library = library
        self._trackers: dict[str, Any] = {"": tracker}

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
                    self._trackers[name] = _linker().lookup(self._library, name)
                except RuntimeError as error:
                    raise NativeCodeError(f"No function {name!r} can be linked: {error}") from None
            return int(self._trackers[name][name])


def load_object(code: bytes) -> LoadedCode:
    """Make object code from `compile_module`, for this machine, callable. Takes under a millisecond.

    Raises
    ------
    NativeCodeError
        The bytes are not object code of this machine.
    """
    builder = llvm().JITLibraryBuilder().add_object_img(code)
    for symbol, address in _imported_addresses().items():
        builder.import_symbol(symbol, address)
    library = f"depthwise{next(_library_numbers)}"
    with making:
        try:
            tracker = builder.link(_linker(), library)
        except RuntimeError as error:
            raise NativeCodeError(f"The object code does not load: {error}") from None
    return LoadedCode(library, tracker)


_library_numbers = itertools.count()


@once
def _linker() -> Any:
    # JITLink lays a module out as one piece of memory, so that 32-bit offsets between code and constants always reach;
    # LLVM's older loader places each section on its own.
    return llvm().create_lljit_compiler(use_jit_link=True)


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


@functools.lru_cache(maxsize=16)
def _target_machine(target: Target, optimisation: int) -> Any:
    # Position-independent code of the small model: constants are one instruction away. LLVM's default for a JIT, the
    # large model, spends an instruction and a register on every address.
    return (
        llvm()
        .Target.from_triple(target.triple)
        .create_target_machine(
            cpu=target.processor,
            features=",".join(target.features),
            opt=optimisation,
            reloc="pic",
            codemodel="small",
        )
    )


def _emit(ir_text: str, target: Target, optimisation: int, method: str) -> Any:
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
        return getattr(machine, method)(module)


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

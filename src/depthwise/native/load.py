"""The way from a program's description to callable code: from the cache if it is there, else generate and compile."""

from collections.abc import Callable

from depthwise.native.cache import CompileCache, cache_key
from depthwise.native.compile import PASSES, LoadedCode, NativeCodeError, compile_module, load_object
from depthwise.native.scheduler import SCHEDULER_VERSION
from depthwise.native.targets import Target, host_target

__all__ = ["load_program"]


def load_program(
    program_text: str,
    generator_version: str,
    generate: Callable[[], str],
    target: Target | None = None,
    optimisation: int = 2,
    cache: CompileCache | None = None,
) -> LoadedCode:
    """Callable code of a program. IR is generated and compiled only when the cache lacks it.

    Parameters
    ----------
    program_text
        Complete, deterministic description of the program. Two programs of one text must have the same IR.
    generator_version
        Version of the code behind `generate`; raise it whenever the IR of some text changes.
    generate
        Returns the text IR; called at most once.
    target
        Machine to compile for, `host_target()` when None. It must be able to run here.
    optimisation
        See `compile_module`.
    cache
        Where machine code is kept, the user's `CompileCache()` when None.

    Example
    -------
    >>> code = load_program("seven", "1", lambda: "define i64 @seven() { ret i64 7 }")
    >>> import ctypes
    >>> ctypes.CFUNCTYPE(ctypes.c_int64)(code.function_address("seven"))()
    7
    """
    target = host_target() if target is None else target
    cache = CompileCache() if cache is None else cache
    how = f"{generator_version}/{SCHEDULER_VERSION}/{optimisation}/{','.join(PASSES)}"
    key = cache_key(program_text, how, target)
    stored = cache.get(key)
    if stored is not None:
        try:
            return load_object(stored)
        except NativeCodeError:
            pass  # An intact entry that this linker does not take: replaced below.
    code = compile_module(generate(), target, optimisation)
    cache.put(key, code)
    return load_object(code)

"""From a program's description to callable code: from the cache if it is there, else generate and compile.

This is the only place where modules become code that runs: networks, the thread team and the probes of `bench` all come here.
"""

import struct
from collections.abc import Callable, Sequence

from depthwise.compiler.native.cache import CompileCache, cache_key
from depthwise.compiler.native.compile import (
    LoadedCode,
    NativeCodeError,
    Source,
    code_generation,
    compile_sources,
    load_objects,
)
from depthwise.compiler.native.targets import Target, host_target

__all__ = ["load_known", "load_program", "program_key"]


def load_program(
    identity: str,
    generate: Callable[[], Sequence[Source]],
    target: Target | None = None,
    cache: CompileCache | None = None,
) -> LoadedCode:
    """Callable code of a program. IR is generated only when the cache lacks the program, and compiled only where the cache
    lacks the module too.

    Parameters
    ----------
    identity
        All that the IR depends on: two programs of one identity must have the same modules.
    generate
        Returns the modules; called at most once.
    target
        Machine to compile for, `host_target()` when None. It must be able to run here.
    cache
        Where machine code is kept, the user's `CompileCache()` when None.

    Example
    -------
    >>> code = load_program("seven", lambda: [Source("define i64 @seven() { ret i64 7 }")])
    >>> import ctypes
    >>> ctypes.CFUNCTYPE(ctypes.c_int64)(code.function_address("seven"))()
    7
    """
    target = host_target() if target is None else target
    cache = CompileCache() if cache is None else cache
    key = program_key(identity, target)
    stored = load_known(key, cache)
    if stored is not None:
        return stored
    sources = generate()
    objects, fresh = _compiled(sources, target, cache)
    try:
        code = load_objects(objects)
    except NativeCodeError:
        if len(fresh) == len(objects):
            raise
        # The same of a module's entry.
        objects, fresh = _compiled(sources, target, None)
        code = load_objects(objects)
    cache.put_all({**fresh, key: _together(objects)})
    return code


def program_key(identity: str, target: Target) -> str:
    """The cache's key of a program's code, see `load_program`."""
    return cache_key(identity, "program", code_generation(), target)


def load_known(key: str, cache: CompileCache) -> LoadedCode | None:
    """The code of a program by its key; None where the cache does not have it, or where this linker does not take it."""
    stored = cache.get(key)
    if stored is None:
        return None
    try:
        return load_objects(_apart(stored))
    except NativeCodeError:
        return None


def _compiled(
    sources: Sequence[Source], target: Target, cache: CompileCache | None
) -> tuple[list[bytes], dict[str, bytes]]:
    """The object code of every source; and by key that of the shared ones which had to be compiled."""
    keys = [cache_key(source.text, source.optimisation, code_generation(), target) for source in sources]
    found = {key: None if cache is None or not source.shared else cache.get(key) for key, source in zip(keys, sources)}
    missing = {key: source for key, source in zip(keys, sources) if found[key] is None}
    compiled = dict(zip(missing, compile_sources(list(missing.values()), target)))
    objects = [found[key] or compiled[key] for key in keys]
    return objects, {key: compiled[key] for key, source in missing.items() if source.shared}


_NUMBER = struct.Struct("<Q")


def _together(objects: Sequence[bytes]) -> bytes:
    """Objects as one payload: each behind its length."""
    return b"".join(part for code in objects for part in (_NUMBER.pack(len(code)), code))


def _apart(payload: bytes) -> list[bytes]:
    if not payload:
        raise NativeCodeError("The entry has no objects.")
    objects, place = [], 0
    while place < len(payload):
        start = place + _NUMBER.size
        length = int.from_bytes(payload[place:start], "little")
        place = start + length
        if place > len(payload):
            raise NativeCodeError("The entry is not a list of objects.")
        objects.append(payload[start:place])
    return objects

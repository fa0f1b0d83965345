"""Kernels compiled for this machine and called directly through ctypes, many in one module; what they touch is fenced."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthwise.compiler.kernels.builder import Function, Module, Vectors
from depthwise.compiler.machine import machine_for
from depthwise.compiler.native.compile import Target, compile_module, host_target, load_object, target_for
from depthwise.runtime.buffers import guarded

__all__ = ["Kernels", "compile_kernels", "compile_unary", "fenced"]

Array = npt.NDArray[np.float32]

COUNTS = ("columns", "depth", "sample", "batch", "chunks")
"""Arguments that are numbers; all others are addresses."""


def fenced(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """A copy of an array that ends where memory ends: reading or writing past it kills the process."""
    given = np.ascontiguousarray(values)
    copy = guarded(given.nbytes).view(given.dtype).reshape(given.shape)
    copy[...] = given
    return copy


def empty(numbers: int) -> Array:
    """Fenced memory full of NaN."""
    return guarded(numbers * 4).view(np.float32)


class Kernels:
    """Compiled kernels: `kernels[i](array or number, …)` calls the i-th; nothing is checked."""

    def __init__(self, code: bytes, arguments: Sequence[Sequence[str]]) -> None:
        self._code = load_object(code)
        self._functions = []
        for i, names in enumerate(arguments):
            kinds = [ctypes.c_int64 if name in COUNTS else ctypes.c_void_p for name in names]
            prototype = ctypes.CFUNCTYPE(None, *kinds)
            self._functions.append(prototype(self._code.function_address(f"entry_{i}")))

    def __len__(self) -> int:
        return len(self._functions)

    def __iter__(self) -> Iterator[Callable[..., None]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Callable[..., None]:
        function = self._functions[index]

        def call(*arguments: Any, _alive: Any = self._code) -> None:  # the code is freed with its last reference
            function(*(item.ctypes.data if isinstance(item, np.ndarray) else int(item) for item in arguments))

        return call


def module_text(kernels: Sequence[Any], vectors: Vectors) -> str:
    """One module with an exported function for each kernel; equal kernels are emitted once."""
    module = Module(vectors)
    for i, kernel in enumerate(kernels):
        arguments = [("i64" if name in COUNTS else "ptr", name) for name in kernel.arguments]
        with module.function(f"entry_{i}", arguments, exported=True) as function:
            function.call(kernel.emit(module), [f"{kind} %{name}" for kind, name in arguments])
    return module.text()


def _target(family: str | None) -> tuple[Target, Vectors]:
    target = host_target() if family is None else target_for(family)
    return target, machine_for(target.vector_family).vectors


def compile_kernels(kernels: Sequence[Any], family: str | None = None) -> Kernels:
    """Machine code of many kernels as one module, for this machine or for one of its vector families."""
    target, vectors = _target(family)
    return Kernels(compile_module(module_text(kernels, vectors), target), [kernel.arguments for kernel in kernels])


Unary = Callable[[Function, str], str]


def unary_text(functions: Sequence[Unary], vectors: Vectors) -> str:
    """A module with `entry_i(a, out, columns)` for each function of one vector; `columns` counts vectors."""
    module = Module(vectors)
    arguments = [("ptr", "a"), ("ptr", "out"), ("i64", "columns")]
    for i, write in enumerate(functions):
        with (
            module.function(f"entry_{i}", arguments, exported=True) as function,
            function.loop(0, "%columns") as loop,
        ):
            place = function.multiply(loop.index, vectors.lanes)
            function.store(write(function, function.load("%a", place)), "%out", place)
    return module.text()


def compile_unary(functions: Sequence[Unary], family: str | None = None) -> list[Callable[[Array], Array]]:
    """NumPy functions (float32 in and out, a multiple of 16 numbers) that run the vector functions natively."""
    target, vectors = _target(family)
    kernels = Kernels(
        compile_module(unary_text(functions, vectors), target), [("a", "out", "columns")] * len(functions)
    )

    def make(index: int) -> Callable[[Array], Array]:
        def run(x: Array) -> Array:
            assert x.size % 16 == 0
            out = np.empty_like(x)
            kernels[index](x, out, x.size // vectors.lanes)
            return out

        return run

    return [make(i) for i in range(len(functions))]

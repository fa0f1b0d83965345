"""Machine code with its memory: runs a compiled program on the thread team."""

import copy
import ctypes
import functools
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from depthwise.compiler.compile import Compiled
from depthwise.compiler.machine import Machine, machine_for
from depthwise.compiler.module import CONTEXT_NUMBERS
from depthwise.compiler.native.scheduler import PARTICIPATE
from depthwise.compiler.native.targets import host_target
from depthwise.runtime.buffers import aligned_zeros
from depthwise.runtime.packed import PackedParameters
from depthwise.runtime.threads import get_threads, team

__all__ = ["Executable", "host_machine"]

Floats = NDArray[np.float32]


@functools.cache
def host_machine() -> Machine:
    """The machine that this process runs on."""
    return machine_for(host_target().vector_family)


def _address(array: np.ndarray) -> int:
    """Where the array's numbers start; `array.ctypes.data` takes twice as long, but does for a read-only array too."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except TypeError:
        return int(array.ctypes.data)


def _zeros(numbers: int) -> Floats:
    return aligned_zeros(max(64, numbers * 4)).view(np.float32)


class Executable:
    """One compiled program and its arenas.

    An exception may arrive between any two lines, from Ctrl-C for one. What it leaves is put right by the next `take` and
    `reserve`; `loaded` and `fits` tell whether they are needed.

    Args:
        compiled: see `depthwise.compiler.compile`.
    """

    def __init__(self, compiled: Compiled) -> None:
        self.frame = compiled.frame
        self._code = compiled.code
        self._function = self._code.function_address(PARTICIPATE)
        self._names = self.frame.arenas
        self._allocate()

    def _allocate(self) -> None:
        frame, sizes = self.frame, self.frame.sizes
        self.arenas: dict[str, Floats] = {
            name: _zeros(sizes.get(name, 0)) for name in ("parameters", "gradients", "slots", "vectors")
        }
        if frame.packs:
            self.arenas |= {f"packed{i}": _zeros(form.numbers) for i, form in enumerate(frame.forms)}
        self.arenas["scalars"] = _zeros(64)
        self._context = np.zeros(len(CONTEXT_NUMBERS) + len(self._names), np.int64)
        self._first_arena = len(CONTEXT_NUMBERS)
        self._first_array = self._first_arena + len(self._names) - len(frame.input_sizes) - len(frame.output_sizes)
        for name, arena in self.arenas.items():
            self._point(name, arena)
        self._pieces = np.array(frame.tasks, np.int64)
        self._counts = np.zeros(len(frame.tasks), np.int64)
        self._by_chunk = self._pieces == 0
        self._context_address = self._context.ctypes.data
        self._counts_address = self._counts.ctypes.data
        self._chunks = 0
        self._batch = 0
        self._threads = 0
        self.loaded: object = None
        """What the caller sets to know again, by identity, the parameters that are loaded and packed."""
        self.lock = threading.RLock()
        self.in_use = False
        """Whether the thread that holds `lock` is between loading and the end of a run."""
        self._spare: Executable | None = None
        _executables.add(self)

    def free(self) -> "Executable":
        """This executable where nobody uses it; the calling thread holds `lock`, so otherwise it does so itself.

        Then code has interrupted it that predicts too, as a signal handler or a finaliser may. That code gets an executable
        with memory of its own.
        """
        executable = self
        while executable.in_use:
            executable._spare = executable._spare or executable._twin()
            executable = executable._spare
        return executable

    def _twin(self) -> "Executable":
        """The same code with memory of its own."""
        twin = copy.copy(self)
        twin._allocate()
        return twin

    def _after_fork_in_child(self) -> None:
        if self.lock.acquire(blocking=False):
            self.lock.release()
        else:  # It belongs to a thread that the child does not have.
            self.lock, self.in_use, self._batch = threading.RLock(), False, 0

    def _point(self, name: str, arena: Floats) -> None:
        self._context[self._first_arena + self._names.index(name)] = arena.ctypes.data

    def _reserve(self, name: str, numbers: int) -> None:
        """Makes an arena at least so large; it starts as zeros. It only grows."""
        arena = self.arenas.get(name)
        if arena is None or arena.size < numbers:
            arena = self.arenas[name] = _zeros(numbers)
        self._point(name, arena)

    def load(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Copies parameters to their places, in training."""
        arena = self.arenas["parameters"]
        for name, offset in self.frame.parameter_offsets.items():
            value = parameters[name]
            arena[offset : offset + value.size] = value.reshape(-1)

    def take(self, packed: PackedParameters) -> None:
        """Lets the kernels read the forms that `packed` holds; what it lacks is packed now."""
        self._batch = 0
        for i, array in enumerate(packed.take(self.frame.forms, self.frame.derived)):
            self.arenas[f"packed{i}"] = array
            self._point(f"packed{i}", array)

    def parameter(self, name: str, shape: Sequence[int]) -> Floats:
        """A copy of a parameter."""
        offset = self.frame.parameter_offsets[name]
        size = int(np.prod(shape, dtype=np.int64))
        return self.arenas["parameters"][offset : offset + size].reshape(shape).copy()

    def reserve(self, batch: int, samples_per_task: int) -> None:
        """Sets a run's size: memory for `batch` samples, and the number of tasks of every stage."""
        self._batch = 0
        threads = get_threads()
        sizes = self.frame.sizes
        chunks = -(-batch // samples_per_task)
        self._reserve("sample", sizes.get("sample", 0) * batch)
        self._reserve("chunk", sizes.get("chunk", 0) * chunks)
        self._reserve("local", sizes.get("local", 0) * threads)
        self._reserve("extra", sizes.get("extra", 0) * threads)
        self._reserve("group", sizes.get("group", 0) * self.frame.group * threads)
        self._context[:3] = batch, samples_per_task, chunks
        self._counts[:] = np.where(self._by_chunk, chunks, self._pieces)
        self._threads, self._chunks = threads, chunks
        self._batch = batch

    def run(
        self,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        hand_over: Callable[[], None] | None = None,
    ) -> None:
        """One native call for the batch that `reserve` set; arrays are C-contiguous and of the model's types.

        With `hand_over` there are two: it is called between them, when the outputs are there that are handed over, and may
        change inputs that are read after that.

        Several Python threads that share an executable hold `lock` from `reserve` to the end of `run`, and use `free()`.
        """
        context, place = self._context, self._first_array
        for array in inputs:
            context[place] = _address(array)
            place += 1
        for array in outputs:
            context[place] = _address(array)
            place += 1
        # No more threads than there is memory for: another Python thread may have called `set_threads` since `reserve`.
        if hand_over is None or self.frame.hand_over is None:
            team().run(self._function, self._context_address, self._counts_address, self._threads)
            if hand_over is not None:  # nothing waits for it: no weight trains
                hand_over()
            return
        before = np.arange(len(self._counts)) < self.frame.hand_over
        for only, between in ((before, hand_over), (~before, None)):
            counts = np.where(only, self._counts, 0)
            team().run(self._function, self._context_address, counts.ctypes.data, self._threads)
            if between is not None:
                between()

    def fits(self, batch: int, threads: int) -> bool:
        """Whether the last `reserve` was for this batch and so many threads."""
        return self._batch == batch and self._threads == threads


_executables: "weakref.WeakSet[Executable]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for executable in tuple(_executables):
        executable._after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

"""Machine code with its memory: compiles a schedule (or takes it from the cache) and runs it on the thread team."""

import ctypes
import functools
import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthwise.emit.schedule import CONTEXT_NUMBERS, arena_names, emit_schedule, stage_names
from depthwise.native.buffers import aligned_empty
from depthwise.native.cache import CompileCache, cache_key
from depthwise.native.compile import Target, compile_module, host_target, load_object
from depthwise.native.scheduler import PARTICIPATE, scheduler_ir
from depthwise.native.threads import get_threads, team
from depthwise.plan.machine import Machine, machine_for
from depthwise.plan.schedule import Schedule

__all__ = ["Executable", "generator_version", "host_machine"]

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
    buffer = aligned_empty(max(64, numbers * 4)).view(np.float32)
    buffer[:] = 0
    return buffer


class Executable:
    """One compiled schedule and its arenas.

    Args:
        schedule: the plan.
        description: text that is equal for equal plans; with the machine it is the cache key.
        machine, target: for what to compile; the host's where they are None.
    """

    def __init__(
        self, schedule: Schedule, description: str, machine: Machine | None = None, target: Target | None = None
    ) -> None:
        self.schedule = schedule
        self._code = load_object(
            machine_code(schedule, machine or host_machine(), target or host_target(), description)
        )
        self._function = self._code.function_address(PARTICIPATE)
        self._names = arena_names(schedule)
        sizes = schedule.sizes
        self.arenas: dict[str, Floats] = {
            name: _zeros(sizes.get(name, 0)) for name in ("parameters", "packed", "gradients", "slots", "vectors")
        }
        self.arenas["scalars"] = _zeros(64)
        self._context = np.zeros(len(CONTEXT_NUMBERS) + len(self._names), np.int64)
        self._first_arena = len(CONTEXT_NUMBERS)
        self._first_array = (
            self._first_arena + len(self._names) - len(schedule.input_sizes) - len(schedule.output_sizes)
        )
        for name, arena in self.arenas.items():
            self._point(name, arena)
        stages = (*schedule.preparation, *schedule.stages)
        self._prepared = len(schedule.preparation)
        self._pieces = np.array([len(stage.pieces) for stage in stages], np.int64)
        self._counts = np.zeros(len(stages), np.int64)
        self._by_chunk = self._pieces == 0
        self._context_address = self._context.ctypes.data
        self._counts_address = self._counts.ctypes.data
        self._chunks = 0
        self.lock = threading.RLock()
        self._batch = 0
        self._threads = 0

    def _point(self, name: str, arena: Floats) -> None:
        self._context[self._first_arena + self._names.index(name)] = arena.ctypes.data

    def _reserve(self, name: str, numbers: int) -> None:
        """Makes an arena at least so large; it starts as zeros. It only grows."""
        if name not in self.arenas or self.arenas[name].size < numbers:
            self.arenas[name] = _zeros(numbers)
            self._point(name, self.arenas[name])

    def load(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Copies parameters to their places; `prepare` must follow before the next run."""
        arena = self.arenas["parameters"]
        for name, value in parameters.items():
            offset = self.schedule.parameter_offsets[name]
            arena[offset : offset + value.size] = value.reshape(-1)

    def parameter(self, name: str, shape: Sequence[int]) -> Floats:
        """A copy of a parameter."""
        offset = self.schedule.parameter_offsets[name]
        size = int(np.prod(shape, dtype=np.int64))
        return self.arenas["parameters"][offset : offset + size].reshape(shape).copy()

    def prepare(self) -> None:
        """Packs the parameters."""
        if self._prepared:
            self._counts[:] = self._pieces
            self._counts[self._prepared :] = 0
            team().run(self._function, self._context_address, self._counts_address)
        self._batch = 0

    def reserve(self, batch: int, samples_per_task: int, *, with_preparation: bool = False) -> None:
        """Sets a run's size: memory for `batch` samples, and the number of tasks of every stage."""
        threads = get_threads()
        sizes, schedule = self.schedule.sizes, self.schedule
        chunks = -(-batch // samples_per_task)
        self._reserve("sample", sizes.get("sample", 0) * batch)
        self._reserve("chunk", sizes.get("chunk", 0) * chunks)
        self._reserve("local", sizes.get("local", 0) * threads)
        self._reserve("extra", sizes.get("extra", 0) * threads)
        self._reserve("group", sizes.get("group", 0) * schedule.group * threads)
        self._context[:3] = batch, samples_per_task, chunks
        self._counts[:] = np.where(self._by_chunk, chunks, self._pieces)
        if not with_preparation:
            self._counts[: self._prepared] = 0
        self._batch, self._threads, self._chunks = batch, threads, chunks

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """One native call for the batch that `reserve` set; arrays are C-contiguous and of the model's types.

        Several Python threads that share an executable hold `lock` from `reserve` to the end of `run`.
        """
        context, place = self._context, self._first_array
        for array in inputs:
            context[place] = _address(array)
            place += 1
        for array in outputs:
            context[place] = _address(array)
            place += 1
        team().run(self._function, self._context_address, self._counts_address)

    def fits(self, batch: int, threads: int) -> bool:
        """Whether the last `reserve` was for this batch and so many threads."""
        return self._batch == batch and self._threads == threads

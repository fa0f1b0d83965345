"""Prediction: a program compiled for this machine, one native call for a batch."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from depthwise.collection import without_collections
from depthwise.compiler.compile import Plan
from depthwise.compiler.ir.program import Program
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.once import making
from depthwise.compiler.native.targets import host_target
from depthwise.compiler.passes import PREDICTION
from depthwise.compiler.plan.prediction import GROUP, plan_batches, plan_single
from depthwise.compiler.recall import Lowered, compile_lowered
from depthwise.runtime.executable import Executable, host_machine
from depthwise.runtime.packed import PackedParameters
from depthwise.runtime.threads import get_threads

__all__ = ["Prediction"]


class Prediction:
    """A program in native code; compiles what a call needs, when it needs it, through the compile cache.

    Batches are divided among the threads by samples, a single sample by rows and channels. Every output is the same, bit
    for bit, whatever the threads and whatever else is in the batch. Several Python threads may call it at once; so may a signal
    handler while a call is under way.

    Args:
        program: as a front end lowers it; it is optimised when code for it is not in the cache.

    Attributes:
        weights: what `load` was given, None before.

    Example:
        >>> from depthwise.network.graph import sequential
        >>> from depthwise.layers import ReLU
        >>> from depthwise.compiler.lower import lower
        >>> prediction = Prediction(lower(sequential([ReLU(input_shape=(2,))])))
        >>> prediction.load({})
        >>> prediction((np.array([[-1.0, 2.0]], np.float32),))[0]
        array([[0., 2.]], dtype=float32)
    """

    def __init__(self, program: Program) -> None:
        self._lowered = Lowered(program, PREDICTION)
        self._executables: dict[int, Executable] = {}
        """By the threads that share a single sample; 0 is for batches. Copies of this object share them."""
        self.weights: Mapping[str, np.ndarray] | None = None
        self._packed = PackedParameters({})
        """Another one for other weights; an executable keeps the one that it has taken."""
        self._output_shapes = tuple(shape for _, shape in program.outputs)

    @property
    def program(self) -> Program:
        """The optimised program."""
        return self._lowered.optimised

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Takes the model's weights: arrays that stay as they are as long as this object has them.

        What is derived from them is computed and packed by the calls that need it, once for all of them.
        """
        self._packed = PackedParameters(weights)
        self.weights = weights

    def with_weights(self, weights: Mapping[str, np.ndarray]) -> "Prediction":
        """The same machine code with other weights; calls that are under way keep theirs."""
        other = copy.copy(self)
        other.load(weights)
        return other

    def __call__(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray] | None = None
    ) -> tuple[np.ndarray, ...]:
        """Outputs for inputs of shape (batch, …), float32 and C-contiguous; nothing is checked here.

        Args:
            outputs: arrays of the outputs' shapes to write to; new ones where it is None.
        """
        batch = inputs[0].shape[0]
        if outputs is None:
            outputs = [np.empty((batch, *shape), np.float32) for shape in self._output_shapes]
        if batch == 0:
            return tuple(outputs)
        threads = get_threads()
        packed = self._packed
        executable = self._for_single(threads) if batch == 1 and threads > 1 else self._for_batches()
        with executable.lock:
            if executable.in_use:
                executable = executable.free()
            try:
                executable.in_use = True
                if executable.loaded is not packed:
                    executable.loaded = None  # also after an interrupt half-way
                    executable.take(packed)
                    executable.loaded = packed
                if not executable.fits(batch, threads):
                    executable.reserve(batch, min(GROUP, -(-batch // threads)))
                executable.run(inputs, outputs)
            finally:
                executable.in_use = False
        return tuple(outputs)

    def _for_batches(self) -> Executable:
        try:
            return self._executables[0]
        except KeyError:
            return self._make(0, plan_batches)

    def _for_single(self, parts: int) -> Executable:
        try:
            return self._executables[parts]
        except KeyError:
            return self._make(parts, partial(plan_single, parts=parts))

    @without_collections()
    def _make(self, parts: int, plan: Plan) -> Executable:
        with making:
            if parts not in self._executables:
                compiled = compile_lowered(self._lowered, plan, host_machine(), host_target(), CompileCache())
                self._executables.setdefault(parts, Executable(compiled))
        return self._executables[parts]

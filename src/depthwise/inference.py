"""Prediction: a graph compiled for this machine, one native call for a batch."""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from depthwise.execution import Executable, host_machine
from depthwise.graph import Graph
from depthwise.native.once import making
from depthwise.native.threads import get_threads
from depthwise.passes.lower import lower
from depthwise.passes.simplify import PREDICTION, derive, run_passes
from depthwise.plan.prediction import GROUP, plan_batches, plan_single
from depthwise.plan.schedule import Schedule

__all__ = ["Prediction"]


class Prediction:
    """A graph in native code; compiles what a call needs, when it needs it, through the compile cache.

    Batches are divided among the threads by samples, a single sample by rows and channels. Every output is the same, bit
    for bit, whatever the threads and whatever else is in the batch. Several Python threads may call it at once; so may a signal
    handler while a call is under way.

    Attributes:
        weights: what `load` was given, None before.

    Example:
        >>> from depthwise.graph import sequential
        >>> from depthwise.layers import ReLU
        >>> prediction = Prediction(sequential([ReLU(input_shape=(2,))]))
        >>> prediction.load({})
        >>> prediction((np.array([[-1.0, 2.0]], np.float32),))[0]
        array([[0., 2.]], dtype=float32)
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.program = run_passes(lower(graph), PREDICTION)
        self._description = self.program.description()
        self._executables: dict[int, Executable] = {}
        """By the threads that share a single sample; 0 is for batches. Copies of this object share them."""
        self.weights: Mapping[str, np.ndarray] | None = None
        self._parameters: dict[str, np.ndarray] = {}
        self._stamp = object()
        """Another one for other parameters; an executable keeps that of the parameters it has loaded."""
        self._output_shapes = graph.output_shapes

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Takes the model's weights; what is derived from them is computed here, once. The next call copies them."""
        values: dict[str, np.ndarray] = dict(weights)
        self._parameters = {
            name: np.asarray(derive(parameter, values), np.float32)
            for name, parameter in self.program.parameters.items()
        }
        self._stamp = object()
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
        executable = self._for_single(threads) if batch == 1 and threads > 1 else self._for_batches()
        with executable.lock:
            if executable.in_use:
                executable = executable.free()
            try:
                executable.in_use = True
                if executable.loaded is not self._stamp:
                    self._load_into(executable)
                if not executable.fits(batch, threads):
                    executable.reserve(batch, min(GROUP, -(-batch // threads)))
                executable.run(inputs, outputs)
            finally:
                executable.in_use = False
        return tuple(outputs)

    def _load_into(self, executable: Executable) -> None:
        executable.loaded = None  # also after an interrupt half-way
        executable.load(self._parameters)
        executable.prepare()
        executable.loaded = self._stamp

    def _for_batches(self) -> Executable:
        try:
            return self._executables[0]
        except KeyError:
            return self._make(0, "batches", lambda: plan_batches(self.program, host_machine()))

    def _for_single(self, parts: int) -> Executable:
        try:
            return self._executables[parts]
        except KeyError:
            return self._make(parts, f"single {parts}", lambda: plan_single(self.program, host_machine(), parts))

    def _make(self, parts: int, kind: str, plan: Callable[[], Schedule]) -> Executable:
        with making:
            if parts not in self._executables:
                self._executables.setdefault(parts, Executable(plan(), f"{kind} {self._description}"))
        return self._executables[parts]

"""Prediction: a graph compiled for this machine, one native call for a batch."""

from collections.abc import Mapping, Sequence

import numpy as np

from depthwise.execution import Executable, host_machine
from depthwise.graph import Graph
from depthwise.native.threads import get_threads
from depthwise.passes.lower import lower
from depthwise.passes.simplify import PREDICTION, derive, run_passes
from depthwise.plan.prediction import GROUP, plan_batches, plan_single

__all__ = ["Prediction"]


class Prediction:
    """A graph in native code; compiles what a call needs, when it needs it, through the compile cache.

    Batches are divided among the threads by samples, a single sample by rows and channels. Every output is the same, bit
    for bit, whatever the threads and whatever else is in the batch.

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
        self._batches: Executable | None = None
        self._single: dict[int, Executable] = {}
        self._parameters: dict[str, np.ndarray] = {}
        self._output_shapes = graph.output_shapes

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Takes the model's weights; what is derived from them is computed here, once."""
        values: dict[str, np.ndarray] = dict(weights)
        self._parameters = {
            name: np.asarray(derive(parameter, values), np.float32)
            for name, parameter in self.program.parameters.items()
        }
        for executable in (self._batches, *self._single.values()):
            if executable is not None:
                self._prepare(executable)

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
            if not executable.fits(batch, threads):
                executable.reserve(batch, min(GROUP, -(-batch // threads)))
            executable.run(inputs, outputs)
        return tuple(outputs)

    def _prepare(self, executable: Executable) -> None:
        with executable.lock:
            executable.load(self._parameters)
            executable.prepare()

    def _for_batches(self) -> Executable:
        if self._batches is None:
            self._batches = Executable(plan_batches(self.program, host_machine()), "batches " + self._description)
            self._prepare(self._batches)
        return self._batches

    def _for_single(self, parts: int) -> Executable:
        if parts not in self._single:
            schedule = plan_single(self.program, host_machine(), parts)
            self._single[parts] = Executable(schedule, f"single {parts} {self._description}")
            self._prepare(self._single[parts])
        return self._single[parts]

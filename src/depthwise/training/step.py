"""One training step in native code: forward, loss, backward and optimiser in a single call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from depthwise.differentiate import LossRule, check_shared, differentiate, expand_batch_normalization
from depthwise.errors import UnsupportedError
from depthwise.execution import Executable, host_machine
from depthwise.graph import Graph
from depthwise.native.threads import get_threads
from depthwise.passes.lower import lower
from depthwise.passes.simplify import TRAINING, derive, run_passes
from depthwise.passes.verify import verify
from depthwise.plan.training import Update, plan_training, samples_per_chunk
from depthwise.training import losses, optimizers

__all__ = ["StepResult", "TrainingStep"]


@dataclass(frozen=True)
class StepResult:
    """What one step computed before it changed the weights.

    Attributes:
        losses: float32 (batch,): each sample's loss, not weighted.
        predictions: float32 (batch, …): the network's output.
    """

    losses: np.ndarray
    predictions: np.ndarray


def _loss_rule(loss: losses.Loss) -> LossRule:
    names = {
        "SparseCategoricalCrossentropy": "categorical",
        "CategoricalCrossentropy": "categorical",
        "BinaryCrossentropy": "binary",
        "MeanSquaredError": "squared",
        "MeanAbsoluteError": "absolute",
    }
    return LossRule(
        names[type(loss).__name__],
        bool(getattr(loss, "from_logits", False)),
        loss.sparse,
        float(getattr(loss, "label_smoothing", 0.0)),
    )


def _update(optimizer: optimizers.Optimizer) -> Update:
    known = ("momentum", "nesterov", "rho", "centered", "epsilon", "beta_1", "beta_2", "amsgrad")
    options = tuple((name, float(getattr(optimizer, name))) for name in known if hasattr(optimizer, name))
    settings = vars(optimizer)
    return Update(
        type(optimizer).__name__,
        options,
        len(optimizer.slots),
        settings["weight_decay"] is not None,
        settings["clipvalue"],
        settings["clipnorm"],
        settings["global_clipnorm"],
    )


class TrainingStep:
    """A graph, a loss and an optimiser, compiled for this machine.

    Holds the weights and the optimiser's state while training goes on; `weights` and `optimizer_state` give copies.

    Raises:
        UnsupportedError: the model has several outputs.
    """

    def __init__(self, graph: Graph, loss: losses.Loss, optimizer: optimizers.Optimizer) -> None:
        if len(graph.outputs) != 1:
            raise UnsupportedError(f"training takes a model with one output, this one has {len(graph.outputs)}")
        self.optimizer = optimizer
        forward = run_passes(lower(graph, training=True), TRAINING)
        check_shared(forward)
        forward = verify(expand_batch_normalization(forward), "expand_batch_normalization")
        self.program = verify(differentiate(forward, _loss_rule(loss)), "differentiate")
        update = _update(optimizer)
        schedule = plan_training(self.program, update, host_machine())
        self._executable = Executable(schedule, f"training {update} {self.program.description()}")
        self._iteration = 0
        self._sparse = loss.sparse
        self._output_shape = graph.output_shapes[0]
        self._scalars = self._executable.arenas["scalars"]
        self._ones = np.ones(0, np.float32)

    def load(self, weights: Mapping[str, np.ndarray], optimizer_state: Mapping[str, np.ndarray]) -> None:
        """Takes the model's weights, and the optimiser's state ({} for a fresh start)."""
        values = {name: np.asarray(value) for name, value in weights.items()}
        self._executable.load(
            {
                name: np.asarray(derive(parameter, values), np.float32)
                for name, parameter in self.program.parameters.items()
            }
        )
        self._executable.arenas["slots"][:] = 0
        self._iteration = int(optimizer_state.get("iteration", np.zeros((), np.int64)))
        for name, slot in self._slots().items():
            if name in optimizer_state:
                slot[:] = np.asarray(optimizer_state[name], np.float32)

    def __call__(
        self,
        x: Sequence[np.ndarray],
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        learning_rate: float,
        seed: int = 0,
    ) -> StepResult:
        """One step on a batch; nothing is checked here.

        Args:
            x: float32 inputs (batch, …).
            y: int32 (batch,) for a sparse loss, else float32 of the output's shape.
            sample_weight: float32 (batch,), or None.
            learning_rate: of this step.
            seed: what dropout draws its choices from.
        """
        batch = x[0].shape[0]
        if not self._executable.fits(batch, get_threads()):
            self._executable.reserve(batch, samples_per_chunk(batch), with_preparation=True)
        if self._ones.size != batch:
            self._ones = np.full(batch, 1.0 / batch, np.float32)
        weight = self._ones if sample_weight is None else sample_weight * np.float32(1.0 / batch)
        self._iteration += 1
        self._set_scalars(learning_rate, seed)
        result = StepResult(np.empty(batch, np.float32), np.empty((batch, *self._output_shape), np.float32))
        self._executable.run((*x, y, weight), (result.losses, result.predictions))
        return result

    def _set_scalars(self, learning_rate: float, seed: int) -> None:
        scalars, settings, t = self._scalars, vars(self.optimizer), self._iteration
        scalars[:1].view(np.uint32)[0] = seed & 0xFFFFFFFF
        scalars[1] = learning_rate
        if "beta_1" in settings:
            scalars[2] = learning_rate * float(np.sqrt(1.0 - settings["beta_2"] ** t)) / (1.0 - settings["beta_1"] ** t)
        scalars[3] = learning_rate * (settings["weight_decay"] or 0.0)

    def weights(self) -> dict[str, np.ndarray]:
        """Copies of the model's weights as they are now."""
        return {
            name: self._executable.parameter(name, parameter.shape)
            for name, parameter in self.program.parameters.items()
            if not parameter.derivation
        }

    def _slots(self) -> dict[str, np.ndarray]:
        """The optimiser's memory by name, as views."""
        arena, offsets = self._executable.arenas["slots"], self._executable.schedule.parameter_offsets
        names = self.optimizer.slots
        total = arena.size // max(1, len(names))
        views = {}
        for name, parameter in self.program.parameters.items():
            if parameter.trainable:
                size = int(np.prod(parameter.shape))
                for i, slot in enumerate(names):
                    first = i * total + offsets[name]
                    views[f"{name}/{slot}"] = arena[first : first + size].reshape(parameter.shape)
        return views

    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Copies: `iteration`, and each weight's slots as `node/weight/slot`."""
        state: dict[str, np.ndarray] = {"iteration": np.asarray(self._iteration, np.int64)}
        return state | {name: slot.copy() for name, slot in self._slots().items()}

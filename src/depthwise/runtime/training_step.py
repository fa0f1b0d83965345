"""One training step in native code: forward, loss, backward and optimizer in a single call."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from depthwise import losses, optimizers
from depthwise.compiler.compile import compile
from depthwise.compiler.derive import derive
from depthwise.compiler.differentiate import LossRule, differentiate
from depthwise.compiler.ir.program import Program
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.targets import host_target
from depthwise.compiler.passes import GRADIENTS, TRAINING, run_passes
from depthwise.compiler.plan.training import Update, plan_training, samples_per_chunk
from depthwise.runtime.executable import Executable, host_machine
from depthwise.runtime.threads import get_threads

__all__ = ["StepResult", "TrainingStep"]


@dataclass(frozen=True)
class StepResult:
    """What one step computed before it changed the weights.

    Attributes:
        all_losses: of every output float32 (batch,), each sample's loss, not weighted; (batch, …) for an output
            (…, channels). None for an output without a loss.
        all_predictions: of every output float32 (batch, …): the network's results.
    """

    all_losses: tuple[np.ndarray | None, ...]
    all_predictions: tuple[np.ndarray, ...]

    @property
    def losses(self) -> np.ndarray:
        """The losses of a network with one output."""
        (losses,) = self.all_losses
        assert losses is not None
        return losses

    @property
    def predictions(self) -> np.ndarray:
        """The results of a network with one output."""
        (predictions,) = self.all_predictions
        return predictions


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


class _TrainedOutput:
    """An output with a loss: what each of its losses counts for in the sum that is minimised.

    Args:
        loss: its loss. shape: of one sample. weight: what the loss counts for beside those of other outputs.
    """

    def __init__(self, loss: losses.Loss, shape: tuple[int, ...], weight: float) -> None:
        self.loss = loss
        self.positions = shape[:-1]
        self.weight = np.float32(weight)
        self._share = np.float32(1.0)
        self._shares = np.ones(0, np.float32)
        """`_share`, what a loss of weight 1 counts for in the last batch, for each of its losses."""

    def shares(self, batch: int, sample_weight: np.ndarray | None) -> np.ndarray:
        """float32 (batch, …), one for each loss."""
        if len(self._shares) != batch:
            shape = (batch, *self.positions)
            self._share = np.float32(1.0 / math.prod(shape)) * self.weight
            self._shares = np.full(shape, self._share, np.float32)
        if sample_weight is None:
            return self._shares
        weight = sample_weight * self._share
        return np.repeat(weight, self._shares.size // batch) if weight.ndim < self._shares.ndim else weight


class TrainingStep:
    """A program, its losses and an optimizer, compiled for this machine.

    Args:
        program: as a front end lowers it for training; it is optimised and differentiated here.
        loss: the loss of the program's one output, or one for each output, None for those that are not trained.
        loss_weights: what each output's loss counts for in the sum that is minimised, 1 by default.

    Holds the weights and the optimizer's state while training goes on; `weights` and `optimizer_state` give copies.
    """

    def __init__(
        self,
        program: Program,
        loss: losses.Loss | Sequence[losses.Loss | None],
        optimizer: optimizers.Optimizer,
        loss_weights: Sequence[float] | None = None,
    ) -> None:
        self.optimizer = optimizer
        each = [loss] if isinstance(loss, losses.Loss) else loss
        forward = run_passes(program, TRAINING)
        self.program = run_passes(
            differentiate(forward, [None if item is None else _loss_rule(item) for item in each]),
            GRADIENTS,
            "differentiate",
        )
        plan = partial(plan_training, update=_update(optimizer))
        self._executable = Executable(compile(self.program, plan, host_machine(), host_target(), CompileCache()))
        self._unread: dict[str, np.ndarray] = {}
        """Weights that no operation of the program reads: they never change."""
        self._iteration = 0
        self._shapes = [shape for _, shape in program.outputs]
        self._trained = [
            None if item is None else _TrainedOutput(item, shape, weight)
            for item, shape, weight in zip(each, self._shapes, loss_weights or [1.0] * len(each), strict=True)
        ]
        self._scalars = self._executable.arenas["scalars"]

    def load(self, weights: Mapping[str, np.ndarray], optimizer_state: Mapping[str, np.ndarray]) -> None:
        """Takes the model's weights, and the optimizer's state ({} for a fresh start)."""
        values = {name: np.asarray(value) for name, value in weights.items()}
        live = self.program.live_parameters
        self._unread = {name: value for name, value in values.items() if name not in live}
        parameters = {name: np.asarray(derive(name, self.program.parameters, values), np.float32) for name in live}
        self._executable.load(parameters)
        self._executable.arenas["slots"][:] = 0
        self._iteration = int(optimizer_state.get("iteration", np.zeros((), np.int64)))
        for name, slot in self._slots().items():
            if name in optimizer_state:
                slot[:] = np.asarray(optimizer_state[name], np.float32)

    def __call__(
        self,
        x: Sequence[np.ndarray],
        y: np.ndarray | Sequence[np.ndarray | None],
        sample_weight: np.ndarray | None | Sequence[np.ndarray | None] = None,
        *,
        learning_rate: float,
        seed: int = 0,
    ) -> StepResult:
        """One step on a batch; nothing is checked here.

        Args:
            x: float32 inputs (batch, …).
            y: for each output, or of a network with one output, int32 (batch, …) for a sparse loss and an output
                (…, classes), else float32 of the output's shape; None without a loss.
            sample_weight: likewise float32 (batch,), or (batch, …) with one for each loss, or None.
            learning_rate: of this step.
            seed: what dropout draws its choices from.
        """
        batch = x[0].shape[0]
        if not self._executable.fits(batch, get_threads()):
            self._executable.reserve(batch, samples_per_chunk(batch))
        targets = (y,) if isinstance(y, np.ndarray) else y
        if sample_weight is None or isinstance(sample_weight, np.ndarray):
            weights: Sequence[np.ndarray | None] = (sample_weight,) * len(targets)
        else:
            weights = sample_weight
        inputs = [*x]
        all_losses: list[np.ndarray | None] = []
        for output, target, weight in zip(self._trained, targets, weights):
            if output is None:
                all_losses.append(None)
                continue
            assert target is not None
            inputs += (target, output.shares(batch, weight))
            all_losses.append(np.empty((batch, *output.positions), np.float32))
        predictions = tuple(np.empty((batch, *shape), np.float32) for shape in self._shapes)
        self._iteration += 1
        self._set_scalars(learning_rate, seed)
        found = [item for item in all_losses if item is not None]
        self._executable.run(inputs, (*found, *predictions))
        return StepResult(tuple(all_losses), predictions)

    def _set_scalars(self, learning_rate: float, seed: int) -> None:
        scalars, settings, t = self._scalars, vars(self.optimizer), self._iteration
        scalars[:1].view(np.uint32)[0] = seed & 0xFFFFFFFF
        scalars[1] = learning_rate
        if "beta_1" in settings:
            scalars[2] = learning_rate * float(np.sqrt(1.0 - settings["beta_2"] ** t)) / (1.0 - settings["beta_1"] ** t)
        scalars[3] = learning_rate * (settings["weight_decay"] or 0.0)

    def weights(self) -> dict[str, np.ndarray]:
        """Copies of the model's weights as they are now."""
        read = {
            name: self._executable.parameter(name, value.shape)
            for name, value in self.program.live_parameters.items()
            if value.derived is None
        }
        return read | {name: value.copy() for name, value in self._unread.items()}

    def _slots(self) -> dict[str, np.ndarray]:
        """The optimizer's memory by name, as views."""
        arena, offsets = self._executable.arenas["slots"], self._executable.schedule.parameter_offsets
        names = self.optimizer.slots
        total = arena.size // max(1, len(names))
        views = {}
        for name, parameter in self.program.live_parameters.items():
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

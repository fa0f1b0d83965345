"""One training step in native code: forward, loss, backward and optimizer in a single call."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from depthwise.errors import UnsupportedError
from depthwise.runtime.executable import Executable, host_machine
from depthwise.runtime.threads import get_threads

__all__ = ["StepResult", "TrainingStep"]


@dataclass(frozen=True)
class StepResult:
    """What one step computed before it changed the weights.

    Attributes:
        losses: float32 (batch,): each sample's loss, not weighted; (batch, …) for an output (…, channels).
        predictions: float32 (batch, …): the network's output.
    """

    losses: np.ndarray
    predictions: np.ndarray


_KERNELS = {
    "SparseCategoricalCrossentropy": "categorical",
    "CategoricalCrossentropy": "categorical",
    "BinaryCrossentropy": "binary",
    "MeanSquaredError": "squared",
    "MeanAbsoluteError": "absolute",
}
"""Losses with kernels of their own; others are given by their formula."""


def _loss_rule(loss: losses.Loss, shape: tuple[int, ...]) -> LossRule:
    """How the native step computes the loss of an output of that shape.

    Raises:
        UnsupportedError: a loss over axes that are neither the last one nor all of a sample's.
    """
    axes = loss.axes(len(shape) + 1)
    last = (len(shape),)
    if axes != last and (not loss.axes_may_be_several or axes != tuple(range(1, len(shape) + 1))):
        raise UnsupportedError(
            f"{type(loss).__name__}: training takes axis=-1, the outputs of a position"
            + (f", or {tuple(range(1, len(shape) + 1))}, the whole sample" if loss.axes_may_be_several else "")
            + f"; got axis={vars(loss)['axis']}"
        )
    smoothing = float(getattr(loss, "label_smoothing", 0.0))
    name = _KERNELS.get(type(loss).__name__)
    if name is None:
        assert isinstance(loss, losses.FormulaLoss)
        formula = replace(loss.formula(shape[-1]), whole=axes != last)
        name = type(loss).__name__
        name = "binary_focal" if name == "BinaryFocalCrossentropy" else name.lower()
        return LossRule(name, False, loss.sparse, smoothing, formula)
    return LossRule(name, bool(getattr(loss, "from_logits", False)), loss.sparse, smoothing)


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
    """A program, a loss and an optimizer, compiled for this machine.

    Args:
        program: as a front end lowers it for training; it is optimised and differentiated here.

    Holds the weights and the optimizer's state while training goes on; `weights` and `optimizer_state` give copies.

    Raises:
        UnsupportedError: the model has several outputs.
    """

    def __init__(self, program: Program, loss: losses.Loss, optimizer: optimizers.Optimizer) -> None:
        if len(program.outputs) != 1:
            raise UnsupportedError(f"training takes a model with one output, this one has {len(program.outputs)}")
        self.optimizer = optimizer
        self._loss = loss
        self._output_shape = program.outputs[0][1]
        rule = _loss_rule(loss, self._output_shape)
        self._positions = self._output_shape[:-1] if rule.formula is None or not rule.formula.whole else ()
        forward = run_passes(program, TRAINING)
        self.program = run_passes(differentiate(forward, [rule]), GRADIENTS, "differentiate")
        plan = partial(plan_training, update=_update(optimizer))
        self._executable = Executable(compile(self.program, plan, host_machine(), host_target(), CompileCache()))
        self._unread: dict[str, np.ndarray] = {}
        """Weights that no operation of the program reads: they never change."""
        self._iteration = 0
        self._plain = loss.reducing == "sum_over_batch_size" and vars(loss).get("ignore_class") is None
        """Each loss counts for its weight divided by the number of losses."""
        self._scalars = self._executable.arenas["scalars"]
        self._share = np.float32(1.0)
        """What a loss of weight 1 counts for in the sum; `_shares` is an array of it for the last batch."""
        self._shares = np.ones(0, np.float32)

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
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        learning_rate: float,
        seed: int = 0,
    ) -> StepResult:
        """One step on a batch; nothing is checked here.

        Args:
            x: float32 inputs (batch, …).
            y: int32 (batch, …) for a sparse loss and an output (…, classes), else float32 of the output's shape.
            sample_weight: float32 (batch,), or (batch, …) with one for each loss, or None.
            learning_rate: of this step.
            seed: what dropout draws its choices from.
        """
        batch = x[0].shape[0]
        if not self._executable.fits(batch, get_threads()):
            self._executable.reserve(batch, samples_per_chunk(batch))
        if len(self._shares) != batch:
            shape = (batch, *self._positions)
            self._share = np.float32(1.0 / math.prod(shape))
            self._shares = np.full(shape, self._share, np.float32)
        weight = self._shares
        if not self._plain:
            given = losses.shares(self._loss, y, self._shares.shape, sample_weight)
            weight = np.ascontiguousarray(np.broadcast_to(given, self._shares.shape), np.float32)
        elif sample_weight is not None:
            weight = sample_weight * self._share
            if weight.ndim < self._shares.ndim:
                weight = np.repeat(weight, self._shares.size // batch)
        self._iteration += 1
        self._set_scalars(learning_rate, seed)
        predictions = np.empty((batch, *self._output_shape), np.float32)
        result = StepResult(np.empty(self._shares.shape, np.float32), predictions)
        y = self._loss.batch_targets(y)
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

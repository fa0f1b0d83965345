"""One training step in native code: forward, loss, backward and optimizer in a single call."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from depthwise import losses, optimizers
from depthwise.compiler.compile import Plan, compile
from depthwise.compiler.derive import derive
from depthwise.compiler.differentiate import differentiate
from depthwise.compiler.ir.program import Program
from depthwise.compiler.ir.types import Value
from depthwise.compiler.ir.update import Update
from depthwise.compiler.native.cache import CompileCache
from depthwise.compiler.native.targets import host_target
from depthwise.compiler.passes import GRADIENTS, TRAINING, run_passes
from depthwise.compiler.plan.training import plan_training, samples_per_chunk, trainable_weights
from depthwise.dataclass import dataclass
from depthwise.regularizers import OrthogonalRegularizer
from depthwise.runtime.drawing import draw
from depthwise.runtime.executable import Executable, host_machine
from depthwise.runtime.step_loss import StepLoss
from depthwise.runtime.threads import get_threads

__all__ = ["StepResult", "TrainingStep"]


@dataclass(frozen=True)
class StepResult:
    """What one step computed before it changed the weights.

    Attributes:
        all_losses: of every output float32 (batch,), each sample's loss, not weighted; (batch, …) for an output
            (…, channels). None for an output without a loss.
        all_predictions: of every output float32 (batch, …): the network's results.
        penalty: what the weights' regularizers add to the loss.
    """

    all_losses: tuple[np.ndarray | None, ...]
    all_predictions: tuple[np.ndarray, ...]
    penalty: float = 0.0

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


@dataclass(frozen=True)
class _Optimizing:
    """An optimizer as the plan asks for it, with the weights that it spares from weight decay."""

    description: optimizers.OptimizerDescription
    undecayed: tuple[str, ...]

    def update(self, weights: Mapping[str, Value]) -> Update:
        return self.description.update(weights, self.undecayed)


class TrainingStep:
    """A program, its losses and an optimizer, compiled for this machine.

    Args:
        program: as a front end lowers it for training; it is optimised and differentiated here.
        loss: the loss of the program's one output, or one for each output, None for those that are not trained.
        loss_weights: what each output's loss counts for in the sum that is minimised, 1 by default.
        penalties: (loss, weight) for each of the program's last outputs, which are only penalised: their targets are zeros.

    Holds the weights and the optimizer's state while training goes on; `weights` and `optimizer_state` give copies.
    """

    def __init__(
        self,
        program: Program,
        loss: losses.Loss | Sequence[losses.Loss | None],
        optimizer: optimizers.Optimizer | optimizers.OptimizerDescription,
        loss_weights: Sequence[float] | None = None,
        penalties: Sequence[tuple[losses.Loss, float]] = (),
    ) -> None:
        self.optimizer = optimizers.description_of(optimizer)
        undecayed = optimizer.undecayed if isinstance(optimizer, optimizers.Optimizer) else ()
        each = [loss] if isinstance(loss, losses.Loss) else [*loss]
        counts = [*(loss_weights or [1.0] * len(each)), *(weight for _, weight in penalties)]
        each += [item for item, _ in penalties]
        self._penalties = [weight for _, weight in penalties]
        self._shapes = [shape for _, shape in program.outputs]
        self._losses = [
            None if item is None else StepLoss(item, shape, weight)
            for item, shape, weight in zip(each, self._shapes, counts, strict=True)
        ]
        self._trained = [(number, item) for number, item in enumerate(self._losses) if item is not None]
        rules = [None if item is None else item.rule for item in self._losses]
        forward = run_passes(program, TRAINING)
        given = (program.values[name].drawn for name, _ in program.inputs)
        self._drawn = [item for item in given if item is not None]
        self.program = run_passes(differentiate(forward, rules), GRADIENTS, "differentiate")
        plan = partial(plan_training, optimizer=_Optimizing(self.optimizer, undecayed))
        self._executable = self._compiled(plan)
        self._unread: dict[str, np.ndarray] = {}
        """Weights that no operation of the program reads: they never change."""
        self._iteration = 0
        self._numbers = dict(self.optimizer.numbers)
        self._scalars = self._executable.arenas["scalars"]
        self._slot_pitch = self._executable.frame.sizes["parameters"]
        self._regularized = [
            (name, value.regularizer)
            for name, value in trainable_weights(self.program).items()
            if value.regularizer is not None
        ]

    def _compiled(self, plan: Plan) -> Executable:
        return Executable(compile(self.program, plan, host_machine(), host_target(), CompileCache()))

    def load(self, weights: Mapping[str, np.ndarray], optimizer_state: Mapping[str, np.ndarray]) -> None:
        """Takes the model's weights, and the optimizer's state ({} for a fresh start)."""
        values = {name: np.asarray(value) for name, value in weights.items()}
        live = self.program.live_parameters
        self._unread = {name: value for name, value in values.items() if name not in live}
        parameters = {name: np.asarray(derive(name, self.program.derived, values), np.float32) for name in live}
        self._executable.load(parameters)
        self._executable.arenas["slots"][:] = 0
        self._iteration = int(optimizer_state.get("iteration", np.zeros((), np.int64)))
        initial = self.optimizer.initial
        for name, slot in self._slots().items():
            if name in optimizer_state:
                slot[...] = np.asarray(optimizer_state[name], np.float32)
            else:
                slot[...] = initial.get(name.rpartition("/")[2], 0.0)
        for name, first in self.optimizer.numbers.items():
            self._numbers[name] = float(optimizer_state.get(name, first))

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
            seed: what dropout and random transformations draw their choices from.
        """
        batch = x[0].shape[0]
        if not self._executable.fits(batch, get_threads()):
            self._executable.reserve(batch, samples_per_chunk(batch))
        targets = (y,) if isinstance(y, np.ndarray) else y
        if sample_weight is None or isinstance(sample_weight, np.ndarray):
            weights: Sequence[np.ndarray | None] = (sample_weight,) * len(targets)
        else:
            weights = sample_weight
        if self._penalties:
            hidden = self._shapes[-len(self._penalties) :]
            targets = (*targets, *(np.zeros((batch, *shape), np.float32) for shape in hidden))
            weights = (*weights, *(None for _ in hidden))
        drawn = draw(self._drawn, batch, seed, self._iteration) if self._drawn else []
        inputs = [*x, *drawn]
        results: list[np.ndarray] = []
        all_losses: list[np.ndarray | None] = [None] * len(self._losses)
        waiting: list[tuple[int, StepLoss, np.ndarray, np.ndarray | None, np.ndarray]] = []
        """What Python computes between the forward and the backward pass."""
        for number, loss in self._trained:
            target, weight = targets[number], weights[number]
            assert target is not None
            positions = (batch, *loss.positions)
            if loss.rule.handed_over:
                inputs += (np.empty((batch, *self._shapes[number]), np.float32), np.ones(positions, np.float32))
                waiting.append((number, loss, target, weight, inputs[-2]))
                continue
            inputs += (loss.targets(target), loss.shares(target, weight))
            found = all_losses[number] = np.empty(positions, np.float32)
            results.append(found)
        predictions = tuple([np.empty((batch, *shape), np.float32) for shape in self._shapes])
        self._set_scalars(learning_rate, self._iteration, seed)
        self._iteration += 1
        penalty = self._penalty() if self._regularized else 0.0

        def hand_over() -> None:
            for number, loss, target, weight, gradient in waiting:
                all_losses[number], gradient[...] = loss.hand_over(target, predictions[number], weight)

        self._executable.run(inputs, (*results, *predictions), hand_over if waiting else None)
        if self._penalties:
            visible = len(predictions) - len(self._penalties)
            for losses_of_one, weight_of_one in zip(all_losses[visible:], self._penalties):
                assert losses_of_one is not None
                penalty += weight_of_one * float(losses_of_one.mean(dtype=np.float64))
            return StepResult(tuple(all_losses[:visible]), predictions[:visible], penalty)
        return StepResult(tuple(all_losses), predictions, penalty)

    def _penalty(self) -> float:
        """What the regularizers add to the loss before the step; gradients that the native step cannot compute are put in.

        In NumPy: one pass over the regularised weights, against forward and backward passes over every sample.
        """
        total = 0.0
        arenas, offsets = self._executable.arenas, self._executable.frame.parameter_offsets
        for name, regularizer in self._regularized:
            shape = self.program.live_parameters[name].shape
            first, size = offsets[name], math.prod(shape)
            weight = arenas["parameters"][first : first + size].reshape(shape)
            total += regularizer(weight)
            if isinstance(regularizer, OrthogonalRegularizer):
                first += len(self.optimizer.slots) * self._slot_pitch
                arenas["slots"][first : first + size] = regularizer.gradient(weight).reshape(-1)
        return total

    def _set_scalars(self, learning_rate: float, steps: int, seed: int) -> None:
        scalars = self._scalars
        scalars[:1].view(np.uint32)[0] = seed & 0xFFFFFFFF
        values = [*self.optimizer.step_scalars(learning_rate, steps, self._numbers).values()]
        scalars[1 : len(values) + 1] = values
        for name, value in self._numbers.items():  # as a file holds them: a resumed training takes the same steps
            self._numbers[name] = float(np.float32(value))

    def take_optimizer(self, description: optimizers.OptimizerDescription) -> None:
        """Takes other hyperparameters, from the next step on; the `structure` is the same."""
        self.optimizer = description

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
        arena, offsets = self._executable.arenas["slots"], self._executable.frame.parameter_offsets
        names = self.optimizer.slots
        views = {}
        for name, parameter in self.program.live_parameters.items():
            if parameter.trainable:
                for i, slot in enumerate(names):
                    if not self.optimizer.keeps(slot, name, parameter.shape):
                        continue
                    first = i * self._slot_pitch + offsets[name]
                    shape = self.optimizer.slot_shape(slot, parameter.shape)
                    views[f"{name}/{slot}"] = arena[first : first + math.prod(shape)].reshape(shape)
        return views

    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Copies: `iteration`, each weight's slots as `node/weight/slot`, and single numbers by name."""
        state: dict[str, np.ndarray] = {"iteration": np.asarray(self._iteration, np.int64)}
        state |= {name: slot.copy() for name, slot in self._slots().items()}
        return state | {name: np.asarray(value, np.float32) for name, value in self._numbers.items()}

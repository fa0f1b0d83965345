"""The optimizers' updates, reduction of chunks and clipping by themselves, against the reference."""

import numpy as np
import numpy.typing as npt
import pytest

from depthwise.compiler.ir.types import Role, TensorType, Value
from depthwise.compiler.ir.update import Phase, Update
from depthwise.compiler.kernels.optimizer import ClipFactor, OptimizerUpdate, ReduceChunks, SumOfSquares
from depthwise.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lion,
    Nadam,
    Optimizer,
    RMSprop,
)
from depthwise.reference import optimizers as reference
from depthwise.reference.bounds import UNIT_ROUNDOFF as U
from support.compiled import compile_kernels, empty, fenced
from support.gates import error_gate, exact_gate
from support.maps import LANES
from support.sizes import sizes_around

OPTIMIZERS: list[Optimizer] = [
    SGD(0.1),
    SGD(0.1, momentum=0.9),
    SGD(0.1, momentum=0.9, nesterov=True),
    SGD(0.1, weight_decay=0.01),
    RMSprop(0.01),
    RMSprop(0.01, momentum=0.9),
    RMSprop(0.01, centered=True),
    RMSprop(0.01, centered=True, momentum=0.5),
    Adam(0.01),
    Adam(0.01, amsgrad=True, beta_1=0.8),
    Adam(0.01, clipvalue=0.5),
    AdamW(0.01),
    Nadam(0.01),
    Adamax(0.01),
    Adagrad(0.01),
    Adadelta(0.1),
    Ftrl(0.05, l1_regularization_strength=0.01, l2_shrinkage_regularization_strength=0.1, beta=0.1),
    Ftrl(0.05, learning_rate_power=-0.3, l2_regularization_strength=0.01),
    Lion(0.01),
]
COUNTS = sizes_around(LANES)


def _update(optimizer: Optimizer, count: int) -> tuple[OptimizerUpdate, Update]:
    weights = {"layer/w": Value("layer/w", TensorType((count,)), Role.PARAMETER, trainable=True)}
    update = optimizer.description.update(weights)
    (phase,) = update.phases["layer/w"]
    assert isinstance(phase, Phase)
    return OptimizerUpdate(phase, count, update.scalars), update


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_five_steps_of_every_optimiser(optimizer: Optimizer) -> None:
    """Nothing past the last weight is read or written; the state goes on from step to step."""
    rng = np.random.default_rng(1)
    description = optimizer.description
    made = [_update(optimizer, count) for count in COUNTS]
    kernels = compile_kernels([kernel for kernel, _ in made])
    for i, count in enumerate(COUNTS):
        kernel, update = made[i]
        weights = fenced(rng.standard_normal(count).astype(np.float32))
        first = description.initial
        arrays = {slot: fenced(np.full(count, first.get(slot, 0.0), np.float32)) for slot in update.slots}
        arrays["weight"] = weights
        expected = {"w": weights.astype(np.float64)}
        state: dict[str, npt.NDArray[np.float64]] = {}
        numbers = dict(description.numbers)
        for step in range(1, 6):
            gradient = rng.standard_normal(count).astype(np.float32)
            arrays["gradient"] = fenced(gradient)
            scalars = fenced(np.zeros(len(update.scalars), np.float32))
            scalars[1:] = list(description.step_scalars(optimizer.learning_rate, step - 1, numbers).values())
            kernels[i](*(arrays[name] for name in kernel.phase.arrays), scalars)
            expected, state = reference.step(description, expected, {"w": gradient}, state, optimizer.learning_rate)
            # About a dozen roundings a step, none of a number above 4; a centred variance may cancel to its tenth.
            error_gate(weights, expected["w"], 120.0 * step * U * 4.0, f"{optimizer} after {step} steps")


def test_a_missing_gradient_stays_missing() -> None:
    """Clipping must not turn NaN into a number."""
    kernel, update = _update(SGD(1.0, clipvalue=0.5), 2)
    kernels = compile_kernels([kernel])
    weights = fenced(np.ones(2, np.float32))
    scalars = np.array([{"learning_rate": 1.0, "clipvalue": 0.5}.get(name, 0.0) for name in update.scalars], np.float32)
    kernels[0](weights, fenced(np.array([np.nan, 9.0], np.float32)), scalars)
    assert np.isnan(weights[0])
    assert weights[1] == 0.5


@pytest.mark.parametrize("chunks", [1, 2, 16])
def test_chunks_are_added_in_their_order(chunks: int) -> None:
    rng = np.random.default_rng(chunks)
    for columns in COUNTS:
        pitch = -(-columns // LANES) * LANES
        for rows, row_pitch in ((1, pitch), (3, pitch), (3, columns)):
            size = -(-(rows * row_pitch) // LANES) * LANES  # sums lie in whole vectors
            chunk_pitch = size + 7
            kernels = compile_kernels([ReduceChunks(rows, columns, row_pitch, chunk_pitch)])
            a = empty((chunks - 1) * chunk_pitch + size)
            total = np.zeros((rows, columns), np.float32)
            for chunk in range(chunks):
                values = rng.standard_normal((rows, columns)).astype(np.float32)
                for row in range(rows):
                    start = chunk * chunk_pitch + row * row_pitch
                    a[start : start + columns] = values[row]
                total = values if chunk == 0 else total + values
            out = empty(rows * columns)
            kernels[0](a, chunks, out)
            exact_gate(out.reshape(rows, columns), total)


@pytest.mark.parametrize("count", [*COUNTS, 1000])
def test_sums_of_squares(count: int) -> None:
    rng = np.random.default_rng(count)
    kernels = compile_kernels([SumOfSquares(count)])
    for a, exact in ((rng.integers(-3, 4, count), True), (rng.standard_normal(count), False)):
        values, out = fenced(a.astype(np.float32)), empty(1)
        kernels[0](values, out)
        expected = (values.astype(np.float64) ** 2).sum()
        error_gate(out[0], expected, 0.0 if exact else (count / LANES + LANES + 2) * U * expected)


def test_clip_factors() -> None:
    """limit / max(norm, limit); the squares lie 16 numbers apart."""
    kernels = compile_kernels([ClipFactor(1), ClipFactor(3)])
    for squares, factor in (((9.0, 0.0, 0.0), 2 / 3), ((1.0, 0.0, 0.0), 1.0), ((16.0, 40.0, 8.0), 0.25)):
        memory = empty(33)
        memory[::16] = squares
        out, limit = empty(1), fenced(np.full(1, 2.0, np.float32))
        kernels[1](memory, limit, out)
        error_gate(out[0], factor, 3.0 * U)
        kernels[0](memory, limit, out)
        error_gate(out[0], 2.0 / max(np.sqrt(squares[0]), 2.0), 3.0 * U)

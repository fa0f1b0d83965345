"""Transposing, slicing, padding by channels, sums and broadcasting between tensors: forward, backward, bit-equal over threads."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from depthwise import losses, optimizers
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Operand
from depthwise.compiler.ir.program import IllegalProgramError
from depthwise.compiler.ir.types import TensorType
from depthwise.compiler.lower import lower
from depthwise.layers import descriptions as layers
from depthwise.layers.descriptions import Description
from depthwise.network.graph import sequential
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads, set_threads
from depthwise.runtime.training_step import TrainingStep
from support.gates import exact_gate
from support.made_up_layers import made_up_layer
from support.native_runs import predict, step_gradients, train

Write = Callable[[Any, Any, str], None]
Oracle = Callable[[Any], Any]


def _layer(output: tuple[int, ...], write: Write) -> Description:
    return made_up_layer(lambda builder, call: write(builder, call, *builder.inputs(call)), output=output)


def _emit(operation: Callable[..., Any], *arguments: Any) -> Write:
    return lambda builder, call, source: builder.emit(call, operation((source,), (call.name,), *arguments))


def _gated(builder: Any, call: Any, source: str) -> None:
    """x · Σx over rows and columns, and x² of one column of it added everywhere."""
    rows, _, channels = builder.shape(source)
    total = builder.emit(call, op.Sum((source,), (f"{call.name}/total",), (1, 1, channels)))
    column = builder.emit(call, op.Slice((source,), (f"{call.name}/column",), (0, 1, 0), (rows, 1, channels)))
    x, gate, line = Operand(0), Operand(1), Operand(2)
    builder.elementwise(call, x * gate + line * line, source, total, column)


def _sum_as(*shape: int) -> Oracle:
    axes = tuple(axis for axis in (1, 2, 3) if axis - 4 < -len(shape) or shape[axis - 4] == 1)
    return lambda x: x.sum(axis=axes, keepdims=True).reshape(len(x), *shape)


CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], Write, Oracle]] = {
    "transpose": ((2, 4, 16), (16, 2, 4), _emit(op.Transpose, (2, 0, 1)), lambda x: x.transpose(0, 3, 1, 2)),
    "transpose of rank 2": ((4, 8), (8, 4), _emit(op.Transpose, (1, 0)), lambda x: x.transpose(0, 2, 1)),
    "transpose of rank 4": (
        (2, 4, 2, 8),
        (2, 2, 8, 4),
        _emit(op.Transpose, (2, 0, 3, 1)),
        lambda x: x.transpose(0, 3, 1, 4, 2),
    ),
    "slice": ((5, 6, 19), (2, 2, 4), _emit(op.Slice, (1, 2, 9), (2, 2, 4)), lambda x: x[:, 1:3, 2:4, 9:13]),
    "slice of a vector": ((40,), (32,), _emit(op.Slice, (0, 0, 5), (32,)), lambda x: x[:, 5:37]),
    "pad": (
        (2, 3, 13),
        (4, 4, 32),
        _emit(op.Pad, (1, 1, 0, 1), 0.0, (17, 2)),
        lambda x: jnp.pad(x, ((0, 0), (1, 1), (0, 1), (17, 2))),
    ),
    "pad of a vector": ((4,), (8,), _emit(op.Pad, (0, 0, 0, 0), 0.0, (1, 3)), lambda x: jnp.pad(x, ((0, 0), (1, 3)))),
    "sum of all": ((3, 4, 18), (1,), _emit(op.Sum, (1,)), _sum_as(1)),
    "sum of rows": ((3, 4, 4), (1, 4, 4), _emit(op.Sum, (1, 4, 4)), _sum_as(1, 4, 4)),
    "sum of channels": ((2, 4, 18), (2, 4, 1), _emit(op.Sum, (2, 4, 1)), _sum_as(2, 4, 1)),
    "sum of places": ((3, 5, 32), (32,), _emit(op.Sum, (32,)), _sum_as(32)),
    "broadcast": (
        (2, 4, 4),
        (2, 4, 4),
        _gated,
        lambda x: x * x.sum(axis=(1, 2), keepdims=True) + x[:, :, 1:2] ** 2,
    ),
    "same map of another rank": ((4, 8), (1, 4, 8), _emit(op.Reshape, (1, 4, 8)), lambda x: x[:, None]),
}


def _integers(rng: np.random.Generator, *shape: int) -> Any:
    return rng.integers(-2, 3, shape).astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_forward_is_exact_on_whole_numbers_with_any_threads(name: str) -> None:
    given, output, write, oracle = CASES[name]
    x = _integers(np.random.default_rng(0), 5, *given)
    graph = sequential([layers.InputLayer(shape=given), _layer(output, write)])
    prediction = Prediction(lower(graph))
    before = get_threads()
    try:
        for threads in (1, 2, 3):
            set_threads(threads)
            for batch in (x, x[:1]):
                exact_gate(predict(prediction, [batch])[0], oracle(jnp.asarray(batch)), f"{name}, {threads} threads")
    finally:
        set_threads(before)


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_exact_on_whole_numbers(name: str) -> None:
    """Behind a layer with one slope a place, on −1: the gradient to what the operation reads is that to the slopes.

    The outputs are powers of two, so that the mean over them is exact.
    """
    given, output, write, oracle = CASES[name]
    rng = np.random.default_rng(1)
    size = int(np.prod(output))
    graph = sequential([layers.PReLU(input_shape=given), _layer(output, write), layers.Flatten()])
    x, target = -np.ones((2, *given), np.float32), _integers(rng, 2, size)
    alpha = -_integers(rng, *given)  # the made-up layer reads −x · alpha, whole numbers
    step = TrainingStep(lower(graph, training=True), losses.MeanSquaredError(), optimizers.SGD())
    step.load({f"{graph.calls[1].name}/alpha": alpha}, {})
    weight = np.full(2, size, np.float32)  # the mean over the outputs is a sum
    train(step, [x], target, weight)

    def loss(values: Any) -> Any:
        y = oracle(jnp.asarray(x) * values)
        return ((y.reshape(2, -1) - target) ** 2).sum() / 2

    expected = np.asarray(jax.grad(loss)(jnp.asarray(alpha)))
    (actual,) = step_gradients(step).values()
    exact_gate(actual, expected, name)


@pytest.mark.parametrize(
    ("operation", "shapes", "message"),
    [
        (op.Transpose(("x",), ("y",), (0, 2)), [(2, 3, 4)], "no order of the axes"),
        (op.Sum(("x",), ("y",), (2, 4)), [(3, 4)], "cannot be summed"),
        (op.Pad(("x",), ("y",), (1, 0, 0, 0), 0.0), [(4,)], "no such axes"),
        (op.Reshape(("x",), ("y",), (4, 3, 2)), [(2, 3, 4)], "by way of a vector"),
        (op.Elementwise(("x", "z"), ("y",), Operand(0) + Operand(1)), [(2, 3, 4, 5), (2, 1, 4, 5)], "broadcast so"),
    ],
)
def test_what_does_not_fit_is_refused(operation: Any, shapes: list[Any], message: str) -> None:
    with pytest.raises(IllegalProgramError, match=message):
        operation.infer(*map(TensorType, shapes))

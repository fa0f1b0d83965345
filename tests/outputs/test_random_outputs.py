"""Seeded random networks with several outputs, maps and inner tensors among them: every gradient against the reference."""

import numpy as np
import pytest

from depthwise import layers
from depthwise.compiler.lower import lower
from depthwise.losses import MeanSquaredError
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, SymbolicTensor, functional
from depthwise.optimizers import SGD
from depthwise.reference import bounds, network
from depthwise.reference.losses import loss_gradient
from depthwise.runtime.threads import set_threads
from depthwise.runtime.training_step import TrainingStep
from support.branches import graph_weights, random_chain
from support.gates import error_gate
from support.gradient_bounds import gradient_errors
from support.native_runs import dropout_masks, step_gradients
from support.sizes import draw_inputs

U = bounds.UNIT_ROUNDOFF
SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(6, 60))]


def _network(rng: np.random.Generator) -> Graph:
    """Chains that go on from each other: what one of them gives is an output and the start of another one."""
    starts: list[SymbolicTensor] = []
    ends: list[SymbolicTensor] = []
    for _ in range(2):
        start = Input(tuple(int(size) for size in rng.integers(2, (9, 9, 7))))
        starts.append(start)
        tensor = start.connect(layers.Conv2D(int(rng.integers(1, 9)), 1), start)  # every output has weights behind it
        for _ in range(int(rng.integers(1, 4))):
            tensor = random_chain(rng, tensor, 3, exact=False)
            ends.append(tensor)
    return functional(starts, list(dict.fromkeys(ends)))


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_of_several_weighted_losses(seed: int) -> None:
    """One output in four has no loss. With two threads the bits are those of one."""
    rng = np.random.default_rng(70_000 + seed)
    graph = _network(rng)
    batch = (1, 3, 18)[seed % 3]
    weights = graph_weights(rng, graph)
    inputs = draw_inputs(rng, graph.input_shapes, batch)
    trained = [bool(number == 0 or rng.random() < 0.75) for number in range(len(graph.outputs))]
    scales = [float(np.float32(rng.uniform(0.25, 2.0))) for _ in trained]
    targets = [rng.standard_normal((batch, *shape)).astype(np.float32) for shape in graph.output_shapes]
    shares = [(0.5 + rng.random(batch)).astype(np.float32) if rng.random() < 0.7 else None for _ in trained]
    # Else gradients fade with the size of the outputs.
    scales = [scale * float(np.prod(shape)) for scale, shape in zip(scales, graph.output_shapes)]
    loss = MeanSquaredError()
    step = TrainingStep(lower(graph, training=True), [loss if yes else None for yes in trained], SGD(), scales)
    labels = [target if yes else None for target, yes in zip(targets, trained)]
    found = []
    for threads in (1, 2):
        set_threads(threads)
        step.load(weights, {})
        result = step(inputs, labels, shares, learning_rate=0.0, seed=5)
        found.append((result, step_gradients(step)))
    (result, actual), (other, others) = found
    masks = dropout_masks(graph, batch, 5)
    values = network.forward(graph, weights, inputs, True, masks)
    errors = bounds.network_errors(graph, weights, inputs, True, masks)
    start, start_errors = {}, {}
    for number, name in enumerate(graph.outputs):
        error_gate(result.all_predictions[number], values[name], errors[name], name)
        np.testing.assert_array_equal(result.all_predictions[number], other.all_predictions[number])
        if not trained[number]:
            assert result.all_losses[number] is None
            continue
        np.testing.assert_array_equal(result.all_losses[number], other.all_losses[number])
        y, target, share = values[name], targets[number], shares[number]
        start[name] = scales[number] * loss_gradient(loss, target, y, share)
        each = np.ones(batch) if share is None else share.astype(np.float64)
        slope = 2.0 * scales[number] / y.size * each.reshape(batch, *(1 for _ in y.shape[1:]))
        start_errors[name] = slope * (errors[name] + 8.0 * U * (np.abs(y) + np.abs(target)))
    expected, allowed = gradient_errors(graph, weights, inputs, start, start_errors, masks)
    # Weights that only outputs without a loss lie behind have no gradient, or zeros.
    assert set(actual) == set(expected)
    for name, gradient in expected.items():
        np.testing.assert_array_equal(actual[name], others[name])
        error_gate(actual[name], gradient, allowed[name], f"gradient of {name}")

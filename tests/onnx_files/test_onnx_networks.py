"""Whole networks as ONNX: branches, shared layers, models inside, several inputs and outputs; their names, weights and transposes."""

from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise.reference import bounds, network
from support.branches import chains_to_one_vector, graph_weights
from support.gates import error_gate
from support.onnx_runs import run_onnx, written
from support.random_models import random_model
from support.sizes import draw_inputs, small_integers
from support.topologies import TOPOLOGIES

QUICK, ALL = 6, 200
SEEDS = [*range(QUICK), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(QUICK, ALL))]


@pytest.mark.parametrize("seed", SEEDS)
def test_whole_numbers_give_exactly_the_reference(seed: int) -> None:
    """No sum is rounded, so that every order of channels and features must be right to the last bit."""
    rng = np.random.default_rng(seed)
    graph = chains_to_one_vector(rng, 12, exact=True)
    weights = graph_weights(rng, graph, integers=1)
    inputs = [small_integers(rng, (2, *shape), 1) for shape in graph.input_shapes]
    values = network.forward(graph, weights, inputs)
    assert max(np.abs(value).max() for value in values.values()) < 2**24
    (expected,) = (values[name] for name in graph.outputs)
    (plain,) = run_onnx(written(graph, weights), inputs)
    np.testing.assert_array_equal(plain, expected)
    first = [np.ascontiguousarray(np.moveaxis(x, -1, 1)) for x in inputs]
    (turned,) = run_onnx(written(graph, weights, channels_first=True), first)
    np.testing.assert_array_equal(turned, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_model(depthwise, seed).graph
    weights = graph_weights(rng, graph)
    inputs = draw_inputs(rng, graph.input_shapes, 3)
    values, errors = (make(graph, weights, inputs) for make in (network.forward, bounds.network_errors))
    for name, y in zip(graph.outputs, run_onnx(written(graph, weights), inputs), strict=True):
        # Twice: ONNX Runtime's activations are less exact than the bound of ours.
        error_gate(y, values[name], 2.0 * errors[name], name)


@pytest.mark.parametrize("make", TOPOLOGIES, ids=str)
def test_several_outputs(make: Any) -> None:
    graph = TOPOLOGIES[make](depthwise).graph
    rng = np.random.default_rng(0)
    weights = graph_weights(rng, graph)
    inputs = draw_inputs(rng, graph.input_shapes, 2)
    values, errors = (make(graph, weights, inputs) for make in (network.forward, bounds.network_errors))
    for name, y in zip(graph.outputs, run_onnx(written(graph, weights), inputs), strict=True):
        error_gate(y, values[name], 2.0 * errors[name], name)

"""Seeded random layers and networks through the whole native path, against the reference."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depthwise.compiler.lower import lower
from depthwise.layers import descriptions as layers
from depthwise.network.graph import Graph
from depthwise.network.symbolic import Input, functional
from depthwise.reference import bounds, network
from depthwise.reference import layer as one_layer
from depthwise.runtime.prediction import Prediction
from support.branches import graph_weights, random_chain, side_by_side
from support.gates import error_gate, exact_gate
from support.native_runs import predict
from support.sizes import Configuration, draw_inputs, integer_case, random_configuration, sizes_around

LAYERS_A_MODULE = 20
MODULES, SWEEP_MODULES = 50, 200
CHAINS_A_MODULE = 8
CHAIN_MODULES, SWEEP_CHAIN_MODULES = 6, 60


def _sweep(quick: int, slow: int) -> list[object]:
    return [*range(quick), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(quick, slow))]


def _compare_layers(configurations: list[Configuration], rng: np.random.Generator, batch: int) -> None:
    """Every layer on random data within its computed gate."""
    graph = side_by_side(configurations)
    weights = graph_weights(rng, graph)
    inputs = draw_inputs(rng, [shape for item in configurations for shape in item.input_shapes], batch)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    _judge(graph, configurations, weights, inputs, predict(prediction, inputs))


def _judge(graph: Graph, configurations: Any, weights: Any, inputs: Any, outputs: Any) -> None:
    remaining = list(inputs)
    for (layer, shapes), name, y in zip(configurations, graph.outputs, outputs):
        own = network.weights_of(graph.by_name[name], weights)
        xs, remaining = remaining[: len(shapes)], remaining[len(shapes) :]
        expected = one_layer.forward(layer, own, xs)
        error_gate(y, expected, bounds.layer_error(layer, own, xs), f"{layer} on {shapes}")


@pytest.mark.parametrize("seed", _sweep(MODULES, SWEEP_MODULES))
def test_random_layers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    _compare_layers([random_configuration(rng) for _ in range(LAYERS_A_MODULE)], rng, batch=1 + seed % 3)


@pytest.mark.parametrize("seed", _sweep(5, 30))
def test_random_layers_on_small_whole_numbers_are_exact(seed: int) -> None:
    rng = np.random.default_rng(10_000 + seed)
    configurations: list[Configuration] = []
    weights: dict[int, dict[str, npt.NDArray[Any]]] = {}
    inputs: list[npt.NDArray[Any]] = []
    while len(configurations) < LAYERS_A_MODULE:
        item = random_configuration(rng)
        try:
            own, xs = integer_case(rng, item, 3)
        except ValueError:
            continue
        configurations.append(item)
        inputs += xs
        weights[len(configurations) - 1] = own
    graph = side_by_side(configurations)
    named = {f"{graph.outputs[i]}/{name}": value for i, own in weights.items() for name, value in own.items()}
    prediction = Prediction(lower(graph))
    prediction.load(named)
    outputs = predict(prediction, inputs)
    expected = network.forward(graph, named, inputs)
    for (layer, shapes), name, y in zip(configurations, graph.outputs, outputs):
        exact_gate(y, expected[name], f"{layer} on {shapes}")


CHANNELS = sizes_around(16)
AROUND_THE_TILE = [
    *(Configuration(layers.Conv2D(filters, 3), ((5, 6, 3),)) for filters in sizes_around(16)),
    *(Configuration(layers.Conv2D(5, 1), ((rows, columns, 4),)) for rows in sizes_around(6) for columns in (1, 7)),
    *(Configuration(layers.Conv2D(8, (2, 3), padding="same"), ((3, 5, channels),)) for channels in CHANNELS),
    *(Configuration(layers.DepthwiseConv2D(3), ((3, columns + 2, 4),)) for columns in sizes_around(5)),
    *(Configuration(layers.DepthwiseConv2D(3, padding="same"), ((4, 5, channels),)) for channels in CHANNELS),
    *(Configuration(layers.SeparableConv2D(channels, 3), ((4, 5, channels),)) for channels in CHANNELS),
    *(Configuration(layers.Dense(units), ((inputs,),)) for units in sizes_around(16) for inputs in sizes_around(8)),
    *(Configuration(layers.MaxPooling2D(2), ((4, 5, channels),)) for channels in CHANNELS),
    *(Configuration(layers.Activation("softmax"), ((channels,),)) for channels in CHANNELS),
]


@pytest.mark.parametrize("batch", [1, 13])
def test_sizes_around_the_tile(batch: int) -> None:
    """13 samples are one more than a dense layer takes at once."""
    _compare_layers(AROUND_THE_TILE, np.random.default_rng(batch), batch)


def random_network(rng: np.random.Generator, *, exact: bool) -> Graph:
    """Several chains of up to four layers side by side."""
    starts, ends = [], []
    for _ in range(CHAINS_A_MODULE):
        start = Input(tuple(int(size) for size in rng.integers(1, (9, 9, 7))))
        starts.append(start)
        ends.append(random_chain(rng, start, 4, exact=exact))
    return functional(starts, ends)


@pytest.mark.parametrize("seed", _sweep(CHAIN_MODULES, SWEEP_CHAIN_MODULES))
def test_random_networks_on_small_whole_numbers_are_exact(seed: int) -> None:
    rng = np.random.default_rng(20_000 + seed)
    graph = random_network(rng, exact=True)
    weights = graph_weights(rng, graph, integers=1)
    inputs = [rng.integers(-1, 2, (3, *graph.by_name[name].output_shape)).astype(np.float32) for name in graph.inputs]
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    expected = network.forward(graph, weights, inputs)
    for name, y in zip(graph.outputs, predict(prediction, inputs)):
        assert np.abs(expected[name]).max() < 2.0**20
        exact_gate(y, expected[name], name)


@pytest.mark.parametrize("seed", _sweep(CHAIN_MODULES, SWEEP_CHAIN_MODULES))
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(30_000 + seed)
    graph = random_network(rng, exact=False)
    weights = graph_weights(rng, graph)
    inputs = draw_inputs(rng, [graph.by_name[name].output_shape for name in graph.inputs], 2)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    expected = network.forward(graph, weights, inputs)
    errors = bounds.network_errors(graph, weights, inputs)
    for name, y in zip(graph.outputs, predict(prediction, inputs)):
        error_gate(y, expected[name], errors[name], name)

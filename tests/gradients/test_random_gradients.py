"""Gradients of seeded random layers and networks through the whole native training step, against the reference."""

import numpy as np
import numpy.typing as npt
import pytest

from depthwise.compiler.lower import lower
from depthwise.layers import descriptions as layers
from depthwise.losses import MeanSquaredError
from depthwise.network.graph import Graph
from depthwise.optimizers import SGD
from depthwise.reference import bounds, network
from depthwise.reference.losses import loss_gradient
from depthwise.runtime.training_step import TrainingStep
from support.branches import chains_to_one_vector, graph_weights, trainable_side_by_side
from support.gates import error_gate, exact_gate
from support.gradient_bounds import gradient_errors
from support.native_runs import dropout_masks, step_gradients, train
from support.sizes import Configuration, draw_inputs, random_configuration, sizes_around

LAYERS_A_MODULE = 12
MODULES, SWEEP_MODULES = 20, 120
CHAINS_A_MODULE = 8
CHAIN_MODULES, SWEEP_CHAIN_MODULES = 8, 60
U = bounds.UNIT_ROUNDOFF

# The ReLU layer's own gradient has a test in tests/kernels; Dropout is in the networks below.
# Random transformations change what the reference does not.
# Those with kinks and quotients of their own are compared with Keras step by step in tests/native_models.
OTHERS = {
    "InputLayer",
    "ReLU",
    "Dropout",
    "LeakyReLU",
    "ELU",
    "ThresholdedReLU",
    "Softmax",
    "Maximum",
    "Minimum",
    "Dot",
}
OTHERS |= {
    "UnitNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
}
OTHERS |= {"SpatialDropout1D", "SpatialDropout2D"}
KINDS = [kind for name, kind in layers.LAYERS.items() if name not in OTHERS and not name.startswith("Random")]


def _sweep(quick: int, slow: int) -> list[object]:
    return [*range(quick), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(quick, slow))]


def _judge(
    graph: Graph,
    weights: dict[str, npt.NDArray[np.float32]],
    inputs: list[npt.NDArray[np.float32]],
    rng: np.random.Generator,
    seed: int = 7,
) -> None:
    """Every weight's gradient of a mean squared error within its gate; so is every sample's loss."""
    batch, units = inputs[0].shape[0], graph.output_shapes[0][0]
    target = rng.standard_normal((batch, units)).astype(np.float32)
    share = (0.5 + rng.random((batch,))).astype(np.float32) * np.float32(units)  # else gradients fade with the units
    step = TrainingStep(lower(graph, training=True), MeanSquaredError(), SGD())
    step.load(weights, {})
    result = train(step, inputs, target, share, seed)
    masks = dropout_masks(graph, batch, seed)
    y = network.forward(graph, weights, inputs, True, masks)[graph.outputs[0]]
    error = bounds.network_errors(graph, weights, inputs, True, masks)[graph.outputs[0]]
    error_gate(result.predictions, y, error, "predictions")
    gradient = loss_gradient(MeanSquaredError(), target, y, share)
    slope = 2.0 * share[:, None] / units / batch
    gradient_error = slope * (error + 6.0 * U * (np.abs(y) + np.abs(target)))
    expected, allowed = gradient_errors(graph, weights, inputs, gradient, gradient_error, masks)
    actual = step_gradients(step)
    assert set(actual) == set(expected)
    for name, values in expected.items():
        error_gate(
            actual[name], values, allowed[name], f"gradient of {name}: {graph.by_name[name.split('/')[0]].layer}"
        )


def _judge_layers(configurations: list[Configuration], rng: np.random.Generator, batch: int) -> None:
    graph = trainable_side_by_side(configurations, rng)
    inputs = draw_inputs(rng, [graph.by_name[name].output_shape for name in graph.inputs], batch)
    _judge(graph, graph_weights(rng, graph), inputs, rng)


@pytest.mark.parametrize("seed", _sweep(MODULES, SWEEP_MODULES))
def test_random_layers(seed: int) -> None:
    """Batches of up to 37: chunks of one, two and three samples, groups that end early."""
    rng = np.random.default_rng(seed)
    configurations = [random_configuration(rng, KINDS) for _ in range(LAYERS_A_MODULE)]
    _judge_layers(configurations, rng, batch=(1, 3, 5, 18, 37)[seed % 5])


AROUND_THE_TILE = [
    *(Configuration(layers.Conv2D(filters, 3), ((5, 6, 3),)) for filters in sizes_around(16)),
    *(Configuration(layers.Conv2D(7, (2, 3), padding="same"), ((3, 5, channels),)) for channels in sizes_around(8)),
    *(Configuration(layers.DepthwiseConv2D(3, padding="same"), ((4, 5, channels),)) for channels in sizes_around(16)),
    *(Configuration(layers.DepthwiseConv2D((5, 7), padding="same"), ((5, 7, 3),)) for _ in range(1)),
    *(Configuration(layers.SeparableConv2D(channels, 3), ((4, 5, channels),)) for channels in sizes_around(8)),
    *(Configuration(layers.Dense(units), ((17,),)) for units in sizes_around(16)),
    *(Configuration(layers.Dense(3), ((inputs,),)) for inputs in (*sizes_around(8), *sizes_around(48))),
    *(Configuration(layers.MaxPooling2D(2), ((4, 5, channels),)) for channels in sizes_around(8)),
]


def test_sizes_around_the_tile() -> None:
    _judge_layers(AROUND_THE_TILE, np.random.default_rng(0), batch=6)


@pytest.mark.parametrize("seed", _sweep(CHAIN_MODULES, SWEEP_CHAIN_MODULES))
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(30_000 + seed)
    graph = chains_to_one_vector(rng, CHAINS_A_MODULE, exact=False)
    inputs = draw_inputs(rng, [graph.by_name[name].output_shape for name in graph.inputs], 3)
    _judge(graph, graph_weights(rng, graph), inputs, rng)


@pytest.mark.parametrize("seed", _sweep(CHAIN_MODULES, SWEEP_CHAIN_MODULES))
def test_random_networks_on_small_whole_numbers_are_exact(seed: int) -> None:
    """Weights and inputs −1, 0, 1; 2^k outputs, 4 samples of weight 2^k: every product is a small multiple of a power of ½."""
    rng = np.random.default_rng(20_000 + seed)
    graph = chains_to_one_vector(rng, CHAINS_A_MODULE, exact=True)
    weights = graph_weights(rng, graph, integers=1)
    inputs = [rng.integers(-1, 2, (4, *graph.by_name[name].output_shape)).astype(np.float32) for name in graph.inputs]
    masks = dropout_masks(graph, 4, 3)
    values = network.forward(graph, weights, inputs, True, masks)
    y = values[graph.outputs[0]]
    target = (y + rng.integers(-1, 2, y.shape)).astype(np.float32)
    share = np.full(4, y.shape[1] * 2.0, np.float32)
    gradient = loss_gradient(MeanSquaredError(), target, y, share)
    assert set(np.unique(np.abs(gradient))) <= {0.0, 1.0}
    expected, _ = network.gradients_from(graph, weights, values, {graph.outputs[0]: gradient}, True, masks)
    step = TrainingStep(lower(graph, training=True), MeanSquaredError(), SGD())
    step.load(weights, {})
    result = train(step, inputs, target, share, seed=3)
    exact_gate(result.predictions, y, "predictions")
    actual = step_gradients(step)
    for name, values_expected in expected.items():
        assert np.abs(values_expected).max(initial=0.0) < 2.0**14  # and no factor finer than 2^-9
        exact_gate(actual[name], values_expected, name)

"""The native path against real Keras on JAX: every layer, both of the note's networks, ten steps of every optimizer."""

from typing import Any

import numpy as np
import pytest

from depthwise import losses, optimizers
from depthwise.compiler.lower import lower
from depthwise.layers import descriptions as layers
from depthwise.network.graph import Graph, sequential
from depthwise.reference import bounds, network
from depthwise.reference import layer as one_layer
from depthwise.runtime.prediction import Prediction
from support.branches import graph_weights, side_by_side
from support.gates import error_gate
from support.keras_steps import compare_steps
from support.networks import note_cnn_with_head, note_separable, seeded_weights
from support.oracle import keras_layer, keras_model, keras_result, set_keras_weights
from support.sizes import draw_inputs, random_configuration

LAYER_CLASSES = [kind for kind in layers.LAYERS.values() if kind not in (layers.InputLayer, layers.ThresholdedReLU)]
"""All but those that Keras 3 lacks."""


@pytest.mark.parametrize("kind", LAYER_CLASSES, ids=lambda kind: kind.__name__)
def test_every_layer(kind: type[layers.Description]) -> None:
    """Six random configurations of each; both may be off by the layer's own bound."""
    rng = np.random.default_rng(len(kind.__name__))
    configurations = [random_configuration(rng, [kind]) for _ in range(6)]
    graph = side_by_side(configurations)
    weights = graph_weights(rng, graph)
    inputs = draw_inputs(rng, [shape for item in configurations for shape in item.input_shapes], 2)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    outputs = prediction(inputs)
    remaining = list(inputs)
    for (layer, shapes), name, y in zip(configurations, graph.outputs, outputs):
        xs, remaining = remaining[: len(shapes)], remaining[len(shapes) :]
        own = network.weights_of(graph.by_name[name], weights)
        oracle = keras_layer(layer)
        listed = len(shapes) > 1 or layer.takes_list
        oracle.build([(None, *shape) for shape in shapes] if listed else (None, *shapes[0]))
        if own:
            set_keras_weights(oracle, layer, shapes, own)
        expected = keras_result(oracle, xs)
        one = bounds.layer_error(layer, own, xs)
        assert expected.shape == one_layer.forward(layer, own, xs).shape
        if isinstance(layer, layers.Activation) and layer.activation == "tanh_shrink":
            # Keras subtracts a rounded tanh from x, and so is off by units of x where x − tanh x is small.
            one = one + np.finfo(np.float32).eps * np.abs(xs[0])
        error_gate(y, expected, 2.0 * one, f"{layer} on {shapes}")


@pytest.mark.parametrize("make", [note_cnn_with_head, note_separable], ids=lambda make: make.__name__)
@pytest.mark.parametrize("batch", [1, 5])
def test_the_notes_networks(make: Any, batch: int) -> None:
    graph = make()
    weights = seeded_weights(graph)
    (x,) = draw_inputs(np.random.default_rng(0), [graph.by_name[graph.inputs[0]].output_shape], batch)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    (y,) = prediction((x,))
    expected = np.asarray(keras_model(graph, weights)(x))
    # Each of the two is within 8 of its standard deviations of the exact result.
    deviation = bounds.network_deviations(graph, weights, (x,))[graph.outputs[0]]
    error_gate(y, expected, 16.0 * deviation, make.__name__)


@pytest.mark.parametrize("make", [note_cnn_with_head, note_separable], ids=lambda make: make.__name__)
def test_every_layer_of_the_notes_networks_on_the_references_inputs(make: Any) -> None:
    graph = make()
    weights = seeded_weights(graph)
    inputs = draw_inputs(np.random.default_rng(1), [graph.by_name[graph.inputs[0]].output_shape], 2)
    values = network.forward(graph, weights, inputs)
    for node in graph.calls:
        if isinstance(node.layer, layers.InputLayer):
            continue
        own = network.weights_of(node, weights)
        xs = [values[name].astype(np.float32) for name in node.reads]
        alone = sequential([layers.InputLayer(shape=node.facts.input_shapes[0]), node.layer])
        prediction = Prediction(lower(alone))
        prediction.load({f"{node.name}/{name}": np.asarray(value, np.float32) for name, value in own.items()})
        (y,) = prediction(xs)
        error_gate(y, one_layer.forward(node.layer, own, xs), bounds.layer_error(node.layer, own, xs), node.name)


OPTIMIZERS: list[optimizers.Optimizer] = [
    optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    optimizers.RMSprop(0.001, centered=True),
    optimizers.Adam(0.001, amsgrad=True),
    optimizers.AdamW(0.001),
    optimizers.Adam(0.001, global_clipnorm=0.1),
    optimizers.Nadam(0.001),
    optimizers.Adamax(0.001),
    optimizers.Adagrad(0.01),
    optimizers.Adadelta(0.5),
    optimizers.Ftrl(0.01, l1_regularization_strength=0.001, l2_shrinkage_regularization_strength=0.01, beta=0.1),
    optimizers.Adafactor(0.05, beta_2_decay=-0.5, clip_threshold=0.5, weight_decay=0.1, clipnorm=0.1),
    optimizers.Lamb(0.001, weight_decay=0.01, clipnorm=0.1),
]
"""One of each rule, with its options."""

MORE_OPTIMIZERS: list[optimizers.Optimizer] = [
    optimizers.SGD(0.05),
    optimizers.SGD(0.05, momentum=0.9),
    optimizers.SGD(0.05, weight_decay=0.01),
    optimizers.SGD(0.05, clipnorm=0.1),
    optimizers.SGD(0.05, clipvalue=0.01),
    optimizers.RMSprop(0.001),
    optimizers.RMSprop(0.001, momentum=0.9),
    optimizers.Adam(0.001),
    optimizers.Adam(0.001, weight_decay=0.01),
    optimizers.Nadam(0.001, weight_decay=0.01),
    optimizers.Ftrl(0.01),
    optimizers.Ftrl(0.01, learning_rate_power=-0.4, l2_regularization_strength=0.01),
    optimizers.Adafactor(0.05),
    optimizers.Lamb(0.001),
]
"""The same rules with other options; `tests/kernels/test_optimizers.py` runs their kernels always."""


def small_network() -> Graph:
    """A layer of each kind that trains, batch normalisation among them."""
    return sequential(
        [
            layers.Conv2D(6, 3, activation="selu", input_shape=(9, 9, 2)),
            layers.BatchNormalization(),
            layers.SeparableConv2D(8, 3, padding="same", activation="tanh"),
            layers.MaxPooling2D(2),
            layers.DepthwiseConv2D(2, activation="gelu"),
            layers.Flatten(),
            layers.Dense(10, activation="silu"),
            layers.Dense(4, activation="softmax"),
        ]
    )


@pytest.mark.parametrize(
    "optimizer", [*OPTIMIZERS, *(pytest.param(item, marks=pytest.mark.sweep) for item in MORE_OPTIMIZERS)], ids=str
)
def test_ten_steps_of_every_optimiser(optimizer: optimizers.Optimizer) -> None:
    compare_steps(small_network(), optimizer, 16)


def test_ten_steps_on_the_notes_separable_network() -> None:
    compare_steps(note_separable(), optimizers.SGD(0.01, momentum=0.9), 8)


def map_network(activation: str, classes: int = 3) -> Graph:
    return sequential(
        [
            layers.Conv2D(6, 3, activation="selu", padding="same", input_shape=(5, 6, 2)),
            layers.DepthwiseConv2D(2),
            layers.Conv2D(classes, 1, activation=activation),
        ]
    )


MAP_LOSSES: list[tuple[losses.Loss, str]] = [
    (losses.MeanSquaredError(), "linear"),
    (losses.MeanAbsoluteError(), "tanh"),
    (losses.BinaryCrossentropy(), "sigmoid"),
    (losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1), "linear"),
    (losses.CategoricalCrossentropy(label_smoothing=0.1), "softmax"),
    (losses.CategoricalCrossentropy(from_logits=True), "linear"),
    (losses.SparseCategoricalCrossentropy(), "softmax"),
    (losses.SparseCategoricalCrossentropy(from_logits=True), "linear"),
]


@pytest.mark.parametrize(
    ("loss", "activation", "by_position"),
    [(*case, number % 2 == 1) for number, case in enumerate(MAP_LOSSES)]
    + [pytest.param(*case, number % 2 == 0, marks=pytest.mark.sweep) for number, case in enumerate(MAP_LOSSES)],
    ids=lambda item: getattr(item, "name", f"by position {item}" if isinstance(item, bool) else item),
)
def test_ten_steps_of_every_loss_on_maps(loss: losses.Loss, activation: str, by_position: bool) -> None:
    compare_steps(map_network(activation), optimizers.SGD(0.05), 4, loss, by_position)


def test_ten_steps_on_a_row_of_vectors() -> None:
    """A dense layer on (7, 5) gives an output of rank 2."""
    graph = sequential([layers.Dense(6, activation="tanh", input_shape=(7, 5)), layers.Dense(4, activation="softmax")])
    compare_steps(graph, optimizers.SGD(0.05), 4, by_position=True)


def test_ten_steps_of_super_resolution() -> None:
    """SRCNN (Dong et al. 2014) with fewer filters: 9 × 9, 1 × 1 and 5 × 5 from image to image."""
    graph = sequential(
        [
            layers.Conv2D(16, 9, padding="same", activation="tanh", input_shape=(17, 17, 1)),
            layers.Conv2D(8, 1, activation="tanh"),
            layers.Conv2D(1, 5, padding="same"),
        ]
    )
    compare_steps(graph, optimizers.Adam(0.001), 8, losses.MeanSquaredError())

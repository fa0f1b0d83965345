"""What every family of layers must do, checked on configurations or models of it: predict as Keras does, keep its bits whatever
the threads and the batch, go to Keras and back as a file, and be explained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from depthwise import models
from depthwise.compiler.lower import lower
from depthwise.explain.cells import cell_facts
from depthwise.explain.terminal import cell_lines, print_lines
from depthwise.explain.values import layer_values
from depthwise.network.graph import Graph
from depthwise.reference import bounds, network
from depthwise.reference import layer as one_layer
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads, set_threads
from support.branches import graph_weights, side_by_side
from support.explained import random_positions
from support.gates import error_gate
from support.oracle import keras_layer, keras_result, set_keras_weights
from support.sizes import Configuration, draw_inputs

__all__ = ["check_against_keras", "check_explanations", "check_files", "check_same_bits"]


def check_against_keras(configurations: Sequence[Configuration], batch: int = 2) -> None:
    """Native results within the layer's bound of the reference, and within twice that of Keras, which rounds too."""
    rng = np.random.default_rng(len(configurations))
    graph = side_by_side(configurations)
    weights = graph_weights(rng, graph)
    inputs = draw_inputs(rng, [shape for item in configurations for shape in item.input_shapes], batch)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    outputs = prediction(inputs)
    remaining = list(inputs)
    for (layer, shapes), name, y in zip(configurations, graph.outputs, outputs):
        xs, remaining = remaining[: len(shapes)], remaining[len(shapes) :]
        own = network.weights_of(graph.by_name[name], weights)
        oracle = keras_layer(layer)
        oracle.build((None, *shapes[0]) if len(shapes) == 1 else [(None, *shape) for shape in shapes])
        if own:
            set_keras_weights(oracle, layer, shapes, own)
        one = bounds.layer_error(layer, own, xs)
        error_gate(y, one_layer.forward(layer, own, xs), one, f"{layer} on {shapes}")
        expected = keras_result(oracle, xs)
        error_gate(y, expected, 2.0 * one, f"{layer} on {shapes}, beside Keras")


def check_same_bits(configurations: Sequence[Configuration]) -> None:
    """A sample's results are the same bits with 1 to 3 threads, alone and in batches."""
    rng = np.random.default_rng(len(configurations))
    graph = side_by_side(configurations)
    prediction = Prediction(lower(graph))
    prediction.load(graph_weights(rng, graph))
    inputs = draw_inputs(rng, [shape for item in configurations for shape in item.input_shapes], 5)
    before = get_threads()
    try:
        set_threads(1)
        expected = prediction(inputs)
        for threads in (1, 2, 3):
            set_threads(threads)
            for batch in (1, 2, 5):
                for y, whole in zip(prediction([np.ascontiguousarray(x[-batch:]) for x in inputs]), expected):
                    np.testing.assert_array_equal(y, whole[-batch:], f"{threads} threads, batch {batch}")
    finally:
        set_threads(before)


def check_files(model: models.Model, folder: Path) -> None:
    """Saved here, read by Keras and saved there, read here: the same layers and weights; Keras predicts the same."""
    import keras

    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.9, array.shape) for array in model.get_weights()])
    model.save(folder / "ours.keras")
    theirs = keras.models.load_model(folder / "ours.keras")
    assert all(np.array_equal(p, q) for p, q in zip(theirs.get_weights(), model.get_weights(), strict=True))
    theirs.save(folder / "theirs.keras")
    back = models.load_model(folder / "theirs.keras")
    assert [_arguments(layer) for layer in back.layers] == [_arguments(layer) for layer in model.layers]
    assert all(np.array_equal(p, q) for p, q in zip(back.get_weights(), model.get_weights(), strict=True))
    x = tuple(rng.normal(size=(2, *shape)).astype(np.float32) for shape in model.graph.input_shapes)
    given: Any = x[0] if len(x) == 1 else list(x)
    y = model.predict(given, verbose=0)
    assert np.array_equal(back.predict(given, verbose=0), y)
    deviation = bounds.network_deviations(model.graph, model.weights_by_name, x)[model.graph.outputs[0]]
    # Each of the two is within 8 of its standard deviations of the exact result.
    error_gate(y, theirs.predict(given, verbose=0), 16.0 * deviation, "the whole model")


def _arguments(layer: Any) -> Any:
    return replace(layer.description, input_shape=None) if hasattr(layer, "description_class") else layer.name


def check_explanations(graph: Graph, count: int = 40) -> None:
    """Cells of every layer agree with what the network computed, and the terminal shows their values in both languages."""
    weights = graph_weights(np.random.default_rng(5), graph)
    rng = np.random.default_rng(6)
    inputs = tuple(rng.standard_normal(shape).astype(np.float32) for shape in graph.input_shapes)
    values = layer_values(graph, weights, inputs)
    for name, position in random_positions(graph, count, seed=1):
        facts = cell_facts(graph, weights, values, name, position)
        assert facts["check"]["agrees"], facts
        for language in ("en", "zh"):
            console = Console(width=200, color_system=None)
            with console.capture() as capture:
                print_lines(console, cell_lines(facts, graph.by_name[name].reads, language))
            assert f"{facts['output']:.4f}" in capture.get()

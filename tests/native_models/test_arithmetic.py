"""Arithmetic on symbolic tensors: predicted, trained, saved and explained as Keras' own operations."""

import pickle
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import optimizers
from depthwise.compiler.lower import lower
from depthwise.errors import InvalidArgumentError, ShapeError, UnsupportedError
from depthwise.explain.cells import cell_facts
from depthwise.explain.values import layer_values
from depthwise.layers.operation import OPERATIONS
from depthwise.network.graph import Graph
from depthwise.network.symbolic import operate
from depthwise.reference import bounds, network
from depthwise.runtime.prediction import Prediction
from support.gates import error_gate
from support.keras_steps import compare_steps
from support.native_runs import predict
from support.networks import seeded_weights
from support.oracle import keras_model


def _graph(name: str) -> Graph:
    """The operation between layers that train, on values above 0, for which all of them are defined."""
    x = depthwise.Input((5, 6, 2))
    a = depthwise.layers.Conv2D(3, 3, padding="same", activation="softplus", name="a")(x) + 0.5
    b = depthwise.layers.Conv2D(3, 3, padding="same", activation="sigmoid", name="b")(x) + 0.25
    gate = depthwise.layers.GlobalAveragePooling2D(keepdims=True)(b)
    if OPERATIONS[name].count == 1:
        y = operate(name, a) * gate
    else:
        y = operate(name, operate(name, a, b), 1.0) * 0.25 + operate(name, 0.75, gate)
    ends = depthwise.layers.Dense(4, activation="softmax")(depthwise.layers.Flatten()(y))
    graph: Graph = depthwise.Model(x, ends).graph
    return graph


@pytest.mark.parametrize("name", OPERATIONS)
def test_predictions_are_those_of_the_reference_and_of_keras(name: str) -> None:
    graph = _graph(name)
    weights = seeded_weights(graph)
    x = np.random.default_rng(3).standard_normal((3, 5, 6, 2)).astype(np.float32)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    (y,) = predict(prediction, [x])
    expected = network.forward(graph, weights, [x])[graph.outputs[0]]
    error = bounds.network_errors(graph, weights, [x])[graph.outputs[0]]
    assert error.max() < 1e-2
    error_gate(y, expected, error, name)
    error_gate(y, keras_model(graph, weights).predict(x, verbose=0), 2.0 * error, f"{name}, beside Keras")


@pytest.mark.parametrize("name", OPERATIONS)
def test_three_steps_beside_keras(name: str) -> None:
    compare_steps(_graph(name), optimizers.Adam(0.001, epsilon=1e-4), 8, steps=3)


def _written(module: Any, convolve: Any) -> Any:
    x = module.Input((4, 4, 3))
    h = convolve(x)
    y = (2.0 - h * 2.0 + h**2 - np.float32(0.25)) / (abs(h) + 3)
    gate = module.layers.GlobalAveragePooling2D(keepdims=True)(h)
    return module.Model(x, [-y * gate, 2**h - x, (h + 5.0) ** 0.5, 1.0 / (h * h + 1), h**-3 + 0.5])


def test_keras_files_go_both_ways(tmp_path: Path) -> None:
    ours = _written(depthwise, depthwise.layers.Conv2D(3, 3, padding="same"))
    ours.save(tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    keras.utils.clear_session()  # its names count on from other tests
    native = _written(keras, keras.layers.Conv2D(3, 3, padding="same"))
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in native.layers]
    assert [type(layer) for layer in theirs.layers] == [type(layer) for layer in native.layers]
    theirs.save(tmp_path / "theirs.keras")
    back = depthwise.models.load_model(tmp_path / "theirs.keras")
    assert [layer.description for layer in back.layers] == [layer.description for layer in ours.layers]
    x = np.random.default_rng(0).uniform(0.5, 1.5, (2, 4, 4, 3)).astype(np.float32)
    deviations = bounds.network_deviations(ours.graph, ours.weights_by_name, (x,))
    expected = theirs.predict(x, verbose=0)
    for y, z, wanted, name in zip(ours.predict(x), back.predict(x), expected, ours.graph.outputs, strict=True):
        assert np.array_equal(y, z)
        error_gate(y, wanted, 16.0 * deviations[name], name)


def test_a_product_is_explained_by_its_factors() -> None:
    graph = _graph("Multiply")
    weights = seeded_weights(graph)
    x = np.random.default_rng(3).standard_normal((5, 6, 2)).astype(np.float32)
    values = layer_values(graph, weights, (x,))
    for call in graph.calls:
        if type(call.layer) in OPERATIONS.values():
            facts = cell_facts(graph, weights, values, call.name, [size - 1 for size in call.output_shape])
            assert facts["check"]["agrees"], facts


def test_what_cannot_be_computed_says_so() -> None:
    x, y = depthwise.Input((4, 3)), depthwise.Input((5,))
    with pytest.raises(InvalidArgumentError, match="takes symbolic tensors and numbers, got 'ndarray'"):
        x + np.ones(3)
    with pytest.raises(InvalidArgumentError, match="got 'bool'"):
        x * True
    with pytest.raises(ShapeError, match=r"equally many axes.*\(4, 3\), \(5,\).*Reshape"):
        x * y
    with pytest.raises(ShapeError, match=r"\(4, 3\), \(4, 2\), which do not fit together"):
        x - depthwise.Input((4, 2))
    with pytest.raises(UnsupportedError, match="constant base must be above 0, got -2"):
        (-2) ** x
    with pytest.raises(InvalidArgumentError, match=r"float32 can hold, got .*1e\+39"):
        x + 1e39
    with pytest.raises(InvalidArgumentError, match="neither true nor false"):
        bool(x)
    with pytest.raises(InvalidArgumentError, match="cannot be looped over"):
        list(x)


def test_models_with_operations_are_pickled() -> None:
    x = depthwise.Input((4,))
    model = depthwise.Model(x, (x + 1) * 2)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.predict(np.ones((1, 4), np.float32), verbose=0).tolist() == [[4.0] * 4]

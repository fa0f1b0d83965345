"""Layers of one input or several, in whole networks: trained, saved and explained beside Keras."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, models, optimizers
from depthwise.compiler.lower import lower
from depthwise.errors import InvalidArgumentError, ShapeError
from depthwise.explain.cells import cell_facts
from depthwise.explain.page import make_page
from depthwise.explain.values import layer_values
from depthwise.network.graph import Graph
from depthwise.reference import bounds
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.threads import get_threads, set_threads
from support.gates import error_gate
from support.keras_steps import compare_steps
from support.native_runs import predict
from support.networks import seeded_weights
from support.oracle import keras_model

ONE_INPUT: dict[str, Callable[[], Any]] = {
    "LeakyReLU": lambda: layers.LeakyReLU(0.2),
    "ELU": lambda: layers.ELU(0.7),
    "Softmax": layers.Softmax,
    "Softmax along columns": lambda: layers.Softmax(2),
    "Softmax along rows and channels": lambda: layers.Softmax((1, -1)),
    "Reshape": lambda: layers.Reshape((3, -1, 6)),
    "Reshape to rank 4": lambda: layers.Reshape((5, 2, -1, 3)),
    "Permute": lambda: layers.Permute((3, 1, 2)),
    "Identity": layers.Identity,
    "Cropping2D": lambda: layers.Cropping2D(((1, 0), (2, 1))),
    "GroupNormalization": lambda: layers.GroupNormalization(3),
    "GroupNormalization of channels": lambda: layers.GroupNormalization(6, epsilon=1e-2, center=False),
    "GroupNormalization of all": lambda: layers.GroupNormalization(1, scale=False),
    "RMSNormalization": layers.RMSNormalization,
    "RMSNormalization of maps": lambda: layers.RMSNormalization([2, 3, 1], epsilon=1e-2),
    "UnitNormalization": layers.UnitNormalization,
    "UnitNormalization of maps": lambda: layers.UnitNormalization((1, 2)),
}

SEVERAL: dict[str, Callable[[Any, Any, Any], Any]] = {
    "Subtract": lambda a, b, gate: layers.Subtract()([a, b]),
    "Multiply": lambda a, b, gate: layers.multiply([a, b, gate]),
    "squeeze and excite": lambda a, b, gate: layers.Multiply()([gate, a]),
    "Average": lambda a, b, gate: layers.average([a, b, gate]),
    "Maximum": lambda a, b, gate: layers.Maximum()([a, gate, b]),
    "Minimum": lambda a, b, gate: layers.minimum([gate, a, b]),
    "Add of broadcast": lambda a, b, gate: layers.add([a, layers.Flatten()(gate)]),
    "Concatenate of rows": lambda a, b, gate: layers.Concatenate(axis=1)([a, b]),
    "Concatenate of columns": lambda a, b, gate: layers.concatenate([a, b], axis=-2),
    "Dot of vectors": lambda a, b, gate: layers.Dot(1)([layers.Flatten()(a), layers.Flatten()(b)]) * 0.1,
    "Dot of maps": lambda a, b, gate: layers.dot([a, b], axes=(3, 3)) * 0.1,
    "cosine": lambda a, b, gate: layers.Dot(-1, normalize=True)([layers.Flatten()(a), layers.Flatten()(b)]),
    "one input": lambda a, b, gate: layers.Add()([layers.Concatenate()([a])]) + b,
    "sequences": lambda a, b, gate: layers.Cropping1D((1, 0))(
        layers.ZeroPadding1D((2, 1))(layers.RepeatVector(3)(layers.Flatten()(gate)))
    ),
}


def _ended(x: Any, y: Any) -> Graph:
    ends = layers.Dense(4, activation="softmax", name="end")(layers.Flatten()(y))
    graph: Graph = depthwise.Model(x, ends).graph
    return graph


def _graph(name: str) -> Graph:
    """The layer behind and before layers that train."""
    x = depthwise.Input((5, 6, 2))
    a = layers.Conv2D(6, 3, padding="same", activation="tanh", name="a")(x)
    if name in ONE_INPUT:
        return _ended(x, ONE_INPUT[name]()(a))
    b = layers.Conv2D(6, 3, padding="same", activation="relu", name="b")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(b)
    return _ended(x, SEVERAL[name](a, b, gate))


@pytest.mark.parametrize("name", [*ONE_INPUT, *SEVERAL])
def test_three_steps_beside_keras(name: str) -> None:
    compare_steps(_graph(name), optimizers.Adam(0.001, epsilon=1e-4), 8, steps=3)


@pytest.mark.parametrize("name", [*ONE_INPUT, *SEVERAL])
def test_predictions_do_not_depend_on_threads_or_batches(name: str) -> None:
    graph = _graph(name)
    weights = seeded_weights(graph)
    x = np.random.default_rng(3).standard_normal((5, 5, 6, 2)).astype(np.float32)
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    (y,) = predict(prediction, [x])
    before = get_threads()
    try:
        for threads in (1, 2, 3):
            set_threads(threads)
            for sample in range(len(x)):
                np.testing.assert_array_equal(prediction([x[sample : sample + 1]])[0], y[sample : sample + 1])
    finally:
        set_threads(before)
    error = bounds.network_errors(graph, weights, [x])[graph.outputs[0]]
    error_gate(y, keras_model(graph, weights).predict(x, verbose=0), 2.0 * error, name)


@pytest.mark.parametrize("name", [*ONE_INPUT, *SEVERAL])
def test_keras_files_go_both_ways(name: str, tmp_path: Path) -> None:
    x = depthwise.Input((5, 6, 2))
    b = layers.ReLU()(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(b)
    features = layers.Conv2D(6, 1)(x)
    y = ONE_INPUT[name]()(features) if name in ONE_INPUT else SEVERAL[name](x, b, gate)
    model = depthwise.Model(x, y)
    model.save(tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    back = models.load_model(tmp_path / "theirs.keras")
    assert [layer.description for layer in back.layers] == [layer.description for layer in model.layers]
    assert [layer.get_config() for layer in back.layers] == [layer.get_config() for layer in model.layers]
    image = np.random.default_rng(0).standard_normal((2, 5, 6, 2)).astype(np.float32)
    result = model.predict(image, verbose=0)
    np.testing.assert_array_equal(back.predict(image, verbose=0), result)
    allowed = bounds.network_errors(model.graph, model.weights_by_name, (image,))[model.graph.outputs[0]]
    error_gate(result, theirs.predict(image, verbose=0), 2.0 * allowed, name)


@pytest.mark.parametrize("name", [*ONE_INPUT, *SEVERAL])
def test_every_number_is_explained_by_operations(name: str) -> None:
    graph = _graph(name)
    weights = seeded_weights(graph)
    x = np.random.default_rng(3).standard_normal((5, 6, 2)).astype(np.float32)
    values = layer_values(graph, weights, (x,))
    for call in graph.calls[1:]:
        for position in ([0] * len(call.output_shape), [size - 1 for size in call.output_shape]):
            facts = cell_facts(graph, weights, values, call.name, position)
            assert facts["check"]["agrees"], (call.name, facts)
    assert make_page(graph, weights, with_times=False).kept_layers == len(graph.calls)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: layers.Reshape((7, -1))(x), ShapeError, "has 60 numbers, which do not fill"),
        (lambda x: layers.Reshape((-1, -1)), InvalidArgumentError, "one size of target_shape may be -1"),
        (lambda x: layers.Permute((1, 3)), InvalidArgumentError, "each of 1, 2, … once"),
        (lambda x: layers.Permute((2, 1))(x), ShapeError, "samples with 2 axes"),
        (lambda x: layers.RepeatVector(2)(x), ShapeError, "takes vectors.*Flatten"),
        (lambda x: layers.Softmax(0)(x), ShapeError, "from 1 to 3 or from -3 to -1.*got 0"),
        (lambda x: layers.Softmax([]), InvalidArgumentError, "one axis at least"),
        (lambda x: layers.GroupNormalization(4)(x), ShapeError, "2 channels cannot be divided into 4 groups"),
        (lambda x: layers.Cropping2D(3)(x), ShapeError, "nothing left after cropping"),
        (lambda x: layers.Dot(1)([x, x, x]), ShapeError, "takes two inputs, got 3"),
        (lambda x: layers.Dot((1, 2))([x, x]), ShapeError, "equal sizes, got 5 and 6"),
        (lambda x: layers.Subtract()([x]), ShapeError, "takes two inputs, got 1"),
        (lambda x: layers.Multiply()([x, layers.Permute((2, 1, 3))(x)]), ShapeError, "do not fit together"),
        (
            lambda x: layers.ReLU(negative_slope=None),  # type: ignore[arg-type]
            InvalidArgumentError,
            "negative_slope must be at least 0, got None",
        ),
        (lambda x: layers.ReLU("6"), InvalidArgumentError, "max_value must be at least 0, got '6'"),  # type: ignore[arg-type]
        (lambda x: layers.LeakyReLU(-0.1), InvalidArgumentError, "negative_slope must be a number of at least 0"),
    ],
)
def test_messages_say_what_is_allowed(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(depthwise.Input((5, 6, 2)))

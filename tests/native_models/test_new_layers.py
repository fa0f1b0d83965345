"""PReLU and LayerNormalization against real Keras: predicted, trained, and saved both ways."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from depthwise import layers, losses, models, optimizers
from depthwise.compiler.lower import lower
from depthwise.layers import descriptions
from depthwise.network.graph import Graph, sequential
from depthwise.reference import bounds, network
from depthwise.reference import layer as one_layer
from depthwise.runtime.prediction import Prediction
from depthwise.runtime.training_step import TrainingStep
from support.gates import error_gate
from support.keras_steps import compare_steps
from support.networks import seeded_weights
from support.oracle import keras_layer, keras_model, set_keras_weights
from support.sizes import draw_inputs, draw_weights

SHARED = [None, (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)]
PRELU = [descriptions.PReLU(shared_axes=axes) for axes in SHARED]
NORMALISATION = [
    descriptions.LayerNormalization(center=center, scale=scale, epsilon=epsilon)
    for center in (False, True)
    for scale in (False, True)
    for epsilon in (1e-3, 1e-5)
]
SHAPES = [(5, 7, 3), (2, 3, 16), (4, 1, 17)]


def _says(layer: descriptions.Description) -> str:
    names = ("shared_axes", "center", "scale", "epsilon")
    settings = [f"{name}={getattr(layer, name)}" for name in names if hasattr(layer, name)]
    return f"{type(layer).__name__} {' '.join(settings)}"


def _network(layer: descriptions.Description) -> Graph:
    """The layer on a map between two layers that train."""
    return sequential(
        [
            descriptions.Conv2D(6, 3, padding="same", input_shape=(5, 6, 2)),
            layer,
            descriptions.Flatten(),
            descriptions.Dense(4, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("layer", [*PRELU, *NORMALISATION], ids=_says)
def test_predictions(layer: descriptions.Description, batch: int) -> None:
    rng = np.random.default_rng(batch)
    for shape in SHAPES:
        graph = sequential([descriptions.InputLayer(shape=shape), layer])
        own, xs = draw_weights(rng, layer, [shape]), draw_inputs(rng, [shape], batch)
        xs[0][0, 0] = 0.0  # at the bend
        prediction = Prediction(lower(graph))
        prediction.load({f"{graph.outputs[0]}/{name}": value for name, value in own.items()})
        (y,) = prediction(tuple(xs))
        oracle = keras_layer(layer)
        oracle.build((None, *shape))
        set_keras_weights(oracle, layer, [shape], own)
        one = bounds.layer_error(layer, own, xs)
        error_gate(y, one_layer.forward(layer, own, xs), one, f"{layer} on {shape}")
        error_gate(y, np.asarray(oracle(xs[0])), 2.0 * one, f"{layer} on {shape}, beside Keras")


@pytest.mark.parametrize("shape", [(9,), (4, 5)])
@pytest.mark.parametrize("layer", [descriptions.PReLU(), descriptions.LayerNormalization()], ids=_says)
def test_vectors_and_rows_of_vectors(layer: descriptions.Description, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    graph = sequential([descriptions.InputLayer(shape=shape), layer])
    own, xs = draw_weights(rng, layer, [shape]), draw_inputs(rng, [shape], 3)
    prediction = Prediction(lower(graph))
    prediction.load({f"{graph.outputs[0]}/{name}": value for name, value in own.items()})
    (y,) = prediction(tuple(xs))
    error_gate(y, one_layer.forward(layer, own, xs), bounds.layer_error(layer, own, xs), f"{layer} on {shape}")


@pytest.mark.parametrize("layer", [*PRELU, *NORMALISATION], ids=_says)
def test_three_steps_of_adam(layer: descriptions.Description) -> None:
    # With the default epsilon of 1e-7 a gradient near 0 is divided by about itself, and rounding decides the step.
    compare_steps(_network(layer), optimizers.Adam(0.001, epsilon=1e-4), 8, steps=3)


def test_at_zero_prelu_has_no_slope() -> None:
    """A black image under a convolution without bias yet: its bias stays, in Keras and here."""
    graph = _network(descriptions.PReLU(name="prelu"))
    start = seeded_weights(graph)
    start["conv2d/bias"] = np.zeros_like(start["conv2d/bias"])
    start["prelu/alpha"] = np.full_like(start["prelu/alpha"], 0.3)
    x, y = np.zeros((4, 5, 6, 2), np.float32), np.arange(4, dtype=np.int32)
    loss, optimizer = losses.SparseCategoricalCrossentropy(), optimizers.SGD(0.5)
    step = TrainingStep(lower(graph, training=True), loss, optimizer)
    step.load(start, {})
    step((x,), y, np.ones(4, np.float32), learning_rate=0.5, seed=0)
    theirs = keras_model(graph, start)
    theirs.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=True)
    theirs.train_on_batch(x, y)
    expected = network.training_step(graph, start, {}, (x,), loss, y, optimizer, 0.5, np.ones(4, np.float32)).weights
    for weights in (step.weights(), expected, {"conv2d/bias": theirs.get_layer("conv2d").get_weights()[1]}):
        assert not np.any(weights["conv2d/bias"])
    assert np.any(step.weights()["dense/bias"] != start["dense/bias"])


def _model() -> models.Model:
    """Both layers with every argument away from its default somewhere."""
    stack: list[Any] = [layers.Conv2D(4, 3, input_shape=(7, 6, 2))]
    stack += [layers.PReLU(shared_axes=axes) for axes in SHARED]
    for center in (False, True):
        stack += [layers.LayerNormalization(center=center, scale=scale, epsilon=1e-4) for scale in (False, True)]
    stack += [layers.Flatten(), layers.PReLU(), layers.LayerNormalization(axis=1), layers.Dense(3)]
    return models.Sequential(stack)


def test_keras_files_go_both_ways(tmp_path: Path) -> None:
    model = _model()
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.9, array.shape) for array in model.get_weights()])
    model.save(tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    assert all(np.array_equal(p, q) for p, q in zip(theirs.get_weights(), model.get_weights(), strict=True))
    theirs.save(tmp_path / "theirs.keras")
    back = models.load_model(tmp_path / "theirs.keras")
    assert [repr(layer) for layer in back.layers] == [repr(layer) for layer in model.layers]
    assert all(np.array_equal(p, q) for p, q in zip(back.get_weights(), model.get_weights(), strict=True))
    x = rng.normal(size=(3, 7, 6, 2)).astype(np.float32)
    assert np.array_equal(back.predict(x, verbose=0), model.predict(x, verbose=0))
    values = model.weights_by_name
    deviation = bounds.network_deviations(model.graph, values, (x,))[model.graph.outputs[0]]
    # Each of the two is within 8 of its standard deviations of the exact result.
    error_gate(model.predict(x, verbose=0), theirs.predict(x, verbose=0), 16.0 * deviation, "the whole model")

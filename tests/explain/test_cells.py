"""How one number comes about: right for every kind of layer, and honest when the network computed something else."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from depthwise.arguments import ACTIVATIONS
from depthwise.errors import InvalidArgumentError, InvalidDataError, UnsupportedError
from depthwise.explain import values as values_module
from depthwise.explain.cells import cell_facts, equivalent_kernel
from depthwise.explain.values import LayerValues, drawn_picture, layer_values, pixel_range
from depthwise.layers.descriptions import Activation, Conv2D, Dense, Dropout, ReLU, Rescaling
from depthwise.network.graph import Graph, sequential
from depthwise.reference import forward as reference
from support.explained import NAMES, network_and_weights, random_positions


def _values(name: str, seed: int = 1) -> tuple[Graph, dict[str, Any], LayerValues]:
    graph, weights = network_and_weights(name)
    picture = np.random.default_rng(seed).random(graph.input_shapes[0]).astype(np.float32)
    return graph, weights, layer_values(graph, weights, (picture,))


@pytest.mark.parametrize("name", NAMES)
def test_200_random_cells_are_what_the_compiled_network_computed(name: str) -> None:
    graph, weights, values = _values(name)
    assert values.source == "native"
    for layer, position in random_positions(graph, 200, seed=7):
        facts = cell_facts(graph, weights, values, layer, position)
        json.dumps(facts, allow_nan=False)
        check = facts["check"]
        assert check["agrees"], (layer, position, check)
        assert check["computed"] == float(values.by_layer[layer][position])
        assert check["difference"] < 1e-5 * max(1.0, abs(check["computed"]))
        assert check["bound"] < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_steps_add_up(name: str) -> None:
    graph, weights, values = _values(name)
    for layer, position in random_positions(graph, 60, seed=8):
        facts = cell_facts(graph, weights, values, layer, position)
        for channel in (*facts.get("channels", ()), *facts.get("depthwise", ())):
            products = np.array(channel["window"]) * np.array(channel["kernel"])
            assert channel["products"] == products.tolist()
            assert channel["sum"] == pytest.approx(products.sum(), abs=1e-12)
        if facts["operation"] == "convolution":
            assert facts["sum"] == pytest.approx(sum(channel["sum"] for channel in facts["channels"]), abs=1e-12)
        if facts["operation"] == "separable":
            assert facts["sum"] == pytest.approx(sum(term["product"] for term in facts["pointwise"]), abs=1e-12)
            assert facts["equivalent"]["sum"] == pytest.approx(facts["sum"], abs=1e-9)
        if "before_activation" in facts and "sum" in facts:
            assert facts["before_activation"] == facts["sum"] + (facts["bias"] or 0.0)


def test_a_wrong_number_is_not_explained_away() -> None:
    graph, weights, values = _values("note-separable")
    spoiled = {name: array.copy() for name, array in values.by_layer.items()}
    spoiled["separable_conv2d"][3, 4, 5] += 1e-4
    facts = cell_facts(graph, weights, LayerValues(spoiled, "native"), "separable_conv2d", (3, 4, 5))
    assert not facts["check"]["agrees"]
    assert facts["check"]["difference"] == pytest.approx(1e-4, rel=0.01)


def test_explaining_works_where_native_code_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> dict[str, Any]:
        raise UnsupportedError("no code for this processor")

    graph, weights, native = _values("every-layer")
    picture = native.by_layer["picture"]
    monkeypatch.setattr(values_module, "native_values", refuse)
    values = layer_values(graph, weights, (picture,))
    assert (values.source, values.reason) == ("reference", "no code for this processor")
    for name, array in values.by_layer.items():
        np.testing.assert_allclose(array, native.by_layer[name], atol=1e-5)
    for layer, position in random_positions(graph, 40, seed=9):
        assert cell_facts(graph, weights, values, layer, position)["check"]["agrees"]


def test_layers_that_compute_nothing_have_the_values_of_what_they_read() -> None:
    """And the layer before keeps the values from before its follower."""
    graph = sequential(
        [
            Dropout(0.5, input_shape=(3,)),
            Dense(3, name="dense"),
            Activation("linear", name="linear"),
            Dropout(0.5, name="dropped"),
            ReLU(name="relu"),
        ]
    )
    x = np.array([1.0, -2.0, 3.0], np.float32)
    weights = {"dense/kernel": np.diag([2.0, 3.0, -4.0]), "dense/bias": np.zeros(3)}
    values = layer_values(graph, weights, (x,))
    assert values.source == "native"
    assert list(values.by_layer) == [node.name for node in graph.calls]
    first, product = [1.0, -2.0, 3.0], [2.0, -6.0, -12.0]
    assert [value.tolist() for value in values.by_layer.values()] == [first, first, *[product] * 3, [2.0, 0.0, 0.0]]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_agrees(activation: str) -> None:
    graph = sequential([Dense(9, activation=activation, input_shape=(5,))])
    generator = np.random.default_rng(4)
    weights = {
        key: generator.normal(0, 2, shape).astype(np.float32)
        for key, shape in (("dense/kernel", (5, 9)), ("dense/bias", 9))
    }
    values = layer_values(graph, weights, (generator.normal(size=5).astype(np.float32),))
    for unit in range(9):
        facts = cell_facts(graph, weights, values, "dense", (unit,))
        assert facts["check"]["agrees"], facts["check"]


def test_the_equivalent_kernel_is_the_separable_layer() -> None:
    generator = np.random.default_rng(2)
    depthwise, pointwise = generator.normal(size=(3, 2, 4, 3)), generator.normal(size=(1, 1, 12, 5))
    x = generator.normal(size=(2, 7, 6, 4))
    same = equivalent_kernel(depthwise, pointwise)
    assert same.shape == (3, 2, 4, 5)
    np.testing.assert_allclose(
        reference.conv2d(x, same), reference.separable_conv2d(x, depthwise, pointwise), atol=1e-12
    )
    for channel in range(4):
        assert np.linalg.matrix_rank(same[:, :, channel].reshape(-1, 5)) <= 3


@pytest.mark.parametrize(
    ("layer", "position", "message"),
    [
        ("conv2d", (26, 0, 0), "layer 'conv2d' has no cell 26,0,0; its output is 26×26×32, so give row 0 to 25"),
        ("conv2d", (0, -1, 0), "layer 'conv2d' has no cell 0,-1,0"),
        ("conv2d", (0, 0), "layer 'conv2d' has no cell 0,0; its output is 26×26×32"),
        ("dense_1", (10,), "layer 'dense_1' has no cell 10; its output is 10, so give unit 0 to 9"),
        ("convolution", (0, 0, 0), "the network has no layer 'convolution'"),
    ],
)
def test_a_cell_that_is_not_there_is_refused(layer: str, position: tuple[int, ...], message: str) -> None:
    graph, weights, values = _values("note-cnn")
    with pytest.raises(InvalidArgumentError) as caught:
        cell_facts(graph, weights, values, layer, position)
    assert str(caught.value).startswith(message)


def test_input_of_another_shape_or_with_nan_is_refused() -> None:
    graph, weights = network_and_weights("note-cnn")
    with pytest.raises(InvalidDataError, match=r"takes one sample of shape \(28, 28, 1\), got \(28, 28\)"):
        layer_values(graph, weights, (np.zeros((28, 28), np.float32),))
    with pytest.raises(InvalidDataError, match="holds NaN or infinity"):
        layer_values(graph, weights, (np.full((28, 28, 1), np.nan, np.float32),))
    with pytest.raises(InvalidDataError, match="takes 1 inputs, got 2"):
        layer_values(graph, weights, (np.zeros((28, 28, 1), np.float32),) * 2)


def test_a_network_that_rescales_gets_pixels() -> None:
    layers = [Rescaling(1 / 255, input_shape=(8, 8, 1)), Conv2D(1, 3)]
    assert pixel_range(sequential(layers)) == 255
    rescaling = layers[0]
    assert isinstance(rescaling, Rescaling)
    assert pixel_range(sequential([dataclasses.replace(rescaling, scale=2.0), layers[1]])) == 1
    assert drawn_picture((4, 4, 3)).shape == (4, 4, 3)
    assert drawn_picture((7,)).shape == (7,)

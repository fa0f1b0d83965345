"""Every gradient of the reference against central differences in float64: relative error at most 1e-6."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depthwise import layers
from depthwise.network.symbolic import Input, functional
from depthwise.reference import activations, network
from depthwise.reference import layer as one_layer
from depthwise.reference.losses import Loss, loss_gradient, total_loss
from support.sizes import draw_inputs, draw_weights, random_configuration

RELATIVE = 1e-6
STEP = 1e-5
PROBES = 24

KINDS = sorted(set(layers.LAYERS.values()) - {layers.LAYERS["InputLayer"]}, key=lambda kind: kind.__name__)


def central_differences(function: Any, array: Any, places: Any) -> Any:
    """Slope of `function()` to each of `places` of `array`, which is changed and restored."""
    slopes = []
    for place in places:
        value = array[place]
        array[place] = value + STEP
        above = function()
        array[place] = value - STEP
        below = function()
        array[place] = value
        slopes.append((above - below) / (2.0 * STEP))
    return np.array(slopes)


def check(function: Any, array: Any, gradient: Any, rng: Any, what: Any) -> None:
    """`gradient` against differences of `function()` at some places of `array`; it must be right where it is 0, too."""
    assert gradient.shape == array.shape, what
    flat = rng.permutation(array.size)[:PROBES]
    places = [np.unravel_index(index, array.shape) for index in flat]
    numeric = central_differences(function, array, places)
    # The floor is far above the noise of the difference itself, about 1e-10.
    scale = max(float(np.abs(gradient).max(initial=0.0)), 1e-3)
    error = np.abs(numeric - np.array([gradient[place] for place in places])).max(initial=0.0)
    assert error <= RELATIVE * scale, f"{what}: off by {error:.3e}, the largest slope is {scale:.3e}"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_layer(kind: Any, seed: Any) -> None:
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    layer, input_shapes = random_configuration(rng, [kind])
    weights = {name: values.astype(float) for name, values in draw_weights(rng, layer, input_shapes).items()}
    inputs = [values.astype(float) for values in draw_inputs(rng, input_shapes, 3)]
    kept = rng.random(inputs[0].shape) < 0.6
    training = bool(seed % 4)
    weighting = rng.standard_normal(one_layer.forward(layer, weights, inputs, training, kept).shape)

    def total() -> Any:
        return float((one_layer.forward(layer, weights, inputs, training, kept) * weighting).sum())

    to_inputs, to_weights = one_layer.gradients(layer, weights, inputs, weighting, training, kept)
    assert sorted(to_weights) == sorted(one_layer.trainable_weights(layer, input_shapes))
    assert len(to_inputs) == len(inputs)
    for x, gradient in zip(inputs, to_inputs):
        check(total, x, gradient, rng, f"input of {layer} on {input_shapes}")
    for name, gradient in to_weights.items():
        check(total, weights[name], gradient, rng, f"{name} of {layer} on {input_shapes}")


@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_activation(name: Any) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((5, 9)) * 3.0
    weighting = rng.standard_normal(x.shape)
    gradient = activations.activation_gradient(name, x, weighting)
    check(lambda: float((activations.activation(name, x) * weighting).sum()), x, gradient, rng, name)


CROSSENTROPIES = [
    Loss(kind, from_logits, label_smoothing)
    for kind in ("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy")
    for from_logits in (False, True)
    for label_smoothing in ((0.0,) if kind.startswith("Sparse") else (0.0, 0.2))
]


@pytest.mark.parametrize("loss", CROSSENTROPIES, ids=str)
@pytest.mark.parametrize("normalised", [False, True])
def test_crossentropy(loss: Any, normalised: bool) -> None:
    rng = np.random.default_rng(4)
    prediction = rng.standard_normal((6, 5)) * 2.0 if loss.from_logits else rng.uniform(0.05, 0.95, (6, 5))
    if normalised and not loss.from_logits:
        prediction /= prediction.sum(axis=-1, keepdims=True)
    target = rng.integers(0, 5, 6) if loss.kind.startswith("Sparse") else rng.uniform(0.0, 1.0, (6, 5))
    check_loss(loss, target, prediction, rng)


@pytest.mark.parametrize("kind", ["MeanSquaredError", "MeanAbsoluteError"])
def test_error(kind: str) -> None:
    rng = np.random.default_rng(5)
    check_loss(Loss(kind), rng.standard_normal((6, 5)), rng.standard_normal((6, 5)), rng)


def check_loss(loss: Any, target: Any, prediction: Any, rng: Any) -> None:
    weight = rng.uniform(0.0, 2.0, len(prediction))
    gradient = loss_gradient(loss, target, prediction, weight)
    check(lambda: total_loss(loss, target, prediction, weight), prediction, gradient, rng, str(loss))


def test_clipped_probabilities_have_no_gradient() -> None:
    prediction = np.array([[0.0, 1.0]])
    for kind, target in (("SparseCategoricalCrossentropy", [0]), ("CategoricalCrossentropy", [[1.0, 0.0]])):
        assert not loss_gradient(Loss(kind), target, prediction).any()
    assert not loss_gradient(Loss("BinaryCrossentropy"), [[1.0, 0.0]], prediction).any()


def branching_graph() -> Any:
    """Two ways that part and join again, of different lengths: gradients must add up where they part."""
    start = Input((7, 6, 2))
    stem = layers.Conv2D(4, 3, padding="same", activation="selu", name="stem")(start)
    left = layers.SeparableConv2D(4, 3, padding="same", activation="gelu", name="left")(stem)
    joined = layers.Add(name="joined")([stem, layers.BatchNormalization(name="norm")(left)])
    wide = layers.Concatenate(name="wide")([joined, stem])
    small = layers.MaxPooling2D(name="small")(layers.Dropout(0.3, name="drop")(wide))
    depthwise = layers.DepthwiseConv2D(3, depth_multiplier=2, name="each", activation="hard_silu")(small)
    ends = layers.Flatten(name="flat")(depthwise)
    return functional(start, layers.Dense(5, activation="softmax", name="head")(ends))


def test_network() -> None:
    rng = np.random.default_rng(6)
    graph = branching_graph()
    weights: dict[str, npt.NDArray[np.float64]] = {}
    for node in graph.calls:
        drawn = draw_weights(rng, node.layer, node.facts.input_shapes)
        weights |= {f"{node.name}/{name}": values.astype(float) for name, values in drawn.items()}
    (x,) = [values.astype(float) for values in draw_inputs(rng, graph.input_shapes, 4)]
    masks = {"drop": rng.random((4, 7, 6, 8)) < 0.7}
    loss, target, importance = Loss("SparseCategoricalCrossentropy"), [0, 3, 4, 1], [1.0, 0.5, 2.0, 0.0]

    def total() -> Any:
        values = network.forward(graph, weights, [x], True, masks)
        return total_loss(loss, target, values["head"], importance)

    found = network.gradients(graph, weights, [x], loss, target, importance, masks)
    assert found.loss == total()
    assert sorted(found.weights) == sorted(name for name in weights if "moving" not in name)
    check(total, x, found.nodes[graph.inputs[0]], rng, "data")
    for name, gradient in found.weights.items():
        check(total, weights[name], gradient, rng, name)


def test_frozen_layers_have_no_gradient_and_frozen_normalization_predicts() -> None:
    rng = np.random.default_rng(7)
    start = Input((3, 3, 2))
    middle = layers.BatchNormalization(name="norm", trainable=False)(
        layers.Conv2D(2, 2, name="conv", trainable=False)(start)
    )
    graph = functional(start, layers.Dense(2, name="head")(layers.Flatten(name="flat")(middle)))
    weights: dict[str, npt.NDArray[np.floating]] = {}
    for node in graph.calls:
        drawn = draw_weights(rng, node.layer, node.facts.input_shapes)
        weights |= {f"{node.name}/{name}": values for name, values in drawn.items()}
    x = draw_inputs(rng, graph.input_shapes, 3)
    found = network.gradients(graph, weights, x, Loss("MeanSquaredError"), np.zeros((3, 2)))
    assert sorted(found.weights) == ["head/bias", "head/kernel"]
    trained, predicted = (network.forward(graph, weights, x, training) for training in (True, False))
    assert (trained["norm"] == predicted["norm"]).all()
    assert network.moving_statistics(graph, weights, trained) == {}

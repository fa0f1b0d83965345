"""The reference against real Keras on JAX: every layer, the losses, training steps of each optimizer, whole networks.

Keras computes in float32, so its distance from the reference is gated by the error that float32 itself may make.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras.src.layers.merging import base_merge

from depthwise import losses, optimizers
from depthwise.arguments import ACTIVATIONS
from depthwise.layers import descriptions as layers
from depthwise.network.graph import sequential
from depthwise.reference import activations, bounds, network
from depthwise.reference import layer as one_layer
from depthwise.reference.losses import Loss, loss_gradient, sample_losses, total_loss
from depthwise.reference.optimizers import step
from support.gates import UNIT_ROUNDOFF, error_gate
from support.networks import note_cnn_with_head, note_separable, seeded_weights
from support.oracle import keras_layer, keras_model, set_keras_weights
from support.sizes import draw_inputs, draw_weights, random_configuration

# ThresholdedReLU is a layer of Keras 2.
KINDS = sorted(
    set(layers.LAYERS.values()) - {layers.InputLayer, layers.ThresholdedReLU}, key=lambda kind: kind.__name__
)


def run_keras(oracle: Any, inputs: Any, **arguments: Any) -> Any:
    if type(oracle).__name__.startswith("Random"):  # without it, they would train
        arguments = {"training": False, **arguments}
    tensors = [jnp.asarray(x) for x in inputs]
    joins = len(tensors) > 1 or isinstance(oracle, base_merge.Merge)
    return np.asarray(oracle(tensors if joins else tensors[0], **arguments))


def xla_slack(name: Any, before: Any, after: Any) -> Any:
    """What XLA's own functions add: they are good to 8 ulp, and cancel near 0 where ours do not."""
    if name in ("linear", "relu", "relu6"):
        return np.zeros_like(after)
    return 8 * 2 * UNIT_ROUNDOFF * (np.abs(after) + np.minimum(np.abs(before), 1.0))


def check_layer(oracle: Any, layer: Any, weights: Any, inputs: Any) -> None:
    before, expected = (run(layer, weights, inputs) for run in (one_layer.pre_activation, one_layer.forward))
    name = "elu" if isinstance(layer, layers.ELU) else one_layer.activation_name(layer)
    slack = xla_slack(name, before, expected)
    error_gate(run_keras(oracle, inputs), expected, bounds.layer_error(layer, weights, inputs) + slack, str(layer))


@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")  # of size 1
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_layer(kind: Any, seed: Any) -> None:
    rng = np.random.default_rng([seed, KINDS.index(kind), 7])
    layer, input_shapes = random_configuration(rng, [kind])
    weights, inputs = draw_weights(rng, layer, input_shapes), draw_inputs(rng, input_shapes, 2)
    oracle = keras_layer(layer)
    run_keras(oracle, inputs)
    set_keras_weights(oracle, layer, input_shapes, weights)
    check_layer(oracle, layer, weights, inputs)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: Any) -> None:
    x = np.linspace(-20.0, 20.0, 4001, dtype=np.float32).reshape(1, -1)
    if name in activations.OF_ROWS:
        x = x.reshape(-1, 1)[:4000].reshape(400, 10)
    actual = np.asarray(keras.activations.get(name)(jnp.asarray(x)))
    expected = activations.activation(name, x)
    error_gate(actual, expected, xla_slack(name, x, expected), name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_slope_at_and_between_the_kinks(name: Any) -> None:
    x = np.array([[-7.0, -6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 7.0]], dtype=np.float32)
    weighting = np.linspace(0.5, 1.5, x.size, dtype=np.float32).reshape(x.shape)
    function = keras.activations.get(name)
    actual = np.asarray(jax.grad(lambda values: (function(values) * weighting).sum())(jnp.asarray(x)))
    expected = activations.activation_gradient(name, x, weighting)
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize("max_value", [None, 6.0, 1.5])
@pytest.mark.parametrize("negative_slope", [0.0, 0.25])
def test_relu_layer_at_its_kinks(negative_slope: float, max_value: Any, threshold: float) -> None:
    x = np.array([-1.0, -0.0, 0.0, 0.25, 0.5, 0.75, 1.5, 3.0, 6.0, 7.0], dtype=np.float32)
    layer = layers.ReLU(max_value, negative_slope, threshold)
    np.testing.assert_array_equal(run_keras(keras_layer(layer), [x]), one_layer.forward(layer, {}, [x]))


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_max_pooling_gradient_chooses_the_same_of_equals(padding: str) -> None:
    rng = np.random.default_rng(8)
    x = rng.integers(0, 3, (2, 7, 8, 3)).astype(np.float32)
    layer = layers.MaxPooling2D(3, 2, padding)
    oracle = keras_layer(layer)
    weighting = rng.integers(1, 9, one_layer.forward(layer, {}, [x]).shape).astype(np.float32)
    actual = jax.grad(lambda values: (oracle(values) * weighting).sum())(jnp.asarray(x))
    (expected,), _ = one_layer.gradients(layer, {}, [x], weighting)
    np.testing.assert_array_equal(np.asarray(actual), expected)


@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (16, 5)])
@pytest.mark.parametrize("trainable", [True, False])
def test_batch_normalization_in_training(shape: tuple[int, ...], trainable: bool) -> None:
    rng = np.random.default_rng(9)
    layer = layers.BatchNormalization(momentum=0.75, trainable=trainable)
    weights = draw_weights(rng, layer, [shape[1:]])
    x = (rng.standard_normal(shape) * 2.0 + 1.0).astype(np.float32)
    oracle = keras_layer(layer)
    run_keras(oracle, [x])
    set_keras_weights(oracle, layer, [shape[1:]], weights)
    actual = run_keras(oracle, [x], training=True)
    allowed = bounds.layer_error(layer, weights, [x], training=True)
    error_gate(actual, one_layer.forward(layer, weights, [x], training=True), allowed)
    expected: dict[str, Any] = {**weights, **one_layer.moving_statistics(layer, weights, x)}
    count = x.size // x.shape[-1]
    for name, value in zip(one_layer.weight_shapes(layer, [shape[1:]]), oracle.get_weights()):
        scale = np.abs(expected[name]) + (x.astype(float) ** 2).mean(axis=tuple(range(x.ndim - 1)))
        error_gate(value, expected[name], (count + 8) * UNIT_ROUNDOFF * scale, name)
    assert (np.abs(expected["moving_mean"] - weights["moving_mean"]).max() > 0.01) == trainable


LOSSES = [
    ("SparseCategoricalCrossentropy", {}),
    ("SparseCategoricalCrossentropy", {"from_logits": True}),
    ("CategoricalCrossentropy", {}),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}),
    ("BinaryCrossentropy", {}),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}),
    ("BinaryCrossentropy", {"from_logits": True}),
    ("MeanSquaredError", {}),
    ("MeanAbsoluteError", {}),
]


def says(value: Any) -> Any:
    """Test names: the class, then the arguments that are set."""
    return value if isinstance(value, str) else "-".join(value) or "default"


@pytest.mark.parametrize(("kind", "arguments"), LOSSES, ids=says)
@pytest.mark.parametrize("weighted", [False, True])
def test_loss(kind: Any, arguments: Any, weighted: bool) -> None:
    rng = np.random.default_rng(10)
    oracle, loss = (getattr(module, kind)(**arguments) for module in (keras.losses, losses))
    from_logits = arguments.get("from_logits", False)
    prediction = rng.standard_normal((7, 5)) if from_logits else rng.dirichlet(np.ones(5), 7)
    prediction = prediction.astype(np.float32)
    sparse = kind.startswith("Sparse")
    target = rng.integers(0, 5, 7) if sparse else rng.uniform(0.0, 1.0, (7, 5)).astype(np.float32)
    weight = rng.uniform(0.0, 2.0, 7).astype(np.float32) if weighted else None
    np.testing.assert_allclose(oracle.call(target, prediction), sample_losses(loss, target, prediction), rtol=1e-5)
    actual = oracle(target, prediction, sample_weight=weight)
    assert float(actual) == pytest.approx(total_loss(loss, target, prediction, weight), rel=1e-5)
    slope = jax.grad(lambda values: oracle(target, values, sample_weight=weight))(jnp.asarray(prediction))
    expected = loss_gradient(loss, target, prediction, weight)
    np.testing.assert_allclose(np.asarray(slope), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"])
def test_certain_predictions_are_clipped_as_keras_clips(kind: str) -> None:
    prediction = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    target = np.array([0, 0]) if kind.startswith("Sparse") else np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    actual = getattr(keras.losses, kind)(reduction=None)(target, prediction)
    # 1 − 1e-7 is 1 − 1.19e-7 in float32.
    np.testing.assert_allclose(np.asarray(actual), sample_losses(Loss(kind), target, prediction), rtol=1e-2, atol=3e-8)


OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"global_clipnorm": 0.5}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adam", {}),
    ("Adam", {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "amsgrad": True}),
    ("Adam", {"clipnorm": 0.5}),
    ("Adam", {"clipvalue": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1}),
]


@pytest.mark.parametrize(("kind", "arguments"), OPTIMIZERS, ids=says)
def test_ten_steps_of_each_optimizer(kind: Any, arguments: Any) -> None:
    oracle = getattr(keras.optimizers, kind)(learning_rate=0.05, **arguments)
    ours = getattr(optimizers, kind)(learning_rate=0.05, **arguments)
    rng = np.random.default_rng(11)
    shapes = {"a/kernel": (3, 4), "a/bias": (4,), "b/kernel": (2, 2, 1, 3)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    variables = {name: keras.Variable(value, name=name.replace("/", "_")) for name, value in weights.items()}
    exact: dict[str, npt.NDArray[Any]] = dict(weights)
    state: dict[str, npt.NDArray[np.float64]] = {}
    for count in range(10):
        # The scale falls, so that the running averages lag behind it.
        gradients = {
            name: (rng.standard_normal(shape) * 0.7**count).astype(np.float32) for name, shape in shapes.items()
        }
        oracle.apply([jnp.asarray(gradient) for gradient in gradients.values()], list(variables.values()))
        exact, state = step(ours, exact, gradients, state, 0.05)
    assert state["iteration"] == 10
    for name, variable in variables.items():
        moved = np.abs(exact[name] - weights[name]).max()
        assert moved > 0.01
        np.testing.assert_allclose(np.asarray(variable), exact[name], rtol=0, atol=2e-5 * moved + 2e-7, err_msg=name)
    kept = {f"{name}/{slot}" for name in shapes for slot in {key.rsplit("/", 1)[1] for key in state if "/" in key}}
    assert set(state) == {"iteration", *kept}
    assert len(oracle.variables) == 2 + len(kept)  # Keras' own two are the iteration and the learning rate


@pytest.mark.parametrize("make", [note_cnn_with_head, note_separable], ids=["note_cnn", "note_separable"])
def test_network_layer_by_layer_then_end_to_end(make: Any) -> None:
    graph = make()
    weights = seeded_weights(graph)
    (x,) = draw_inputs(np.random.default_rng(12), graph.input_shapes, 3)
    model = keras_model(graph, weights)
    exact = network.forward(graph, weights, [x])
    for node in graph.calls[1:]:
        given = exact[node.reads[0]].astype(np.float32)
        check_layer(model.get_layer(node.name), node.layer, network.weights_of(node, weights), [given])
    deviations = bounds.network_deviations(graph, weights, [x])
    output = graph.outputs[0]
    error_gate(run_keras(model, [x]), exact[output], 8.0 * deviations[output], "end to end")


def test_gradients_of_a_training_step() -> None:
    graph = sequential(
        [
            layers.Conv2D(4, 3, activation="selu", input_shape=(9, 9, 2)),
            layers.SeparableConv2D(5, 3, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    weights = seeded_weights(graph)
    rng = np.random.default_rng(13)
    (x,) = draw_inputs(rng, graph.input_shapes, 6)
    labels, importance = rng.integers(0, 4, 6), rng.uniform(0.5, 1.5, 6).astype(np.float32)
    model = keras_model(graph, weights)
    loss = keras.losses.SparseCategoricalCrossentropy()

    def total(trainable: Any) -> Any:
        prediction, others = model.stateless_call(trainable, fixed, jnp.asarray(x), training=True)
        return loss(labels, prediction, sample_weight=importance), others

    trainable, fixed = (
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    (value, moved), slopes = jax.jit(jax.value_and_grad(total, has_aux=True))(trainable)
    exact = network.gradients(graph, weights, [x], Loss("SparseCategoricalCrossentropy"), labels, importance)
    assert float(value) == pytest.approx(exact.loss, rel=1e-5)
    assert [variable.path for variable in model.trainable_variables] == [
        name for name in weights if name in exact.weights
    ]
    for variable, slope in zip(model.trainable_variables, slopes):
        expected = exact.weights[variable.path]
        np.testing.assert_allclose(np.asarray(slope), expected, rtol=0, atol=1e-4 * np.abs(expected).max() + 1e-7)
    statistics = network.moving_statistics(graph, weights, network.forward(graph, weights, [x], training=True))
    for variable, after in zip(model.non_trainable_variables, moved):
        np.testing.assert_allclose(np.asarray(after), statistics[variable.path], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda module: module.SGD(0.05, momentum=0.9, nesterov=True),
        lambda module: module.AdamW(0.01, weight_decay=0.1, epsilon=1e-3),
    ],
    ids=["sgd", "adamw"],
)
def test_ten_training_steps(make: Callable[..., Any]) -> None:
    graph = sequential(
        [
            layers.Conv2D(4, 3, activation="tanh", use_bias=False, input_shape=(6, 6, 1)),
            layers.BatchNormalization(momentum=0.8),
            layers.DepthwiseConv2D(2, padding="same", activation="silu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    begin = seeded_weights(graph, seed=1)
    rng = np.random.default_rng(14)
    model = keras_model(graph, begin)
    model.compile(make(keras.optimizers), keras.losses.SparseCategoricalCrossentropy())
    ours = make(optimizers)
    weights: dict[str, npt.NDArray[Any]] = dict(begin)
    state: dict[str, npt.NDArray[np.float64]] = {}
    for _ in range(10):
        (x,) = draw_inputs(rng, graph.input_shapes, 8)
        labels, importance = rng.integers(0, 3, 8), rng.uniform(0.5, 1.5, 8).astype(np.float32)
        value = model.train_on_batch(x, labels, sample_weight=importance, return_dict=True)["loss"]
        result = network.training_step(
            graph,
            weights,
            state,
            [x],
            losses.SparseCategoricalCrossentropy(),
            labels,
            ours,
            ours.learning_rate,
            importance,
        )
        weights, state = result.weights, result.state
        model.reset_metrics()  # else Keras' loss is the mean over all batches so far
        assert float(value) == pytest.approx(result.loss, rel=1e-4)
    for variable in model.variables:
        if variable.path in weights:
            moved = np.abs(weights[variable.path] - begin[variable.path]).max()
            assert moved > 0.01, variable.path
            np.testing.assert_allclose(
                np.asarray(variable), weights[variable.path], rtol=0, atol=1e-4 * moved + 1e-6, err_msg=variable.path
            )
    assert {variable.path for variable in model.variables} >= set(weights)

"""What holds for every network, over random ones: branches, shared layers, models inside, frozen parts, several outputs.

Each network is judged by the float64 reference, and so are the same with a Flatten after every map, and with the inputs of
its sums the other way round: whatever does not change what is computed must not change the gradients.
"""

from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise import losses
from depthwise.compiler.lower import lower
from depthwise.errors import InvalidArgumentError, InvalidDataError
from depthwise.losses import MeanSquaredError
from depthwise.models import Model
from depthwise.optimizers import SGD
from depthwise.reference import bounds, network
from depthwise.reference.losses import loss_gradient
from depthwise.runtime.training_step import TrainingStep
from support.gates import error_gate
from support.gradient_bounds import gradient_errors
from support.native_runs import step_gradients
from support.random_models import random_model
from support.sizes import draw_inputs

U = bounds.UNIT_ROUNDOFF
QUICK, ALL = 12, 512
SEEDS = [*range(QUICK), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(QUICK, ALL))]
MSE = MeanSquaredError()


def drawn(seed: int) -> tuple[Model, np.random.Generator]:
    """The network with random weights, those that training does not change too."""
    rng = np.random.default_rng(90_000 + seed)
    model = random_model(depthwise, seed)
    model.set_weights([_weight(rng, name, value) for name, value in model.weights_by_name.items()])
    return model, rng


def _weight(rng: np.random.Generator, name: str, value: Any) -> Any:
    if value.ndim < 2:  # a variance must be above 0
        return rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    return (value * rng.uniform(0.5, 1.5, value.shape)).astype(np.float32)


@pytest.mark.parametrize("seed", SEEDS)
def test_losses_and_gradients(seed: int) -> None:
    model, rng = drawn(seed)
    batch = (1, 3, 18)[seed % 3]
    graph = model.graph
    weights = model.weights_by_name
    inputs = draw_inputs(rng, graph.input_shapes, batch)
    targets = [rng.standard_normal((batch, *shape)).astype(np.float32) for shape in graph.output_shapes]
    scales = [float(np.float32(rng.uniform(0.25, 2.0))) for _ in targets]
    shares = [(0.5 + rng.random(batch)).astype(np.float32) if rng.random() < 0.5 else None for _ in targets]
    values = network.forward(graph, weights, inputs, True)
    errors = bounds.network_errors(graph, weights, inputs, True)
    start: dict[str, Any] = {}
    start_errors: dict[str, Any] = {}
    for name, target, scale, share in zip(graph.outputs, targets, scales, shares):
        y = values[name]
        each = np.ones(batch) if share is None else share.astype(np.float64)
        slope = 2.0 * scale / (y.size) * each.reshape(batch, *(1 for _ in y.shape[1:]))
        start[name] = start.get(name, 0.0) + scale * loss_gradient(MSE, target, y, share)
        start_errors[name] = start_errors.get(name, 0.0) + slope * (
            errors[name] + 8.0 * U * (np.abs(y) + np.abs(target))
        )
    expected, allowed = gradient_errors(graph, weights, inputs, start, start_errors)
    variants = {"as drawn": model}
    if seed % 2:
        variants["with Flatten"] = random_model(depthwise, seed, flatten=True)
    if seed % 4 == 0:
        variants["sums the other way round"] = random_model(depthwise, seed, reverse=True)
    for what, variant in variants.items():
        variant.set_weights_by_name(weights)
        own = variant.graph
        step = TrainingStep(lower(own, training=True), [MSE] * len(targets), SGD(), scales)
        step.load(variant.weights_by_name, {})
        labels = [target.reshape(batch, *shape) for target, shape in zip(targets, own.output_shapes)]
        result = step(inputs, labels, shares, learning_rate=0.0, seed=5)
        for number, name in enumerate(graph.outputs):
            found = result.all_predictions[number].reshape(values[name].shape)
            error_gate(found, values[name], errors[name], f"{what}: {name}")
            error = targets[number] - values[name]
            axes = tuple(range(1, error.ndim))
            off = errors[name] + U * (np.abs(values[name]) + np.abs(targets[number]))
            roundings = (error[0].size + 3.0) * U * (np.abs(error) + off) ** 2
            room = (off * (2.0 * np.abs(error) + off) + roundings).mean(axis=axes)
            wanted = (error**2).mean(axis=axes)
            per_position = result.all_losses[number]
            assert per_position is not None
            loss = per_position.reshape(batch, -1).astype(np.float64).mean(axis=1)  # one number a position
            error_gate(loss, wanted, room, f"{what}: loss of {name}")
        actual = step_gradients(step)
        assert set(actual) == set(expected), what
        for name, gradient in expected.items():
            error_gate(actual[name], gradient, allowed[name], f"{what}: gradient of {name}")


def facts(model: Model) -> Any:
    """Every property of the graph that does not depend on the names and the order of its calls."""
    graph = model.graph
    own = [graph.receptive_fields[name] for name in graph.outputs]
    # Of two ways that see equally much, a formula tells one.
    fields = [(field.rows.value, field.columns.value, field.steps) for field in own]
    calls = sorted((type(node.layer).__name__, node.output_shape, node.facts.macs.value) for node in graph.calls)
    return fields, calls, model.output_shape, model.count_params()


@pytest.mark.parametrize("seed", SEEDS)
def test_properties_of_the_graph_do_not_depend_on_the_order_of_a_sum(seed: int) -> None:
    assert facts(random_model(depthwise, seed)) == facts(random_model(depthwise, seed, reverse=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_and_tensors_keep_their_weights_in_a_second_model(seed: int) -> None:
    model, rng = drawn(seed)
    tensors = [layer.output for layer in model.layers if not hasattr(layer, "layers")]
    tensor = tensors[int(rng.integers(len(tensors)))]
    second = Model(model.inputs, [tensor, *model.outputs])
    third = Model(model.inputs, second(model.inputs))
    before = model.weights_by_name
    for other in (second, third):
        for layer in other.flat_layers():
            assert any(layer is known for known in model.flat_layers())
        assert len(other.get_weights()) == len(before)
    new = [value + 1.0 for value in second.get_weights()]
    second.set_weights(new)
    for layer in model.flat_layers():
        for name, value in layer.arrays().items():
            key = next(key for key in before if key.endswith(f"{layer.name}/{name}"))
            np.testing.assert_array_equal(value, before[key] + np.float32(1.0))
    if seed % 16 == 0:
        inputs = draw_inputs(rng, model.graph.input_shapes, 2)
        results = [other.predict_on_batch(list(inputs) if len(inputs) > 1 else inputs[0]) for other in (second, third)]
        own = model.predict_on_batch(list(inputs) if len(inputs) > 1 else inputs[0])
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(results[0][1:], own if isinstance(own, list) else [own], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_assignments_that_nothing_reads_and_losses_over_nothing_are_refused(seed: int) -> None:
    model, rng = drawn(seed)
    for owner in (model, *model.layers, *model.flat_layers()):
        for name in ("weights", "units", "kernel", "input_shape", "name", "typo"):
            with pytest.raises(InvalidArgumentError, match=name):
                setattr(owner, name, 3)
    kinds = sorted({cls.__name__ for cls in losses.CLASSES.values()})
    loss = getattr(losses, kinds[int(rng.integers(len(kinds)))])()
    with pytest.raises(InvalidDataError, match="there are no samples"):
        loss(np.zeros((0,) if loss.sparse else (0, 3)), np.zeros((0, 3)))
    model.compile("sgd", "mse")
    x = [np.zeros((0, *shape), np.float32) for shape in model.graph.input_shapes]
    y = [np.zeros((0, *shape), np.float32) for shape in model.graph.output_shapes]
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(InvalidDataError):
            call(x if len(x) > 1 else x[0], y if len(y) > 1 else y[0])

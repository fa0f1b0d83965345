"""Training steps of ours beside those of real Keras and of the float64 reference."""

from typing import Any

import numpy as np

from depthwise import losses, optimizers
from depthwise.compiler.lower import lower
from depthwise.network.graph import Graph
from depthwise.reference import bounds, network
from depthwise.runtime.training_step import TrainingStep
from support.networks import seeded_weights
from support.oracle import keras_model

__all__ = ["compare_steps"]


def _keras_optimizer(optimizer: optimizers.Optimizer) -> Any:
    import keras

    return getattr(keras.optimizers, type(optimizer).__name__).from_config(optimizer.get_config())


def compare_steps(
    graph: Graph,
    optimizer: optimizers.Optimizer,
    batch: int,
    loss: losses.Loss = losses.SparseCategoricalCrossentropy(),  # noqa: B008 - frozen
    by_position: bool = False,
    steps: int = 10,
) -> None:
    """Steps of ours, of Keras and of the float64 reference: ours must be as near to the reference as Keras is.

    Rounding is magnified from step to step (RMSprop and Adam divide by gradients that may be near 0), for both alike. Four
    times Keras' distance is allowed, beside one rounding of the weight a step and 2·10⁻⁵ of the way that it has gone.
    """
    import keras

    rng = np.random.default_rng(2)
    start = seeded_weights(graph)
    shape = graph.by_name[graph.inputs[0]].output_shape
    *positions, classes = graph.output_shapes[0]
    rate = optimizer.learning_rate
    model = keras_model(graph, start)
    # Step by step, not traced: JAX then compiles each operation once for all optimizers.
    oracle = getattr(keras.losses, type(loss).__name__)(**loss.get_config())
    model.compile(optimizer=_keras_optimizer(optimizer), loss=oracle, run_eagerly=True)
    step = TrainingStep(lower(graph, training=True), loss, optimizer)
    step.load(start, {})
    weights: dict[str, Any] = dict(start)
    state: dict[str, Any] = {}
    for i in range(steps):
        x = rng.standard_normal((batch, *shape)).astype(np.float32)
        y = rng.integers(0, classes, (batch, *positions)).astype(np.int32)
        if not loss.sparse:
            y = rng.random((batch, *positions, classes)).astype(np.float32)
        share = (0.5 + rng.random((batch, *positions) if by_position else batch)).astype(np.float32)
        # Keras broadcasts along the last axes: one weight a sample needs axes of length 1 there.
        theirs_share = share if by_position else share.reshape(batch, *(1 for _ in positions))
        keras_loss = float(model.train_on_batch(x, y, sample_weight=theirs_share))
        model.reset_metrics()
        result = step((x,), y, share, learning_rate=rate, seed=i)
        expected = network.training_step(graph, weights, state, (x,), loss, y, optimizer, rate, share)
        weights, state = expected.weights, expected.state
        for value in (float((result.losses * theirs_share).mean()), keras_loss):
            assert abs(value - expected.loss) <= 1e-4 * max(1.0, expected.loss), (i, value, expected.loss)
    ours = step.weights()
    for node in graph.calls:
        if not node.weights:
            continue
        for weight, theirs in zip(node.weights, model.get_layer(node.name).get_weights()):
            name = f"{node.name}/{weight.name}"
            truth = weights[name]
            moved = float(np.abs(truth - start[name]).max())
            assert moved > 0.0, f"{name} has not moved"
            allowed = 4.0 * float(np.abs(theirs - truth).max()) + 2e-5 * moved
            allowed += steps * bounds.UNIT_ROUNDOFF * float(np.abs(truth).max())
            error = float(np.abs(ours[name] - truth).max())
            assert error <= allowed, f"{name}: {error:.2e} off after moving {moved:.2e}, allowed {allowed:.2e}"
            # Keras itself is near: the comparison is no comparison of two wrong runs.
            assert float(np.abs(theirs - truth).max()) <= 0.1 * moved + steps * bounds.UNIT_ROUNDOFF * 4.0

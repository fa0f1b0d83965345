"""Training steps of compiled models, of any number of outputs, beside those of real Keras and of the float64 reference."""

from typing import Any

import numpy as np

import depthwise
from depthwise.reference import bounds, network, optimizers
from depthwise.reference.losses import loss_gradient
from depthwise.training.outputs import TrainedOutput
from support.roundings import Way

__all__ = ["compare_models"]


def of_kit(kit: Any, loss: Any) -> Any:
    """`obj:Name` becomes the kit's own loss object."""
    if isinstance(loss, dict):
        return {name: of_kit(kit, item) for name, item in loss.items()}
    if isinstance(loss, list):
        return [of_kit(kit, item) for item in loss]
    return getattr(kit.losses, loss[4:])() if isinstance(loss, str) and loss.startswith("obj:") else loss


def _labels(rng: np.random.Generator, output: TrainedOutput, batch: int) -> np.ndarray:
    if output.sparse:
        return rng.integers(0, output.shape[-1], (batch, *output.shape[:-1])).astype(np.int32)
    if isinstance(output.loss, depthwise.losses.CategoricalCrossentropy):
        return np.eye(output.shape[-1], dtype=np.float32)[
            rng.integers(0, output.shape[-1], (batch, *output.shape[:-1]))
        ]
    return rng.random((batch, *output.shape)).astype(np.float32)


def _reference(
    graph: Any, outputs: Any, weights: Any, state: Any, x: Any, y: Any, share: Any, optimizer: Any
) -> tuple[Any, Any]:
    """One step in float64."""
    values = network.forward(graph, weights, x, True)
    start: dict[str, Any] = {}
    for name, output, labels, own in zip(graph.outputs, outputs, y, share):
        if output.loss is not None:
            gradient = output.weight * loss_gradient(output.loss, labels, values[name], own)
            start[name] = start.get(name, 0.0) + gradient
    found, _ = network.gradients_from(graph, weights, values, start)
    after, state = optimizers.step(optimizer, weights, found, state, float(optimizer.learning_rate))
    after.update(network.moving_statistics(graph, weights, values))
    return after, state


def next_of(values: Any) -> Any:
    """The one value."""
    (value,) = values
    return value


def compare_models(
    theirs: Any,
    ours: Any,
    rng: np.random.Generator,
    loss: Any,
    arguments: dict[str, Any],
    *,
    weighted: bool = False,
    batch: int = 6,
    steps: int = 10,
) -> None:
    """Steps of ours must be as near to the reference as those of Keras are, the logs and `evaluate` equal.

    Four times Keras' distance from the reference is allowed, as in `support.keras_steps`, beside what `support.roundings` says.

    Args:
        theirs, ours: the same network with the same weights, not compiled.
        loss, arguments: for `compile`; `obj:Name` in `loss` is the framework's loss object of that name.
        weighted: give every output sample weights.
    """
    import keras

    optimizer = depthwise.optimizers.SGD(0.05, momentum=0.9)
    theirs.compile(keras.optimizers.SGD(0.05, momentum=0.9), of_kit(keras, loss), run_eagerly=True, **arguments)
    ours.compile(optimizer, of_kit(depthwise, loss), **arguments)
    assert ours.output_names == theirs.output_names
    graph = ours.compiled.graph(ours)
    outputs = ours.compiled.outputs(graph)
    start = {name: value.astype(np.float64) for name, value in ours.weights_by_name.items()}
    weights: dict[str, Any] = dict(start)
    state: dict[str, Any] = {}
    way = Way(graph, batch, start)
    for _ in range(steps):
        x = [rng.standard_normal((batch, *shape)).astype(np.float32) for shape in graph.input_shapes]
        y = [_labels(rng, output, batch) for output in outputs]
        share: list[Any] = [None] * len(outputs)
        theirs_share: Any = None
        if weighted:
            share = [(0.5 + rng.random(batch)).astype(np.float32) for _ in outputs]
            # Keras broadcasts along the last axes: one weight a sample needs axes of length 1 there.
            theirs_share = [own.reshape(batch, *(1 for _ in output.shape[1:])) for own, output in zip(share, outputs)]
        keys = [output.name for output in outputs]
        as_dict = theirs.output_names != keys  # the model returns a dict
        pack: Any = (lambda values, keys=keys: dict(zip(keys, values))) if as_dict else list
        if len(keys) == 1 and not as_dict:  # Keras broadcasts the weights in a list of one otherwise
            pack = next_of
        given = x[0] if len(x) == 1 else x
        theirs.reset_metrics()
        expected = theirs.train_on_batch(
            given, pack(y), None if theirs_share is None else pack(theirs_share), return_dict=True
        )
        got = ours.train_on_batch(given, pack(y), pack(share) if weighted else None, return_dict=True)
        assert list(got) == list(expected)
        for name, value in expected.items():
            assert abs(got[name] - value) <= way.allowed_log(value), (name, got[name], value)
        weights, state = _reference(graph, outputs, weights, state, x, y, share, optimizer)
        way.step(weights)
    assert ours.metrics_names == theirs.metrics_names
    moved_any = False
    for (name, value), other in zip(ours.weights_by_name.items(), theirs.get_weights(), strict=True):
        truth = weights[name]
        moved = float(np.abs(truth - start[name]).max())
        moved_any |= moved > 0.0
        allowed = 4.0 * float(np.abs(other - truth).max()) + way.allowed(name)
        error = float(np.abs(value - truth).max())
        assert error <= allowed, f"{name}: {error:.2e} off after moving {moved:.2e}, allowed {allowed:.2e}"
        # Keras itself is near: the comparison is no comparison of two wrong runs.
        assert float(np.abs(other - truth).max()) <= 0.1 * moved + steps * bounds.UNIT_ROUNDOFF * 4.0
    assert moved_any
    evaluated = theirs.evaluate(given, pack(y), verbose=0)
    mine = ours.evaluate(given, pack(y), verbose=0)
    for own, theirs_value in zip(np.atleast_1d(mine), np.atleast_1d(evaluated), strict=True):
        assert abs(own - theirs_value) <= way.allowed_log(float(theirs_value))

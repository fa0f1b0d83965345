"""Losses given by a formula: native value and gradient, and the value in NumPy, against real Keras in float64."""

from typing import Any

import jax
import keras
import numpy as np
import numpy.typing as npt
import pytest

from depthwise import losses
from depthwise.compiler.kernels.loss import LossKernel
from depthwise.compiler.kernels.maps import MapView
from depthwise.losses import FormulaLoss, per_sample
from depthwise.reference.bounds import UNIT_ROUNDOFF as U
from depthwise.runtime.step_loss import loss_rule
from support.compiled import compile_kernels, empty, fenced
from support.maps import LANES, VECTORS, vector

Array = npt.NDArray[Any]
UNITS = (1, LANES - 1, LANES, 2 * LANES + 3)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "hinge": ("Hinge", {}),
    "squared hinge": ("SquaredHinge", {}),
    "categorical hinge": ("CategoricalHinge", {}),
    "huber": ("Huber", {}),
    "huber of 0.3": ("Huber", {"delta": 0.3}),
    "log cosh": ("LogCosh", {}),
    "percentage": ("MeanAbsolutePercentageError", {}),
    "logarithmic": ("MeanSquaredLogarithmicError", {}),
    "cosine": ("CosineSimilarity", {}),
    "divergence": ("KLDivergence", {}),
    "poisson": ("Poisson", {}),
    "focal": ("BinaryFocalCrossentropy", {}),
    "balanced focal": ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.0}),
    "focal of logits": ("BinaryFocalCrossentropy", {"from_logits": True, "gamma": 1.5}),
    "smoothed focal": ("BinaryFocalCrossentropy", {"label_smoothing": 0.2, "gamma": 3.0}),
    "categorical focal": ("CategoricalFocalCrossentropy", {}),
    "categorical focal of logits": ("CategoricalFocalCrossentropy", {"from_logits": True, "gamma": 2.5}),
    "smoothed categorical focal": ("CategoricalFocalCrossentropy", {"label_smoothing": 0.1, "alpha": 0.7}),
    "generalised": ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}),
    "dice": ("Dice", {"axis": -1}),
    "tversky": ("Tversky", {"axis": -1, "alpha": 0.3, "beta": 0.8}),
}


def data(rng: np.random.Generator, loss: FormulaLoss, units: int) -> tuple[Array, Array]:
    """A prediction and a target that the loss is made for."""
    z = rng.standard_normal(units) * 2.0
    kind = type(loss).__name__
    if getattr(loss, "from_logits", False) or "Hinge" in kind or kind in ("Huber", "LogCosh", "CosineSimilarity"):
        prediction = z
    elif loss.probabilities == "softmax":
        prediction = np.exp(z) / np.exp(z).sum()
    else:
        prediction = 0.02 + 0.96 / (1.0 + np.exp(-z))
    if loss.sparse:
        target: Array = np.array([rng.integers(units)], np.int32)
    elif loss.probabilities == "softmax" or kind == "CategoricalHinge":
        target = np.eye(units, dtype=np.float32)[rng.integers(units)]
    elif loss.probabilities == "sigmoid" or "Hinge" in kind:
        target = (rng.random(units) < 0.5).astype(np.float32)
        target[: units > 1] = 1.0 - target[-1]
    else:
        target = rng.uniform(0.1, 1.0, units).astype(np.float32)
    return prediction.astype(np.float32), target


def of_keras(case: str, prediction: Array, target: Array, dtype: str) -> tuple[float, Array]:
    """Value and gradient of Keras' own loss for one sample."""
    name, arguments = CASES[case]
    with jax.enable_x64(dtype == "float64"):
        loss = getattr(keras.losses, name)(**arguments, dtype=dtype)

        def value(p: Any) -> Any:
            return loss(target if name == "CategoricalGeneralizedCrossEntropy" else target[None], p[None])

        found, slope = jax.value_and_grad(value)(jax.numpy.asarray(prediction, dtype))
        return float(found), np.asarray(slope, np.float64)


@pytest.mark.parametrize("case", CASES)
def test_native_value_and_gradient(case: str) -> None:
    """As near to the truth as Keras is, four times its distance and the rounding of the sums allowed."""
    name, arguments = CASES[case]
    loss = getattr(losses, name)(**arguments)
    rng = np.random.default_rng(len(case))
    units = [count for count in UNITS if count > 1 or loss.probabilities != "softmax"]
    kernels = []
    for what in ("value", "gradient"):
        for count in units:
            rule, pitch = loss_rule(loss, (count,)), VECTORS.round_up(count)
            view = MapView(1, 1, count, pitch, pitch)
            views = (view, view) if what == "gradient" else (view,)
            kernels.append(LossKernel(what, rule.name, views, rule.smoothing, rule.sparse, rule.formula))
    compiled = compile_kernels(kernels)
    for i, count in enumerate(units):
        prediction, target = data(rng, loss, count)
        read = target if loss.sparse else loss.batch_targets(target)
        value, slope = empty(1), empty(VECTORS.round_up(count))
        compiled[i](vector(prediction), fenced(read), value)
        compiled[len(units) + i](vector(prediction), fenced(read), np.ones(1, np.float32), slope)
        truth, gradient = of_keras(case, prediction, target, "float64")
        theirs, their_gradient = of_keras(case, prediction, target, "float32")
        depth = count / LANES + LANES + 16.0
        allowed = 4.0 * abs(theirs - truth) + depth * U * max(1.0, abs(truth))
        assert abs(value[0] - truth) <= allowed, (count, value[0], truth)
        in_numpy = float(per_sample(loss, target if loss.sparse else target[None], prediction[None])[0])
        assert abs(in_numpy - truth) <= allowed + count * U * max(1.0, abs(truth)), (count, in_numpy, truth)
        allowed = 4.0 * np.abs(their_gradient - gradient).max() + depth * U * max(1.0 / count, np.abs(gradient).max())
        np.testing.assert_allclose(slope[:count], gradient, rtol=0, atol=allowed, err_msg=f"{case} of {count}")


EDGES: dict[str, tuple[list[float], list[float]]] = {
    "hinge": ([1.0, -1.0, 0.0, 30.0, -30.0], [1.0, -1.0, 1.0, 1.0, 1.0]),
    "squared hinge": ([1.0, -1.0, 0.0, 30.0, -30.0], [1.0, -1.0, 1.0, 1.0, 1.0]),
    "categorical hinge": ([0.5, 0.5, 0.5, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]),
    "huber": ([1.0, -1.0, 0.0, 0.5, 1e20], [0.0, 0.0, 0.0, 0.5, 0.0]),
    "log cosh": ([0.0, 40.0, -40.0, 1e-4, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]),
    "percentage": ([0.0, 1.0, 0.5, 0.5, -1.0], [0.0, 1.0, 0.0, 0.25, 1e-9]),
    "logarithmic": ([0.0, 1.0, -0.5, 1e-7, 30.0], [0.0, 1.0, 0.5, 0.0, 1.0]),
    "divergence": ([0.0, 1.0, 1e-8, 0.5, 1.0], [0.0, 1.0, 0.5, 0.0, 0.5]),
    "poisson": ([0.0, 1.0, 1e-8, 0.5, 30.0], [0.0, 1.0, 0.5, 0.0, 3.0]),
    "focal": ([0.0, 1.0, 0.0, 1.0, 0.5], [0.0, 1.0, 1.0, 0.0, 1.0]),
    "balanced focal": ([0.0, 1.0, 0.0, 1.0, 0.5], [0.0, 1.0, 1.0, 0.0, 1.0]),
    "focal of logits": ([40.0, -40.0, 0.0, 5.0, -5.0], [0.0, 1.0, 1.0, 1.0, 0.0]),
    "categorical focal": ([0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]),
    "categorical focal of logits": ([40.0, -40.0, 0.0, 5.0, -5.0], [0.0, 1.0, 0.0, 0.0, 0.0]),
    "dice": ([0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]),
    "tversky": ([1.0, 1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("case", EDGES)
def test_edges(case: str) -> None:
    """Zeros, ones, ties and saturated predictions: where a limit is met, the slope is what JAX takes for it."""
    name, arguments = CASES[case]
    loss = getattr(losses, name)(**arguments)
    prediction, target = (np.array(item, np.float32) for item in EDGES[case])
    rule, pitch = loss_rule(loss, (5,)), VECTORS.round_up(5)
    view = MapView(1, 1, 5, pitch, pitch)
    compiled = compile_kernels(
        [
            LossKernel("value", rule.name, (view,), rule.smoothing, False, rule.formula),
            LossKernel("gradient", rule.name, (view, view), rule.smoothing, False, rule.formula),
        ]
    )
    value, slope = empty(1), empty(pitch)
    read = loss.batch_targets(target)
    compiled[0](vector(prediction), fenced(read), value)
    compiled[1](vector(prediction), fenced(read), np.ones(1, np.float32), slope)
    theirs, gradient = of_keras(case, prediction, target, "float32")
    size = max(1.0, abs(theirs))
    assert abs(value[0] - theirs) <= 32.0 * U * size, (value[0], theirs)
    # 1 - (1 - 1e-7) has three digits in float32: what is divided by it is off by as much.
    loose = 2e-2 if "focal" in case else 64.0 * U
    np.testing.assert_allclose(
        slope[:5], gradient, rtol=loose, atol=32.0 * U * max(1.0, np.abs(gradient).max() * loose)
    )


def test_a_zero_vector_has_a_slope_that_is_a_number() -> None:
    """Keras' gradient of the cosine is NaN there, and the network with it."""
    loss = losses.CosineSimilarity()
    rule, pitch = loss_rule(loss, (3,)), VECTORS.round_up(3)
    view = MapView(1, 1, 3, pitch, pitch)
    kernel = LossKernel("gradient", rule.name, (view, view), 0.0, False, rule.formula)
    slope = empty(pitch)
    compile_kernels([kernel])[0](
        vector(np.zeros(3, np.float32)), fenced(np.ones(3, np.float32)), np.ones(1, np.float32), slope
    )
    assert np.isfinite(slope[:3]).all()
    assert (slope[:3] < 0.0).all()  # towards the target


@pytest.mark.parametrize("case", CASES)
def test_a_missing_prediction_makes_the_loss_missing(case: str) -> None:
    name, arguments = CASES[case]
    loss = getattr(losses, name)(**arguments)
    units = LANES + 1
    rule, pitch = loss_rule(loss, (units,)), VECTORS.round_up(units)
    kernel = LossKernel(
        "value", rule.name, (MapView(1, 1, units, pitch, pitch),), rule.smoothing, rule.sparse, rule.formula
    )
    (compiled,) = compile_kernels([kernel])
    prediction, target = data(np.random.default_rng(3), loss, units)
    place = int(target[0]) if loss.sparse else units - 1
    prediction[place] = np.nan
    value = empty(1)
    compiled(vector(prediction), fenced(target if loss.sparse else loss.batch_targets(target)), value)
    assert np.isnan(value[0])

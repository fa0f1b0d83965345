"""Losses and their gradients by themselves, against the reference: values, labels, smoothing, what is not finite."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depthwise.compiler.kernels.loss import LossKernel
from depthwise.compiler.kernels.maps import MapView
from depthwise.reference.bounds import UNIT_ROUNDOFF as U
from depthwise.reference.losses import Loss, loss_gradient, sample_losses
from support.compiled import compile_kernels, empty, fenced
from support.gates import error_gate
from support.maps import LANES, VECTORS, MapMemory, random_view, vector
from support.sizes import sizes_around

UNITS = (*sizes_around(LANES), 10, 100)
KINDS: dict[str, tuple[str, bool]] = {
    "categorical": ("CategoricalCrossentropy", False),
    "categorical_logits": ("CategoricalCrossentropy", True),
    "binary": ("BinaryCrossentropy", False),
    "binary_logits": ("BinaryCrossentropy", True),
    "squared": ("MeanSquaredError", False),
    "absolute": ("MeanAbsoluteError", False),
}
FUSED = {"categorical_logits": "categorical_fused", "binary_logits": "binary_fused"}


def _kernel(what: str, kind: str, units: int, smoothing: float, sparse: bool) -> LossKernel:
    """The loss of a vector."""
    pitch = VECTORS.round_up(units)
    view = MapView(1, 1, units, pitch, pitch)
    return LossKernel(what, kind, (view, view) if what == "gradient" else (view,), smoothing, sparse)


def _softmax(z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def _predictions(rng: np.random.Generator, kind: str, units: int) -> npt.NDArray[np.float32]:
    z = rng.standard_normal(units) * 2.0
    if kind == "categorical":
        z = _softmax(z)
    elif kind == "binary":
        z = 1.0 / (1.0 + np.exp(-z))
    return z.astype(np.float32)


def _target(rng: np.random.Generator, kind: str, units: int, sparse: bool) -> npt.NDArray[Any]:
    if sparse:
        return np.array([rng.integers(units)], np.int32)
    if kind.startswith("categorical"):
        return _softmax(rng.standard_normal(units)).astype(np.float32)
    if kind.startswith("binary"):
        return (rng.random(units) < 0.5).astype(np.float32)
    return rng.standard_normal(units).astype(np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients(kind: str, smoothing: float) -> None:
    if smoothing and kind in ("squared", "absolute"):
        pytest.skip("these losses take no label smoothing")
    rng = np.random.default_rng(len(kind))
    name, from_logits = KINDS[kind]
    sparse_too = (False, True) if kind.startswith("categorical") and not smoothing else (False,)
    cases = [(units, sparse) for units in UNITS for sparse in sparse_too]
    gradient_kind = FUSED.get(kind, kind) if kind == "categorical_logits" else kind
    kernels = compile_kernels(
        [_kernel("value", kind, units, smoothing, sparse) for units, sparse in cases]
        + [_kernel("gradient", gradient_kind, units, smoothing, sparse) for units, sparse in cases]
    )
    for i, (units, sparse) in enumerate(cases):
        p = _predictions(rng, kind, units)
        target = _target(rng, kind, units, sparse)
        loss = Loss("SparseCategoricalCrossentropy" if sparse else name, from_logits, smoothing)
        value = empty(1)
        kernels[i](vector(p), fenced(target), value)
        expected = sample_losses(loss, target[None], p[None])[0]
        # A logarithm (2 ulp) of an argument with two roundings, a product, and a sum by lanes.
        depth = units / LANES + LANES + 12.0
        size = max(1.0, float(np.abs(p).max())) * max(1.0, units if "categorical" not in kind else 1.0)
        error_gate(value[0], expected, depth * U * max(abs(expected), size), f"{kind} of {units}")
        weight = np.float32(0.37)
        source = _softmax(p.astype(np.float64)).astype(np.float32) if kind == "categorical_logits" else p
        out = empty(VECTORS.round_up(units))
        kernels[len(cases) + i](vector(source), fenced(target), np.array([weight]), out)
        slope = loss_gradient(loss, target[None], p[None], [weight])[0]
        scale = np.abs(slope).max() + (float(weight) if "categorical" in kind else float(weight) / units)
        # p itself is within u of the logits' softmax; dividing by p or 1 − p carries its inverse in.
        spread = 1.0 / np.minimum(p, 1.0 - p).min() if kind == "binary" else 1.0
        error_gate(out[:units], slope, depth * U * scale * max(1.0, spread), f"gradient of {kind} of {units}")


@pytest.mark.parametrize("units", UNITS)
def test_gradients_before_softmax_and_sigmoid(units: int) -> None:
    """p · Σt − t and (p − t) / n: what softmax and sigmoid leave of their losses' gradients."""
    rng = np.random.default_rng(units)
    kernels = compile_kernels([_kernel("gradient", kind, units, 0.0, False) for kind in FUSED.values()])
    for i, kind in enumerate(FUSED.values()):
        p = _predictions(rng, kind.removesuffix("_fused"), units)
        t = _target(rng, kind, units, False)
        out = empty(VECTORS.round_up(units))
        kernels[i](vector(p), fenced(t), np.array([0.5], np.float32), out)
        wide = t.astype(np.float64)
        expected = 0.5 * (p * wide.sum() - wide if kind == "categorical_fused" else (p - wide) / units)
        depth = units / LANES + LANES + 4.0
        error_gate(out[:units], expected, depth * U * (np.abs(p) * max(1.0, wide.sum()) + wide), kind)


def test_clipped_probabilities_have_no_slope() -> None:
    """Keras clips at 1e-7: past it the loss is flat."""
    kernels = compile_kernels([_kernel("value", "binary", 4, 0.0, False), _kernel("gradient", "binary", 4, 0.0, False)])
    p, t = np.array([0.0, 1.0, 1e-8, 0.5], np.float32), np.array([1.0, 0.0, 1.0, 1.0], np.float32)
    value, out = empty(1), empty(VECTORS.round_up(4))
    kernels[0](vector(p), fenced(t), value)
    kernels[1](vector(p), fenced(t), np.ones(1, np.float32), out)
    loss = Loss("BinaryCrossentropy")
    # 1 − 1e-7 has three digits of its distance to 1 in float32.
    error_gate(value[0], sample_losses(loss, t[None], p[None])[0], 0.3, "clipped loss")
    np.testing.assert_array_equal(out[:3], 0.0)
    assert out[3] == np.float32(-0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_prediction_makes_the_loss_missing(kind: str) -> None:
    """Clipping must not turn NaN into a number: training would go on with it."""
    for place in (0, LANES):
        units = LANES + 1
        kernels = compile_kernels([_kernel("value", kind, units, 0.0, False)])
        p = np.full(units, 0.1, np.float32)
        p[place] = np.nan
        value = empty(1)
        kernels[0](vector(p), fenced(np.full(units, 0.5, np.float32)), value)
        assert np.isnan(value[0])


@pytest.mark.parametrize("kind", [*KINDS, *FUSED.values()])
def test_a_map_is_its_pixels(kind: str) -> None:
    """Bit for bit, whatever gaps are between pixels and rows, and nothing is read or written past the map."""
    rng = np.random.default_rng(len(kind))
    has_value = kind in KINDS
    has_gradient = kind != "categorical_logits"
    for units in (1, 2, LANES - 1, LANES, LANES + 3):
        for rows, columns, exact in ((1, 7, False), (3, 1, False), (3, 4, False), (2, 3, True)):
            exact_view = MapView(rows, columns, units, columns * units, units)
            views = (
                exact_view if exact else random_view(rng, rows, columns, units),
                random_view(rng, rows, columns, units),
            )
            p = np.stack([_predictions(rng, kind.removesuffix("_fused"), units) for _ in range(rows * columns)])
            weights = (0.5 + rng.random(rows * columns)).astype(np.float32)
            source = MapMemory(views[0], p.reshape(rows, columns, units), exact=exact)
            for sparse in (False, True) if kind.startswith("categorical") else (False,):
                targets = [_target(rng, kind, units, sparse) for _ in range(rows * columns)]
                if has_value:
                    kernels = compile_kernels(
                        [LossKernel("value", kind, views[:1], 0.0, sparse), _kernel("value", kind, units, 0.0, sparse)]
                    )
                    whole, one = kernels[0], kernels[1]
                    values, value = empty(rows * columns), empty(1)
                    whole(source.memory, fenced(np.concatenate(targets)), values)
                    for i, target in enumerate(targets):
                        one(vector(p[i]), fenced(target), value)
                        assert values[i] == value[0], (units, rows, columns, i)
                if has_gradient:
                    kernels = compile_kernels(
                        [
                            LossKernel("gradient", kind, views, 0.0, sparse),
                            _kernel("gradient", kind, units, 0.0, sparse),
                        ]
                    )
                    whole, one = kernels[0], kernels[1]
                    out, slope = MapMemory(views[1]), empty(VECTORS.round_up(units))
                    whole(source.memory, fenced(np.concatenate(targets)), fenced(weights), out.memory)
                    out.assert_untouched_outside()
                    for i, target in enumerate(targets):
                        one(vector(p[i]), fenced(target), weights[i : i + 1], slope)
                        np.testing.assert_array_equal(out.map[divmod(i, columns)], slope[:units])

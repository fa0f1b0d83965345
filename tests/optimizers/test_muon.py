"""Muon's orthogonalised steps beside the reference, and which weights they move, beside real Keras."""

from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise import layers, losses, models, optimizers
from depthwise.reference import optimizers as reference
from depthwise.reference.bounds import UNIT_ROUNDOFF as U

SHAPES = [(1, 1), (1, 17), (17, 1), (16, 16), (17, 50), (50, 17), (100, 70)]
"""More rows than columns and fewer; whole vectors and not; more rows than one task takes."""

BATCH = 8


def norm(x: np.ndarray) -> float:
    return float(np.sqrt((x**2).sum()))


def error_of(optimizer: Any, x: np.ndarray) -> float:
    """The most that rounding can do to the orthogonalised matrix, in the Frobenius norm; x is exact but for two roundings.

    An error e of a matrix becomes at most L · e in an iteration, with L the largest slope of p(t) = a t + b t³ + c t⁵ up to the
    largest singular value: the iteration applies p to the singular values, and its derivative has divided differences of p
    as factors. To that come the errors of its three products and of what is added to them.
    """
    a, b, c = optimizer.muon_a, optimizer.muon_b, optimizer.muon_c
    x = x if x.shape[0] <= x.shape[1] else x.T
    rows, columns = x.shape
    # The norm is that of `size` squares, of which half of the relative error is its root's; a root, a sum, a quotient.
    error = (x.size / 2 + 5) * U
    x = x / (norm(x) + 1e-7)
    for _ in range(optimizer.ns_steps):
        largest = float(np.linalg.norm(x, 2)) * 1.01 + error
        t = np.linspace(0.0, largest, 10001)
        slope = float(np.abs(a + 3 * b * t**2 + 5 * c * t**4).max()) * 1.01
        square = x @ x.T
        polynomial = b * square + c * square @ square
        of_square = columns * U * norm(x) ** 2
        of_polynomial = (abs(b) + 2 * abs(c) * norm(square)) * of_square
        of_polynomial += (rows + 3) * U * (abs(b) * norm(square) + abs(c) * norm(square) ** 2)
        fresh = of_polynomial * largest + (rows + 2) * U * (abs(a) + norm(polynomial)) * norm(x)
        error = slope * error + fresh
        x = a * x + polynomial @ x
    return 1.01 * error  # what is left out are products of two errors


@pytest.mark.parametrize(
    "arguments",
    [{}, {"nesterov": False, "rms_rate": None, "ns_steps": 3, "muon_a": 2.0, "muon_b": -1.5, "muon_c": 0.5}],
    ids=str,
)
def test_a_step_of_every_shape_within_the_bound_of_its_rounding(arguments: dict[str, Any]) -> None:
    """Gradients are exact: inputs and the losses' gradients are small whole numbers. With the same bits for any threads."""
    rng = np.random.default_rng(5)
    given = losses.FunctionLoss(value=lambda y, p: 0.0 * p.sum(axis=-1), gradient=lambda y, p: y, reduction="sum")
    starts = [depthwise.Input((rows,)) for rows, _ in SHAPES]
    model = models.Model(starts, [layers.Dense(columns)(x) for x, (_, columns) in zip(starts, SHAPES)])
    x = [rng.integers(-3, 4, (BATCH, rows)).astype(np.float32) for rows, _ in SHAPES]
    y = [rng.integers(-3, 4, (BATCH, columns)).astype(np.float32) for _, columns in SHAPES]
    before, results = model.get_weights(), []
    threads = depthwise.get_threads()
    try:
        for count in (1, 3):
            depthwise.set_threads(count)
            model.set_weights(before)
            model.compile(optimizers.Muon(0.25, **arguments), [given] * len(SHAPES))
            model.train_on_batch(x, y)
            results.append(model.get_weights())
    finally:
        depthwise.set_threads(threads)
    assert all(np.array_equal(p, q) for p, q in zip(*results))
    rule = model.optimizer.description
    moved = 0
    for name, old, new in zip(model.weights_by_name, before, results[0]):
        if old.ndim != 2:
            continue
        number = SHAPES.index(old.shape)
        gradient = x[number].T.astype(np.float64) @ y[number]
        after, state = reference.step(rule, {name: old}, {name: gradient}, {}, 0.25)
        assert np.array_equal(model.optimizer.state[f"{name}/momentum"], gradient), "the first momentum is the gradient"
        assert f"{name}/velocity" not in {*state, *model.optimizer.state}
        factor = 0.25 * (1.0 if rule.rms_rate is None else rule.rms_rate * np.sqrt(max(old.shape)))
        step = norm(after[name] - old)
        allowed = factor * error_of(rule, gradient) + 4 * U * (step + norm(old))
        assert norm(new - after[name]) <= allowed, name
        assert allowed <= 0.1 * step, "the bound says something"
        moved += 1
    assert moved == len(SHAPES)


def test_matrices_are_chosen_by_shape_and_name_as_in_keras() -> None:
    names = ["first", "an_Embedding_of_mine", "second_head", "third"]
    rng = np.random.default_rng(6)
    x, y = (rng.standard_normal((8, n)).astype(np.float32) for n in (6, 2))
    for arguments in ({"exclude_layers": ["_head", "^nothing"]}, {"exclude_embeddings": False}, {}):
        kits = []
        for kit in (depthwise, keras):
            start = kit.Input((6,))
            out: Any = start
            for name in names[:-1]:
                out = kit.layers.Dense(5, name=name)(out)
            kits.append(kit.Model(start, kit.layers.Dense(2, name=names[-1])(out)))
        ours, theirs = kits
        theirs.set_weights(ours.get_weights())
        ours.compile(optimizers.Muon(0.01, **arguments), "mse")
        theirs.compile(keras.optimizers.Muon(0.01, **arguments), "mse", run_eagerly=True)
        for model in kits:
            model.train_on_batch(x, y)
        by_adam = {name for name in ours.weights_by_name if f"{name}/velocity" in ours.optimizer.state}
        assert by_adam == {
            v.path for v, slot in zip(theirs.weights, theirs.optimizer.adam_velocities) if slot is not None
        }
        assert len(ours.optimizer.variables) == len(theirs.optimizer.variables)
        for a, b in zip(ours.get_weights(), theirs.get_weights()):
            # A step of 0.01 · 0.2 · √6 at most, its errors 4⁵ times a dozen roundings.
            assert np.abs(a - b).max() <= 0.005 * 4**5 * 12 * U + 4 * U * np.abs(b).max()

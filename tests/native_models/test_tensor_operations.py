"""Operations on tensors of any rank, computed natively, beside NumPy: bits alike where numbers only move."""

import math
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import depthwise
from depthwise import layers
from depthwise.compiler.ir.expression import Operand, apply
from depthwise.compiler.ir.operations import Taps
from depthwise.errors import ShapeError, UnsupportedError
from depthwise.layers import tensors
from depthwise.layers.layer import Layer
from depthwise.models import Model
from depthwise.network.facts import merged
from depthwise.runtime.threads import set_threads

Array = npt.NDArray[Any]
X, Y, Z = Operand(0), Operand(1), Operand(2)


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def model_with(description: Any, *xs: Array, weights: tuple[Array, ...] = ()) -> Model:
    inputs = [depthwise.Input(shape=x.shape[1:]) for x in xs]
    layer = Layer.of(description)
    made = Model(inputs, inputs[0].connect(layer, inputs))
    if weights:
        layer.set_weights([array.reshape(own.shape) for array, own in zip(weights, layer.get_weights(), strict=True)])
    return made


def run(description: Any, *xs: Array, weights: tuple[Array, ...] = ()) -> Array:
    made = model_with(description, *xs, weights=weights)
    result: Array = made.predict(list(xs) if len(xs) > 1 else xs[0], verbose=0)
    return result


def test_axes_that_are_broadcast_alike_are_one() -> None:
    assert merged([(2, 3, 4), (2, 3, 4)]) == [(24,), (24,)]
    assert merged([(2, 3, 4, 5), (3, 1, 1)]) == [(2, 3, 20), (1, 3, 1)]
    assert merged([(1, 1), (1,)]) == [(1,), (1,)]
    assert merged([(2, 1, 4, 1), (1, 3, 1, 5)]) is None


@pytest.mark.parametrize(
    "shapes", [((3, 4, 5, 6), (4, 1, 1)), ((3, 1, 5, 1), (1, 4, 1, 6)), ((2, 3), (2, 3)), ((1,), (5,))]
)
def test_arithmetic_is_broadcast_along_any_axes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = (drawn(2, *(1,) * (max(map(len, shapes)) - len(shape)), *shape) for shape in shapes)
    np.testing.assert_array_equal(run(tensors.Arithmetic(expression=X * Y), a, b), a * b)
    whole = np.broadcast_shapes(*(array.shape[1:] for array in (a, b)))
    constant = drawn(*whole, seed=1)
    sums = run(tensors.Arithmetic(expression=X - Y + Z, constants=(whole,)), a, b, weights=(constant,))
    np.testing.assert_array_equal(sums, a - b + constant)


def test_layers_that_join_are_broadcast_along_any_axes_too() -> None:
    """Four axes of which two are repeated each are no map that a kernel sees."""
    a, b = drawn(2, 3, 1, 5, 1), drawn(2, 1, 4, 1, 6)
    np.testing.assert_array_equal(run(layers.Multiply()._given, a, b), a * b)


@pytest.mark.parametrize("axes", [(0,), (1,), (3,), (0, 2), (1, 3), (2, 3), (0, 1, 2, 3)])
@pytest.mark.parametrize("kind", ["add", "mean", "max", "min", "multiply"])
def test_a_reduction_along_any_axes(kind: str, axes: tuple[int, ...]) -> None:
    x = drawn(2, 3, 4, 2, 9)
    function: Any = {"add": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "multiply": np.prod}[kind]
    places = tuple(axis + 1 for axis in axes)
    wanted = function(x.astype(np.float64), axis=places, keepdims=True)
    found = run(tensors.Reduction(kind=kind, axes=axes), x)
    count = math.prod(x.shape[place] for place in places)
    if kind in ("max", "min"):
        np.testing.assert_array_equal(found, wanted)
    elif kind == "multiply":  # each product rounds once
        assert (np.abs(found - wanted) <= count * 2.0**-24 * np.abs(wanted) * 1.01 + 1e-37).all()
    else:
        terms = np.sum(np.abs(x), axis=places, keepdims=True) / (count if kind == "mean" else 1)
        assert (np.abs(found - wanted) <= (count + 1) * 2.0**-24 * terms).all()


def test_a_maximum_keeps_what_is_no_number() -> None:
    x = drawn(1, 3, 5)
    x[0, 1, 4] = np.nan
    for kind in ("max", "min"):
        for axes in ((1,), (0,), (0, 1)):
            found = run(tensors.Reduction(kind=kind, axes=axes), x)
            np.testing.assert_array_equal(
                np.isnan(found), np.isnan(x.max(axis=tuple(i + 1 for i in axes), keepdims=True))
            )


def test_strided_copies_and_weighted_cells_move_bits() -> None:
    x = drawn(2, 3, 4, 5, 6)
    part = tensors.StridedCopy(shape=(2, 2, 5, 3), start=(2, 1, 0, 0), steps=((0, -2), (1, 2), (2, 1), (3, 2)))
    np.testing.assert_array_equal(run(part, x), x[:, ::-2, 1::2, :, ::2])
    turned = tensors.StridedCopy(shape=(6, 2, 3), start=(0, 1, 2, 0), steps=((3, 1), (1, 0), (0, 1)))
    np.testing.assert_array_equal(run(turned, x), np.stack([x[:, :, 1, 2].transpose(0, 2, 1)] * 2, axis=2))
    cells = [0, 2, 2, 1]
    for axis in range(4):
        taps = Taps(x.shape[axis + 1], tuple(((cell, 1.0),) for cell in cells))
        np.testing.assert_array_equal(run(tensors.WeightedCells(axis=axis, taps=taps), x), np.take(x, cells, axis + 1))
        sides = [(0, 0)] * 5
        sides[axis + 1] = (2, 1)
        padded = run(tensors.ConstantPadding(axis=axis, sides=(2, 1), value=-7.0), x)
        np.testing.assert_array_equal(padded, np.pad(x, sides, constant_values=-7.0))


@pytest.mark.parametrize(
    "shapes", [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 4, 5), (3, 5, 7)), ((1, 4), (4, 1))]
)
def test_a_product_of_matrices(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = drawn(2, *shapes[0]), drawn(2, *shapes[1])
    wanted = np.stack([i.astype(np.float64) @ j for i, j in zip(a, b)])
    terms = np.stack([np.abs(i) @ np.abs(j) for i, j in zip(a, b)])
    assert (np.abs(run(tensors.MatrixProduct(), a, b) - wanted) <= (shapes[0][-1] + 1) * 2.0**-24 * terms).all()


@pytest.mark.parametrize("function", ["floor", "ceil", "trunc", "roundeven"])
def test_roundings_are_exact(function: str) -> None:
    halves, odd = np.linspace(-4.0, 4.0, 17), [np.inf, -np.inf, 1e9, -0.0]
    x = np.concatenate([drawn(64) * 3, halves, odd]).astype(np.float32)[None]
    wanted = {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "roundeven": np.rint}[function](x)
    np.testing.assert_array_equal(run(tensors.Arithmetic(expression=apply(function, X)), x), wanted)


def test_erf_is_within_a_few_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-6, 6, 4099), [0.0, np.inf, -np.inf, np.nan]]).astype(np.float32)[None]
    found = run(tensors.Arithmetic(expression=apply("erf", X)), x)[0]
    wanted = np.array([math.erf(value) for value in x[0].tolist()])
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    with np.errstate(invalid="ignore"):
        apart = np.abs(found - wanted) / np.spacing(np.maximum(np.abs(wanted), 2.0**-126).astype(np.float32))
    assert np.nanmax(apart) <= 4.0


def test_the_average_leaves_padding_out() -> None:
    x = drawn(2, 5, 6, 3)
    found = run(tensors.PaddedAverage(pool_size=(3, 2), strides=(2, 1), padding=(1, 1, 0, 1)), x)
    padded = np.pad(x, ((0, 0), (1, 1), (0, 1), (0, 0)), constant_values=np.nan)
    wanted = np.stack(
        [[np.nanmean(padded[:, r : r + 3, c : c + 2], axis=(1, 2)) for c in range(6)] for r in range(0, 5, 2)]
    ).transpose(2, 0, 1, 3)
    np.testing.assert_allclose(found, wanted, rtol=6 * 2.0**-23, atol=6 * 2.0**-24)


def test_results_do_not_depend_on_threads_or_batches() -> None:
    x = drawn(5, 6, 7, 4)
    made = model_with(tensors.Reduction(kind="max", axes=(0, 2)), x)
    whole = made.predict(x, verbose=0)
    set_threads(1)
    try:
        np.testing.assert_array_equal(made.predict(x, verbose=0), whole)
    finally:
        set_threads(2)
    np.testing.assert_array_equal(np.concatenate([made.predict(item[None], verbose=0) for item in x]), whole)


def test_a_gradient_that_does_not_pass_is_said() -> None:
    inputs = depthwise.Input(shape=(4, 3))
    hidden = layers.Dense(3)(inputs)
    copy = Layer.of(tensors.StridedCopy(shape=(2, 3), start=(0, 0), steps=((0, 2), (1, 1)), name="every_second"))
    made = Model(inputs, layers.Flatten()(hidden.connect(copy, [hidden])))
    made.compile("sgd", "mse")
    with pytest.raises(UnsupportedError, match="every_second: gradients do not pass through a strided copy"):
        made.fit(drawn(4, 4, 3), drawn(4, 6), verbose=0)


def test_operations_are_copied_and_pickled_with_their_model() -> None:
    x = drawn(2, 3, 4)
    made = model_with(tensors.Arithmetic(expression=X * Y, constants=((4,),)), x, weights=(drawn(4, seed=3),))
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.predict(x, verbose=0), made.predict(x, verbose=0))


def test_matrices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"matrices of the shapes .* cannot be multiplied"):
        run(tensors.MatrixProduct(), drawn(1, 3, 4), drawn(1, 5, 6))

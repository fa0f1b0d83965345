"""Operations that no Keras layer is, as files of other frameworks have them: read from a file, they are written again."""

from itertools import product as every
from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise import layers
from depthwise.compiler.arithmetic import OF_FILES
from depthwise.compiler.ir.expression import Operand, apply
from depthwise.layers.descriptions import Description
from depthwise.layers.layer import Layer
from depthwise.layers.tensors import MatrixProduct, Reduction, StridedCopy
from depthwise.models import Model
from support.made_up_layers import layer_of
from support.onnx_runs import operators, run_onnx, written

COPIES = [
    StridedCopy(shape=(2, 3), start=(1, 0), steps=((0, 2), (1, 1))),
    StridedCopy(shape=(4, 5), start=(3, 4), steps=((0, -1), (1, -1))),
    StridedCopy(shape=(5, 4), start=(0, 0), steps=((1, 1), (0, 1))),
    StridedCopy(shape=(3, 4, 5), start=(0, 0), steps=((0, 0), (0, 1), (1, 1))),
    StridedCopy(shape=(2, 3, 2, 2), start=(1, 0), steps=((0, 1), (1, 1), (0, 1), (1, 1))),
    StridedCopy(shape=(6,), start=(2, 1), steps=((1, 0),)),
    StridedCopy(shape=(3, 2), start=(3, 4), steps=((0, -1), (1, -4))),
]


def copied(x: Any, layer: StridedCopy) -> Any:
    """The copy by its definition, number by number."""
    result: Any = np.empty((len(x), *layer.shape), np.float32)
    for place in every(*map(range, layer.shape)):
        read = list(layer.start)
        for index, (axis, step) in zip(place, layer.steps):
            read[axis] += index * step
        result[(slice(None), *place)] = x[(slice(None), *read)]
    return result


def connected(layer: Description, *tensors: Any) -> Any:
    return Layer.of(layer)(list(tensors) if len(tensors) > 1 else tensors[0])


def test_strided_copies() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 5)).astype(np.float32)
    start = depthwise.Input((4, 5))
    turned = layers.Permute((2, 1))(layers.Permute((2, 1))(start))
    model = Model(start, [connected(layer, turned) for layer in COPIES])
    for layer, y in zip(COPIES, run_onnx(written(model.graph, {}), [x]), strict=True):
        np.testing.assert_array_equal(y, copied(x, layer), str(layer))


@pytest.mark.parametrize("opset", [13, 18])
def test_reductions(opset: int) -> None:
    x = np.random.default_rng(0).integers(1, 4, (2, 3, 2, 3)).astype(np.float32)
    start = depthwise.Input((3, 2, 3))
    rules: dict[str, Any] = {"add": np.sum, "max": np.max, "min": np.min, "multiply": np.prod}
    cases = [(kind, axes) for kind in rules for axes in ((0,), (1, 2), (0, 2), (0, 1, 2))]
    model = Model(start, [connected(Reduction(kind=kind, axes=axes), start) for kind, axes in cases])
    for (kind, axes), y in zip(cases, run_onnx(written(model.graph, {}, opset), [x]), strict=True):
        wanted = rules[kind](x, axis=tuple(axis + 1 for axis in axes), keepdims=True)
        np.testing.assert_array_equal(y, wanted, f"{kind} along {axes}")


def test_matrix_products() -> None:
    """Where no axis is in front of the matrices, a MatMul node and no products of single numbers."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-3, 4, (2, *shape)).astype(np.float32) for shape in ((3, 4), (4, 5)))
    first, second = depthwise.Input((3, 4)), depthwise.Input((4, 5))
    model = Model([first, second], connected(MatrixProduct(), first, second))
    proto = written(model.graph, {})
    assert operators(proto) == ["MatMul"]
    np.testing.assert_array_equal(run_onnx(proto, [a, b])[0], a @ b)
    wide = Model([first, second], layers.Dot((2, 1))([first, second]))
    assert operators(written(wide.graph, {})) == ["MatMul"]
    third, fourth = depthwise.Input((2, 3, 4)), depthwise.Input((2, 4, 5))
    stacked = Model([third, fourth], connected(MatrixProduct(), third, fourth))
    a, b = (rng.integers(-3, 4, (2, *shape)).astype(np.float32) for shape in ((2, 3, 4), (2, 4, 5)))
    np.testing.assert_array_equal(run_onnx(written(stacked.graph, {}), [a, b])[0], a @ b)


def test_functions_of_files() -> None:
    x = np.array([[-2.5, -1.5, -0.4, 0.0, 0.5, 1.5, 2.5, 3.7, np.nan, np.inf]], np.float32)
    start = depthwise.Input((10,))
    y = Operand(0)
    made = {name: layer_of(apply(name, y)) for name in OF_FILES if not name.startswith("where")}
    made |= {name: layer_of(apply(name, y, 0.5, 1.0, 2.0)) for name in OF_FILES if name.startswith("where")}
    model = Model(start, [connected(layer, start) for layer in made.values()])
    found = dict(zip(made, run_onnx(written(model.graph, {}), [x]), strict=True))
    rules: dict[str, Any] = {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc, "roundeven": np.round}
    for name, rule in rules.items():
        np.testing.assert_array_equal(found[name], rule(x), name)
    np.testing.assert_array_equal(found["where_oeq"], np.where(x == 0.5, 1.0, 2.0))
    np.testing.assert_array_equal(found["where_uno"], np.where(np.isnan(x), 1.0, 2.0))

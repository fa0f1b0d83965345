"""The arithmetic of layouts against NumPy, and that every operation and every function can be written."""

from math import prod
from typing import Any

import numpy as np
import pytest

from depthwise.compiler import functions
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.program import GradientOperation, Operation
from depthwise.data.formats.onnx.writing.layout import Layout, permutation, transposed, view
from depthwise.data.formats.onnx.writing.rules import RULES
from depthwise.explain.expressions import evaluate, exact
from depthwise.layers import Input, descriptions
from depthwise.layers.layer import Layer
from depthwise.models import Model
from depthwise.network.graph import sequential
from depthwise.reference import bounds
from support.gates import error_gate
from support.made_up_layers import function_of_input, layer_of
from support.onnx_runs import operators, run_onnx, written


def tensor_of(value: Any, layout: Layout) -> Any:
    """What a tensor of this layout holds."""
    return value.reshape(layout.sizes or (1,)).transpose(layout.order or (0,)).reshape(layout.shape)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    moved = seen = turned = 0
    for _ in range(3000):
        shape, other = (tuple(int(size) for size in rng.choice([1, 2, 3, 4, 6], rng.integers(1, 5))) for _ in range(2))
        if rng.random() < 0.7 or prod(other) != prod(shape):
            other = tuple(int(size) for size in rng.permutation(shape))
        value = np.arange(prod(shape))
        order, wanted = rng.permutation(len(shape)).tolist(), rng.permutation(len(other)).tolist()
        source, target = Layout.of_axes(shape, order), Layout.of_axes(other, wanted)
        tensor = tensor_of(value, source)
        np.testing.assert_array_equal(tensor, value.reshape(shape).transpose(order))
        if source.lies_like(target):
            np.testing.assert_array_equal(tensor.ravel(), tensor_of(value, target).ravel())
        elif (found := permutation(source, target)) is not None:
            between = tensor.reshape(found[0]).transpose(found[1])
            np.testing.assert_array_equal(between.reshape(target.shape), tensor_of(value, target))
            moved += 1
        if (found_view := view(source, other)) is not None:
            np.testing.assert_array_equal(
                tensor.reshape(found_view.layout.shape), value.reshape(other).transpose(found_view.order)
            )
            seen += 1
        if (layout := transposed(source, other, wanted)) is not None:
            np.testing.assert_array_equal(tensor_of(value.reshape(other).transpose(wanted).ravel(), layout), tensor)
            turned += 1
        assert view(source, shape) is not None
    assert min(moved, seen, turned) > 500


OTHERS = {
    op.ConvolveDepthwiseTransposed, op.Dropout, op.ElementwiseSum, op.HandOver, op.LossGradient, op.LossValue, op.NormaliseBatch,
    op.Warp, op.ElementwiseRuns,
}  # fmt: skip
"""Those of training alone, and the one that a pass makes."""


def test_every_operation_of_a_prediction_has_a_rule() -> None:
    exported = {getattr(op, name) for name in op.__all__ if isinstance(getattr(op, name), type)}
    kinds = {item for item in exported if issubclass(item, Operation)}
    wanted = {item for item in kinds if not issubclass(item, (GradientOperation, op.Accumulate))}
    assert wanted - OTHERS == set(RULES)


NAMES = [name for name in functions.FUNCTIONS if name != "gelu_slope"]


@pytest.mark.parametrize("opset", [13, 22])
def test_every_function(opset: int) -> None:
    x = np.random.default_rng(1).standard_normal((3, 200)).astype(np.float32) * 3.0
    x[0, :5] = (-0.5, 0.0, 0.5, 6.0, -3.0)
    start = Input((200,))
    expressions = {name: function_of_input(name) for name in NAMES}
    model = Model(start, [Layer.of(layer_of(expression))(start) for expression in expressions.values()])
    found = run_onnx(written(model.graph, {}, opset), [x])
    for (name, expression), y in zip(expressions.items(), found, strict=True):
        wanted = evaluate(expression, [exact(x)])
        # ONNX Runtime computes by formulas that may cancel: values of at most 2 · (1 + |x|), or e to that, eight steps within an ulp.
        size = np.maximum(np.abs(wanted.value), 1.0 + np.abs(x))
        error_gate(y, wanted.value, wanted.error + 16.0 * bounds.UNIT_ROUNDOFF * size, name)


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (descriptions.UpSampling2D((2, 3)), ["Resize"]),
        (descriptions.UpSampling2D(2, interpolation="bilinear"), ["Resize"]),
        (descriptions.Resizing(9, 8, "bicubic"), ["Resize"]),
        (descriptions.Resizing(4, 9), ["Resize"]),
        (descriptions.Resizing(4, 9, "nearest"), ["Gather", "Gather"]),
        (descriptions.Resizing(4, 3, "bicubic", antialias=True), ["MatMul", "MatMul"]),
        (descriptions.Resizing(7, 5), []),
    ],
)
def test_maps_of_another_size(layer: Any, wanted: list[str]) -> None:
    graph = sequential([descriptions.InputLayer(shape=(7, 5, 1)), layer, descriptions.GlobalMaxPooling2D()])
    found = operators(written(graph, {}))
    assert [name for name in found if name not in ("Reshape", "Flatten", "GlobalMaxPool", "Identity")] == wanted

"""What ONNX Runtime makes of the files that we write."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from depthwise.data.formats.onnx.writing.file import DEFAULT_OPSET, make_onnx
from depthwise.data.formats.saved import SavedNetwork
from depthwise.layers.descriptions import ELU, CenterCrop, Resizing, UpSampling2D
from depthwise.network.graph import Graph
from depthwise.network.tree import tree_of
from depthwise.reference import bounds, network
from depthwise.reference import layer as one_layer
from support.branches import graph_weights, side_by_side
from support.gates import error_gate
from support.sizes import Configuration, draw_inputs

__all__ = ["Array", "check_in_onnx_runtime", "operators", "run_onnx", "written"]

Array = npt.NDArray[np.float32]


def written(
    graph: Graph, weights: Mapping[str, Array], opset: int = DEFAULT_OPSET, channels_first: bool = False
) -> onnx.ModelProto:
    """The graph as a model that the checker and strict shape inference accept, and whose shapes are those that inference finds."""
    model: onnx.ModelProto = make_onnx(SavedNetwork(tree_of(graph), weights), opset, channels_first)
    onnx.checker.check_model(model, full_check=True)
    assert all(len(node.output) == 1 and node.name for node in model.graph.node)
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)
    _check_shapes(model)
    return model


def _check_shapes(model: onnx.ModelProto) -> None:
    """The types that the file says are those that the package onnx infers without them."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    said = {item.name: item.type for item in model.graph.value_info}
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)
    found = {item.name: item.type for item in inferred.graph.value_info}
    assert said.keys() == found.keys()
    for name, type_ in said.items():
        assert type_.tensor_type.elem_type == found[name].tensor_type.elem_type, name
        ours, theirs = (
            [size.dim_value or size.dim_param for size in item.tensor_type.shape.dim] for item in (type_, found[name])
        )
        # What inference cannot know, it gives names of its own.
        assert len(ours) == len(theirs), name
        assert all(a == b or (isinstance(b, str) and b != "batch") for a, b in zip(ours, theirs)), (name, ours, theirs)


def operators(model: onnx.ModelProto) -> list[str]:
    """The operators of the nodes, in order."""
    return [node.op_type for node in model.graph.node]


def run_onnx(model: onnx.ModelProto, inputs: Sequence[Array], optimised: bool = True) -> list[Array]:
    """The results of ONNX Runtime, on one thread."""
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    results: list[Array] = session.run(None, dict(zip(names, inputs, strict=True)))
    return results


PIECEWISE = {"relu", "relu6", "leaky_relu", "linear", "hard_tanh", "hard_shrink", "soft_shrink"}
"""Activations of which every result is computed exactly or with one rounding."""


def _roundings(layer: Any, weights: Mapping[str, Any], inputs: Sequence[Array]) -> Any:
    """What ONNX Runtime may lose in addition: it computes activations by their formulas, without care where these cancel.

    eˣ − 1, x + √(x² + 4) and their like go through values of at most 2 · (1 + |x|), in at most eight steps within an ulp each.
    """
    if isinstance(layer, (CenterCrop, Resizing, UpSampling2D)):
        # Where a cell lies is computed in float32, in three steps; along each axis a weight changes by at most twice as much.
        (x,) = inputs
        place = 3.0 * bounds.UNIT_ROUNDOFF * max(*x.shape[1:3], *one_layer.forward(layer, weights, inputs).shape[1:3])
        return 2.0 * 4.0 * 2.0 * place * np.abs(x).max()
    if isinstance(layer, ELU):
        return 8.0 * abs(layer.alpha) * bounds.UNIT_ROUNDOFF
    name = one_layer.activation_name(layer)
    if name in PIECEWISE or name == "softmax":
        return 0.0
    before = np.abs(one_layer.pre_activation(layer, weights, inputs))
    steepest: Any = np.exp(before) if name == "exponential" else max(bounds.LIPSCHITZ[name], 1.0)
    return np.asarray(16.0 * bounds.UNIT_ROUNDOFF * steepest * (1.0 + before))


def check_in_onnx_runtime(configurations: Sequence[Configuration], opset: int = DEFAULT_OPSET, batch: int = 2) -> None:
    """Layers side by side in one file: each result is within the bound of the layer that float32 computes in any order."""
    rng = np.random.default_rng(len(configurations))
    graph = side_by_side(configurations)
    weights = graph_weights(rng, graph)
    inputs = draw_inputs(rng, [shape for item in configurations for shape in item.input_shapes], batch)
    outputs = run_onnx(written(graph, weights, opset), inputs)
    remaining = list(inputs)
    for (layer, shapes), name, y in zip(configurations, graph.outputs, outputs, strict=True):
        xs, remaining = remaining[: len(shapes)], remaining[len(shapes) :]
        own = network.weights_of(graph.by_name[name], weights)
        allowed = bounds.layer_error(layer, own, xs) + _roundings(layer, own, xs)
        error_gate(y, one_layer.forward(layer, own, xs), allowed, f"{layer} on {shapes}")

"""Small ONNX files, written node by node, and what ONNX Runtime makes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from depthwise.data.formats.onnx.reading.opening import OnnxNetwork, read_onnx
from depthwise.data.formats.onnx.reading.proto import parse
from depthwise.models import Model, model_of

__all__ = ["TOLERANCE", "Array", "Draft", "check", "network_of", "runtime"]

Array = npt.NDArray[Any]
TOLERANCE = 2e-6
"""Sums of at most a few hundred products of numbers near 1."""


class Draft:
    """A graph as it is written: nodes by operator, weights by their values."""

    def __init__(self, *shape: int | str, seed: int = 0) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.shape, self.rng = shape, np.random.default_rng(seed)

    def node(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        names = [item if isinstance(item, str) else self.weight(item) for item in inputs]
        results = [f"{operator.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(operator, names, results, name=f"{operator}_{len(self.nodes)}", **attributes)
        )
        return results[0] if outputs == 1 else results

    def weight(self, values: Any) -> str:
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        self.weights.append(numpy_helper.from_array(array, f"w{len(self.weights)}"))
        return f"w{len(self.weights) - 1}"

    def drawn(self, *shape: int) -> Array:
        return np.asarray(self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1), np.float32)

    def conv(self, x: str, filters: int, channels: int, size: int = 3, **attributes: Any) -> str:
        kernel, bias = self.drawn(filters, channels, size, size), self.drawn(filters)
        result: str = self.node("Conv", x, kernel, bias, **attributes)
        return result

    def model(self, *outputs: str, opset: int = 17) -> Any:
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(self.shape))]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "draft", inputs, ends, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def network_of(model: Any, **options: Any) -> OnnxNetwork:
    return read_onnx(parse(model, "the draft"), **options)


def runtime(model: Any, x: Array) -> list[Array]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(item) for item in session.run(None, {"x": x})]


def check(model: Any, shape: Sequence[int], transposes: int | None = None) -> Model:
    """What ONNX Runtime computes, for each sample of a batch too; how many transposes there are."""
    network = network_of(model)
    made = model_of(network.saved)
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    found = made.predict(x if network.is_batched else x[None], verbose=0)
    found = found if isinstance(found, list) else [found]
    for mine, other in zip(found, runtime(model, x), strict=True):
        mine = mine if network.is_batched else mine[0]
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=TOLERANCE)
    if transposes is not None:
        assert len(network.transposes) == transposes, network.transposes
    return made

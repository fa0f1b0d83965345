"""ONNX files, written node by node: channels first, weights as initializers, a fixed batch.

Exporters leave transpositions and dynamic shapes behind; this is the graph that the runtimes optimise best.
With one input channel the change from `(n, h, w, 1)` to `(n, 1, h, w)` is free.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.models import Array, Network, walk

OPSET = 17
ACTIVATIONS = {"relu": "Relu", "selu": "Selu", "softmax": "Softmax"}


class _Graph:
    """Nodes and initializers under construction; `here` is the name of the newest tensor."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.here = "images"

    def constant(self, values: Array) -> str:
        name = f"weight_{len(self.initializers)}"
        array = np.ascontiguousarray(values)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operation: str, *constants: Array, **attributes: object) -> None:
        output = f"{operation.lower()}_{len(self.nodes)}"
        inputs = [self.here, *(self.constant(values) for values in constants)]
        self.nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        self.here = output


def write(network: Network, weights: list[Array], batch: int, folder: Path) -> None:
    """Write the network for this batch as `folder/model.onnx`, input `images` (n, c, h, w)."""
    graph = _Graph()
    position = 0
    channels_first: tuple[int, ...] = ()
    for step, shape, shapes in walk(network):
        own = dict(zip(shapes, weights[position : position + len(shapes)], strict=True))
        position += len(shapes)
        if step.layer == "Conv2D":
            kernel, before = own["kernel"].transpose(3, 2, 0, 1), _pads(step["padding"])
            graph.add("Conv", kernel, own["bias"], pads=before)
        elif step.layer == "SeparableConv2D":
            depthwise = own["depthwise_kernel"].transpose(2, 3, 0, 1)
            graph.add("Conv", depthwise, pads=_pads(step["padding"]), group=shape[-1])
            graph.add("Conv", own["pointwise_kernel"].transpose(3, 2, 0, 1), own["bias"])
        elif step.layer == "MaxPooling2D":
            size = [step["pool_size"]] * 2
            graph.add("MaxPool", kernel_shape=size, strides=size)
        elif step.layer == "Flatten":
            channels_first = shape
            graph.add("Flatten")
        elif step.layer == "Dense":
            kernel = own["kernel"]
            if channels_first:  # the rows of the first Dense follow the order of the flattened map
                height, width, depth = channels_first
                kernel = kernel.reshape(height, width, depth, -1).transpose(2, 0, 1, 3)
                kernel = kernel.reshape(height * width * depth, -1)
                channels_first = ()
            graph.add("Gemm", kernel, own["bias"])
        else:
            raise ValueError(f"No ONNX form is written down for the layer {step.layer!r}.")
        if "activation" in step.arguments and step["activation"] != "linear":
            graph.add(ACTIVATIONS[step["activation"]])

    height, width, depth = network.input_shape
    shape_in, shape_out = (batch, depth, height, width), (batch, network.classes)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.name,
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape_in)],
            [helper.make_tensor_value_info(graph.here, TensorProto.FLOAT, shape_out)],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # that of opset 17: the newest that every listed runtime reads
    )
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))


def convert(path: Path, batch: int, folder: Path) -> None:
    """Write the network of a `.keras` file for this batch as `folder/model.onnx`, channels first, by Depthwise's own writer."""
    import depthwise
    from depthwise.data.formats.onnx.writing.file import make_onnx

    model = make_onnx(depthwise.load_model(path, compile=False).saved(), OPSET, channels_first_borders=True)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]  # they speak of any batch
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))


def _pads(padding: str) -> list[int]:
    return [1, 1, 1, 1] if padding == "same" else [0, 0, 0, 0]

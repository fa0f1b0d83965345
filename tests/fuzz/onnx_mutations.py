"""Changes to ONNX files that leave them messages: operators, names, attributes, shapes and numbers of other nodes or of no node's."""

import random
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto

from .mutations import NUMBERS, change_bytes

__all__ = ["change_onnx"]

FLOATS = (0.0, -0.0, 0.5, -1.0, 1e-30, 1e30, 3.4e38, float("inf"), float("nan"))
TEXTS = (b"", b"x", b"constant", b"edge", b"wrap", b"linear", b"cubic", b"SAME_UPPER", b"align_corners", b"tf_crop_and_resize", b"tanh", b"\xff\xfe", b"\x1b[31m")  # fmt: skip
OPERATORS = (
    "Add", "ArgMax", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Div", "Expand", "Flatten", "Gather",
    "Gelu", "Gemm", "If", "InstanceNormalization", "LayerNormalization", "MatMul", "MaxPool", "Mul", "Pad", "Pow", "Range", "ReduceMean",
    "Reshape", "Resize", "Shape", "Slice", "Softmax", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "Where",
)  # fmt: skip
LARGE = 2**62


def _number(rng: random.Random, usual: int) -> int:
    number = rng.choice((rng.choice(NUMBERS), usual + rng.choice((-1, 1)), -usual, rng.randrange(-3, 9)))
    return max(-LARGE, min(LARGE, number))


def _change_attribute(item: Any, rng: random.Random) -> None:
    if item.type == AttributeProto.INT:
        item.i = _number(rng, item.i)
    elif item.type == AttributeProto.INTS and item.ints:
        kind, place = rng.randrange(3), rng.randrange(len(item.ints))
        if kind == 0:
            del item.ints[place]
        elif kind == 1:
            item.ints.append(_number(rng, 1))
        else:
            item.ints[place] = _number(rng, item.ints[place])
    elif item.type == AttributeProto.FLOAT:
        item.f = rng.choice(FLOATS)
    elif item.type == AttributeProto.STRING:
        item.s = rng.choice(TEXTS)
    else:
        item.name = rng.choice(("axis", "axes", "pads", "value", "mode", "group"))


def _change_tensor(item: Any, rng: random.Random) -> None:
    kind = rng.randrange(4)
    if kind == 0 and item.dims:
        place = rng.randrange(len(item.dims))
        item.dims[place] = _number(rng, item.dims[place])
    elif kind == 1:
        item.data_type = rng.choice((0, 1, 6, 7, 9, 10, 11, 16, 99))
    elif kind == 2 and item.data_type == TensorProto.INT64 and item.int64_data:
        place = rng.randrange(len(item.int64_data))
        item.int64_data[place] = _number(rng, item.int64_data[place])
    elif item.float_data:
        item.float_data[rng.randrange(len(item.float_data))] = rng.choice(FLOATS)
    else:
        item.raw_data = change_bytes(item.raw_data, rng)


def _change_node(graph: Any, rng: random.Random) -> None:
    index = rng.randrange(len(graph.node))
    node, kind = graph.node[index], rng.randrange(8)
    names = [name for other in graph.node for name in (*other.input, *other.output)] + [
        item.name for item in graph.initializer
    ]
    if kind == 0:
        node.op_type = rng.choice((*OPERATORS, *(other.op_type for other in graph.node)))
    elif kind == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice((*names, "", "nobody"))
    elif kind == 2:
        node.input.append(rng.choice((*names, "")))
    elif kind == 3 and node.input:
        del node.input[-1]
    elif kind == 4:
        node.output.append(f"more{index}")
    elif kind == 5:
        graph.node.append(node)
    elif kind == 6 and len(graph.node) > 1:
        del graph.node[index]
    elif node.attribute:
        place = rng.randrange(len(node.attribute))
        if rng.randrange(6) == 0:
            del node.attribute[place]
        else:
            _change_attribute(node.attribute[place], rng)


def _change_graph(model: Any, rng: random.Random) -> None:
    graph = model.graph
    for _ in range(rng.randrange(1, 3)):
        kind = rng.randrange(8)
        if kind == 0 and graph.initializer:
            _change_tensor(rng.choice(graph.initializer), rng)
        elif kind == 1 and graph.input:
            sizes = rng.choice(graph.input).type.tensor_type.shape.dim
            if sizes:
                size = rng.choice(sizes)
                size.dim_value = _number(rng, size.dim_value)
        elif kind == 2:
            for item in model.opset_import:
                item.version = rng.choice((6, 7, 9, 11, 13, 18, 21, 23))
        elif graph.node:
            _change_node(graph, rng)


def change_onnx(data: bytes, rng: random.Random) -> bytes:
    """One or two changes to the nodes, weights, ends and the operator set; every eighth time to the bytes."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # of the protobuf in use
        return change_bytes(data, rng)
    graph = model.graph
    if rng.randrange(8) == 0 or not graph.node:
        return change_bytes(data, rng)
    try:
        _change_graph(model, rng)
    except (
        UnicodeDecodeError
    ):  # a name of bytes that were changed before: some versions of protobuf decode it only when it is read
        return change_bytes(data, rng)
    changed: bytes = model.SerializeToString()
    return changed

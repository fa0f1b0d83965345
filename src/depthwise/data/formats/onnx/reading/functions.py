"""Operators that ONNX defines by others: their nodes, for those that have no rule; and the branch of an If that is taken."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from depthwise.data.formats.onnx.package import require_onnx
from depthwise.data.formats.onnx.reading.network import Constant, Network, Value
from depthwise.data.formats.onnx.reading.proto import Node, attributes_of

__all__ = ["branch_nodes", "check_ends", "function_nodes"]

_ELEMENTS = {"float": 1, "bool": 9, "int": 7}


@lru_cache(maxsize=1024)
def _ends_allowed(operator: str, opset: int) -> tuple[int, int, int] | None:
    """The fewest and the most inputs and the most outputs of an operator; None where ONNX has none of that name."""
    onnx = require_onnx()
    try:
        schema = onnx.defs.get_schema(operator, opset)
    except onnx.defs.SchemaError:
        return None
    return schema.min_input, schema.max_input, schema.max_output


def check_ends(node: Node, opset: int) -> None:
    """ValueError where a node has more or fewer inputs, or more outputs, than its operator."""
    allowed = _ends_allowed(node.operator, opset)
    if allowed is None:
        return
    fewest, most, outputs = allowed
    given = max((i + 1 for i, name in enumerate(node.inputs) if name), default=0)
    # What later operator sets have as inputs, some files keep as attributes.
    if given > most or (len(node.inputs) < fewest and not node.attributes):
        raise ValueError(f"it has {len(node.inputs)} inputs; the operator has {fewest} to {most}")
    written = max((i + 1 for i, name in enumerate(node.outputs) if name), default=0)
    if written > outputs:
        raise ValueError(f"it has {len(node.outputs)} outputs; the operator has {outputs} at most")


def function_nodes(
    node: Node, inputs: Sequence[Value | None], network: Network, opset: int, what: str
) -> tuple[list[Node], int] | None:
    """The nodes that an operator stands for, and their operator set; None where ONNX does not define it by others."""
    onnx = require_onnx()
    try:
        schema = onnx.defs.get_schema(node.operator, opset)
    except onnx.defs.SchemaError:
        return None
    versions = [version for version in schema.function_opset_versions if version <= opset]
    made: bytes = b""
    if versions:
        made = schema.get_function_with_opset_version(max(versions))
    elif schema.has_context_dependent_function:
        types = [_type_of(onnx, value, network).SerializeToString() for value in inputs]
        version = max((v for v in schema.context_dependent_function_opset_versions if v <= opset), default=opset)
        message = node.message.SerializeToString()
        made = schema.get_context_dependent_function_with_opset_version(version, message, types)
    if not made:
        return None
    function = onnx.FunctionProto()
    function.ParseFromString(made)
    defaults = {name: item.default_value for name, item in schema.attributes.items()}
    given = {name: _value(item, what) for name, item in defaults.items() if item.type}
    given.update(node.attributes)
    names = _Names(node, function.input, function.output)
    nodes = [_inner(onnx, item, given, names, what) for item in function.node]
    own = [int(item.version) for item in function.opset_import if item.domain in ("", "ai.onnx")]
    return nodes, max(own, default=opset)


def _value(attribute: Any, what: str) -> Any:
    onnx = require_onnx()
    holder = onnx.NodeProto()
    holder.attribute.append(attribute)
    return attributes_of(holder, what)[attribute.name]


def _type_of(onnx: Any, value: Value | None, network: Network) -> Any:
    if value is None:
        return onnx.TypeProto()
    if isinstance(value, Constant):
        return onnx.helper.make_tensor_type_proto(
            onnx.helper.np_dtype_to_tensor_dtype(value.array.dtype), value.array.shape
        )
    return onnx.helper.make_tensor_type_proto(_ELEMENTS[value.element], network.full(value))


class _Names:
    """Names inside a function as names of the graph: its ends are the node's, others get the node's name in front."""

    def __init__(self, node: Node, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.prefix = node.name or next(name for name in node.outputs if name)
        self.known: dict[str, str] = {"": ""}
        self.known.update(zip(inputs, [*node.inputs, *[""] * len(inputs)]))
        for inner, outer in zip(outputs, node.outputs):
            if outer:
                self.known[inner] = outer

    def __getitem__(self, name: str) -> str:
        return self.known.get(name) or ("" if name in self.known else f"{self.prefix}/{name}")


def _inner(onnx: Any, item: Any, given: Mapping[str, Any], names: _Names, what: str) -> Node:
    kept = onnx.NodeProto()
    kept.CopyFrom(item)
    del kept.attribute[:]
    referred = {}
    for attribute in item.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in given:
                referred[attribute.name] = given[attribute.ref_attr_name]
        else:
            kept.attribute.append(attribute)
    attributes = {**attributes_of(kept, what), **referred}
    for name, value in referred.items():
        kept.attribute.append(onnx.helper.make_attribute(name, value))
    inputs, outputs = tuple(names[name] for name in item.input), tuple(names[name] for name in item.output)
    return Node(item.op_type, f"{names.prefix}/{item.name or outputs[0]}", inputs, outputs, attributes, kept, names)


def branch_nodes(node: Node, condition: bool, what: str) -> list[Node]:
    """The nodes of the branch that an If takes; their outputs are the node's.

    Raises:
        ValueError: it has none.
    """
    onnx = require_onnx()
    graph = node.attributes.get("then_branch" if condition else "else_branch")
    if graph is None or len(graph.output) != len(node.outputs) or len(graph.initializer) > 1000:
        raise ValueError("it has no branch that gives its outputs")
    names = _Names(node, (), [item.name for item in graph.output])
    inner = {name for item in graph.node for name in item.output} | {item.name for item in graph.initializer}
    free = {name for item in graph.node for name in item.input} | {item.name for item in graph.output}
    free |= {name for item in graph.node for name in Node("", "", (), (), attributes_of(item, what)).reads_inside}
    around = {name: node.scope[name] if node.scope is not None else name for name in free - inner}
    names.known.update({name: outer for name, outer in around.items() if name not in names.known})
    weights = [
        Node("Constant", "", (), (names[item.name],), {"value": attributes_of(_holder(onnx, item), what)["value"]})
        for item in graph.initializer
    ]
    made = [_inner(onnx, item, {}, names, what) for item in graph.node]
    direct = [  # an output that is no node's of the branch
        Node("Identity", "", (around.get(item.name, item.name),), (outer,), {})
        for item, outer in zip(graph.output, node.outputs)
        if item.name not in inner and outer
    ]
    return [*weights, *made, *direct]


def _holder(onnx: Any, tensor: Any) -> Any:
    return onnx.helper.make_node("Constant", [], ["x"], value=tensor)

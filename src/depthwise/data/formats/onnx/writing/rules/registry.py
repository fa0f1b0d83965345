"""Which rule writes an operation."""

from collections.abc import Callable
from typing import Any

from depthwise.compiler.ir.program import Operation
from depthwise.data.formats.onnx.writing.writer import Writer
from depthwise.errors import UnsupportedError, describe_value

__all__ = ["RULES", "rule", "write"]

Rule = Callable[[Writer, Any], None]

RULES: dict[type[Operation], Rule] = {}
"""Every operation of a prediction that ONNX has operators for."""


def rule(kind: type[Operation]) -> Callable[[Rule], Rule]:
    """Registers the rule of an operation."""

    def register(function: Rule) -> Rule:
        RULES[kind] = function
        return function

    return register


def write(writer: Writer, operation: Operation) -> None:
    """Writes one operation.

    Raises:
        UnsupportedError: there is no rule for it; the message names the layer.
    """
    if operation.output in writer.finished:
        return
    found = RULES.get(type(operation))
    if found is None:
        raise UnsupportedError(
            f"the layer {describe_value(operation.origin)} computes {type(operation).__name__}, which is not written as ONNX; "
            "leave the layer out, or save the model as .keras"
        )
    before = len(writer.nodes.nodes)
    writer.nodes.origin = operation.origin
    found(writer, operation)
    if len(writer.nodes.nodes) > before and operation.output == operation.origin:
        writer.nodes.call_last(operation.origin)

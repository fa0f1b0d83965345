"""A call's operations as the page's interpreter (`web/src/lib/operations.ts`) reads them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from depthwise.compiler.functions import FUNCTIONS
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Apply, Constant, Expression
from depthwise.compiler.ir.program import Operation
from depthwise.explain.expressions import expression_facts
from depthwise.explain.operations import CallProgram
from depthwise.network.graph import Call

__all__ = ["PAGE_OPERATIONS", "page_operations"]

PAGE_OPERATIONS = (
    op.Elementwise, op.NormaliseRows, op.Softmax, op.Sum, op.Reshape, op.Transpose, op.Slice, op.Pad, op.Concatenate,
    op.Repeat, op.Convolve, op.ConvolveDepthwise, op.ConvolveTransposed, op.Contract, op.PoolWindows, op.ReduceMap,
    op.Resample,
)  # fmt: skip
"""What the page can run: everything that a layer lowers to for a prediction."""


def _runs(operation: Operation) -> bool:
    """Whether the page knows the operation, and every function in it."""
    if isinstance(operation, op.Elementwise) and not set(_functions(operation.expression)) <= FUNCTIONS.keys():
        return False
    return type(operation) in PAGE_OPERATIONS


def _functions(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Apply):
        yield expression.function
        for item in expression.arguments:
            yield from _functions(item)


def page_operations(call: Call) -> list[dict[str, Any]] | None:
    """The call's operations as plain data; None where the page cannot run one of them."""
    program = CallProgram(call)
    if not all(map(_runs, program.operations)):
        return None

    def value_facts(name: str) -> dict[str, Any]:
        value = program.values[name]
        return {"name": name, "label": program.label(name), "role": value.role.value, "shape": list(value.shape)}

    return [
        {
            "kind": type(operation).__name__,
            "operands": [value_facts(name) for name in operation.operands],
            "result": value_facts(operation.output),
            **_arguments(operation),
        }
        for operation in program.operations
    ]


def _arguments(operation: Operation) -> dict[str, Any]:
    """What the operation does beside its operands, under the names of `Operation` in `web/src/lib/data.ts`."""
    match operation:
        case op.Elementwise():
            return {"expression": expression_facts(operation.expression)}
        case op.NormaliseRows():
            return {"epsilon": operation.epsilon}
        case op.Softmax():
            return {"logarithm": operation.logarithm}
        case op.Pad():
            value = expression_facts(Constant(operation.value))
            return {"padding": list(operation.padding), "value": value, "channels": list(operation.channels)}
        case op.Repeat():
            return {"times": operation.times}
        case op.Transpose():
            return {"axes": list(operation.axes)}
        case op.Slice():
            return {"start": list(operation.start)}
        case op.Convolve() | op.ConvolveDepthwise() | op.ConvolveTransposed():
            facts: dict[str, Any] = {
                name: list(getattr(operation, name)) for name in ("kernel_size", "strides", "dilation", "padding")
            }
            if isinstance(operation, op.ConvolveTransposed):
                return facts
            return {**facts, "activation": operation.activation, "groups": getattr(operation, "groups", 1)}
        case op.Contract():
            return {"activation": operation.activation}
        case op.PoolWindows():
            return {
                "kernel_size": list(operation.pool_size),
                "strides": list(operation.strides),
                "reduction": operation.kind,
                "counted_padding": list(operation.counted_padding),
                "activation": operation.activation,
            }
        case op.ReduceMap():
            return {"reduction": operation.kind}
        case op.Resample():
            return {"rows": _taps(operation.rows), "columns": _taps(operation.columns)}
    return {}


def _taps(taps: op.Taps) -> list[list[list[float]]]:
    """For each cell of the result (cell, weight) pairs, the weights as float32 holds them."""
    return [[[cell, float(np.float32(weight))] for cell, weight in pairs] for pairs in taps.cells]

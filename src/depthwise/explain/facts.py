"""A network's facts as plain data: numbers, texts, lists and dictionaries that `json` can write.

The terminal, the page and programs all read these. Formulas come from `depthwise.network.facts` as trees, so that a reader can
point at one factor and see what it counts.
"""

import dataclasses
import math
from typing import Any, ClassVar

from depthwise.errors import InvalidArgumentError, describe_value
from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.layers.dense import Dense
from depthwise.layers.description import Description
from depthwise.layers.regularization import Dropout
from depthwise.network.facts import Axis, Formula, LayerFacts, describe, largest_smaller_depth_multiplier
from depthwise.network.graph import Call, Graph

__all__ = [
    "FORMAT",
    "activation_of",
    "find_node",
    "formula_facts",
    "layer_facts",
    "network_facts",
    "ordinary_layer",
    "separable_stages",
]

FORMAT = 1
"""Version of the facts' layout; it grows when a program that reads them would have to change."""

_HIDDEN_FIELDS = {"name", "trainable", "input_shape", "dtype", "data_format", "synchronized", "noise_shape"}


def formula_facts(formula: Formula, is_root: bool = True) -> dict[str, Any]:
    """A formula as a tree; `text` and `expression` are at its root only."""
    facts: dict[str, Any] = {"value": formula.value}
    if formula.operator:
        facts["operator"] = formula.operator
        facts["operands"] = [formula_facts(operand, False) for operand in formula.operands]
    if formula.meaning:
        facts["meaning"] = formula.meaning
    if is_root:
        facts["text"] = formula.text
    return facts


def axis_facts(axis: Axis | None) -> dict[str, Any] | None:
    """How a window moves along one axis; None for layers without a window."""
    if axis is None:
        return None
    names = ("input", "kernel", "stride", "dilation", "pad_before", "pad_after", "output", "span", "dropped")
    return {name: getattr(axis, name) for name in names}


def activation_of(layer: Description) -> str:
    """The activation that the layer itself applies; "linear" where it has none."""
    return str(getattr(layer, "activation", "linear"))


def separable_stages(layer: SeparableConv2D) -> tuple[DepthwiseConv2D, Conv2D]:
    """The two layers that a separable one is made of: the depthwise without bias or activation, then the pointwise."""
    depthwise = DepthwiseConv2D(
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        depth_multiplier=layer.depth_multiplier,
        dilation_rate=layer.dilation_rate,
        use_bias=False,
    )
    return depthwise, Conv2D(layer.filters, 1, use_bias=layer.use_bias, activation=layer.activation)


class _AnyWindow(Conv2D):
    """Conv2D with strides and dilation both above 1, which Keras gives to separable layers only; described, never run."""

    takes_both: ClassVar[bool] = True


_AnyWindow.__name__ = "Conv2D"


def ordinary_layer(layer: SeparableConv2D) -> Conv2D:
    """The ordinary convolution with the same window and shapes."""
    return _AnyWindow(
        layer.filters,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        activation=layer.activation,
        use_bias=layer.use_bias,
    )


def find_node(graph: Graph, name: str) -> Call:
    """The node `name`.

    Raises:
        InvalidArgumentError: there is none; the message lists the names there are.
    """
    node = graph.by_name.get(name)
    if node is None:
        names = [describe_value(node.name, 40) for node in graph.calls]
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        raise InvalidArgumentError(f"the network has no layer {describe_value(name)}; its layers are {shown}")
    return node


def _basic_facts(facts: LayerFacts) -> dict[str, Any]:
    return {
        "kind": type(facts.layer).__name__,
        "config": _config(facts.layer),
        "activation": activation_of(facts.layer),
        "input_shapes": [list(shape) for shape in facts.input_shapes],
        "output_shape": list(facts.output_shape),
        "output_formulas": [formula_facts(formula) for formula in facts.output_formulas],
        "parameters": formula_facts(facts.parameters),
        "trainable_parameters": facts.trainable_parameters,
        "macs": formula_facts(facts.macs),
        "rows": axis_facts(facts.rows),
        "columns": axis_facts(facts.columns),
        "weights": [
            {
                "name": weight.name,
                "shape": list(weight.shape),
                "formula": formula_facts(weight.formula),
                "trainable": weight.trainable,
            }
            for weight in facts.weights
        ],
    }


def _config(layer: Description) -> dict[str, Any]:
    """The layer's own arguments that are plain values."""
    config = {}
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        if field.name in _HIDDEN_FIELDS or field.name.endswith(("_initializer", "_regularizer", "_constraint")):
            continue
        if _is_plain(value):
            config[field.name] = list(value) if isinstance(value, tuple) else value
    return config


def _is_plain(value: Any) -> bool:
    """Whether it is a number, a text, or a sequence of such: an expression is shown where it is computed."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def layer_facts(graph: Graph, node: Call) -> dict[str, Any]:
    """Everything about one layer in its place.

    Returns:
        name, kind, config, activation, inputs, input_shapes, output_shape, output_formulas, parameters, macs,
        weight_bytes, output_bytes, flop, moved_bytes, arithmetic_intensity, receptive_field, rows, columns, weights,
        separable (for a separable layer its two stages and the ordinary layer of the same shapes; else None), remarks
        (what is odd: message keys with their facts).
    """
    facts = node.facts
    field = graph.receptive_fields[node.name]
    return {
        "name": node.name,
        **_basic_facts(facts),
        "inputs": list(node.reads),
        "is_output": node.name in graph.outputs,
        "weight_bytes": formula_facts(facts.weight_bytes),
        "output_bytes": formula_facts(facts.output_bytes),
        "flop": formula_facts(facts.flop),
        "moved_bytes": formula_facts(facts.moved_bytes),
        "arithmetic_intensity": facts.arithmetic_intensity,
        "receptive_field": {
            "rows": formula_facts(field.rows),
            "columns": formula_facts(field.columns),
            "step": [step if isinstance(step, int) else float(step) for step in field.steps],
        },
        "separable": _separable_facts(facts),
        "remarks": _remarks(graph, node),
    }


def _separable_facts(facts: LayerFacts) -> dict[str, Any] | None:
    layer = facts.layer
    if not isinstance(layer, SeparableConv2D):
        return None
    depthwise_layer, pointwise_layer = separable_stages(layer)
    shapes = facts.channels_last.input_shapes
    depthwise = describe(depthwise_layer, shapes)
    pointwise = describe(pointwise_layer, (depthwise.output_shape,))
    ordinary = describe(ordinary_layer(layer), shapes)
    return {
        "depthwise": _basic_facts(depthwise),
        "pointwise": _basic_facts(pointwise),
        "ordinary": _basic_facts(ordinary),
        "largest_smaller_depth_multiplier": largest_smaller_depth_multiplier(_kernel_size(layer), layer.filters),
    }


def _kernel_size(layer: Any) -> tuple[int, int]:
    return layer.kernel_size[0], layer.kernel_size[1]


def _remarks(graph: Graph, node: Call) -> list[dict[str, Any]]:
    """What is odd about a layer: keys of `remark.…` messages, each with the facts that it names."""
    remarks: list[dict[str, Any]] = []

    def remark(key: str, **facts: Any) -> None:
        remarks.append({"key": f"remark.{key}", "facts": facts})

    facts = node.facts
    layer: Any = node.layer
    rows, columns = facts.rows, facts.columns
    if rows is not None and columns is not None:
        if rows.dropped or columns.dropped:
            remark("dropped", rows=rows.dropped, columns=columns.dropped, height=rows.input, width=columns.input)
        if rows.pad_before != rows.pad_after or columns.pad_before != columns.pad_after:
            remark(
                "asymmetric_padding",
                top=rows.pad_before,
                bottom=rows.pad_after,
                left=columns.pad_before,
                right=columns.pad_after,
            )
        if rows.span > rows.input or columns.span > columns.input:
            remark("window_larger", rows=rows.span, columns=columns.span, height=rows.input, width=columns.input)
        if rows.stride > rows.span or columns.stride > columns.span:
            remark("stride_skips", stride=max(rows.stride, columns.stride), span=min(rows.span, columns.span))
    if isinstance(layer, SeparableConv2D):
        remarks.extend(_separable_remarks(facts, layer))
    if isinstance(layer, Dense) and len(graph.calls) > 2 and 2 * facts.parameters.value > graph.parameters > 1000:
        share = round(100 * facts.parameters.value / graph.parameters)
        remark("dense_share", parameters=facts.parameters.value, total=graph.parameters, percent=share)
    if isinstance(layer, Dropout):
        remark("dropout")
    if facts.weights and not node.layer.trainable:
        remark("not_trainable")
    return remarks


def _separable_remarks(facts: LayerFacts, layer: SeparableConv2D) -> list[dict[str, Any]]:
    remarks = []
    shapes = facts.channels_last.input_shapes
    ordinary = describe(ordinary_layer(layer), shapes)
    if facts.parameters.value >= ordinary.parameters.value:
        remarks.append(
            {
                "key": "remark.separable_not_smaller",
                "facts": {
                    "separable": facts.parameters.value,
                    "ordinary": ordinary.parameters.value,
                    "depth_multiplier": layer.depth_multiplier,
                    "largest": largest_smaller_depth_multiplier(_kernel_size(layer), layer.filters),
                    "cells": math.prod(_kernel_size(layer)),
                    "filters": layer.filters,
                },
            }
        )
    if shapes[0][-1] * layer.depth_multiplier == 1:
        remarks.append({"key": "remark.separable_one_channel", "facts": {"filters": layer.filters}})
    return remarks


def network_facts(graph: Graph) -> dict[str, Any]:
    """Everything about a network and each of its layers, ready for `json.dumps`."""
    layers = graph.layers.values()
    dense = sum(call.facts.parameters.value for call in layers if isinstance(call.layer, Dense))
    weight_bytes = sum(call.facts.weight_bytes.value for call in layers)
    return {
        "format": FORMAT,
        "name": graph.name,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "totals": {
            "parameters": graph.parameters,
            "trainable_parameters": graph.trainable_parameters,
            "dense_parameters": dense,
            "other_parameters": graph.parameters - dense,
            "macs": graph.macs,
            "weight_bytes": weight_bytes,
            "map_bytes": sum(node.facts.output_bytes.value for node in graph.calls),
        },
        "layers": [layer_facts(graph, node) for node in graph.calls],
    }

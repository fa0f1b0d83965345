"""What a reader of the page may change about a layer, with formulas that follow: templates and tables.

The page computes no formula of its own. It gets each formula as a tree whose leaves name what they count, puts its numbers
in the leaves, and evaluates the tree; and it gets a table of how windows of each size fit on an axis.
"""

from dataclasses import replace
from typing import Any

from depthwise.errors import ShapeError
from depthwise.explain.facts import separable_stages
from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.layers.description import Description
from depthwise.network.facts import Axis, Formula, LayerFacts, describe, number
from depthwise.network.graph import Graph

__all__ = ["DILATIONS", "KERNEL_SIZES", "PADDINGS", "STRIDES", "axis_table", "templates", "variations"]

KERNEL_SIZES = (1, 2, 3, 4, 5, 6, 7)
STRIDES = (1, 2, 3, 4)
DILATIONS = (1, 2, 3, 4)
PADDINGS = ("valid", "same")
VARIABLE_LAYERS = (Conv2D, DepthwiseConv2D, SeparableConv2D)


def axis_table(size: int) -> dict[str, list[int] | None]:
    """Output, padding before and after, and dropped cells for every window on an axis of `size` cells.

    Keys are `padding,kernel,stride,dilation`. None where the output would be empty. Stride and dilation above 1 together are
    not in the table: Keras refuses them.
    """
    table: dict[str, list[int] | None] = {}
    for padding in PADDINGS:
        for kernel in KERNEL_SIZES:
            for stride, dilation in [*((stride, 1) for stride in STRIDES), *((1, rate) for rate in DILATIONS[1:])]:
                axis = _axis(size, padding, kernel, stride, dilation)
                key = f"{padding},{kernel},{stride},{dilation}"
                table[key] = None if axis is None else [axis.output, axis.pad_before, axis.pad_after, axis.dropped]
    return table


def _axis(size: int, padding: str, kernel: int, stride: int, dilation: int) -> Axis | None:
    layer = DepthwiseConv2D(kernel, strides=stride, padding=padding, dilation_rate=dilation)
    try:
        return describe(layer, ((size, size, 1),)).rows
    except ShapeError:
        return None


def templates() -> dict[str, Any]:
    """Formula trees whose leaves are to be filled in: by kind of layer, and by what decides a formula's form."""
    result: dict[str, Any] = {"axis": {}, "layer": {}, "derived": _derived()}
    for padding in PADDINGS:
        for stride, dilation in ((1, 1), (2, 1), (1, 2)):
            pair = [
                describe(
                    DepthwiseConv2D(kernel, strides=stride * more, padding=padding, dilation_rate=rate),
                    ((size, size + 1, 1),),
                )
                for kernel, size, more, rate in (
                    (3, 29, 1, dilation),
                    (4, 40, 2 if stride > 1 else 1, dilation + 1 if dilation > 1 else 1),
                )
            ]
            key = f"{padding},{'strided' if stride > 1 else 'dense'},{'dilated' if dilation > 1 else 'compact'}"
            result["axis"][key] = [_template(*(facts.output_formulas[index] for facts in pair)) for index in (0, 1)]
    for kind in VARIABLE_LAYERS:
        for multiplied in (False, True):
            for biased in (False, True):
                key = f"{kind.__name__},{'multiplied' if multiplied else 'single'},{'bias' if biased else 'plain'}"
                result["layer"][key] = _layer_templates(kind, multiplied, biased)
    return result


def _layer_templates(kind: type[Description], multiplied: bool, biased: bool) -> dict[str, Any]:
    pair = [
        _example(kind, kernel, filters, channels, multiplier if multiplied else 1, biased)
        for kernel, filters, channels, multiplier in ((3, 11, 5, 2), (5, 23, 7, 3))
    ]
    made = {
        "output_channels": _template(*(facts.output_formulas[2] for facts in pair)),
        "parameters": _template(*(facts.parameters for facts in pair)),
        "macs": _template(*(facts.macs for facts in pair)),
    }
    if kind is SeparableConv2D:
        stages = [_stages(facts) for facts in pair]
        for index, stage in enumerate(("depthwise", "pointwise")):
            first, second = (facts[index] for facts in stages)
            made[f"{stage}_parameters"] = _template(first.parameters, second.parameters)
            made[f"{stage}_macs"] = _template(first.macs, second.macs)
    return made


def _example(
    kind: type[Description], kernel: int, filters: int, channels: int, multiplier: int, biased: bool
) -> LayerFacts:
    shapes = ((2 * kernel + 12, 2 * kernel + 21, channels),)
    if kind is Conv2D:
        return describe(Conv2D(filters, (kernel, kernel + 1), use_bias=biased), shapes)
    if kind is DepthwiseConv2D:
        layer = DepthwiseConv2D((kernel, kernel + 1), depth_multiplier=multiplier, use_bias=biased)
        return describe(layer, shapes)
    separable = SeparableConv2D(filters, (kernel, kernel + 1), depth_multiplier=multiplier, use_bias=biased)
    return describe(separable, shapes)


def _stages(facts: LayerFacts) -> tuple[LayerFacts, LayerFacts]:
    assert isinstance(facts.layer, SeparableConv2D)
    depthwise_layer, pointwise_layer = separable_stages(facts.layer)
    depthwise = describe(depthwise_layer, facts.channels_last.input_shapes)
    pointwise = describe(pointwise_layer, (depthwise.output_shape,))
    # What the pointwise stage calls its input channels are the middle channels of the whole layer.
    return depthwise, replace(
        pointwise,
        parameters=_renamed(pointwise.parameters, "input_channels", "middle_channels"),
        macs=_renamed(pointwise.macs, "input_channels", "middle_channels"),
    )


def _renamed(formula: Formula, old: str, new: str) -> Formula:
    operands = tuple(_renamed(operand, old, new) for operand in formula.operands)
    meaning = new if formula.meaning == old else formula.meaning
    return replace(formula, operands=operands, meaning=meaning)


def _derived() -> dict[str, Any]:
    """Numbers that follow from others: what the page fills in where a leaf counts them."""
    result = {}
    for axis in ("height", "width"):
        pair = [number(size, f"kernel_{axis}") - number(1) for size in (3, 5)]
        result[f"kernel_{axis}_minus_one"] = _template(*pair)
    separable = [
        _example(SeparableConv2D, 3, 11, channels, multiplier, True) for channels, multiplier in ((5, 2), (7, 3))
    ]
    result["middle_channels"] = _template(*(_stages(facts)[0].output_formulas[2] for facts in separable))
    return result


def _template(first: Formula, second: Formula) -> dict[str, Any]:
    """The tree that two formulas of one form share: a leaf keeps its value only where both have the same."""
    assert (first.operator, first.meaning, len(first.operands)) == (
        second.operator,
        second.meaning,
        len(second.operands),
    )
    tree: dict[str, Any] = {}
    if first.operator:
        tree["operator"] = first.operator
        tree["operands"] = [_template(*pair) for pair in zip(first.operands, second.operands)]
    elif first.value == second.value:
        tree["value"] = first.value
    if first.meaning:
        tree["meaning"] = first.meaning
    return tree


def variations(graph: Graph) -> dict[str, Any]:
    """The templates, and a table for every size of map that a convolution of the network reads."""
    sizes = {
        size
        for node in graph.calls
        if isinstance(node.layer, VARIABLE_LAYERS)
        for size in node.facts.channels_last.input_shapes[0][:2]
    }
    return {
        "kernel_sizes": list(KERNEL_SIZES),
        "strides": list(STRIDES),
        "dilations": list(DILATIONS),
        "templates": templates(),
        "axes": {str(size): axis_table(size) for size in sorted(sizes)},
    }

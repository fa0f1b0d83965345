"""Questions on the learner's own network, each with the answer, its formula, and what a wrong answer gives away."""

from dataclasses import replace
from typing import Any

from depthwise.errors import ShapeError
from depthwise.explain.facts import formula_facts, ordinary_layer
from depthwise.layers.convolution import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.layers.dense import Dense
from depthwise.network.facts import describe
from depthwise.network.graph import Call, Graph

__all__ = ["MOST_LAYERS", "questions"]

MOST_LAYERS = 40
"""Questions are asked on at most so many layers, the first of each shape; a network of 200 would repeat itself."""


def questions(graph: Graph) -> list[dict[str, Any]]:
    """Questions in the order of the layers.

    Returns:
        each with layer, asks ("output_height", "parameters", "macs", "receptive_field"), answer (a number), formula, and
        mistakes: the value that a common slip gives, with the message that names the slip.
    """
    asked: list[dict[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    for given in graph.calls:
        node = with_channels_last(given)
        signature = (replace(node.layer, name=None), node.facts.input_shapes)
        if signature in seen or len(seen) >= MOST_LAYERS:
            continue
        seen.add(signature)
        asked.extend(_about(graph, node))
    return asked


def with_channels_last(node: Call) -> Call:
    """The call as if its channels were last: the same numbers, in the order in which the slips are computed."""
    if getattr(node.layer, "data_format", None) != "channels_first":
        return node
    layer: Any = node.layer
    return replace(node, layer=replace(layer, data_format="channels_last"), facts=node.facts.channels_last)


def _about(graph: Graph, node: Call) -> list[dict[str, Any]]:
    facts = node.facts
    result = []
    if facts.rows is not None:
        result.append(_question(node, "output_height", formula_facts(facts.output_formulas[0]), _height_mistakes(node)))
    if facts.parameters.value:
        result.append(_question(node, "parameters", formula_facts(facts.parameters), _parameter_mistakes(node)))
    if facts.macs.value:
        result.append(_question(node, "macs", formula_facts(facts.macs), _mac_mistakes(node)))
    if facts.rows is not None and facts.rows.span > 1:
        rows = graph.receptive_fields[node.name].rows
        result.append(_question(node, "receptive_field", formula_facts(rows), []))
    return result


def _question(node: Call, asks: str, formula: dict[str, Any], mistakes: list[tuple[int, str]]) -> dict[str, Any]:
    answer = formula["value"]
    kept = {value: key for value, key in reversed(mistakes) if value != answer}
    return {
        "layer": node.name,
        "asks": asks,
        "answer": answer,
        "formula": formula,
        "mistakes": [{"value": value, "key": f"page.mistake.{key}"} for value, key in kept.items()],
    }


def _height_mistakes(node: Call) -> list[tuple[int, str]]:
    axis = node.facts.rows
    layer: Any = node.layer
    assert axis is not None
    mistakes = [(axis.input, "unchanged")]
    other = "valid" if layer.padding == "same" else "same"
    try:
        swapped = describe(replace(layer, padding=other), node.facts.input_shapes)
        mistakes.insert(0, (swapped.output_shape[0], f"{other}_padding"))
    except ShapeError:
        pass  # with the other padding there would be no output, so it is not a plausible guess
    if axis.dropped:
        mistakes.insert(0, (axis.output + 1, "rounded_up"))
    return mistakes


def _parameter_mistakes(node: Call) -> list[tuple[int, str]]:
    layer: Any = node.layer
    if not isinstance(layer, (Conv2D, DepthwiseConv2D, SeparableConv2D, Dense)):
        return []
    mistakes = []
    if layer.use_bias:
        without = describe(replace(layer, use_bias=False), node.facts.input_shapes).parameters.value
        mistakes.append((without, "no_bias"))
    if isinstance(layer, Conv2D):
        height, width, _ = node.facts.input_shapes[0]
        one = describe(replace(layer, groups=1), ((height, width, 1),)).parameters.value
        mistakes.append((one, "one_channel"))
    if isinstance(layer, SeparableConv2D):
        mistakes.append((describe(ordinary_layer(layer), node.facts.input_shapes).parameters.value, "ordinary"))
    return mistakes


def _mac_mistakes(node: Call) -> list[tuple[int, str]]:
    mistakes = [(node.facts.flop.value, "flop"), (node.facts.parameters.value, "parameters")]
    if isinstance(node.layer, SeparableConv2D):
        ordinary = describe(ordinary_layer(node.layer), node.facts.input_shapes)
        mistakes.insert(0, (ordinary.macs.value, "ordinary"))
    return mistakes

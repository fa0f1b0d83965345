"""Facts of layers and networks: the note's numbers, and that all of it is plain data."""

import json
import math
from typing import Any

import pytest

from depthwise.errors import InvalidArgumentError
from depthwise.explain.facts import find_node, formula_facts, network_facts, ordinary_layer
from depthwise.explain.questions import questions
from depthwise.explain.variations import DILATIONS, KERNEL_SIZES, PADDINGS, STRIDES, axis_table, templates, variations
from depthwise.layers.descriptions import Conv2D, DepthwiseConv2D, MaxPooling2D, SeparableConv2D
from depthwise.network.facts import describe
from depthwise.network.graph import sequential
from support.explained import NAMES, network_and_weights


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_plain_data_that_adds_up(name: str) -> None:
    graph, _ = network_and_weights(name)
    facts = json.loads(json.dumps(network_facts(graph), allow_nan=False))
    layers = facts["layers"]
    assert [layer["name"] for layer in layers] == [node.name for node in graph.calls]
    assert facts["totals"]["parameters"] == sum(layer["parameters"]["value"] for layer in layers) == graph.parameters
    assert facts["totals"]["macs"] == sum(layer["macs"]["value"] for layer in layers)
    for layer in layers:
        assert math.prod(layer["output_shape"]) * 4 == layer["output_bytes"]["value"]
        assert sum(weight["formula"]["value"] for weight in layer["weights"]) == layer["parameters"]["value"]
        assert layer["arithmetic_intensity"] == layer["flop"]["value"] / layer["moved_bytes"]["value"]


def test_formulas_of_the_notes_networks() -> None:
    layers = {layer["name"]: layer for layer in network_facts(network_and_weights("note-cnn")[0])["layers"]}
    assert layers["conv2d"]["parameters"]["text"] == "32×(3×3×1)+32 = 320"
    assert layers["conv2d_1"]["parameters"]["text"] == "64×(3×3×32)+64 = 18,496"
    fields = [layer["receptive_field"]["rows"]["value"] for layer in layers.values()][1:6]
    assert fields == [3, 4, 8, 10, 18]
    dropped = layers["max_pooling2d_1"]["remarks"][0]
    assert dropped == {"key": "remark.dropped", "facts": {"rows": 1, "columns": 1, "height": 11, "width": 11}}


def test_a_separable_layer_comes_with_its_stages_and_the_ordinary_layer() -> None:
    layers = {layer["name"]: layer for layer in network_facts(network_and_weights("note-separable")[0])["layers"]}
    parts = layers["separable_conv2d"]["separable"]
    assert parts["depthwise"]["parameters"]["text"] == "32×(3×3×1) = 288"
    assert parts["pointwise"]["parameters"]["text"] == "32×(1×1×32)+32 = 1,056"
    assert parts["ordinary"]["parameters"]["text"] == "32×(3×3×32)+32 = 9,248"
    for layer in layers.values():
        if layer["separable"]:
            stages = layer["separable"]["depthwise"], layer["separable"]["pointwise"]
            for fact in ("parameters", "macs"):
                assert sum(stage[fact]["value"] for stage in stages) == layer[fact]["value"]


@pytest.mark.parametrize(
    ("multiplier", "filters", "is_remarked"),
    [(7, 64, False), (8, 64, True), (2, 3, False), (3, 3, True), (1, 1, True)],
)
def test_a_separable_layer_that_is_not_smaller_is_remarked(multiplier: int, filters: int, is_remarked: bool) -> None:
    graph = sequential([SeparableConv2D(filters, 3, depth_multiplier=multiplier, input_shape=(8, 8, 5))])
    remarks = [remark["key"] for remark in network_facts(graph)["layers"][1]["remarks"]]
    ordinary = describe(ordinary_layer(graph.calls[1].layer), ((8, 8, 5),))  # type: ignore[arg-type]
    assert is_remarked == (graph.parameters >= ordinary.parameters.value)
    assert ("remark.separable_not_smaller" in remarks) == is_remarked


def test_remarks_on_windows() -> None:
    def remarks(layer: Any) -> list[str]:
        return [
            item["key"].removeprefix("remark.") for item in network_facts(sequential([layer]))["layers"][1]["remarks"]
        ]

    assert remarks(Conv2D(2, 3, strides=2, padding="same", input_shape=(8, 8, 1))) == ["asymmetric_padding"]
    assert remarks(Conv2D(2, 3, padding="same", input_shape=(8, 8, 1))) == []
    assert remarks(Conv2D(2, 5, padding="same", input_shape=(3, 3, 1))) == ["window_larger"]
    assert remarks(MaxPooling2D(1, strides=3, input_shape=(7, 7, 1))) == ["stride_skips"]
    assert remarks(SeparableConv2D(4, 3, padding="same", input_shape=(7, 7, 1))) == ["separable_one_channel"]


def test_an_unknown_layer_is_refused_with_the_names_there_are() -> None:
    graph, _ = network_and_weights("note-cnn")
    with pytest.raises(
        InvalidArgumentError, match=r"^the network has no layer 'conv3d'; its layers are 'input_layer', 'conv2d'"
    ):
        find_node(graph, "conv3d")


def _evaluate(template: dict[str, Any], counts: dict[str, int]) -> int:
    """The page's evaluator once more, in Python."""
    if "operator" not in template:
        return int(template["value"]) if "value" in template else counts[template["meaning"]]
    first, *others = (_evaluate(operand, counts) for operand in template["operands"])
    for other in others:
        match template["operator"]:
            case "+":
                first += other
            case "−":
                first -= other
            case "×":
                first *= other
            case "÷":
                first //= other
            case "⌈÷⌉":
                first = -(-first // other)
    return first


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D, SeparableConv2D])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("multiplier", [1, 3])
def test_templates_filled_in_give_what_arithmetic_gives(kind: Any, bias: bool, multiplier: int) -> None:
    made = templates()
    cases = 0
    for padding in PADDINGS:
        for kernel in (1, 3, 4):
            for stride, dilation in ((1, 1), (2, 1), (3, 1), (1, 2), (1, 3)):
                arguments: dict[str, Any] = {"strides": stride, "padding": padding, "dilation_rate": dilation}
                if kind is not Conv2D:
                    arguments["depth_multiplier"] = multiplier
                filters = () if kind is DepthwiseConv2D else (11,)
                layer = kind(*filters, kernel, use_bias=bias, **arguments)
                facts = describe(layer, ((14, 17, 5),))
                assert facts.rows is not None
                assert facts.columns is not None
                counts = {
                    "input_height": 14, "input_width": 17, "kernel_height": kernel, "kernel_width": kernel,
                    "stride_height": stride, "stride_width": stride, "dilation": dilation, "input_channels": 5,
                    "filters": 11, "depth_multiplier": multiplier,
                    "output_height": facts.rows.output, "output_width": facts.columns.output,
                }  # fmt: skip
                for name, template in made["derived"].items():
                    counts[name] = _evaluate(template, counts)
                own = made["layer"][
                    f"{kind.__name__},{'multiplied' if multiplier > 1 else 'single'},{'bias' if bias else 'plain'}"
                ]
                counts["biases"] = _evaluate(own["output_channels"], counts)
                form = f"{padding},{'strided' if stride > 1 else 'dense'},{'dilated' if dilation > 1 else 'compact'}"
                height, width = made["axis"][form]
                shape = (_evaluate(height, counts), _evaluate(width, counts), counts["biases"])
                assert shape == facts.output_shape
                assert _evaluate(own["parameters"], counts) == facts.parameters.value
                assert _evaluate(own["macs"], counts) == facts.macs.value
                cases += 1
    assert cases == 30


def test_the_table_of_windows_holds_every_choice_that_keras_allows() -> None:
    table = axis_table(6)
    assert len(table) == len(PADDINGS) * len(KERNEL_SIZES) * (len(STRIDES) + len(DILATIONS) - 1)
    assert table["valid,2,2,1"] == [3, 0, 0, 0]
    assert table["same,3,2,1"] == [3, 0, 1, 0]
    assert table["valid,3,2,1"] == [2, 0, 0, 1]
    assert table["valid,7,1,1"] is None
    assert "valid,3,2,2" not in table
    sizes = variations(network_and_weights("note-cnn")[0])["axes"]
    assert set(sizes) == {"28", "13", "5"}


def test_questions_hold_the_right_answer_and_name_common_slips() -> None:
    asked = questions(network_and_weights("note-cnn")[0])
    first = next(question for question in asked if question["asks"] == "parameters" and question["layer"] == "conv2d_1")
    assert first["answer"] == 18_496
    assert {mistake["value"]: mistake["key"] for mistake in first["mistakes"]} == {
        18_432: "page.mistake.no_bias",
        640: "page.mistake.one_channel",
    }


def test_a_formula_as_a_tree_has_the_same_text() -> None:
    formula = describe(Conv2D(3, (3, 3)), ((5, 5, 2),)).parameters
    tree = formula_facts(formula)
    assert tree["text"] == "3×(3×3×2)+3 = 57"
    assert tree["operands"][0]["operands"][0] == {"value": 3, "meaning": "filters"}

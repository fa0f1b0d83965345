"""Layers without a display of their own are explained by what they lower to, whatever it is."""

import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from depthwise.compiler import functions
from depthwise.compiler.arithmetic import OF_FILES
from depthwise.compiler.ir import operations as op
from depthwise.compiler.ir.expression import Expression, Operand, apply
from depthwise.explain.cells import cell_facts, has_display
from depthwise.explain.expressions import RULES, evaluate, exact, expression_facts, written
from depthwise.explain.operations import CallProgram
from depthwise.explain.page import make_page
from depthwise.explain.page_operations import PAGE_OPERATIONS, page_operations
from depthwise.explain.terminal import cell_lines, print_lines
from depthwise.explain.values import layer_values
from depthwise.layers.descriptions import Dense, Description, InputLayer
from depthwise.messages import LANGUAGES
from depthwise.network.graph import Graph, sequential
from depthwise.network.initialize import draw_weights
from support.explained import network_and_weights
from support.made_up_layers import function_of_input, layer_of, made_up_layer


def _network(layer: Description) -> tuple[Graph, dict[str, Any], Any]:
    graph = sequential([InputLayer(shape=(5, 3, 4)), layer])
    x = np.random.default_rng(3).normal(0, 2, (5, 3, 4)).astype(np.float32)
    return graph, {}, layer_values(graph, {}, (x,))


def test_every_function_has_a_rule() -> None:
    assert set(RULES) == {*functions.FUNCTIONS, *OF_FILES}


@pytest.mark.parametrize("name", [*functions.FUNCTIONS, *(name for name in OF_FILES if "where" not in name)])
def test_a_layer_of_any_function_agrees_with_the_compiled_one(name: str) -> None:
    graph, weights, values = _network(layer_of(function_of_input(name)))
    assert values.source == "native"
    for position in np.ndindex(5, 3, 4):
        facts = cell_facts(graph, weights, values, "made_up", position)
        json.dumps(facts, allow_nan=False)
        assert facts["check"]["agrees"], facts
        assert facts["check"]["bound"] < 1e-4 * max(1.0, abs(facts["output"])), facts


SHOWN = {"normalise_rows": ("mean", "deviation"), "log_softmax": ("before", "largest", "sum"), "products": ("sum",)}


@pytest.mark.parametrize("name", ["by-operations"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_text_gives_every_step_with_its_numbers(name: str, language: str) -> None:
    graph, weights = network_and_weights(name)
    x = np.random.default_rng(1).random(graph.input_shapes[0]).astype(np.float32)
    values = layer_values(graph, weights, (x,))
    for node in graph.calls:
        if has_display(node):
            continue
        facts = cell_facts(graph, weights, values, node.name, [size - 1 for size in node.output_shape])
        assert facts["check"]["agrees"]
        if node.name == "flat":
            assert facts["operation"] == "copy"
            continue
        assert facts["operation"] == "operations"
        console = Console(width=160, color_system=None)
        with console.capture() as capture:
            print_lines(console, cell_lines(facts, node.reads, language))
        text = capture.get()
        for step in facts["steps"]:
            if step["kind"] == "expression":
                assert step["text"] in text
                for operand in step["operands"]:
                    assert f"{operand['value']:.4f}" in text
            for key in SHOWN.get(step["kind"], ()):
                assert f"{abs(step[key]):.4f}" in text
            assert f"{step['value']:.4f}" in text


def test_each_slope_is_read_where_it_lies() -> None:
    graph, weights = network_and_weights("by-operations")
    values = layer_values(graph, weights, (np.random.default_rng(1).random(graph.input_shapes[0]).astype(np.float32),))
    for name, place in (("slope_a_place", (3, 2, 4)), ("slope_a_channel", (0, 0, 4))):
        _, alpha = cell_facts(graph, weights, values, name, (3, 2, 4))["steps"][0]["operands"]
        assert alpha == {"name": "alpha", "position": list(place), "value": weights[f"{name}/alpha"][place]}


def test_a_wrong_number_is_not_explained_away() -> None:
    graph, weights, values = _network(layer_of(apply("sigmoid", Operand(0)) * 2.0))
    spoiled = dict(values.by_layer)
    spoiled["made_up"] = spoiled["made_up"] + np.float32(1e-5)
    wrong = type(values)(spoiled, "native")
    assert not cell_facts(graph, weights, wrong, "made_up", (0, 0, 0))["check"]["agrees"]


def _moves(builder: Any, call: Any) -> None:
    (source,) = builder.inputs(call)
    wide = builder.emit(call, op.Pad((source,), (f"{call.name}/padded",), (1, 0, 0, 0), 0.0))
    joined = builder.emit(call, op.Concatenate((wide, wide), (f"{call.name}/joined",)))
    vector = builder.emit(call, op.ReduceMap((joined,), (f"{call.name}/mean",), "mean"))
    shares = builder.emit(call, op.Softmax((vector,), (f"{call.name}/shares",)))
    part = builder.emit(call, op.Reshape((shares,), (f"{call.name}/row",), (1, 1, 8)))
    repeated = builder.emit(call, op.Repeat((part,), (f"{call.name}/twice",), 2))
    call_output = op.Reshape((repeated,), (call.name,), (4, 1, 4))
    builder.emit(call, call_output)


def _random(builder: Any, call: Any) -> None:
    (source,) = builder.inputs(call)
    builder.emit(call, op.Dropout((source,), (call.name,), 0.5, 0))


def test_several_operations_are_several_steps() -> None:
    x = np.random.default_rng(3).normal(0, 2, (5, 3, 4)).astype(np.float32)
    from depthwise.explain.operations import call_steps

    graph = sequential([InputLayer(shape=(5, 3, 4)), made_up_layer(_moves)])
    mean = np.concatenate([x, x], axis=-1).astype(float).sum(axis=(0, 1)) / 18
    shares = np.exp(mean) / np.exp(mean).sum()
    expected = np.repeat(shares, 2).reshape(4, 1, 4)
    for position in np.ndindex(4, 1, 4):
        steps, value, bound = call_steps(graph.calls[-1], [x], {}, position)
        assert value == pytest.approx(expected[position], abs=1e-12)
        assert 0.0 < bound < 1e-5
        assert [step["kind"] for step in steps] == ["mean", "softmax", "copy", "copy", "copy"][-len(steps) :]


def test_the_page_stops_before_a_layer_that_it_cannot_run() -> None:
    graph = sequential([InputLayer(shape=(5, 3, 4)), made_up_layer(_random)])
    assert page_operations(graph.calls[-1]) is None
    assert make_page(graph, {}, with_times=False).kept_layers == len(graph.calls) - 1


def test_the_page_runs_every_operation_that_a_layer_lowers_to() -> None:
    kinds = set()
    for name in ("every-layer", "by-operations", "sequences"):
        graph, weights = network_and_weights(name)
        assert make_page(graph, weights, with_times=False).kept_layers == len(graph.calls)
        kinds |= {type(item) for call in graph.calls if call.reads for item in CallProgram(call).operations}
    assert kinds <= set(PAGE_OPERATIONS)
    assert kinds >= {op.Convolve, op.ConvolveDepthwise, op.ConvolveTransposed, op.Contract, op.PoolWindows, op.Resample}


def test_a_dense_layer_by_its_operations_is_the_dense_layer() -> None:
    from depthwise.explain.operations import call_steps

    graph = sequential([Dense(6, activation="softmax", input_shape=(9,))])
    weights = {key: value.astype(np.float32) for key, value in draw_weights(graph, seed=1).items()}
    x = np.random.default_rng(0).normal(size=9).astype(np.float32)
    values = layer_values(graph, weights, (x,))
    for unit in range(6):
        own = cell_facts(graph, weights, values, "dense", (unit,))
        _, value, bound = call_steps(graph.calls[-1], [x], weights, (unit,))
        assert value == pytest.approx(own["output"], abs=1e-12)
        assert abs(value - own["check"]["computed"]) <= bound


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ((Operand(0) + 3.0) * Operand(1), "(x + 3)·alpha"),
        (Operand(0) - (Operand(1) - 1.0), "x − (alpha − 1)"),
        (Operand(0) / (Operand(1) * 2.0), "x/(alpha·2)"),
        (-(Operand(0) + 1.0) * Operand(1), "(−(x + 1))·alpha"),
        (apply("where_ogt", Operand(0), 0.0, Operand(1), -1.0), "(x > 0 ? alpha : -1)"),
        (apply("min", float("inf"), Operand(0)), "min(∞, x)"),
        (apply("fma", Operand(0), Operand(1), -2.0), "x·alpha + (-2)"),
        (apply("sqrt", apply("sigmoid", Operand(0))), "√(sigmoid(x))"),
    ],
)
def test_expressions_are_written_with_the_parentheses_that_they_need(expression: Expression, text: str) -> None:
    facts = json.loads(json.dumps(expression_facts(expression), allow_nan=False))
    assert written(facts, lambda index: ("x", "alpha")[index]) == text


def test_where_rounding_can_turn_a_comparison_both_results_are_allowed() -> None:
    step = apply("where_ogt", Operand(0) - Operand(1), 0.0, 1.0, 0.0)
    near, far = (evaluate(step, [exact(1.0 + gap), exact(1.0)]) for gap in (1e-9, 0.5))
    assert (float(near.error), float(far.error)) == (1.0, 0.0)

"""The page's interpreter of operations: every function of an expression, against the compiled network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.compiler.functions import FUNCTIONS
from depthwise.compiler.ir import operations as op
from depthwise.explain.cells import cell_facts
from depthwise.explain.expressions import expression_facts, written
from depthwise.explain.page import make_page
from depthwise.explain.values import layer_values
from depthwise.layers.descriptions import InputLayer
from depthwise.network.graph import sequential
from support.made_up_layers import function_of_input, made_up_layer

CLOSE = 1e-4


def _every_function(builder: Any, call: Any) -> None:
    """One operation a function, and their results side by side."""
    (source,) = builder.inputs(call)
    results = [
        builder.emit(call, op.Elementwise((source,), (f"{call.name}/{name}",), function_of_input(name)))
        for name in FUNCTIONS
    ]
    builder.emit(call, op.Concatenate(tuple(results), (call.name,)))


def test_every_function_in_the_page_agrees_with_the_compiled_one(opened: Callable[..., Any], tmp_path: Path) -> None:
    graph = sequential([InputLayer(shape=(5, 3, 4)), made_up_layer(_every_function, 4 * len(FUNCTIONS))])
    path = tmp_path / "functions.html"
    # The page looks up the name of the kind in the catalogue, which has none for this one.
    html = make_page(graph, {}, with_times=False).html.replace('"kind":"MadeUp"', '"kind":"PReLU"')
    path.write_text(html, encoding="utf-8")
    page = opened(path)
    picture = np.random.default_rng(3).normal(0, 2, (5, 3, 4)).astype(np.float32)
    values = layer_values(graph, {}, (picture,))
    assert values.source == "native"
    found = page.run("image => Array.from(depthwise.run(image).get('made_up'))", picture.ravel().tolist())
    expected = values.by_layer["made_up"]
    for index, name in enumerate(FUNCTIONS):
        own = np.array(found).reshape(expected.shape)[..., 4 * index : 4 * index + 4]
        np.testing.assert_allclose(own, expected[..., 4 * index : 4 * index + 4], CLOSE, CLOSE, err_msg=name)
        steps = page.run("at => depthwise.explain('made_up', at).steps", [2, 1, 4 * index + 3])
        assert [step["kind"] for step in steps] == ["Elementwise", "Concatenate"], name
        tree = json.loads(json.dumps(expression_facts(function_of_input(name))))
        assert steps[0]["text"].replace("−", "-") == written(tree, lambda _: graph.inputs[0]).replace("−", "-"), name


def _moves_and_sums(builder: Any, call: Any) -> None:
    """Every operation that only moves numbers, and sums along some axes."""
    (source,) = builder.inputs(call)

    def name(part: str) -> str:
        return f"{call.name}/{part}"

    turned = builder.emit(call, op.Transpose((source,), (name("turned"),), (2, 0, 1)))
    part = builder.emit(call, op.Slice((turned,), (name("part"),), (1, 1, 0), (2, 3, 2)))
    wide = builder.emit(call, op.Pad((part,), (name("wide"),), (1, 0, 0, 1), 0.5, (1, 2)))
    total = builder.emit(call, op.Sum((wide,), (name("total"),), (4, 1)))
    row = builder.emit(call, op.Reshape((total,), (name("row"),), (4,)))
    few = builder.emit(call, op.Slice((row,), (name("few"),), (0, 0, 1), (2,)))
    builder.emit(call, op.Pad((few,), (call.name,), (0, 0, 0, 0), 2.0, (1, 1)))


def test_moves_and_sums_in_the_page_agree_with_the_compiled_ones(opened: Callable[..., Any], tmp_path: Path) -> None:
    shape = (4,)
    graph = sequential([InputLayer(shape=(5, 3, 4)), made_up_layer(_moves_and_sums, output=shape)])
    path = tmp_path / "moves.html"
    html = make_page(graph, {}, with_times=False).html.replace('"kind":"MadeUp"', '"kind":"PReLU"')
    path.write_text(html, encoding="utf-8")
    page = opened(path)
    picture = np.random.default_rng(3).normal(0, 2, (5, 3, 4)).astype(np.float32)
    values = layer_values(graph, {}, (picture,))
    found = page.run("image => Array.from(depthwise.run(image).get('made_up'))", picture.ravel().tolist())
    np.testing.assert_allclose(found, values.by_layer["made_up"], CLOSE, CLOSE)
    steps = page.run("at => depthwise.explain('made_up', at).steps", [1])
    assert [step["kind"] for step in steps] == ["Sum", "Reshape", "Slice", "Pad"]
    assert steps[0]["row"]["count"] == 15
    for position in range(4):
        facts = cell_facts(graph, {}, values, "made_up", (position,))
        assert facts["check"]["agrees"]
        if position == 1:
            assert [step["kind"] for step in facts["steps"]] == ["sum", "copy", "copy", "copy"]

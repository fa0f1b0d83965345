"""The page's interpreter of operations: every function of an expression, against the compiled network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.compiler.functions import FUNCTIONS
from depthwise.compiler.ir import operations as op
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

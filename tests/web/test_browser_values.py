"""Numbers on the page against the explanations in Python and the compiled network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from depthwise.compiler.lower import lower
from depthwise.data import load_data
from depthwise.explain.cells import cell_facts
from depthwise.explain.values import LayerValues, layer_values
from depthwise.network.graph import Graph
from depthwise.runtime.prediction import Prediction
from support.explained import NAMES, network_and_weights, random_positions

CLOSE = 1e-4

STEPS = """places => places.map(([layer, position, index]) => {
  const cell = depthwise.explain(layer, position);
  return {
    ...cell,
    sums: cell.channels.map(channel => channel.sum),
    one: cell.channels[index % cell.channels.length],
    products: cell.terms.map(term => term.product),
    equivalent: cell.equivalent.length ? cell.equivalent[index % cell.equivalent.length].kernel : null,
    channels: null,
    terms: null,
  };
})"""
"""Of each cell all sums, and one channel's window, kernel and products in turn: all of them would be 100 MB."""


def _expected(name: str, page: Any) -> tuple[Graph, dict[str, Any], LayerValues]:
    graph, weights = network_and_weights(name)
    picture = np.array(page.run("() => Array.from(depthwise.state.picture)"), np.float32)
    return graph, weights, layer_values(graph, weights, (picture.reshape(graph.input_shapes[0]),))


def _assert_close(found: Any, expected: Any, where: object) -> None:
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    assert found.shape == expected.shape, where
    np.testing.assert_allclose(found, expected, rtol=CLOSE, atol=CLOSE, err_msg=str(where))


@pytest.mark.parametrize("name", NAMES)
def test_200_random_cells_have_the_same_steps(opened: Callable[..., Any], name: str) -> None:
    page = opened(name)
    graph, weights, values = _expected(name, page)
    places = random_positions(graph, 200, seed=31)
    found = page.run(STEPS, [[layer, position, index] for index, (layer, position) in enumerate(places)])
    for index, ((layer, position), cell) in enumerate(zip(places, found, strict=True)):
        facts, where = cell_facts(graph, weights, values, layer, position), (layer, position)
        assert cell["operation"] in (facts["operation"], "activation"), where
        _assert_close(cell["output"], facts["check"]["computed"], where)
        channels = facts.get("channels") or facts.get("depthwise") or []
        _assert_close(cell["sums"], [channel["sum"] for channel in channels], where)
        if channels:
            for part in ("window", "kernel", "products"):
                _assert_close(cell["one"][part], channels[index % len(channels)][part], (*where, part))
        for part, key in (("sum", "sum"), ("bias", "bias"), ("before", "before_activation")):
            if facts.get(key) is not None and facts["operation"] not in ("average", "sum"):
                _assert_close(cell[part], facts[key], (*where, part))
        if "equivalent" in facts:
            same = facts["equivalent"]["channels"]
            _assert_close(cell["equivalent"], same[index % len(same)]["kernel"], (*where, "Ŵ"))
        if facts["operation"] in ("dense", "separable"):
            terms = facts["terms"] if "terms" in facts else facts["pointwise"]
            _assert_close(cell["products"], [term["product"] for term in terms], where)
        if facts["operation"] == "operations":
            for part in ("result", "position"):
                assert [step[part] for step in cell["steps"]] == [step[part] for step in facts["steps"]], where
            _assert_close([step["value"] for step in cell["steps"]], [step["value"] for step in facts["steps"]], where)
            expressions = [step["text"] for step in facts["steps"] if step["kind"] == "expression"]
            assert [step["text"] for step in cell["steps"] if step["kind"] == "Elementwise"] == expressions, where
        if facts.get("winner") and "place" in facts:
            _assert_close(cell["values"], facts["window"], where)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_for_every_layer_is_what_the_reference_computed(opened: Callable[..., Any], name: str) -> None:
    page = opened(name)
    graph, weights, values = _expected(name, page)
    generator = np.random.default_rng(5)
    for node in graph.calls:
        position = tuple(int(generator.integers(size)) for size in node.output_shape)
        page.go(f"#/layer/{node.name}/{','.join(map(str, position))}")
        assert page.page.get_by_test_id("layer-name").inner_text() == node.name
        facts, where = cell_facts(graph, weights, values, node.name, position), (node.name, position)
        _assert_close(page.value("output"), facts["output"], where)
        if facts["operation"] in ("convolution", "separable"):
            channel = (facts.get("channels") or facts["depthwise"])[0]
            for part in ("window", "kernel", "products"):
                _assert_close(page.values(part), np.ravel(channel[part]), (*where, part))
            _assert_close(page.values("channel-sum"), [channel["sum"]], where)
            _assert_close(page.value("sum"), facts["sum"], where)
            _assert_close(page.value("bias"), facts["bias"] or 0.0, where)
            _assert_close(page.value("before"), facts["before_activation"], where)
        if facts["operation"] == "operations":
            _assert_close(page.values("steps"), [step["value"] for step in facts["steps"]], where)
        if facts["operation"] == "convolution" and len(facts["channels"]) > 1:
            _assert_close(page.values("channel-sums"), [item["sum"] for item in facts["channels"]], where)
        if facts["operation"] == "separable":
            _assert_close(page.values("middle-values"), [item["sum"] for item in facts["depthwise"]], where)
            _assert_close(page.values("pointwise-products"), [item["product"] for item in facts["pointwise"]], where)
            _assert_close(
                page.values("equivalent-kernel"), np.ravel(facts["equivalent"]["channels"][0]["kernel"]), where
            )
            _assert_close(page.values("equivalent-sum"), [facts["sum"]], where)
        if node.facts.parameters.value:
            assert (
                page.page.get_by_test_id("fact-parameters").inner_text().replace("\xa0", " ")
                == node.facts.parameters.text
            )
        if node.facts.macs.value:
            assert page.page.get_by_test_id("fact-macs").inner_text().replace("\xa0", " ") == node.facts.macs.text


@pytest.mark.parametrize("name", ["note-separable", "note-cnn", "note-ordinary"])
def test_the_network_in_the_page_agrees_with_the_compiled_one_on_100_images(
    opened: Callable[..., Any], name: str
) -> None:
    graph, weights = network_and_weights(name)
    images = load_data("mnist").scaled().x_test[:100]
    prediction = Prediction(lower(graph))
    prediction.load(weights)
    (expected,) = prediction((images,))
    page = opened(name)
    script = "([images, name]) => images.map(image => Array.from(depthwise.run(image).get(name)))"
    found = page.run(script, [images.reshape(100, -1).tolist(), graph.outputs[0]])
    assert np.abs(np.array(found) - expected).max() <= CLOSE


@pytest.mark.parametrize("name", ["every-layer", "by-operations"])
def test_every_layer_in_the_page_agrees_with_the_compiled_one(opened: Callable[..., Any], name: str) -> None:
    graph, weights = network_and_weights(name)
    page = opened(name)
    script = (
        "image => Object.fromEntries([...depthwise.run(image)].map(([name, values]) => [name, Array.from(values)]))"
    )
    for seed in range(20):
        picture = np.random.default_rng(seed).random(graph.input_shapes[0]).astype(np.float32)
        expected = layer_values(graph, weights, (picture,))
        found = page.run(script, picture.ravel().tolist())
        assert set(found) == {node.name for node in graph.calls}
        for layer, array in expected.by_layer.items():
            _assert_close(found[layer], array.ravel(), (seed, layer))

"""The page as a file: self-contained, small enough, thinned where it must be, and safe from the names in it."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.applications import MobileNetV2
from depthwise.errors import InvalidArgumentError, InvalidDataError
from depthwise.explain.explanation import Explanation, explain
from depthwise.explain.note import small_network, small_picture, small_weights
from depthwise.explain.page import MOST_WEIGHT_BYTES, Page, Sample, make_page
from depthwise.explain.page_values import computed_maps
from depthwise.explain.samples import page_samples
from depthwise.explain.values import native_values
from depthwise.layers import Add, Concatenate, Dense, Flatten, Rescaling
from depthwise.messages import LANGUAGES
from depthwise.models import Model, Sequential
from depthwise.network.graph import Graph
from depthwise.network.initialize import draw_weights
from depthwise.network.symbolic import Input, functional
from depthwise.networks import note_cnn
from support.explained import mobile_network, network_and_weights, tiny

NOTES = ("note-cnn", "note-separable", "note-ordinary")


def _page(graph: Graph, **options: Any) -> Page:
    samples, names, _ = page_samples(graph)
    return make_page(graph, draw_weights(graph, 0), samples=samples, class_names=names, with_times=False, **options)


def _data(page: Page) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="depthwise-data">(.*?)</script>', page.html, re.DOTALL)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


@pytest.mark.parametrize("name", NOTES)
def test_the_notes_networks_fit_into_3_mb_whole(name: str) -> None:
    graph, _ = network_and_weights(name)
    page = _page(graph)
    assert len(page.html.encode("utf-8")) <= 3_000_000
    assert page.kept_layers == page.layers == len(graph.calls)


def test_the_page_carries_the_weights_bit_for_bit() -> None:
    graph, _ = network_and_weights("every-layer")
    weights = draw_weights(graph, 0)
    page = _page(graph)
    blob = re.search(r'<script type="text/plain" id="depthwise-weights">(.*?)</script>', page.html)
    assert blob
    numbers = np.frombuffer(base64.b64decode(blob[1]), "<f4")
    for key, place in _data(page)["weights"].items():
        size = weights[key].size
        np.testing.assert_array_equal(numbers[place["offset"] : place["offset"] + size], weights[key].ravel())


def test_nothing_in_the_page_loads_and_only_its_own_script_may_run() -> None:
    page = _page(network_and_weights("note-cnn")[0]).html
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == rules["connect-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode("utf-8")).digest()).decode("ascii")
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert not re.search(r'<(?:link|script|img|iframe)[^>]*(?:src|href)="(?!data:)', page)
    assert "@import" not in page


def test_a_network_of_200_layers_is_thinned_and_says_so() -> None:
    graph = mobile_network()
    assert len(graph.calls) > 200
    page = _page(graph)
    assert 0 < page.kept_layers < page.layers == len(graph.calls)
    data = _data(page)
    assert data["kept_layers"] == page.kept_layers
    kept = sum(np.prod(place["shape"]) for place in data["weights"].values()) * 4
    assert kept <= MOST_WEIGHT_BYTES
    assert len(page.html.encode("utf-8")) < 6_000_000
    assert len(data["network"]["layers"]) == len(graph.calls)


def test_both_languages_travel_with_the_page() -> None:
    data = _data(_page(network_and_weights("note-cnn")[0], language="zh"))
    assert data["language"] == "zh"
    assert set(data["languages"]) == set(LANGUAGES)
    assert all(set(message) == set(LANGUAGES) for message in data["messages"].values())


def test_the_twin_stands_beside_the_network() -> None:
    compare = _data(_page(network_and_weights("note-separable")[0]))["compare"]
    assert compare["totals"]["parameters"] == 435_306
    assert compare["pairs"] == [[[index], [index]] for index in range(13)]
    assert compare["times"] is None


HOSTILE_LAYER = "<!--<script><img src=x onerror=alert(1)>\"'&\u2028"
HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=alert(1)>"\'&\u2028'


def test_a_hostile_name_cannot_end_the_data_or_the_frame() -> None:
    graph = tiny(HOSTILE_LAYER, model=HOSTILE)
    page = _page(graph)
    assert page.html.count("</script>") == 3
    assert "<img" not in page.html.split('id="depthwise-data"')[1].split("</script>")[0]
    assert _data(page)["network"]["layers"][1]["name"] == HOSTILE_LAYER
    explanation = Explanation(Model.from_graph(graph))
    table = explanation._repr_html_()
    notebook = explanation.show()._repr_html_()
    assert notebook.count("<iframe") == 1
    for shown in (table, notebook):
        assert "<script" not in shown
        assert "<img" not in shown
    frame = re.search(r'srcdoc="([^"]*)"', notebook)
    assert frame
    assert html.unescape(frame[1]).startswith("<!doctype html>")


def test_in_a_notebook_what_the_terminal_says_and_the_way_to_the_page(tmp_path: Path) -> None:
    graph, weights = network_and_weights("note-cnn")
    model = Model.from_graph(graph, weights)
    explanation = explain(model, "conv2d", language="zh")
    shown = explanation._repr_html_()
    assert "32×(3×3×1)+32 = 320" in shown
    assert "<pre>" in shown
    assert "参数" in shown
    assert "交互页面" in shown
    assert "<a " not in shown
    saved = explanation.save(tmp_path / "a page.html")
    assert saved is explanation
    assert re.search(r'<a href="[^"]*/a%20page\.html"', saved._repr_html_())
    cell = html.unescape(model.explain("conv2d", at=(3, 4, 7), sample=0)._repr_html_())
    assert str(model.explain("conv2d", at=(3, 4, 7), sample=0)) in cell


def test_a_model_shows_itself_in_a_notebook() -> None:
    model = note_cnn()
    shown = model._repr_html_()
    assert shown is not None
    assert "<caption>note-cnn</caption>" in shown
    assert "32×(3×3×1)+32 = 320" in shown
    assert Sequential()._repr_html_() is None
    a, b = Input((4, 4, 1)), Input((4, 4, 1))
    two = Model([a, b], Add()([a, b]))._repr_html_()
    assert two is not None
    assert "<table>" in two


def test_an_output_in_a_notebook_stays_small() -> None:
    model = MobileNetV2(weights=None, input_shape=(32, 32, 3))
    for explanation in (model.explain(), model.explain("Conv1"), note_cnn().explain("conv2d", at=(3, 4, 7))):
        shown = explanation._repr_html_()
        assert len(shown.encode()) < 50_000
        assert "<iframe" not in shown
    assert "and 56 more layers" in model.explain()._repr_html_()


def test_a_picture_of_ones_own_goes_along() -> None:
    graph = small_network()
    explanation = Model.from_graph(graph, small_weights(graph)).explain(
        "small_conv2d", (1, 1, 2), picture=small_picture()
    )
    assert explanation.cell["check"]["computed"] == 26.0
    data = _data(explanation.page(with_times=False))
    pixels = np.frombuffer(base64.b64decode(data["inputs"][0]["samples"][0]["pixels"]), np.uint8).reshape(5, 5, 2)
    np.testing.assert_array_equal(pixels * data["inputs"][0]["range"] / 255, small_picture())


def test_the_explanation_as_text_facts_and_file(tmp_path: Any) -> None:
    graph, weights = network_and_weights("note-cnn")
    explanation = explain(Model.from_graph(graph, weights), "conv2d", at=(3, 4, 7), sample=2)
    assert "they agree" in str(explanation)
    assert explanation.facts["cell"]["check"]["agrees"]
    explanation.save(tmp_path / "page.html")
    data = re.search(r'"place":(\{[^}]*\})', (tmp_path / "page.html").read_text(encoding="utf-8"))
    assert data
    assert json.loads(data[1]) == {"layer": "conv2d", "position": [3, 4, 7]}
    with pytest.raises(InvalidArgumentError, match="not of one cell"):
        _ = explain(Model.from_graph(graph, weights)).cell


def test_bad_input_is_refused() -> None:
    graph, weights = network_and_weights("note-cnn")
    with pytest.raises(InvalidArgumentError, match="language must be one of"):
        make_page(graph, weights, language="xx")
    with pytest.raises(InvalidDataError, match="takes one sample of shape"):
        make_page(graph, weights, samples=[Sample(np.zeros((3, 3, 1), np.uint8), "x")], with_times=False)
    with pytest.raises(InvalidDataError, match="must be uint8"):
        make_page(graph, weights, samples=[Sample(np.zeros((28, 28, 1)), "x")], with_times=False)  # type: ignore[arg-type]


def test_times_are_measured_for_both_networks() -> None:
    graph = tiny()
    weights = draw_weights(graph, 0)
    compare = _data(make_page(graph, weights))["compare"]
    if compare is not None:  # one channel in: there is no twin to measure
        pytest.fail("a convolution of one input channel has no separable twin")
    graph, weights = network_and_weights("note-cnn")
    times = _data(make_page(graph, weights))["compare"]["times"]
    assert [run["batch"] for run in times["batches"]] == [1, 256]
    assert all(run["network"] > 0 and run["twin"] > 0 for run in times["batches"])


def test_maps_of_layers_that_the_page_does_not_run_are_those_of_the_compiled_network() -> None:
    graph = mobile_network(6)
    weights = draw_weights(graph, 0)
    picture = np.random.default_rng(4).random(graph.input_shapes[0]).astype(np.float32)
    kept = len(graph.calls) - 12
    found = computed_maps(graph, weights, (picture,), kept)
    expected = native_values(graph, weights, (picture,))
    assert list(found) == [node.name for node in graph.calls[kept:] if node.output_shape]
    for name, stored in found.items():
        blob = base64.b64decode(stored["numbers"])
        if stored["channels"]:
            values = np.frombuffer(blob, np.int8).reshape(stored["shape"]) * stored["factor"]
            own = expected[name][:, :, stored["channels"]]
            np.testing.assert_allclose(values, own, rtol=0, atol=0.5001 * stored["factor"])
        else:
            np.testing.assert_array_equal(np.frombuffer(blob, "<f4"), expected[name])
    assert computed_maps(graph, weights, (picture,), len(graph.calls)) == {}


def test_each_input_of_a_network_has_a_picture() -> None:
    a, b = Input((6, 6, 1), name="a"), Input((5, 4, 3), name="b")
    joined = Concatenate(name="joined")([Flatten()(a), Flatten()(Rescaling(1 / 255)(b))])
    graph = functional([a, b], Dense(2, name="end")(joined))
    own = Sample(np.arange(36, dtype=np.uint8).reshape(6, 6, 1), "mine")
    data = _data(make_page(graph, draw_weights(graph, 0), samples=[own], with_times=False))
    first, second = data["inputs"]
    assert (first["name"], first["shape"], first["range"], first["samples"][0]["label"]) == ("a", [6, 6, 1], 1, "mine")
    assert (second["name"], second["shape"], second["range"], len(second["samples"])) == ("b", [5, 4, 3], 255, 1)


def test_the_notes_page_holds_its_examples_and_slips() -> None:
    graph = small_network()
    assert [graph.by_name[name].facts.parameters.value for name in graph.outputs] == [57, 27]  # both read the same map
    page = (
        Model.from_graph(graph, small_weights(graph))
        .explain(picture=small_picture())
        .page(False, False, with_note=True)
    )
    note = _data(page)["note"]
    assert [[layer["value"] for layer in item["layers"]] for item in note["examples"]] == [
        [57], [320, 18_496, 36_928], [27], [1344], [2400]
    ]  # fmt: skip
    assert len(note["answers"]) == 15
    for item in [*note["examples"], *note["answers"]]:
        alive = item["alive"]
        if alive is not None:
            shape = graph.by_name[alive["layer"]].output_shape
            assert all(place < size for place, size in zip(alive["position"], shape, strict=True))
        for text in (item.get("quote") or item["title"], item.get("answer") or item["title"]):
            assert not re.search(r"[一-鿿]", text["en"])
    plain = _data(Model.from_graph(graph, small_weights(graph)).explain().page(False, False))
    assert plain["note"] is None

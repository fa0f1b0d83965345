"""Networks with several inputs, and the note's own page, as a reader uses them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.explain.note import small_network, small_picture, small_weights
from depthwise.explain.page import make_page
from depthwise.explain.values import native_values
from depthwise.layers import Concatenate, Conv2D, Dense, Flatten
from depthwise.models import Model
from depthwise.network.initialize import draw_weights
from depthwise.network.symbolic import Input, functional


def test_each_of_several_inputs_is_shown_and_changed(opened: Callable[..., Any], tmp_path: Path) -> None:
    a, b = Input((8, 8, 1), name="left"), Input((6, 6, 3), name="right")
    maps = [Flatten()(Conv2D(2, 3, name=f"conv_{name}")(x)) for name, x in (("left", a), ("right", b))]
    graph = functional([a, b], Dense(3, activation="softmax", name="end")(Concatenate(name="joined")(maps)), name="two")
    weights = draw_weights(graph, 3)
    (tmp_path / "two.html").write_text(make_page(graph, weights, with_times=False).html, encoding="utf-8")
    page = opened(tmp_path / "two.html", "#/layer/conv_right")
    assert page.page.get_by_test_id("input-0").get_attribute("aria-pressed") == "true"

    def agrees() -> None:
        pictures = page.run("() => depthwise.state.pictures.map(picture => Array.from(picture))")
        shaped = tuple(np.array(p, np.float32).reshape(shape) for p, shape in zip(pictures, graph.input_shapes))
        expected = native_values(graph, weights, shaped)
        for name in ("conv_left", "conv_right", "end"):
            shown = page.run("name => Array.from(depthwise.state.values.get(name))", name)
            np.testing.assert_allclose(shown, expected[name].ravel(), rtol=0, atol=2e-5)

    agrees()
    before = page.run("() => Array.from(depthwise.state.values.get('conv_left'))")
    page.page.get_by_test_id("input-1").click()
    pad = page.page.get_by_test_id("pad")
    assert (pad.get_attribute("width"), pad.get_attribute("height")) == ("6", "6")
    box = pad.bounding_box()
    page.page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 90, box["y"] + 90, steps=3)
    page.page.mouse.up()
    assert page.run("() => depthwise.state.isAsMade") is False
    agrees()
    assert page.run("() => Array.from(depthwise.state.values.get('conv_left'))") == before
    page.page.wait_for_url(re.compile(r"input=1&picture="))
    for view in ("#/", "#/network", "#/kernel", "#/layer/joined", "#/layer/end/1", "#/guess", "#/compare"):
        page.go(view)


@pytest.mark.parametrize(("language", "intro"), [("en", "The note is a short text"), ("zh", "这篇笔记是")])
def test_the_notes_page_opens_at_the_note(
    opened: Callable[..., Any], tmp_path: Path, language: str, intro: str
) -> None:
    graph = small_network()
    explanation = Model.from_graph(graph, small_weights(graph)).explain(picture=small_picture(), language=language)
    (tmp_path / "note.html").write_text(explanation.page(False, False, with_note=True).html, encoding="utf-8")
    page = opened(tmp_path / "note.html")
    main = page.page.get_by_test_id("view-note")
    assert intro in main.inner_text()
    assert page.page.get_by_test_id("example").count() == 5
    assert page.page.get_by_test_id("slip").count() == 15
    assert "3×(3×3×2)+3 = 57" in page.page.get_by_test_id("example").first.inner_text()
    if language == "en":
        assert not re.search(r"[一-鿿]", main.inner_text())
    page.page.get_by_test_id("example").nth(2).get_by_test_id("alive").click()
    assert page.page.get_by_test_id("layer-name").inner_text() == "small_separable_conv2d"
    assert "= 27" in page.page.get_by_test_id("facts").inner_text().replace("\xa0", " ")
    page.go("#/layer/small_conv2d/1,1,2")
    assert page.value("output") == 26

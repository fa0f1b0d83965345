"""The page in a browser: every view, both languages, keyboard, speed, safety, accessibility."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from depthwise.explain.explanation import Explanation
from depthwise.explain.page import make_page
from depthwise.layers.descriptions import Conv2D, DepthwiseConv2D, SeparableConv2D
from depthwise.messages import LANGUAGES, catalogue
from depthwise.models import Model
from depthwise.network.facts import describe
from depthwise.network.initialize import draw_weights
from support.explained import mobile_network, network_and_weights, tiny

FRAME = 16.0
"""Milliseconds. Times are the page's own processor time: what else the machine does at the same time is not its fault."""

VIEWS = (
    "#/",
    "#/network",
    "#/kernel",
    "#/layer/separable_conv2d/3,4,5",
    "#/layer/dense/7",
    "#/layer/flatten/9",
    "#/try/conv2d",
    "#/guess",
    "#/compare",
)


def _tag(element: Any) -> str:
    return str(element.inner_text()).replace("\xa0", " ")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_view_speaks_the_language(opened: Callable[..., Any], language: str) -> None:
    page = opened("note-separable")
    page.page.get_by_test_id(f"language-{language}").click()
    for view in (*VIEWS, *(f"#/layer/{node.name}" for node in network_and_weights("note-separable")[0].calls)):
        page.go(view)
        text = page.page.locator("body").inner_text()
        assert not re.search(r"\b(?:page|remark|meaning|kind)\.[a-z_]+", text), view
        if language == "en":
            assert not re.search(r"[一-鿿]", text.replace("中文", "")), view
        else:
            assert re.search(r"[一-鿿]", text.replace("中文", "")), view
    assert page.run("() => document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
    for key in ("nav.network", "nav.compare"):
        assert page.page.get_by_text(catalogue()[f"page.{key}"][language], exact=True).count() == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened: Callable[..., Any], theme: str) -> None:
    page = opened("note-separable", color_scheme=theme, bypass_csp=True)
    for view in VIEWS:
        page.go(view)
        found = Axe().run(page.page).response["violations"]
        serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
        shown = [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in serious]
        assert not shown, (view, shown)


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_wider_than_the_screen(opened: Callable[..., Any], width: int, language: str) -> None:
    page = opened("note-separable", viewport={"width": width, "height": 800})
    page.page.get_by_test_id(f"language-{language}").click()
    for view in VIEWS:
        page.go(view)
        assert page.run("() => document.documentElement.scrollWidth") <= width, view


def test_the_policy_lets_nothing_out(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn")
    script = """async () => {
      const blocked = new Set();
      const all = new Promise(done => document.addEventListener("securitypolicyviolation", event => {
        blocked.add(event.effectiveDirective.split("-")[0]);
        if (["connect", "img", "script"].every(name => blocked.has(name))) done();
      }));
      fetch("https://example.com/").catch(() => null);
      const image = new Image();
      image.src = "https://example.com/x.png";
      const script = document.createElement("script");
      script.textContent = "window.owned = true";
      document.body.append(script);
      await all;
      return window.owned === true;
    }"""
    assert page.run(script) is False
    assert all("Content Security Policy" in error for error in page.errors)
    page.errors.clear()
    page.requests[:] = [url for url in page.requests if "example.com" not in url]


@pytest.mark.parametrize(
    ("name", "layer"),
    [("note-cnn", "conv2d_1"), ("note-separable", "separable_conv2d_4"), ("note-ordinary", "conv2d_5")],
)
def test_hover_answers_within_a_frame(opened: Callable[..., Any], name: str, layer: str) -> None:
    page = opened(name, f"#/layer/{layer}/0,0,0")
    script = """async () => {
      const canvas = document.querySelector("[data-testid=output-maps]");
      const box = canvas.getBoundingClientRect();
      let moves = 0;
      for (let i = 0; i < 40; i++) {
        const x = box.left + box.width * ((i * 37) % 97) / 100 + 2;
        const y = box.top + box.height * ((i * 53) % 89) / 100 + 2;
        const before = depthwise.state.position.join();
        canvas.dispatchEvent(new PointerEvent("pointermove", {clientX: x, clientY: y, bubbles: true}));
        await Promise.resolve();
        document.body.offsetHeight;
        if (depthwise.state.position.join() !== before) moves++;
        await new Promise(done => setTimeout(done, 20));
      }
      return moves;
    }"""
    page.run(script)  # once for the browser's compiler
    before = page.milliseconds("Script", "Layout", "RecalcStyle")
    moves = page.run(script)
    assert moves > 15
    assert (page.milliseconds("Script", "Layout", "RecalcStyle") - before) / moves < FRAME


def test_moving_over_the_output_moves_window_and_numbers(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/layer/conv2d/0,0,0")
    first = page.value("output")
    page.page.get_by_test_id("output-maps").hover(position={"x": 30, "y": 20})
    position = page.run("() => depthwise.state.position")
    assert position[:2] != [0, 0]
    assert page.value("output") == pytest.approx(
        page.run("() => depthwise.explain('conv2d', depthwise.state.position).output")
    )
    assert page.page.get_by_test_id("page.place.row").input_value() == str(position[0])
    assert first == pytest.approx(page.run("() => depthwise.explain('conv2d', [0, 0, 0]).output"))


def test_play_pause_and_step(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/layer/conv2d/0,24,3")
    page.page.get_by_test_id("step").click()
    assert page.run("() => depthwise.state.position") == [0, 25, 3]
    page.page.get_by_test_id("step").click()
    assert page.run("() => depthwise.state.position") == [1, 0, 3]
    page.page.get_by_test_id("play").click()
    page.page.wait_for_function("() => depthwise.state.position[1] >= 3")
    page.page.get_by_test_id("play").click()
    assert not page.run("() => depthwise.state.playing")
    row, column, channel = page.run("() => depthwise.state.position")
    page.page.wait_for_function(f"() => location.hash === '#/layer/conv2d/{row},{column},{channel}'")
    assert page.run("() => depthwise.state.position") == [row, column, channel]


def test_the_keyboard_reaches_everything(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/layer/conv2d/5,5,0")
    press = page.page.keyboard.press
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft", "]", "]", "["):
        press(key)
    assert page.run("() => depthwise.state.position") == [4, 6, 1]
    press("n")
    assert page.run("() => depthwise.state.layerName") == "separable_conv2d"
    press(".")
    assert page.run("() => depthwise.state.inputChannel") == 1
    press("l")
    assert page.run("() => depthwise.state.language") == "zh"
    press("t")
    assert page.run("() => depthwise.state.theme") == "light"
    press(" ")
    assert page.run("() => depthwise.state.playing") is True
    press("?")
    assert page.page.get_by_test_id("help").is_visible()
    for key, view in zip("1234567", ("story", "network", "layer", "kernel", "try", "guess", "compare")):
        press(key)
        assert page.page.get_by_test_id(f"view-{view}").is_visible()


def test_deep_links_go_both_ways(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/layer/conv2d_1/3,4,7")
    assert page.page.get_by_test_id("layer-name").inner_text() == "conv2d_1"
    assert page.run("() => depthwise.state.position") == [3, 4, 7]
    page.page.keyboard.press("ArrowRight")
    page.page.wait_for_function("() => location.hash === '#/layer/conv2d_1/3,5,7'")
    for nonsense in (
        "#/layer/none/1,2,3",
        "#/layer/%E0%A4%A/1",
        "#/layer/conv2d/99,-4,abc",
        "#/layer/conv2d/1e9,0,0",
        "#/x/y/z",
    ):
        page.go(nonsense)
        assert page.page.locator("main").is_visible()
    assert page.run(
        "() => depthwise.state.position.every((place, axis) => place < depthwise.state.layer.output_shape[axis])"
    )


def test_drawing_changes_every_map_and_the_output(opened: Callable[..., Any]) -> None:
    page = opened("note-separable")
    script = "() => [...depthwise.state.values].map(([name, values]) => [name, values.reduce((a, b) => a + b, 0)])"
    before = dict(page.run(script))
    pad = page.page.get_by_test_id("pad")
    box = pad.bounding_box()
    page.page.mouse.move(box["x"] + 40, box["y"] + 60)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 200, box["y"] + 220, steps=8)
    page.page.mouse.up()
    after = dict(page.run(script))
    changed = {name for name, total in after.items() if total != before[name]}
    assert changed >= set(after) - {"dense_1"}  # the shares of a softmax always add up to 1
    shares = page.values("output-bars")
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)


def test_an_image_file_is_read_and_resized(opened: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (56, 56), 128).save(path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    page = opened("note-cnn")
    chooser = page.page.locator("input[type=file]")
    chooser.set_input_files(path)
    page.page.get_by_text("resized from 56×56 to 28×28").wait_for()
    picture = np.array(page.run("() => Array.from(depthwise.state.picture)"))
    np.testing.assert_allclose(picture, 128 / 255, atol=1e-6)
    chooser.set_input_files(tmp_path / "broken.png")
    page.page.get_by_text("broken.png is not an image").wait_for()


def test_hovering_a_factor_lights_what_it_counts(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/layer/conv2d_1/3,4,7")
    factors = page.page.get_by_test_id("fact-parameters").locator("button")
    assert [factors.nth(index).inner_text() for index in range(factors.count())] == ["64", "3", "3", "32", "64"]
    factors.nth(3).hover()
    assert page.page.locator(".lit canvas[data-testid=input-maps]").count() == 1
    assert page.page.get_by_test_id("tip").inner_text().startswith("32")
    factors.nth(1).hover()
    assert page.page.locator("figure.lit").count() >= 2


TRIED = [
    ("Conv2D", 5, 2, 1, "valid", 7, 20, 1, True),
    ("Conv2D", 3, 1, 3, "same", 3, 9, 1, False),
    ("SeparableConv2D", 3, 1, 1, "same", 12, 40, 1, True),
    ("SeparableConv2D", 4, 3, 1, "same", 12, 40, 5, False),
    ("DepthwiseConv2D", 7, 1, 2, "valid", 9, 0, 3, True),
]


@pytest.mark.parametrize(
    ("kind", "kernel", "stride", "dilation", "padding", "channels", "filters", "multiplier", "bias"), TRIED
)
def test_try_it_follows_arithmetic(
    opened: Callable[..., Any], kind: str, kernel: int, stride: int, dilation: int, padding: str, channels: int,
    filters: int, multiplier: int, bias: bool,
) -> None:  # fmt: skip
    page = opened("note-separable", "#/try/separable_conv2d")
    get = page.page.get_by_test_id
    get("try-kind").select_option(kind)
    get("try-padding").select_option(padding)
    for name, value in (("kernel", kernel), ("stride", stride), ("dilation", dilation), ("channels", channels)):
        get(f"try-{name}").fill(str(value))
    if kind != "DepthwiseConv2D":
        get("try-filters").fill(str(filters))
    if kind != "Conv2D":
        get("try-multiplier").fill(str(multiplier))
    get("try-bias").set_checked(bias)
    options: dict[str, Any] = {"strides": stride, "dilation_rate": dilation, "padding": padding, "use_bias": bias}
    kinds: dict[str, Callable[[], Any]] = {
        "Conv2D": lambda: Conv2D(filters, kernel, **options),
        "SeparableConv2D": lambda: SeparableConv2D(filters, kernel, depth_multiplier=multiplier, **options),
        "DepthwiseConv2D": lambda: DepthwiseConv2D(kernel, depth_multiplier=multiplier, **options),
    }
    facts = describe(kinds[kind](), ((28, 28, channels),))
    shown = [_tag(get(f"try-{name}")) for name in ("height", "width", "output-channels", "parameters", "macs")]
    assert shown == [*(formula.text for formula in facts.output_formulas), facts.parameters.text, facts.macs.text]
    assert get("try-dropped").is_visible() == bool(facts.rows and facts.rows.dropped)


def test_try_it_says_when_nothing_would_come_out(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/try/conv2d_2")
    page.page.get_by_test_id("try-kernel").fill("6")
    assert "the window is larger than the 5×5 map" in page.page.get_by_test_id("try-empty").inner_text()


def test_predict_then_reveal(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/guess")
    get = page.page.get_by_test_id
    get("quiz-counting").click()
    get("next-question").click()
    assert "How many parameters does conv2d have?" in get("question").inner_text()
    get("guess").fill("288")
    get("check").click()
    assert "You left out the biases" in get("verdict").inner_text()
    get("guess").fill("1")
    get("check").click()
    assert "Try again" in get("verdict").inner_text()
    get("guess").fill("320")
    get("check").click()
    assert "Right." in get("verdict").inner_text()
    assert _tag(get("answer")) == "32×(3×3×1)+32 = 320"
    get("next-question").click()
    get("reveal").click()
    assert _tag(get("answer")).endswith("= 194,688")


def test_compare_shows_the_twin_and_the_measured_times(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/compare")
    text = page.page.get_by_test_id("compare").inner_text()
    assert "93,322" in text
    assert "time for one sample at batch 256" in text
    assert "µs" in text
    rows = page.page.get_by_test_id("compare-layers").locator("tbody tr")
    assert rows.count() == 9
    assert page.page.locator("tbody.changed").count() == 2


def test_the_separable_view_counts_up_place_by_place(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/layer/separable_conv2d/27,27,0")
    separable, ordinary = (
        int(page.page.get_by_test_id(f"page.side.{kind}-macs").inner_text().replace(",", ""))
        for kind in ("separable", "ordinary")
    )
    assert (separable, ordinary) == (1_028_608, 7_225_344)
    page.go("#/layer/separable_conv2d/0,0,0")
    first = int(page.page.get_by_test_id("page.side.separable-macs").inner_text().replace(",", ""))
    assert first == 1_028_608 // 784


@pytest.mark.parametrize("name", ["note-cnn", "note-separable", "note-ordinary"])
def test_the_notes_pages_open_within_a_second(opened: Callable[..., Any], name: str) -> None:
    assert opened(name).milliseconds("Task") < 1000


def test_a_page_of_200_layers_opens_in_3_seconds_and_says_what_it_left_out(
    opened: Callable[..., Any], tmp_path: Path
) -> None:
    graph = mobile_network()
    made = make_page(graph, draw_weights(graph, 0), with_times=False)
    path = tmp_path / "mobile.html"
    path.write_text(made.html, encoding="utf-8")
    page = opened(path)
    page.go("#/network")
    assert not page.page.get_by_test_id("layers").is_visible(), "so long a table waits behind a click"
    page.page.get_by_test_id("all-layers").locator("summary").click()
    assert page.page.get_by_test_id("layers").locator("tbody tr").count() == len(graph.calls)
    assert page.milliseconds("Task") < 3000
    said = f"the first {made.kept_layers} of {len(graph.calls)} layers"
    assert said in page.page.locator("footer").inner_text()
    page.page.get_by_test_id("fold-all").click()
    assert page.page.get_by_test_id("graph").locator("a").count() == len(graph.calls)
    page.go(f"#/layer/{graph.calls[-1].name}")
    assert said in page.page.get_by_test_id("thinned").inner_text()
    page.go(f"#/layer/{graph.calls[1].name}/3,3,3")
    assert page.page.get_by_test_id("output").is_visible()


HOSTILE_LAYER = '<img src=x onerror="window.owned=1"><svg onload=window.owned=1>\'"&\u2028{layer}%'
HOSTILE_MODEL = "</script><script>window.owned=1</script>" + HOSTILE_LAYER


@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_names_stay_text(opened: Callable[..., Any], tmp_path: Path, language: str) -> None:
    graph = tiny(HOSTILE_LAYER, model=HOSTILE_MODEL)
    path = tmp_path / "hostile.html"
    path.write_text(make_page(graph, draw_weights(graph, 0), language, with_times=False).html, encoding="utf-8")
    page = opened(path)
    for node in graph.calls:
        page.run("name => depthwise.state.open('layer', name)", node.name)
        page.run("() => depthwise.tick()")
        assert page.run("() => document.querySelector('[data-testid=layer-name]').textContent") == node.name
    for view in ("guess", "compare", "try", "network", "kernel", "story"):
        page.run("view => { depthwise.state.open(view); return depthwise.tick(); }", view)
    assert page.run("() => window.owned") is None
    assert page.run("() => document.querySelectorAll('main img[src=x]').length") == 0


def test_the_page_works_in_a_notebooks_sandboxed_frame(opened: Callable[..., Any], tmp_path: Path) -> None:
    graph, weights = network_and_weights("note-cnn")
    shown = Explanation(Model.from_graph(graph, weights), "conv2d", at=(3, 4, 7)).show()._repr_html_()
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><main>{shown}</main>", encoding="utf-8")
    page = opened(path)
    frame = page.page.frame_locator("iframe")
    assert frame.get_by_test_id("layer-name").inner_text() == "conv2d"
    assert frame.get_by_test_id("output").is_visible()
    frame.get_by_test_id("step").click()
    assert frame.get_by_test_id("page.place.column").input_value() == "5"
    page.requests[:] = [url for url in page.requests if url != "about:srcdoc"]


def test_it_prints(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/layer/separable_conv2d/3,4,5", color_scheme="dark")
    page.page.emulate_media(media="print")
    assert not page.page.get_by_test_id("play").is_visible()
    assert page.page.get_by_test_id("facts").is_visible()
    assert page.run("() => getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"


def test_facts_in_the_page_are_those_of_python(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn")
    graph, _ = network_and_weights("note-cnn")
    facts = page.run("() => JSON.stringify(depthwise.data.network.totals)")
    assert json.loads(facts)["parameters"] == graph.parameters

"""What a learner sees: the story, the kernel editor, the graph, the quiz, links, phones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from depthwise.explain.page import make_page
from depthwise.layers.descriptions import Dense, InputLayer
from depthwise.messages import LANGUAGES, catalogue, section
from depthwise.network.graph import sequential
from depthwise.network.initialize import draw_weights
from support.explained import mobile_network, network_and_weights, sequences

VIEWS = (
    "#/",
    "#/network",
    "#/layer/separable_conv2d",
    "#/layer/dense",
    "#/kernel",
    "#/try/conv2d",
    "#/guess",
    "#/compare",
)

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def test_the_story_shows_true_sums_and_two_stages_give_the_number_of_one(opened: Callable[..., Any]) -> None:
    page = opened("note-separable")
    get = page.page.get_by_test_id
    picture = np.round(np.array(page.run("() => Array.from(depthwise.state.picture)")).reshape(28, 28) * 255)
    peek = np.reshape(page.values("story-peek"), (5, 5))
    places = [(i, j) for i in range(24) for j in range(24) if np.array_equal(picture[i : i + 5, j : j + 5], peek)]
    assert places
    window = np.reshape(page.values("story-window"), (3, 3))
    assert np.array_equal(window, peek[:3, :3])
    assert window.any(), "the story opens where there is something to see"
    assert page.values("story-products") == (window * SOBEL).ravel().tolist()
    assert page.values("story-sum") == [(window * SOBEL).sum()]
    assert page.value("story-mixed") == page.value("story-total")
    get("mix-1").click()
    assert page.value("story-mixed") != page.value("story-total")
    get("story-outputs").fill("64")
    costs = get("story-costs").inner_text()
    assert "1,728" in costs
    assert "219" in costs
    assert "29,275,904" in get("step-5").inner_text(), "what was saved is this network's own saving"
    get("story-result").hover(position={"x": 60, "y": 60})
    assert page.values("story-peek") != peek.ravel().tolist()


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_explain_themselves_on_hover_and_on_touch(opened: Callable[..., Any], language: str) -> None:
    page = opened("note-separable", f"#/?language={language}", has_touch=True)
    for name in ("kernel", "depthwise", "mac"):
        word = page.page.locator(f"[data-term={name}]").first
        for point in (word.hover, word.tap):
            point()
            assert catalogue()[f"page.term.{name}"][language] in page.page.get_by_test_id("tip").inner_text()
        page.page.keyboard.press("Escape")
        assert page.page.get_by_test_id("tip").count() == 0


def test_a_question_gives_a_hint_then_the_reason(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/story/3")
    step = page.page.get_by_test_id("step-3")
    step.locator("summary").click()
    step.locator("[data-answer=wrong_one]").click()
    assert catalogue()["quiz.channels.hint"]["en"] in step.inner_text()
    step.locator("[data-answer=right]").click()
    assert catalogue()["quiz.channels.reason"]["en"] in step.inner_text()


def test_a_quiz_ends_with_a_result_and_asks_again_what_went_wrong(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/guess")
    get = page.page.get_by_test_id
    count = len({key.split(".")[1] for key in section("quiz.")})
    for index in range(count):
        get("question").locator("[data-answer=right]" if index != 4 else "[data-answer=wrong_two]").click()
        get("next-question").click()
    assert f"{count - 1} of {count}" in get("quiz-result").inner_text()
    get("quiz-missed").click()
    assert "Question 1 of 1" in get("question").inner_text()
    get("question").locator("[data-answer=right]").click()
    get("next-question").click()
    assert "1 of 1" in get("quiz-result").inner_text()


def test_what_is_no_number_is_no_wrong_answer(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/guess")
    get = page.page.get_by_test_id
    get("quiz-counting").click()
    assert 'Conv2D(filters=32, kernel_size=(3, 3), padding="same", activation="selu")' in get("question").inner_text()
    for text in ("abc", "", "-"):
        get("guess").fill(text)
        get("check").click()
        assert "Write a whole number" in get("verdict").inner_text()
        assert "0 of 0" in get("question").inner_text()
    get("reveal").click()
    assert "as high as the input" in get("question").inner_text(), "an answer that is one number says why"


def test_kernels_are_edited_and_their_outer_products_drawn(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/kernel")
    get = page.page.get_by_test_id
    products = page.page.get_by_test_id("outer-product")
    for name, rank in (("blur", 1), ("vertical", 1), ("wide_blur", 1), ("sharpen", 2), ("outline", 2), ("emboss", 3)):
        get(f"preset-{name}").click()
        numbers = [float(field.input_value()) for field in get("kernel-numbers").locator("input").all()]
        assert products.count() == rank == np.linalg.matrix_rank(np.reshape(numbers, (-1, int(len(numbers) ** 0.5))))
    get("preset-blur").click()
    first = [float(text.replace("−", "-")) for text in products.first.locator("[data-value]").all_inner_texts()]
    assert first[:6] == [1, 2, 1, 1, 2, 1]
    get("preset-copy").click()
    centre = page.values("kernel-window")[4]
    assert page.value("kernel-sum") == centre
    get("kernel-numbers").locator("input").nth(4).fill("−3")
    get("kernel-numbers").locator("input").nth(4).press("Enter")
    assert page.value("kernel-sum") == -3 * page.values("kernel-window")[4]
    get("kernel-numbers").locator("input").nth(0).fill("x")
    get("kernel-numbers").locator("input").nth(0).press("Enter")
    assert get("kernel-numbers").locator("input").nth(0).input_value() == "0"


def test_a_photo_is_filtered_at_its_own_size(opened: Callable[..., Any], tmp_path: Path) -> None:
    pixels = np.zeros((120, 90, 3), np.uint8)
    pixels[:, 40:] = (200, 200, 200)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    page = opened("note-separable", "#/kernel")
    page.page.locator("input[type=file]").set_input_files(tmp_path / "photo.png")
    page.page.get_by_text("resized from 90×120 to 28×28").wait_for()
    assert page.run("() => [depthwise.state.photo.height, depthwise.state.photo.width]") == [120, 90]
    assert page.value("kernel-sum") == 800, "the edge of 0 against 200 under Sobel's 1, 2, 1"
    page.page.get_by_text("Clear", exact=True).click()
    assert page.run("() => depthwise.state.photo") is None


def test_what_a_depthwise_layer_can_copy_is_measured(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/kernel")
    get = page.page.get_by_test_id
    vertical, horizontal = SOBEL.ravel(), SOBEL.T.ravel()
    singular = np.linalg.svd(np.stack([vertical, horizontal]), compute_uv=False)
    assert page.value("lost") == pytest.approx(singular[1] ** 2 / (singular**2).sum())
    get("second-kernel").select_option("vertical")
    assert page.value("lost") == pytest.approx(0, abs=1e-9)
    get("second-kernel").select_option("blur")
    assert page.value("lost") > 0.05
    get("multiplier-2").click()
    assert page.value("lost") == 0


@pytest.fixture(scope="module")
def mobile_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = mobile_network(16)
    path = tmp_path_factory.mktemp("mobile") / "mobile.html"
    html = make_page(graph, draw_weights(graph, 0), with_times=False).html
    assert len(html.encode()) < 4_000_000
    path.write_text(html, encoding="utf-8")
    return path


def test_the_story_says_what_size_of_picture_the_network_reads(opened: Callable[..., Any], mobile_page: Path) -> None:
    page = opened(mobile_page, "#/story")
    said = page.page.locator("#step-1").inner_text()
    assert " × ".join(map(str, mobile_network(16).input_shapes[0])) in said
    assert "in grey with" in said
    assert "a table of 28 × 28 numbers" in opened("note-separable").page.locator("#step-1").inner_text()


def test_a_deep_network_is_folded_onto_one_screen(opened: Callable[..., Any], mobile_page: Path) -> None:
    page = opened(mobile_page, "#/network", viewport={"width": 1440, "height": 900})
    get = page.page.get_by_test_id
    assert page.page.get_by_test_id("unit").count() < 30
    fits = "() => { const box = document.querySelector('.window'); return box.scrollHeight <= box.clientHeight + 1; }"
    assert page.run(fits)
    assert get("minimap").count() == 0
    assert "inverted residual" in get("graph").inner_text()
    block = page.page.locator(".node.block").first
    block.get_by_test_id("unfold").click()
    assert get("skip").count() == 1, "the skip connection around the unfolded block"
    names = get("unit").all_inner_texts()
    assert any("BN" in name and "ReLU" in name and "Conv2D" in name for name in names)
    get("fold-all").click()
    while get("larger").is_enabled():
        get("larger").click()
    assert get("minimap").is_visible()
    get("search").fill("depthwise_conv2d_3")
    assert get("found").inner_text() == "1 found"
    assert page.page.locator(".node.found").count() == 1


def test_layers_behind_the_embedded_weights_show_what_the_network_computed(
    opened: Callable[..., Any], mobile_page: Path
) -> None:
    graph = mobile_network(16)
    page = opened(mobile_page, f"#/layer/{graph.calls[-4].name}")
    assert page.run("() => depthwise.data.kept_layers") < len(graph.calls) - 4
    assert page.page.get_by_test_id("stored-maps").is_visible()
    assert len(page.values("output-bars")) == 10
    page.page.get_by_text("Clear", exact=True).click()
    assert page.page.get_by_test_id("stored-maps").count() == 0, "they belong to the first picture"
    page = opened(mobile_page, f"#/layer/{graph.outputs[0]}")
    assert "when this page was made: 100 numbers" in page.page.get_by_test_id("stored").inner_text()
    assert "The 10 largest of 100 values." in page.page.get_by_test_id("side").inner_text()
    bars = page.page.get_by_test_id("output-bars")
    widths = bars.locator(".fill").evaluate_all("all => all.map(bar => parseFloat(bar.style.width) / 100)")
    assert widths == pytest.approx(page.values("output-bars"), rel=1e-5), "shares are drawn as shares of everything"
    page.go("#/layer/re_lu")
    assert "relu6" in page.page.get_by_test_id("stage").inner_text()
    assert page.page.get_by_text("ReLU(max_value=6)", exact=True).is_visible(), "no argument that has its default"


def test_a_deep_network_is_compared_by_what_was_exchanged(opened: Callable[..., Any], mobile_page: Path) -> None:
    page = opened(mobile_page, "#/compare")
    groups, changed = page.page.get_by_test_id("group"), page.page.locator("tbody.changed")
    assert groups.count() == changed.count() == 16
    assert "are the same in both networks" in page.page.get_by_test_id("view-compare").inner_text()
    page.page.get_by_test_id("compare-all").click()
    assert groups.count() > 60
    assert changed.count() == 16
    page.page.get_by_test_id("compare-all").click()
    assert groups.count() == 16


def test_branches_are_drawn_and_every_layer_is_in_the_graph_once(opened: Callable[..., Any]) -> None:
    page = opened("every-layer", "#/network")
    graph, _ = network_and_weights("every-layer")
    if page.page.get_by_test_id("fold-all").count():
        page.page.get_by_test_id("fold-all").click()
    links = (
        page.page.get_by_test_id("graph").locator("a").evaluate_all("all => all.map(link => link.getAttribute('href'))")
    )
    assert sorted(links) == sorted(f"#/layer/{node.name}" for node in graph.calls)
    reading = sum(len(set(node.reads)) for node in graph.calls)
    followers = len(graph.calls) - page.page.get_by_test_id("unit").count()
    drawn = page.page.get_by_test_id("edge").count() + page.page.get_by_test_id("skip").count()
    assert drawn == reading - followers


def test_a_click_zooms_into_the_layer(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/network")
    page.page.get_by_test_id("unit").nth(2).locator("a").first.click()
    page.page.get_by_test_id("layer-name").get_by_text("separable_conv2d", exact=True).wait_for()
    assert page.value("output") != 0, "a layer opens where there is something to see"


def test_there_are_six_sizes_of_type_and_none_is_tiny(opened: Callable[..., Any]) -> None:
    page = opened("note-separable")
    script = """() => [...document.querySelectorAll("body *")]
      .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
      .filter(one => one.offsetParent && !["SCRIPT", "STYLE", "OPTION"].includes(one.tagName))
      .map(one => parseFloat(getComputedStyle(one).fontSize))"""
    sizes = set()
    for view in VIEWS:
        page.go(view)
        sizes |= set(page.run(script))
    assert len(sizes) <= 6, sizes
    assert min(sizes) >= 12, sizes


def test_a_link_holds_language_theme_and_picture(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/layer/conv2d/3,4,5?language=zh&theme=dark&sample=7")
    assert page.run("() => document.documentElement.lang") == "zh-CN"
    assert page.run("() => document.documentElement.dataset.theme") == "dark"
    assert page.run("() => depthwise.state.sample") == 7
    assert page.run("() => depthwise.state.position") == [3, 4, 5]
    box = page.page.get_by_test_id("pad").bounding_box()
    page.page.mouse.click(box["x"] + 50, box["y"] + 50)
    page.page.wait_for_function("() => location.hash.includes('picture=')")
    link = page.run("() => location.hash")
    assert link.startswith("#/layer/conv2d/3,4,5?language=zh&theme=dark&picture=")
    drawn = np.array(page.run("() => Array.from(depthwise.state.picture)"))
    again = opened("note-separable", link)
    np.testing.assert_allclose(again.run("() => Array.from(depthwise.state.picture)"), drawn, atol=1 / 30 + 1e-6)


@pytest.mark.parametrize(("locale", "expected"), [("zh-CN", "zh-CN"), ("de-DE", "en"), ("en-GB", "en")])
def test_the_page_speaks_what_the_browser_asks_for(opened: Callable[..., Any], locale: str, expected: str) -> None:
    page = opened("note-cnn", locale=locale)
    assert page.run("() => document.documentElement.lang") == expected


def test_a_named_language_is_kept(opened: Callable[..., Any], tmp_path: Path) -> None:
    graph = sequential([InputLayer(shape=(4,)), Dense(3)])
    path = tmp_path / "zh.html"
    path.write_text(make_page(graph, draw_weights(graph, 0), "zh", with_times=False).html, encoding="utf-8")
    page = opened(path, locale="en-US")
    assert page.run("() => document.documentElement.lang") == "zh-CN"
    for view in ("#/", "#/network", "#/kernel", "#/guess", "#/compare", "#/layer/dense"):
        page.go(view)
        assert page.page.locator("main").inner_text()


def test_a_field_that_was_emptied_shows_the_place_again(opened: Callable[..., Any]) -> None:
    page = opened("note-cnn", "#/layer/conv2d/3,4,5")
    field = page.page.get_by_test_id("page.place.row")
    for text in ("", "-9", "999"):
        field.fill(text)
        field.press("Enter")
        assert field.input_value() == str(page.run("() => depthwise.state.position")[0])


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_a_phone_nothing_is_cut_and_the_picture_stays_in_view(opened: Callable[..., Any], language: str) -> None:
    page = opened("note-separable", f"#/network?language={language}", viewport={"width": 390, "height": 844})
    inside = """selector => [...document.querySelectorAll(selector)].filter(one => one.offsetParent).every(one => {
      const box = one.getBoundingClientRect();
      return box.left >= 0 && box.right <= innerWidth + 0.5 && one.scrollWidth <= one.clientWidth + 1;
    })"""
    assert page.run(inside, "nav a")
    assert page.page.get_by_test_id("layers").get_by_text("1,028,608").is_visible()
    assert page.run(inside, "[data-testid=layers] td")
    page.run("() => scrollTo(0, 900)")
    assert page.run("() => document.querySelector('[data-testid=side] canvas').getBoundingClientRect().top >= 0")
    page.page.get_by_test_id("change-picture").click()
    assert page.page.get_by_test_id("pad").is_visible()
    page.page.get_by_test_id("change-picture").click()
    page.go("#/compare")
    assert page.run(inside, "[data-testid=compare-layers] td")
    page.go("#/layer/separable_conv2d/3,4,5")
    signs = """() => [...document.querySelectorAll(".pair")].every(pair => {
      const [sign, table] = pair.children;
      return !table || sign.getBoundingClientRect().top < table.getBoundingClientRect().bottom;
    })"""
    assert page.run(signs), "a sign stands beside what it belongs to"
    assert page.run("() => document.documentElement.scrollHeight") < 3600, "a layer is no endless page"
    page.page.get_by_test_id("separable-side").locator("summary").first.click()
    assert page.page.get_by_test_id("page.side.separable-macs").is_visible()


def test_the_arithmetic_is_on_the_first_screen(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/layer/separable_conv2d_1/3,4,5", viewport={"width": 1440, "height": 900})
    for name in ("window", "kernel", "products", "channel-sum", "output"):
        box = page.page.get_by_test_id(name).bounding_box()
        assert box["y"] + box["height"] <= 900, name
    planes = [page.page.get_by_test_id(name).bounding_box() for name in ("zoom-plane", "output-plane")]
    assert planes[0]["y"] == planes[1]["y"], "from the input to the output in one line"
    assert page.page.get_by_test_id("pad").is_visible(), "the picture can be changed here too"


def test_try_it_runs_on_the_picture(opened: Callable[..., Any]) -> None:
    page = opened("note-separable", "#/try/conv2d")
    before = page.value("try-value")
    assert before != 0, "it opens where there is something to see"
    page.page.get_by_test_id("step").click()
    stepped = page.value("try-value")
    assert stepped != before
    page.page.get_by_test_id("try-numbers").select_option("horizontal")
    assert page.value("try-value") != stepped
    canvas = "() => document.querySelectorAll('.drawing canvas')[1].toDataURL()"
    drawn = page.run(canvas)
    page.page.get_by_test_id("try-numbers").select_option("outline")
    assert page.run(canvas) != drawn
    page.page.get_by_test_id("try-kernel").fill("1")
    assert page.page.get_by_test_id("try-numbers").count() == 0, "one number is no pattern"


def test_sequences_and_transposed_convolutions_say_how_a_number_comes_about(opened: Callable[..., Any]) -> None:
    page = opened("sequences")
    for node in sequences().calls[1:]:
        page.go(f"#/layer/{node.name}")
        assert page.page.get_by_test_id("output").is_visible(), node.name
        assert page.page.locator(".verdict.bad").count() == 0, node.name
    page.go("#/layer/causal")
    assert "products" in page.page.get_by_test_id("steps").inner_text()

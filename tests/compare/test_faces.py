"""The terminal and the page: complete in both languages, hostile names harmless, no network, markup well formed."""

import base64
import dataclasses
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from importlib.resources import files
from pathlib import Path

import pytest
from rich.console import Console

import depthwise.compare
from depthwise.compare.charts import Bar, Drawing, Series, bars, curves, layer_bars, ratio_bars, ticks
from depthwise.compare.console import print_report
from depthwise.compare.page import report_page
from depthwise.compare.report import Report
from depthwise.errors import InvalidArgumentError
from depthwise.layers.descriptions import Conv2D, Dense, GlobalAveragePooling2D
from depthwise.messages import LANGUAGES, catalogue
from depthwise.network.graph import sequential
from depthwise.network.twins import Direction, twin_direction
from support.made_up import made_up, stopped_early, with_mistakes

HOSTILE = "</style><script>alert(1)</script>\x1b[31m[red]\u202e\"'&"


def terminal(report: Report, language: str, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        print_report(report, console, language)
    return console.export_text()


def parse(page: str) -> ElementTree.Element:
    """The page as XML, which it is but for its first line."""
    doctype, _, rest = page.partition("\n")
    assert doctype == "<!doctype html>"
    return ElementTree.fromstring(rest)


def shown_of(page: str) -> ElementTree.Element:
    """What a reader sees of the page: the part in the language that it was made in."""
    (main,) = (item for item in parse(page).iter("main") if item.get("hidden") is None)
    return main


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "report",
    [made_up(), made_up((1, 2, 3)), stopped_early(), with_mistakes(made_up())],
    ids=["one", "seeds", "stopped", "mistakes"],
)
def test_both_faces_show_the_results(report: Report, language: str) -> None:
    shown = terminal(report, language)
    page = report_page(report, language)
    plain = "".join(shown_of(page).itertext())
    for text in (shown, plain):
        assert "8×(3×3×1)+16×(1×1×8)+16 = 216" in text
        assert "16×(3×3×8)+16 = 1,168" in text
        assert "88,576" in text
    if report.is_complete:
        assert ("78.1 µs" if language == "en" else "78.1 微秒") in plain
    else:
        assert "Ctrl-C" in plain
        assert "Ctrl-C" in shown


def test_terminal_fits_80_columns() -> None:
    assert max(len(line.rstrip()) for line in terminal(made_up((1, 2)), "en", 80).splitlines()) <= 80


def test_hostile_names_stay_text() -> None:
    report = with_mistakes(made_up(name=HOSTILE, layer_name=HOSTILE.replace("/", "")), HOSTILE)
    shown = terminal(report, "en")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]" in shown  # shown as it is, not read as a colour
    page = report_page(report, "en")
    root = parse(page)
    (script,) = root.iter("script")
    assert script.text == files("depthwise.compare").joinpath("page.js").read_text(encoding="utf-8")
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "<script>" in "".join(root.itertext())  # as text


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_asks_the_network_for_nothing(language: str) -> None:
    page = report_page(with_mistakes(made_up()), language)
    root = parse(page)
    policy = next(item.get("content") for item in root.iter("meta") if item.get("http-equiv"))
    assert policy is not None
    hashes = []
    for tag in ("script", "style"):
        (part,) = root.iter(tag)
        hashes.append(base64.b64encode(hashlib.sha256((part.text or "").encode()).digest()).decode())
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; img-src data:; style-src 'sha256-{hashes[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"https?://|url\(|@import", page)
    for item in root.iter():
        assert {"style", "onload", "onclick"}.isdisjoint(item.keys()), item.tag
        assert item.get("src", "data:").startswith("data:")
        assert item.get("href", "explain-").startswith("explain-")  # a file beside it
    assert root.get("lang") == ("en" if language == "en" else "zh-Hans")
    assert shown_of(page).get("lang") == root.get("lang")


def test_dark_colours_are_the_same_by_choice_and_by_system() -> None:
    style = files("depthwise.compare").joinpath("page.css").read_text(encoding="utf-8")
    blocks = [
        re.findall(r"--[a-z-]+: #[0-9a-f]{6}", style.split(start)[1].split("}")[0])
        for start in (":root:not([data-theme=light]) {", ":root[data-theme=dark] {")
    ]
    assert blocks[0] == blocks[1] != []


def test_page_of_the_note_is_small() -> None:
    assert len(report_page(made_up((1, 2, 3)), "en").encode()) < 200_000  # in two languages


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="got 'fr'"):
        report_page(made_up(), "fr")


def test_every_message_is_used() -> None:
    folder = Path(depthwise.compare.__file__).parent
    paths = [*folder.glob("*.py"), *folder.glob("*.jinja"), folder.parent / "cli" / "compare.py"]
    source = "".join(path.read_text(encoding="utf-8") for path in paths)
    keys = [key.removeprefix("comparison.") for key in catalogue() if key.startswith("comparison.")]
    made = {"kind_batch", "kind_single", "kind_training"}  # from Ratio.kind
    unused = [key for key in keys if key not in made and not re.search(rf'["\'.]{key}["\']', source)]
    assert unused == []


def test_both_languages_name_the_same_facts() -> None:
    for key, texts in catalogue().items():
        if key.startswith("comparison."):
            names = {language: set(re.findall(r"\{(\w+)", text)) for language, text in texts.items()}
            assert names["en"] == names["zh"], key


def attributes(drawing: Drawing, tag: str) -> list[dict[str, object]]:
    return [shape.attributes for shape in drawing.shapes if shape.tag == tag]


def test_bars_have_the_width_of_their_share() -> None:
    drawing = bars([Bar("a", "1", (1.0, 1.0), "first"), Bar("b", "4", (4.0,), "second")], "t")
    widths = [item["width"] for item in attributes(drawing, "rect") if item["class"] != "track"]
    assert widths == ["25.000%", "25.000%", "100.000%"]


def test_ratio_marks_stand_where_a_bar_of_that_ratio_ends() -> None:
    drawing = ratio_bars([Bar("a", "5×", (5.0,), "first")], [(1.0, "no"), (5.0, "all")], "t")
    marks = [str(item["x1"]) for item in attributes(drawing, "line")]
    width = str(attributes(drawing, "rect")[0]["width"])
    assert marks[1] == width
    assert float(marks[0].rstrip("%")) == pytest.approx(float(width.rstrip("%")) / 5, abs=1e-2)


def test_curves_leave_out_what_is_not_finite() -> None:
    series = [Series((0.5, float("nan"), 0.25, 0.125), ("a", "b", "c", "d"), "first")]
    drawing = curves(series, "t", lambda value, digits: f"{value:.{digits}f}", "epoch")
    assert drawing is not None
    assert len(attributes(drawing, "circle")) == 3
    assert sum(item["class"] == "curve first" for item in attributes(drawing, "line")) == 1
    heights = [float(str(item["cy"])) for item in attributes(drawing, "circle")]
    assert heights == sorted(heights)  # falling values go down the page
    assert curves([Series((float("nan"),), ("a",), "first")], "t", lambda value, digits: "", "epoch") is None


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.98, 0.98), (0.962, 0.991), (0.001, 2.3), (1e-9, 1e-8)])
def test_ticks_cover_the_range_and_are_few(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found[0] <= low + 1e-12
    assert found[-1] >= high - 1e-12
    assert 1 <= len(found) <= 7


def test_layer_bars_leave_out_layers_without_arithmetic() -> None:
    drawing = layer_bars([(0, "", "first"), (5, "5 = 5", "second")], 10, "t")
    assert [(shape.attributes["width"], shape.attributes["y"], shape.tip) for shape in drawing.shapes] == [
        ("50.000%", 15, "5 = 5")
    ]


def test_a_kind_of_convolution_has_its_colour_whichever_network_is_first() -> None:
    report = made_up()
    kinds = [twin_direction(network.graph) for network in report.networks]
    assert kinds == [Direction.ORDINARY, Direction.SEPARABLE], "a separable network, then an ordinary one"
    assert '<body class="separable-first">' in report_page(report, "en")
    turned = dataclasses.replace(report, networks=(report.networks[1], report.networks[0]))
    assert '<body class="ordinary-first">' in report_page(turned, "en")
    alike = dataclasses.replace(report, networks=(report.networks[0], report.networks[0]))
    assert "<body>" in report_page(alike, "en")


def test_the_mistakes_are_shown_with_the_place_that_explains_each() -> None:
    root = shown_of(report_page(with_mistakes(made_up()), "en"))
    links = [item.get("href") for item in root.iter("a")]
    assert links == [
        "explain-light.html#/layer/dense/1?language=en&sample=0",
        "explain-light.html#/layer/dense/2?language=en&sample=1",
    ]
    plain = "".join(root.itertext())
    assert "light: 2 wrong" in plain
    assert "three, taken for one (75.0 %)" in plain
    (table,) = (item for item in root.iter("table") if item.get("class") == "confusion")
    rows = [["".join(cell.itertext()) for cell in row.iter("td")] for row in table.iter("tr")]
    assert rows[0] == [""]
    assert rows[3] == ["", "1", "5"] + [""] * 7  # two
    wrong = [cell for cell in table.iter("td") if cell.get("class") == "wrong-1"]
    assert [cell.get("title") for cell in wrong] == ["two taken for one: 1", "three taken for one: 1"]


def test_every_point_of_a_curve_shows_its_value() -> None:
    root = shown_of(report_page(made_up(), "en"))
    spots = [item for item in root.iter("g") if item.get("class") == "spot"]
    assert len(spots) == 3 * 3 * 2  # epochs, curves, networks
    assert spots[0].get("aria-label") == "light, seed 1, epoch 1: 94.00 %"
    assert spots[0].get("tabindex") == "0"  # by touch and by keyboard too
    assert [text.text for text in spots[0].iter("text")] == ["94.00 %"]


def test_a_part_of_a_bar_that_cannot_be_seen_is_not_explained() -> None:
    report = made_up()
    assert report_page(report, "en").count("convolutional part ■ dense head □") == 2
    tall = sequential([Conv2D(64, 3, input_shape=(32, 32, 8)), GlobalAveragePooling2D(), Dense(10)], "tall")
    first, second = (dataclasses.replace(network, graph=tall) for network in report.networks)
    shown = report_page(dataclasses.replace(report, networks=(first, second)), "en")
    assert (
        shown.count("convolutional part ■ dense head □") == 1
    )  # of the parameters; 640 MACs of 4 million are no part of a bar

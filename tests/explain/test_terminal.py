"""The terminal's text against golden files, and the sums printed in it added up again.

To change a golden file, delete it, run the test once, and read what it wrote.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from depthwise.explain.cells import cell_facts
from depthwise.explain.facts import network_facts
from depthwise.explain.note import small_network, small_picture, small_weights
from depthwise.explain.terminal import cell_lines, network_lines, print_lines
from depthwise.explain.text import number_text, printable
from depthwise.explain.values import layer_values
from depthwise.messages import LANGUAGES
from support.explained import network_and_weights, tiny

GOLDEN = Path(__file__).parent / "golden"


def _text(lines: Iterator[Any] | Sequence[Any]) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        print_lines(console, lines)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _small(layer: str, position: tuple[int, ...], language: str) -> str:
    graph = small_network()
    weights = small_weights(graph)
    values = layer_values(graph, weights, (small_picture(),))
    facts = cell_facts(graph, weights, values, layer, position)
    return _text(cell_lines(facts, graph.by_name[layer].reads, language))


def _golden(name: str) -> str:
    language = name.rsplit("-", 1)[-1]
    if name.startswith("cell-conv2d"):
        return _small("small_conv2d", (1, 1, 2), language)
    if name.startswith("cell-separable"):
        return _small("small_separable_conv2d", (0, 2, 1), language)
    return _text(network_lines(network_facts(network_and_weights(name[: -len(language) - 1])[0]), language))


NAMES = [
    f"{what}-{language}"
    for what in ("cell-conv2d", "cell-separable", "note-cnn", "note-separable", "every-layer")
    for language in LANGUAGES
]


@pytest.mark.parametrize("name", NAMES)
def test_the_text_is_the_golden_text(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    text = _golden(name)
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path.name} was not there and has been written; read it, then commit it")
    assert text == path.read_text(encoding="utf-8")


def _numbers(text: str) -> list[float]:
    return [float(item) for item in re.findall(r"-?\d+\.\d+(?:e[+-]\d+)?", text)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_printed_sums_add_up(language: str) -> None:
    text = (GOLDEN / f"cell-conv2d-{language}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"\n  (?:input channel|输入通道) \d+\n", text)[1:]
    assert len(blocks) == 2
    sums = []
    for block in blocks:
        rows = [_numbers(row) for row in block.splitlines()[1:4]]
        window, kernel, products = (np.array([row[start : start + 3] for row in rows]) for start in (0, 3, 6))
        np.testing.assert_array_equal(window * kernel, products)
        printed = float(re.search(r"→ (-?\d+\.\d+)", block)[1])  # type: ignore[index]
        assert products.sum() == printed
        sums.append(printed)
    end = [_numbers(line) for line in blocks[-1].splitlines()[4:]]
    listed, total, bias, before, output, computed = end[:6]
    assert listed == sums
    assert sum(sums) == total[0]
    assert total[0] + bias[0] == before[0]
    assert max(before[0], 0.0) == output[0] == computed[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_printed_products_of_a_separable_cell_add_up(language: str) -> None:
    text = (GOLDEN / f"cell-separable-{language}.txt").read_text(encoding="utf-8")
    terms = re.findall(r"\[\d+\]\s+\(?(-?[\d.]+)\)? × \(?(-?[\d.]+)\)? = (-?[\d.]+)", text)
    assert len(terms) == 2
    for value, weight, product in terms:
        assert float(value) * float(weight) == float(product)
    total = sum(float(product) for _, _, product in terms)
    printed = float(re.search(r"(?:sum over channels|各通道相加)\s+(-?[\d.]+)", text)[1])  # type: ignore[index]
    equivalent = float(re.search(r"(?:sum with Ŵ|用 Ŵ 求得的和)\s+(-?[\d.]+)", text)[1])  # type: ignore[index]
    assert total == printed == equivalent


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("cell")])
def test_the_printed_formulas_give_the_printed_numbers(name: str) -> None:
    text = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").replace(",\n", ",")
    formulas = re.findall(r"([\d(⌊⌈][\d,×+−()/⌊⌋⌈⌉]*[×+−/][\d,×+−()/⌊⌋⌈⌉]*) = ([\d,]+)(?![\d.,])", text)
    assert len(formulas) > 20
    for expression, value in formulas:
        python = expression.replace(",", "").replace("×", "*").replace("−", "-")
        python = re.sub(r"⌊([^⌊⌋]*)/([^⌊⌋]*)⌋", r"((\1)//(\2))", python)
        python = re.sub(r"⌈([^⌈⌉]*)/([^⌈⌉]*)⌉", r"(-((-(\1))//(\2)))", python)
        assert eval(python, {"__builtins__": {}}) == int(value.replace(",", "")), expression
    layers = [
        int(value.replace(",", ""))
        for value in re.findall(r"^  (?:parameters|参数)\s.*= ([\d,]+)$", text, re.MULTILINE)
    ]
    total = int(re.search(r"([\d,]+) (?:parameters|个参数)", text)[1].replace(",", ""))  # type: ignore[index]
    assert sum(layers) == total


HOSTILE = "\x1b[31mred\x07[bold]x[blink]‮\n<script>alert(1)"


def test_a_hostile_name_cannot_touch_the_terminal() -> None:
    graph = tiny(HOSTILE, model=HOSTILE)
    weights = {
        f"{node.name}/{weight.name}": np.ones(weight.shape, np.float32)
        for node in graph.calls
        for weight in node.weights
    }
    values = layer_values(graph, weights, (np.ones((6, 6, 1), np.float32),))
    facts = cell_facts(graph, weights, values, HOSTILE, (0, 0, 0))
    for lines in (network_lines(network_facts(graph), "en"), cell_lines(facts, graph.by_name[HOSTILE].reads, "zh")):
        text = _text(lines)
        assert all(char.isprintable() or char == "\n" for char in text)
        assert "[bold]x[blink]" in text  # shown as it is, not as markup


def test_names_and_numbers_as_text() -> None:
    assert printable("a" * 100) == "a" * 59 + "…"
    assert printable("卷积‮") == "卷积\\u202e"
    assert [number_text(value) for value in (-0.0, 0.5, 123456.0, 1e-9)] == [
        "0.0000",
        "0.5000",
        "1.235e+05",
        "1.000e-09",
    ]


def test_many_channels_are_thinned_unless_all_are_asked_for() -> None:
    graph, weights = network_and_weights("note-separable")
    picture = np.random.default_rng(0).random((28, 28, 1)).astype(np.float32)
    values = layer_values(graph, weights, (picture,))
    facts = cell_facts(graph, weights, values, "separable_conv2d", (3, 4, 5))
    short, whole = (_text(cell_lines(facts, ("conv2d",), "en", show_all)) for show_all in (False, True))
    assert short.count(" of stage 1 (input") == 8
    assert "24 more channels" in short
    assert whole.count(" of stage 1 (input") == 32
    assert "more channels" not in whole

"""The catalogue is complete: both languages, the same facts in both, nothing missing, nothing unused."""

import ast
import re
from pathlib import Path

import pytest

import depthwise
from depthwise.arguments import ACTIVATIONS
from depthwise.errors import InvalidArgumentError
from depthwise.explain.facts import network_facts
from depthwise.explain.questions import questions
from depthwise.layers.descriptions import LAYERS, Conv2D, SeparableConv2D
from depthwise.layers.operation import OPERATIONS
from depthwise.layers.tensors import TENSOR_OPERATIONS
from depthwise.messages import LANGUAGES, PLACEHOLDER, catalogue, keys, section, text
from depthwise.network.graph import sequential
from support.explained import NAMES, mobile_network, network_and_weights

PACKAGE = Path(depthwise.__file__).parent
WEB = PACKAGE.parents[1] / "web" / "src"
SOURCES = [
    *(PACKAGE / "explain").glob("*.py"),
    *(PACKAGE / "compare").glob("*.py"),
    *(PACKAGE / "bench").glob("*.py"),
    *(PACKAGE / "cli").glob("*.py"),
    *WEB.rglob("*.ts"),
    *WEB.rglob("*.svelte"),
]

FILES = {"page.html", "page.html.jinja", "page.css", "page.js"}
"""Names of files that look like keys."""

COMPUTED = (
    "kind.",
    "meaning.",
    "remark.",
    "note.example.",
    "note.answer.",
    "page.mistake.",
    "page.guess.asks_",
    "quiz.",
    "page.term.",
    "page.term_name.",
)
"""Keys of which the sources write the beginning only; other tests here ask for each of them."""


@pytest.mark.parametrize("key", keys())
def test_a_message_is_in_every_language_with_the_same_facts(key: str) -> None:
    message = catalogue()[key]
    assert set(message) == set(LANGUAGES)
    named = {language: sorted(PLACEHOLDER.findall(template)) for language, template in message.items()}
    for language, template in message.items():
        assert template == template.strip() or key == "page.blocks.thinned"
        assert template, f"{key} is empty in {language}"
        assert not re.search(r"[{}]", PLACEHOLDER.sub("", template)), f"{key}: a brace that names no fact"
    assert len({str(facts) for facts in named.values()}) == 1, named


@pytest.mark.parametrize("key", [key for key in keys() if not key.endswith("_keys")])
def test_chinese_is_chinese(key: str) -> None:
    same = {
        "command.bench_rate",
        "kind.ReLU",
        "page.side.equivalent_kernel",
        "terminal.intensity_unit",
        "page.fact.intensity",
    }
    chinese = re.search(r"[一-鿿]", catalogue()[key]["zh"])
    has_words = re.search(r"[A-Za-z]{3}", PLACEHOLDER.sub("", catalogue()[key]["en"]))
    assert chinese or not has_words or key in same, f"{key} has no Chinese: {catalogue()[key]['zh']}"
    assert not re.search(r"[一-鿿]", catalogue()[key]["en"]), f"{key} has Chinese in English"


def _literal_keys() -> dict[str, str]:
    """Everything in the sources that looks like a whole key of the catalogue, with the file it is in."""
    found = {}
    for path in SOURCES:
        for match in re.finditer(
            r"[\"'`]((?:page|terminal|note|comparison|command)(?:\.[a-z0-9_]+)+)[\"'`]",
            path.read_text(encoding="utf-8"),
        ):
            found[match[1]] = path.name
    return found


def test_every_key_in_the_sources_is_in_the_catalogue() -> None:
    literal = _literal_keys()
    assert len(literal) > 120
    missing = {key: name for key, name in literal.items() if key not in catalogue() and key not in FILES}
    assert not missing


def test_no_message_is_unused() -> None:
    written = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    beginnings = {
        match[1] for match in re.finditer(r"[\"'`]((?:page|terminal|note|comparison|command)\.[a-z_.]*)[{$]", written)
    }
    assert beginnings
    used = set(_literal_keys())
    unused = [
        key
        for key in keys()
        if key not in used and not key.startswith(COMPUTED) and not any(key.startswith(start) for start in beginnings)
    ]
    assert not unused


def test_every_layer_and_every_factor_of_a_formula_has_a_name() -> None:
    assert {f"kind.{kind}" for kind in {*LAYERS, *OPERATIONS, *TENSOR_OPERATIONS}} == set(section("kind."))
    files = [PACKAGE / "network" / "facts.py", *(PACKAGE / "layers").glob("*.py")]
    meanings = {
        str(node.args[1].value)
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "number"
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    }
    assert len(meanings) > 20
    for meaning in meanings:
        assert f"meaning.{meaning}" in catalogue(), meaning


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_remark_and_every_question_can_be_written(language: str) -> None:
    odd = sequential(
        [
            SeparableConv2D(2, 3, padding="same", input_shape=(9, 9, 1), trainable=False),
            SeparableConv2D(2, 3, depth_multiplier=5),
            Conv2D(3, 2, strides=3),
            Conv2D(4, 5, padding="same", activation=ACTIVATIONS[1]),
        ]
    )
    graphs = [odd, mobile_network(), *(network_and_weights(name)[0] for name in NAMES)]
    written = set()
    for graph in graphs:
        for layer in network_facts(graph)["layers"]:
            for remark in layer["remarks"]:
                assert text(remark["key"], language, **remark["facts"])
                written.add(remark["key"])
        for question in questions(graph):
            assert f"page.guess.asks_{question['asks']}" in catalogue()
            for mistake in question["mistakes"]:
                assert mistake["value"] != question["answer"]
                written.add(mistake["key"])
    assert written == set(section("remark.", "page.mistake."))


QUIZ_PARTS = ["asks", "hint", "reason", "right", "wrong_one", "wrong_two"]


def test_there_are_40_questions_each_with_its_answers_a_hint_and_a_reason() -> None:
    parts: dict[str, list[str]] = {}
    for key in section("quiz."):
        _, name, part = key.split(".")
        parts.setdefault(name, []).append(part)
    assert len(parts) == 40
    for name, found in parts.items():
        assert sorted(found) == QUIZ_PARTS, name
        for language in LANGUAGES:
            answers = {
                text(f"quiz.{name}.{part}", language) for part in QUIZ_PARTS if part.startswith(("right", "wrong"))
            }
            assert len(answers) == 3, name


def test_every_term_that_a_text_marks_is_explained_and_every_explanation_is_used() -> None:
    marked = {language: set[str]() for language in LANGUAGES}
    for message in catalogue().values():
        for language, template in message.items():
            marked[language] |= set(re.findall(r"\[[^\]|]+\|([a-z_]+)\]", template))
    explained = {key.removeprefix("page.term.") for key in section("page.term.")}
    assert explained == {key.removeprefix("page.term_name.") for key in section("page.term_name.")}
    assert marked["en"] == marked["zh"] == explained


def test_a_fact_is_never_read_as_a_template() -> None:
    assert text("page.cell.copy", "en", layer="{position}", position="1") == "A copy of {position} at 1."


@pytest.mark.parametrize("language", ["de", "", None, 3, "\x1b[31m"])
def test_an_unknown_language_is_refused_by_name(language: object) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"^language must be one of en \(English\), zh \(中文\), got "
    ) as caught:
        text("kind.Conv2D", language)  # type: ignore[arg-type]
    assert "\x1b" not in str(caught.value)

"""One English in prose: British spelling, Keras' own nouns as Keras writes them, and no phrases that no English speaker uses."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

STEMS = (
    "factor general initial maxim minim modern normal optim organ orthogonal parallel penal quant real recogn regular serial "
    "special summar symbol util vector visual"
)
"""Verbs in -ise, with what follows from them: `normalise`, `normalisation`."""

AS_KERAS = {"optimizer", "optimizers", "initializer", "initializers", "regularizer", "regularizers"}
OTHERWISE = {
    **{noun.replace("z", "s"): noun for noun in AS_KERAS},
    "analyze": "analyse",
    "analyzed": "analysed",
    "behavior": "behaviour",
    "catalog": "catalogue",
    "color": "colour",
    "colors": "colours",
    "colored": "coloured",
    "favor": "favour",
    "gray": "grey",
    "labeled": "labelled",
    "labeling": "labelling",
    "modeling": "modelling",
    "neighbor": "neighbour",
    "neighbors": "neighbours",
    "neighboring": "neighbouring",
}
PHRASES = [
    r"mend(s|ed|ing)?", r"kin", "one's own", "(is )?not to be had", "the way of the data", "that there (is|are) not",
    "for keras' sake", "what one has", "stands to reason", "in the place of", "of now", "one types",
]  # fmt: skip
"""Nobody says them."""

WORDS = re.compile(
    rf"\b(({'|'.join(STEMS.split())})i(z)(e|es|ed|er|ers|ing|ation|ations|able)|{'|'.join(OTHERWISE)})\b", re.IGNORECASE
)
UNIDIOMATIC = re.compile(rf"\b({'|'.join(PHRASES)})\b", re.IGNORECASE)

CODE = re.compile(r"``?[^`]*``?|\"[^\"]*\"|'[\w.]+'|\w+ must|import \w+|\w*[._/-]\w+|\w+[(=:]|https?://\S+")
"""Names and quotations, which are as they are."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, line) of a file's prose: comments, docstrings and messages; documents without their examples."""
    whole = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        inside = False
        for number, line in enumerate(whole.split("\n"), 1):
            inside ^= line.startswith("```")
            if not inside:
                yield number, line
        return
    for node in ast.walk(ast.parse(whole)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from enumerate(node.value.split("\n"), node.lineno)
    for token in tokenize.generate_tokens(io.StringIO(whole).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def files() -> Iterator[Path]:
    folders = [ROOT / name for name in ("src", "tests", "docs", "benchmarks")]
    yield from (path for folder in folders for kind in ("*.py", "*.md") for path in sorted(folder.rglob(kind)))
    yield from sorted(ROOT.glob("*.md"))


def wrong(line: str) -> list[str]:
    """The words and phrases of a line that are spelt otherwise, or not English."""
    plain = CODE.sub(" ", line)
    words = [match[0] for match in WORDS.finditer(plain) if match[0].lower() not in AS_KERAS]
    # Names of classes, such as `BatchNormalization`, come in one word with a capital.
    words = [word for word in words if not word[0].isupper() or word.isupper()]
    return words + [match[0] for match in UNIDIOMATIC.finditer(plain)]


def test_one_english() -> None:
    own = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}:{number}: {', '.join(words)}"
        for path in files()
        if path != own
        for number, line in texts(path)
        if (words := wrong(line))
    ]
    assert found == []


def test_what_is_found() -> None:
    for line, words in (
        ("It normalizes the color of the optimiser.", ["normalizes", "color", "optimiser"]),
        ("the optimizer normalises colours", []),
        ("`normalize`, normalize=True, color_mode, 'grayscale' and Normalization", []),
        ("this kernel mends the kind, and its kin", ["mends", "kin"]),
        ("a class of one's own is not to be had", ["one's own", "is not to be had"]),
    ):
        assert wrong(line) == words, line

"""What the documents name is there: files, commands and their options, dependency groups, Python names; examples run."""

import doctest
import importlib
import pkgutil
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image

import depthwise
from depthwise.cli import app
from depthwise.networks import note_ordinary, note_separable

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md"), *ROOT.glob("src/**/*.md")]
)
FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
FILE_ENDINGS = (".py", ".md", ".toml", ".yaml", ".css", ".zip", ".npz", ".txt", ".sh")
WRITTEN = re.compile(
    r"^(compare(-\d)?/.*|(photos|signs)/.*|build/site/.*|[\w-]+\.(keras|html|json|npz|npy|png|csv)|labels\.txt)$"
)
"""What commands in the documents write, and names that stand for the reader's own files."""


def identify(document: Path) -> str:
    return str(document.relative_to(ROOT))


def spans(text: str) -> list[str]:
    return SPAN.findall(FENCE.sub("", text))


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every command in a code span, or in a line of a shell block."""
    lines = spans(text)
    for language, block in FENCE.findall(text):
        if language in ("sh", "bash", "shell", "console"):
            lines += block.replace("\\\n", " ").splitlines()
    for line in lines:
        for part in re.split(r"&&|\|", line.removeprefix("$ ")):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            if words and words[0] in ("depthwise", "uv"):
                yield words


def is_path(text: str) -> bool:
    return bool(re.fullmatch(r"\w[\w.-]*(/[\w.-]*)*|\.ci/run", text)) and (text.endswith(FILE_ENDINGS) or "/" in text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_files_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = [span for span in spans(text) if is_path(span)]
    named += [
        target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if not re.match(r"\w+:|#", target)
    ]
    places = (ROOT, document.parent, ROOT / "src" / "depthwise", ROOT / "src")
    missing = [
        name for name in named if not WRITTEN.match(name) and not any((place / name).exists() for place in places)
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_commands_and_their_options_exist(document: Path) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for words in command_lines(document.read_text(encoding="utf-8")):
        if words[:2] == ["uv", "run"]:
            words = words[2:]
            while words and words[0] == "--group":
                assert words[1] in groups, f"no dependency group {words[1]}"
                words = words[2:]
        if not words or words[0] != "depthwise" or len(words) == 1 or words[1].startswith("-"):
            continue
        if words[1] == "help":  # which says what --help says
            continue
        assert words[1] in commands, f"no command {words[1]}"
        known = {option for parameter in commands[words[1]].params for option in parameter.opts} | {"--help", "-h"}
        known |= {option for parameter in commands[words[1]].params for option in parameter.secondary_opts}
        given = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}
        assert given <= known, f"{words[1]} has no {given - known}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_options_named_alone_exist(document: Path) -> None:
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {"--help", "--version", "--group"}
    for command in commands.values():
        for parameter in command.params:
            known |= {*parameter.opts, *parameter.secondary_opts}
    named = {span.split()[0].partition("=")[0] for span in spans(document.read_text("utf-8")) if span.startswith("--")}
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_python_names_exist(document: Path) -> None:
    for span in spans(document.read_text(encoding="utf-8")):
        name = re.match(r"depthwise(\.\w+)+", span)
        if not name or is_path(span):
            continue
        parts = name[0].split(".")[1:]
        value: Any = depthwise
        for index, part in enumerate(parts):
            if not hasattr(value, part):
                value = importlib.import_module("depthwise." + ".".join(parts[: index + 1]))
            else:
                value = getattr(value, part)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_python_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, but on 256 images of MNIST, so that an example may train for as long as it likes."""
    (x_train, y_train), (x_test, y_test) = depthwise.datasets.mnist.load_data()
    small = (x_train[:256], y_train[:256]), (x_test[:64], y_test[:64])
    monkeypatch.setattr(depthwise.datasets.mnist, "load_data", lambda: small)
    monkeypatch.chdir(tmp_path)
    blocks = [
        block for language, block in FENCE.findall((ROOT / name).read_text(encoding="utf-8")) if language == "python"
    ]
    assert blocks
    names: dict[str, Any] = {"np": np}
    for block in blocks:
        exec(compile(block, name, "exec"), names)


def public_modules() -> list[str]:
    return sorted(
        module.name
        for module in pkgutil.walk_packages(depthwise.__path__, "depthwise.")
        if not module.name.rpartition(".")[2].startswith("_")
    )


@pytest.mark.parametrize("name", public_modules())
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    for inner in pkgutil.iter_modules(
        getattr(module, "__path__", ())
    ):  # doctest cannot bear that one is imported as it looks
        importlib.import_module(f"{name}.{inner.name}")
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE, report=True)
    assert result.failed == 0


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_output_of_compare_is_the_real_one(name: str) -> None:
    """What does not depend on the machine: the formulas and the counts."""
    text = (ROOT / name).read_text(encoding="utf-8")
    shown = text.partition("<!-- compare -->\n```text\n")[2].partition("```")[0]
    for network in (note_separable(), note_ordinary()):
        assert network.name in shown
        assert f"{network.count_params():,}" in shown
        assert f"{network.graph.macs:,}" in shown
        for node in network.graph.calls:
            if node.weights:
                assert node.facts.parameters.expression in shown


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_two_commands_set_everything_up(name: str) -> None:
    start = re.split(r"^## ", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    commands = [block.splitlines() for language, block in FENCE.findall(start) if language == "sh"]
    assert [len(lines) for lines in commands] == [1, 1]
    first, second = (lines[0] for lines in commands)
    assert first.endswith("uv run depthwise compare")
    assert second == "uv run --group test pytest"


@pytest.mark.parametrize("document", DOCUMENTS, ids=identify)
def test_packages_are_installed_in_an_environment(document: Path) -> None:
    """Systems that manage their Python themselves (Debian, Ubuntu, Homebrew) refuse `pip install` elsewhere: PEP 668."""
    text = document.read_text(encoding="utf-8")
    blocks = [block for language, block in FENCE.findall(text) if language in ("sh", "bash", "shell", "console")]
    for line in "\n".join(blocks).splitlines():
        before, found, _ = line.partition("pip install")
        assert not found or "python3 -m venv .venv && . .venv/bin/activate && " in before


def test_both_readmes_have_the_same_parts() -> None:
    """The Chinese one is written anew, not translated; commands, code and tables of the English one must be in it too."""
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))
    assert re.findall(r"^(#+) ", english, re.MULTILINE) == re.findall(r"^(#+) ", chinese, re.MULTILINE)
    assert list(command_lines(english)) == list(command_lines(chinese))


def test_pictures_are_small_and_the_first_one_moves() -> None:
    """`.ci/pictures.py` makes them of the real page."""
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.webp"))
    assert {path.stem for path in pictures} == {"page", "story", "network", "layer", "kernel"}
    assert max(path.stat().st_size for path in pictures) < 1_000_000
    with Image.open(ROOT / "docs" / "pictures" / "page.webp") as picture:
        assert getattr(picture, "n_frames", 1) > 10
    for name in ("README.md", "README.zh.md"):
        assert "](docs/pictures/page.webp)" in (ROOT / name).read_text(encoding="utf-8").partition("\n## ")[0]

"""The tutorial as its reader goes through it: every command and every piece of Python, in order, in an empty folder."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import depthwise
from depthwise.cli import app
from depthwise.data import dataset

TUTORIAL = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_both_languages_have_the_same_steps() -> None:
    english, chinese = (path.read_text(encoding="utf-8") for path in (TUTORIAL, TUTORIAL.with_suffix(".zh.md")))
    assert FENCE.findall(english) == FENCE.findall(chinese)
    assert re.findall(r"^(#+ \d?)", english, re.MULTILINE) == re.findall(r"^(#+ \d?)", chinese, re.MULTILINE)


@pytest.mark.sweep
def test_every_step_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the first 512 training and 128 test images of MNIST, which changes what is learnt and nothing else."""
    (x_train, y_train), (x_test, y_test) = depthwise.datasets.mnist.load_data()
    small = (x_train[:512], y_train[:512]), (x_test[:128], y_test[:128])
    monkeypatch.setitem(dataset._NAMED, "mnist", (lambda: small, dataset._NAMED["mnist"][1]))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    runner = CliRunner(env={"COLUMNS": "80"})
    printed: dict[str, str] = {}
    for language, block in FENCE.findall(TUTORIAL.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(block, TUTORIAL.name, "exec"), names)
            continue
        for line in block.splitlines():
            words = shlex.split(line)
            assert words[0] == "depthwise"
            result = runner.invoke(app, words[1:])
            assert result.exit_code == 0, f"{line}\n{result.output}"
            printed[line] = result.output
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"compare", "page.html", "digits.keras", "signs", "signs.keras", "signs.html"}
    predicted = next(text for line, text in printed.items() if line.startswith("depthwise predict"))
    for kind in ("circle", "triangle"):  # each picture is what it shows
        assert re.search(rf"signs/{kind}/\d\.png\s+{kind}\s", predicted), predicted

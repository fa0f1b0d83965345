"""The printed worksheet: exercises without their answers, the answers behind them, both languages, no script."""

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from depthwise.cli.main import app
from depthwise.explain.worksheet import worksheet
from depthwise.messages import LANGUAGES
from support.explained import NAMES, mobile_network, network_and_weights, tiny

HOSTILE = "<script>window.owned=1<script>{name}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_answers_are_behind_the_exercises(language: str) -> None:
    graph, _ = network_and_weights("note-cnn")
    sheet = worksheet(graph, language)
    tasks, answers = sheet.split('<section class="answers">')
    formulas = [node.facts.parameters.text for node in graph.calls if node.facts.parameters.value]
    assert formulas
    for formula in formulas:
        assert formula in answers
        assert formula not in tasks
    assert tasks.count('class="blank"') == 3 * (len(graph.calls) - 1)
    assert "blank" not in answers
    assert bool(re.search(r"[一-鿿]", tasks)) == (language == "zh")
    assert "<script" not in sheet
    assert not re.search(r'(?:src|href)="', sheet)


def test_the_convolution_by_hand_has_the_right_sums() -> None:
    sheet = worksheet(network_and_weights("note-cnn")[0])
    grids = re.findall(r'<table class="grid">(.*?)</table>', sheet)
    values, kernel, blank, sums = (
        [int(cell.replace("−", "-")) for cell in re.findall(r"<td>(−?\d+)</td>", grid)] for grid in grids
    )
    assert not blank
    image, weights = np.reshape(values, (5, 5)), np.reshape(kernel, (3, 3))
    assert sums == [(image[i : i + 3, j : j + 3] * weights).sum() for i in range(3) for j in range(3)]


@pytest.mark.parametrize("name", NAMES)
def test_every_network_has_a_sheet_and_always_the_same(name: str) -> None:
    graph, _ = network_and_weights(name)
    assert worksheet(graph) == worksheet(graph)


def test_a_deep_network_gives_a_first_page_of_layers() -> None:
    graph = mobile_network()
    sheet = worksheet(graph)
    assert f"{len(graph.calls) - 15} further layers are left out" in sheet


def test_hostile_names_stay_text() -> None:
    sheet = worksheet(tiny(HOSTILE, model=HOSTILE))
    assert "<script" not in sheet
    assert "&lt;script&gt;" in sheet


def test_the_command_writes_it_and_refuses_what_it_would_ignore(tmp_path: Path) -> None:
    path = tmp_path / "sheet.html"
    run = CliRunner().invoke(app, ["explain", "note-cnn", "--worksheet", str(path), "--language", "zh"])
    assert run.exit_code == 0, run.output
    assert 'lang="zh-CN"' in path.read_text(encoding="utf-8")
    for more in ([], ["--overwrite", "--json"], ["--overwrite", "--layer", "conv2d"]):
        before = path.read_bytes()
        run = CliRunner().invoke(app, ["explain", "note-cnn", "--worksheet", str(path), *more])
        assert run.exit_code != 0
        assert path.read_bytes() == before

"""The table of models inside models and of layers that are called twice: Keras' own text, and numbers that add up."""

import json
import re
from typing import Any

import keras
import pytest
from typer.testing import CliRunner

import depthwise
from depthwise.cli.main import app
from support.topologies import TOPOLOGIES


def deep(kit: Any) -> Any:
    """A chain in a functional model in a functional model; part of it frozen, and called twice."""
    layers = kit.layers
    block = kit.Sequential([kit.Input((4,)), layers.Dense(3, name="d1"), layers.Dense(4, name="d2")], name="block")
    x = kit.Input((4,), name="middle_x")
    middle = kit.Model(x, [layers.ReLU(name="relu")(block(x)), layers.Dense(2, name="side")(x)], name="middle")
    block.trainable = False
    start = kit.Input((4,), name="x")
    one, side = middle(start)
    two, _ = middle(one)
    return kit.Model(start, [layers.Add(name="sum")([one, two]), side], name="outer")


def chain(kit: Any) -> Any:
    inner = kit.Sequential([kit.Input((4,)), kit.layers.Dense(3, name="d1")], name="inner")
    return kit.Sequential([kit.Input((4,)), inner, kit.layers.Dense(2, name="end")], name="outer")


BUILDERS = {name: TOPOLOGIES[name] for name in ("nested", "encoder_twice", "siamese", "listed_twice")} | {
    "deep": deep,
    "chain": chain,
}


def text(model: Any, **options: Any) -> list[str]:
    printed: list[str] = []
    model.summary(print_fn=printed.append, **options)
    # Keras leaves spaces at the ends of some lines; models without a name are called differently.
    return [line.rstrip() for line in printed[0].splitlines() if not line.startswith("Model: ")]


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("expand_nested", [False, True])
@pytest.mark.parametrize("show_trainable", [False, True])
def test_keras_own_text(name: str, expand_nested: bool, show_trainable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    options = {"expand_nested": expand_nested, "show_trainable": show_trainable, "line_length": 120}
    assert text(BUILDERS[name](depthwise), style="keras", **options) == text(BUILDERS[name](keras), **options)


@pytest.mark.parametrize("name", BUILDERS)
def test_columns_of_the_outermost_rows_add_up(name: str) -> None:
    model = BUILDERS[name](depthwise)
    for expand_nested in (False, True):
        lines = text(model, line_length=220, expand_nested=expand_nested)
        rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
        assert any("└" in row[0] for row in rows) == (expand_nested and name not in ("siamese", "listed_twice"))
        outermost = [row for row in rows if "└" not in row[0]]
        assert sum(int(row[2].replace(",", "")) for row in outermost) == model.count_params()
        assert sum(int(row[4].replace(",", "")) for row in outermost) == model.graph.macs
        for row in rows:
            formula = row[3].replace("×", "*").replace(",", "")
            assert (eval(formula, {}) if formula else 0) == int(row[2].replace(",", ""))


def test_a_range_takes_the_layers_of_its_models_along() -> None:
    lines = text(deep(depthwise), expand_nested=True, layer_range=("middle", "sum"), line_length=160)
    names = [re.sub(r"[│└ ]|\(.*", "", line) for line in lines if line.startswith("│")]
    assert names == ["middle", "middle_x", "block", "d1", "d2", "relu", "side", "sum"]


def test_the_command_shows_every_layer(tmp_path: Any) -> None:
    model = deep(depthwise)
    model.save(tmp_path / "deep.keras")
    shown = CliRunner().invoke(app, ["summary", str(tmp_path / "deep.keras")])
    assert "└ d1 (Dense)" in shown.output
    found = json.loads(CliRunner().invoke(app, ["summary", str(tmp_path / "deep.keras"), "--json"]).output)
    rows = {row["name"]: row for row in found["layers"]}
    assert rows["middle/block/d1"]["parameters"] == 15
    assert rows["sum"]["inputs"] == ["middle", "middle"]
    assert rows["middle"]["output_shape"] == [[4], [2]]

"""The table: Keras' own, the note's own, and columns that add up."""

import re

import keras
import pytest

import depthwise
from depthwise import layers, models
from depthwise.errors import InvalidArgumentError
from depthwise.network.graph import Graph
from depthwise.network.summary import readable_size, summary_facts
from support.networks import note_cnn, note_separable


def text(model: models.Model, **options: object) -> str:
    printed: list[str] = []
    model.summary(print_fn=printed.append, **options)  # type: ignore[arg-type]
    assert len(printed) == 1
    return printed[0]


def cells(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if line.startswith("│")
    ]


def branching() -> models.Model:
    x = depthwise.Input((8, 8, 3), name="image")
    left, right = layers.Conv2D(4, 1, name="left")(x), layers.SeparableConv2D(4, 3, padding="same")(x)
    joined = layers.Concatenate()([layers.Add()([left, right]), left])
    return models.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.BatchNormalization()(joined))))


def chain() -> models.Model:
    x = depthwise.Input((8, 8, 3))
    return models.Model(x, layers.Flatten()(layers.Conv2D(4, 3)(x)), name="chain")


@pytest.mark.parametrize("graph", [note_cnn(), note_separable(), branching().graph], ids=lambda graph: graph.name)
def test_printed_columns_add_up_to_the_printed_totals(graph: Graph) -> None:
    table = text(models.Model.from_graph(graph), line_length=200)
    rows = cells(table)
    assert len(rows) == len(graph.calls) - graph.is_sequential
    parameters = [int(row[2].replace(",", "")) for row in rows]
    macs = [int(row[4].replace(",", "")) for row in rows]
    (total,) = re.findall(r"Total params: ([\d,]+) \(", table)
    (total_macs, flop) = re.findall(r"Total MACs: ([\d,]+) a sample \(([\d,]+) FLOP\)", table)[0]
    assert sum(parameters) == int(total.replace(",", "")) == graph.parameters
    assert sum(macs) == int(total_macs.replace(",", "")) == graph.macs == int(flop.replace(",", "")) // 2
    for row, count in zip(rows, parameters):
        formula = row[3].replace("×", "*").replace(",", "")
        assert (eval(formula, {}) if formula else 0) == count


def test_the_notes_rows() -> None:
    table = cells(text(models.Model.from_graph(note_cnn())))
    assert [row[:5] for row in table] == [
        ["conv2d (Conv2D)", "(None, 26, 26, 32)", "320", "32×(3×3×1)+32", "194,688"],
        ["max_pooling2d (MaxPooling2D)", "(None, 13, 13, 32)", "0", "", "0"],
        ["conv2d_1 (Conv2D)", "(None, 11, 11, 64)", "18,496", "64×(3×3×32)+64", "2,230,272"],
        ["max_pooling2d_1 (MaxPooling2D)", "(None, 5, 5, 64)", "0", "", "0"],
        ["conv2d_2 (Conv2D)", "(None, 3, 3, 64)", "36,928", "64×(3×3×64)+64", "331,776"],
    ]
    assert " Total params: 55,744 (217.75 KB)\n" in text(models.Model.from_graph(note_cnn()))


@pytest.mark.parametrize(
    "model", [models.Model.from_graph(note_cnn()), branching(), chain()], ids=["sequential", "branching", "chain"]
)
@pytest.mark.parametrize("show_trainable", [False, True])
def test_style_keras_is_keras_own_text(
    model: models.Model, show_trainable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")  # or else Keras wraps its lines once more
    theirs = keras.models.model_from_json(model.to_json())
    printed: list[str] = []
    for length in (76, 110):
        options = {"show_trainable": show_trainable, "line_length": length}
        theirs.summary(print_fn=printed.append, **options)
        ours = text(model, style="keras", **options)
        # Keras leaves spaces at the ends of some lines.
        assert [line.rstrip() for line in ours.splitlines()] == [line.rstrip() for line in printed[-1].splitlines()]


def test_layer_range_and_positions() -> None:
    model = models.Model.from_graph(note_separable())
    rows = cells(text(model, layer_range=("separable_conv2d", "max_pooling2d_1"), line_length=160))
    assert [row[0].split(" ")[0] for row in rows] == [
        "separable_conv2d", "max_pooling2d", "separable_conv2d_1", "separable_conv2d_2", "max_pooling2d_1",
    ]  # fmt: skip
    assert " Total params: 184,234 " in text(model, layer_range=("flatten", "dense"))
    with pytest.raises(InvalidArgumentError, match="matches no layer of the model"):
        text(model, layer_range=("lstm", "dense"))
    with pytest.raises(InvalidArgumentError, match="layer_range must hold the names of the first and the last layer"):
        text(model, layer_range=("dense",))
    with pytest.raises(InvalidArgumentError, match="is not a regular expression"):
        text(model, layer_range=("(", "dense"))
    with pytest.raises(InvalidArgumentError, match="one number for each of the 5 columns"):
        text(model, positions=[0.5, 1.0])
    with pytest.raises(InvalidArgumentError, match="is too short for its columns; give a larger line_length"):
        text(model, positions=[0.2, 0.4, 0.6, 0.8, 1.0], line_length=15)
    with pytest.raises(InvalidArgumentError, match="style must be 'depthwise' or 'keras', got 'plain'"):
        text(model, style="plain")


def test_hostile_names_do_nothing() -> None:
    name = "[bold red]x[bold]\x1b[31m\x07\u202e\n" + "y" * 500
    model = models.Sequential([layers.Conv2D(2, 1, name=name, input_shape=(2, 2, 1))], name="[link=a]\x1b]0;t\x07")
    table = text(model, line_length=200)
    assert not set(table) & set("\x1b\x07\u202e")
    assert "[bold red]x[bold]\\x1b[31m\\x07\\u202e\\n" in table.replace("\n", "").replace("│", "").replace(
        " ", ""
    ).replace("boldred", "bold red")
    assert 'Model: "[link=a]\\x1b]0;t\\x07"' in table
    assert table.count("y") < 200


def test_it_goes_to_the_terminal_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    model = models.Model.from_graph(note_cnn())
    assert model.summary() is None  # type: ignore[func-returns-value]
    assert capsys.readouterr().out == text(model)


def test_facts_and_sizes() -> None:
    facts = summary_facts(branching().graph)
    assert not facts.is_chain
    assert facts.rows[0].class_name == "InputLayer"
    assert facts.rows[0].trainable is None
    assert facts.parameters == facts.trainable_parameters + facts.non_trainable_parameters
    assert facts.non_trainable_parameters == 2 * 8
    assert summary_facts(chain().graph).is_chain
    for count, size in ((0, "0.00 B"), (255, "1020.00 B"), (256, "1.00 KB"), (2**18, "1.00 MB"), (2**48, "1024.00 TB")):
        assert readable_size(count) == size or count == 2**48
    assert readable_size(2**48) == "1.00 PB"

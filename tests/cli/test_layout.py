"""What the commands print at 60, 80 and 120 columns in both languages: as it was last looked at, and never wider than the terminal.

To change a file in layout/, delete it, run the test once, and read what it wrote.
"""

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

import depthwise
from depthwise.bench.run import measure
from depthwise.bench.table import print_report as print_bench
from depthwise.cli import app
from depthwise.compare.console import print_report
from depthwise.explain.matrices import Matrix, Products
from depthwise.messages import LANGUAGES
from depthwise.network import summary
from depthwise.wrapping import Hanging, wrapped
from support.made_up import made_up

SHOWN = Path(__file__).parent / "layout"
WIDTHS = (60, 80, 120)
runner = CliRunner()
every_width = pytest.mark.parametrize("width", WIDTHS)

COMMANDS: tuple[list[str], ...] = (
    [],
    ["explain", "tiny.keras"],
    ["explain", "note", "--layer", "small_conv2d"],
    ["explain", "note"],
    ["summary", "tiny.keras"],
    ["predict", "tiny.keras", "one.png", "a much longer name of a picture.png", "--top", "2"],
    ["predict", "tiny.keras", "one.png", "--top", "10"],
    ["evaluate", "tiny.keras", "--data", "small.npz"],
    ["check", "tiny.keras"],
    ["check", "one.png"],
    ["predict", "tiny.keras", "nowhere.npy"],
    ["evaluate", "tiny.keras", "--data", "small.npz", "--scale", "0-1"],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_file: Path, data_file: Path) -> Path:
    path = tmp_path_factory.mktemp("layout")
    model = depthwise.load_model(model_file)
    model.class_names = ["zero", "one", "two", "three", "four", "five", "six", "七", "the eighth", "=9"]
    model.save(path / "tiny.keras")
    (path / "small.npz").write_bytes(data_file.read_bytes())
    digit = np.load(data_file)["x_test"][0]
    for name in ("one.png", "a much longer name of a picture.png"):
        Image.fromarray(digit).save(path / name)
    return path


def masked(text: str) -> str:
    """Scores and differences may differ in the last digit on another processor."""
    return re.sub(r"\d\.\de-\d\d", "#.#e-##", re.sub(r"\d\.\d{4}\b(?! \S*×)", "#.####", text))


def printed(arguments: list[str], width: int, language: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8" if language == "zh" else "C.UTF-8")
    monkeypatch.setattr("depthwise.cli.options.is_terminal", lambda stream: True)
    monkeypatch.setattr("depthwise.cli.check.is_terminal", lambda stream: True)
    monkeypatch.setattr(summary, "_default_length", lambda *options: min(120, width))
    result = runner.invoke(app, arguments)
    assert "Traceback" not in result.output
    return result.stdout + result.stderr


@every_width
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_printed(width: int, language: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    shown = ""
    for arguments in COMMANDS:
        lines = [line.rstrip() for line in printed(arguments, width, language, monkeypatch).splitlines()]
        assert [line for line in lines if cell_len(line) > width] == []
        shown += "\n".join([f"$ depthwise {' '.join(arguments)}", *lines, "", ""])
    console = Console(width=width, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        print_report(made_up((1, 2)), console, language)
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert [line for line in lines if cell_len(line) > width] == []
    shown = masked(shown + "\n".join(["$ depthwise compare", *lines, ""]))
    path = SHOWN / f"{language}-{width}.txt"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


@every_width
@pytest.mark.parametrize(
    "command", ["compare", "explain", "train", "evaluate", "predict", "summary", "check", "convert", "bench"]
)
def test_help_fits_and_its_paragraphs_are_whole(command: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = printed([command, "--help"], width, "en", monkeypatch)
    lines = [line.rstrip() for line in shown.splitlines()]
    assert max(map(cell_len, lines)) <= width
    assert re.findall(r"<[a-z]\S*", shown) in ([], ["<bool>"])  # typer's own option has the type <bool>, by its version
    assert "--language" in shown
    start = next(index for index, line in enumerate(lines) if line.startswith(" Examples"))
    for line, following in pairwise(lines[:start]):
        word = following.split()[0] if following.split() else ""
        if line.strip() and word:  # a line ends where its next word would not fit
            assert cell_len(line) + 1 + cell_len(word) > width - 1


@pytest.fixture(scope="module")
def report() -> Any:
    layers = depthwise.layers
    model = depthwise.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 3)),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(8, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax"),
        ]
    )
    return measure(model.graph, model.weights_by_name, batch=2, seconds=0.05)


@every_width
def test_bench_keeps_the_names_of_its_blocks(report: Any, width: int) -> None:
    console = Console(width=width, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        print_bench(report, console)
    shown = console.export_text()
    assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= width
    assert "…" not in shown
    for name in ("conv2d", "separable_conv2d", "dense"):
        assert name in shown
    assert ("memory" in shown) == (width == 120)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["convert", "a"], "OUT is missing: where to write it; see depthwise convert --help"),
        (
            ["explain", "note", "--sample", "x"],
            "--sample must be a whole number, got 'x'; see depthwise explain --help",
        ),
        (["predict", "a", "b", "--top=0"], "--top must be at least 1, got '0'; see depthwise predict --help"),
        (["bench", "a", "--seconds", "x"], "--seconds must be a number, got 'x'; see depthwise bench --help"),
        (["bench", "a", "--seconds", "601"], "--seconds must be at most 600, got '601'; see depthwise bench --help"),
        (
            ["bench", "a", "--dump", __file__],
            f"--dump must be a folder, not a file, got {__file__!r}; see depthwise bench --help",
        ),
        (["fly"], "there is no command 'fly'; see depthwise --help"),
        (["compar"], "there is no command 'compar'; did you mean 'compare'?; see depthwise --help"),
        (["predict", "--xyzzy"], "there is no option --xyzzy; see depthwise predict --help"),
        (["predict", "--topp", "3"], "there is no option --topp; did you mean --top?; see depthwise predict --help"),
        (["explain", "note", "more"], "'more' is one argument too many; see depthwise explain --help"),
        (["explain", "note", "--layer"], "--layer needs a value; see depthwise --help"),
        (["\x1b[31mred"], r"there is no command '\x1b[31mred'; see depthwise --help"),
    ],
)
def test_the_parsers_errors_are_sentences_of_ours(arguments: list[str], sentence: str) -> None:
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"depthwise: {sentence}\n"


def test_completion_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    result = runner.invoke(app, ["--show-completion", "bash"])
    assert result.exit_code == 0
    assert "_DEPTHWISE_COMPLETE" in result.stdout or "_COMPLETE" in result.stdout


def test_matrices_are_coloured_by_sign_and_stacked_where_they_do_not_fit() -> None:
    values = [[1.0, -2.0, 0.0]] * 3
    shown = Products(Matrix("window", values), Matrix("kernel", values), Matrix("products", values), "9.0000")
    for width, lines in ((100, 4), (70, 8), (40, 12)):
        console = Console(width=width, record=True, force_terminal=True, color_system="256", file=open(os.devnull, "w"))  # noqa: SIM115
        with console.file:
            console.print(shown)
        text = console.export_text(styles=True, clear=False)
        assert len(text.splitlines()) == lines
        assert "\x1b[38;5;208m 1.0000 " in text
        assert "\x1b[38;5;33m-2.0000 " in text or "\x1b[38;5;33m -2.0000 " in text
        plain = console.export_text()
        assert max(map(len, plain.splitlines())) <= width
        assert plain.count("1.0000") == 9
        assert "→ 9.0000" in plain


@pytest.mark.parametrize(
    ("line", "width", "pieces"),
    [
        ("one two three", 8, ["one two", "three"]),
        ("  32×(3×3×1)+32×(1×1×32)+32 = 1,344", 20, ["  32×(3×3×1)+", "  32×(1×1×32)+32 =", "  1,344"]),
        (
            "1 MAC = 一次乘法加一次加法 = 2 FLOP；偏置和激活不计。",
            24,
            ["1 MAC = 一次乘法加一次加", "法 = 2 FLOP；偏置和激活", "不计。"],
        ),
        ("（甲）乙，丙", 6, ["（甲）", "乙，丙"]),
        ("a" * 25, 20, ["a" * 20, "a" * 5]),
        ("fits", 20, ["fits"]),
    ],
)
def test_where_lines_break(line: str, width: int, pieces: list[str]) -> None:
    made = [piece.plain for piece in wrapped(Text(line), width)]
    assert made == pieces
    assert "".join(piece.replace(" ", "") for piece in made) == line.replace(" ", "")


def test_a_value_continues_in_its_own_column() -> None:
    line = Hanging("  label     one two three")
    line.hanging = 12
    assert [piece.plain for piece in wrapped(line, 25)] == ["  label     one two three"]
    assert [piece.plain for piece in wrapped(line, 24)] == ["  label     one two", "            three"]

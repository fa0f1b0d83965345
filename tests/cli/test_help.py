"""Help that a newcomer understands, at once: nothing heavy is imported for it."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import depthwise
from depthwise.cli import app

COMMANDS = ("compare", "explain", "train", "evaluate", "predict", "summary", "check", "convert", "bench")
HEAVY = ("numpy", "llvmlite", "PIL", "jax", "keras")
runner = CliRunner()


def test_the_start_page_lists_every_command() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert set(COMMANDS) <= set(result.output.split())
    assert "<" not in result.output, "no names of Python's types"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"depthwise {command}" in result.output
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    assert parameters
    for parameter in parameters:
        assert parameter.help, f"{command}: {parameter.name} has no help"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["help"], ["--help"]), (["help", "train"], ["train", "--help"]), (["help", "nope"], ["nope", "--help"])],
)
def test_help_is_a_word_too(typed: list[str], meant: list[str]) -> None:
    shown, expected = (runner.invoke(app, arguments) for arguments in (typed, meant))
    assert (shown.exit_code, shown.output) == (expected.exit_code, expected.output)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str) -> None:
    result = runner.invoke(app, [option])
    assert (result.exit_code, result.output) == (0, f"depthwise {depthwise.__version__}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["compare", "--help"], ["predict", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from depthwise.cli import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == "[]\n"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "zh_CN.UTF-8"}, "可分离卷积"),
        ({"LC_ALL": "zh_TW", "LANG": "en_US.UTF-8"}, "可分离卷积"),
        ({"LC_ALL": "", "LC_MESSAGES": "C", "LANG": "zh_CN.UTF-8"}, "separable network"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": "de_DE.UTF-8"}, "separable network"),
        ({"LC_ALL": "", "LC_MESSAGES": "", "LANG": ""}, "separable network"),
    ],
)
def test_a_bare_command_greets_in_the_systems_language(
    environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = runner.invoke(app, [])
    assert result.exit_code == 0
    assert words in result.output
    assert len(result.output.splitlines()) <= 11
    assert max(map(len, result.output.splitlines())) <= 100
    for command in ("depthwise compare", "depthwise explain note-separable -o page.html --open", "depthwise train"):
        assert command in result.output


def test_the_page_is_opened_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_it(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr("webbrowser.open", open_it)
    page = tmp_path / "page.html"
    result = runner.invoke(app, ["explain", "note-cnn", "-o", str(page), "--no-times", "--open"])
    assert result.exit_code == 0, result.output
    assert opened == [page.as_uri()]
    refused = runner.invoke(app, ["explain", "note-cnn", "--open"])
    assert refused.exit_code == 2
    assert "--open changes nothing without --output" in refused.output


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    result = subprocess.run([sys.executable, "-m", "depthwise", "--help"], capture_output=True, text=True, check=True)
    assert "compare" in result.stdout
    assert "\x1b[3" not in result.stdout

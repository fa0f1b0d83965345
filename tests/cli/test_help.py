"""Help that a newcomer understands, at once: nothing heavy is imported for it."""

import subprocess
import sys

import pytest
import typer.main
from typer.testing import CliRunner

import depthwise
from depthwise.cli import app

COMMANDS = ("compare", "explain", "train", "evaluate", "predict", "summary", "bench")
HEAVY = ("numpy", "llvmlite", "PIL", "jax", "keras")
runner = CliRunner()


def test_the_start_page_lists_every_command() -> None:
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert set(COMMANDS) <= set(result.output.split())


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


def test_version() -> None:
    result = runner.invoke(app, ["--version"])
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


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    result = subprocess.run([sys.executable, "-m", "depthwise", "--help"], capture_output=True, text=True, check=True)
    assert "compare" in result.stdout
    assert "\x1b[3" not in result.stdout

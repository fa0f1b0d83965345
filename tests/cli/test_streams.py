"""Whatever the output is connected to, no command ends in a traceback, and none loses its work."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import depthwise
from depthwise.cli import main
from depthwise.cli.streams import substitute

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the shell's redirections")

COMMANDS = {
    "version": "--version",
    "help": "--help",
    "summary": "summary tiny.keras",
    "explain a cell": "explain tiny.keras --layer separable_conv2d --at 1,2,3 --sample 0 --all",
    "explain the note in Chinese": "explain note --language zh",
    "a page": "explain tiny.keras -o page.html --no-times --overwrite",
    "predict": "predict tiny.keras digits.npy",
    "evaluate": "evaluate tiny.keras --data small.npz",
    "train": "train tiny.keras --data small.npz --epochs 1 --out new.keras --overwrite",
    "compare": "compare tiny.keras tiny.keras --data small.npz --prediction-batch-size 8 --out both --overwrite",
    "train a head": "train tiny.keras --data small.npz --head-only --epochs 1 --out head.keras --overwrite --language zh",
    "check": "check tiny.keras",
    "convert": "convert tiny.keras tiny.h5 --overwrite",
    "bench": "bench tiny.keras --batch 2 --seconds 0.05 --threads 1",
    "bench in Chinese": "bench tiny.keras --batch 2 --seconds 0.05 --threads 1 --language zh",
    "summary in Chinese": "summary tiny.keras --language zh",
}
WRONG = {"a wrong name": "summary ✗×.keras", "a wrong option": "summary --wide"}
few_commands = pytest.mark.parametrize("command", ["version", "predict", "train"])
every_command = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_file: Path, data_file: Path) -> Path:
    """A folder with all that the commands read."""
    import numpy as np

    path = tmp_path_factory.mktemp("streams")
    model = depthwise.load_model(model_file)
    model.class_names = ["zero", "\u00e9", "\u732b", "\udcff", "=4", "5", "6", "7", "8", "9"]
    model.save(path / "tiny.keras")
    (path / "small.npz").write_bytes(data_file.read_bytes())
    np.save(path / "digits.npy", np.load(data_file)["x_test"][:3, ..., None])
    return path


def shell(folder: Path, command: str, redirection: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """The command in bash, followed by a redirection or a pipe; the exit code is that of the command itself."""
    words = " ".join(map(shlex.quote, [sys.executable, "-m", "depthwise", *shlex.split(command)]))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    return subprocess.run(
        ["bash", "-c", f"{words} {redirection}; exit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        capture_output=True,
        timeout=200,
        env={**inherited, "COLUMNS": "100", "LC_ALL": "C.UTF-8", **environment},
    )


def within(folder: Path, command: str, stdout: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """The command in this process, as `depthwise` runs it; its exit code, and what it says on stderr, in stdout's encoding."""
    said = io.BytesIO()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["depthwise", *shlex.split(command)])
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(said, stdout.encoding))
    with pytest.raises(SystemExit) as leaving:
        main()
    sys.stderr.flush()
    code = leaving.value.code
    assert isinstance(code, int)
    return code, said.getvalue().decode(stdout.encoding)


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "cp437", "ascii"])
@pytest.mark.parametrize("command", COMMANDS | WRONG)
def test_every_encoding(folder: Path, command: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    code, said = within(folder, (COMMANDS | WRONG)[command], io.TextIOWrapper(shown, encoding), monkeypatch)
    assert code == (2 if command in WRONG else 0), said
    assert shown.getvalue().decode(encoding) or command in WRONG


@pytest.mark.parametrize("command", ["summary", "explain the note in Chinese", "a wrong name"])
def test_the_locale_c(folder: Path, command: str) -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = shell(folder, (COMMANDS | WRONG)[command], "", **environment)
    assert b"Traceback" not in result.stderr
    assert result.returncode == (2 if command in WRONG else 0), result.stderr
    (result.stdout + result.stderr).decode("ascii")


@every_command
def test_a_reader_that_has_left(folder: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as pipe:
        code, said = within(folder, COMMANDS[command], pipe, monkeypatch)
    assert code == 141, said
    assert "could not be printed" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@every_command
def test_a_device_that_is_full(folder: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        code, said = within(folder, COMMANDS[command], full, monkeypatch)
    assert code == 1
    lines = said.splitlines()
    assert lines[-1].startswith("depthwise: the output could not be printed: No space left on device")
    assert sum(line.startswith("depthwise: ") for line in lines) == 1


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "cp437", "ascii"])
def test_no_character_of_ours_becomes_a_question_mark(encoding: str) -> None:
    """But Chinese where the encoding has none."""
    source = Path(depthwise.__file__).parent
    files = [*source.rglob("*.py"), *source.rglob("*.toml")]
    characters = set("".join(path.read_text(encoding="utf-8") for path in files)) - {"?", "\uff1f"}
    if encoding != "gbk":
        characters = {character for character in characters if not "\u4e00" <= character <= "\u9fff"}
    assert "µ" in characters
    lost = {character for character in characters if b"?" in character.encode(encoding, "depthwise.substitute")}
    assert lost == set()


@few_commands
def test_a_reader_that_leaves(folder: Path, command: str) -> None:
    result = shell(folder, COMMANDS[command], "| true")
    assert b"Traceback" not in result.stderr
    assert b"Exception ignored" not in result.stderr
    assert result.returncode == 141


@few_commands
def test_a_closed_stdout(folder: Path, command: str) -> None:
    result = shell(folder, COMMANDS[command], ">&-")
    assert b"Traceback" not in result.stderr
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("redirection", [">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
@pytest.mark.parametrize("command", ["version", "summary", "a wrong name"])
def test_no_stream_at_all(folder: Path, command: str, redirection: str) -> None:
    result = shell(folder, (COMMANDS | WRONG)[command], redirection)
    assert result.returncode == (2 if command in WRONG else 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
@few_commands
def test_a_full_device(folder: Path, command: str) -> None:
    result = shell(folder, COMMANDS[command], "> /dev/full")
    lines = result.stderr.decode().splitlines()
    assert "Traceback" not in result.stderr.decode()
    assert result.returncode == 1
    assert lines[-1].startswith("depthwise: the output could not be printed: No space left on device")
    assert sum(line.startswith("depthwise: ") for line in lines) == 1


@pytest.mark.parametrize("redirection", ["| true", "> /dev/full", ">&-"])
def test_what_was_trained_is_saved_though_it_cannot_be_printed(folder: Path, redirection: str) -> None:
    (folder / "new.keras").unlink(missing_ok=True)
    shutil.rmtree(folder / "both", ignore_errors=True)
    shell(folder, COMMANDS["train"], redirection)
    shell(folder, COMMANDS["compare"].replace("tiny.keras tiny.keras", "tiny.keras --twin --epochs 1"), redirection)
    assert depthwise.load_model(folder / "new.keras").name == "tiny"
    pages = {"explain-tiny.html", "explain-tiny-ordinary.html"}
    assert {path.name for path in (folder / "both").iterdir()} == {
        "tiny.keras", "tiny-ordinary.keras", "report.json", "report.html", *pages,
    }  # fmt: skip


def test_json_loses_no_character(folder: Path) -> None:
    import json

    results = [
        shell(folder, "summary tiny.keras --json", "", PYTHONIOENCODING=name) for name in ("utf-8", "gbk", "ascii")
    ]
    first, *others = (
        json.loads(result.stdout.decode("ascii" if index else "utf-8")) for index, result in enumerate(results)
    )
    assert "×" in first["layers"][0]["parameters_formula"]
    assert all(facts == first for facts in others)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("32×(3×3×1)+32", "32x(3x3x1)+32"),
        ("0 → 0.003", "0 -> 0.003"),
        ("⌊(28−3)/2⌋+1", "floor((28-3)/2)+1"),
        ("90.3 µs … 2²", "90.3 us ... 2^2"),
        ("┌─┐│╞", "+-+|+"),
        ("é，图\udc80", "e,??"),
    ],
)
def test_substitutes(text: str, plain: str) -> None:
    assert "".join(map(substitute, text)) == plain
    assert text.encode("ascii", "depthwise.substitute").decode("ascii") == plain

"""Whatever the output is connected to, no command ends in a traceback, and none loses its work."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import depthwise
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
    "bench": "bench tiny.keras --batch 2 --seconds 0.05 --threads 1",
}
WRONG = {"a wrong name": "summary ✗×.keras", "a wrong option": "summary --wide"}
CHARACTERS = {
    "gbk": {"PYTHONIOENCODING": "gbk"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "cp437": {"PYTHONIOENCODING": "cp437"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
every_command = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_file: Path, data_file: Path) -> Path:
    """A folder with all that the commands read."""
    import numpy as np

    path = tmp_path_factory.mktemp("streams")
    (path / "tiny.keras").write_bytes(model_file.read_bytes())
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


@pytest.mark.parametrize(
    ("command", "encoding"),
    [
        *((command, encoding) for command in COMMANDS | WRONG for encoding in ("gbk", "C")),
        *((command, encoding) for command in ("summary", "explain a cell") for encoding in ("cp1252", "cp437")),
    ],
)
def test_every_encoding(folder: Path, command: str, encoding: str) -> None:
    result = shell(folder, (COMMANDS | WRONG)[command], "", **CHARACTERS[encoding])
    assert b"Traceback" not in result.stderr
    assert result.returncode == (2 if command in WRONG else 0), result.stderr
    (result.stdout + result.stderr).decode("ascii" if encoding == "C" else encoding)


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


@every_command
def test_a_reader_that_leaves(folder: Path, command: str) -> None:
    result = shell(folder, COMMANDS[command], "| true")
    assert b"Traceback" not in result.stderr
    assert b"Exception ignored" not in result.stderr
    assert result.returncode == 141


@every_command
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
@every_command
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
    assert {path.name for path in (folder / "both").iterdir()} == {
        "tiny.keras", "tiny-ordinary.keras", "report.json", "report.html",
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

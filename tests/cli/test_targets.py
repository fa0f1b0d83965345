"""What commands write: refused before the work if it is there or cannot be written, and never lost after the work."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import depthwise
import depthwise.compare.run
import depthwise.explain.explanation
from depthwise import files
from depthwise.cli import app
from depthwise.models import Model

runner = CliRunner()
NO_DATA = ("--data", "nowhere")
"""With it a sentence about the target shows that the target was looked at first: nothing was loaded, let alone trained."""


def refused(*arguments: object, code: int = 2) -> str:
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("depthwise: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def writing(command: str, model: Path, target: Path) -> list[object]:
    """The command that writes `target`, with data that is not there where it takes data."""
    return {
        "train": ["train", model, "--out", target, *NO_DATA],
        "compare": ["compare", model, model, "--out", target, *NO_DATA],
        "explain": ["explain", model, "--output", target, "--no-times"],
        "convert": ["convert", model, target],
        "bench": ["bench", model, "--dump", target, "--seconds", 0.05, "--batch", 1],
    }[command]


ENDINGS = {"train": "new.keras", "compare": "new", "explain": "new.html", "convert": "new.h5", "bench": "new"}
every_command = pytest.mark.parametrize("command", ENDINGS)


@every_command
def test_a_target_that_cannot_be_written(command: str, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    named = {"convert": "OUT", "bench": "Cannot write"}.get(command, "--out")
    assert named in refused(*writing(command, model_file, tmp_path / "file" / ENDINGS[command]))
    if Path("/proc/self").exists():  # takes no files, not even root's
        refused(*writing(command, model_file, Path("/proc") / ENDINGS[command]))
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if not os.access(locked, os.W_OK):  # root may write everywhere
        refused(*writing(command, model_file, locked / ENDINGS[command]))
    assert (tmp_path / "file").read_text() == "mine"


@every_command
def test_no_permission(command: str, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary file is really made: what the system says then counts, not what permission bits promise."""

    def deny(target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "_create_temporary", deny)
    assert "no permission to write" in refused(*writing(command, model_file, tmp_path / ENDINGS[command]))


@every_command
def test_a_full_disk_is_found_before_the_work(
    command: str, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert "the disk is full" in refused(*writing(command, model_file, tmp_path / ENDINGS[command]), code=1)
    monkeypatch.undo()
    left = [path for path in tmp_path.rglob("*") if path.name != "new"]
    assert left == []


@pytest.mark.parametrize("command", ["train", "explain", "convert"])
def test_a_file_that_is_there(command: str, model_file: Path, tmp_path: Path) -> None:
    target = tmp_path / ENDINGS[command]
    target.write_text("mine")
    assert "is there already; name another file, or give --overwrite" in refused(*writing(command, model_file, target))
    assert "is a folder; name a file in it" in refused(*writing(command, model_file, _folder(tmp_path, command)))
    assert target.read_text() == "mine"
    if command != "train":
        result = runner.invoke(app, [*map(str, writing(command, model_file, target)), "--overwrite"])
        assert result.exit_code == 0, result.output
        assert target.read_bytes().startswith(b"<!doctype html>" if command == "explain" else b"\x89HDF")


def test_a_folder_that_holds_something(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "holds something already" in refused(*writing("bench", model_file, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def _folder(tmp_path: Path, command: str) -> Path:
    folder = tmp_path / "folder" / ENDINGS[command]
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def comparison(model_file: Path, data_file: Path, tmp_path: Path) -> Path:
    """A folder with a comparison."""
    folder = tmp_path / "new"
    result = runner.invoke(app, list(map(str, comparing(model_file, data_file, folder))))
    assert result.exit_code == 0, result.output
    return folder


def comparing(model_file: Path, data_file: Path, folder: Path) -> list[object]:
    return ["compare", model_file, model_file, "--data", data_file, "--prediction-batch-size", 8, "--out", folder]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_comparison_that_is_there(model_file: Path, data_file: Path, comparison: Path) -> None:
    before = content(comparison)
    sentence = refused(*writing("compare", model_file, comparison))
    assert "holds an earlier comparison; name another folder, or give --overwrite to replace it" in sentence
    assert content(comparison) == before
    result = runner.invoke(app, [*map(str, comparing(model_file, data_file, comparison)), "--overwrite"])
    assert result.exit_code == 0, result.output
    assert sorted(content(comparison)) == sorted(before)
    assert content(comparison)["report.json"] != before["report.json"]


def test_the_default_folder_can_be_overwritten_too(
    model_file: Path, data_file: Path, comparison: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(comparison.parent)
    comparison.rename("compare")
    arguments = comparing(model_file, data_file, comparison)[:-2]
    result = runner.invoke(app, [*map(str, arguments), "--overwrite"])
    assert result.exit_code == 0, result.output
    assert [path.name for path in comparison.parent.iterdir()] == ["compare"]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def afterwards(function: Callable[..., Any], act: Callable[[], object]) -> Callable[..., Any]:
    """The function, after which something else happens."""

    def call(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        act()
        return result

    return call


@pytest.mark.parametrize("event", ["the folder goes", "the file comes"])
def test_a_trained_network_is_never_lost(
    event: str, model_file: Path, data_file: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "folder" / "new.keras"
    out.parent.mkdir()
    act = (lambda: shutil.rmtree(out.parent)) if event == "the folder goes" else lambda: out.write_text("mine")
    monkeypatch.setattr(Model, "fit", afterwards(Model.fit, act))
    arguments = ["train", model_file, "--data", data_file, "--epochs", 1, "--out", out]
    sentence = refused(*arguments, code=1)
    (saved,) = temporary.rglob("new.keras")
    assert f"the result was saved in '{saved}' instead" in sentence
    weights, start = (depthwise.load_model(path).get_weights() for path in (saved, model_file))
    assert not all(np.array_equal(a, b) for a, b in zip(weights, start))
    if event == "the file comes":
        assert out.read_text() == "mine"


@pytest.mark.parametrize("command", ["explain", "convert"])
def test_a_page_and_a_converted_model_are_never_lost(
    command: str, model_file: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "folder" / ENDINGS[command]
    out.parent.mkdir()
    made = {"explain": (depthwise.explain.explanation.Explanation, "page"), "convert": (Model, "use")}[command]
    monkeypatch.setattr(*made, afterwards(getattr(*made), lambda: shutil.rmtree(out.parent, ignore_errors=True)))
    result = runner.invoke(app, list(map(str, writing(command, model_file, out))))
    assert result.exit_code in (1, 2)
    (saved,) = temporary.rglob(out.name)
    assert f"the result was saved in '{saved}' instead" in result.stderr


@pytest.mark.parametrize("event", ["a file comes", "another comparison comes"])
def test_a_comparison_is_never_lost(
    event: str, model_file: Path, data_file: Path, comparison: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = comparison.with_name("other")

    def act() -> None:
        shutil.rmtree(out)
        if event == "a file comes":
            out.write_text("mine")
        else:
            shutil.copytree(comparison, out)

    monkeypatch.setattr(depthwise.compare.run, "compare", afterwards(depthwise.compare.run.compare, act))
    result = runner.invoke(app, list(map(str, comparing(model_file, data_file, out))))
    assert result.exit_code == 1
    (saved,) = temporary.rglob("report.json")
    assert f"the result was saved in '{saved.parent}' instead" in result.stderr
    assert f"Written to {saved.parent}/" in result.stdout  # the report is printed all the same
    assert sorted(path.name for path in saved.parent.iterdir()) == json.loads(saved.read_text())["files"]
    assert out.read_text() == "mine" if event == "a file comes" else content(out) == content(comparison)


def test_results_are_written_before_they_are_printed(
    model_file: Path, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import depthwise.compare.console

    def fail(*arguments: object) -> None:
        raise UnicodeEncodeError("gbk", "µ", 0, 1, "illegal multibyte sequence")

    monkeypatch.setattr(depthwise.compare.console, "print_report", fail)
    result = runner.invoke(app, list(map(str, comparing(model_file, data_file, tmp_path / "new"))))
    assert isinstance(result.exception, UnicodeEncodeError)
    pages = ["explain-tiny-2.html", "explain-tiny.html"]
    assert sorted(content(tmp_path / "new")) == [*pages, "report.html", "report.json", "tiny-2.keras", "tiny.keras"]

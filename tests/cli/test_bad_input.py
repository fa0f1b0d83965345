"""Every wrong argument, file and data: one clear sentence on stderr, exit code 2, nothing on stdout, no traceback."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import depthwise
from depthwise.cli import app

runner = CliRunner()


def refused(*arguments: object, code: int = 2) -> str:
    """The sentence that a command refuses its arguments with."""
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("depthwise: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("depthwise: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["summary", "nope"],
            "no network and no file is named 'nope'; give a .keras, .h5 or .onnx file or one of note-cnn, note-sep",
        ),
        (["summary", "note-cnn", "--style", "tall"], "'tall'"),
        (["summary", "note"], "depthwise explain note works through; its networks are note-cnn"),
        (["evaluate", "note-cnn", "--data", "nowhere"], "give mnist, fashion-mnist, cifar10"),
        (["compare", "nope"], "no network and no file is named 'nope'"),
        (["compare", "--epochs", "-1"], "--epochs must be from 0 to 10,000, got -1"),
        (["compare", "--epochs", "0"], "with --epochs 0 both networks must come from files"),
        (["compare", "--seeds", "1,x"], "--seeds must be up to 100 different whole numbers"),
        (["compare", "--seeds", "1,1"], "got '1,1'"),
        (["compare", "--seeds", "-1"], "got '-1'"),
        (["compare", "--language", "fr"], "language must be one of en (English), zh (中文), got 'fr'"),
        (["compare", "--direction", "sideways"], "--direction must be ordinary or separable, got 'sideways'"),
        (["compare", "note-cnn", "note-separable", "--twin"], "--twin and --direction go with one network"),
        (["compare", "note-cnn", "--direction", "ordinary"], "has no separable and no depthwise convolution"),
        (["compare", "--data", "nowhere"], "'nowhere' is neither a known name nor an existing path"),
        (["compare", "--threads", "0"], "0"),
        (["train", "note-cnn", "--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["train", "note-cnn", "--optimizer", "magic"], "unknown optimizer 'magic'; allowed are"),
        (["train", "note-cnn", "--learning-rate", "-3"], "--learning-rate must be a number of at least 0, got -3.0"),
        (["train", "note-cnn", "--seed", "-3"], "seed must be an integer from 0 to 4294967295, got -3"),
        (["train", "note-cnn", "--out", "model.h5"], "--out must end in .keras or .onnx, got 'model.h5'"),
        (["train", "note-cnn", "--out", "no/such/folder/m.keras"], "its folder does not exist"),
        (["evaluate", "nope.keras"], "no network and no file is named 'nope.keras'"),
        (["predict", "note-cnn", "nope.png"], "'nope.png'"),
        (["predict", "note-cnn", "nope.npy"], "there is no file 'nope.npy'"),
    ],
)
def test_arguments(arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence in refused(*arguments)
    assert list(tmp_path.iterdir()) == [] or list((tmp_path / "compare").iterdir()) == []


def test_unknown_commands_and_options_are_typers() -> None:
    for arguments in (["fly"], ["compare", "--fly"]):
        result = runner.invoke(app, arguments)
        assert result.exit_code == 2
        assert "fly" in result.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"\x89HDF\r\n\x1a\n", b"hello"])
@pytest.mark.parametrize("command", ["summary", "evaluate", "explain", "compare"])
def test_a_foreign_model_file(content: bytes, command: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.keras"
    path.write_bytes(content)
    assert "broken.keras" in refused(command, path)
    assert path.read_bytes() == content


def test_an_unreadable_image_is_named_and_skipped_on_request(model_file: Path, tmp_path: Path) -> None:
    from PIL import Image

    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("L", (28, 28), 120).save(good)
    bad.write_bytes(b"not an image")
    assert "bad.png" in refused("predict", model_file, good, bad)
    result = runner.invoke(app, ["predict", str(model_file), str(good), str(bad), "--skip-unreadable", "--json"])
    assert result.exit_code == 0
    assert "skipped" in result.stderr
    assert "bad.png" in result.stderr
    assert "good.png" in result.stdout
    assert "bad.png" not in result.stdout


def test_arrays_of_the_wrong_shape(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "wide.npy"
    np.save(path, np.zeros((2, 32, 32, 1), np.float32))
    assert "resize the images to 28×28" in refused("predict", model_file, path)


def test_pickles_are_never_loaded(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "'" + str(path) in refused("predict", model_file, path)


def test_arrays_that_are_not_what_they_say(model_file: Path, tmp_path: Path) -> None:
    """A pipe would be waited for, a header of more bytes than there are reserved, and zeros unpacked for ever."""
    os.mkfifo(tmp_path / "pipe.npy")
    assert "is not a file" in refused("predict", model_file, tmp_path / "pipe.npy")
    os.mkfifo(tmp_path / "pipe.onnx")
    assert "is not a file" in refused("predict", tmp_path / "pipe.onnx", tmp_path / "pipe.npy")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**30, 28, 28, 1)})
    (tmp_path / "lie.npy").write_bytes(header.getvalue())
    assert "bytes, but holds 0; the file is damaged" in refused("predict", model_file, tmp_path / "lie.npy")
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(70 << 20))
    assert "like a zip bomb" in refused("predict", model_file, tmp_path / "bomb.npz")


def test_several_arrays_in_one_file(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    np.savez(path, a=np.zeros((1, 28, 28, 1)), b=np.zeros((1, 28, 28, 1)))
    assert "holds 2 arrays" in refused("predict", model_file, path)


def test_an_existing_file_is_not_overwritten_unless_asked(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.keras"
    out.write_bytes(b"precious")
    assert "is there already" in refused("train", model_file, "--data", data_file, "--out", out)
    assert out.read_bytes() == b"precious"


def test_networks_that_predict_cannot_show(tmp_path: Path) -> None:
    layers = depthwise.layers
    path = tmp_path / "maps.keras"
    depthwise.Sequential([layers.Conv2D(2, 3, input_shape=(9, 9, 1))]).save(path)
    assert "predict shows class scores" in refused("predict", path, "a.png")


def test_a_failure_at_work_is_exit_code_1(
    model_file: Path, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up while the new model is written: the old file is as it was."""
    import errno
    import os

    out = tmp_path / "model.keras"
    out.write_bytes(model_file.read_bytes())

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = runner.invoke(
        app, ["train", str(out), "--data", str(data_file), "--epochs", "1", "--out", str(out), "--overwrite"]
    )
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    assert out.read_bytes() == model_file.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]

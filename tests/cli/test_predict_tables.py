"""`predict --out`: rows as JSON, CSV or Parquet, unreadable files among them, and the same bytes however the work is cut."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from typer.testing import CliRunner

import depthwise
from depthwise.cli import app
from depthwise.cli.options import RayCommand
from depthwise.pictures import reading_of
from depthwise.predictions import tables
from depthwise.predictions.pieces import files_of, grouped, pieces_of
from depthwise.predictions.rows import Classifier, Rows
from depthwise.predictions.tables import write_table

runner = CliRunner()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `photos` with four images, one of them damaged, and `digits.npy` with 70 more."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "photos" / "more").mkdir(parents=True)
    x = depthwise.datasets.mnist.load_data()[1][0]
    for number, name in enumerate(("b.png", "a.png", "more/c.png")):
        Image.fromarray(x[number]).save(folder / "photos" / name)
    (folder / "photos" / "aa.png").write_bytes(b"no image")
    np.save(folder / "digits.npy", x[10:80])
    return folder


@pytest.fixture
def classifier(model_file: Path) -> Classifier:
    model = depthwise.load_model(model_file)
    return Classifier(model, reading_of(model), 2)


def predict(place: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object, code: int = 0) -> Any:
    monkeypatch.chdir(place)
    done = runner.invoke(app, ["predict", *map(str, arguments)])
    assert done.exit_code == code, done.stderr
    return done


def test_the_same_rows_in_all_forms(
    model_file: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = predict(place, monkeypatch, model_file, "photos", "digits.npy", "--json", "--skip-unreadable", "--top", 2)
    for suffix in ("json", "csv", "parquet"):
        out = tmp_path / f"rows.{suffix}"
        said = predict(place, monkeypatch, model_file, "photos", "digits.npy", "--out", out, "--top", 2)
        assert said.stdout == f"{out}: 74 rows, 1 of them of files that cannot be read\n"
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert [row["file"] for row in rows[:5]] == [
        "photos/a.png",
        "photos/aa.png",
        "photos/b.png",
        "photos/more/c.png",
        "digits.npy",
    ]
    assert [row["index"] for row in rows[3:]] == [None, *range(70)]
    failed = rows.pop(1)
    assert failed["predictions"] == []
    assert "is not an image of a known format" in failed["error"]
    assert rows == json.loads(printed.stdout)

    with open(tmp_path / "rows.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert len(lines) == len(table) == 74
    assert table[1]["error"] == lines[1]["error"] == failed["error"]
    assert table[1]["class_1"] is table[1]["score_2"] is None
    assert lines[1]["class_1"] == lines[1]["score_2"] == ""
    for row, line, entry in zip(rows, lines[:1] + lines[2:], table[:1] + table[2:]):
        for rank, found in enumerate(row["predictions"], 1):
            assert int(line[f"class_{rank}"]) == entry[f"class_{rank}"] == found["class"]
            assert float(line[f"score_{rank}"]) == entry[f"score_{rank}"] == found["score"]
        assert (line["file"], entry["index"]) == (row["file"], row["index"])


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_bytes_do_not_depend_on_the_batches(
    classifier: Classifier, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(tables, "ROW_GROUP", 20)
    contents = []
    for step in (1, 7, 1024):

        def batches(size: int = step) -> Iterator[Rows]:
            pieces = pieces_of(files_of(["photos", "digits.npy"]), classifier.graph, "auto", size)
            yield from map(classifier.rows, grouped(pieces, size))

        out = tmp_path / f"{step}{suffix}"
        write_table(out, batches(), classifier.reading, classifier.columns, 2)
        contents.append(out.read_bytes())
    assert contents[0] == contents[1] == contents[2]


def test_nothing_is_left_where_it_fails(classifier: Classifier, tmp_path: Path) -> None:
    def broken() -> Iterator[Rows]:
        yield classifier.rows([])
        raise KeyboardInterrupt

    for suffix in tables.TABLE_SUFFIXES:
        with pytest.raises(KeyboardInterrupt):
            write_table(tmp_path / f"rows{suffix}", broken(), classifier.reading, classifier.columns, 2)
    assert list(tmp_path.iterdir()) == []


def test_no_rows_at_all(classifier: Classifier, tmp_path: Path) -> None:
    write_table(tmp_path / "rows.json", iter(()), classifier.reading, classifier.columns, 2)
    assert json.loads((tmp_path / "rows.json").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["photos", "--out", "rows.txt"], "--out must end in .json or .csv or .parquet"),
        (["photos", "--out", "rows.csv", "--skip-unreadable"], "leave --skip-unreadable out"),
        (["photos", "--out", "rows.csv", "--json"], "leave --json out"),
        (["photos", "--overwrite"], "--overwrite changes nothing without --out"),
        (["photos", "--bits", "same"], "--bits changes nothing without --ray"),
        (["photos/*.gif"], "no file has a name like"),
        (["photos"], "is not an image of a known format"),
        (["photos/aa.png", "--out", "{out}.csv"], "none of the 1 images could be read; every row of"),
        (["photos", "--ray"], "install it with pip install 'depthwise[ray]'"),
    ],
)
def test_refusals(
    model_file: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    given = [word.format(out=tmp_path / "rows") for word in arguments]
    assert says in predict(place, monkeypatch, model_file, *given, code=2).stderr


def test_without_pyarrow(model_file: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    said = predict(place, monkeypatch, model_file, "photos", "--out", tmp_path / "rows.parquet", code=2).stderr
    assert "pip install 'depthwise[parquet]'" in said


@pytest.mark.parametrize(
    ("words", "address", "files"),
    [
        (["--ray", "photos"], "", ["photos"]),
        (["photos", "--ray"], "", ["photos"]),
        (["--ray", "auto", "photos"], "auto", ["photos"]),
        (["photos", "--ray", "head.example.org:6379"], "head.example.org:6379", ["photos"]),
        (["photos", "--ray=local"], "local", ["photos"]),
        (["photos"], None, ["photos"]),
        (["photos", "--", "--ray"], None, ["photos", "--ray"]),
    ],
)
def test_an_address_may_follow(words: list[str], address: str | None, files: list[str]) -> None:
    import typer

    command = typer.main.get_command(app).commands["predict"]  # type: ignore[attr-defined]
    assert isinstance(command, RayCommand)
    context = command.make_context("predict", ["note-cnn", *words])
    assert (context.params["ray"], list(context.params["files"])) == (address, files)

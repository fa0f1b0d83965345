"""The folder of a comparison: nothing is replaced unless asked for, and two comparisons never lie mixed."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import depthwise
from depthwise.compare.folder import free_folder, prepare_folder, write_folder
from depthwise.compare.report import Report
from depthwise.errors import DepthwiseError, InvalidArgumentError
from depthwise.models import Model
from support.made_up import made_up

FIRST, SECOND = ("a.keras", "a-seed-2.keras"), ("b.keras", "b-seed-2.keras")


def report_of(*files: tuple[str, ...]) -> Report:
    report = made_up((1, 2))
    first, second = (replace(network, files=names) for network, names in zip(report.networks, files))
    return replace(report, networks=(first, second))


def models_of(report: Report, seed: int) -> list[list[Model]]:
    depthwise.utils.set_random_seed(seed)
    return [[Model.from_graph(network.graph) for _ in network.files] for network in report.networks]


def write(folder: Path, *files: tuple[str, ...], seed: int = 1, overwrite: bool = False) -> list[str]:
    report = report_of(*files)
    return write_folder(folder, report, models_of(report, seed), "en", overwrite)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_earlier_comparison_is_refused_and_stays(tmp_path: Path) -> None:
    write(tmp_path, FIRST, SECOND)
    before = content(tmp_path)
    for names in (["a.keras"], ["other.keras"]):  # beside it there is no room either: whose would the report be?
        with pytest.raises(
            InvalidArgumentError, match="holds an earlier comparison; name another folder, or give --ov"
        ):
            prepare_folder(tmp_path, names)
    with pytest.raises(InvalidArgumentError, match="holds an earlier comparison"):
        write(tmp_path, ("c.keras",), ("d.keras",))  # it came while the other one trained
    assert content(tmp_path) == before


def test_overwriting_leaves_nothing_of_the_earlier_one(tmp_path: Path) -> None:
    write(tmp_path, FIRST, SECOND)
    (tmp_path / "notes.txt").write_text("mine")
    prepare_folder(tmp_path, ["a.keras", "c.keras"], overwrite=True)
    names = write(tmp_path, ("a.keras",), ("c.keras",), overwrite=True)
    assert sorted(names) == ["a.keras", "c.keras", "report.html", "report.json"]
    assert sorted(content(tmp_path)) == ["a.keras", "c.keras", "notes.txt", "report.html", "report.json"]
    assert json.loads((tmp_path / "report.json").read_text())["files"] == sorted(names)


@pytest.mark.parametrize("stop", range(1, 5))
def test_a_failure_between_never_mixes_two(tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that fails at the `stop`-th move into the folder: what is there is of one comparison, or is not there."""
    write(tmp_path, ("a.keras",), ("b.keras",), seed=1)
    old = content(tmp_path)
    moved = 0
    move = os.replace

    def fail(source: Path, target: Path) -> None:
        nonlocal moved
        moved += Path(target).parent == tmp_path
        if moved == stop:
            raise OSError(5, "Input/output error")
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(DepthwiseError, match="Input/output error"):
            write(tmp_path, ("a.keras",), ("b.keras",), seed=2, overwrite=True)
    assert moved == stop
    left = content(tmp_path)
    # Two reports differ only in what was measured; here the models tell whose they are.
    new_models = [name for name in ("a.keras", "b.keras") if name in left and left[name] != old[name]]
    old_models = [name for name in ("a.keras", "b.keras") if name in left and left[name] == old[name]]
    assert not (new_models and old_models)
    assert "report.json" in left
    assert len(new_models) == max(0, stop - 3)
    assert set(left) <= set(old)
    write(tmp_path, ("a.keras",), ("b.keras",), seed=2, overwrite=True)  # and what is left is known as ours
    assert set(content(tmp_path)) == set(old)


def test_a_failure_before_leaves_the_earlier_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, ("a.keras",), ("b.keras",))
    before = content(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DepthwiseError, match="the disk is full"):
            write(tmp_path, ("a.keras",), ("b.keras",), seed=2, overwrite=True)
    assert content(tmp_path) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_file_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "light.keras").write_bytes(b"precious")
    with pytest.raises(InvalidArgumentError, match=r"holds 'light.keras', which no comparison wrote"):
        prepare_folder(tmp_path, ["light.keras"], overwrite)
    prepare_folder(tmp_path, ["other.keras"], overwrite)  # beside it there is room
    assert content(tmp_path) == {"light.keras": b"precious"}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"format": "else", "files": ["light.keras"]}', '{"format": "depthwise.compare", "files": 3}'],
)
def test_a_foreign_report_is_not_ours(tmp_path: Path, text: str, overwrite: bool) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InvalidArgumentError, match=r"holds 'report.json', which no comparison wrote"):
        prepare_folder(tmp_path, ["light.keras"], overwrite)
    assert (tmp_path / "report.json").read_text() == text


def test_a_hostile_report_cannot_delete_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "compare"
    write(folder, ("a.keras",), ("b.keras",))
    (tmp_path / "mine.keras").write_bytes(b"precious")
    (folder / "thesis.txt").write_bytes(b"precious")
    report = json.loads((folder / "report.json").read_text())
    report["files"] += ["../mine.keras", str(tmp_path / "mine.keras"), "thesis.txt", "..", ""]
    (folder / "report.json").write_text(json.dumps(report))
    write(folder, ("a.keras",), ("b.keras",), overwrite=True)
    assert (tmp_path / "mine.keras").read_bytes() == b"precious"
    assert (folder / "thesis.txt").read_bytes() == b"precious"


def test_the_first_free_folder(tmp_path: Path) -> None:
    folder = tmp_path / "compare"
    assert free_folder(folder, ["a.keras"]) == folder
    folder.mkdir()
    assert free_folder(folder, ["a.keras"]) == folder  # empty
    (folder / "a.keras").write_bytes(b"precious")
    (tmp_path / "compare-2").write_bytes(b"a file")
    write(tmp_path / "compare-3", ("c.keras",), ("d.keras",))
    assert free_folder(folder, ["a.keras"]) == tmp_path / "compare-4"
    assert free_folder(folder, ["b.keras"]) == folder


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidArgumentError, match="is a file, not a folder"):
        prepare_folder(tmp_path / "file", [])
    with pytest.raises(InvalidArgumentError, match="cannot be made"):
        prepare_folder(tmp_path / "file" / "below", [])
    with pytest.raises(InvalidArgumentError, match="cannot be made"):
        prepare_folder(tmp_path / "nul\0l", [])


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux")
def test_a_folder_that_takes_no_files() -> None:
    with pytest.raises(InvalidArgumentError, match="its folder takes no new files"):
        prepare_folder(Path("/proc"), [])
    with pytest.raises(InvalidArgumentError, match="cannot be made"):
        prepare_folder(Path("/proc/compare"), [])

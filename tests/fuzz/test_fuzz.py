"""Promise: whatever a file holds, its reader takes it or says one sentence, at a cost in proportion to the file.

The readers are those of `readers.py`. The quick tests read a few changed files and all that once failed; the sweep reads 2,000 changed
files and the whole corpus. `run.py` goes on for as long as it is told to, guided by coverage.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from depthwise.errors import DepthwiseError

from .corpus import FAILED, FOLDER, stored
from .guard import cost
from .readers import READERS, Reader

LARGEST_CORPUS = 2 * 2**20
CHANGED, SWEPT = 15, 2_000 // len(READERS) + 1
MOST_CALLS, CALLS_A_BYTE = 100_000, 10
MOST_BYTES, BYTES_A_BYTE = 12 * 2**20, 100

Record = Callable[[str, object], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder in which files are read; there is nothing else beside it."""
    inside = tmp_path / "around" / "in"
    inside.mkdir(parents=True)
    return inside


def seeds_of(reader: Reader, tmp_path: Path) -> list[bytes]:
    place = tmp_path / "seeds"
    place.mkdir()
    return reader.seeds(place)


def is_a_sentence(error: DepthwiseError | None) -> bool:
    text = str(error)
    return error is None or (text.isprintable() and 10 < len(text) < 1_500)


def changed_files(reader: Reader, seeds: list[bytes], count: int) -> list[bytes]:
    generators = [random.Random(f"{reader.name} {number}") for number in range(count)]
    return [reader.change(rng.choice(seeds), rng) for rng in generators]


@pytest.mark.parametrize("name", READERS)
def test_good_files_are_read_and_changed_ones_are_read_or_refused(
    name: str, folder: Path, tmp_path: Path, record_property: Record
) -> None:
    reader = READERS[name]
    seeds = seeds_of(reader, tmp_path)
    assert [reader.run(content, folder) for content in seeds] == [None] * len(seeds)
    files = changed_files(reader, seeds, CHANGED)
    assert all(is_a_sentence(reader.run(content, folder)) for content in files)
    record_property("tried", len(seeds) + len(files))


@pytest.mark.parametrize("name", READERS)
def test_what_once_failed_is_read_or_refused(name: str, folder: Path, record_property: Record) -> None:
    files = [content for member, content in stored(name).items() if member.startswith(FAILED)]
    for content in files:
        assert is_a_sentence(READERS[name].run(content, folder))
    record_property("tried", len(files))


def test_the_corpus_is_small_and_belongs_to_readers() -> None:
    kept = list(FOLDER.glob("*.zip"))
    assert {path.stem for path in kept} <= set(READERS)
    assert sum(path.stat().st_size for path in kept) <= LARGEST_CORPUS


@pytest.mark.sweep
@pytest.mark.parametrize("name", READERS)
def test_the_cost_is_in_proportion_to_the_file(
    name: str, folder: Path, tmp_path: Path, record_property: Record
) -> None:
    reader = READERS[name]
    seeds = seeds_of(reader, tmp_path)
    for content in seeds:  # what is imported or made once does not count
        reader.run(content, folder)
    files = [*seeds, *changed_files(reader, seeds, SWEPT), *stored(name).values()]
    most = (0, 0)
    for content in files:
        limit = MOST_CALLS + CALLS_A_BYTE * len(content)
        error, calls, peak = cost(lambda content=content: reader.run(content, folder), limit)  # type: ignore[misc]
        assert is_a_sentence(error)
        assert peak <= MOST_BYTES + BYTES_A_BYTE * len(content)
        most = (max(most[0], calls), max(most[1], peak))
    print(name, len(files), most)
    record_property("tried", len(files))

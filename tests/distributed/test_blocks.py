"""Blocks of a Ray dataset as pieces: arrays of one shape go together, everything else one by one, and both give the same rows."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise.distributed.worker import block_pieces
from depthwise.pictures import reading_of
from depthwise.predictions.pieces import Piece, grouped
from depthwise.predictions.rows import Classifier

FORM = (28, 28, 1)


class _Block:
    """As much of a block and of Ray's accessor as is used."""

    def __init__(self, **columns: Any) -> None:
        self.columns = columns

    def column_names(self) -> list[str]:
        return list(self.columns)

    def num_rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def to_numpy(self, name: str) -> Any:
        return self.columns[name]


@pytest.fixture(autouse=True)
def accessor(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(BlockAccessor=SimpleNamespace(for_block=lambda block: block))
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ray.data.block", made)


def pieces(size: int, form: tuple[int, ...] = FORM, **columns: Any) -> list[Piece]:
    return list(block_pieces(_Block(**columns), "auto", form, size))


def apart(arrays: Any) -> Any:
    """The same images in a form that keeps them from going together."""
    column = np.empty(len(arrays), object)
    column[:] = list(arrays)
    return column


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "bool"])
@pytest.mark.parametrize("form", [(28, 28), (28, 28, 1)])
def test_together_and_one_by_one_give_the_same_rows(kind: str, form: tuple[int, ...], rng: np.random.Generator) -> None:
    model = depthwise.networks.trained("note-cnn")
    classifier = Classifier(model, reading_of(model))
    arrays = rng.integers(0, 2 if kind == "bool" else 256, (11, *form)).astype(kind)
    if kind == "float32":
        arrays /= 255
        arrays[3] = np.nan
    together, alone = pieces(4, data=arrays), pieces(4, data=apart(arrays))
    assert [len(piece) for piece in together] == [4, 4, 3]
    assert [len(piece) for piece in alone] == [1] * 11
    results = [[classifier.rows(group) for group in grouped(made, 4)] for made in (together, alone)]
    for ours, theirs in zip(*results, strict=True):
        assert ours.classes.tobytes() == theirs.classes.tobytes()
        assert ours.scores.tobytes() == theirs.scores.tobytes()
        assert (ours.files, ours.errors, ours.changes) == (theirs.files, theirs.errors, theirs.changes)


def test_what_cannot_go_together_goes_alone(rng: np.random.Generator) -> None:
    assert [len(piece) for piece in pieces(8, data=rng.random((3, 27, 28, 1)))] == [1, 1, 1]  # of another shape
    assert [len(piece) for piece in pieces(8, form=(28, 28, 3), data=rng.random((3, 28, 28)))] == [1, 1, 1]
    named = pieces(8, data=np.zeros((2, 28, 28, 1)), path=np.array(["a", "b"]))
    assert [(piece.path, len(piece)) for piece in named] == [("a", 1), ("b", 1)]
    texts = pieces(8, data=np.array(["a", "b"]))
    assert [piece.error for piece in texts] == ["'': '<U1' is no array of numbers"] * 2
    assert pieces(8, data=np.zeros((0, 28, 28, 1))) == []

"""Sequences of batches: which objects are ones, and what a batch must be."""

from typing import Any

import numpy as np
import pytest

from depthwise.data import Batches, is_batches, read_batch
from depthwise.errors import InvalidDataError


class Ramp(Batches):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: Any) -> Any:
        return np.full((4, 2, 2, 1), index, np.float32), np.arange(4)


class Duck:
    """No relation of ours, but with the two methods."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> Any:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]


PAIR = (np.zeros((2, 3)), np.zeros(2))


def test_ours_and_ducks_are_batches() -> None:
    assert is_batches(Ramp())
    assert is_batches(Duck([PAIR, PAIR]))
    Ramp().on_epoch_end()


def test_keras_py_dataset_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")

    class Data(keras.utils.PyDataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: Any) -> Any:
            return PAIR

    assert is_batches(Data())
    assert read_batch(Data(), 0).x.shape == (2, 3)


@pytest.mark.parametrize(
    "value",
    [
        [PAIR],
        (PAIR, PAIR),
        {0: PAIR},
        "text",
        np.zeros((2, 2)),
        range(3),
        None,
        3,
        Ramp,
        Duck([]),
        Duck([np.zeros(3)]),
        Duck({"a": PAIR}),
        (item for item in [PAIR]),
    ],
)
def test_others_are_not(value: Any) -> None:
    assert not is_batches(value)


def test_read_batch_forms() -> None:
    batch = read_batch(Ramp(), 2)
    assert batch.x[0, 0, 0, 0] == 2
    assert batch.y is not None
    assert batch.y.tolist() == [0, 1, 2, 3]
    assert batch.sample_weight is None
    assert read_batch(Duck([([[1.0]],)]), 0).y is None
    weighted = read_batch(Duck([([[1.0], [2.0]], [0, 1], [0.5, 2.0])]), 0)
    assert weighted.sample_weight is not None
    assert weighted.sample_weight.tolist() == [0.5, 2.0]
    duck = read_batch(Duck([([[1.0]], None, [3.0])]), 0)
    assert duck.sample_weight is not None
    assert duck.sample_weight.tolist() == [3.0]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ([1, 2], r"Batch 0 is list; return \(x, y\)"),
        ((), "Batch 0 is a tuple of 0"),
        ((1, 2, 3, 4), "Batch 0 is a tuple of 4"),
        ((np.zeros((2, 3)), np.zeros(3)), "Batch 0 has 2 samples in x but 3 in y"),
        ((np.zeros((2, 3)), np.zeros(2), np.zeros(1)), "2 samples in x but 1 in sample_weight"),
        ((np.array(["a"]), np.zeros(1)), "The x of batch 0 has shape .1,. and dtype '<U1'; it needs numbers"),
        ((3.0, np.zeros(1)), "The x of batch 0 has shape ()"),
        (([[1], [1, 2]], np.zeros(2)), "The x of batch 0 is .*no array of numbers"),
        ((None, np.zeros(2)), "The x of batch 0"),
    ],
)
def test_bad_batches(item: Any, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        read_batch(Duck([item]), 0)


def test_unfinished_subclass_says_what_it_needs() -> None:
    with pytest.raises(NotImplementedError, match="Batches needs a method __len__"):
        len(Batches())
    with pytest.raises(NotImplementedError, match="Batches needs a method __getitem__"):
        Batches()[0]

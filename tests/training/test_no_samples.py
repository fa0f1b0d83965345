"""A loss or a metric over no samples is refused or left out, never 0.0: a callback would take it for the best of all."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from depthwise import losses
from depthwise.callbacks import Callback
from depthwise.errors import InvalidDataError
from depthwise.models import Model
from support.reference_step import data, dense_model

Batch = tuple[np.ndarray[Any, Any], ...]
X, Y = data()


def classifier() -> Model:
    model: Model = dense_model()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def once() -> Iterator[Batch]:
    return (batch for batch in [(X, Y)])


def test_a_loss_over_no_samples_is_refused() -> None:
    """Keras: "the generator must yield at least one batch"."""
    nothing: list[Iterable[Batch]] = [iter([]), (batch for batch in list[Batch]())]
    for empty in nothing:
        with pytest.warns(UserWarning, match="ran out after 0"), pytest.raises(InvalidDataError, match="x gave no bat"):
            classifier().evaluate(empty, verbose=0)
    with pytest.warns(UserWarning, match="ran out after 0"), pytest.raises(InvalidDataError, match="fit: x gave no"):
        classifier().fit(iter([]), verbose=0)
    with (
        pytest.warns(UserWarning, match="ran out after 0"),
        pytest.raises(
            InvalidDataError, match="fit: validation_data gave no batches; a generator gives its batches only"
        ),
    ):
        classifier().fit(X, Y, validation_data=iter([]), verbose=0)
    with pytest.raises(InvalidDataError, match="MeanSquaredError: there are no samples"):
        losses.MeanSquaredError()(np.zeros((0, 1)), np.zeros((0, 1)))


def test_a_generator_is_evaluated_once() -> None:
    model, generator = classifier(), once()
    loss, _ = model.evaluate(generator, verbose=0)
    assert loss > 0.0
    with pytest.warns(UserWarning, match="ran out after 0"), pytest.raises(InvalidDataError, match="make a new one"):
        model.evaluate(generator, verbose=0)


@pytest.mark.filterwarnings("ignore:the data ran out")
@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_a_validation_without_samples_adds_nothing_to_the_logs(verbose: int) -> None:
    """So nothing takes a loss of 0.0 for the best epoch."""
    seen: list[dict[str, Any]] = []

    class Logs(Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            seen.append(dict(logs or {}))

    history = classifier().fit(X, Y, epochs=3, validation_data=once(), callbacks=[Logs()], verbose=verbose).history
    assert len(history["loss"]) == 3
    assert len(history["val_loss"]) == len(history["val_accuracy"]) == 1
    assert history["val_loss"][0] > 0.0
    assert ["val_loss" in logs for logs in seen] == [True, False, False]

"""Compilations of models with several outputs in `.keras` files, both ways with real Keras."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from support.topologies import TOPOLOGIES

SPARSE = "sparse_categorical_crossentropy"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6)).astype(np.float32)
KIND, SIZE, PAIR = RNG.integers(0, 3, 8), RNG.random((8, 1)).astype(np.float32), RNG.random((8, 2)).astype(np.float32)

COMPILATIONS: list[tuple[str, Any, dict[str, Any], Any]] = [
    ("two_heads", [SPARSE, "mse"], {"loss_weights": [0.5, 2.0], "metrics": [["accuracy"], None]}, [KIND, SIZE]),
    ("two_heads", (SPARSE, None), {"metrics": ("accuracy", ["mae", "mse"])}, [KIND, SIZE]),
    (
        "two_heads",
        {"size": "mse", "kind": "obj:SparseCategoricalCrossentropy"},
        {"loss_weights": {"size": 0.5, "kind": 2.0}, "weighted_metrics": {"size": ["mae"]}},
        [KIND, SIZE],
    ),
    ("by_name", {"zebra": SPARSE, "ant": "mse"}, {"metrics": {"zebra": ["accuracy"]}}, {"zebra": KIND, "ant": PAIR}),
]


def _compiled(kit: Any, topology: str, loss: Any, arguments: dict[str, Any]) -> Any:
    model = TOPOLOGIES[topology](kit)
    if isinstance(loss, dict):
        loss = {name: getattr(kit.losses, item[4:])() if item[:4] == "obj:" else item for name, item in loss.items()}
    model.compile("adam", loss, **arguments)
    return model


@pytest.mark.parametrize(("topology", "loss", "arguments", "y"), COMPILATIONS)
@pytest.mark.parametrize("writer", [keras, depthwise])
def test_both_ways(topology: str, loss: Any, arguments: dict[str, Any], y: Any, writer: Any, tmp_path: Path) -> None:
    """The same names and values, and the same next step: weights and the optimizer's state are in the file."""
    model = _compiled(writer, topology, loss, arguments)
    for _ in range(2):
        model.train_on_batch(X, y)
    model.save(tmp_path / "model.keras")
    reader = depthwise if writer is keras else keras
    again, own = reader.models.load_model(tmp_path / "model.keras"), writer.models.load_model(tmp_path / "model.keras")
    expected = model.evaluate(X, y, verbose=0, return_dict=True)
    for other in (again, own):
        found = other.evaluate(X, y, verbose=0, return_dict=True)
        assert list(found) == list(expected)
        np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-5)
    for each in (model, again, own):
        each.train_on_batch(X, y)
    for a, b, c in zip(model.get_weights(), again.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(c, a, rtol=1e-4, atol=1e-6)


def test_a_model_compiled_without_a_loss_is_saved(tmp_path: Path) -> None:
    model = TOPOLOGIES["two_heads"](depthwise)
    model.compile("adam")
    model.save(tmp_path / "model.keras")
    for kit in (depthwise, keras):
        again = kit.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(again.predict(X, verbose=0)[0], model.predict(X, verbose=0)[0], rtol=1e-5)
    assert depthwise.models.load_model(tmp_path / "model.keras").loss is None

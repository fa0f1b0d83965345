"""Ten training steps of networks with several outputs beside real Keras and the float64 reference: logs and weights."""

from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from depthwise.reference import bounds
from support.model_steps import compare_models
from support.topologies import TOPOLOGIES

SPARSE, DENSE = "sparse_categorical_crossentropy", "categorical_crossentropy"

Case = tuple[str, Any, dict[str, Any]]

CASES: list[Case] = [
    ("two_heads", [SPARSE, "mse"], {}),
    (
        "two_heads",
        {"size": "mae", "kind": "obj:CategoricalCrossentropy"},
        {"loss_weights": {"size": 0.25, "kind": 2.0}, "metrics": {"size": "mse"}},
    ),
    ("two_heads", [SPARSE, None], {"metrics": [["accuracy", "sparse_top_k_categorical_accuracy"], None]}),
    ("two_heads", "mse", {"loss_weights": [0.5], "metrics": ["mae", ["mse", "mae"]]}),
    ("classes_and_map", [SPARSE, SPARSE], {"loss_weights": [1.0, 0.3], "metrics": [["accuracy"], ["accuracy"]]}),
    (
        "classes_and_map",
        {"pixels": DENSE, "image": "mse"},
        {"loss_weights": [3.0, 0.1], "weighted_metrics": {"pixels": ["accuracy"], "image": ["mae"]}},
    ),
    ("read_on", [SPARSE, "mse"], {"loss_weights": [0.7, 1.3], "metrics": [["accuracy"], ["mae"]]}),
    ("listed_twice", ["binary_crossentropy", "mse"], {"loss_weights": [1.0, 2.0]}),
    ("siamese", ["mse", "binary_crossentropy"], {"metrics": [["mae"], ["accuracy"]]}),
    ("one_layer_twice", ["mse", "mae"], {"metrics": [["mae"], ["mae"]], "weighted_metrics": [["mae"], None]}),
    ("nested", [SPARSE, "mse"], {"metrics": {"top": "accuracy", "inner": ["mae"]}}),
    ("encoder_twice", {"both": "mse", "first": "mae"}, {"loss_weights": [0.5, 4.0]}),
    (
        "by_name",
        {"zebra": SPARSE, "ant": "mse"},
        {"metrics": {"ant": ["mae"]}, "loss_weights": {"zebra": 2.0, "ant": 0.5}},
    ),
    ("by_name", {"ant": "mse"}, {}),
    ("by_name", ["mae", SPARSE], {"metrics": [["mse"], ["accuracy"]]}),
    ("every_level", "mse", {}),
    ("every_level", ["mse", None, "mae"], {"loss_weights": [0.2, 1.0, 1.0]}),
    ("frozen_trunk", [SPARSE, "mse"], {"loss_weights": [1.0, 0.5]}),
]


@pytest.mark.parametrize(
    ("topology", "loss", "arguments"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("weighted", [False, True])
def test_ten_steps(topology: str, loss: Any, arguments: dict[str, Any], weighted: bool) -> None:
    """Ours must be as near to the reference as Keras is: see `support.model_steps` for the tolerance."""
    rng = np.random.default_rng(3)
    keras.utils.set_random_seed(1)
    theirs, ours = TOPOLOGIES[topology](keras), TOPOLOGIES[topology](depthwise)
    ours.set_weights(theirs.get_weights())
    compare_models(theirs, ours, rng, loss, arguments, weighted=weighted)


def test_cases_have_every_topology() -> None:
    assert {case[0] for case in CASES} == set(TOPOLOGIES)


def test_weights_that_no_loss_depends_on_decay_as_in_keras() -> None:
    """Their gradient is 0, but the optimizer's weight decay is for all trainable weights."""
    keras.utils.set_random_seed(1)
    theirs, ours = TOPOLOGIES["two_heads"](keras), TOPOLOGIES["two_heads"](depthwise)
    ours.set_weights(theirs.get_weights())
    for model, kit in ((theirs, keras), (ours, depthwise)):
        model.compile(kit.optimizers.AdamW(0.01, weight_decay=0.1), [SPARSE, None])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 6)).astype(np.float32), rng.integers(0, 3, 6)
    before = ours.get_layer("size").get_weights()[0]
    for _ in range(3):
        theirs.train_on_batch(x, [y, None])
        ours.train_on_batch(x, y)
    after = ours.get_layer("size").get_weights()[0]
    # Three products with 1 − 0.001, each rounded once or twice.
    np.testing.assert_allclose(
        after, before.astype(np.float64) * (1.0 - 0.01 * 0.1) ** 3, rtol=8 * bounds.UNIT_ROUNDOFF
    )
    np.testing.assert_allclose(after, theirs.get_layer("size").get_weights()[0], rtol=16 * bounds.UNIT_ROUNDOFF)

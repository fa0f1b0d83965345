"""Random networks trained beside real Keras, each output with a loss of its own: logs and weights."""

from typing import Any

import keras
import numpy as np
import pytest

import depthwise
from support.model_steps import compare_models
from support.random_models import random_model

QUICK, ALL = 2, 60
SEEDS = [*range(QUICK), *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(QUICK, ALL))]
REGRESSION = ("mse", "mae")
CLASSES = ("sparse_categorical_crossentropy", "obj:CategoricalCrossentropy")


@pytest.mark.parametrize("seed", SEEDS)
def test_three_steps(seed: int) -> None:
    rng = np.random.default_rng(80_000 + seed)
    chosen: list[str] = []

    def finish(kit: Any, outputs: list[Any]) -> list[Any]:
        """Probabilities where the loss is a cross-entropy."""
        pick = np.random.default_rng(81_000 + seed)
        chosen.clear()
        found = []
        for number, tensor in enumerate(outputs):
            kind = int(pick.integers(3))
            name = f"end_{number}"
            if kind == 0 and tensor.shape[-1] > 1:
                chosen.append(CLASSES[int(pick.integers(2))])
                found.append(kit.layers.Activation("softmax", name=name)(tensor))
            elif kind == 1:
                chosen.append("binary_crossentropy")
                found.append(kit.layers.Activation("sigmoid", name=name)(tensor))
            else:
                chosen.append(REGRESSION[int(pick.integers(len(REGRESSION)))])
                found.append(tensor)
        return found

    keras.utils.set_random_seed(seed)
    theirs, ours = random_model(keras, seed, finish=finish), random_model(depthwise, seed, finish=finish)
    ours.set_weights(theirs.get_weights())
    arguments = {"loss_weights": [float(np.float32(rng.uniform(0.25, 2.0))) for _ in chosen]}
    compare_models(
        theirs, ours, rng, list(chosen), arguments, weighted=bool(seed % 2), batch=(1, 3, 18)[seed % 3], steps=3
    )

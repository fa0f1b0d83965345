"""The `.keras` files of the real networks, and what is right for them: Keras' own results in float64.

The folder of a network gets `model.keras`, the order's folder `predict.npz` or `training.npz`: `expected`, and `allowed`, the error that
any honest float32 arithmetic may have, judged by Keras' own in float32. Predictions are compared in absolute numbers, losses in relative ones.
"""

import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}

import keras
import numpy as np

from benchmarks.keras_networks import KerasNetwork
from benchmarks.models import Adam, Array, make_images, make_labels
from benchmarks.process import ROOT
from benchmarks.reference import ALLOWED_TIMES_FLOAT32_ERROR
from benchmarks.worker import CHECKED_STEPS, TRAINING_BATCHES

sys.path.insert(0, str(ROOT / "tests"))
from support.keras_applications import drawn_quickly, put_random_numbers

PRECISIONS = ("float32", "float64")
UNIT = float(np.finfo(np.float32).eps)


def write(network: KerasNetwork, kind: str, batch: int, path: Path, folder: Path) -> None:
    """Write the network to `path` unless it is there, and its right results for this kind of work and batch into `folder`."""
    results = {}
    for precision in PRECISIONS:
        keras.utils.clear_session()
        keras.config.set_floatx(precision)
        with drawn_quickly():
            model = network.make(keras)
        put_random_numbers(model)
        if precision == "float32" and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            model.save(path)
        results[precision] = (_predicted if kind == "predict" else _losses)(model, network, batch)
    expected = results["float64"]
    scale = 1.0 if kind == "predict" else np.abs(expected)
    error = float(np.max(np.abs(results["float32"] - expected) / scale))
    least = UNIT * float(np.abs(expected).max()) if kind == "predict" else UNIT
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{kind}.npz", expected=expected, allowed=ALLOWED_TIMES_FLOAT32_ERROR * max(error, least))


def _predicted(model: Any, network: KerasNetwork, batch: int) -> Array:
    images = make_images(network, batch).astype(keras.config.floatx())
    return np.asarray(model.predict_on_batch(images), np.float64)


def _losses(model: Any, network: KerasNetwork, batch: int) -> Array:
    settings = Adam()
    optimizer = keras.optimizers.Adam(settings.learning_rate, settings.beta_1, settings.beta_2, settings.epsilon)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    # The rivals draw as many images at once: the first of them are the same only then.
    images = make_images(network, batch * TRAINING_BATCHES).astype(keras.config.floatx())
    labels = make_labels(batch * TRAINING_BATCHES)
    losses = []
    for start in range(0, batch * CHECKED_STEPS, batch):
        model.reset_metrics()  # the loss of this step alone
        losses.append(float(model.train_on_batch(images[start : start + batch], labels[start : start + batch])))
    return np.array(losses)

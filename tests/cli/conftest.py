"""A tiny data set, a tiny trained network, and a way to run commands as a user does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import depthwise

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 training and 100 test images of MNIST as an .npz file."""
    (x_train, y_train), (x_test, y_test) = depthwise.datasets.mnist.load_data()
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, x_train=x_train[:300], y_train=y_train[:300], x_test=x_test[:100], y_test=y_test[:100])
    return path


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network for 28×28 grey images with 10 classes."""
    depthwise.utils.set_random_seed(3)
    layers = depthwise.layers
    model = depthwise.Sequential(
        [
            layers.Conv2D(4, 3, strides=2, activation="relu", input_shape=(28, 28, 1)),
            layers.SeparableConv2D(8, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ],
        name="tiny",
    )
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    model.save(path)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `depthwise …` in an empty folder, in a process of its own; the process's text output is captured."""

    def call(*arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "depthwise", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
            env={**os.environ, "COLUMNS": "100", "PYTHONWARNINGS": "error"},
            **options,
        )

    return call

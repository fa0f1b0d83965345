"""Each line of the README's table of what is not Keras: the first column is refused in one sentence, the second one works."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise import applications, backend, callbacks, layers, models, ops, utils
from depthwise.preprocessing import image

ROOT = Path(__file__).resolve().parent.parent
HEADS = {"README.md": "## What is not Keras", "README.zh.md": "## 与 Keras 的不同"}


def rows(name: str) -> list[tuple[str, str]]:
    """The code of the first two columns of each line."""
    part = (ROOT / name).read_text(encoding="utf-8").partition(HEADS[name])[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ") and "`" in line]
    cells = [[re.findall(r"`([^`]+)`", cell) for cell in line.split(" | ")] for line in lines]
    return [(first[0], second[0]) for first, second, *_ in cells]


def names() -> dict[str, Any]:
    class OwnLayer(layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    class OwnModel(models.Model):
        def train_step(self, data: Any) -> Any:
            return data

    x = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    y = np.zeros((8, 2), np.float32)
    inputs = depthwise.Input(shape=(4,))
    outputs = layers.Dense(2)(inputs)
    model = models.Model(inputs, outputs)
    model.compile("sgd", "mse")
    return {
        "OwnLayer": OwnLayer,
        "OwnModel": OwnModel,
        "applications": applications,
        "backend": backend,
        "batches": (item for item in [(x, y)]),
        "callbacks": callbacks,
        "depthwise": depthwise,
        "image": image,
        "inputs": inputs,
        "keras": depthwise,
        "layers": layers,
        "model": model,
        "ops": ops,
        "outputs": outputs,
        "pictures": np.zeros((2, 4, 4, 1)),
        "utils": utils,
        "x": x,
        "y": y,
    }


@pytest.mark.parametrize(("refused", "instead"), rows("README.md"))
def test_a_line_of_the_table(refused: str, instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((depthwise.DepthwiseError, AttributeError, TypeError)):
        eval(refused, names())
    eval(instead, names())


def test_both_readmes_say_the_same() -> None:
    assert rows("README.md") == rows("README.zh.md")
    assert len(rows("README.md")) == 14

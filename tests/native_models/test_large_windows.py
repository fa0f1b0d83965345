"""Pooling with large windows: in loops, where an instruction for each cell would take LLVM minutes; the bits are the same."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from depthwise import layers, models
from depthwise.compiler.kernels import pooling
from depthwise.compiler.native.cache import FOLDER_VARIABLE

WINDOW, SIZE = (5, 3), (9, 7, 3)


def made(kind: Any, padding: str, stride: int) -> Any:
    model = models.Sequential(
        [
            layers.DepthwiseConv2D(1, use_bias=False, input_shape=SIZE),
            kind(WINDOW, strides=stride, padding=padding),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=array.shape).astype(np.float32) for array in model.get_weights()])
    model.compile("sgd", "mse")
    return model


def results(model: Any) -> list[npt.NDArray[Any]]:
    """Predictions, of NaN too, and the weights after a step."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, *SIZE)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
    x[1] = np.round(x[1])  # several cells with the maximum
    missing = x.copy()
    missing[0, 4, 3] = np.nan
    found = [model.predict_on_batch(x), model.predict_on_batch(missing)]
    model.train_on_batch(x, y)
    return [*found, *model.get_weights()]


@pytest.mark.parametrize("kind", [layers.MaxPooling2D, layers.AveragePooling2D])
@pytest.mark.parametrize(("padding", "stride"), [("valid", 5), ("same", 1)])
def test_loops_give_the_same_bits(
    kind: Any, padding: str, stride: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = results(made(kind, padding, stride))
    monkeypatch.setattr(pooling, "WRITTEN_OUT", 4)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    looped = []

    def through_window(*arguments: Any) -> Any:
        looped.append(arguments)
        return written(*arguments)

    written = pooling._through_window
    monkeypatch.setattr(pooling, "_through_window", through_window)
    for one, other in zip(results(made(kind, padding, stride)), wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(looped) >= 2


def test_the_size_of_the_code_does_not_follow_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of 127 × 127 took a minute to compile."""
    lines: list[int] = []

    def written(kernel: Any, module: Any) -> str:
        before = len(module.text().splitlines())
        name = emit(kernel, module)
        lines.append(len(module.text().splitlines()) - before)
        return name

    emit = pooling.Pooling.emit
    monkeypatch.setattr(pooling.Pooling, "emit", written)
    model = models.Sequential([layers.MaxPooling2D(127, strides=1, input_shape=(128, 128, 1))])
    x = np.zeros((1, 128, 128, 1), np.float32)
    x[0, 3, 0] = 2.0
    assert model.predict_on_batch(x).ravel().tolist() == [2.0, 0.0, 2.0, 0.0]
    assert lines
    assert max(lines) < 500

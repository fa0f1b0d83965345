"""`depthwise explain` of a file that does not open: which layer or option is in the way, since when, and what it means."""

import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cli.conftest import Run
from depthwise import layers
from depthwise.data.formats.origins import ORIGINS
from depthwise.layers.names import UNSUPPORTED
from depthwise.messages import section
from support.old_keras import layer, sequential, write_h5


def _refused(folder: Path) -> Path:
    config = sequential(
        layer("Dense", "d", batch_input_shape=[None, 4, 3], units=2),
        layer("LSTM", "memory", units=3),
        layer("BatchNormalization", "norm", renorm=True),
        layer("Dense", "last", units=2, activation="sparsemax"),
        layer("Dense", "strange", units=2, own_option=7),
    )
    return write_h5(folder / "old.h5", config, {}, version="2.4.0")


def test_each_thing_in_the_way_is_explained(run: Run, tmp_path: Path) -> None:
    path = _refused(tmp_path)
    result = run("explain", path)
    assert result.returncode == 2
    assert result.stderr.startswith("depthwise: the layer 'memory' is a 'LSTM'")
    shown = result.stdout
    assert "does not open, so there is nothing to compute. What is in the way (4):" in shown
    assert "It is a Keras model (HDF5), written by Keras 2.4.0." in shown
    assert "LSTM comes with Keras 1: a recurrent layer, which goes through a sequence step by step" in shown
    assert "norm: the layer 'norm': 'renorm' = True is not supported" in shown
    assert "renorm comes with tf.keras 2: an option of batch normalisation" in shown
    assert "sparsemax comes with Keras 3: an activation like softmax" in shown
    assert "strange: the layer 'strange': 'own_option' = 7 is not supported" in shown
    assert "LSTM 始见于 Keras 1：循环层" in run("explain", path, "--language", "zh").stdout
    facts: dict[str, Any] = json.loads(run("explain", path, "--json").stdout)
    assert not facts["opens"]
    assert facts["version"] == "2.4.0"
    assert [problem["subject"] for problem in facts["problems"]] == ["LSTM", "renorm", "sparsemax", "own_option"]
    assert facts["problems"][0]["since"] == "Keras 1"
    assert "since" not in facts["problems"][3]


def test_what_an_option_of_keras_3_means(run: Run, tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((4, 3)), keras.layers.AdaptiveMaxPooling1D(2), keras.layers.LayerNormalization()]
    )
    model.save(tmp_path / "new.keras")
    shown = run("explain", tmp_path / "new.keras").stdout
    assert f"written by Keras {keras.__version__}" in shown
    assert "AdaptiveMaxPooling1D comes with Keras 3: pooling to a size that is given" in shown


def test_a_file_with_nothing_to_explain_says_its_error_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    write_h5(path, None, {"d": [("d/kernel:0", np.ones((3, 2), np.float32))]})
    result = run("explain", path)
    assert result.returncode == 2
    assert "holds weights only" in result.stderr
    assert result.stdout == ""


def test_every_layer_that_is_refused_has_an_origin_and_every_kind_a_meaning() -> None:
    no_layers = {"InputSpec", "Pipeline", "Wrapper", "deserialize", "serialize", "MaxNumBoundingBoxes"}
    aliases = re.compile(r"(Convolution3D|Convolution3DTranspose|.*Pool3D)$")
    missing = {name for name in UNSUPPORTED if name not in ORIGINS and not aliases.fullmatch(name)}
    assert missing == no_layers
    assert not [name for name in ORIGINS if name in layers.LAYERS]
    assert {f"command.refused.kind.{origin.kind}" for origin in ORIGINS.values()} == set(
        section("command.refused.kind.")
    )

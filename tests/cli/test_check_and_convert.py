"""`depthwise check` and `depthwise convert`: files of every kind, and what is in the way of those that do not open."""

import json
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from cli.conftest import Run
from depthwise import layers, models
from depthwise.data.formats.check import check_file
from support.old_keras import functional, layer, sequential, write_h5

DENSE = {"d": [("d/kernel:0", np.ones((3, 2), np.float32)), ("d/bias:0", np.zeros(2, np.float32))]}
CHAIN = sequential(layer("Dense", "d", batch_input_shape=[None, 3], units=2))


def test_a_file_that_opens(run: Run, tmp_path: Path) -> None:
    training = {"loss": "mse", "metrics": ["mae"], "optimizer_config": {"class_name": "SGD", "config": {"lr": 0.1}}}
    path = write_h5(tmp_path / "old.h5", CHAIN, DENSE, version="2.3.1", training=training)
    table = (result := run("check", path)).stdout
    assert result.returncode == 0
    assert "Keras model (HDF5), written by Keras 2.3.1" in table
    for line in (
        "layers:     1: Dense 1",
        "shapes:     (3,) → (2,)",
        "parameters: 8",
        "optimizer:  'SGD'",
        "opens:      yes",
    ):
        assert line in table
    facts = json.loads(run("check", path, "--json").stdout)
    assert facts["opens"]
    assert facts["training"] == {"optimizer": "SGD", "loss": "mse", "metrics": ["mae"]}


def test_every_reason_is_told(run: Run, tmp_path: Path) -> None:
    config = functional(
        layer("InputLayer", "i", [], batch_input_shape=[None, 3]),
        layer("Lambda", "code", [[["i", 0, 0, {}]]], function="x"),
        layer("TFOpLambda", "op", [["code", 0, 0, {"func": "x"}]], function="py_function"),
        layer("LSTM", "s\x1b[31m", [[["op", 0, 0, {}]]], units=3),
        inputs=[["i", 0, 0]],
        outputs=[["s\x1b[31m", 0, 0]],
    )
    path = write_h5(tmp_path / "no.h5", config, {})
    result = run("check", path)
    assert result.returncode == 2
    assert "opens:      no, for these reasons (3):" in result.stdout
    for text in (
        "code: the layer 'code' is a Lambda, which holds code",
        "op: 'op' is the operation 'py_function'",
        "the name of a 'LSTM' layer must be a text of",
    ):
        assert text in result.stdout
    assert "\x1b" not in result.stdout
    facts = json.loads(run("check", path, "--json").stdout)
    assert [problem["where"] for problem in facts["problems"]] == ["op", "code", "s\x1b[31m"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.h5", None, "weights of Keras (HDF5), written by Keras 2.4.0"),
        ("model.json", json.dumps(CHAIN), "open it with model_from_json, then load_weights"),
        ("picture.keras", "GIF89a", "not a model file"),
    ],
)
def test_files_that_are_no_models(name: str, content: str | None, message: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is None:
        write_h5(path, None, DENSE)
    else:
        path.write_text(content)
    result = run("check", path)
    assert result.returncode == 2
    assert message in result.stdout
    assert "opens:      no" in result.stdout
    assert "does not exist" in run("check", tmp_path / "none.h5").stderr


@pytest.mark.parametrize("layers", [1e300, None, "x", [3], [{"class_name": "Model", "config": {"layers": 3}}]])
@pytest.mark.parametrize("class_name", ["Sequential", "Mine"])
def test_configs_of_any_form_have_a_reason(class_name: str, layers: object, tmp_path: Path) -> None:
    path = write_h5(tmp_path / "no.h5", {"class_name": class_name, "config": {"layers": layers}}, {})
    assert [problem.reason for problem in check_file(path).problems if problem.reason.isprintable()]


def test_notes_say_what_is_left_out(run: Run, tmp_path: Path) -> None:
    training = {"loss": "nonsense", "optimizer_config": {"class_name": "SGD", "config": {}}}
    path = write_h5(tmp_path / "old.h5", CHAIN, DENSE, training=training)
    assert "note:       " in (shown := run("check", path).stdout)
    assert "is loaded but not compiled: unknown loss 'nonsense'" in shown


def test_convert(run: Run, tmp_path: Path) -> None:
    path = write_h5(tmp_path / "old.h5", CHAIN, DENSE)
    for name in ("new.keras", "new.h5"):
        assert name in run("convert", path, tmp_path / name).stdout
        theirs = keras.models.load_model(tmp_path / name)
        assert np.array_equal(theirs.get_weights()[0], DENSE["d"][0][1])
        path = tmp_path / name
    assert "is there already" in run("convert", path, tmp_path / "new.keras").stderr
    run("convert", path, tmp_path / "new.keras", "--overwrite")
    assert "OUT must end in .keras or .h5 or .hdf5 or .onnx, got" in run("convert", path, tmp_path / "x.pb").stderr
    model = models.Sequential([layers.Dense(2, input_shape=(3,))])
    model.save(tmp_path / "ours.h5")
    assert "opens:      yes" in run("check", tmp_path / "ours.h5").stdout


def test_convert_to_onnx(run: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "model.keras", tmp_path / "model.onnx"
    stack = [layers.Conv2D(4, 3, input_shape=(9, 7, 3)), layers.GlobalMaxPooling2D(), layers.Dense(2)]
    models.Sequential(stack).save(source)
    assert "model.onnx" in run("convert", source, target, "--channels-first", "--opset", "18").stdout
    proto = onnx.load(target)
    assert proto.opset_import[0].version == 18
    assert [node.op_type for node in proto.graph.node] == ["Conv", "GlobalMaxPool", "Flatten", "Gemm"]
    for options, message in (
        (("x.keras", "--channels-first"), "--channels-first is for .onnx files"),
        (("x.onnx", "--opset", "99"), "opset must be between 13 and 22, got 99"),
    ):
        result = run("convert", source, tmp_path / options[0], *options[1:])
        assert result.returncode == 2
        assert message in result.stderr

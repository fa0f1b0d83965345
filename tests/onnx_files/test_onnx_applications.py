"""Networks of others as ONNX: the files of the folder `wild`, and all of keras.applications (some in the sweeps)."""

import gc
from typing import Any

import numpy as np
import onnx
import pytest

import depthwise
from depthwise import models
from depthwise.data.formats.onnx.writing.file import make_onnx
from depthwise.data.formats.saved import SavedNetwork
from depthwise.network.graph import Graph
from depthwise.network.tree import tree_of
from depthwise.reference import bounds, network
from support.gates import error_gate
from support.keras_applications import NAMES, application, picture, swept
from support.old_keras import networks_of_others
from support.onnx_runs import operators, run_onnx, written

OTHERS = networks_of_others()
WHOLE = [
    "ad01.h5", "fer_emotion_model.hdf5", "kws_model.h5", "mobilenetv3small_keras2.h5", "pretrainedResnet.h5",
    "siamese_keras2.h5", "small_keras2.keras", "str_ww_ref_model.h5", "vww_96.h5",
]  # fmt: skip
TRANSPOSES = {"siamese_keras2.h5": 2}
SWEPT = ("DenseNet121", "EfficientNetB0", "InceptionV3", "MobileNetV2", "MobileNetV3Small", "ResNet50V2")
LARGE = 100 * 2**20
"""Bytes above which the checker, which copies the file several times, is left out: a smaller member of the family had it."""


@pytest.mark.skipif(OTHERS is None, reason="the folder with networks of others is not beside this checkout")
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_files_of_others(name: str) -> None:
    """As the framework computes that wrote them: both are within 8 of their standard deviations of the exact result."""
    assert OTHERS is not None
    model = models.load_model(OTHERS / name, compile=False)
    graph, weights = model.graph, model.weights_by_name
    inputs = [np.random.default_rng(0).random((2, *shape)).astype(np.float32) for shape in graph.input_shapes]
    proto = written(graph, weights)
    deviations = bounds.network_deviations(graph, weights, inputs)
    with np.load(OTHERS / "expected.npz") as expected:
        for index, (output, y) in enumerate(zip(graph.outputs, run_onnx(proto, inputs), strict=True)):
            error_gate(y, expected[f"{name}/{index}"], 16.0 * deviations[output], f"{name}, output {index}")
    assert operators(proto).count("Transpose") <= TRANSPOSES.get(name, 1)


@pytest.mark.parametrize("name", swept(NAMES, SWEPT.__contains__))
def test_keras_applications(name: str) -> None:
    keras_model = application(name)
    model = depthwise.from_keras(keras_model)
    graph, weights = model.graph, model.weights_by_name
    del keras_model
    gc.collect()
    x = picture(name, graph.input_shapes[0], 1)
    proto = _written(graph, weights)
    (y,) = run_onnx(proto, [x])
    (output,) = graph.outputs
    expected = network.forward(graph, weights, [x])[output]
    deviation = bounds.network_deviations(graph, weights, [x])[output]
    error_gate(y, expected, 8.0 * deviation, name)
    _check_transposes(name, proto)


def _written(graph: Graph, weights: Any) -> onnx.ModelProto:
    if sum(array.nbytes for array in weights.values()) <= LARGE:
        return written(graph, weights)
    proto: onnx.ModelProto = make_onnx(SavedNetwork(tree_of(graph), weights))
    return proto


def _check_transposes(name: str, proto: onnx.ModelProto) -> None:
    """One at the border. ConvNeXt normalises each place of its maps, which takes two."""
    found = operators(proto)
    if name.startswith("ConvNeXt"):
        assert found.count("Transpose") <= 2 * found.count("LayerNormalization") + 1
    else:
        assert found.count("Transpose") == 1

"""Every layer as ONNX, computed by ONNX Runtime, against the reference."""

from typing import Any

import numpy as np
import pytest

from depthwise.data.formats.onnx.writing.file import NEWEST_OPSET, OLDEST_OPSET
from depthwise.layers.descriptions import LAYERS, InputLayer
from support.onnx_runs import check_in_onnx_runtime
from support.sizes import random_configuration

KINDS = [kind for kind in LAYERS.values() if kind is not InputLayer]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_layer(kind: Any) -> None:
    rng = np.random.default_rng(len(kind.__name__))
    check_in_onnx_runtime([random_configuration(rng, [kind]) for _ in range(12)])


@pytest.mark.parametrize("opset", [OLDEST_OPSET, 18, 20, NEWEST_OPSET])
def test_other_versions_of_the_operators(opset: int) -> None:
    rng = np.random.default_rng(opset)
    check_in_onnx_runtime([random_configuration(rng, [kind]) for kind in KINDS for _ in range(2)], opset)

"""The backend suite of the `onnx` package: every case is right, or refused as unsupported with the reason."""

import re
from collections import Counter

import numpy as np
import onnx
import pytest

from depthwise import onnx_backend
from depthwise.models import load_model
from support.onnx_suite import Case, files_of, judge, light_networks, node_cases_of, operator_cases

FEW = ("add", "batch_normalization", "clip", "concat", "conv", "convtranspose", "depthtospace", "gemm", "matmul", "pad", "prelu",
       "reduce_log_sum_exp", "reducel2", "resize", "slice", "softmax", "split", "transpose", "where")  # fmt: skip
"""Files of the suite for the quick tests."""

SHORTENED = re.compile(r"_expanded|_cubic|_int|_uint|_3d|_1d|example|keep_aspect|random|asymmetric|_align_corners")


def _named(cases: list[Case], *names: str) -> list[Case]:
    return [case for case in cases if case.name in names]


def test_some_operators_are_right() -> None:
    cases = [case for case in node_cases_of(FEW) if not SHORTENED.search(case.name)]
    reasons = {case.name: judge(case) for case in cases[::2]}
    right = [name for name, reason in reasons.items() if not reason]
    assert len(right) >= 40


@pytest.mark.sweep
def test_all_operators_are_right_or_refused() -> None:
    reasons = {case.name: judge(case) for case in operator_cases()}
    right = Counter(not reason for reason in reasons.values())
    assert len(reasons) >= 1800
    assert right[True] >= 950, sorted(set(reasons.values()))


def test_some_networks_of_pytorch_are_right() -> None:
    names = (
        "test_BatchNorm2d_eval",
        "test_Conv2d_groups",
        "test_ConvTranspose2d",
        "test_PReLU_2d_multiparam",
        "test_Linear",
    )
    cases = _named(list(files_of("pytorch-converted")), *names)
    assert len(cases) == len(names)
    assert [judge(case) for case in cases] == [""] * len(names)


@pytest.mark.sweep
def test_networks_of_pytorch_are_right_or_refused() -> None:
    reasons = [judge(case) for case in files_of("pytorch-converted")]
    assert reasons.count("") >= 65, reasons


@pytest.mark.sweep
@pytest.mark.parametrize("name", [name for name, _ in light_networks()])
def test_light_networks_agree_with_onnx_runtime(name: str) -> None:
    import onnxruntime

    path = dict(light_networks())[name]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    x = np.random.default_rng(0).normal(size=given.shape).astype(np.float32)
    (wanted,) = session.run(None, {given.name: x})
    model = load_model(path)
    found = model.predict(np.concatenate([x, x]), verbose=0)
    assert found.shape == (2, *wanted.shape[1:])
    assert model.input_shape[1:] == x.shape[1:]
    np.testing.assert_allclose(found, np.concatenate([wanted, wanted]), rtol=1e-3, atol=1e-5)


def test_the_backend_says_what_it_is() -> None:
    assert onnx_backend.supports_device("CPU")
    assert not onnx_backend.supports_device("CUDA:0")
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("TopK", ["x", "k"], ["y", "i"])],
            "top",
            [onnx.helper.make_tensor_value_info("x", 1, [4])],
            [onnx.helper.make_tensor_value_info("y", 1, None)],
            [onnx.helper.make_tensor("k", 7, [1], [2])],
        )
    )
    assert not onnx_backend.is_compatible(model)
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    (y,) = onnx_backend.run_node(node, [np.array([[-1.0, 2.0]], np.float32)])
    assert y.tolist() == [[0.0, 2.0]]

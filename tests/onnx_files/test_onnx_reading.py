"""Networks read from ONNX files, beside ONNX Runtime: layouts, batches, folding, open sizes, and what they become."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import depthwise
from depthwise.errors import DepthwiseError, InvalidArgumentError, UnsupportedError
from depthwise.layers.tensors import TransposedConvolution
from depthwise.models import load_model, model_of
from support.onnx_drafts import TOLERANCE, Draft, check, network_of, runtime
from support.onnx_runs import run_onnx, written


def test_a_plain_network_has_one_transpose_and_keras_layers() -> None:
    draft = Draft("n", 3, 9, 9)
    x = draft.conv("x", 8, 3, pads=[1, 1, 1, 1])
    x = draft.node("Relu", x)
    x = draft.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = draft.node("BatchNormalization", x, *(np.abs(draft.drawn(8)) + 0.5 for _ in range(4)))
    x = draft.node("Gemm", draft.node("Flatten", x), draft.drawn(10, 200), draft.drawn(10), transB=1)
    made = check(draft.model(draft.node("Softmax", x)), (3, 3, 9, 9), transposes=1)
    kinds = [type(layer).__name__ for layer in made.layers]
    assert kinds == ["InputLayer", "Permute", "Conv2D", "ReLU", "MaxPooling2D", "BatchNormalization", "Flatten",
                     "Dense", "Softmax"]  # fmt: skip
    assert made.input_shape == (None, 3, 9, 9)


def test_names_of_inputs_outputs_and_nodes_are_kept() -> None:
    draft = Draft("n", 3, 8, 8)
    made = check(draft.model(draft.node("Relu", draft.conv("x", 4, 3))), (2, 3, 8, 8))
    assert [layer.name for layer in made.layers] == ["x", "x_axes", "Conv_0", "Relu_1", "relu_1_0"]


def test_a_shuffle_of_channels_moves_them_once() -> None:
    draft = Draft(1, 6, 4, 5)
    x = draft.conv("x", 12, 2, 1, group=3)
    x = draft.node("Reshape", x, np.array([1, 3, 4, 4, 5]))
    x = draft.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = draft.node("Reshape", x, np.array([1, 12, 4, 5]))
    x = draft.conv(x, 12, 1, group=12)
    check(draft.model(draft.node("GlobalAveragePool", x)), (1, 6, 4, 5), transposes=2)


def test_the_batch_may_be_moved_on_the_way() -> None:
    """Attention as exporters write it: queries, keys and values side by side, the batch between them."""
    draft = Draft("n", 6, 8)
    x = draft.node("MatMul", "x", draft.drawn(8, 24))
    size = draft.node("Gather", draft.node("Shape", x), np.array([0]), axis=0)
    shape = draft.node("Concat", size, np.array([6, 3, 2, 4]), axis=0)
    x = draft.node("Transpose", draft.node("Reshape", x, shape), perm=[2, 0, 3, 1, 4])
    q, k, v = (draft.node("Gather", x, np.array(i), axis=0) for i in range(3))
    weights = draft.node("Softmax", draft.node("MatMul", q, draft.node("Transpose", k, perm=[0, 1, 3, 2])), axis=-1)
    y = draft.node("Transpose", draft.node("MatMul", weights, v), perm=[0, 2, 1, 3])
    y = draft.node("Reshape", y, draft.node("Concat", size, np.array([6, 8]), axis=0))
    made = check(draft.model(draft.node("Add", y, "x")), (3, 6, 8))
    assert made.input_shape == (None, 6, 8)


def test_a_first_axis_that_is_no_batch_is_part_of_the_sample() -> None:
    draft = Draft(2, 3, 4)
    network = network_of(draft.model(draft.node("ReduceMean", "x", axes=[0], keepdims=1)))
    assert not network.is_batched
    check(draft.model("reducemean_0_0"), (2, 3, 4))


def test_what_depends_on_the_batch_is_not_read_for_any() -> None:
    """A mean that divides by the size of the batch: right for one sample, wrong for others."""
    draft = Draft("n", 3)
    count = draft.node("Cast", draft.node("Gather", draft.node("Shape", "x"), np.array(0)), to=TensorProto.FLOAT)
    network = network_of(draft.model(draft.node("Div", "x", count)))
    assert not network.is_batched or network.saved.graph.input_shapes == ((3,),)
    made = model_of(network.saved)
    np.testing.assert_array_equal(made.predict(np.ones((1, 3), np.float32), verbose=0), np.ones((1, 3)))


OPERATORS: dict[str, Any] = {
    "asymmetric pads": lambda d: d.conv("x", 4, 3, pads=[0, 1, 2, 3], strides=[2, 1]),
    "strides and dilation": lambda d: d.conv("x", 4, 3, strides=[2, 2], dilations=[2, 2]),
    "depth multiplier": lambda d: d.conv("x", 6, 1, group=3, pads=[1, 1, 1, 1]),
    "same lower": lambda d: d.conv("x", 4, 3, auto_pad="SAME_LOWER", strides=[2, 2]),
    "transposed": lambda d: d.node("ConvTranspose", "x", d.drawn(3, 4, 3, 3), d.drawn(4), strides=[2, 2], pads=[1, 0, 0, 1],
                                   output_padding=[1, 1]),
    "average without padding": lambda d: d.node("AveragePool", "x", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 0, 1]),
    "average with padding": lambda d: d.node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
    "rounded up": lambda d: d.node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "dilated maximum": lambda d: d.node("MaxPool", "x", kernel_shape=[2, 3], dilations=[2, 2], pads=[1, 1, 0, 0]),
    "dilated maximum of few cells": lambda d: d.node(
        "MaxPool", "x", kernel_shape=[2, 3], dilations=[3, 2], strides=[3, 4], pads=[1, 1, 1, 2]
    ),
    "dilated average": lambda d: d.node("AveragePool", "x", kernel_shape=[2, 3], dilations=[2, 2], pads=[1, 1, 0, 0]),
    "dilated average of padding": lambda d: d.node("AveragePool", "x", kernel_shape=[3, 2], dilations=[2, 1], strides=[2, 3],
                                                   pads=[1, 1, 2, 0], count_include_pad=1),
    "dilated average rounded up": lambda d: d.node("AveragePool", "x", kernel_shape=[2, 2], dilations=[2, 3], strides=[3, 3],
                                                   pads=[1, 0, 0, 1], ceil_mode=1),
    "response": lambda d: d.node("LRN", "x", size=3, alpha=0.5, bias=0.7),
    "instances": lambda d: d.node("InstanceNormalization", "x", d.drawn(3), d.drawn(3)),
    "rows": lambda d: d.node("LayerNormalization", "x", d.drawn(7), d.drawn(7)),
    "slopes": lambda d: d.node("PRelu", "x", d.drawn(3, 1, 1)),
    "enlarged": lambda d: d.node("Resize", "x", "", np.array([1, 1, 2, 2], np.float32), mode="nearest", nearest_mode="floor",
                                 coordinate_transformation_mode="asymmetric"),
    "stretched": lambda d: d.node("Resize", "x", "", "", np.array([2, 3, 11, 5]), mode="linear"),
    "reflected": lambda d: d.node("Pad", "x", np.array([0, 0, 2, 1, 0, 0, 1, 3]), mode="reflect"),
    "padded channels": lambda d: d.node("Pad", "x", np.array([0, 1, 0, 0, 0, 2, 0, 1]), np.float32(3.5)),
    "steps": lambda d: d.node("Slice", "x", np.array([6, 0]), np.array([-9, 7]), np.array([2, 3]), np.array([-2, 3])),
    "gathered": lambda d: d.node("Gather", "x", np.array([[2, 0], [1, 2]]), axis=1),
    "repeated": lambda d: d.node("Tile", "x", np.array([1, 2, 1, 3])),
    "blocks": lambda d: d.node("DepthToSpace", d.conv("x", 8, 3), blocksize=2, mode="CRD"),
    "shares of channels": lambda d: d.node("Softmax", "x", axis=1),
    "norms": lambda d: d.node("ReduceL2", "x", axes=[1, 3], keepdims=0),
    "largest": lambda d: d.node("ReduceMax", "x", axes=[1], keepdims=1),
    "joined": lambda d: d.node("Concat", "x", d.node("Neg", "x"), axis=2),
    "chosen": lambda d: d.node("Where", d.node("Greater", "x", np.float32(0.1)), "x", d.drawn(3, 1, 7)),
    "quantised": lambda d: d.node("Conv", "x", d.node("DequantizeLinear", np.arange(27, dtype=np.int8).reshape(1, 3, 3, 3),
                                                      np.array([0.1], np.float32), np.array([3], np.int8), axis=0)),
    "powers": lambda d: d.node("Pow", d.node("Abs", "x"), np.float32(1.5)),
    "erf": lambda d: d.node("Mul", "x", d.node("Add", d.node("Erf", d.node("Div", "x", np.float32(1.4142135))), np.float32(1.0))),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_among_maps(name: str) -> None:
    draft = Draft(2, 3, 7, 7, seed=len(name))
    check(draft.model(OPERATORS[name](draft), opset=19 if "dilated" in name else 17), (2, 3, 7, 7))


def check_again(made: Any) -> None:
    """What was read is written as a file that ONNX Runtime computes alike."""
    x = np.random.default_rng(6).normal(size=(2, *made.input_shape[1:])).astype(np.float32)
    found = made.predict(x, verbose=0)
    results = found if isinstance(found, list) else [found]
    for mine, other in zip(results, run_onnx(written(made.graph, made.weights_by_name), [x]), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=TOLERANCE)


def test_transposed_convolutions_that_keras_does_not_have() -> None:
    draft = Draft("n", 6, 5, 4)
    groups = draft.node(
        "ConvTranspose", "x", draft.drawn(6, 2, 3, 2), draft.drawn(6), group=3, strides=[2, 1], pads=[1, 0, 0, 1]
    )
    each = draft.node("ConvTranspose", "x", draft.drawn(6, 1, 4, 4), group=6, strides=[2, 2], pads=[1, 1, 1, 1])
    near = draft.node("ConvTranspose", "x", draft.drawn(6, 2, 3, 3), group=2, output_padding=[0, 0], dilations=[2, 1])
    both = draft.node(
        "ConvTranspose", "x", draft.drawn(6, 3, 3, 2), strides=[2, 3], dilations=[3, 2], output_padding=[1, 1]
    )
    made = check(draft.model(groups, each, near, both), (2, 6, 5, 4))
    check_again(made)
    assert sum(isinstance(call.layer, TransposedConvolution) for call in made.graph.calls) == 4
    assert made.count_params() == 6 * 2 * 6 + 6 + 6 * 16 + 6 * 18 + 6 * 18


def test_transposed_convolutions_larger_than_their_windows_reach() -> None:
    draft = Draft("n", 2, 4)
    y = draft.node("ConvTranspose", "x", draft.drawn(2, 2, 2), strides=[3], output_shape=[13], group=2)
    z = draft.node("ConvTranspose", "x", draft.drawn(2, 3, 2), strides=[3], output_shape=[12])
    check_again(check(draft.model(y, z), (2, 2, 4)))


def test_resizing_with_wider_windows_and_of_a_part() -> None:
    draft = Draft("n", 3, 9, 11)
    sizes, roi = np.array([4, 6]), np.array([0.2, 0.1, 0.7, 0.9], np.float32)
    smooth: dict[str, Any] = {"axes": [2, 3], "antialias": 1}
    outputs = [
        draft.node("Resize", "x", "", "", sizes, mode="linear", **smooth),
        draft.node("Resize", "x", "", "", sizes, mode="cubic", **smooth),
        draft.node("Resize", "x", "", "", sizes, mode="cubic", exclude_outside=1, **smooth),
        draft.node(
            "Resize",
            "x",
            roi,
            "",
            sizes,
            mode="linear",
            axes=[2, 3],
            coordinate_transformation_mode="tf_crop_and_resize",
        ),
    ]
    check(draft.model(*outputs, opset=19), (2, 3, 9, 11))
    beyond = Draft("n", 3, 9, 11)
    y = beyond.node(
        "Resize",
        "x",
        roi * 2,
        "",
        sizes,
        mode="linear",
        axes=[2, 3],
        coordinate_transformation_mode="tf_crop_and_resize",
    )
    with pytest.raises(UnsupportedError, match="tf_crop_and_resize beyond the edges"):
        network_of(beyond.model(y, opset=19))


REFUSED: dict[str, tuple[tuple[int, ...], Any, str]] = {
    "LpPool": ((3, 8, 8), lambda d: d.node("LpPool", "x", kernel_shape=[2, 2]), "no layer or kernel computes it"),
    "Conv": ((3, 4, 4, 4), lambda d: d.node("Conv", "x", d.drawn(2, 3, 2, 2, 2)), "over 3 axes; 1 or 2 are supported"),
    "TopK": ((8,), lambda d: d.node("TopK", "x", np.array([2]), outputs=2)[0], "depends on values that are not known"),
    "GridSample": (
        (3, 4, 4),
        lambda d: d.node("GridSample", "x", d.drawn(1, 2, 2, 2)),
        "there is no such operator here",
    ),
}


@pytest.mark.parametrize("operator", REFUSED)
def test_what_is_not_there_is_refused_by_name(operator: str) -> None:
    shape, build, reason = REFUSED[operator]
    draft = Draft(1, *shape)
    with pytest.raises(UnsupportedError, match=f"the operator {operator} is not supported .*{reason}"):
        network_of(draft.model(build(draft)))


@pytest.mark.sweep
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_that_was_read_is_written(name: str) -> None:
    draft = Draft(2, 3, 7, 7, seed=len(name))
    check_again(model_of(network_of(draft.model(OPERATORS[name](draft), opset=19)).saved))


def test_constants_that_are_folded_to_nan_are_computed_without_a_word() -> None:
    draft = Draft(2, 3, 7, 7)
    infinite = np.float32(-np.inf)
    model = draft.model(draft.node("Max", "x", draft.node("Sub", infinite, infinite)))
    made = model_of(network_of(model).saved)
    assert np.isnan(made.predict(np.ones((2, 3, 7, 7), np.float32), verbose=0)).all()


def test_open_sizes_are_given_or_taken_from_the_arrays(tmp_path: Path) -> None:
    draft = Draft("n", 3, "h", "w")
    model = draft.model(draft.node("GlobalAveragePool", draft.conv("x", 4, 3, pads=[1, 1, 1, 1])))
    path = tmp_path / "open.onnx"
    path.write_bytes(model.SerializeToString())
    opened: Any = load_model(path)
    for size in (5, 8, 5):
        x = np.random.default_rng(size).normal(size=(2, 3, size, size)).astype(np.float32)
        np.testing.assert_allclose(opened.predict(x, verbose=0), runtime(model, x)[0], atol=TOLERANCE)
    assert "networks=2" in repr(opened)
    with pytest.raises(UnsupportedError, match=r"\(n, 3, h, w\).*--shape x=1,3,224,224"):
        opened.summary()
    with pytest.raises(InvalidArgumentError, match="the model's inputs are"):
        opened.at({"y": (1, 3, 4, 4)})
    fixed = load_model(path, shapes={"x": (1, 3, 6, 4)})
    assert fixed.input_shape == (None, 3, 6, 4)
    with pytest.raises(UnsupportedError, match=r"which .* does not fit"):
        load_model(path, shapes={"x": (1, 4, 6, 4)})
    with pytest.raises(UnsupportedError, match="has no input 'z'"):
        load_model(path, shapes={"z": (1, 3, 6, 4)})


def test_a_product_of_constants_that_a_tensor_is_added_to() -> None:
    draft = Draft(2, 3)
    check(
        draft.model(draft.node("Gemm", draft.drawn(2, 4), draft.drawn(3, 4), "x", alpha=0.5, beta=2.0, transB=1)),
        (2, 3),
    )


def test_open_sizes_behind_a_batch_that_the_file_fixes(tmp_path: Path) -> None:
    draft = Draft(2, "channels", 4)
    (tmp_path / "open.onnx").write_bytes(draft.model(draft.node("Relu", "x")).SerializeToString())
    opened: Any = load_model(tmp_path / "open.onnx")
    assert opened.at({"x": (2, 3, 4)}).input_shape == (None, 3, 4)


def test_a_model_that_was_read_trains_and_becomes_a_keras_file(tmp_path: Path) -> None:
    draft = Draft("n", 2, 6, 6)
    x = draft.node("Relu", draft.conv("x", 4, 2, pads=[1, 1, 1, 1]))
    x = draft.node("Add", draft.node("MatMul", draft.node("Flatten", x), draft.drawn(144, 3)), draft.drawn(3))
    made = check(draft.model(draft.node("Softmax", x)), (2, 2, 6, 6), transposes=1)
    assert made.layers[-2].use_bias  # the sum became the dense layer's bias
    made.save(tmp_path / "read.keras")
    again = depthwise.load_model(tmp_path / "read.keras")
    x_train = np.random.default_rng(1).normal(size=(16, 2, 6, 6)).astype(np.float32)
    y_train = np.arange(16) % 3
    np.testing.assert_array_equal(made.predict(x_train, verbose=0), again.predict(x_train, verbose=0))
    made.compile("adam", "sparse_categorical_crossentropy")
    first = made.evaluate(x_train, y_train, verbose=0)
    made.fit(x_train, y_train, epochs=8, verbose=0)
    assert made.evaluate(x_train, y_train, verbose=0) < first


def test_a_transposed_convolution_in_groups_trains_as_one_with_zeros_between_them() -> None:
    """One step, in which the gradients of all weights are seen, those of the layer before it too."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(size=(4, 2, 2, 3)).astype(np.float32)
    whole = np.zeros((4, 4, 2, 3), np.float32)
    parts = [slice(0, 2), slice(2, 4)]
    for part in parts:
        whole[part, part] = kernel[part]
    x, y = (rng.normal(size=(6, 4, *size)).astype(np.float32) for size in ((3, 5), (6, 7)))
    trained = []
    for values, groups in ((kernel, 2), (whole, 1)):
        draft = Draft("n", 4, 3, 5)
        before = draft.conv("x", 4, 4, 1)
        made = model_of(
            network_of(
                draft.model(draft.node("ConvTranspose", before, values, draft.drawn(4), group=groups, strides=[2, 1]))
            ).saved
        )
        made.compile(depthwise.optimizers.SGD(0.5), "mse")
        made.fit(x, y, batch_size=6, epochs=1, verbose=0)
        trained.append(made.get_weights())
    *others, grouped, bias = trained[0]
    for mine, wanted in zip([*others, bias], [*trained[1][:2], trained[1][3]], strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
    for part in parts:
        np.testing.assert_allclose(grouped[..., part], trained[1][2][..., part, part], rtol=1e-5, atol=1e-6)


def test_what_keras_does_not_have_is_named_when_a_keras_file_is_written(tmp_path: Path) -> None:
    draft = Draft("n", 3, 4)
    made = check(draft.model(draft.node("Erf", "x")), (2, 3, 4))
    with pytest.raises(DepthwiseError, match="Erf 'erf_0_0' comes from an ONNX file and is no layer of Keras"):
        made.save(tmp_path / "no.keras")


def test_what_we_write_reads_back_alike(tmp_path: Path) -> None:
    from depthwise import layers

    source = depthwise.Sequential(
        [
            layers.Conv2D(6, 3, padding="same", activation="relu", input_shape=(9, 8, 3)),
            layers.DepthwiseConv2D(3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.Conv2D(5, 1, activation="hard_silu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    source.export(tmp_path / "ours.onnx", verbose=False)
    again = load_model(tmp_path / "ours.onnx")
    x = np.random.default_rng(2).normal(size=(3, 9, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(again.predict(x, verbose=0), source.predict(x, verbose=0), rtol=1e-5, atol=1e-7)

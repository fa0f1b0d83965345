"""`model.export` and `depthwise convert`: how files are called, replaced and refused, and what is in them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import depthwise
from depthwise import layers, models
from depthwise.data.formats.onnx.writing import file
from depthwise.data.formats.onnx.writing.nodes import printable
from depthwise.errors import DepthwiseError, InvalidArgumentError, UnsupportedError
from depthwise.models import Model, Sequential
from support.onnx_runs import operators, run_onnx, written


def small(**options: Any) -> Model:
    """A CNN with a head, on 9×7 images of three channels."""
    return Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(9, 7, 3), name="first"),
            layers.BatchNormalization(name="normal"),
            layers.MaxPooling2D(2, padding="same", name="pool"),
            layers.SeparableConv2D(5, 2, depth_multiplier=2, name="separable"),
            layers.Flatten(name="flat"),
            layers.Dropout(0.5),
            layers.Dense(6, activation="relu", name="hidden"),
            layers.Dense(3, activation="softmax", name="classes"),
        ],
        **options,
    )


def exported(model: Model, **options: Any) -> onnx.ModelProto:
    return written(model.graph, model.weights_by_name, **options)


def test_a_plain_network_has_one_transpose_at_the_border() -> None:
    assert operators(exported(small())) == [
        "Transpose", "Conv", "Relu", "BatchNormalization", "MaxPool", "Conv", "Conv", "Flatten", "Gemm", "Relu", "Gemm", "Softmax",
    ]  # fmt: skip
    first = exported(small(), channels_first=True)
    assert "Transpose" not in operators(first)
    assert [size.dim_value for size in first.graph.input[0].type.tensor_type.shape.dim[1:]] == [3, 9, 7]


def test_images_of_one_channel_are_only_reshaped() -> None:
    model = Sequential([layers.Conv2D(4, 3, input_shape=(9, 7, 1)), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    assert operators(exported(model)) == ["Reshape", "Conv", "GlobalAveragePool", "Flatten", "Gemm"]


def test_maps_of_one_place_keep_their_shape() -> None:
    stack = [
        layers.Conv2D(4, 3, input_shape=(3, 3, 1)),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(2, 1),
    ]
    found = operators(exported(Sequential([*stack, layers.GlobalMaxPooling2D()])))
    assert found == ["Reshape", "Conv", "BatchNormalization", "Relu", "Conv", "GlobalMaxPool", "Flatten"]


def test_map_outputs_have_a_transpose_each() -> None:
    x = depthwise.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.Add()([y, layers.Conv2D(4, 1)(layers.ReLU()(y))])
    model = Model(x, [layers.Conv2DTranspose(2, 2, strides=2)(y), layers.UpSampling2D()(y)])
    assert operators(exported(model)).count("Transpose") == 3
    assert operators(exported(model, channels_first=True)).count("Transpose") == 0


def test_layers_with_their_channels_first_need_no_transpose() -> None:
    first: dict[str, Any] = {"data_format": "channels_first"}
    model = Sequential(
        [
            layers.Conv2D(4, 3, input_shape=(3, 9, 7), **first),
            layers.BatchNormalization(axis=1),
            layers.ReLU(),
            layers.MaxPooling2D(2, **first),
            layers.DepthwiseConv2D(2, **first),
            layers.GlobalAveragePooling2D(**first),
        ]
    )
    assert "Transpose" not in operators(exported(model))
    with pytest.raises(InvalidArgumentError, match="has its channels first already"):
        exported(model, channels_first=True)


def test_groups_and_shuffles_of_channels() -> None:
    """A normalisation of groups reads them where they lie; a shuffle is what its author wrote, a transposition."""
    x = depthwise.Input((6, 5, 8))
    y = layers.GroupNormalization(4)(layers.Conv2D(8, 3)(x))
    found = operators(exported(Model(x, layers.GlobalMaxPooling2D()(y))))
    assert found.count("Transpose") == 1
    assert found.count("LayerNormalization") == 1
    y = layers.Reshape((6, 5, 8))(layers.Permute((1, 2, 4, 3))(layers.Reshape((6, 5, 2, 4))(layers.Conv2D(8, 1)(x))))
    shuffled = operators(exported(Model(x, layers.GlobalMaxPooling2D()(layers.Conv2D(2, 1)(y)))))
    assert shuffled.count("Transpose") == 2


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (layers.PReLU, ["PRelu"]),
        (lambda: layers.LeakyReLU(0.2), ["LeakyRelu"]),
        (lambda: layers.ELU(0.5), ["Elu"]),
        (lambda: layers.ThresholdedReLU(0.5), ["ThresholdedRelu"]),
        (lambda: layers.ReLU(max_value=4.0), ["Clip"]),
        (lambda: layers.ReLU(6.0), ["Clip"]),
        (lambda: layers.LayerNormalization(), ["LayerNormalization"]),
        (lambda: layers.LayerNormalization(center=False), ["LayerNormalization"]),
        (lambda: layers.BatchNormalization(), ["BatchNormalization"]),
        (lambda: layers.Activation("hard_silu"), ["HardSwish"]),
        (lambda: layers.Activation("silu"), ["Sigmoid", "Mul"]),
        (lambda: layers.GaussianNoise(0.5), []),
        (lambda: layers.Rescaling(1 / 255), ["Mul"]),
    ],
)
def test_a_layer_is_the_operator_that_is_made_for_it(layer: Any, wanted: list[str]) -> None:
    model = Sequential([layers.Dense(5, input_shape=(4,)), layer(), layers.Dense(2)])
    assert operators(exported(model)) == ["Gemm", *wanted, "Gemm"]


def test_names_of_layers_and_weights_are_kept() -> None:
    model = exported(small())
    graph = model.graph
    assert [node.name for node in graph.node] == [
        "first/Transpose", "first", "first/Relu", "normal", "pool", "separable/Conv", "separable", "hidden/Flatten", "hidden",
        "hidden/Relu", "classes", "classes/Softmax",
    ]  # fmt: skip
    assert [item.name for item in graph.output] == ["classes"]
    assert {item.name for item in graph.initializer} >= {"first/kernel", "first/bias", "separable/depthwise_kernel"}
    assert graph.name == small().name


def test_shared_layers_share_their_weights() -> None:
    a, b = depthwise.Input((8, 8, 3), name="a"), depthwise.Input((8, 8, 3), name="b")
    shared = Sequential([layers.Conv2D(4, 3, input_shape=(8, 8, 3), name="conv"), layers.Flatten()], name="shared")
    model = Model([a, b], layers.Subtract(name="difference")([shared(a), shared(b)]))
    graph = exported(model).graph
    weights = [item.name for item in graph.initializer if item.data_type == onnx.TensorProto.FLOAT]
    assert sorted(weights) == ["shared/conv/bias", "shared/conv/kernel"]
    assert [item.name for item in graph.input] == ["a", "b"]


def test_outputs_that_are_inputs_or_each_other() -> None:
    x = depthwise.Input((3,), name="x")
    y = layers.ReLU(name="y")(x)
    model = Model(x, [y, x, y])
    proto = exported(model)
    assert [item.name for item in proto.graph.output] == ["y", "x_1", "y_1"]
    given = np.array([[-1.0, 0.0, 2.0]], np.float32)
    for found, expected in zip(run_onnx(proto, [given]), ([[0, 0, 2]], given, [[0, 0, 2]]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_hostile_names() -> None:
    names = ["a\nb\x1b[31m", "\u202e", "<script>", "深度", "a" * 300]
    stack = [layers.Dense(2, name=name) for name in names]
    model = Sequential([depthwise.Input((2,), name="\x00"), *stack, layers.Dense(2, activation="relu", name="classes")])
    graph = exported(model).graph
    assert all(name.isprintable() for node in graph.node for name in (node.name, *node.output))
    assert graph.output[0].name == "classes"
    assert printable("a\ud800") == "a\\xd800"  # half of a pair, which UTF-8 does not have


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = small(name="trained")
    path = tmp_path / "model.onnx"
    model.export(path, verbose=True)
    assert capsys.readouterr().out == f"Saved artifact at '{path}'.\n"
    proto = onnx.load(path)
    assert (proto.opset_import[0].version, proto.ir_version, proto.graph.name) == (17, 8, "trained")
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    x = np.random.default_rng(0).standard_normal((5, 9, 7, 3)).astype(np.float32)
    (y,) = run_onnx(proto, [x])
    np.testing.assert_allclose(y, model.predict(x, verbose=0), atol=1e-6)
    before = path.read_bytes()
    with pytest.raises(InvalidArgumentError, match="exists and overwrite is False"):
        model.export(path, overwrite=False)
    model.export(str(path), "onnx", opset_version=13)
    assert onnx.load(path).opset_import[0].version == 13
    assert before != path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"filepath": "x.pb"}, InvalidArgumentError, "must end in .onnx, got 'x.pb'"),
        ({"format": "tf_saved_model"}, UnsupportedError, "format must be 'onnx', got 'tf_saved_model'"),
        ({"input_signature": [3]}, UnsupportedError, "input_signature must be None"),
        ({"opset_version": 12}, InvalidArgumentError, "opset must be between 13 and 22, got 12"),
        ({"opset_version": "17"}, InvalidArgumentError, "opset must be an integer"),
        ({"filepath": "nowhere/x.onnx"}, InvalidArgumentError, "its folder does not exist"),
    ],
)
def test_what_export_refuses(arguments: dict[str, Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    if arguments.get("filepath") == "nowhere/x.onnx":
        arguments = {"filepath": tmp_path / "nowhere" / "x.onnx"}
    with pytest.raises(error, match=message):
        small().export(**{"filepath": tmp_path / "x.onnx", **arguments})
    assert not list(tmp_path.iterdir())


def test_more_than_protobuf_holds_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(file, "LARGEST", 2**20 + 100)
    with pytest.raises(UnsupportedError, match="an ONNX file can hold 2 GiB"):
        small().export(tmp_path / "x.onnx")


def test_an_old_file_stays_where_writing_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DepthwiseError, match="disk is full"):
        small().export(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_models_of_older_files_are_written(tmp_path: Path) -> None:
    model = small()
    model.save(tmp_path / "model.h5")
    models.load_model(tmp_path / "model.h5").export(tmp_path / "model.onnx")
    assert operators(onnx.load(tmp_path / "model.onnx")) == operators(exported(model))

"""ONNX files that lie, contradict themselves or ask for too much: one sentence each, and nothing is allocated or followed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from depthwise.errors import InvalidFileError, UnsupportedError
from depthwise.models import load_model

Info = Any


def info(name: str, *shape: Any, element: int = TensorProto.FLOAT) -> Info:
    return helper.make_tensor_value_info(name, element, list(shape))


def weight(name: str, values: Any, element: int = TensorProto.FLOAT) -> Any:
    array = np.asarray(values)
    return helper.make_tensor(name, element, array.shape, array.ravel().tolist())


def model_of(nodes: list[Any], weights: list[Any] | None = None, opset: int = 17, **more: Any) -> Any:
    graph = helper.make_graph(
        nodes, "hostile", more.pop("inputs", [info("x", 1, 3, 8, 8)]), [info("y", None)], weights or []
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **more)


RELU = helper.make_node("Relu", ["x"], ["y"])


def circle() -> Any:
    return model_of([helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"]),
                     helper.make_node("Relu", ["b"], ["y"])])  # fmt: skip


def lying_weight() -> Any:
    tensor = weight("w", np.ones((2, 2)))
    tensor.dims[:] = [2, 3]
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor])


def huge_weight() -> Any:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2**40, 2**40])
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor])


def negative_weight() -> Any:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-1, 4], raw_data=b"\0" * 16)
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor])


def empty_weight() -> Any:
    """No numbers, but extents that no array can have."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[0, 2**40, 2**40])
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor])


def bomb() -> Any:
    shape = weight("s", [2**20, 2**20], TensorProto.INT64)
    return model_of(
        [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])], [shape]
    )


def bomb_of_tiles() -> Any:
    one, times = weight("o", [[1.0]]), weight("t", [2**16, 2**16], TensorProto.INT64)
    return model_of(
        [helper.make_node("Tile", ["o", "t"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])], [one, times]
    )


def large_padding() -> Any:
    pads = weight("p", [0, 0, 0, 0, 0, 0, 2**30, 2**30], TensorProto.INT64)
    return model_of([helper.make_node("Pad", ["x", "p"], ["y"])], [pads])


def large_reflection() -> Any:
    pads = weight("p", [0, 0, 0, 0, 0, 0, 2**40, 0], TensorProto.INT64)
    return model_of([helper.make_node("Pad", ["x", "p"], ["y"], mode="reflect")], [pads])


def large_kernel() -> Any:
    size = weight("s", [2**20, 2**10], TensorProto.INT64)
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    return model_of(nodes, [size], inputs=[info("x", 1, 2**20)])


def missing_value() -> Any:
    return model_of([helper.make_node("Add", ["x", "nobody"], ["y"])])


def written_twice() -> Any:
    return model_of([RELU, helper.make_node("Neg", ["x"], ["y"])])


def many_nodes() -> Any:
    return model_of([RELU] * 100_001)


def too_many_outputs() -> Any:
    return model_of([helper.make_node("Abs", ["x"], ["a", "b"]), helper.make_node("Add", ["a", "b"], ["y"])])


def too_many_inputs() -> Any:
    ones = weight("w", np.ones((2, 2)))
    return model_of([helper.make_node("MatMul", ["w", "w", "x"], ["y"])], [ones])


def no_first_input() -> Any:
    nodes = [helper.make_node("Split", ["", "w"], ["a", "b"]), helper.make_node("Add", ["x", "a"], ["y"])]
    return model_of(nodes, [weight("w", [1, 1], TensorProto.INT64)])


def many_axes() -> Any:
    return model_of(
        [helper.make_node("Expand", ["x", "s"], ["y"])], [weight("s", [1] * 70 + [3, 8, 8], TensorProto.INT64)]
    )


def axes_that_grow() -> Any:
    nodes = [helper.make_node("Unsqueeze", ["x", "s"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    return model_of(nodes, [weight("s", list(range(1, 31)), TensorProto.INT64)])


def recursion() -> Any:
    inner = helper.make_node("again", ["a"], ["b"], domain="own")
    function = helper.make_function("own", "again", ["a"], ["b"], [inner], [helper.make_opsetid("own", 1)])
    node = helper.make_node("again", ["x"], ["y"], domain="own")
    made = model_of([node], functions=[function])
    made.opset_import.append(helper.make_opsetid("own", 1))
    return made


def doubling() -> Any:
    """Forty functions, each of which calls the next one twice."""
    functions = []
    for i in range(40):
        kind, domain = (f"f{i + 1}", "own") if i < 39 else ("Relu", "")
        nodes = [helper.make_node(kind, [a], [b], domain=domain) for a, b in (("a", "c"), ("c", "b"))]
        imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
        functions.append(helper.make_function("own", f"f{i}", ["a"], ["b"], nodes, imports))
    made = model_of([helper.make_node("f0", ["x"], ["y"], domain="own")], functions=functions)
    made.opset_import.append(helper.make_opsetid("own", 1))
    return made


def foreign_operator() -> Any:
    made = model_of([helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")])
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def markup() -> Any:
    return model_of([helper.make_node("No\x1bSuch", ["x"], ["y"], name="<script>alert(1)</script>\x1b[31m")])


def outside_weight(location: str) -> Any:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8, 4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], [tensor])


def old_operators() -> Any:
    return model_of([RELU], opset=3)


HOSTILE: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "circle": (circle, InvalidFileError, "circle through 'Add'"),
    "lying weight": (lying_weight, InvalidFileError, "'w' does not hold the numbers of its shape"),
    "huge weight": (huge_weight, InvalidFileError, "'w' has the impossible shape"),
    "empty weight": (empty_weight, InvalidFileError, "'w' does not hold the numbers of its shape"),
    "negative weight": (negative_weight, InvalidFileError, "'w' has the impossible shape"),
    "bomb": (bomb, InvalidFileError, r"ConstantOfShape\) contradicts itself: a constant of the shape"),
    "bomb of tiles": (bomb_of_tiles, InvalidFileError, r"Tile\) contradicts itself: a constant of the shape"),
    "large padding": (large_padding, InvalidFileError, "would hold more numbers than"),
    "large reflection": (large_reflection, InvalidFileError, "cells would be made; at most 65,536 are"),
    "large kernel": (large_kernel, InvalidFileError, r"ConstantOfShape\) contradicts itself: a constant of the shape"),
    "missing value": (missing_value, InvalidFileError, "reads 'nobody', which nothing writes"),
    "written twice": (written_twice, InvalidFileError, "'y' is written twice"),
    "many nodes": (many_nodes, UnsupportedError, "has 100,001 nodes; at most 100,000"),
    "too many outputs": (too_many_outputs, InvalidFileError, "it has 2 outputs; the operator has 1 at most"),
    "too many inputs": (too_many_inputs, InvalidFileError, "it has 3 inputs; the operator has 2 to 2"),
    "too few inputs": (lambda: model_of([helper.make_node("Add", ["x"], ["y"])]), InvalidFileError, "it has 1 inputs; the operator has 2 to 2"),
    "no first input": (no_first_input, InvalidFileError, r"Split\) contradicts itself: its input 0 is missing"),
    "many axes": (many_axes, InvalidFileError, r"Expand\) contradicts itself"),
    "axes that grow": (axes_that_grow, UnsupportedError, "its result has 34 axes; at most 32 are supported"),
    "an input of many axes": (lambda: model_of([RELU], inputs=[info("x", *[1] * 33)]), UnsupportedError, "'x' has 33 axes"),
    "recursion": (recursion, InvalidFileError, "the function 'again' calls itself"),
    "doubling": (doubling, UnsupportedError, r"has 1,099,511,627,776 nodes with its functions"),
    "foreign operator": (foreign_operator, UnsupportedError, "'FusedConv' of the domain 'com.microsoft' is not supported"),
    "markup": (markup, UnsupportedError, r"the operator No\\x1bSuch is not supported as the node '<script>alert\(1\)</script>\\x1b\[31m'"),
    "weight elsewhere": (lambda: outside_weight("w.bin"), InvalidFileError, "name the folder that it is in"),
    "old operators": (old_operators, UnsupportedError, "operator set 3; 6 and later are read"),
    "no input": (lambda: model_of([helper.make_node("Neg", ["a"], ["y"])], [weight("a", [1.0])]), UnsupportedError, "nothing to compute"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_sentence(name: str, tmp_path: Path) -> None:
    make, kind, message = HOSTILE[name]
    path = tmp_path / "hostile.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(kind, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "sub/w.bin", "..", ""])
def test_no_path_of_the_file_is_followed(location: str, tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    path.write_bytes(outside_weight(location).SerializeToString())
    with pytest.raises(InvalidFileError, match="no plain file name"):
        load_model(path, external_data=tmp_path)


def test_weights_in_the_named_folder_are_read(tmp_path: Path) -> None:
    values = np.arange(32, dtype=np.float32).reshape(8, 4)
    path = tmp_path / "outside.onnx"
    path.write_bytes(outside_weight("w.bin").SerializeToString())
    with pytest.raises(InvalidFileError, match="cannot be read in the folder"):
        load_model(path, external_data=tmp_path)
    (tmp_path / "w.bin").write_bytes(values.tobytes()[:-4])
    with pytest.raises(InvalidFileError, match="'w' does not hold the numbers"):
        load_model(path, external_data=tmp_path)
    (tmp_path / "w.bin").write_bytes(values.tobytes())
    model = load_model(path, external_data=tmp_path)
    (kernel,) = [array for name, array in model.weights_by_name.items() if name.endswith("kernel")]
    np.testing.assert_array_equal(kernel, values)
    (tmp_path / "real.bin").write_bytes(values.tobytes())
    (tmp_path / "w.bin").unlink()
    (tmp_path / "w.bin").symlink_to(tmp_path / "real.bin")
    with pytest.raises(InvalidFileError, match="does not fit"):
        load_model(path, external_data=tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("offset", "here", "does not fit its shape"),
        ("offset", "-4", "does not fit its shape"),
        ("offset", "9" * 30, "does not fit its shape"),
        ("length", "1_28", "does not fit its shape"),
        ("location", "a\0b", "cannot be read in the folder"),
        ("location", "pipe", "cannot be read in the folder"),
    ],
)
def test_what_a_weight_says_of_its_file(key: str, value: str, message: str, tmp_path: Path) -> None:
    made = outside_weight("w.bin" if key != "location" else value)
    if key != "location":
        made.graph.initializer[0].external_data.add(key=key, value=value)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "w.bin").write_bytes(bytes(128))
    path = tmp_path / "outside.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(InvalidFileError, match=message):
        load_model(path, external_data=tmp_path)


def test_what_is_no_onnx_file_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"\x08\x07" + bytes(range(256)))
    with pytest.raises(InvalidFileError, match="is not an ONNX file"):
        load_model(path)
    path.write_bytes(b"")
    with pytest.raises(InvalidFileError, match="is not an ONNX file, or an empty one"):
        load_model(path)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    data = model_of([RELU], [weight("w", np.ones(100))]).SerializeToString()
    path = tmp_path / "cut.onnx"
    for end in range(1, len(data), 17):
        path.write_bytes(data[:end])
        with pytest.raises((InvalidFileError, UnsupportedError)):
            load_model(path)


def test_damaged_files_are_refused_or_read(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Bytes changed, left out and put in at random: never anything but the package's own exceptions, in one printable line."""
    kernel, pads = weight("w", np.ones((2, 3, 3, 3))), weight("p", [0, 0, 2, 1, 0, 0, 1, 3], TensorProto.INT64)
    nodes = [
        helper.make_node("Pad", ["x", "p"], ["a"], mode="reflect"),
        helper.make_node("Conv", ["a", "w"], ["b"], kernel_shape=[3, 3], strides=[2, 2], name="first"),
        helper.make_node("Transpose", ["b"], ["c"], perm=[0, 2, 3, 1]),
        helper.make_node("Softmax", ["c"], ["y"], axis=-1),
    ]
    data = model_of(nodes, [kernel, pads]).SerializeToString()
    rng, path, messages = np.random.default_rng(4), tmp_path / "damaged.onnx", []
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            place, more = int(rng.integers(len(damaged))), rng.integers(0, 256, 3, dtype=np.uint8).tobytes()
            kind = rng.integers(3)
            damaged[place : place + (1, 3, 0)[kind]] = (more[:1], b"", more)[kind]
        path.write_bytes(damaged)
        try:
            load_model(path)
        except (InvalidFileError, UnsupportedError) as error:
            messages.append(str(error))
    assert len(messages) > 200
    record_property("tried", 400)
    assert all(map(str.isprintable, messages))

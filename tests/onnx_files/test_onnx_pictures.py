"""Pictures for networks that take their channels first, as those from ONNX files do: predicted, explained, shown, compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import depthwise
from depthwise import layers
from depthwise.classification import check_classifier, first_scale, has_channels_first, picture_shape, scaled_for
from depthwise.cli import app
from depthwise.cli.compare import _contestants
from depthwise.data import Dataset
from depthwise.errors import InvalidArgumentError
from depthwise.explain.explanation import explain
from depthwise.explain.samples import Asked, choose_picture, page_graph, page_samples
from depthwise.explain.values import layer_values, pixel_range
from depthwise.models import Model, load_model
from depthwise.network.tree import with_first
from support.onnx_drafts import Draft

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network as a Keras file, and as an ONNX file that takes its channels first; and a photo."""
    depthwise.utils.set_random_seed(4)
    model = depthwise.Sequential(
        [
            layers.Conv2D(4, 3, strides=2, activation="relu", input_shape=(12, 10, 3), name="first"),
            layers.DepthwiseConv2D(3, activation="relu", name="second"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, activation="softmax", name="classes"),
        ]
    )
    place = tmp_path_factory.mktemp("pictures")
    model.save(place / "last.keras")
    model.export(place / "first.onnx", channels_first=True, verbose=False)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / "photo.png")
    np.save(place / "last.npy", pixels[::2, ::2])
    np.save(place / "first.npy", np.moveaxis(pixels[None, ::2, ::2], 3, 1))
    return place


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[Model, Model]:
    return load_model(folder / "last.keras"), load_model(folder / "first.onnx")


def scores(folder: Path, model: str, picture: str) -> Any:
    result = runner.invoke(app, ["predict", str(folder / model), str(folder / picture), "--json"])
    assert result.exit_code == 0, result.output
    return {item["class"]: item["score"] for item in json.loads(result.stdout)[0]["predictions"]}


@pytest.mark.parametrize("picture", ["photo.png", "last.npy"])
def test_predict_takes_pictures(folder: Path, picture: str) -> None:
    wanted, found = scores(folder, "last.keras", picture), scores(folder, "first.onnx", picture)
    assert wanted.keys() == found.keys()
    assert all(abs(found[number] - wanted[number]) < 1e-6 for number in wanted)


def test_predict_takes_arrays_in_either_order(folder: Path) -> None:
    assert scores(folder, "first.onnx", "first.npy") == scores(folder, "first.onnx", "last.npy")


def test_data_sets_fit(both: tuple[Model, Model]) -> None:
    last, first = both
    assert (picture_shape(last.graph), picture_shape(first.graph)) == ((12, 10, 3), (12, 10, 3))
    x = np.random.default_rng(1).integers(0, 256, (6, 12, 10, 3), dtype=np.uint8)
    data = Dataset("photos", x, np.arange(6) % 3, x, np.arange(6) % 3, ("a", "b", "c"))
    check_classifier(first.graph, data)
    for scale in ("0..1", "-1..1", "none"):
        taken = scaled_for(first.graph, x, scale)
        np.testing.assert_array_equal(taken, np.moveaxis(scaled_for(last.graph, x, scale), 3, 1))
    np.testing.assert_allclose(
        first.predict(scaled_for(first.graph, x), verbose=0),
        last.predict(scaled_for(last.graph, x), verbose=0),
        rtol=1e-5,
        atol=1e-7,
    )


def test_receptive_fields_are_those_of_the_picture(both: tuple[Model, Model]) -> None:
    last, first = both
    for name, other in (("first", "first"), ("second", "second"), ("pool", "pool"), ("classes", "classes")):
        mine, wanted = (model.graph.receptive_fields[own] for model, own in zip(both[::-1], (name, other), strict=True))
        assert (mine.rows.value, mine.columns.value) == (wanted.rows.value, wanted.columns.value)
        assert (mine.steps, mine.image) == (wanted.steps, wanted.image)
    assert first.graph.receptive_fields["classes"].image == last.graph.receptive_fields["classes"].image == (12, 10)


def test_explanations_and_the_page_show_the_picture(folder: Path, both: tuple[Model, Model]) -> None:
    last, first = both
    found, wanted = [], []  # the file's layer is the same without its activation
    for channel in range(4):
        mine, other = (explain(model, "second", (1, 1, channel), image=folder / "photo.png") for model in (first, last))
        found.append(max(0.0, mine.cell["output"]))
        wanted.append(other.cell["output"])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert max(wanted) > 0.0
    asked = Asked(image=folder / "photo.png")
    graph = page_graph(first, asked)
    (shown, *_), names, _ = page_samples(first.graph, first, asked)
    assert graph.input_shapes == last.graph.input_shapes == (shown.pixels.shape,)
    assert names == ()
    x = np.asarray(shown.pixels / 255, np.float32)
    shares = layer_values(graph, first.weights_by_name, (x,)).by_layer[graph.outputs[0]]
    np.testing.assert_allclose(shares, last.predict(x[None], verbose=0)[0], rtol=1e-5, atol=1e-7)
    assert choose_picture(first, Asked()).values.shape == (3, 12, 10)
    assert '"shape":[12,10,3]' in explain(first).page(with_times=False).html


@pytest.mark.parametrize(
    ("stack", "wanted"),
    [
        ([layers.Permute((2, 3, 1)), layers.Conv2D(2, 3)], True),
        ([layers.Rescaling(1 / 255), layers.Permute((2, 3, 1))], True),
        ([layers.Conv2D(2, 3, data_format="channels_first")], True),
        ([layers.ReLU(), layers.MaxPooling2D(1)], False),
        ([layers.Flatten(), layers.Dense(2)], True),
        ([layers.Permute((2, 1, 3)), layers.Conv2D(2, 3)], True),
    ],
)
def test_who_takes_channels_first(stack: list[Any], wanted: bool) -> None:
    graph = depthwise.Sequential([depthwise.Input((3, 8, 9)), *stack]).graph
    assert has_channels_first(graph) is wanted
    assert not has_channels_first(depthwise.Sequential([depthwise.Input((8, 9, 3)), layers.Flatten()]).graph)


def test_a_layer_that_rescales_is_found_behind_one_that_moves_axes() -> None:
    graph = depthwise.Sequential([depthwise.Input((3, 8, 9)), layers.Rescaling(1 / 255), layers.Flatten()]).graph
    moved = with_first(graph, layers.Permute((3, 1, 2)).description, (8, 9, 3))
    assert (first_scale(moved), pixel_range(moved)) == (first_scale(graph), pixel_range(graph)) == ("0..255", 255)
    assert moved.output_shapes == graph.output_shapes


def test_compare_gives_each_file_its_own_shapes(tmp_path: Path, folder: Path) -> None:
    draft = Draft("n", 3, "h", "w")
    y = draft.node("Flatten", draft.node("GlobalAveragePool", draft.conv("x", 4, 3)))
    (tmp_path / "open.onnx").write_bytes(draft.model(y).SerializeToString())
    names = (str(tmp_path / "open.onnx"), str(folder / "first.onnx"))
    one, other = _contestants(*names, False, None, ["x=1,3,12,10"])
    assert one.graph.input_shapes == other.graph.input_shapes
    with pytest.raises(
        InvalidArgumentError, match=r"the input 'z', which none .* their inputs are \['input_layer', 'x'\]"
    ):
        _contestants(*names, False, None, ["x=1,3,12,10", "z=1,2"])
    with pytest.raises(InvalidArgumentError, match="for ONNX files alone"):
        _contestants(str(folder / "last.keras"), None, False, None, ["x=1,3,12,10"])


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A network with an operator that is no layer of Keras, and data for it."""
    draft = Draft("n", 3, 12, 10)
    y = draft.node("Erf", draft.conv("x", 4, 3, 1))
    y = draft.node("Flatten", draft.node("GlobalAveragePool", y))
    y = draft.node("Softmax", draft.node("Gemm", y, draft.drawn(4, 3)))
    (tmp_path / "odd.onnx").write_bytes(draft.model(y).SerializeToString())
    x = np.random.default_rng(1).integers(0, 256, (12, 12, 10, 3), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=np.arange(12) % 3, x_test=x, y_test=np.arange(12) % 3)
    return tmp_path


def command(*arguments: object) -> str:
    return runner.invoke(app, [str(item) for item in arguments]).output


def test_what_keras_files_cannot_hold_is_trained_into_an_onnx_file(odd: Path) -> None:
    options = ("--data", odd / "data.npz", "--epochs", 1, "--batch-size", 4)
    refused = command("train", odd / "odd.onnx", *options, "--out", odd / "new.keras")
    assert "Erf 'Erf_1' comes from an ONNX file" in refused
    assert "--out a name that ends in .onnx" in refused
    assert "saved" in command("train", odd / "odd.onnx", *options, "--out", odd / "new.onnx")
    before, after = (load_model(odd / name).get_weights()[0] for name in ("odd.onnx", "new.onnx"))
    assert before.shape == after.shape
    assert np.abs(before - after).max() > 0.0


def test_compare_writes_what_keras_files_cannot_hold_as_onnx(odd: Path, folder: Path) -> None:
    out = odd / "out"
    command(
        "compare",
        odd / "odd.onnx",
        folder / "first.onnx",
        "--data",
        odd / "data.npz",
        "--prediction-batch-size",
        8,
        "--out",
        out,
    )
    assert {path.suffix for path in out.iterdir()} == {".onnx", ".keras", ".json", ".html"}
    again = command("compare", odd / "odd.onnx", folder / "first.onnx", "--data", odd / "data.npz", "--prediction-batch-size", 8,
                    "--out", out, "--overwrite")  # fmt: skip
    assert "draft.onnx" in again
